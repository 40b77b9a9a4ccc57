/* deliver/needs.h - what a message cannot go without, and what a host lacks of it. */
#ifndef DELIVER_NEEDS_H
#define DELIVER_NEEDS_H

#include <postrider/deliver.h>

/* What a session has to give. */
struct needs_offer {
	unsigned keywords; /* of the EHLO that counts */
	uint64_t size_limit_bytes;
	uint64_t by_min_s; /* of DELIVERBY; 0: none said */
	bool is_proved;    /* TLS, and the host proved its name */
	int64_t now_time;
};

struct needs_lack {
	enum reason reason;
	const char *enhanced; /* "5.6.7" */
};

/* False: it is all there. Else words (may be NULL) gets a sentence. The gravest comes first. */
bool needs_lack(const struct deliver_needs *needs, const struct needs_offer *offer, struct needs_lack *out,
                struct buf *words);

bool needs_except_meets(const struct deliver_except *except, struct ip_port at); /* it is none of them */
bool needs_only_meets(const struct deliver_only *only, struct text host, struct ip_port at);

/* Whether the reverse-path or the header section can only travel with SMTPUTF8 (RFC 6531). */
bool needs_utf8_for_all(const struct envelope *e);

#endif
