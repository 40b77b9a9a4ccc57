/* postrider/smtp/ehlo.h - the service extensions that a server offers (RFC 5321 section 4.1.1.1). */
#ifndef POSTRIDER_SMTP_EHLO_H
#define POSTRIDER_SMTP_EHLO_H

#include <postrider/base/auto.h>
#include <postrider/smtp/reply.h>

enum ehlo_keyword {
	EHLO_PIPELINING = BIT(0),
	EHLO_SIZE = BIT(1),
	EHLO_8BITMIME = BIT(2),
	EHLO_ENHANCEDSTATUSCODES = BIT(3),
	EHLO_STARTTLS = BIT(4),
	EHLO_AUTH = BIT(5),
	EHLO_CHUNKING = BIT(6),
	EHLO_BINARYMIME = BIT(7),
	EHLO_SMTPUTF8 = BIT(8),
	EHLO_DSN = BIT(9),
	EHLO_LIMITS = BIT(10),
	EHLO_REQUIRETLS = BIT(11),
	EHLO_DELIVERBY = BIT(12),
	EHLO_FUTURERELEASE = BIT(13),
	EHLO_MT_PRIORITY = BIT(14),
	EHLO_XCLIENT = BIT(15),
	EHLO_XFORWARD = BIT(16),
	EHLO_HELP = BIT(17),
	EHLO_VRFY = BIT(18),
	EHLO_ETRN = BIT(19),
};

struct ehlo {
	unsigned keywords;         /* of enum ehlo_keyword */
	struct text domain;        /* what the server calls itself */
	uint64_t size_limit_bytes; /* 0: no limit, or none said (RFC 1870 section 4) */
	struct text auth;          /* mechanisms with spaces between: "PLAIN LOGIN" */
	struct text limits;        /* "RCPTMAX=20 MAILMAX=5" (RFC 9422) */
	struct text
		deliver_by; /* "60", the least time in seconds (RFC 2852); empty: none said, as the next */
	struct text future_release; /* "864000 2026-01-02T03:04:05Z" (RFC 4865) */
	struct text priority;       /* a profile: "MIXER" (RFC 6710) */
	struct text xclient;        /* attributes: "NAME ADDR PORT" */
	struct text xforward;
};

/* From a positive reply to EHLO. Points into its text. Never fails: lines not understood are skipped; of a
 * keyword that comes twice the first counts. "AUTH=LOGIN" (an old server's way) counts when there is no other
 * AUTH line. */
void ehlo_parse(const struct reply *reply, struct ehlo *out);

static inline bool ehlo_has(const struct ehlo *e, enum ehlo_keyword keyword)
{
	return e->keywords & keyword;
}

/* The keyword of that name, any case of letters; 0: none of these. */
unsigned ehlo_keyword_of(struct text name);
/* Where the arguments of a keyword are kept as they are written (all texts above); NULL: nowhere. */
struct text *ehlo_args(struct ehlo *e, enum ehlo_keyword keyword);

/* Whether a mechanism is in the AUTH line; any case. */
bool ehlo_has_auth(const struct ehlo *e, struct text mechanism);
/* A number from the LIMITS line: "RCPTMAX". ERR_NOT_FOUND: not said, or not a positive number of up to six
 * digits. */
MUST_USE enum err ehlo_limit(const struct ehlo *e, struct text name, uint64_t *out);

/* Our own 250 to EHLO, whole, with domain first and behind it `greeting` if it is not empty. SIZE is written
 * with its limit (0: without), AUTH, LIMITS and the like with their texts. No enhanced codes (RFC 2034
 * section 3). */
void ehlo_add(struct buf *b, const struct ehlo *e, struct text greeting);

#endif
