/* answer.h - what the DNS said to one question: shared, immutable, counted by references. */
#ifndef POSTRIDER_SRC_DNS_ANSWER_H
#define POSTRIDER_SRC_DNS_ANSWER_H

#include <postrider/dns.h>

#include "name.h"

enum answer_kind {
	ANSWER_RECORDS,
	ANSWER_NULL_MX,  /* RFC 7505 */
	ANSWER_UNUSABLE, /* there are records, and none of them names a host */
	ANSWER_NO_DATA,  /* the name is there and has no such record */
	ANSWER_NO_NAME,  /* NXDOMAIN */
	ANSWER_FAILED    /* nobody knows: err says how */
};

struct answer {
	unsigned references;
	enum answer_kind kind;
	enum err err; /* of ANSWER_FAILED: ERR_TIMEOUT, ERR_TEMPORARY, ERR_NOMEM */
	bool secure;
	int64_t ttl_ms;             /* 0: not to be kept */
	const struct ip *addresses; /* count of them when A or AAAA was asked for */
	const struct dns_mx *mx;    /* count of them, sorted, when MX was */
	const struct dns_tlsa *tlsa;
	const struct text *texts; /* when TXT or CNAME was asked for */
	size_t count;
	struct text canonical; /* the name at the end of the chain */
	struct text problem;   /* for people, when there are no records */
	size_t bytes;          /* of all this */
};

/* Copies everything that `from` points at; its references and bytes do not matter. */
MUST_USE enum err answer_new(const struct answer *from, struct answer **out);
struct answer *answer_ref(struct answer *a);
void answer_unref(struct answer **a);

/* A failure that needs no memory: shared by all who meet it, references are not counted. */
struct answer *answer_no_memory(void);

#endif
