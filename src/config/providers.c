/* Providers, and what their own pages say of them. Looked up in November 2026; who finds that something has changed sets the
 * key in the upstream, and tells us. A limit stands here only where it is below our default for every destination. */
#include "providers.h"

#include <postrider/base/auto.h>

#include "bind.h"
#include "document.h"

/* documentation.mailgun.com, "Sending Messages": the EU's domains have hosts of their own. */
static const struct provider_region mailgun_regions[] = { { "us", "smtp.mailgun.org:587" },
	                                                  { "eu", "smtp.eu.mailgun.org:587" },
	                                                  { NULL, NULL } };

static const struct provider table[] = {
	/* docs.aws.amazon.com/ses/latest/dg: smtp-connect (STARTTLS on 587), quotas (50 recipients of a message; rates are the
	 * account's, and count recipients). */
	{ .name = "ses",
	  .title = "Amazon SES",
	  .host = "email-smtp.%.amazonaws.com:587",
	  .any_region = "eu-central-1",
	  .username = "the user name of SMTP credentials, which are not those of the AWS API",
	  .password = "their password",
	  .presets = { { "auth", "plain" }, { "recipients_per_message", "50" } } },
	/* twilio.com/docs/sendgrid, "Integrating with the SMTP API": the user name is this word; 5,000 messages a connection and
	 * 10,000 connections are allowed, and neither is needed. */
	{ .name = "sendgrid",
	  .title = "Twilio SendGrid",
	  .host = "smtp.sendgrid.net:587",
	  .password = "an API key with the permission to send mail",
	  .presets = { { "username", "apikey" }, { "auth", "plain" } } },
	/* documentation.mailgun.com, "Sending Messages" and "SMTP Credentials": a user of the sending domain, no API key. */
	{ .name = "mailgun",
	  .title = "Mailgun",
	  .host = "smtp.mailgun.org:587",
	  .regions = mailgun_regions,
	  .username = "an SMTP user of the sending domain, such as postmaster@mg.example.com",
	  .password = "that user's password, which is no API key",
	  .presets = { { "auth", "plain" } } },
	/* postmarkapp.com/developer, "Sending email with SMTP": the server's API token is both; or an SMTP token's access key and
	 * secret key. "Send a single email": 50 recipients of a message. */
	{ .name = "postmark",
	  .title = "Postmark",
	  .host = "smtp.postmarkapp.com:587",
	  .username = "the access key of an SMTP token; left out with a server API token",
	  .password = "a server API token, or the secret key of an SMTP token",
	  .username_is_password = true,
	  .presets = { { "auth", "plain" }, { "recipients_per_message", "50" } } },
	/* support.google.com/mail, "Gmail sending limits" and "Send email from a device or app": 500 messages a day (2,000 for
	 * accounts that are paid for, who write so), 100 recipients of a message by SMTP; beyond that nothing goes for a day. */
	{ .name = "gmail",
	  .title = "Gmail",
	  .host = "smtp.gmail.com:587",
	  .username = "the whole address of the account",
	  .password = "an app password, which wants 2-Step Verification; or oauth2:",
	  .presets = { { "connections", "3" }, { "rate", "500/d" }, { "recipients_per_message", "100" } } },
	/* support.google.com/a, "Route outgoing SMTP relay messages through Google": by address or login; 100 recipients of a
	 * transaction, 10,000 a day for each user, which no limit of ours can count. */
	{ .name = "workspace",
	  .title = "Google Workspace SMTP relay",
	  .host = "smtp-relay.gmail.com:587",
	  .username = "the whole address of a user, where the relay service asks for a login",
	  .password = "an app password of that user",
	  .open = true,
	  .presets = { { "recipients_per_message", "100" } } },
	/* learn.microsoft.com/exchange/troubleshoot/send-emails/smtp-submission-improvements: three connections at a time, 30
	 * messages a minute and 10,000 recipients a day for a mailbox. Passwords are being shut out there: oauth2 stays. */
	{ .name = "office365",
	  .title = "Microsoft 365",
	  .host = "smtp.office365.com:587",
	  .username = "the whole address of the mailbox",
	  .password = "oauth2: (client credentials or a refresh token); passwords are being shut out",
	  .presets = { { "connections", "3" }, { "rate", "30/min" }, { "recipient_rate", "10000/d" } } },
	/* dev.mailjet.com, "SMTP relay": the API key and the secret key; 50 recipients of a message. */
	{ .name = "mailjet",
	  .title = "Mailjet",
	  .host = "in-v3.mailjet.com:587",
	  .username = "the API key",
	  .password = "the secret key",
	  .presets = { { "auth", "plain" }, { "recipients_per_message", "50" } } },
	/* developers.brevo.com, "SMTP relay integration": port 587; an SMTP key, no API key. */
	{ .name = "brevo",
	  .title = "Brevo",
	  .host = "smtp-relay.brevo.com:587",
	  .username = "the login of the page \"SMTP & API\"",
	  .password = "an SMTP key, which is no API key",
	  .presets = { { "auth", "plain" } } },
	{ .name = NULL },
};

const struct provider *providers(void)
{
	return table;
}

const struct provider *provider_find(struct text name)
{
	for (const struct provider *p = table; p->name; p++)
		if (text_eq(name, text_from(p->name)))
			return p;
	return NULL;
}

/* ---------------------------------------------------------------- regions */

static bool is_region(struct text t)
{
	size_t hyphens = 0;

	for (size_t i = 0; i < t.len; i++) {
		if (!ascii_is_digit(t.at[i]) && t.at[i] != '-' && (t.at[i] < 'a' || t.at[i] > 'z'))
			return false;
		hyphens += t.at[i] == '-';
	}
	return t.len > 3 && t.len <= 32 && t.at[0] != '-' && ascii_is_digit(t.at[t.len - 1]) && hyphens >= 2;
}

/* Only China's regions are under another domain (docs.amazonaws.cn, "Endpoints"). */
static void add_host(const struct provider *p, struct text region, struct buf *out)
{
	struct text rest = text_from(p->host), before = text_cut(&rest, '%');
	struct text port = rest, domain = text_cut(&port, ':');

	buf_add_format(out, "%.*s%.*s%.*s%s:%.*s", TEXT_ARGS(before), TEXT_ARGS(region), TEXT_ARGS(domain),
	               text_starts(region, TEXT("cn-")) ? ".cn" : "", TEXT_ARGS(port));
}

static void refuse_region(struct load *load, const struct provider *p, const struct spot *spot)
{
	AUTO(buf_fini) struct buf expected = BUF(200);

	for (const struct provider_region *r = p->regions; r && r->name; r++)
		buf_add_format(&expected, "%s%s", r == p->regions ? "" : " or ", r->name);
	if (p->any_region)
		buf_add_format(&expected, "a region such as %s", p->any_region);
	load_expected(load, load_error(load, spot, "provider %s has no such region", p->name), "%.*s",
	              TEXT_ARGS(buf_text(&expected)));
}

/* The host for a region that was written. False: there is none, and an error was added. */
static bool host_of_region(struct load *load, const struct provider *p, const struct node *written,
                           struct buf *out)
{
	struct text region;

	if (!expand(load, written, false, &region))
		return false;
	if (p->any_region && is_region(region)) {
		add_host(p, region, out);
		return true;
	}
	for (const struct provider_region *r = p->regions; r && r->name; r++) {
		if (!text_eq(region, text_from(r->name)))
			continue;
		buf_add_string(out, r->host);
		return true;
	}
	if (p->any_region || p->regions)
		refuse_region(load, p, &written->spot);
	else
		load_hint(load, load_error(load, &written->spot, "provider %s has no regions", p->name),
		          "remove it; another host is written in hosts:");
	return false;
}

/* ---------------------------------------------------------------- into the tree */

struct applying {
	struct load *load;
	const struct provider *provider;
	struct node *upstream;
	struct spot spot; /* of what the preset says */
};

static void add(struct applying *a, const char *key, struct text value)
{
	struct text kept = TEXT_EMPTY;

	if (node_find(a->upstream, text_from(key)))
		return;
	if (arena_text(&a->load->scratch, value, &kept)) {
		a->load->nomem = true;
		return;
	}
	node_add(a->load, a->upstream, text_from(key), a->spot, node_new_scalar(a->load, a->spot, kept));
}

/* Without hosts a region decides, and an error in it is told once. */
static void add_hosts(struct applying *a)
{
	const struct provider *p = a->provider;
	struct entry *region = node_find(a->upstream, TEXT("region"));
	AUTO(buf_fini) struct buf host = BUF(300);

	if (node_find(a->upstream, TEXT("hosts")))
		return;
	if (region && region->value->kind == NODE_SCALAR && !node_is_nothing(region->value))
		region->value->broken |= !host_of_region(a->load, p, region->value, &host);
	else if (!p->any_region)
		buf_add_string(&host, p->regions ? p->regions[0].host : p->host);
	if (buf_err(&host))
		a->load->nomem = true;
	else if (host.len)
		add(a, "hosts", buf_text(&host));
}

static void apply(struct load *load, struct node *upstream)
{
	struct applying a = { .load = load, .upstream = upstream };
	struct entry *entry = node_find(upstream, TEXT("provider"));
	AUTO(buf_fini) struct buf name = BUF(200);
	struct text written;

	if (!entry || entry->value->kind != NODE_SCALAR || entry->value->broken)
		return;
	if (!expand(load, entry->value, false, &written)) {
		entry->value->broken = true;
		return;
	}
	a.provider = provider_find(written);
	if (!a.provider)
		return; /* refused when it is bound */
	buf_add_format(&name, "provider %s", a.provider->name);
	a.spot = (struct spot){ .source = load_source_new(load, SOURCE_DEFAULT, buf_text(&name), TEXT_EMPTY),
		                .line = 1 };
	if (!a.spot.source)
		return;
	add_hosts(&a);
	for (const struct preset *preset = a.provider->presets; preset->key; preset++)
		add(&a, preset->key, text_from(preset->value));
}

void providers_apply(struct load *load, struct node *root)
{
	const struct entry *upstreams = node_find(root, TEXT("upstreams"));

	if (!upstreams || upstreams->value->kind != NODE_TABLE)
		return;
	for (const struct entry *entry = upstreams->value->first; entry && !load->nomem; entry = entry->next)
		if (entry->value->kind == NODE_TABLE)
			apply(load, entry->value);
}
