#include "unit/config/world.h"

/* --set on top of a file, and a line of `config`; or the message when it is refused. */
static const char file[] = "listen:\n"
			   "  - {name: apps, address: 127.0.0.1:2525}\n"
			   "  - {name: web, address: 127.0.0.1:2526}\n"
			   "upstreams:\n"
			   "  a.b: {hosts: [a.example:25]}\n"
			   "  tls: {hosts: [b.example:25]}\n"
			   "routes: [{to: a.example, via: a.b}, {via: tls}]\n"
			   "limits: {gmail.com: {connections: 10}}\n";

static const struct {
	const char *name;
	const char *set;
	const char *line;
	const char *wrong;
} sets[] = {
	{ "a key of a table", "spool.path=/x", "  path: /x\n", NULL },
	{ "a key at the top", "hostname=a.example", "hostname: a.example\n", NULL },
	{ "an item by number", "listen[1].max_errors=9", "    max_errors: 9\n", NULL },
	{ "an item by a number as a step", "listen.1.max_errors=9", "    max_errors: 9\n", NULL },
	{ "an item by name", "listen.web.max_errors=9", "    max_errors: 9\n", NULL },
	{ "a new item", "listen[2].address=127.0.0.1:99", "  - name: 127.0.0.1:99\n", NULL },
	{ "a new item by name", "listen.more.address=127.0.0.1:99", "  - name: more\n", NULL },
	{ "a name with a dot", "upstreams.a.b.tls=none", "    tls: none\n", NULL },
	{ "a name that is also a key", "upstreams.tls.tls=none", "    tls: none\n", NULL },
	{ "a domain", "limits.gmail.com.connections=3", "    connections: 3\n", NULL },
	{ "a new domain", "limits.mail.example.org.connections=3", "  mail.example.org:\n", NULL },
	{ "an address with dots", "rewrite.recipients.ann.b@old.example.com=c@d.example",
	  "    ann.b@old.example.com: c@d.example\n", NULL },
	{ "a host", "dns.hosts.mail.example=192.0.2.1", "    mail.example: [192.0.2.1]\n", NULL },
	{ "addresses of a host", "dns.hosts.mail.example=[192.0.2.1, 192.0.2.2]",
	  "    mail.example: [192.0.2.1, 192.0.2.2]\n", NULL },
	{ "a list", "listen.apps.allow=10.0.0.0/8,127.0.0.1", "    allow: [10.0.0.0/8, 127.0.0.1]\n", NULL },
	{ "an empty list", "listen.apps.accept_for=[]", "  - name: apps\n", NULL },
	{ "an equals sign in the value", "spool.path=/x=y", "  path: /x=y\n", NULL },
	{ "a value that looks like YAML's nothing", "spool.path=null", "  path: null\n", NULL },
	{ "no value", "spool.path=", NULL, "path is empty" },
	{ "no equals sign", "spool.path", NULL, "this sets nothing" },
	{ "nothing at all", "=x", NULL, "this sets nothing" },
	{ "a table", "spool=/x", NULL, "spool is not a single value" },
	{ "an unknown key", "spool.paht=/x", NULL, "unknown key \"paht\" in spool" },
	{ "an entry without a key", "listen.apps=/x", NULL, "this names a table, not a setting in it" },
	{ "a hole in a list", "listen[7].name=x", NULL, "there is no \"7\" in listen" },
	{ "a route by name", "routes.x.via=hold", NULL, "there is no \"x\" in routes" },
	{ "a bracket that is not closed", "listen[1.name=x", NULL, "this sets nothing" },
	{ "a wrong value", "spool.max_size=1", NULL, "max_size needs a unit: \"1\"" },
	{ "a later version", "milters=unix:/x", NULL, "\"milters\" is not built yet in this version" },
	{ "a list of tables", "rules=421", NULL, "rules is not a single value" },
	{ "a rule", "rules=[{reply: \"421\", do: suspend}]", "  - reply: 421\n", NULL },
	{ "a condition on a header field", "routes[1].header.X-Stream=bulk", "      X-Stream: bulk\n", NULL },
	{ "a provider", "upstreams.tls.provider=workspace", "    provider: workspace\n", NULL },
};

static void an_argument_sets_one_key(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		AUTO(buf_fini) struct buf shown = BUF(1u << 20);
		struct world w = { .files = { { "c.yaml", file } }, .sets = { sets[i].set } };
		enum err err = world_load(&w);
		bool good;

		if (!err)
			config_print(w.config, false, &shown);
		if (sets[i].line)
			good = !err && text_find(buf_text(&shown), text_from(sets[i].line)) < shown.len;
		else
			good = err == ERR_CONFIG && w.report.error_count == 1 &&
			       text_eq(w.report.findings[w.report.count - 1].message,
			               text_from(sets[i].wrong)) &&
			       text_starts(w.report.findings[w.report.count - 1].place.file, TEXT("--set "));
		if (!good)
			print_error("%s: %s\n%.*s%.*s", sets[i].name, sets[i].set,
			            TEXT_ARGS(buf_text(&w.said)), TEXT_ARGS(buf_text(&shown)));
		wrong += !good;
		world_fini(&w);
	}
	assert_int_equal(wrong, 0);
}

static void the_last_argument_wins(void **state)
{
	struct world w = { .sets = { "spool.path=/a", "spool.path=/b" } };

	(void)state;
	world_must_load(&w);
	assert_true(text_eq(w.config->spool.path, TEXT("/b")));
	world_fini(&w);
}

static void an_anchored_value_changes_in_one_place_only(void **state)
{
	struct world w = { .files = { { "c.yaml", "upstreams:\n"
		                                  "  a: &a {hosts: [a.example:25], tls: none}\n"
		                                  "  b: *a\n"
		                                  "routes: [{to: a.example, via: a}, {via: b}]\n" } },
		           .sets = { "upstreams.b.tls=require" } };

	(void)state;
	world_must_load(&w);
	assert_int_equal(w.config->upstreams.items[0].tls, CONFIG_TLS_NONE);
	assert_int_equal(w.config->upstreams.items[1].tls, CONFIG_TLS_REQUIRE);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_argument_sets_one_key),
		cmocka_unit_test(the_last_argument_wins),
		cmocka_unit_test(an_anchored_value_changes_in_one_place_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
