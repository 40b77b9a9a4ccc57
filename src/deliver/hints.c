#include "hints.h"

#define HINTED_MAX_BYTES 1024u
#define REPLY_KEPT_BYTES 840u

/* Who wants something else than the password of the mailbox. */
static const struct {
	struct text host; /* end of the host's name */
	const char *hint;
} providers[] = {
	{ LIT(".gmail.com"), "Gmail takes an app password, or auth: xoauth2" },
	{ LIT(".googlemail.com"), "Gmail takes an app password, or auth: xoauth2" },
	{ LIT(".google.com"), "Google Workspace takes an app password, or auth: xoauth2" },
	{ LIT(".office365.com"),
	  "Microsoft 365 takes auth: xoauth2; a password only where SMTP AUTH is switched on" },
	{ LIT(".outlook.com"), "Outlook.com takes auth: xoauth2" },
	{ LIT(".hotmail.com"), "Outlook.com takes auth: xoauth2" },
	{ LIT(".yahoo.com"), "Yahoo takes an app password" },
	{ LIT(".mail.me.com"), "iCloud takes an app password" },
	{ LIT(".zoho.com"), "Zoho takes an app password where two-factor login is on" },
	{ LIT(".fastmail.com"), "Fastmail takes an app password" },
	{ LIT(".sendgrid.net"), "SendGrid takes the username `apikey` and an API key as password" },
	{ LIT(".amazonaws.com"), "SES takes SMTP credentials, which are not the access key" },
};

/* The first of the upstream's hosts that is one of these: they are all one provider's. */
static const char *of_provider(const struct config_upstream *upstream)
{
	for (size_t h = 0; h < upstream->hosts.count; h++)
		for (size_t i = 0; i < ARRAY_LEN(providers); i++)
			if (text_ends_nocase(upstream->hosts.items[h].host, providers[i].host))
				return providers[i].hint;
	return NULL;
}

static const char *of_login(const struct hint_place *place, const struct deliver_result *r)
{
	if (r->stage != STAGE_AUTH) /* MAIL, RCPT ...: who sends has to log in, and does not */
		return place->login ? NULL
		                    : "the upstream wants a login: username: and password_file:, or oauth2:";
	return r->code == 534 || r->code == 535 ? of_provider(place->upstream) : NULL;
}

static const char *of_silence(const struct hint_place *place, const struct deliver_result *r)
{
	if (r->stage == STAGE_CONNECT && place->port == 25 &&
	    text_ends(r->reply, text_from(err_text(ERR_TIMEOUT))))
		return "many networks block port 25: port 587 or 2587 may be open";
	if (r->stage == STAGE_GREETING && place->port == 465 && place->tls != CONFIG_TLS_IMPLICIT)
		return "port 465 waits for TLS from the first octet: tls: implicit";
	return NULL;
}

static const char *of_tls(const struct hint_place *place, const struct deliver_result *r)
{
	bool begins = place->tls == CONFIG_TLS_IMPLICIT && r->stage == STAGE_STARTTLS && !r->tls.version.len;

	if (begins && (place->port == 587 || place->port == 2587 || place->port == 25))
		return "this port begins in plain text: tls: require";
	return NULL;
}

const char *hint_find(const struct hint_place *place, const struct deliver_result *r)
{
	bool is_stopped = place->upstream && r->kind != DELIVER_DELIVERED;

	if (!is_stopped)
		return NULL;
	switch (r->reason) {
	case REASON_AUTH:
		return of_login(place, r);
	case REASON_TIMEOUT:
	case REASON_CONNECT:
		return of_silence(place, r);
	case REASON_TLS:
		return of_tls(place, r);
	default:
		return NULL;
	}
}

void hint_add(struct buf *words, const struct hint_place *place, struct deliver_result *r)
{
	const char *hint = hint_find(place, r);

	if (!hint)
		return;
	buf_fini(words);
	buf_init(words, HINTED_MAX_BYTES);
	buf_add(words, text_head(r->reply, REPLY_KEPT_BYTES));
	buf_add_format(words, " (hint: %s)", hint);
	if (!buf_err(words))
		r->reply = buf_text(words);
}
