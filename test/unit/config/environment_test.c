#include "unit/config/world.h"

#include "overlay.h"

static bool shows(const struct world *w, bool origins, const char *line)
{
	AUTO(buf_fini) struct buf shown = BUF(1u << 20);

	config_print(w->config, origins, &shown);
	return text_find(buf_text(&shown), text_from(line)) < shown.len;
}

/* Variables that are good, and a line of `config` that shows it. */
static const struct {
	const char *name;
	const char *environment[5];
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
	{ "a host with TLS from the first octet",
	  { "POSTRIDER_UPSTREAM_PORT=465", "POSTRIDER_UPSTREAM_HOST=mx.example" },
	  "    tls: implicit\n" },
	{ "a host that does not say so on that port",
	  { "POSTRIDER_TLS=require", "POSTRIDER_UPSTREAM_PORT=465", "POSTRIDER_UPSTREAM_HOST=mx.example" },
	  "    tls: require\n" },
	{ "a URL with TLS from the first octet",
	  { "POSTRIDER_UPSTREAM=smtps://mx.example" },
	  "    tls: implicit\n" },
	{ "and its port", { "POSTRIDER_UPSTREAM=SMTPS://mx.example" }, "    hosts: [mx.example:465]\n" },
	{ "a URL with a login",
	  { "POSTRIDER_UPSTREAM=smtp://ann:swordfish@mx.example" },
	  "    username: ann\n" },
	{ "a URL with a password",
	  { "POSTRIDER_UPSTREAM=smtp://ann:swordfish@mx.example" },
	  "    password: \"***\"\n" },
	{ "a URL with an address for a user",
	  { "POSTRIDER_UPSTREAM=smtp://ann%40b.example:sword%3afish@mx.example:2525/" },
	  "    username: ann@b.example\n" },
	{ "the same without escapes",
	  { "POSTRIDER_UPSTREAM=smtp://ann@b.example:swordfish/@mx.example:2525" },
	  "    username: ann@b.example\n" },
	{ "its host",
	  { "POSTRIDER_UPSTREAM=smtp://ann@b.example:swordfish/@mx.example:2525" },
	  "    hosts: [mx.example:2525]\n" },
	{ "a user in the URL, the password beside it",
	  { "POSTRIDER_UPSTREAM=smtp://ann@mx.example", "POSTRIDER_PASSWORD_FILE=/secret" },
	  "    password_file: /secret\n" },
	{ "a provider",
	  { "POSTRIDER_PROVIDER=sendgrid", "POSTRIDER_PASSWORD=swordfish" },
	  "    username: apikey\n" },
	{ "a provider and its region",
	  { "POSTRIDER_PROVIDER=ses", "POSTRIDER_REGION=eu-west-1", "POSTRIDER_USERNAME=ann",
	    "POSTRIDER_PASSWORD=swordfish" },
	  "    hosts: [email-smtp.eu-west-1.amazonaws.com:587]\n" },
	{ "a rate",
	  { "POSTRIDER_UPSTREAM_HOST=mx.example", "POSTRIDER_RATE=14/s,50000/d" },
	  "    rate: [14/s, 50000/d]\n" },
	{ "connections",
	  { "POSTRIDER_UPSTREAM_HOST=mx.example", "POSTRIDER_CONNECTIONS=3" },
	  "    connections: 3\n" },
	{ "tokens",
	  { "POSTRIDER_UPSTREAM_HOST=mx.example", "POSTRIDER_USERNAME=ann", "POSTRIDER_AUTH=xoauth2",
	    "POSTRIDER_OAUTH2_TOKEN_COMMAND=/bin/token" },
	  "      token_command: /bin/token\n" },
	{ "a certificate that is not checked",
	  { "POSTRIDER_UPSTREAM_HOST=mx.example", "POSTRIDER_TLS_VERIFY=no" },
	  "    verify: false\n" },
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
		w.files[1] = (struct world_file){ "/secret", "swordfish\n" };
		w.files[0].path = "c.yaml";
		w.files[0].content = "";
		if (world_load(&w))
			fail_msg("%s: %.*s", good[i].name, TEXT_ARGS(buf_text(&w.said)));
		CHECK(good[i].name, shows(&w, false, good[i].line));
		CHECK(good[i].name, !shows(&w, true, "swordfish"));
		CHECK(good[i].name, text_find(buf_text(&w.said), TEXT("swordfish")) == w.said.len);
		world_fini(&w);
	}
}

static const struct {
	const char *name;
	const char *environment[5];
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
	  { "POSTRIDER_ADMIN_TOKEN=swordfish", "POSTRIDER_ADMIN_TOKEN_FILE=/run/token" },
	  "POSTRIDER_ADMIN_TOKEN: error: POSTRIDER_ADMIN_TOKEN is not built yet in this version\n"
	  "      | POSTRIDER_ADMIN_TOKEN=***\n"
	  "      | ^^^^^^^^^^^^^^^^^^^^^\n"
	  "  hint: remove it; `postrider config --env` lists what works\n"
	  "\n"
	  "POSTRIDER_ADMIN_TOKEN_FILE: error: POSTRIDER_ADMIN_TOKEN_FILE is not built yet in this version\n"
	  "      | POSTRIDER_ADMIN_TOKEN_FILE=/run/token\n"
	  "      | ^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
	  "  hint: remove it; `postrider config --env` lists what works\n"
	  "\n"
	  "2 errors; nothing was started or changed.\n" },
	{ "a password without an upstream",
	  { "POSTRIDER_PASSWORD=swordfish" },
	  "POSTRIDER_PASSWORD: error: this upstream has no hosts\n"
	  "      | POSTRIDER_PASSWORD=***\n"
	  "      | ^^^^^^^^^^^^^^^^^^\n"
	  "  expected: hosts: [mx1.corp.example:25], or provider:\n"
	  "\n"
	  "POSTRIDER_PASSWORD: error: a password without a username\n"
	  "      | POSTRIDER_PASSWORD=***\n"
	  "      |                    ^^^\n"
	  "  expected: username:\n"
	  "\n"
	  "2 errors; nothing was started or changed.\n" },
	{ "the login of a URL is not shown",
	  { "POSTRIDER_UPSTREAM=smtpx://ann:swordfish@mx.example:587" },
	  "POSTRIDER_UPSTREAM: error: this is not the URL of an SMTP server\n"
	  "      | POSTRIDER_UPSTREAM=smtpx://***\n"
	  "      | ^^^^^^^^^^^^^^^^^^\n"
	  "  expected: smtp://host:587 (STARTTLS required), smtps://host (TLS from the first octet) or smtp+plain://host:25 "
	  "(no TLS)\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "not even when it is no URL",
	  { "POSTRIDER_UPSTREAM=ann:swordfish@mx.example:587" },
	  "POSTRIDER_UPSTREAM: error: this is not a URL\n"
	  "      | POSTRIDER_UPSTREAM=***\n"
	  "      | ^^^^^^^^^^^^^^^^^^\n"
	  "  expected: smtp://host:587 (STARTTLS required), smtps://host (TLS from the first octet) or smtp+plain://host:25 "
	  "(no TLS)\n"
	  "  hint: put smtp:// in front of the host\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "nor in the place of a host", { "POSTRIDER_UPSTREAM_HOST=ann:swordfish@mx.example" }, NULL },
	{ "nor with spaces and quotes in it",
	  { "POSTRIDER_UPSTREAM=smtp://ann:a 'swordfish\" b@mx.example:0" },
	  NULL },
	{ "nor as a value that is none",
	  { "POSTRIDER_UPSTREAM=smtp://mx.example", "POSTRIDER_USERNAME=ann",
	    "POSTRIDER_PASSWORD=\033swordfish" },
	  NULL },
	{ "a half escape in a URL",
	  { "POSTRIDER_UPSTREAM=smtp://ann:swordfish%4@mx.example" },
	  "POSTRIDER_UPSTREAM: error: a % in the login is not followed by two hexadecimal digits\n"
	  "      | POSTRIDER_UPSTREAM=smtp://***\n"
	  "      | ^^^^^^^^^^^^^^^^^^\n"
	  "  expected: smtp://host:587 (STARTTLS required), smtps://host (TLS from the first octet) or smtp+plain://host:25 "
	  "(no TLS)\n"
	  "  hint: % itself is written %25\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a password and no user in a URL", { "POSTRIDER_UPSTREAM=smtp://:swordfish@mx.example" }, NULL },
	{ "a login in the URL and beside it",
	  { "POSTRIDER_UPSTREAM=smtp://ann:swordfish@mx.example", "POSTRIDER_PASSWORD=swordfish2" },
	  "POSTRIDER_UPSTREAM: error: the URL has a login, and POSTRIDER_PASSWORD is set too\n"
	  "      | POSTRIDER_UPSTREAM=smtp://***\n"
	  "      | ^^^^^^^^^^^^^^^^^^\n"
	  "  hint: keep one of them\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a secret and its file",
	  { "POSTRIDER_UPSTREAM=smtp://ann@mx.example", "POSTRIDER_PASSWORD=swordfish",
	    "POSTRIDER_PASSWORD_FILE=/secret" },
	  "POSTRIDER_PASSWORD_FILE: error: both password and password_file are set\n"
	  "      | POSTRIDER_PASSWORD_FILE=/secret\n"
	  "      |                         ^^^^^^^\n"
	  "  hint: keep the file\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a secret of tokens and its file",
	  { "POSTRIDER_OAUTH2_TOKEN_URL=https://a.example/", "POSTRIDER_OAUTH2_CLIENT_SECRET=swordfish",
	    "POSTRIDER_OAUTH2_CLIENT_SECRET_FILE=/secret", "POSTRIDER_OAUTH2_CLIENT_ID=x" },
	  NULL },
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
	{ "a wrong port in a URL",
	  { "POSTRIDER_UPSTREAM=smtp://mx.example:0" },
	  "POSTRIDER_UPSTREAM: error: hosts cannot be \"mx.example:0\"\n"
	  "      | POSTRIDER_UPSTREAM=smtp://mx.example:0\n"
	  "      |                           ^^^^^^^^^^^^\n"
	  "  expected: a host with its port, such as mx1.example.com:25, 192.0.2.1:25 or \"[2001:db8::1]:25\", or unix: and a path\n"
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
	{ "a long name of a later version", { "POSTRIDER__ADMIN__TOKEN=swordfish" }, NULL },
	{ "a secret by a long name", { "POSTRIDER__UPSTREAMS__SES__PASSWORD=swordfish" }, NULL },
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

/* ---------------------------------------------------------------- the names of other images */

static const struct {
	const char *name;
	const char *file;
	const char *environment[6];
	const char *line; /* of `config` */
	unsigned warnings;
} foreign[] = {
	{ "a relay host", "", { "RELAYHOST=mx.example:587" }, "    hosts: [mx.example:587]\n", 1 },
	{ "a relay host alone is on port 25",
	  "",
	  { "RELAYHOST=mx.example" },
	  "    hosts: [mx.example:25]\n",
	  1 },
	{ "where TLS is taken as it is offered",
	  "",
	  { "RELAYHOST=mx.example" },
	  "    tls: opportunistic\n",
	  1 },
	{ "a relay host in brackets",
	  "",
	  { "RELAYHOST=[mx.example]:26" },
	  "    hosts: [mx.example:26]\n",
	  1 },
	{ "a relay host of IPv6",
	  "",
	  { "RELAYHOST=[2001:db8::1]" },
	  "    hosts: [\"[2001:db8::1]:25\"]\n",
	  1 },
	{ "a relay host on port 465", "", { "RELAYHOST=mx.example:465" }, "    tls: implicit\n", 1 },
	{ "a relay host with a login",
	  "",
	  { "RELAYHOST=mx.example", "RELAYHOST_USERNAME=ann", "RELAYHOST_PASSWORD=swordfish" },
	  "    username: ann\n",
	  3 },
	{ "a login wants TLS",
	  "",
	  { "RELAYHOST=mx.example", "RELAYHOST_USERNAME=ann", "RELAYHOST_PASSWORD_FILE=/secret" },
	  "    tls: require\n",
	  3 },
	{ "a server and its port",
	  "",
	  { "SMTP_SERVER=mx.example", "SMTP_PORT=2587" },
	  "    hosts: [mx.example:2587]\n",
	  2 },
	{ "a server without a port",
	  "",
	  { "SMTP_SERVER=mx.example", "SMTP_USERNAME=ann", "SMTP_PASSWORD_FILE=/secret" },
	  "    hosts: [mx.example:587]\n",
	  3 },
	{ "a smart host",
	  "",
	  { "SMARTHOST_ADDRESS=mx.example", "SMARTHOST_PORT=587", "SMARTHOST_USER=ann",
	    "SMARTHOST_PASSWORD=swordfish" },
	  "    username: ann\n",
	  4 },
	{ "a port of somebody else's", "", { "SMTP_PORT=25", "SMTP_USERNAME=ann" }, "    via: direct\n", 0 },
	{ "of two families the first",
	  "",
	  { "RELAYHOST=a.example:587", "SMTP_SERVER=b.example" },
	  "    hosts: [a.example:587]\n",
	  2 },
	{ "ours is stronger",
	  "",
	  { "RELAYHOST=a.example", "POSTRIDER_UPSTREAM=smtp://b.example" },
	  "    hosts: [b.example:587]\n",
	  1 },
	{ "and no password goes to another host",
	  "",
	  { "SMTP_SERVER=a.example", "SMTP_USERNAME=ann", "SMTP_PASSWORD=swordfish",
	    "POSTRIDER_PROVIDER=workspace" },
	  "    hosts: [smtp-relay.gmail.com:587]\n",
	  1 },
	{ "ours beside it", "", { "RELAYHOST=a.example:587", "POSTRIDER_TLS=none" }, "    tls: none\n", 1 },
	{ "a file is stronger",
	  "upstreams: {a: {hosts: [c.example:587]}}\n",
	  { "RELAYHOST=a.example" },
	  "    hosts: [c.example:587]\n",
	  1 },
	{ "routes of a file are",
	  "routes: [{via: direct}]\n",
	  { "SMTP_SERVER=a.example" },
	  "    via: direct\n",
	  1 },
	{ "an empty one is none", "", { "RELAYHOST=" }, "    via: direct\n", 0 },
	{ "our name", "", { "SERVER_HOSTNAME=a.example" }, "hostname: a.example\n", 1 },
	{ "our name twice",
	  "",
	  { "MAILNAME=a.example", "POSTFIX_myhostname=b.example" },
	  "hostname: a.example\n",
	  2 },
	{ "our name in the file",
	  "hostname: c.example\n",
	  { "MAILNAME=a.example" },
	  "hostname: c.example\n",
	  1 },
	{ "senders",
	  "",
	  { "ALLOWED_SENDER_DOMAINS=a.example b.example,c.example" },
	  "  senders: [a.example, b.example, c.example]\n",
	  1 },
	{ "networks",
	  "",
	  { "POSTFIX_mynetworks=10.0.0.0/8, [::1]/128 127.0.0.0/8" },
	  "    allow: [10.0.0.0/8, \"::1\", 127.0.0.0/8]\n",
	  1 },
	{ "networks beside our listener",
	  "",
	  { "POSTFIX_mynetworks=10.0.0.0/8", "POSTRIDER_LISTEN=127.0.0.1:26" },
	  "    allow: [10.0.0.0/8]\n",
	  1 },
	{ "networks beside our networks",
	  "",
	  { "POSTFIX_mynetworks=10.0.0.0/8", "POSTRIDER_ALLOW=192.0.2.0/24" },
	  "    allow: [192.0.2.0/24]\n",
	  1 },
	{ "networks of a file",
	  "listen: [{address: 127.0.0.1:26}]\n",
	  { "POSTFIX_mynetworks=10.0.0.0/8" },
	  "    allow: [127.0.0.0/8, \"::1\"]\n",
	  1 },
	{ "a size", "", { "POSTFIX_message_size_limit=10240000" }, "  max_message_size: 10240KB\n", 1 },
};

static void the_names_of_other_images_are_taken_and_said_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(foreign); i++) {
		struct world w = { .files = { { "c.yaml", foreign[i].file }, { "/secret", "swordfish" } } };

		memcpy(w.environment, foreign[i].environment, sizeof(foreign[i].environment));
		if (world_load(&w))
			fail_msg("%s: %.*s", foreign[i].name, TEXT_ARGS(buf_text(&w.said)));
		CHECK(foreign[i].name, shows(&w, false, foreign[i].line));
		CHECK_INT(foreign[i].name, w.report.warning_count, foreign[i].warnings);
		CHECK(foreign[i].name, !shows(&w, true, "swordfish"));
		CHECK(foreign[i].name, text_find(buf_text(&w.said), TEXT("swordfish")) == w.said.len);
		world_fini(&w);
	}
}

static void a_foreign_name_says_what_it_is_taken_as(void **state)
{
	struct world w = { .environment = { "RELAYHOST=a.example:587", "SMTP_SERVER=b.example" } };

	(void)state;
	world_must_load(&w);
	assert_true(world_said(&w, "two families",
	                       "RELAYHOST: warning: RELAYHOST is taken as POSTRIDER_UPSTREAM_HOST\n"
	                       "      | RELAYHOST=a.example:587\n"
	                       "      | ^^^^^^^^^\n"
	                       "  hint: set POSTRIDER_UPSTREAM_HOST instead\n"
	                       "\n"
	                       "SMTP_SERVER: warning: SMTP_SERVER is not taken\n"
	                       "      | SMTP_SERVER=b.example\n"
	                       "      | ^^^^^^^^^^^\n"
	                       "  another setting says the same\n"
	                       "  hint: see RELAYHOST\n"
	                       "\n"));
	world_fini(&w);
}

struct listed {
	const char *variable; /* NAME=value */
	unsigned found;
};

static void look_at_foreign(void *owner, const char *name, const char *ours)
{
	struct listed *l = owner;
	struct text rest = text_from(l->variable);

	assert_true(text_starts(text_from(ours), TEXT("POSTRIDER_")));
	l->found += text_eq(text_cut(&rest, '='), text_from(name));
}

static void every_foreign_name_is_listed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
		for (size_t v = 0; v < ARRAY_LEN(foreign[i].environment) && foreign[i].environment[v]; v++) {
			struct listed l = { foreign[i].environment[v], 0 };

			foreign_visit(look_at_foreign, &l);
			if (!text_starts(text_from(l.variable), TEXT("POSTRIDER_")))
				CHECK_INT(l.variable, l.found, 1);
		}
}

static void of_a_secret_and_its_file_the_stronger_source_counts(void **state)
{
	struct world w = { .files = { { "c.yaml",
		                        "upstreams: {default: {hosts: [a.example:587], username: ann, "
		                        "password_file: /secret}}\n" },
		                      { "/secret", "weak" } },
		           .environment = { "POSTRIDER_PASSWORD=strong" } };

	(void)state;
	world_must_load(&w);
	CHECK_TEXT("the variable", w.config->ways.items[0].login->secret, TEXT("strong"));
	CHECK_TEXT("no file", w.config->upstreams.items[0].login.password_file, TEXT_EMPTY);
	world_fini(&w);
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
		cmocka_unit_test(the_names_of_other_images_are_taken_and_said_once),
		cmocka_unit_test(a_foreign_name_says_what_it_is_taken_as),
		cmocka_unit_test(every_foreign_name_is_listed),
		cmocka_unit_test(of_a_secret_and_its_file_the_stronger_source_counts),
		cmocka_unit_test(the_environment_is_stronger_than_files_and_weaker_than_arguments),
		cmocka_unit_test(names_of_the_file_are_met_by_variables_in_their_spelling),
		cmocka_unit_test(a_short_form_for_one_of_several_listeners_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
