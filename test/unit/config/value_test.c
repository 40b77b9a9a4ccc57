#include "unit/config/world.h"

#include "schema.h"

/* A value under its key, and how `postrider config` writes it then; NULL: refused with the text in `wrong`. */
static const struct {
	const char *name;
	const char *yaml;
	const char *shown;
	const char *wrong; /* how the first error begins, behind the place */
} values[] = {
	/* durations */
	{ "seconds", "listen: [{timeout: 90s}]", "    timeout: 90s\n", NULL },
	{ "the largest unit without a rest", "dns: {timeout: 3500ms}", "  timeout: 3500ms\n", NULL },
	{ "60 s are a minute", "dns: {timeout: 60s}", "  timeout: 1m\n", NULL },
	{ "hours", "retry: {warn_after: 24h}", "  warn_after: 1d\n", NULL },
	{ "never", "retry: {warn_after: never}", "  warn_after: never\n", NULL },
	{ "never where it makes no sense", "retry: {give_up_after: never}", NULL,
	  "give_up_after cannot be \"never\"" },
	{ "a bare number", "dns: {timeout: 5}", NULL, "timeout needs a unit: \"5\"" },
	{ "a bare number in quotes", "dns: {timeout: '5'}", NULL, "timeout needs a unit: \"5\"" },
	{ "an unknown unit", "dns: {timeout: 5sec}", NULL, "timeout cannot be \"5sec\"" },
	{ "a space before the unit", "dns: {timeout: 5 s}", NULL, "timeout cannot be \"5 s\"" },
	{ "a fraction", "dns: {timeout: 1.5s}", NULL, "timeout cannot be \"1.5s\"" },
	{ "a sign", "dns: {timeout: -5s}", NULL, "timeout cannot be \"-5s\"" },
	{ "a time of day is not a duration", "dns: {timeout: 08:00}", NULL, "timeout cannot be \"08:00\"" },
	{ "too long", "dns: {timeout: 2m}", NULL, "timeout is out of range: \"2m\"" },
	{ "too short", "dns: {timeout: 1ms}", NULL, "timeout is out of range: \"1ms\"" },
	{ "far too long", "dns: {timeout: 99999999999999999999d}", NULL, "timeout is out of range" },
	{ "so long that it would wrap", "retry: {warn_after: 213503982335d}", NULL,
	  "warn_after is out of range" },
	/* sizes */
	{ "decimal", "access: {max_message_size: 10MB}", "  max_message_size: 10MB\n", NULL },
	{ "binary", "access: {max_message_size: 10MiB}", "  max_message_size: 10MiB\n", NULL },
	{ "any case", "access: {max_message_size: 10mb}", "  max_message_size: 10MB\n", NULL },
	{ "octets", "access: {max_message_size: 70001B}", "  max_message_size: 70001B\n", NULL },
	{ "a size without a unit", "access: {max_message_size: 10000000}", NULL,
	  "max_message_size needs a unit" },
	{ "YAML's number", "access: {max_message_size: 1e7}", NULL, "max_message_size cannot be \"1e7\"" },
	{ "too small a size", "access: {max_message_size: 1KB}", NULL, "max_message_size is out of range" },
	/* shares */
	{ "a share", "spool: {reserve: 10%}", "  reserve: 10%\n", NULL },
	{ "a tenth of a percent", "spool: {reserve: 0.5%}", "  reserve: 0.5%\n", NULL },
	{ "a hundredth", "spool: {reserve: 0.05%}", "  reserve: 0.05%\n", NULL },
	{ "nothing", "spool: {reserve: 0%}", "  reserve: 0%\n", NULL },
	{ "a bare share", "spool: {reserve: 10}", NULL, "reserve cannot be \"10\"" },
	{ "too large a share", "spool: {reserve: 51%}", NULL, "reserve is out of range: \"51%\"" },
	{ "a point and nothing", "spool: {reserve: 5.%}", NULL, "reserve cannot be \"5.%\"" },
	{ "a percent sign alone", "spool: {reserve: '%'}", NULL, "reserve cannot be \"%\"" },
	{ "something behind it", "spool: {reserve: 5%x}", NULL, "reserve cannot be \"5%x\"" },
	/* truth */
	{ "yes", "spool: {durable: yes}", "  durable: true\n", NULL },
	{ "Off", "spool: {durable: Off}", "  durable: false\n", NULL },
	{ "1 is not true", "spool: {durable: 1}", NULL, "durable cannot be \"1\"" },
	{ "nothing is not false", "spool: {durable: }", NULL, "durable has no value" },
	/* numbers */
	{ "a number", "access: {max_hops: 30}", "  max_hops: 30\n", NULL },
	{ "not octal", "access: {max_hops: 030}", "  max_hops: 30\n", NULL },
	{ "not hexadecimal", "access: {max_hops: 0x1e}", NULL, "max_hops cannot be \"0x1e\"" },
	{ "a large number", "access: {max_hops: 18446744073709551616}", NULL, "max_hops is out of range" },
	{ "a port", "direct: {port: 2525}", "  port: 2525\n", NULL },
	{ "port 0", "direct: {port: 0}", NULL, "port is out of range: \"0\"" },
	{ "no port", "direct: {port: 65536}", NULL, "port is out of range: \"65536\"" },
	/* words */
	{ "a word", "direct: {tls: require}", "  tls: require\n", NULL },
	{ "no is a word here", "direct: {tls: no}", NULL, "tls cannot be \"no\"" },
	{ "words have a case", "direct: {tls: Require}", NULL, "tls cannot be \"Require\"" },
	{ "a word of a later version", "log: {format: postfix}", NULL,
	  "format: postfix is not built yet in this version" },
	{ "a switch", "upstreams: {a: {hosts: a.example:25, mx: true}}", "    mx: true\n", NULL },
	/* texts */
	{ "an escape sequence", "spool: {path: \"/a\\eb\"}", NULL, "path has octets in it that are no text" },
	{ "a line end", "spool: {path: \"/a\\nb\"}", NULL, "path has octets in it that are no text" },
	{ "a line separator", "spool: {path: \"/a\xe2\x80\xa8/b\"}", NULL,
	  "path has octets in it that are no text" },
	{ "a control of the second half", "spool: {path: \"/a\\u009bb\"}", NULL,
	  "path has octets in it that are no text" },
	{ "letters of any language", "spool: {path: /\xc3\xa4/\xe6\x97\xa5/\xf0\x9f\x93\xae}",
	  "  path: /\xc3\xa4/\xe6\x97\xa5/\xf0\x9f\x93\xae\n", NULL },
	{ "nothing in quotes", "spool: {path: ''}", NULL, "path is empty" },
	{ "a list for one value", "spool: {path: [/a]}", NULL, "path is one value, not a list" },
	{ "a table for one value", "spool: {path: {a: b}}", NULL, "path is one value, not a table" },
	{ "a path that needs quotes", "spool: {path: '/a # b'}", "  path: \"/a # b\"\n", NULL },
	{ "a null of YAML is a text", "spool: {path: null}", "  path: null\n", NULL },
	{ "a host name in capitals", "hostname: Relay.Example.COM", "hostname: relay.example.com\n", NULL },
	{ "a host name that is an address", "hostname: '[192.0.2.1]'", "hostname: \"[192.0.2.1]\"\n", NULL },
	{ "a host name with a space", "hostname: a b", NULL, "hostname cannot be \"a b\"" },
	{ "a header name", "log: {headers: [Subject, X-Id]}", "  headers: [Subject, X-Id]\n", NULL },
	{ "a header name with a colon", "log: {headers: 'Subject:'}", NULL,
	  "headers cannot be \"Subject:\"" },
	{ "postmaster gets our name", "{hostname: a.example, bounce: {from: postmaster}}",
	  "  from: postmaster@a.example\n", NULL },
	{ "a sender of bounces", "bounce: {from: ops@example.com}", "  from: ops@example.com\n", NULL },
	{ "a sender without a domain", "bounce: {from: ops}", NULL, "from cannot be \"ops\"" },
	/* hosts */
	{ "a name with a port", "upstreams: {a: {hosts: mx.example:25}}", "    hosts: [mx.example:25]\n",
	  NULL },
	{ "addresses", "upstreams: {a: {hosts: ['192.0.2.1:25', '[2001:db8::1]:25']}}",
	  "    hosts: [192.0.2.1:25, \"[2001:db8::1]:25\"]\n", NULL },
	{ "no port", "upstreams: {a: {hosts: mx.example}}", NULL, "hosts cannot be \"mx.example\"" },
	{ "port 0 of an upstream", "upstreams: {a: {hosts: 'mx.example:0'}}", NULL,
	  "hosts cannot be \"mx.example:0\"" },
	{ "a broken address is not a name", "upstreams: {a: {hosts: 192.0.2.256:25}}", NULL,
	  "hosts cannot be \"192.0.2.256:25\"" },
	{ "IPv6 without brackets", "upstreams: {a: {hosts: '2001:db8::1:25'}}", NULL,
	  "hosts cannot be \"2001:db8::1:25\"" },
	{ "weights",
	  "upstreams: {a: {balance: weighted, hosts: ['mx.example:25*3', '[::1]:25*1000', b.example:25]}}",
	  "    hosts: [mx.example:25*3, \"[::1]:25*1000\", b.example:25]\n", NULL },
	{ "no weight", "upstreams: {a: {hosts: 'mx.example:25*'}}", NULL,
	  "hosts cannot be \"mx.example:25*\"" },
	{ "a weight of nothing", "upstreams: {a: {hosts: 'mx.example:25*0'}}", NULL,
	  "hosts cannot be \"mx.example:25*0\"" },
	{ "too heavy", "upstreams: {a: {hosts: 'mx.example:25*1001'}}", NULL,
	  "hosts cannot be \"mx.example:25*1001\"" },
	{ "a listener on a Unix socket", "listen: [{address: unix:/run/x.sock}]",
	  "    address: unix:/run/x.sock\n", NULL },
	{ "a listener on no path", "listen: [{address: 'unix:'}]", NULL,
	  "not a path for a Unix socket: \"unix:\"" },
	{ "an inherited descriptor", "listen: [{address: fd:3}]", "    address: fd:3\n", NULL },
	{ "an inherited descriptor by its name", "listen: [{address: fd:smtp.socket}]",
	  "    address: fd:smtp.socket\n", NULL },
	{ "standard output", "listen: [{address: fd:1}]", NULL, "not a descriptor to listen on: \"fd:1\"" },
	{ "no descriptor", "listen: [{address: 'fd:'}]", NULL, "not a descriptor to listen on: \"fd:\"" },
	{ "a name with a colon", "listen: [{address: 'fd:a:b'}]", NULL, "not a descriptor to listen on" },
	/* services */
	{ "a service on a socket", "access: {dovecot: unix:/run/dovecot/auth}",
	  "  dovecot: unix:/run/dovecot/auth\n", NULL },
	{ "a service on a port", "access: {policy_service: {address: '[::1]:10040'}}",
	  "    address: \"[::1]:10040\"\n", NULL },
	{ "a service by name", "access: {dovecot: dovecot.example:24}", NULL,
	  "dovecot cannot be \"dovecot.example:24\"" },
	{ "a service without a port", "access: {dovecot: 127.0.0.1}", NULL,
	  "dovecot cannot be \"127.0.0.1\"" },
	{ "a URL", "access: {token_check: 'http://127.0.0.1:9000/check'}",
	  "  token_check: http://127.0.0.1:9000/check\n", NULL },
	{ "a URL of another kind", "access: {token_check: 'ftp://127.0.0.1/'}", NULL,
	  "token_check cannot be \"ftp://127.0.0.1/\"" },
	{ "a URL with a password", "access: {token_check: 'http://a:b@127.0.0.1/'}", NULL,
	  "token_check cannot be" },
	{ "a URL without a host", "access: {token_check: 'http://'}", NULL, "token_check cannot be" },
	{ "a URL of a socket", "access: {token_check: 'http://unix:/run/check.sock:/check'}",
	  "  token_check: http://unix:/run/check.sock:/check\n", NULL },
	/* rates */
	{ "a rate", "listen: [{per_client: {messages: 14/s}}]", "      messages: 14/s\n", NULL },
	{ "no rate", "listen: [{per_client: {messages: 0}}]", "      messages: 0\n", NULL },
	{ "several rates", "access: {quotas: {per_user: [100/min, 5000/d]}}",
	  "    per_user: [100/min, 5000/d]\n", NULL },
	{ "a rate without a time", "listen: [{per_client: {messages: 600}}]", NULL,
	  "messages cannot be \"600\"" },
	{ "minutes are min", "listen: [{per_client: {messages: 600/m}}]", NULL,
	  "messages cannot be \"600/m\"" },
	{ "never in a time", "listen: [{per_client: {messages: 0/s}}]", NULL, "messages cannot be \"0/s\"" },
	{ "too high a rate", "listen: [{per_client: {messages: 4294967296/s}}]", NULL, "messages cannot be" },
	/* of listeners */
	{ "keywords in any case", "listen: [{hide: [chunking, Dsn]}]", "    hide: [CHUNKING, DSN]\n", NULL },
	{ "an unknown keyword", "listen: [{hide: CHUNK}]", NULL, "hide cannot be \"CHUNK\"" },
	{ "mechanisms", "listen: [{auth_mechanisms: [plain, scram-sha-256]}]",
	  "    auth_mechanisms: [PLAIN, SCRAM-SHA-256]\n", NULL },
	{ "a mechanism we do not serve", "listen: [{auth_mechanisms: [CRAM-MD5]}]", NULL,
	  "auth_mechanisms cannot be \"CRAM-MD5\"" },
	{ "certificates by name",
	  "listen: [{certificates: [{cert: /c, key: /k, names: [A.example, '*.B.example']}]}]",
	  "    certificates:\n      - cert: /c\n        key: /k\n        names: [a.example, \"*.b.example\"]\n",
	  NULL },
	{ "no certificates", "listen: [{certificates: }]", "    timeout: 5m\n", NULL },
	{ "a certificate without a key", "listen: [{certificates: [{cert: /c}]}]", NULL, "key is missing" },
	{ "a star in the middle", "listen: [{certificates: [{cert: /c, key: /k, names: 'a.*.example'}]}]",
	  NULL, "names cannot be \"a.*.example\"" },
	{ "a fingerprint as OpenSSL prints it",
	  "listen: [{cert: /c, key: /k, client_fingerprints: "
	  "{'00:01:02:03:04:05:06:07:08:09:0A:0b:0c:0d:0e:0f:10:11:12:13:14:15:16:17:18:19:1a:1b:1c:1d:1e:FF': ann}}]",
	  "      000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff: ann\n", NULL },
	{ "a short fingerprint", "listen: [{client_fingerprints: {'00:01': ann}}]", NULL,
	  "\"00:01\" is not the SHA-256 of a certificate" },
	{ "a fingerprint of nobody",
	  "listen: [{client_fingerprints: "
	  "{000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f: []}}]",
	  NULL, "a fingerprint needs a user's name" },
	{ "a listener on a name", "listen: [{address: mail.example:25}]", NULL,
	  "address cannot be \"mail.example:25\"" },
	{ "a listener on a port alone", "listen: [{address: 2525}]", NULL, "address cannot be \"2525\"" },
	{ "a DNS server", "dns: {servers: ['::1', '192.0.2.1:5353', 127.0.0.53]}",
	  "  servers: [\"::1\", 192.0.2.1:5353, 127.0.0.53]\n", NULL },
	{ "a DNS server by name", "dns: {servers: dns.example}", NULL, "servers cannot be \"dns.example\"" },
	{ "networks", "direct: {allow_private: [10.0.0.0/8, '::1', 192.0.2.1]}",
	  "  allow_private: [10.0.0.0/8, \"::1\", 192.0.2.1]\n", NULL },
	{ "host bits in a network", "direct: {allow_private: 10.0.0.1/8}", NULL,
	  "allow_private cannot be \"10.0.0.1/8\"" },
	{ "too many bits", "direct: {allow_private: 10.0.0.0/33}", NULL,
	  "allow_private cannot be \"10.0.0.0/33\"" },
	/* patterns */
	{ "all patterns", "access: {senders: [Ann@Example.COM, Example.com, .Example.com, any, '<>']}",
	  "  senders: [Ann@Example.COM, example.com, .example.com, any, <>]\n", NULL },
	{ "a star", "access: {senders: '*'}", NULL, "senders cannot be \"*\"" },
	{ "a star before a domain", "access: {senders: '*@example.com'}", NULL,
	  "senders cannot be \"*@example.com\"" },
	{ "two at signs", "access: {senders: a@b@c}", NULL, "senders cannot be \"a@b@c\"" },
	/* pairs */
	{ "a static host", "dns: {hosts: {Mail.Example: 192.0.2.1}}", "    mail.example: [192.0.2.1]\n",
	  NULL },
	{ "a static host twice", "dns: {hosts: {mail.example.: [192.0.2.1, 192.0.2.1, '::1']}}",
	  "    mail.example: [192.0.2.1, \"::1\"]\n", NULL },
	{ "a static host without addresses", "dns: {hosts: {mail.example: []}}", NULL,
	  "a host name needs addresses" },
	{ "a static host that is a name", "dns: {hosts: {mail.example: other.example}}", NULL,
	  "not an IP address" },
	{ "a static address", "dns: {hosts: {'[192.0.2.1]': 192.0.2.1}}", NULL,
	  "\"[192.0.2.1]\" is not a host name" },
	{ "a rewriting", "rewrite: {recipients: {a@b.example: c@d.example}}",
	  "    a@b.example: c@d.example\n", NULL },
	{ "a rewriting of postmaster", "rewrite: {recipients: {Postmaster: c@d.example}}",
	  "    postmaster: c@d.example\n", NULL },
	{ "a rewriting of a domain", "rewrite: {recipients: {b.example: d.example}}",
	  "    b.example: d.example\n", NULL },
	{ "an address does not become a domain", "rewrite: {recipients: {a@b.example: d.example}}", NULL,
	  "this is not where mail can be sent" },
	{ "two destinations", "rewrite: {recipients: {a@b.example: [c@d.example, e@f.example]}}", NULL,
	  "several destinations for one address are not built yet" },
	{ "the null reverse-path is nobody", "rewrite: {recipients: {'<>': c@d.example}}", NULL,
	  "\"<>\" is not a pattern for addresses" },
	/* of the road */
	{ "a provider", "upstreams: {a: {provider: workspace}}", "    hosts: [smtp-relay.gmail.com:587]\n",
	  NULL },
	{ "a provider that nobody knows", "upstreams: {a: {provider: acme}}", NULL,
	  "provider cannot be \"acme\"" },
	{ "a pin",
	  "upstreams: {a: {hosts: a.example:25, pins: "
	  "'sha256:00:01:02:03:04:05:06:07:08:09:0A:0b:0c:0d:0e:0f:10:11:12:13:14:15:16:17:18:19:1a:1b:1c:1d:1e:FF'}}",
	  "    pins: [000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff]\n", NULL },
	{ "a short pin", "upstreams: {a: {hosts: a.example:25, pins: '00:01'}}", NULL,
	  "pins cannot be \"00:01\"" },
	{ "a size that a message must have", "routes: [{min_size: 5MB, via: hold}, {via: direct}]",
	  "    min_size: 5MB\n", NULL },
	{ "no such size", "routes: [{max_size: 5, via: hold}, {via: direct}]", NULL,
	  "max_size needs a unit" },
	{ "header fields", "routes: [{header: {X-Stream: bulk, List-Id: '*'}, via: hold}, {via: direct}]",
	  "    header:\n      X-Stream: bulk\n      List-Id: \"*\"\n", NULL },
	{ "a header field with a space", "routes: [{header: {X Stream: bulk}, via: hold}, {via: direct}]",
	  NULL, "\"X Stream\" is not the name of a header field" },
	{ "a header field without a value", "routes: [{header: {X-Stream: ''}, via: hold}, {via: direct}]",
	  NULL, "a header field needs a value to look for" },
	{ "values of a header field", "routes: [{header: {X-Stream: [a, b]}, via: hold}, {via: direct}]",
	  NULL, "a header field needs a value to look for" },
	{ "reply codes",
	  "rules: [{reply: '421', do: slow}, {reply: 5*, do: bounce}, {reply: '550 5.7.*', do: retry}]",
	  "  - reply: 5*\n", NULL },
	{ "an enhanced code alone", "rules: [{reply: '* 4.7.1', do: slow}]", "  - reply: \"* 4.7.1\"\n",
	  NULL },
	{ "half a reply code", "rules: [{reply: '42', do: slow}]", NULL, "reply cannot be \"42\"" },
	{ "a long reply code", "rules: [{reply: '4210', do: slow}]", NULL, "reply cannot be \"4210\"" },
	{ "a star in the middle of a reply code", "rules: [{reply: 4*1, do: slow}]", NULL,
	  "reply cannot be \"4*1\"" },
	{ "a reply that is no failure", "rules: [{reply: '250', do: slow}]", NULL,
	  "reply cannot be \"250\"" },
	{ "a reply of words", "rules: [{reply: 421 later, do: slow}]", NULL,
	  "reply cannot be \"421 later\"" },
	{ "an enhanced code that is none", "rules: [{reply: '421 4..1', do: slow}]", NULL,
	  "reply cannot be \"421 4..1\"" },
	{ "octets in a time", "limits: {any: {byte_rate: [100MB/h, 5MiB/s]}}",
	  "    byte_rate: [100MB/h, 5MiB/s]\n", NULL },
	{ "no bound on octets", "limits: {any: {byte_rate: 0}}", "    byte_rate: [0]\n", NULL },
	{ "octets without a unit", "limits: {any: {byte_rate: 100/h}}", NULL,
	  "byte_rate cannot be \"100/h\"" },
	{ "octets without a time", "limits: {any: {byte_rate: 100MB}}", NULL,
	  "byte_rate cannot be \"100MB\"" },
	{ "octets that would wrap", "limits: {any: {byte_rate: 99999999999TB/s}}", NULL,
	  "byte_rate cannot be" },
	{ "messages a day", "limits: {any: {rate: [14/s, 50000/d]}}", "    rate: [14/s, 50000/d]\n", NULL },
	{ "a share for the rest", "limits: {any: {rest_share: 0%}}", "    rest_share: 0%\n", NULL },
	{ "too large a share for the rest", "limits: {any: {rest_share: 91%}}", NULL,
	  "rest_share is out of range" },
	{ "an own schedule", "routes: [{to: a.example, retry: {schedule: 1m}, via: direct}, {via: direct}]",
	  "    retry:\n      schedule: [1m]\n      warn_after: 4h\n", NULL },
	/* limits */
	{ "limits of subdomains", "limits: {.example.com: {connections: 2}}",
	  "  .example.com:\n    connections: 2\n", NULL },
	{ "limits of an address", "limits: {a@example.com: {connections: 2}}", NULL,
	  "limits are for domains, not for \"a@example.com\"" },
};

static void each_type_takes_and_shows_what_it_should(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		AUTO(buf_fini) struct buf shown = BUF(1u << 20);
		struct world w;
		enum err err = world_load_text(&w, values[i].yaml);
		bool good;

		if (!err)
			config_print(w.config, false, &shown);
		if (values[i].shown)
			good = !err && text_find(buf_text(&shown), text_from(values[i].shown)) < shown.len;
		else
			good = err == ERR_CONFIG && w.report.error_count == 1 &&
			       w.report.findings[0].place.line == 1 &&
			       text_starts(w.report.findings[0].message, text_from(values[i].wrong));
		if (!good)
			print_error("%s: %s\n%.*s%.*s", values[i].name, values[i].yaml,
			            TEXT_ARGS(buf_text(&w.said)), TEXT_ARGS(buf_text(&shown)));
		wrong += !good;
		world_fini(&w);
	}
	assert_int_equal(wrong, 0);
}

static const struct {
	const char *yaml;
	const char *hint;
} hints[] = {
	{ "dns: {timeout: 5}", "did you mean \"5s\"?" },
	{ "access: {max_message_size: 25}", "did you mean \"25MB\"?" },
	{ "spool: {reserve: 5}", "did you mean \"5%\"?" },
	{ "direct: {tls: required}", "did you mean \"require\"?" },
	{ "upstreams: {a: {hosts: mx.example}}", "the port is missing; did you mean \"mx.example:587\"?" },
	{ "upstreams: {a: {hosts: '2001:db8::1'}}", "did you mean \"[2001:db8::1]:587\"?" },
	{ "listen: [{address: localhost:25}]", "did you mean \"127.0.0.1:2525\"?" },
	{ "listen: [{address: ':25'}]",
	  "0.0.0.0:25 means every IPv4 address of this machine, \"[::]:25\" every one" },
	{ "listen: [{address: 2525}]", "did you mean \"127.0.0.1:2525\"?" },
	{ "direct: {allow_private: 10.0.0.1/8}", "the network is 10.0.0.0/8; one address is 10.0.0.1" },
	{ "direct: {allow_private: 'fd00::1/8'}", "the network is fd00::/8; one address is fd00::1" },
	{ "access: {senders: '*.example.com'}", "did you mean \".example.com\"?" },
	{ "access: {senders: '@example.com'}",
	  "every address of a domain is the domain alone: \"example.com\"" },
	{ "access: {senders: all}", NULL }, /* a domain of one label */
	{ "access: {token_check: 'http://192.0.2.1:9000/check'}",
	  "it would send secrets over the network: the service must be on this machine, at a loopback address or at "
	  "http://unix:/path/of/socket:/path/of/request" },
	{ "access: {token_check: 'https://127.0.0.1:9000/check'}",
	  "it must begin with http://: the service has to be on this machine, where TLS would hide nothing from anybody" },
	{ "access: {token_check: 'http://policyd:9000/check'}",
	  "it must have an IP address and a port: http://127.0.0.1:9000/check" },
	{ "access: {token_check: 'http://unix:run/check:/'}",
	  "it names no socket: write http://unix:/path/of/socket:/path/of/request" },
	{ "access: {senders: '*'}", "did you mean \"any\"?" },
};

static void a_wrong_value_gets_a_hint(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hints); i++) {
		struct world w;
		enum err err = world_load_text(&w, hints[i].yaml);

		CHECK_INT(hints[i].yaml, err, hints[i].hint ? ERR_CONFIG : ERR_OK);
		if (hints[i].hint)
			CHECK_TEXT(hints[i].yaml, w.report.findings[0].hint, text_from(hints[i].hint));
		world_fini(&w);
	}
}

static const struct {
	struct text text;
	bool flow;
	const char *quoted;
} quotes[] = {
	{ LIT("plain"), false, "plain" },
	{ LIT(""), false, "\"\"" },
	{ LIT("a: b"), false, "\"a: b\"" },
	{ LIT("a:b"), true, "a:b" },
	{ LIT("::1"), true, "\"::1\"" },
	{ LIT("[::1]:25"), false, "\"[::1]:25\"" },
	{ LIT("a, b"), true, "\"a, b\"" },
	{ LIT("a, b"), false, "a, b" },
	{ LIT("a #b"), false, "\"a #b\"" },
	{ LIT("a\"b"), false, "a\"b" },
	{ LIT("\"a\" \\b"), false, "\"\\\"a\\\" \\\\b\"" },
	{ LIT("${env:X}"), false, "\"$${env:X}\"" },
	{ LIT("ends "), false, "\"ends \"" },
	{ LIT("ends:"), false, "\"ends:\"" },
	{ LIT("*star"), false, "\"*star\"" },
};

static void quotes_stand_where_yaml_needs_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(quotes); i++) {
		AUTO(buf_fini) struct buf out = BUF(200);

		value_quote(quotes[i].text, quotes[i].flow, &out);
		CHECK_TEXT(quotes[i].quoted, buf_text(&out), text_from(quotes[i].quoted));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_type_takes_and_shows_what_it_should),
		cmocka_unit_test(a_wrong_value_gets_a_hint),
		cmocka_unit_test(quotes_stand_where_yaml_needs_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
