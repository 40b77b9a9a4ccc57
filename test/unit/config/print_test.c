#include "unit/config/world.h"

/* Everything that can be set, with octets that need quotes. */
static const char full[] =
	"hostname: relay.app.example.com\n"
	"spool: {path: '/var/my: spool #1', max_size: 1GiB, reserve: 2.5%, durable: yes}\n"
	"dns: {servers: ['[::1]:53', 127.0.0.53], timeout: 1500ms, hosts: {mail.example: [192.0.2.1, '::1']}}\n"
	"listen:\n"
	"  - {name: 'a, b', address: '[::]:25', allow: ['fd00::/8', 10.0.0.0/8], accept_for: [a.example, .b.example, x@c.example],\n"
	"     tls: require, cert: /c, key: /k, client_ca: /ca, hand_over: through_or_store, max_sessions: 1, max_errors: 2, per_client: {sessions: 3}, timeout: 1h}\n"
	"  - {address: 'unix:/run/x y.sock', tls: none}\n"
	"access: {senders: ['\"a b\"@x.example', '<>'], recipients: any, max_message_size: 1MB, max_recipients: 100, max_hops: 5}\n"
	"upstreams:\n"
	"  one: {hosts: ['h.example:25', '[::1]:26'], tls: none, verify: no, helo: '[192.0.2.1]', ip: prefer-v6, connections: 3,\n"
	"        timeouts: {connect: 1s, dot: 1h}}\n"
	"  '2': {hosts: h.example:1, ca_file: /ca}\n"
	"  ses: {provider: ses, region: eu-west-1, username: 'u: 1', password: 's, 1', rate: [14/s, 5000/d], byte_rate: 1MB/s}\n"
	"  pm: {provider: postmark, username: token, password: token}\n"
	"  ms: {provider: office365, username: a@b.example, cert: /c, key: /k, oauth2: {token_url: 'https://i.example/t',\n"
	"       client_id: 'a #b', client_secret: x, scope: 'y z'}}\n"
	"  lm: {hosts: ['unix:/run/lmtp', 'l.example:24*3'], protocol: lmtp, balance: weighted, source: '2001:db8::1',\n"
	"       retry: {schedule: [1s, 1m]}, pins: 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f}\n"
	"routes:\n"
	"  - {to: .x.example, from: '<>', listener: ['a, b', 'unix:/run/x y.sock'], via: one, tls: none}\n"
	"  - {to: y.example, via: '2', tls: require}\n"
	"  - {to: z.example, via: hold}\n"
	"  - {user: [any, 'a: b'], header: {X-A: '*', x-a: 'b # c', List-Id: '<*.x>'}, min_size: 1KB, max_size: 5MiB, via: ses,\n"
	"     username: v, password: w, source: 192.0.2.2, helo: x.example, ip: v6, class: urgent, ledger: strict, unknown: hold,\n"
	"     retry: {give_up_after: 1h}}\n"
	"  - {user: ann, via: pm}\n"
	"  - {user: bob, via: ms}\n"
	"  - {user: eve, via: lm}\n"
	"  - {via: direct}\n"
	"direct: {port: 26, tls: none, allow_private: 10.0.0.0/8, source: [192.0.2.1, '2001:db8::1'], ip: v4, timeouts: {rcpt: 7s}}\n"
	"limits: {gmail.com: {connections: 1}, .x.example: {messages_per_connection: 2}, any: {recipients_per_message: 3}}\n"
	"retry: {schedule: [1s, 2m], warn_after: never, give_up_after: 60d, bounce_give_up_after: 36h}\n"
	"rules: [{reply: '421', text: 'a: b', to: x.example, upstream: [ses, direct], do: slow, for: 1m},\n"
	"  {reply: 5* 5.7.*, do: other-route, via: lm}, {reply: '* 4.3.2', do: suspend}]\n"
	"tls_reports: {send: yes, organization: 'A & B: C'}\n"
	"bounce: {from: Ops@Example.com, include: full, max_size: 1KB}\n"
	"rewrite: {recipients: {postmaster: ops@example.com, any: 'a@b.example', '\"a: b\"@c.example': d@e.example, x.example: y.example}}\n"
	"log: {level: debug, headers: [Subject]}\n"
	"admin: {socket: /run/a}\n"
	"stop: {drain: 1m, linger: 0s}\n";

static void what_is_printed_loads_to_the_same(void **state)
{
	struct world first = { .files = { { "c.yaml", full } } };
	AUTO(buf_fini) struct buf once = BUF(1u << 20);
	AUTO(buf_fini) struct buf twice = BUF(1u << 20);
	AUTO(buf_fini) struct buf with_origins = BUF(1u << 20);

	(void)state;
	world_must_load(&first);
	config_print(first.config, false, &once);
	buf_add_octet(&once, '\0');
	struct world second = { .files = { { "again.yaml", once.at } } };

	world_must_load(&second);
	config_print(second.config, false, &twice);
	buf_add_octet(&twice, '\0');
	assert_string_equal(twice.at, once.at);
	config_print(second.config, true, &with_origins);
	buf_add_octet(&with_origins, '\0');
	struct world third = { .files = { { "origins.yaml", with_origins.at } } };

	world_must_load(&third);
	buf_reset(&twice);
	config_print(third.config, false, &twice);
	buf_add_octet(&twice, '\0');
	assert_string_equal(twice.at, once.at);
	world_fini(&first);
	world_fini(&second);
	world_fini(&third);
}

static void every_value_has_its_origin(void **state)
{
	struct world w = { .files = { { "c.yaml", "limits:\n"
		                                  "  gmail.com: {connections: 1}\n"
		                                  "  any: {recipients_per_message: 3}\n"
		                                  "dns:\n"
		                                  "  hosts: {Mail.Example: 192.0.2.1}\n"
		                                  "retry: {schedule: 7m, warn_after: 2h}\n"
		                                  "upstreams:\n"
		                                  "  own:\n"
		                                  "    hosts: [a.example:587]\n"
		                                  "    retry: {warn_after: 3h}\n"
		                                  "routes:\n"
		                                  "  - to: x.example\n"
		                                  "    via: own\n"
		                                  "    retry: {give_up_after: 9h}\n"
		                                  "  - via: default\n" } },
		           .environment = { "POSTRIDER_UPSTREAM=smtp://mx.example" } };
	AUTO(buf_fini) struct buf shown = BUF(1u << 20);
	static const char *const lines[] = {
		"    mail.example: [192.0.2.1]                         # c.yaml:5\n",
		"    connections: 1                                    # c.yaml:2\n",
		"    messages_per_connection: 100                      # default\n",
		"    recipients_per_message: 3                         # c.yaml:3\n",
		"    hosts: [mx.example:587]                           # POSTRIDER_UPSTREAM\n",
		"    via: default                                      # c.yaml:15\n",
		/* what is written elsewhere and holds here */
		"    recipients_per_message: 3                         # c.yaml:3\n    adapt",
		"    retry:\n"
		"      schedule: [7m]                                  # c.yaml:6\n"
		"      warn_after: 3h                                  # c.yaml:10\n"
		"      give_up_after: 5d                               # default\n",
		"    retry:\n"
		"      schedule: [7m]                                  # c.yaml:6\n"
		"      warn_after: 3h                                  # c.yaml:10\n"
		"      give_up_after: 9h                               # c.yaml:14\n",
	};

	(void)state;
	world_must_load(&w);
	config_print(w.config, true, &shown);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		CHECK(lines[i], text_find(buf_text(&shown), text_from(lines[i])) < shown.len);
	world_fini(&w);
}

static void a_buffer_that_is_too_small_says_so(void **state)
{
	struct world w = { .config = NULL };
	AUTO(buf_fini) struct buf shown = BUF(100);

	(void)state;
	world_must_load(&w);
	config_print(w.config, true, &shown);
	assert_int_equal(buf_err(&shown), ERR_TOO_BIG);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_printed_loads_to_the_same),
		cmocka_unit_test(every_value_has_its_origin),
		cmocka_unit_test(a_buffer_that_is_too_small_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
