/* wire.h - questions and answers as octets (RFC 1035 section 4), by ldns. What an answer says is worked out here, to
 * the end of its CNAME chain; whom to ask, and when, is question.c. */
#ifndef POSTRIDER_SRC_DNS_WIRE_H
#define POSTRIDER_SRC_DNS_WIRE_H

#include <postrider/base/arena.h>
#include <postrider/dns.h>

#include "name.h"

enum wire_type { WIRE_A = 1, WIRE_CNAME = 5, WIRE_MX = 15, WIRE_TXT = 16, WIRE_AAAA = 28, WIRE_TLSA = 52 };

enum wire_rcode {
	WIRE_NOERROR = 0,
	WIRE_FORMERR = 1,
	WIRE_SERVFAIL = 2,
	WIRE_NXDOMAIN = 3,
	WIRE_BADVERS = 16 /* RFC 6891 section 6.1.3: with the upper bits from the OPT record */
};

#define WIRE_UDP_BYTES 1232 /* what we say we take: fits one IPv6 packet of the least MTU */
#define WIRE_QUERY_MAX 512
#define WIRE_MAX_ALIASES 10  /* CNAMEs from the name asked for to the records, over all answers */
#define WIRE_MAX_RECORDS 128 /* of one answer; of more, the first (MX: the most preferred) are kept */

const char *wire_type_text(uint16_t type);   /* "MX" */
const char *wire_rcode_text(unsigned rcode); /* "SERVFAIL"; "an unknown code" */

struct wire_question {
	uint16_t id;
	const struct name *name;
	uint16_t type;
	bool edns;           /* with an OPT record */
	bool want_authentic; /* the AD bit, asking for it in the answer (RFC 6840 section 5.7) */
};

struct wire_query {
	char at[WIRE_QUERY_MAX];
	size_t len;
};

MUST_USE enum err wire_build_query(const struct wire_question *q, struct wire_query *out);

enum wire_said {
	WIRE_SAYS_RECORDS,
	WIRE_SAYS_NULL_MX,  /* RFC 7505: one MX, preference 0, the root */
	WIRE_SAYS_UNUSABLE, /* records that do not name a host or an address, or are cut short */
	WIRE_SAYS_NO_DATA,
	WIRE_SAYS_NO_NAME,
	WIRE_SAYS_ALIAS,     /* the chain goes on at `end`, outside this answer */
	WIRE_SAYS_TRUNCATED, /* ask over TCP */
	WIRE_SAYS_RCODE,     /* a refusal: rcode */
	WIRE_SAYS_REFERRAL,  /* asks us to ask others: not a resolver */
	WIRE_SAYS_BAD_CHAIN  /* a loop, too long, or a name that is none */
};

struct wire_reply {
	enum wire_said said;
	unsigned rcode;
	bool authentic;   /* AD */
	uint32_t ttl_s;   /* the least of the chain and of what stands at its end; 0: not to be kept */
	struct name end;  /* of the chain: the name asked for when there is none */
	unsigned aliases; /* how many */
	const struct ip *addresses; /* count, when A or AAAA was asked for */
	const struct dns_mx *mx;    /* count, sorted, each host once, when MX was */
	const struct dns_tlsa *tlsa;
	const struct text *texts; /* of TXT and CNAME */
	size_t count;
	struct text why;    /* of a refusal: the server's own words (RFC 8914), clean; may be empty */
	struct arena arena; /* where they lie */
};

/* Reads an answer to q. aliases: how many CNAMEs led to q->name before.
 * ERR_SYNTAX: these octets are no answer to this question, and nothing in them counts. ERR_NOMEM.
 * After ERR_OK wire_reply_fini is due. */
MUST_USE enum err wire_read(struct text octets, const struct wire_question *q, unsigned aliases,
                            struct wire_reply *out);
void wire_reply_fini(struct wire_reply *r);

#endif
