#include "unit/config/world.h"

#include <postrider/config.h>

/* What a person reads, to the letter. */
static const struct {
	const char *name;
	const char *yaml;
	const char *said;
} bad[] = {
	{ "a key with a slip of the pen",
	  "access:\n"
	  "  max_mesage_size: 10MB\n",
	  "c.yaml:2:3: error: unknown key \"max_mesage_size\" in access\n"
	  "    2 |   max_mesage_size: 10MB\n"
	  "      |   ^^^^^^^^^^^^^^^\n"
	  "  hint: did you mean \"max_message_size\"?\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a key that stands in another table", "spool: {max_hops: 3}\n",
	  "c.yaml:1:9: error: unknown key \"max_hops\" in spool\n"
	  "    1 | spool: {max_hops: 3}\n"
	  "      |         ^^^^^^^^\n"
	  "  hint: \"max_hops\" stands elsewhere: access.max_hops\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a route to nowhere",
	  "upstreams:\n"
	  "  ses: {hosts: [smtp.example.com:587]}\n"
	  "routes:\n"
	  "  - {to: any, via: sess}\n",
	  "c.yaml:4:20: error: this route goes via \"sess\", but there is no upstream \"sess\"\n"
	  "    4 |   - {to: any, via: sess}\n"
	  "      |                    ^^^^\n"
	  "  expected: one of ses, direct, discard, hold, reject\n"
	  "  hint: did you mean \"ses\"? (defined at c.yaml:2)\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "an open relay",
	  "listen:\n"
	  "  - name: apps\n"
	  "    address: 0.0.0.0:25\n"
	  "    allow: [10.0.0.0/8, 0.0.0.0/0]\n",
	  "c.yaml:4:12: error: this would be an open relay\n"
	  "    4 |     allow: [10.0.0.0/8, 0.0.0.0/0]\n"
	  "      |            ^^^^^^^^^^^^^^^^^^^^^^^\n"
	  "  anyone who reaches 0.0.0.0:25 could send mail to anyone through you\n"
	  "  expected: allow: [10.0.0.0/8], your own networks  or  access.recipients\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "half of the internet twice is the internet",
	  "listen: [{address: \"[::]:25\", allow: [0.0.0.0/1, 128.0.0.0/1]}]\n",
	  "c.yaml:1:38: error: this would be an open relay\n"
	  "    1 | listen: [{address: \"[::]:25\", allow: [0.0.0.0/1, 128.0.0.0/1]}]\n"
	  "      |                                      ^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
	  "  anyone who reaches [::]:25 could send mail to anyone through you\n"
	  "  expected: allow: [10.0.0.0/8], your own networks  or  access.recipients\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a gateway for everyone", "listen: [{address: 192.0.2.1:25, allow: [], accept_for: any}]\n",
	  "c.yaml:1:57: error: this would be an open relay\n"
	  "    1 | listen: [{address: 192.0.2.1:25, allow: [], accept_for: any}]\n"
	  "      |                                                         ^^^\n"
	  "  anyone who reaches 192.0.2.1:25 could send mail to anyone through you\n"
	  "  expected: accept_for: [example.com], your own domains  or  access.recipients\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "STARTTLS required without a certificate", "listen: [{tls: require}]\n",
	  "c.yaml:1:16: error: STARTTLS is required, but there is no certificate\n"
	  "    1 | listen: [{tls: require}]\n"
	  "      |                ^^^^^^^\n"
	  "  expected: cert and key, or tls: opportunistic\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a certificate without its key", "listen: [{cert: /c.pem}]\n",
	  "c.yaml:1:17: error: a certificate without its key\n"
	  "    1 | listen: [{cert: /c.pem}]\n"
	  "      |                 ^^^^^^\n"
	  "  expected: key: /etc/postrider/tls/key.pem\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "two listeners on one address",
	  "listen:\n"
	  "  - {name: a, address: 0.0.0.0:2525}\n"
	  "  - {name: b, address: 127.0.0.1:2525}\n",
	  "c.yaml:3:24: error: 127.0.0.1:2525 is taken by the listener \"a\"\n"
	  "    3 |   - {name: b, address: 127.0.0.1:2525}\n"
	  "      |                        ^^^^^^^^^^^^^^\n"
	  "  hint: see c.yaml:2\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "an upstream without hosts",
	  "upstreams: {a: {}, b: {hosts: []}}\n"
	  "routes: [{from: x.example, via: a}, {via: b}]\n",
	  "c.yaml:1:13: error: this upstream has no hosts\n"
	  "    1 | upstreams: {a: {}, b: {hosts: []}}\n"
	  "      |             ^\n"
	  "  expected: hosts: [mx1.corp.example:25], or provider:\n"
	  "\n"
	  "c.yaml:1:31: error: this upstream has no hosts\n"
	  "    1 | upstreams: {a: {}, b: {hosts: []}}\n"
	  "      |                               ^^^^\n"
	  "  expected: hosts: [mx1.corp.example:25]\n"
	  "\n"
	  "2 errors; nothing was started or changed.\n" },
	{ "an upstream with a reserved name", "upstreams: {Direct: {hosts: [a.example:25]}}\n",
	  "c.yaml:1:13: error: an upstream cannot be named \"Direct\"\n"
	  "    1 | upstreams: {Direct: {hosts: [a.example:25]}}\n"
	  "      |             ^^^^^^\n"
	  "  hint: the word has a meaning of its own in routes; take another name\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "several upstreams and no routes",
	  "upstreams: {a: {hosts: [a.example:25]}, b: {hosts: [b.example:25]}}\n",
	  "c.yaml:1:1: error: there are 2 upstreams, and no routes that say when to use which\n"
	  "    1 | upstreams: {a: {hosts: [a.example:25]}, b: {hosts: [b.example:25]}}\n"
	  "      | ^^^^^^^^^\n"
	  "  expected: routes: [{via: a}]\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a key of a later version",
	  "dkim: []\n"
	  "admin: {token: swordfish}\n",
	  "c.yaml:1:1: error: \"dkim\" is not built yet in this version\n"
	  "    1 | dkim: []\n"
	  "      | ^^^^\n"
	  "  hint: remove it; `postrider config --schema` lists what works\n"
	  "\n"
	  "c.yaml:2:9: error: \"token\" in admin is not built yet in this version\n"
	  "    2 | admin: {token: ***\n"
	  "      |         ^^^^^\n"
	  "  hint: remove it; `postrider config --schema` lists what works\n"
	  "\n"
	  "2 errors; nothing was started or changed.\n" },
	{ "a value of a later version", "log: {format: text}\n",
	  "c.yaml:1:15: error: format: text is not built yet in this version\n"
	  "    1 | log: {format: text}\n"
	  "      |               ^^^^\n"
	  "  expected: json\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "nobody who could log in", "listen: [{auth: required}]\n",
	  "c.yaml:1:17: error: clients shall log in, but there is nobody who could\n"
	  "    1 | listen: [{auth: required}]\n"
	  "      |                 ^^^^^^^^\n"
	  "  expected: access.users_file, access.dovecot, access.token_check or client_ca\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "TLS from the first octet without a certificate", "listen: [{tls: implicit}]\n",
	  "c.yaml:1:16: error: tls: implicit needs a certificate\n"
	  "    1 | listen: [{tls: implicit}]\n"
	  "      |                ^^^^^^^^\n"
	  "  expected: cert and key, or certificates\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "everybody is believed to be a proxy", "listen: [{proxy_protocol: 0.0.0.0/0}]\n",
	  "c.yaml:1:27: error: proxy_protocol would believe everybody\n"
	  "    1 | listen: [{proxy_protocol: 0.0.0.0/0}]\n"
	  "      |                           ^^^^^^^^^\n"
	  "  whoever connects could claim to be any client\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "one inherited descriptor twice", "listen: [{name: a, address: fd:3}, {name: b, address: fd:3}]\n",
	  "c.yaml:1:55: error: fd:3 is taken by the listener \"a\"\n"
	  "    1 | listen: [{name: a, address: fd:3}, {name: b, address: fd:3}]\n"
	  "      |                                                       ^^^^\n"
	  "  hint: see c.yaml:1\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a listener that is not there",
	  "listen: [{name: apps}]\n"
	  "routes: [{listener: app, via: direct}]\n",
	  "c.yaml:2:21: error: there is no listener \"app\"\n"
	  "    2 | routes: [{listener: app, via: direct}]\n"
	  "      |                     ^^^\n"
	  "  expected: one of apps, admin, drop, pickup\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a message larger than the spool", "spool: {max_size: 16MiB}\n",
	  "c.yaml:1:19: error: a message of access.max_message_size would not fit into the spool\n"
	  "    1 | spool: {max_size: 16MiB}\n"
	  "      |                   ^^^^^\n"
	  "  expected: spool.max_size, without its reserve, above access.max_message_size\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
};

/* Legal and odd: a warning, and it loads. */
static const struct {
	const char *name;
	const char *yaml;
	const char *said;
} odd[] = {
	{ "a route that is never reached",
	  "routes:\n"
	  "  - {to: example.com, via: direct}\n"
	  "  - {to: ann@example.com, via: hold}\n",
	  "c.yaml:3:5: warning: this route is never reached: route #1 matches all that it would\n"
	  "    3 |   - {to: ann@example.com, via: hold}\n"
	  "      |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
	  "  hint: put the narrower route first (defined at c.yaml:2)\n"
	  "\n" },
	{ "our own listener as an upstream",
	  "listen: [{address: 127.0.0.1:2525}]\n"
	  "upstreams: {a: {hosts: [localhost:2525]}}\n",
	  "c.yaml:2:24: warning: localhost:2525 is our own listener \"default\"\n"
	  "    2 | upstreams: {a: {hosts: [localhost:2525]}}\n"
	  "      |                        ^^^^^^^^^^^^^^^^^^\n"
	  "  mail would go around in circles until access.max_hops\n"
	  "\n" },
	{ "a certificate that nobody checks", "upstreams: {a: {hosts: [mx.example:25], verify: no}}\n",
	  "c.yaml:1:49: warning: the certificate of upstream \"a\" is not checked\n"
	  "    1 | upstreams: {a: {hosts: [mx.example:25], verify: no}}\n"
	  "      |                                                 ^^\n"
	  "  anyone between us and it can read and change the mail\n"
	  "\n" },
	{ "a certificate that nobody checks, for the mail of a route",
	  "upstreams: {a: {hosts: [mx.example:25], verify: no, tls: none}}\n"
	  "routes: [{via: a, tls: require}]\n",
	  "c.yaml:1:49: warning: the certificate of upstream \"a\" is not checked\n"
	  "    1 | upstreams: {a: {hosts: [mx.example:25], verify: no, tls: none}}\n"
	  "      |                                                 ^^\n"
	  "  anyone between us and it can read and change the mail\n"
	  "\n" },
	{ "a disk that is not waited for", "spool: {durable: false}\n",
	  "c.yaml:1:18: warning: spool.durable is off: nothing is synced to disk\n"
	  "    1 | spool: {durable: false}\n"
	  "      |                  ^^^^^\n"
	  "  a crash of the machine loses mail that was accepted\n"
	  "\n" },
	{ "a host name without a domain", "hostname: relay\n",
	  "c.yaml:1:11: warning: hostname \"relay\" is not a full name: servers may refuse mail from it\n"
	  "    1 | hostname: relay\n"
	  "      |           ^^^^^\n"
	  "  hint: set hostname to a name that leads to this machine\n"
	  "\n" },
	{ "the port of implicit TLS", "upstreams: {a: {hosts: [mx.example:465]}}\n",
	  "c.yaml:1:24: warning: port 465 expects TLS from the first octet\n"
	  "    1 | upstreams: {a: {hosts: [mx.example:465]}}\n"
	  "      |                        ^^^^^^^^^^^^^^^^^^\n"
	  "  hint: tls: implicit\n"
	  "\n" },
	{ "an upstream that nothing goes to",
	  "upstreams: {a: {hosts: [mx.example:25]}}\n"
	  "routes: [{via: direct}]\n",
	  "c.yaml:1:13: warning: no route goes via upstream \"a\"\n"
	  "    1 | upstreams: {a: {hosts: [mx.example:25]}}\n"
	  "      |             ^\n"
	  "\n" },
	{ "a warning that comes too late", "retry: {warn_after: 3d, give_up_after: 2d}\n",
	  "c.yaml:1:21: warning: mail is given up before anyone is warned\n"
	  "    1 | retry: {warn_after: 3d, give_up_after: 2d}\n"
	  "      |                     ^^\n"
	  "  hint: warn_after: never says the same\n"
	  "\n" },
};

/* Legal, and nothing to say about it. */
static const struct {
	const char *name;
	const char *yaml;
} fine[] = {
	{ "nothing at all", "" },
	{ "a comment", "# nothing\n" },
	{ "a company's public network",
	  "listen: [{address: 0.0.0.0:25, allow: [198.51.0.0/16, \"2001:db8::/32\"]}]\n" },
	{ "private networks of any width",
	  "listen: [{address: 0.0.0.0:25, allow: [10.0.0.0/8, 100.64.0.0/10, \"fc00::/7\"]}]\n" },
	{ "everyone on a loopback address", "listen: [{address: 127.0.0.1:25, allow: [0.0.0.0/0]}]\n" },
	{ "everyone, to a few",
	  "listen: [{address: 0.0.0.0:25, allow: [0.0.0.0/0, \"::/0\"]}]\naccess: {recipients: [example.com]}\n" },
	{ "a gateway for some domains",
	  "listen: [{address: 0.0.0.0:25, allow: [], accept_for: [example.com]}]\n" },
	{ "STARTTLS offered when there is a certificate", "listen: [{tls: opportunistic}]\n" },
	{ "two listeners on free ports",
	  "listen: [{name: a, address: 127.0.0.1:0}, {name: b, address: 127.0.0.1:0}]\n" },
	{ "one port on two kinds", "listen: [{address: 127.0.0.1:25}, {address: \"[::1]:25\"}]\n" },
	{ "routes whose conditions differ",
	  "listen: [{name: a, address: 127.0.0.1:1}, {name: b, address: 127.0.0.1:2}]\n"
	  "routes: [{listener: a, via: hold}, {listener: b, via: hold}, {from: x.example, via: hold}, {via: direct}]\n" },
	{ "subdomains are not the domain",
	  "routes: [{to: .example.com, via: hold}, {to: example.com, via: direct}]\n" },
	{ "no TLS, no certificate to check",
	  "upstreams: {a: {hosts: [mx.example:25], verify: no, tls: none}}\n" },
	{ "one upstream needs no routes", "upstreams: {a: {hosts: [a.example:25]}}\n" },
	{ "an upstream called default needs none",
	  "upstreams: {b: {hosts: [b.example:25]}, default: {hosts: [a.example:25]}}\n"
	  "routes: [{to: x.example, via: b}, {via: default}]\n" },
};

static void errors_read_as_promised(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct world w;

		CHECK_INT(bad[i].name, world_load_text(&w, bad[i].yaml), ERR_CONFIG);
		wrong += !world_said(&w, bad[i].name, bad[i].said) || w.config;
		world_fini(&w);
	}
	assert_int_equal(wrong, 0);
}

static void warnings_read_as_promised_and_do_not_stop(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		struct world w;

		CHECK_INT(odd[i].name, world_load_text(&w, odd[i].yaml), ERR_OK);
		wrong += !world_said(&w, odd[i].name, odd[i].said);
		world_fini(&w);
	}
	assert_int_equal(wrong, 0);
}

static void what_is_fine_passes_in_silence(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fine); i++) {
		struct world w;

		enum err err = world_load_text(&w, fine[i].yaml);

		CHECK_TEXT(fine[i].name, buf_text(&w.said), TEXT_EMPTY);
		CHECK_INT(fine[i].name, err, ERR_OK);
		world_fini(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_read_as_promised),
		cmocka_unit_test(warnings_read_as_promised_and_do_not_stop),
		cmocka_unit_test(what_is_fine_passes_in_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
