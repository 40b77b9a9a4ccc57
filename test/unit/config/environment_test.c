#include "unit/config/world.h"

static bool shows(const struct world *w, bool origins, const char *line)
{
	AUTO(buf_fini) struct buf shown = BUF(1u << 20);

	config_print(w->config, origins, &shown);
	return text_find(buf_text(&shown), text_from(line)) < shown.len;
}

/* Variables that are good, and a line of `config` that shows it. */
static const struct {
	const char *name;
	const char *environment[4];
	const char *line;
} good[] = {
	{ "a URL", { "POSTRIDER_UPSTREAM=smtp://mx.example:2587" }, "    hosts: [mx.example:2587]\n" },
	{ "a URL demands STARTTLS", { "POSTRIDER_UPSTREAM=smtp://mx.example:2587" }, "    tls: require\n" },
	{ "a URL without a port",
	  { "POSTRIDER_UPSTREAM=smtp://mx.example" },
	  "    hosts: [mx.example:587]\n" },
	{ "a URL with a slash",
	  { "POSTRIDER_UPSTREAM=smtp://mx.example:25/" },
	  "    hosts: [mx.example:25]\n" },
	{ "a URL without TLS", { "POSTRIDER_UPSTREAM=smtp+plain://mailhog:1025" }, "    tls: none\n" },
	{ "a URL without TLS or port",
	  { "POSTRIDER_UPSTREAM=smtp+plain://mailhog" },
	  "    hosts: [mailhog:25]\n" },
	{ "a URL of IPv6",
	  { "POSTRIDER_UPSTREAM=smtp://[2001:db8::1]:25" },
	  "    hosts: [\"[2001:db8::1]:25\"]\n" },
	{ "a URL of IPv6 without a port",
	  { "POSTRIDER_UPSTREAM=smtp://[2001:db8::1]" },
	  "    hosts: [\"[2001:db8::1]:587\"]\n" },
	{ "all mail takes it", { "POSTRIDER_UPSTREAM=smtp://mx.example" }, "    via: default\n" },
	{ "TLS of the URL changed",
	  { "POSTRIDER_TLS=opportunistic", "POSTRIDER_UPSTREAM=smtp://mx.example" },
	  "    tls: opportunistic\n" },
	{ "a host", { "POSTRIDER_UPSTREAM_HOST=mx.example" }, "    hosts: [mx.example:587]\n" },
	{ "a host and a port",
	  { "POSTRIDER_UPSTREAM_PORT=26", "POSTRIDER_UPSTREAM_HOST=mx.example" },
	  "    hosts: [mx.example:26]\n" },
	{ "a host of IPv6",
	  { "POSTRIDER_UPSTREAM_HOST=2001:db8::1" },
	  "    hosts: [\"[2001:db8::1]:587\"]\n" },
	{ "a listener", { "POSTRIDER_LISTEN=[::1]:25" }, "    address: \"[::1]:25\"\n" },
	{ "networks", { "POSTRIDER_ALLOW=10.0.0.0/8, ::1" }, "    allow: [10.0.0.0/8, \"::1\"]\n" },
	{ "senders as YAML",
	  { "POSTRIDER_SENDERS=[example.com, .example.com]" },
	  "  senders: [example.com, .example.com]\n" },
	{ "a long name", { "POSTRIDER__SPOOL__MAX_SIZE=2GB" }, "  max_size: 2GB\n" },
	{ "a long name of a listener by number",
	  { "POSTRIDER__LISTEN__0__MAX_ERRORS=7" },
	  "    max_errors: 7\n" },
	{ "a new listener by name", { "POSTRIDER__LISTEN__APPS__ADDRESS=127.0.0.1:99" }, "  - name: apps\n" },
	{ "a new upstream",
	  { "POSTRIDER__UPSTREAMS__SES__HOSTS=a.example:25,b.example:25" },
	  "    hosts: [a.example:25, b.example:25]\n" },
	{ "a new upstream's name", { "POSTRIDER__UPSTREAMS__SES__HOSTS=a.example:25" }, "  ses:\n" },
	{ "a whole table",
	  { "POSTRIDER__REWRITE__RECIPIENTS={postmaster: ops@example.com}" },
	  "    postmaster: ops@example.com\n" },
	{ "routes",
	  { "POSTRIDER__ROUTES=[{to: a.example, via: hold}, {via: direct}]" },
	  "  - to: [a.example]\n" },
	{ "an empty variable",
	  { "POSTRIDER_SPOOL=", "POSTRIDER_NONSENSE=" },
	  "  path: /var/lib/postrider\n" },
	{ "what an orchestrator sets",
	  { "POSTRIDER_PORT=tcp://10.0.0.1:25", "POSTRIDER_SERVICE_HOST=10.0.0.1" },
	  "  path: /var/lib/postrider\n" },
	{ "the variables of others",
	  { "POSTRIDERS=1", "PATH=/bin", "nonsense" },
	  "  path: /var/lib/postrider\n" },
};

static void a_good_variable_sets_its_key(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct world w = { .config = NULL };

		memcpy(w.environment, good[i].environment, sizeof(good[i].environment));
		if (world_load(&w))
			fail_msg("%s: %.*s", good[i].name, TEXT_ARGS(buf_text(&w.said)));
		CHECK(good[i].name, shows(&w, false, good[i].line));
		world_fini(&w);
	}
}

static const struct {
	const char *name;
	const char *environment[4];
	const char *said;
} bad[] = {
	{ "an unknown variable",
	  { "POSTRIDER_UPSTREM=smtp://mx.example" },
	  "POSTRIDER_UPSTREM: error: unknown variable POSTRIDER_UPSTREM\n"
	  "      | POSTRIDER_UPSTREM=smtp://mx.example\n"
	  "      | ^^^^^^^^^^^^^^^^^\n"
	  "  hint: did you mean POSTRIDER_UPSTREAM?\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "nothing like it",
	  { "POSTRIDER_QQQQQQQQQ=1" },
	  "POSTRIDER_QQQQQQQQQ: error: unknown variable POSTRIDER_QQQQQQQQQ\n"
	  "      | POSTRIDER_QQQQQQQQQ=1\n"
	  "      | ^^^^^^^^^^^^^^^^^^^\n"
	  "  hint: `postrider config --env` lists them; any key is POSTRIDER__TABLE__KEY\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a secret of a later version is not shown",
	  { "POSTRIDER_PASSWORD=swordfish", "POSTRIDER_ADMIN_TOKEN_FILE=/run/token" },
	  "POSTRIDER_PASSWORD: error: POSTRIDER_PASSWORD is not built yet in this version\n"
	  "      | POSTRIDER_PASSWORD=***\n"
	  "      | ^^^^^^^^^^^^^^^^^^\n"
	  "  hint: remove it; `postrider config --env` lists what works\n"
	  "\n"
	  "POSTRIDER_ADMIN_TOKEN_FILE: error: POSTRIDER_ADMIN_TOKEN_FILE is not built yet in this version\n"
	  "      | POSTRIDER_ADMIN_TOKEN_FILE=/run/token\n"
	  "      | ^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
	  "  hint: remove it; `postrider config --env` lists what works\n"
	  "\n"
	  "2 errors; nothing was started or changed.\n" },
	{ "the password of a URL is not shown",
	  { "POSTRIDER_UPSTREAM=smtp://ann:swordfish@mx.example:587" },
	  "POSTRIDER_UPSTREAM: error: logging in to an upstream is not built yet in this version\n"
	  "      | POSTRIDER_UPSTREAM=smtp://ann:***\n"
	  "      | ^^^^^^^^^^^^^^^^^^\n"
	  "  expected: smtp://host:587 (STARTTLS required) or smtp+plain://host:25 (no TLS)\n"
	  "  hint: remove the user and the password from the URL\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "quotes",
	  { "POSTRIDER_SPOOL=\"/var/spool\"" },
	  "POSTRIDER_SPOOL: error: the value stands in quotes, and they are part of it\n"
	  "      | POSTRIDER_SPOOL=\"/var/spool\"\n"
	  "      |                 ^^^^^^^^^^^^\n"
	  "  hint: remove them: files of variables (--env-file) take quotes literally\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a wrong value",
	  { "POSTRIDER_ALLOW=10.0.0.0/8,nonsense" },
	  "POSTRIDER_ALLOW: error: allow cannot be \"nonsense\"\n"
	  "      | POSTRIDER_ALLOW=10.0.0.0/8,nonsense\n"
	  "      |                            ^^^^^^^^\n"
	  "  expected: an IP address or network such as 127.0.0.1, 10.0.0.0/8 or \"fc00::/7\"\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "no URL",
	  { "POSTRIDER_UPSTREAM=mx.example:587" },
	  "POSTRIDER_UPSTREAM: error: this is not a URL\n"
	  "      | POSTRIDER_UPSTREAM=mx.example:587\n"
	  "      | ^^^^^^^^^^^^^^^^^^\n"
	  "  expected: smtp://host:587 (STARTTLS required) or smtp+plain://host:25 (no TLS)\n"
	  "  hint: put smtp:// in front of the host\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "TLS from the first octet",
	  { "POSTRIDER_UPSTREAM=smtps://mx.example" },
	  "POSTRIDER_UPSTREAM: error: smtps:// (TLS from the first octet) is not built yet in this version\n"
	  "      | POSTRIDER_UPSTREAM=smtps://mx.example\n"
	  "      | ^^^^^^^^^^^^^^^^^^\n"
	  "  expected: smtp://host:587 (STARTTLS required) or smtp+plain://host:25 (no TLS)\n"
	  "  hint: most providers offer smtp:// on port 587 too\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a wrong port in a URL",
	  { "POSTRIDER_UPSTREAM=smtp://mx.example:0" },
	  "POSTRIDER_UPSTREAM: error: hosts cannot be \"mx.example:0\"\n"
	  "      | POSTRIDER_UPSTREAM=smtp://mx.example:0\n"
	  "      |                           ^^^^^^^^^^^^\n"
	  "  expected: a host with its port, such as mx1.example.com:25, 192.0.2.1:25 or \"[2001:db8::1]:25\"\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a URL and a host",
	  { "POSTRIDER_UPSTREAM=smtp://a.example", "POSTRIDER_UPSTREAM_HOST=b.example" },
	  "POSTRIDER_UPSTREAM_HOST: error: POSTRIDER_UPSTREAM and POSTRIDER_UPSTREAM_HOST are both set\n"
	  "      | POSTRIDER_UPSTREAM_HOST=b.example\n"
	  "      | ^^^^^^^^^^^^^^^^^^^^^^^\n"
	  "  hint: keep one of them\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a port without a host",
	  { "POSTRIDER_UPSTREAM_PORT=25" },
	  "POSTRIDER_UPSTREAM_PORT: error: POSTRIDER_UPSTREAM_PORT without POSTRIDER_UPSTREAM_HOST\n"
	  "      | POSTRIDER_UPSTREAM_PORT=25\n"
	  "      | ^^^^^^^^^^^^^^^^^^^^^^^\n"
	  "  hint: put the port into POSTRIDER_UPSTREAM, or set POSTRIDER_UPSTREAM_HOST\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a long name that is unknown",
	  { "POSTRIDER__SPOL__PATH=/x" },
	  "POSTRIDER__SPOL__PATH: error: unknown key \"spol\"\n"
	  "      | POSTRIDER__SPOL__PATH=/x\n"
	  "      | ^^^^^^^^^^^^^^^^^^^^^\n"
	  "  hint: did you mean \"spool\"?\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a table for a value",
	  { "POSTRIDER__SPOOL=/x" },
	  "POSTRIDER__SPOOL: error: spool is not a single value\n"
	  "      | POSTRIDER__SPOOL=/x\n"
	  "      | ^^^^^^^^^^^^^^^^\n"
	  "  hint: name one of its keys\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a value for a table",
	  { "POSTRIDER__HOSTNAME__X=/x" },
	  "POSTRIDER__HOSTNAME__X: error: hostname is a value, there is no \"x\" in it\n"
	  "      | POSTRIDER__HOSTNAME__X=/x\n"
	  "      | ^^^^^^^^^^^^^^^^^^^^^^\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a long name of a later version", { "POSTRIDER__UPSTREAMS__SES__PASSWORD=swordfish" }, NULL },
	{ "what only a file has",
	  { "POSTRIDER__INCLUDE=/etc/passwd" },
	  "POSTRIDER__INCLUDE: error: \"include\" can stand in the file only\n"
	  "      | POSTRIDER__INCLUDE=/etc/passwd\n"
	  "      | ^^^^^^^^^^^^^^^^^^\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
};

static void a_bad_variable_is_said_with_its_name(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct world w = { .config = NULL };

		memcpy(w.environment, bad[i].environment, sizeof(bad[i].environment));
		CHECK_INT(bad[i].name, world_load(&w), ERR_CONFIG);
		if (bad[i].said)
			wrong += !world_said(&w, bad[i].name, bad[i].said);
		CHECK(bad[i].name, text_find(buf_text(&w.said), TEXT("swordfish")) == w.said.len);
		world_fini(&w);
	}
	assert_int_equal(wrong, 0);
}

static void the_environment_is_stronger_than_files_and_weaker_than_arguments(void **state)
{
	struct world w = { .files = { { "c.yaml", "spool: {path: /file, max_size: 1GB, durable: true}\n" } },
		           .environment = { "POSTRIDER_SPOOL=/variable", "POSTRIDER__SPOOL__MAX_SIZE=2GB" },
		           .sets = { "spool.path=/argument" } };

	(void)state;
	world_must_load(&w);
	assert_true(shows(&w, true,
	                  "  path: /argument                                     # --set spool.path\n"));
	assert_true(shows(
		&w, true,
		"  max_size: 2GB                                       # POSTRIDER__SPOOL__MAX_SIZE\n"));
	assert_true(shows(&w, true, "  durable: true                                       # c.yaml:1\n"));
	assert_true(shows(&w, true, "  reserve: 5%                                         # default\n"));
	world_fini(&w);
}

static void names_of_the_file_are_met_by_variables_in_their_spelling(void **state)
{
	struct world w = { .files = { { "c.yaml", "listen: [{name: Web-App, address: 127.0.0.1:1}]\n"
		                                  "limits: {mail.example.com: {connections: 1}}\n" } },
		           .environment = { "POSTRIDER__LISTEN__WEB_APP__MAX_ERRORS=7",
		                            "POSTRIDER__LIMITS__MAIL_EXAMPLE_COM__CONNECTIONS=9" } };

	(void)state;
	world_must_load(&w);
	assert_int_equal(w.config->listen.count, 1);
	assert_int_equal(w.config->listen.items[0].max_errors, 7);
	assert_int_equal(w.config->limits.count, 1);
	assert_int_equal(w.config->limits.items[0].pace.connections, 9);
	world_fini(&w);
}

static void a_short_form_for_one_of_several_listeners_is_refused(void **state)
{
	struct world w = { .files = { { "c.yaml",
		                        "listen: [{address: 127.0.0.1:1}, {address: 127.0.0.1:2}]\n" } },
		           .environment = { "POSTRIDER_LISTEN=127.0.0.1:3" } };

	(void)state;
	assert_int_equal(world_load(&w), ERR_CONFIG);
	assert_true(
		world_said(&w, "two listeners",
	                   "POSTRIDER_LISTEN: error: POSTRIDER_LISTEN is for one listener, and there are 2\n"
	                   "      | POSTRIDER_LISTEN=127.0.0.1:3\n"
	                   "      | ^^^^^^^^^^^^^^^^\n"
	                   "  hint: say which: POSTRIDER__LISTEN__0__ADDRESS\n"
	                   "\n"
	                   "1 error; nothing was started or changed.\n"));
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_variable_sets_its_key),
		cmocka_unit_test(a_bad_variable_is_said_with_its_name),
		cmocka_unit_test(the_environment_is_stronger_than_files_and_weaker_than_arguments),
		cmocka_unit_test(names_of_the_file_are_met_by_variables_in_their_spelling),
		cmocka_unit_test(a_short_form_for_one_of_several_listeners_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
