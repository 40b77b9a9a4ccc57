/* The table. A key without `since` is known and refused: "not built yet". */
#include <postrider/base/auto.h>

#include "schema_rows.h"

/* ---------------------------------------------------------------- words */

static const struct choice sandbox[] = { { "auto", CONFIG_SANDBOX_AUTO, false },
	                                 { "require", CONFIG_SANDBOX_REQUIRE, false },
	                                 { "off", CONFIG_SANDBOX_OFF, false },
	                                 { NULL, 0, false } };
static const struct choice trust_ad[] = { { "auto", CONFIG_TRUST_AUTO, false },
	                                  { "yes", CONFIG_TRUST_YES, false },
	                                  { "no", CONFIG_TRUST_NO, false },
	                                  { NULL, 0, false } };
static const struct choice include[] = { { "headers", CONFIG_INCLUDE_HEADERS, false },
	                                 { "full", CONFIG_INCLUDE_FULL, false },
	                                 { "none", CONFIG_INCLUDE_NONE, false },
	                                 { NULL, 0, false } };
static const struct choice log_format[] = { { "json", CONFIG_LOG_JSON, false },
	                                    { "text", CONFIG_LOG_TEXT, true },
	                                    { "postfix", CONFIG_LOG_POSTFIX, true },
	                                    { NULL, 0, false } };
static const struct choice log_level[] = { { "error", CONFIG_LOG_ERROR, false },
	                                   { "warn", CONFIG_LOG_WARN, false },
	                                   { "info", CONFIG_LOG_INFO, false },
	                                   { "debug", CONFIG_LOG_DEBUG, false },
	                                   { NULL, 0, false } };

/* ---------------------------------------------------------------- tables, the inner ones first */

#define SPOOL(member) offsetof(struct config_spool, member)
static const struct key spool_keys[] = {
	{ .name = "path",
	  .shape = SCALAR,
	  .type = &type_path,
	  .offset = SPOOL(path),
	  .standard = "/var/lib/postrider",
	  .variable = "SPOOL",
	  .since = FIRST,
	  .doc = "the one directory with all state; put it on a volume that outlives the container" },
	{ .name = "max_size",
	  .shape = SCALAR,
	  .type = &type_size,
	  .offset = SPOOL(max_size_bytes),
	  .standard = "20GB",
	  .min = 16 << 20,
	  .max = UINT64_C(1) << 46,
	  .since = FIRST,
	  .doc = "new mail is answered 452 4.3.1 above it" },
	{ .name = "reserve",
	  .shape = SCALAR,
	  .type = &type_share,
	  .offset = SPOOL(reserve_hundredths),
	  .standard = "5%",
	  .min = 0,
	  .max = 5000,
	  .since = FIRST,
	  .doc = "share of max_size that is kept so that what was accepted can be finished" },
	{ .name = "max_messages",
	  .shape = SCALAR,
	  .type = &type_number,
	  .offset = SPOOL(max_messages),
	  .standard = "0",
	  .min = 0,
	  .max = UINT64_C(1) << 40,
	  .since = FIRST,
	  .doc = "that wait at a time; above it new mail is answered 452 4.3.1; 0: no limit" },
	{ .name = "durable",
	  .shape = SCALAR,
	  .type = &type_bool,
	  .offset = SPOOL(durable),
	  .standard = "true",
	  .since = FIRST,
	  .doc = "false: nothing is synced, and a power cut may lose mail; said at every start" },
	END
};
static const struct table spool = { .name = "spool", .keys = spool_keys, .doc = "Where mail waits." };

#define DNS(member) offsetof(struct config_dns, member)
static const struct key dns_keys[] = {
	{ .name = "servers",
	  .shape = LIST,
	  .type = &type_dns_server,
	  .offset = DNS(servers),
	  .standard_doc = "those of /etc/resolv.conf",
	  .since = FIRST,
	  .example = "[127.0.0.53, \"[::1]:5353\"]",
	  .doc = "which servers to ask; /etc/resolv.conf is read again when it changes" },
	{ .name = "timeout",
	  .shape = SCALAR,
	  .type = &type_duration,
	  .offset = DNS(timeout_ms),
	  .standard = "5s",
	  .min = 10,
	  .max = MINUTE_MS,
	  .since = FIRST,
	  .doc = "for one answer; then the next server is asked. What comes later counts, up to three times as long" },
	{ .name = "hosts",
	  .shape = PAIRS,
	  .pairs = &pairs_hosts,
	  .offset = DNS(hosts),
	  .since = FIRST,
	  .example = "{mail.internal.example: [127.0.0.7]}",
	  .doc = "static answers, by name; /etc/hosts counts too" },
	{ .name = "trust_ad",
	  .shape = SCALAR,
	  .type = &type_choice,
	  .choices = trust_ad,
	  .offset = DNS(trust_ad),
	  .standard = "auto",
	  .since = FIRST,
	  .doc = "whose word counts that an answer is proved by DNSSEC: auto takes that of servers on loopback, yes that of all, no that of none" },
	END
};
static const struct table dns = { .name = "dns", .keys = dns_keys, .doc = "How names are looked up." };

#define BOUNCE(member) offsetof(struct config_bounce, member)
static const struct key bounce_keys[] = {
	{ .name = "from",
	  .shape = SCALAR,
	  .type = &type_mailbox,
	  .offset = BOUNCE(from),
	  .standard = "postmaster",
	  .since = FIRST,
	  .doc = "the From of reports (their reverse-path is null); without a domain, at `hostname`" },
	{ .name = "include",
	  .shape = SCALAR,
	  .type = &type_choice,
	  .choices = include,
	  .offset = BOUNCE(include),
	  .standard = "headers",
	  .since = FIRST,
	  .doc = "how much of the returned message is in the report" },
	{ .name = "max_size",
	  .shape = SCALAR,
	  .type = &type_size,
	  .offset = BOUNCE(max_size_bytes),
	  .standard = "50KB",
	  .min = 1000,
	  .max = 10 << 20,
	  .since = FIRST,
	  .doc = "of what is returned; the rest is cut" },
	{ .name = "copy_to",
	  .shape = LIST,
	  .type = &type_mailbox,
	  .offset = BOUNCE(copy_to),
	  .since = FIRST,
	  .example = "[postmaster@example.com]",
	  .doc = "who gets a copy of each report that mail failed" },
	END
};
static const struct table bounce = { .name = "bounce",
	                             .keys = bounce_keys,
	                             .doc = "Reports on mail that cannot be delivered." };

static const struct key rewrite_keys[] = {
	{ .name = "recipients",
	  .shape = PAIRS,
	  .pairs = &pairs_rewrites,
	  .offset = offsetof(struct config_rewrite, recipients),
	  .since = FIRST,
	  .example =
	          "{postmaster: ops@example.com, ann@old.example: ann@new.example, old.example: new.example}",
	  .doc = "forward-paths, by pattern: to an address, or to a domain (the local part stays). The most specific pattern wins, and "
	         "the result is not rewritten again" },
	LATER("masquerade", "senders' subdomains"),
	LATER("add_missing", "header fields"),
	LATER("remove_headers", "header fields"),
	LATER("senders", "reverse-paths"),
	LATER_VARIABLE("redirect_to", "REDIRECT_TO", "all mail to one address"),
	END
};
static const struct table rewrite = { .name = "rewrite",
	                              .keys = rewrite_keys,
	                              .doc = "Addresses that become others." };

#define LOG(member) offsetof(struct config_log, member)
static const struct key log_keys[] = { { .name = "format",
	                                 .shape = SCALAR,
	                                 .type = &type_choice,
	                                 .choices = log_format,
	                                 .offset = LOG(format),
	                                 .standard = "json",
	                                 .variable = "LOG_FORMAT",
	                                 .since = FIRST,
	                                 .doc = "one event a line on standard output" },
	                               { .name = "level",
	                                 .shape = SCALAR,
	                                 .type = &type_choice,
	                                 .choices = log_level,
	                                 .offset = LOG(level),
	                                 .standard = "info",
	                                 .variable = "LOG_LEVEL",
	                                 .since = FIRST,
	                                 .doc = "the least that is written" },
	                               { .name = "headers",
	                                 .shape = LIST,
	                                 .type = &type_header,
	                                 .offset = LOG(headers),
	                                 .since = FIRST,
	                                 .example = "[Subject]",
	                                 .doc = "header fields that are copied into events" },
	                               LATER_VARIABLE("privacy", "LOG_PRIVACY", "addresses masked or hashed"),
	                               END };
static const struct table log_table = { .name = "log", .keys = log_keys, .doc = "Events." };

static const struct key admin_keys[] = {
	{ .name = "socket",
	  .shape = SCALAR,
	  .type = &type_path,
	  .offset = offsetof(struct config_admin, socket),
	  .standard_doc =
	          "/run/postrider/admin.sock, or admin.sock in the spool directory where that is not ours",
	  .since = FIRST,
	  .example = "/run/postrider/admin.sock",
	  .doc = "the Unix socket that the commands talk to" },
	LATER_VARIABLE("listen", "ADMIN", "the page, over TCP"),
	LATER_VARIABLE("token", "ADMIN_TOKEN", "who may see the page"),
	LATER("token_file", "who may see the page"),
	LATER("api", "mail over HTTP"),
	END
};
static const struct table admin = { .name = "admin", .keys = admin_keys, .doc = "Control." };

#define STOP(member) offsetof(struct config_stop, member)
static const struct key stop_keys[] = {
	{ .name = "drain",
	  .shape = SCALAR,
	  .type = &type_duration,
	  .offset = STOP(drain_ms),
	  .standard = "0s",
	  .min = 0,
	  .max = DAY_MS,
	  .variable = "DRAIN",
	  .since = FIRST,
	  .doc = "how long delivery goes on at TERM before we stop; no new mail is taken meanwhile" },
	{ .name = "linger",
	  .shape = SCALAR,
	  .type = &type_duration,
	  .offset = STOP(linger_ms),
	  .standard = "5s",
	  .min = 0,
	  .max = HOUR_MS,
	  .since = FIRST,
	  .doc = "how long what is being transferred may take to finish" },
	END
};
static const struct table stop = { .name = "stop", .keys = stop_keys, .doc = "The end." };

static const struct key pickup_keys[] = {
	{ .name = "path",
	  .shape = SCALAR,
	  .type = &type_path,
	  .offset = offsetof(struct config_pickup, path),
	  .standard_doc = "none",
	  .since = FIRST,
	  .example = "/var/spool/postrider-pickup",
	  .doc = "a directory whose *.eml files are taken as messages" },
	{ .name = "interval",
	  .shape = SCALAR,
	  .type = &type_duration,
	  .offset = offsetof(struct config_pickup, interval_ms),
	  .standard = "1s",
	  .min = 100,
	  .max = DAY_MS,
	  .since = FIRST,
	  .doc = "how often it is looked through at least, and how long a file has to lie there unchanged" },
	END
};
static const struct table pickup = { .name = "pickup",
	                             .keys = pickup_keys,
	                             .doc = "Messages that programs leave as files." };

static const struct key drop_keys[] = {
	{ .name = "path",
	  .shape = SCALAR,
	  .type = &type_path,
	  .offset = offsetof(struct config_drop, path),
	  .standard_doc = "drop in the spool directory",
	  .since = FIRST,
	  .example = "/var/spool/postrider-drop",
	  .doc = "where `sendmail` leaves messages that it cannot hand over at once" },
	END
};
static const struct table drop = { .name = "drop",
	                           .keys = drop_keys,
	                           .doc = "Mail of local programs while the daemon is down." };

#define TOP(member) offsetof(struct config, member)
#define SUBTABLE(key_name, table_name, member, what)                                           \
	{                                                                                      \
		.name = key_name, .shape = TABLE, .table = &table_name, .offset = TOP(member), \
		.since = FIRST, .doc = what                                                    \
	}

static const struct key top_keys[] = {
	{ .name = "include",
	  .shape = LIST,
	  .type = &type_path,
	  .flags = KEY_FILES,
	  .since = FIRST,
	  .example = "[conf.d/*.yaml]",
	  .doc = "more files, read at this place; `*` in the last part of a path takes all that match, sorted" },
	{ .name = "hostname",
	  .shape = SCALAR,
	  .type = &type_hostname,
	  .offset = TOP(hostname),
	  .standard_doc = "the machine's full name",
	  .variable = "HOSTNAME",
	  .since = FIRST,
	  .example = "relay.app.example.com",
	  .doc = "in the greeting, EHLO, Received and Message-ID" },
	SUBTABLE("spool", spool, spool, "where mail waits"),
	SUBTABLE("dns", dns, dns, "how names are looked up"),
	{ .name = "listen",
	  .shape = TABLES,
	  .table = &schema_listen,
	  .offset = TOP(listen),
	  .min = 1,
	  .since = FIRST,
	  .standard_doc = "one listener with all its defaults",
	  .doc = "who may hand us mail" },
	SUBTABLE("access", schema_access, access, "what is taken"),
	{ .name = "upstreams",
	  .shape = NAMED,
	  .table = &schema_upstream,
	  .offset = TOP(upstreams),
	  .since = FIRST,
	  .doc = "how mail goes on" },
	{ .name = "routes",
	  .shape = TABLES,
	  .table = &schema_route,
	  .offset = TOP(routes),
	  .min = 1,
	  .since = FIRST,
	  .standard_doc =
	          "everything via the upstream `default`, or the only one; `direct` without upstreams",
	  .doc = "which way mail goes" },
	SUBTABLE("direct", schema_direct, direct, "delivery by MX"),
	{ .name = "limits",
	  .shape = NAMED,
	  .table = &schema_limit,
	  .offset = TOP(limits),
	  .any_offset = offsetof(struct config_limits, any),
	  .since = FIRST,
	  .doc = "what a destination is given" },
	SUBTABLE("retry", schema_retry, retry, "when an attempt failed for now"),
	{ .name = "rules",
	  .shape = TABLES,
	  .table = &schema_rule,
	  .offset = TOP(rules),
	  .since = FIRST,
	  .doc = "what to do on a peer's reply" },
	SUBTABLE("tls_reports", schema_tls_reports, tls_reports,
	         "reports on TLS to the domains that ask for them"),
	SUBTABLE("bounce", bounce, bounce, "reports"),
	SUBTABLE("rewrite", rewrite, rewrite, "addresses that become others"),
	SUBTABLE("log", log_table, log, "events"),
	SUBTABLE("admin", admin, admin, "control"),
	SUBTABLE("stop", stop, stop, "the end"),
	SUBTABLE("pickup", pickup, pickup, "messages as files in a directory"),
	SUBTABLE("drop", drop, drop, "where sendmail leaves messages"),
	{ .name = "user",
	  .shape = SCALAR,
	  .type = &type_text,
	  .offset = TOP(user),
	  .standard_doc = "whoever started us stays",
	  .since = FIRST,
	  .example = "postrider",
	  .doc = "who to become after binding, when started as root" },
	{ .name = "sandbox",
	  .shape = SCALAR,
	  .type = &type_choice,
	  .choices = sandbox,
	  .offset = TOP(sandbox),
	  .standard = "auto",
	  .since = FIRST,
	  .doc = "Landlock and seccomp: auto takes what the kernel has and says so, require refuses to start without" },
	LATER("dkim", "signatures"),
	LATER("aliases_file", "a file of aliases"),
	LATER("milters", "filters"),
	LATER("history", "how long finished messages can be looked up"),
	LATER("webhooks", "events pushed out"),
	END
};

const struct table schema = { .name = "", .keys = top_keys, .size = sizeof(struct config) };

/* ---------------------------------------------------------------- reading it */

const struct key *schema_find(const struct table *table, struct text name)
{
	for (const struct key *key = table->keys; key->name; key++)
		if (text_eq(name, text_from(key->name)))
			return key;
	return NULL;
}

static void visit_table(const struct table *table, struct buf *path, schema_visit_fn *visit, void *owner)
{
	size_t before = path->len;

	for (const struct key *key = table->keys; key->name; key++) {
		if (before)
			buf_add_octet(path, '.');
		buf_add_string(path, key->name);
		if (key->shape == TABLES)
			buf_add_string(path, "[]");
		if (key->shape == NAMED)
			buf_add_string(path, ".NAME");
		visit(owner, key, buf_text(path));
		if (key->table)
			visit_table(key->table, path, visit, owner);
		buf_cut(path, before);
	}
}

void schema_visit(const struct table *table, schema_visit_fn *visit, void *owner)
{
	AUTO(buf_fini) struct buf path = BUF(500);

	visit_table(table, &path, visit, owner);
}

static const char *word(const struct choice *choices, unsigned value)
{
	for (const struct choice *c = choices; c->name; c++)
		if (c->value == value)
			return c->name;
	return "unknown";
}

const char *config_via_name(enum config_via via)
{
	static const char *const names[] = { [CONFIG_VIA_UPSTREAM] = "upstream",
		                             [CONFIG_VIA_DIRECT] = "direct",
		                             [CONFIG_VIA_DISCARD] = "discard",
		                             [CONFIG_VIA_HOLD] = "hold",
		                             [CONFIG_VIA_REJECT] = "reject" };

	return names[via];
}

const char *config_log_level_name(enum config_log_level level)
{
	return word(log_level, level);
}
