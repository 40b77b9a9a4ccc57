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
	{ "a mechanism without what it takes", "upstreams: {a: {hosts: [a.example:587], auth: plain}}\n",
	  "c.yaml:1:47: error: this mechanism needs a name and a password\n"
	  "    1 | upstreams: {a: {hosts: [a.example:587], auth: plain}}\n"
	  "      |                                               ^^^^^\n"
	  "  expected: username: and password_file:\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "tokens from nowhere", "upstreams: {a: {hosts: [a.example:587], username: u, auth: xoauth2}}\n",
	  "c.yaml:1:60: error: this mechanism needs a name and tokens\n"
	  "    1 | upstreams: {a: {hosts: [a.example:587], username: u, auth: xoauth2}}\n"
	  "      |                                                            ^^^^^^^\n"
	  "  expected: username: and oauth2:\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "tokens from two places",
	  "upstreams: {a: {hosts: [a.example:587], username: u, oauth2: {token_file: /t, token_command: c}}}\n",
	  "c.yaml:1:62: error: more than one source of tokens\n"
	  "    1 | upstreams: {a: {hosts: [a.example:587], username: u, oauth2: {token_file: /t, token_command: c}}}\n"
	  "      |                                                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
	  "  expected: one of token_url, token_file, token_command\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a token for nothing",
	  "upstreams: {a: {hosts: [a.example:587], username: u, oauth2: {token_url: https://i.example/, client_id: c}}}\n",
	  "c.yaml:1:74: error: nothing that a token would be given for\n"
	  "    1 | upstreams: {a: {hosts: [a.example:587], username: u, oauth2: {token_url: https://i.example/, client_...\n"
	  "      |                                                                          ^^^^^^^^^^^^^^^^^^\n"
	  "  expected: client_secret_file:, or refresh_token_file:\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "tokens from a URL that shows a password",
	  "upstreams: {a: {hosts: [a.example:587], username: u, oauth2: {token_url: https://u@i.example/, client_id: c, "
	  "client_secret: s}}}\n",
	  "c.yaml:1:74: error: the token_url must not have a user or a password in front of its host\n"
	  "    1 | upstreams: {a: {hosts: [a.example:587], username: u, oauth2: {token_url: https://u@i.example/, clien***\n"
	  "      |                                                                          ^^^^^^^^^^^^^^^^^^^^\n"
	  "  expected: a URL such as https://login.example.com/token\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "tokens in clear",
	  "upstreams: {a: {hosts: [a.example:587], username: u, oauth2: {token_url: http://i.example/, client_id: c, "
	  "client_secret: s}}}\n",
	  "c.yaml:1:74: error: the token_url would send secrets over the network in clear\n"
	  "    1 | upstreams: {a: {hosts: [a.example:587], username: u, oauth2: {token_url: http://i.example/, client_i***\n"
	  "      |                                                                          ^^^^^^^^^^^^^^^^^\n"
	  "  expected: https://, or http:// to an address of this machine: http://127.0.0.1:9000/token\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a username alone", "upstreams: {a: {hosts: [a.example:587], username: u}}\n",
	  "c.yaml:1:51: error: a username without a password and without tokens\n"
	  "    1 | upstreams: {a: {hosts: [a.example:587], username: u}}\n"
	  "      |                                                   ^\n"
	  "  expected: password_file: or oauth2:\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a login by a certificate that is not there",
	  "upstreams: {a: {hosts: [a.example:587], auth: external}}\n",
	  "c.yaml:1:47: error: external means the certificate that we show\n"
	  "    1 | upstreams: {a: {hosts: [a.example:587], auth: external}}\n"
	  "      |                                               ^^^^^^^^\n"
	  "  expected: cert: and key:\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "half of a certificate of ours", "upstreams: {a: {hosts: [a.example:587], key: /k}}\n",
	  "c.yaml:1:46: error: a key without its certificate\n"
	  "    1 | upstreams: {a: {hosts: [a.example:587], key: /k}}\n"
	  "      |                                              ^^\n"
	  "  expected: cert:\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a proof that is not wanted",
	  "upstreams: {a: {hosts: [a.example:587], dane: true, verify: false}}\n",
	  "c.yaml:1:47: error: verify: false takes any certificate, and dane does not\n"
	  "    1 | upstreams: {a: {hosts: [a.example:587], dane: true, verify: false}}\n"
	  "      |                                               ^^^^\n"
	  "  expected: one of the two\n"
	  "\n"
	  "c.yaml:1:61: warning: the certificate of upstream \"a\" is not checked\n"
	  "    1 | upstreams: {a: {hosts: [a.example:587], dane: true, verify: false}}\n"
	  "      |                                                             ^^^^^\n"
	  "  anyone between us and it can read and change the mail\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "MX hosts of an address", "upstreams: {a: {hosts: ['192.0.2.1:25'], mx: true}}\n",
	  "c.yaml:1:24: error: an address has no MX hosts: 192.0.2.1:25\n"
	  "    1 | upstreams: {a: {hosts: ['192.0.2.1:25'], mx: true}}\n"
	  "      |                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
	  "  expected: a domain, or mx: false\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "another user without a password",
	  "upstreams: {a: {hosts: [a.example:587]}}\n"
	  "routes: [{via: a, username: u}]\n",
	  "c.yaml:2:29: error: a username without a password\n"
	  "    2 | routes: [{via: a, username: u}]\n"
	  "      |                             ^\n"
	  "  expected: password_file:\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "another user where nobody is logged in",
	  "upstreams: {a: {hosts: [a.example:587], auth: none}}\n"
	  "routes: [{via: a, username: u, password: p}]\n",
	  "c.yaml:2:29: error: upstream \"a\" takes no passwords\n"
	  "    2 | routes: [{via: a, username: u, password: ***\n"
	  "      |                             ^\n"
	  "  expected: auth: auto there, or an upstream of its own with other credentials\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "no message is of that size",
	  "routes: [{min_size: 2MB, max_size: 1MB, via: hold}, {via: direct}]\n",
	  "c.yaml:1:21: error: no message is larger than min_size and smaller than max_size\n"
	  "    1 | routes: [{min_size: 2MB, max_size: 1MB, via: hold}, {via: direct}]\n"
	  "      |                     ^^^\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "an own schedule without times", "routes: [{via: direct, retry: {schedule: []}}]\n",
	  "c.yaml:1:42: error: a schedule without times\n"
	  "    1 | routes: [{via: direct, retry: {schedule: []}}]\n"
	  "      |                                          ^^^^^\n"
	  "  expected: schedule: [1m, 5m, 15m, 1h, 4h]\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "everybody's provider", "limits: {any: {match_mx: .google.com}}\n",
	  "c.yaml:1:26: error: match_mx is for a provider's limits, not for `any`\n"
	  "    1 | limits: {any: {match_mx: .google.com}}\n"
	  "      |                          ^^^^^^^^^^^\n"
	  "  expected: limits: {gmail.com: {match_mx: .google.com}}\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a rule to nowhere", "rules: [{reply: '450', do: other-route}]\n",
	  "c.yaml:1:28: error: other-route needs an upstream\n"
	  "    1 | rules: [{reply: '450', do: other-route}]\n"
	  "      |                            ^^^^^^^^^^^\n"
	  "  expected: via: and the name of an upstream\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a rule to another way than it goes", "rules: [{reply: '450', do: slow, via: b}]\n",
	  "c.yaml:1:39: error: via belongs to do: other-route\n"
	  "    1 | rules: [{reply: '450', do: slow, via: b}]\n"
	  "      |                                       ^\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a rule for somebody who is not there",
	  "rules: [{reply: '450', upstream: [direct, ses], do: slow}]\n",
	  "c.yaml:1:34: error: there is no upstream \"ses\"\n"
	  "    1 | rules: [{reply: '450', upstream: [direct, ses], do: slow}]\n"
	  "      |                                  ^^^^^^^^^^^^^^^^^^^^^^^^^\n"
	  "  expected: the name of an upstream, or direct\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a login that others may see",
	  "upstreams: {a: {hosts: [a.example:25], tls: opportunistic, username: u, password: p}}\n",
	  "c.yaml:1:45: error: the login at upstream \"a\" would be shown to whoever answers there\n"
	  "    1 | upstreams: {a: {hosts: [a.example:25], tls: opportunistic, username: u, password: ***\n"
	  "      |                                             ^^^^^^^^^^^^^\n"
	  "  TLS is not demanded\n"
	  "  hint: tls: require with verify: true; or auth_plaintext: true\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a login for whoever the DNS names",
	  "upstreams: {a: {hosts: [a.example:25], mx: true, username: u, password: p}}\n",
	  "c.yaml:1:13: error: the login at upstream \"a\" would be shown to whoever answers there\n"
	  "    1 | upstreams: {a: {hosts: [a.example:25], mx: true, username: u, password: ***\n"
	  "      |             ^\n"
	  "  the DNS says which host it is (mx: true), and that is what its certificate is compared with\n"
	  "  hint: server_name:\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a login of a route that others may see",
	  "upstreams: {a: {hosts: [a.example:587], username: u, password: p}}\n"
	  "routes: [{from: x.example, via: a, tls: opportunistic}, {via: a}]\n",
	  "c.yaml:1:13: error: the login at upstream \"a\" would be shown to whoever answers there\n"
	  "    1 | upstreams: {a: {hosts: [a.example:587], username: u, password: ***\n"
	  "      |             ^\n"
	  "  TLS is not demanded\n"
	  "  hint: tls: require with verify: true; or auth_plaintext: true\n"
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
	{ "a route by size that is never reached",
	  "listen: [{client_ca: /ca, cert: /c, key: /k}]\n"
	  "routes:\n"
	  "  - {min_size: 1MB, via: hold}\n"
	  "  - {min_size: 2MB, user: ann, header: {X-Stream: bulk}, via: direct}\n",
	  "c.yaml:4:5: warning: this route is never reached: route #1 matches all that it would\n"
	  "    4 |   - {min_size: 2MB, user: ann, header: {X-Stream: bulk}, via: direct}\n"
	  "      |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
	  "  hint: put the narrower route first (defined at c.yaml:3)\n"
	  "\n" },
	{ "a route by user and header field that is never reached",
	  "listen: [{xclient: 10.0.0.1}]\n"
	  "routes:\n"
	  "  - {user: any, header: {x-stream: '*'}, via: hold}\n"
	  "  - {user: ann, header: {X-Stream: bulk, List-Id: a}, via: direct}\n",
	  "c.yaml:4:5: warning: this route is never reached: route #1 matches all that it would\n"
	  "    4 |   - {user: ann, header: {X-Stream: bulk, List-Id: a}, via: direct}\n"
	  "      |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
	  "  hint: put the narrower route first (defined at c.yaml:3)\n"
	  "\n" },
	{ "a road for what does not leave",
	  "routes: [{to: a.example, via: hold, helo: a.example}, {via: direct}]\n",
	  "c.yaml:1:43: warning: helo has no meaning via hold\n"
	  "    1 | routes: [{to: a.example, via: hold, helo: a.example}, {via: direct}]\n"
	  "      |                                           ^^^^^^^^^\n"
	  "\n" },
	{ "a user where nobody has a name", "routes: [{user: ann, via: hold}, {via: direct}]\n",
	  "c.yaml:1:17: warning: nobody can log in, and no mail has a user\n"
	  "    1 | routes: [{user: ann, via: hold}, {via: direct}]\n"
	  "      |                 ^^^\n"
	  "  hint: listen: [{auth: optional}] and access.users_file\n"
	  "\n" },
	{ "a wait for nobody", "listen: [{hand_over_timeout: 5s}]\n",
	  "c.yaml:1:30: warning: hand_over_timeout has no meaning with hand_over: store\n"
	  "    1 | listen: [{hand_over_timeout: 5s}]\n"
	  "      |                              ^^\n"
	  "  hint: hand_over: through_or_store\n"
	  "\n" },
	{ "a login for MX hosts", "routes: [{via: direct, username: ann}]\n",
	  "c.yaml:1:34: warning: username has no meaning via direct\n"
	  "    1 | routes: [{via: direct, username: ann}]\n"
	  "      |                                  ^^^\n"
	  "\n" },
	{ "a size that is never taken", "routes: [{min_size: 1GB, via: hold}, {via: direct}]\n",
	  "c.yaml:1:21: warning: no message of that size is taken: access.max_message_size is smaller\n"
	  "    1 | routes: [{min_size: 1GB, via: hold}, {via: direct}]\n"
	  "      |                     ^^^\n"
	  "\n" },
	{ "weights that do not count", "upstreams: {a: {hosts: ['a.example:587*2', b.example:587]}}\n",
	  "c.yaml:1:24: warning: weights have no meaning with balance: order\n"
	  "    1 | upstreams: {a: {hosts: ['a.example:587*2', b.example:587]}}\n"
	  "      |                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
	  "  hint: balance: weighted\n"
	  "\n" },
	{ "a proof that is not looked at",
	  "upstreams: {a: {hosts: [a.example:25], tls: none, ca_file: /ca}}\n",
	  "c.yaml:1:60: warning: ca_file is not looked at without `tls: require` or `implicit`\n"
	  "    1 | upstreams: {a: {hosts: [a.example:25], tls: none, ca_file: /ca}}\n"
	  "      |                                                            ^^^\n"
	  "  hint: tls: require\n"
	  "\n" },
	{ "a login that others may see, by choice",
	  "upstreams: {a: {hosts: [a.example:25], tls: none, username: u, auth_plaintext: true, password: p}}\n",
	  "c.yaml:1:80: warning: the login at upstream \"a\" is shown to whoever answers there\n"
	  "    1 | upstreams: {a: {hosts: [a.example:25], tls: none, username: u, auth_plaintext: true, password: ***\n"
	  "      |                                                                                ^^^^\n"
	  "  TLS is not demanded\n"
	  "\n" },
	{ "a rule that is never reached",
	  "rules:\n"
	  "  - {reply: 4*, text: many, do: slow}\n"
	  "  - {reply: 421 4.7.0, text: Too Many messages, do: suspend}\n",
	  "c.yaml:3:5: warning: this rule is never reached: rule #1 matches all that it would\n"
	  "    3 |   - {reply: 421 4.7.0, text: Too Many messages, do: suspend}\n"
	  "      |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
	  "  hint: put the narrower rule first (defined at c.yaml:2)\n"
	  "\n" },
	{ "a time that nothing lasts", "rules: [{reply: '550', do: bounce, for: 5m}]\n",
	  "c.yaml:1:41: warning: `for` has a meaning with slow and suspend only\n"
	  "    1 | rules: [{reply: '550', do: bounce, for: 5m}]\n"
	  "      |                                         ^^\n"
	  "\n" },
	{ "an upstream's own retries", "upstreams: {a: {hosts: [a.example:587], retry: {warn_after: 6d}}}\n",
	  "c.yaml:1:61: warning: mail is given up before anyone is warned\n"
	  "    1 | upstreams: {a: {hosts: [a.example:587], retry: {warn_after: 6d}}}\n"
	  "      |                                                             ^^\n"
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
	{ "routes whose conditions on the message differ",
	  "listen: [{client_ca: /ca, cert: /c, key: /k}]\n"
	  "routes: [{user: ann, via: hold}, {user: bob, via: hold}, {header: {X-A: b*}, via: hold}, "
	  "{header: {X-A: bc}, via: hold}, {max_size: 1MB, via: hold}, {max_size: 2MB, via: hold}, "
	  "{min_size: 2MB, via: hold}, {min_size: 1MB, via: hold}, {user: any, via: hold}, {via: direct}]\n" },
	{ "rules that differ",
	  "rules: [{reply: '421', do: slow}, {reply: 42*, do: slow}, {reply: '* 4.7.1', do: slow}, "
	  "{reply: 450 4.7.*, to: a.example, do: slow}, {reply: 450 4.7.2, do: slow}, "
	  "{reply: '550', text: spam, do: retry}, {reply: '550', do: retry}]\n" },
	{ "a login over TLS", "upstreams: {a: {hosts: [a.example:587], username: u, password: p}}\n" },
	{ "a login on this machine, without TLS",
	  "upstreams: {a: {hosts: ['127.0.0.1:25'], tls: none, username: u, password: p}}\n" },
	{ "MX hosts by a domain's name",
	  "upstreams: {a: {hosts: [a.example:25], mx: true, server_name: mx.a.example, username: u, password: p}}\n" },
	{ "a login for some", "upstreams: {a: {hosts: [a.example:587]}}\n"
	                      "routes: [{from: x.example, via: a, username: u, password: p}, {via: a}]\n" },
	{ "a class for mail that leaves",
	  "routes: [{from: x.example, via: direct, class: bulk}, {via: direct}]\n" },
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
