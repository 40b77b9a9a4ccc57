#include <postrider/observe/reason.h>

static const struct text reasons[REASON_COUNT] = {
	[REASON_NONE] = LIT(""),
	[REASON_DNS] = LIT("dns"),
	[REASON_NO_MX] = LIT("no_mx"),
	[REASON_NULL_MX] = LIT("null_mx"),
	[REASON_CONNECT] = LIT("connect"),
	[REASON_TLS] = LIT("tls"),
	[REASON_TLS_POLICY] = LIT("tls_policy"),
	[REASON_AUTH] = LIT("auth"),
	[REASON_GREYLISTED] = LIT("greylisted"),
	[REASON_RATE_LIMITED] = LIT("rate_limited"),
	[REASON_MAILBOX_FULL] = LIT("mailbox_full"),
	[REASON_NO_SUCH_USER] = LIT("no_such_user"),
	[REASON_NO_SUCH_DOMAIN] = LIT("no_such_domain"),
	[REASON_BLOCKED] = LIT("blocked"),
	[REASON_CONTENT] = LIT("content"),
	[REASON_TOO_LARGE] = LIT("too_large"),
	[REASON_POLICY] = LIT("policy"),
	[REASON_TIMEOUT] = LIT("timeout"),
	[REASON_PROTOCOL] = LIT("protocol"),
	[REASON_SPOOL] = LIT("spool"),
	[REASON_ADMIN] = LIT("admin"),
	[REASON_UNKNOWN_OUTCOME] = LIT("unknown_outcome"),
	[REASON_OTHER] = LIT("other"),
	[REASON_EXTENSION] = LIT("extension"),
	[REASON_DEADLINE] = LIT("deadline"),
};

static const struct text stages[STAGE_COUNT] = {
	[STAGE_NONE] = LIT(""),     [STAGE_CONNECT] = LIT("connect"),   [STAGE_GREETING] = LIT("greeting"),
	[STAGE_EHLO] = LIT("ehlo"), [STAGE_STARTTLS] = LIT("starttls"), [STAGE_AUTH] = LIT("auth"),
	[STAGE_MAIL] = LIT("mail"), [STAGE_RCPT] = LIT("rcpt"),         [STAGE_DATA] = LIT("data"),
	[STAGE_DOT] = LIT("dot"),   [STAGE_QUIT] = LIT("quit"),
};

/* The numbers come from the disk too: one that a later version wrote is nothing to fall over. */
struct text reason_text(enum reason reason)
{
	return (unsigned)reason < REASON_COUNT ? reasons[reason] : reasons[REASON_OTHER];
}

struct text stage_text(enum stage stage)
{
	return (unsigned)stage < STAGE_COUNT ? stages[stage] : stages[STAGE_NONE];
}

enum err reason_from_text(struct text t, enum reason *out)
{
	for (unsigned i = REASON_NONE + 1; i < REASON_COUNT; i++)
		if (text_eq(t, reasons[i])) {
			*out = (enum reason)i;
			return ERR_OK;
		}
	return ERR_NOT_FOUND;
}
