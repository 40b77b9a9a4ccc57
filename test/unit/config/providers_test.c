#include "unit/config/world.h"

#include <stdio.h>
#include <stdlib.h>

#include "providers.h"
#include "schema.h"

static const struct config_upstream *load_upstream(struct world *w, const char *yaml)
{
	if (world_load_text(w, yaml))
		fail_msg("%s: %.*s", yaml, TEXT_ARGS(buf_text(&w->said)));
	return &w->config->upstreams.items[0];
}

/* What is the same for everybody, and the login that the user has to give. */
static const struct {
	const char *yaml; /* in the upstream */
	const char *host;
	enum config_mechanism mechanism;
	const char *username; /* of the login */
	uint64_t recipients, connections;
	uint64_t rate, window_ms; /* the first rate */
} presets[] = {
	{ "provider: ses, region: eu-central-1, username: u, password: p",
	  "email-smtp.eu-central-1.amazonaws.com", CONFIG_MECHANISM_PLAIN, "u", 50, 20, 0, 0 },
	{ "provider: ses, region: cn-north-1, username: u, password: p",
	  "email-smtp.cn-north-1.amazonaws.com.cn", CONFIG_MECHANISM_PLAIN, "u", 50, 20, 0, 0 },
	{ "provider: sendgrid, password: p", "smtp.sendgrid.net", CONFIG_MECHANISM_PLAIN, "apikey", 100, 20,
	  0, 0 },
	{ "provider: mailgun, username: u, password: p", "smtp.mailgun.org", CONFIG_MECHANISM_PLAIN, "u", 100,
	  20, 0, 0 },
	{ "provider: mailgun, region: eu, username: u, password: p", "smtp.eu.mailgun.org",
	  CONFIG_MECHANISM_PLAIN, "u", 100, 20, 0, 0 },
	{ "provider: postmark, password: p", "smtp.postmarkapp.com", CONFIG_MECHANISM_PLAIN, "p", 50, 20, 0,
	  0 },
	{ "provider: postmark, username: u, password: p", "smtp.postmarkapp.com", CONFIG_MECHANISM_PLAIN, "u",
	  50, 20, 0, 0 },
	{ "provider: gmail, username: u, password: p", "smtp.gmail.com", CONFIG_MECHANISM_AUTO, "u", 100, 3,
	  500, DAY_MS },
	{ "provider: workspace", "smtp-relay.gmail.com", CONFIG_MECHANISM_AUTO, NULL, 100, 20, 0, 0 },
	{ "provider: workspace, username: u, password: p", "smtp-relay.gmail.com", CONFIG_MECHANISM_AUTO, "u",
	  100, 20, 0, 0 },
	{ "provider: office365, username: u, oauth2: {token_command: x}", "smtp.office365.com",
	  CONFIG_MECHANISM_AUTO, "u", 100, 3, 30, MINUTE_MS },
	{ "provider: mailjet, username: u, password: p", "in-v3.mailjet.com", CONFIG_MECHANISM_PLAIN, "u", 50,
	  20, 0, 0 },
	{ "provider: brevo, username: u, password: p", "smtp-relay.brevo.com", CONFIG_MECHANISM_PLAIN, "u",
	  100, 20, 0, 0 },
};

static void a_provider_needs_no_more_than_a_login(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(presets); i++) {
		AUTO(buf_fini) struct buf yaml = BUF(1000);
		struct world w;

		buf_add_format(&yaml, "upstreams: {a: {%s}}", presets[i].yaml);
		buf_add_octet(&yaml, '\0');
		const struct config_upstream *u = load_upstream(&w, yaml.at);
		const struct config_login *login = w.config->ways.items[0].login;

		CHECK_INT(presets[i].yaml, u->hosts.count, 1);
		CHECK_TEXT(presets[i].yaml, u->hosts.items[0].host, text_from(presets[i].host));
		CHECK_INT(presets[i].yaml, u->hosts.items[0].port, 587);
		CHECK_INT(presets[i].yaml, u->tls, CONFIG_TLS_REQUIRE);
		CHECK_INT(presets[i].yaml, u->login.mechanism, presets[i].mechanism);
		CHECK(presets[i].yaml, !login == !presets[i].username);
		if (login)
			CHECK_TEXT(presets[i].yaml, login->username, text_from(presets[i].username));
		CHECK_INT(presets[i].yaml, u->pace.recipients_per_message, presets[i].recipients);
		CHECK_INT(presets[i].yaml, u->pace.connections, presets[i].connections);
		CHECK_INT(presets[i].yaml, u->pace.rate.count > 0, presets[i].rate > 0);
		if (u->pace.rate.count) {
			CHECK_INT(presets[i].yaml, u->pace.rate.items[0].count, presets[i].rate);
			CHECK_INT(presets[i].yaml, u->pace.rate.items[0].window_ms,
			          (int64_t)presets[i].window_ms);
		}
		CHECK_INT(presets[i].yaml, w.report.warning_count, 0);
		world_fini(&w);
	}
}

static void what_the_user_writes_wins(void **state)
{
	struct world w;
	const struct config_upstream *u = load_upstream(
		&w, "limits: {any: {connections: 7, recipients_per_message: 7}}\n"
		    "upstreams: {a: {provider: gmail, hosts: [a.example:465], tls: implicit, rate: 2000/d, "
		    "username: u, password: p, auth: login}}\n");

	(void)state;
	CHECK_TEXT("host", u->hosts.items[0].text, TEXT("a.example:465"));
	assert_int_equal(u->tls, CONFIG_TLS_IMPLICIT);
	assert_int_equal(u->login.mechanism, CONFIG_MECHANISM_LOGIN);
	assert_int_equal(u->pace.rate.items[0].count, 2000);
	/* and the preset before what is for all */
	assert_int_equal(u->pace.connections, 3);
	assert_int_equal(u->pace.recipients_per_message, 100);
	world_fini(&w);
}

static void the_provider_is_named_as_the_origin(void **state)
{
	AUTO(buf_fini) struct buf shown = BUF(1u << 20);
	struct world w;

	(void)state;
	load_upstream(&w, "upstreams: {a: {provider: sendgrid, password: p}}\n");
	config_print(w.config, true, &shown);
	struct text line = text_skip(buf_text(&shown),
	                             text_find(buf_text(&shown), TEXT("    hosts: [smtp.sendgrid.net:587]")));

	line = text_cut(&line, '\n');
	assert_true(text_ends(line, TEXT("  # provider sendgrid")));
	world_fini(&w);
}

static const struct {
	const char *yaml;
	const char *said; /* the first error */
	const char *expected;
	const char *hint;
} bad[] = {
	{ "{provider: sendgrit, password: p}", "provider cannot be \"sendgrit\"",
	  "ses, sendgrid, mailgun, postmark, gmail, workspace, office365, mailjet or brevo",
	  "did you mean \"sendgrid\"?" },
	{ "{provider: acme}", "provider cannot be \"acme\"",
	  "ses, sendgrid, mailgun, postmark, gmail, workspace, office365, mailjet or brevo",
	  "any other is written with hosts:, username: and password_file:" },
	{ "{provider: ses, username: u, password: p}", "provider ses needs a region", "region: eu-central-1",
	  "" },
	{ "{provider: ses, region: frankfurt, username: u, password: p}", "provider ses has no such region",
	  "a region such as eu-central-1", "" },
	{ "{provider: ses, region: eu-x.evil.example/-1, username: u, password: p}",
	  "provider ses has no such region", "a region such as eu-central-1", "" },
	{ "{provider: mailgun, region: eu-central-1, username: u, password: p}",
	  "provider mailgun has no such region", "us or eu", "" },
	{ "{provider: sendgrid, region: eu, password: p}", "provider sendgrid has no regions", "",
	  "remove it; another host is written in hosts:" },
	{ "{hosts: a.example:587, region: eu}", "a region belongs to a provider", "provider:", "" },
	{ "{provider: sendgrid}", "provider sendgrid needs a password",
	  "password_file: with an API key with the permission to send mail", "" },
	{ "{provider: ses, region: eu-west-1, password: p}", "provider ses needs a username",
	  "username: the user name of SMTP credentials, which are not those of the AWS API", "" },
	{ "{provider: gmail, username: u}", "provider gmail needs a password",
	  "password_file: with an app password, which wants 2-Step Verification; or oauth2:", "" },
	{ "{provider: workspace, username: u}", "provider workspace needs a password",
	  "password_file: with an app password of that user", "" },
	{ "{provider: '${env:NOT_THERE}'}", "there is no environment variable NOT_THERE", "",
	  "set it, or write the value here" },
	{ "{provider: [ses]}", "provider is one value, not a list",
	  "ses, sendgrid, mailgun, postmark, gmail, workspace, office365, mailjet or brevo", "" },
	{ "{provider: sendgrid, hosts: [], password: p}", "this upstream has no hosts",
	  "hosts: [mx1.corp.example:25]", "" },
};

static void what_is_missing_is_said_in_the_providers_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO(buf_fini) struct buf yaml = BUF(1000);
		struct world w;

		buf_add_format(&yaml, "upstreams: {a: %s}", bad[i].yaml);
		buf_add_octet(&yaml, '\0');
		CHECK_INT(bad[i].yaml, world_load_text(&w, yaml.at), ERR_CONFIG);
		assert_true(w.report.count > 0);
		CHECK_INT(bad[i].yaml, w.report.error_count, 1);
		CHECK_TEXT(bad[i].yaml, w.report.findings[0].message, text_from(bad[i].said));
		CHECK_TEXT(bad[i].yaml, w.report.findings[0].expected, text_from(bad[i].expected));
		CHECK_TEXT(bad[i].yaml, w.report.findings[0].hint, text_from(bad[i].hint));
		world_fini(&w);
	}
}

static void no_login_is_needed_where_every_route_has_its_own(void **state)
{
	struct world w;

	(void)state;
	load_upstream(&w, "upstreams: {a: {provider: sendgrid}}\n"
	                  "routes: [{from: x.example, via: a, username: apikey, password: p}, "
	                  "{via: a, username: apikey, password: q}]\n");
	assert_int_equal(w.config->ways.count, 2);
	CHECK_TEXT("one", w.config->ways.items[0].login->secret, TEXT("p"));
	CHECK_TEXT("two", w.config->ways.items[1].login->secret, TEXT("q"));
	world_fini(&w);
}

/* Postmark's token is the user name too: nobody may see it. */
static void a_token_that_is_a_name_is_not_shown(void **state)
{
	static const char *const written[] = {
		"upstreams: {a: {provider: postmark, password: swordfish}}\n",
		"upstreams: {a: {provider: postmark, username: swordfish, password: swordfish}}\n",
		"upstreams: {a: {hosts: [smtp.postmarkapp.com:587], username: swordfish, password: swordfish}}\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(written); i++) {
		AUTO(buf_fini) struct buf shown = BUF(1u << 20);
		struct world w;

		load_upstream(&w, written[i]);
		CHECK_TEXT("name", w.config->ways.items[0].login->username, TEXT("swordfish"));
		CHECK_TEXT("shown", w.config->ways.items[0].login->shown_name, TEXT_EMPTY);
		config_print(w.config, true, &shown);
		CHECK(written[i], text_find(buf_text(&shown), TEXT("swordfish")) == shown.len);
		world_fini(&w);
	}
}

static void every_provider_is_in_the_schema_and_in_the_words_for_people(void **state)
{
	unsigned count = 0;

	(void)state;
	for (const struct provider *p = providers(); p->name; p++, count++) {
		AUTO(buf_fini) struct buf quoted = BUF(100);

		buf_add_format(&quoted, "\"%s\"", p->name);
		CHECK(p->name, text_find(text_from(type_provider.json), buf_text(&quoted)) <
		                       strlen(type_provider.json));
		CHECK(p->name, text_find(text_from(type_provider.expected), text_from(p->name)) <
		                       strlen(type_provider.expected));
		CHECK(p->name,
		      p->title && p->host && p->password && text_find_octet(text_from(p->host), ':') > 0);
		for (const struct preset *preset = p->presets; preset->key; preset++)
			CHECK(preset->key, schema_find(&schema, TEXT("upstreams")) != NULL &&
			                           schema_find(schema_find(&schema, TEXT("upstreams"))->table,
			                                       text_from(preset->key)) != NULL);
	}
	assert_int_equal(count, 9);
}

/* What the manual says of a provider is what the table says. */
static void the_manual_has_every_provider(void **state)
{
	AUTO(buf_fini) struct buf page = BUF(4u << 20);
	AUTO(buf_fini) struct buf path = BUF(4000);
	const char *source = getenv("POSTRIDER_SOURCE_DIR");
	char octets[4096];
	size_t got;

	(void)state;
	assert_non_null(source);
	buf_add_format(&path, "%s/docs/operations.md", source);
	buf_add_octet(&path, '\0');
	FILE *file = fopen(path.at, "rb");

	assert_non_null(file);
	while ((got = fread(octets, 1, sizeof(octets), file)) > 0)
		buf_add(&page, text_of(octets, got));
	fclose(file);
	for (const struct provider *p = providers(); p->name; p++) {
		AUTO(buf_fini) struct buf row = BUF(1000);
		struct text rest, host = text_from(p->host);

		buf_add_format(&row, "| `%s` |", p->name);
		rest = text_skip(buf_text(&page), text_find(buf_text(&page), buf_text(&row)));
		rest = text_cut(&rest, '\n');
		host = text_cut(&host, ':');
		if (!p->any_region)
			CHECK(p->name, text_find(rest, host) < rest.len);
		for (const struct preset *preset = p->presets; preset->key; preset++)
			if (text_eq(text_from(preset->key), TEXT("recipients_per_message")) ||
			    text_eq(text_from(preset->key), TEXT("username")))
				CHECK(p->name, text_find(rest, text_from(preset->value)) < rest.len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_provider_needs_no_more_than_a_login),
		cmocka_unit_test(what_the_user_writes_wins),
		cmocka_unit_test(the_provider_is_named_as_the_origin),
		cmocka_unit_test(what_is_missing_is_said_in_the_providers_words),
		cmocka_unit_test(no_login_is_needed_where_every_route_has_its_own),
		cmocka_unit_test(a_token_that_is_a_name_is_not_shown),
		cmocka_unit_test(the_manual_has_every_provider),
		cmocka_unit_test(every_provider_is_in_the_schema_and_in_the_words_for_people),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
