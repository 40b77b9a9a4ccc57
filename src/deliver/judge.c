#include "judge.h"

#include <stdio.h>

/* ---------------------------------------------------------------- by enhanced code */

struct code_rule {
	const char *detail; /* behind the class: ".1.1" */
	enum reason reason;
};

/* RFC 3463, RFC 5248's registry. Those that say little on their own (.7.0, .7.1, .0.0 ...) come after the
 * texts. .1.10 (null MX) is not among them: a big server says it of recipients that it does not find. */
/* clang-format off */
static const struct code_rule sure_codes[] = {
	{ ".1.1", REASON_NO_SUCH_USER },     /* bad destination mailbox address */
	{ ".1.2", REASON_NO_SUCH_DOMAIN },
	{ ".1.6", REASON_NO_SUCH_USER },     /* mailbox has moved */
	{ ".2.2", REASON_MAILBOX_FULL },
	{ ".2.3", REASON_TOO_LARGE },
	{ ".3.4", REASON_TOO_LARGE },
	{ ".4.3", REASON_DNS },
	{ ".5.3", REASON_RATE_LIMITED },     /* too many recipients */
	{ ".6.3", REASON_CONTENT },          /* conversion required but not supported */
	{ ".7.8", REASON_AUTH },
	{ ".7.9", REASON_AUTH },
	{ ".7.10", REASON_TLS_POLICY },      /* encryption needed */
	{ ".7.11", REASON_TLS_POLICY },
	{ ".7.17", REASON_NO_SUCH_USER },    /* mailbox owner has changed */
	{ ".7.18", REASON_NO_SUCH_DOMAIN },
	{ ".7.20", REASON_POLICY },          /* DKIM ... */
	{ ".7.21", REASON_POLICY },
	{ ".7.22", REASON_POLICY },
	{ ".7.23", REASON_POLICY },          /* SPF */
	{ ".7.24", REASON_POLICY },
	{ ".7.25", REASON_POLICY },          /* reverse DNS */
	{ ".7.26", REASON_POLICY },          /* more than one of these */
	{ ".7.27", REASON_POLICY },          /* the sender's domain takes no mail */
	{ ".7.28", REASON_RATE_LIMITED },    /* mail flood */
	{ ".7.30", REASON_TLS_POLICY },      /* REQUIRETLS */
};
/* clang-format on */

/* .7.x by default; .2.1 is a mailbox disabled, for good or for now: texts (rate, full) come first. */
/* clang-format off */
static const struct code_rule weak_codes[] = {
	{ ".1.0", REASON_NO_SUCH_USER },     { ".1.3", REASON_NO_SUCH_USER }, { ".1.4", REASON_NO_SUCH_USER },
	{ ".2.1", REASON_NO_SUCH_USER },     { ".4.4", REASON_DNS },          { ".6.0", REASON_CONTENT },
	{ ".6.1", REASON_CONTENT },          { ".6.2", REASON_CONTENT },      { ".6.5", REASON_CONTENT },
	{ ".6.6", REASON_CONTENT },          { ".7.0", REASON_POLICY },       { ".7.1", REASON_POLICY },
	{ ".7.2", REASON_POLICY },           { ".7.7", REASON_CONTENT },      { ".7.13", REASON_NO_SUCH_USER },
};
/* clang-format on */

static enum reason by_code(const struct code_rule *rules, size_t count, const char *enhanced)
{
	if (!enhanced[0])
		return REASON_NONE;
	for (size_t i = 0; i < count; i++)
		if (strcmp(enhanced + 1, rules[i].detail) == 0)
			return rules[i].reason;
	return REASON_NONE;
}

/* ---------------------------------------------------------------- by text */

struct text_rule {
	unsigned classes;  /* BIT(4), BIT(5) or both */
	struct text words; /* lower case; found anywhere in the text in any case of letters */
	enum reason reason;
};

#define SOFT BIT(4)
#define HARD BIT(5)
#define BOTH (BIT(4) | BIT(5))

/* The first that is found counts: the particular before the general. */
/* clang-format off */
static const struct text_rule texts[] = {
	{ SOFT, LIT("greylist"), REASON_GREYLISTED },
	{ SOFT, LIT("graylist"), REASON_GREYLISTED },
	{ SOFT, LIT("grey-list"), REASON_GREYLISTED },
	{ SOFT, LIT("grey list"), REASON_GREYLISTED },
	{ SOFT, LIT("gray list"), REASON_GREYLISTED },
	{ SOFT, LIT("postgrey"), REASON_GREYLISTED },
	{ SOFT, LIT("milter-greylist"), REASON_GREYLISTED },
	{ SOFT, LIT("come back later"), REASON_GREYLISTED },

	{ BOTH, LIT("must issue a starttls"), REASON_TLS_POLICY },
	{ BOTH, LIT("starttls first"), REASON_TLS_POLICY },
	{ BOTH, LIT("tls is required"), REASON_TLS_POLICY },
	{ BOTH, LIT("tls required"), REASON_TLS_POLICY },
	{ BOTH, LIT("encryption required"), REASON_TLS_POLICY },
	{ BOTH, LIT("authentication required"), REASON_AUTH },
	{ BOTH, LIT("must authenticate"), REASON_AUTH },
	{ BOTH, LIT("not authenticated"), REASON_AUTH },
	{ BOTH, LIT("authentication failed"), REASON_AUTH },
	{ BOTH, LIT("authentication unsuccessful"), REASON_AUTH },

	{ BOTH, LIT("receiving mail at a rate"), REASON_RATE_LIMITED },
	{ BOTH, LIT("receiving mail too quickly"), REASON_RATE_LIMITED },
	{ BOTH, LIT("unusual rate"), REASON_RATE_LIMITED },
	{ BOTH, LIT("rate limit"), REASON_RATE_LIMITED },
	{ BOTH, LIT("rate-limit"), REASON_RATE_LIMITED },
	{ BOTH, LIT("ratelimit"), REASON_RATE_LIMITED },
	{ BOTH, LIT("sending rate"), REASON_RATE_LIMITED },
	{ BOTH, LIT("throttl"), REASON_RATE_LIMITED },
	{ BOTH, LIT("too many"), REASON_RATE_LIMITED },
	{ BOTH, LIT("too much mail"), REASON_RATE_LIMITED },
	{ BOTH, LIT("too fast"), REASON_RATE_LIMITED },
	{ BOTH, LIT("slow down"), REASON_RATE_LIMITED },
	{ BOTH, LIT("sending quota"), REASON_RATE_LIMITED },
	{ BOTH, LIT("daily sending"), REASON_RATE_LIMITED },
	{ BOTH, LIT("message quota"), REASON_RATE_LIMITED },
	{ BOTH, LIT("connection limit"), REASON_RATE_LIMITED },
	{ SOFT, LIT("temporarily deferred"), REASON_RATE_LIMITED },
	{ SOFT, LIT("unexpected volume"), REASON_RATE_LIMITED },
	{ SOFT, LIT("[tss"), REASON_RATE_LIMITED },
	{ SOFT, LIT("server busy"), REASON_RATE_LIMITED },

	{ BOTH, LIT("over quota"), REASON_MAILBOX_FULL },
	{ BOTH, LIT("overquota"), REASON_MAILBOX_FULL },
	{ BOTH, LIT("quota exceeded"), REASON_MAILBOX_FULL },
	{ BOTH, LIT("exceeded storage"), REASON_MAILBOX_FULL },
	{ BOTH, LIT("exceeds quota"), REASON_MAILBOX_FULL },
	{ BOTH, LIT("mailbox full"), REASON_MAILBOX_FULL },
	{ BOTH, LIT("mailbox is full"), REASON_MAILBOX_FULL },
	{ BOTH, LIT("insufficient disk quota"), REASON_MAILBOX_FULL },
	{ BOTH, LIT("out of storage space"), REASON_MAILBOX_FULL },

	{ BOTH, LIT("message size exceeds"), REASON_TOO_LARGE },
	{ BOTH, LIT("message too large"), REASON_TOO_LARGE },
	{ BOTH, LIT("message too big"), REASON_TOO_LARGE },
	{ BOTH, LIT("message file too big"), REASON_TOO_LARGE },
	{ BOTH, LIT("exceeds maximum size"), REASON_TOO_LARGE },
	{ BOTH, LIT("size limit"), REASON_TOO_LARGE },

	{ BOTH, LIT("spamhaus"), REASON_BLOCKED },
	{ BOTH, LIT("spamcop"), REASON_BLOCKED },
	{ BOTH, LIT("barracudacentral"), REASON_BLOCKED },
	{ BOTH, LIT("dnsbl"), REASON_BLOCKED },
	{ BOTH, LIT("blacklist"), REASON_BLOCKED },
	{ BOTH, LIT("block list"), REASON_BLOCKED },
	{ BOTH, LIT("blocklist"), REASON_BLOCKED },
	{ BOTH, LIT("denylist"), REASON_BLOCKED },
	{ BOTH, LIT(" rbl"), REASON_BLOCKED },
	{ BOTH, LIT("reputation"), REASON_BLOCKED },
	{ BOTH, LIT("banned"), REASON_BLOCKED },
	{ BOTH, LIT("is blocked"), REASON_BLOCKED },
	{ BOTH, LIT("been blocked"), REASON_BLOCKED },
	{ BOTH, LIT("blocked using"), REASON_BLOCKED },
	{ BOTH, LIT("blocked by"), REASON_BLOCKED },

	{ BOTH, LIT("spf"), REASON_POLICY },
	{ BOTH, LIT("dkim"), REASON_POLICY },
	{ BOTH, LIT("dmarc"), REASON_POLICY },
	{ BOTH, LIT("unauthenticated"), REASON_POLICY },
	{ BOTH, LIT("reverse dns"), REASON_POLICY },
	{ BOTH, LIT("ptr record"), REASON_POLICY },
	{ BOTH, LIT("reverse hostname"), REASON_POLICY },
	{ BOTH, LIT("relay access denied"), REASON_POLICY },
	{ BOTH, LIT("relaying denied"), REASON_POLICY },
	{ BOTH, LIT("relay not permitted"), REASON_POLICY },
	{ BOTH, LIT("unable to relay"), REASON_POLICY },

	{ BOTH, LIT("virus"), REASON_CONTENT },
	{ BOTH, LIT("malware"), REASON_CONTENT },
	{ BOTH, LIT("phish"), REASON_CONTENT },
	{ BOTH, LIT("spam"), REASON_CONTENT },
	{ BOTH, LIT("unsolicited"), REASON_CONTENT },
	{ BOTH, LIT("suspicious content"), REASON_CONTENT },
	{ BOTH, LIT("message content"), REASON_CONTENT },
	{ BOTH, LIT("bare lf"), REASON_CONTENT },

	{ HARD, LIT("no such user"), REASON_NO_SUCH_USER },
	{ HARD, LIT("no such recipient"), REASON_NO_SUCH_USER },
	{ HARD, LIT("no such mailbox"), REASON_NO_SUCH_USER },
	{ HARD, LIT("no such address"), REASON_NO_SUCH_USER },
	{ HARD, LIT("user unknown"), REASON_NO_SUCH_USER },
	{ HARD, LIT("unknown user"), REASON_NO_SUCH_USER },
	{ HARD, LIT("unknown recipient"), REASON_NO_SUCH_USER },
	{ HARD, LIT("recipient unknown"), REASON_NO_SUCH_USER },
	{ HARD, LIT("user not found"), REASON_NO_SUCH_USER },
	{ HARD, LIT("recipient not found"), REASON_NO_SUCH_USER },
	{ HARD, LIT("does not exist"), REASON_NO_SUCH_USER },
	{ HARD, LIT("doesn't exist"), REASON_NO_SUCH_USER },
	{ HARD, LIT("mailbox unavailable"), REASON_NO_SUCH_USER },
	{ HARD, LIT("mailbox not found"), REASON_NO_SUCH_USER },
	{ HARD, LIT("invalid recipient"), REASON_NO_SUCH_USER },
	{ HARD, LIT("recipient address rejected"), REASON_NO_SUCH_USER },
	{ HARD, LIT("recipient rejected"), REASON_NO_SUCH_USER },
	{ HARD, LIT("account disabled"), REASON_NO_SUCH_USER },
	{ HARD, LIT("account is disabled"), REASON_NO_SUCH_USER },

	{ BOTH, LIT("insufficient system storage"), REASON_OTHER },
	{ BOTH, LIT("policy"), REASON_POLICY },
	{ BOTH, LIT("access denied"), REASON_POLICY },
	{ BOTH, LIT("not allowed"), REASON_POLICY },
	{ BOTH, LIT("not permitted"), REASON_POLICY },
};
/* clang-format on */

#define JUDGED_TEXT_MAX 1024 /* what says why stands at the front */

static enum reason by_text(unsigned digit, struct text text)
{
	char lower[JUDGED_TEXT_MAX];
	struct text seen = text_head(text, sizeof(lower));

	for (size_t i = 0; i < seen.len; i++)
		lower[i] = seen.at[i] == '\n' ? ' ' : ascii_lower(seen.at[i]);
	seen.at = lower;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if ((texts[i].classes & BIT(digit)) && text_find(seen, texts[i].words) < seen.len)
			return texts[i].reason;
	return REASON_NONE;
}

/* ---------------------------------------------------------------- by reply code */

static enum reason by_number(int code, enum stage stage)
{
	switch (code) {
	case 521:
	case 556:
		return REASON_NULL_MX; /* a host, a domain that takes no mail (RFC 7504) */
	case 530:
	case 534:
	case 535:
	case 538:
		return REASON_AUTH;
	case 452:
	case 552:
		/* RFC 5321 section 4.5.3.1.10: too many recipients; elsewhere storage */
		return stage == STAGE_RCPT ? REASON_RATE_LIMITED
		       : code == 552       ? REASON_TOO_LARGE
		                           : REASON_OTHER;
	case 550:
	case 551:
	case 553:
		return stage == STAGE_RCPT ? REASON_NO_SUCH_USER : REASON_POLICY;
	case 554:
		return stage == STAGE_GREETING ? REASON_BLOCKED : REASON_OTHER;
	case 500:
	case 501:
	case 502:
	case 503:
	case 504:
	case 555:
		return REASON_PROTOCOL;
	default:
		return REASON_OTHER;
	}
}

static enum reason reason_of(const struct reply *r, enum stage stage)
{
	enum reason reason = by_code(sure_codes, ARRAY_LEN(sure_codes), r->enhanced);

	if (!reason)
		reason = by_text((unsigned)r->code / 100, r->text);
	if (!reason)
		reason = by_code(weak_codes, ARRAY_LEN(weak_codes), r->enhanced);
	/* "4.2.1 mailbox busy": a user who is not there for now is there */
	if (reason == REASON_NO_SUCH_USER && r->code < 500)
		reason = by_code(sure_codes, ARRAY_LEN(sure_codes), r->enhanced);
	return reason ? reason : by_number(r->code, stage);
}

/* 552 to RCPT is an old server's way to say "too many recipients" and counts as 452 (RFC 5321 section
 * 4.5.3.1.10), unless its enhanced code says that the message is too large. */
static bool is_552_for_452(const struct reply *r, enum stage stage)
{
	return r->code == 552 && stage == STAGE_RCPT && strcmp(r->enhanced, "5.3.4") != 0 &&
	       strcmp(r->enhanced, "5.2.3") != 0;
}

static enum deliver_kind kind_of(const struct reply *r, enum stage stage)
{
	if (reply_is_positive(r))
		return DELIVER_DELIVERED;
	return reply_is_permanent(r) && !is_552_for_452(r, stage) ? DELIVER_PERMANENT : DELIVER_TRANSIENT;
}

struct verdict judge_reply(const struct reply *reply, enum stage stage)
{
	struct verdict v = { .kind = kind_of(reply, stage) };
	char class_digit = v.kind == DELIVER_DELIVERED ? '2' : v.kind == DELIVER_PERMANENT ? '5' : '4';

	if (v.kind != DELIVER_DELIVERED)
		v.reason = reason_of(reply, stage);
	snprintf(v.enhanced, sizeof(v.enhanced), "%s", reply->enhanced[0] ? reply->enhanced : "x.0.0");
	v.enhanced[0] = class_digit;
	return v;
}
