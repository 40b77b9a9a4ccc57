#include "unit/config/world.h"

#include "support/alloc.h"

static const char ordinary[] =
	"hostname: relay.example.com\n"
	"include: [more/*.yaml]\n"
	"listen:\n"
	"  - &l {name: apps, address: '127.0.0.1:2525', allow: [127.0.0.0/8, '::1']}\n"
	"dns: {servers: [127.0.0.53], hosts: {mail.example: [192.0.2.1, 192.0.2.2]}}\n"
	"upstreams:\n"
	"  ses: {hosts: ['smtp.example.com:587', '[2001:db8::1]:587'], timeouts: {dot: 20m}, connections: 4}\n"
	"  own: {hosts: mx.example:25, tls: none, helo: out.example.com}\n"
	"routes:\n"
	"  - {to: [bank.example, .bank.example], via: direct, tls: require}\n"
	"  - {from: news.example.com, via: own}\n"
	"  - {listener: apps, via: ses}\n"
	"limits: {gmail.com: {connections: 10}, any: {connections: 5}}\n"
	"rewrite: {recipients: {postmaster: ops@example.com, '${env:NONE}x.example': y.example}}\n"
	"access: {senders: [a1.example, a2.example, a3.example, a4.example, a5.example, a6.example, a7.example, x@a8.example, any]}\n"
	"spool: {path: '${env:BASE}/spool', reserve: 10%}\n";

static void the_struct_mirrors_the_file(void **state)
{
	struct world w = {
		.files = { { "c.yaml",
		             "hostname: relay.example.com\n"
		             "listen: [{name: apps, address: '[::1]:2525', allow: ['::1']}]\n"
		             "dns: {servers: [127.0.0.53], hosts: {Mail.Example.: [192.0.2.1]}}\n"
		             "upstreams:\n"
		             "  ses: {hosts: ['smtp.example.com:587', '[2001:db8::1]:25'], timeouts: {dot: 20m}}\n"
		             "routes: [{to: bank.example, via: direct, tls: require}, {listener: apps, via: ses}]\n"
		             "limits: {gmail.com: {connections: 10}, any: {recipients_per_message: 5}}\n"
		             "spool: {max_size: 1GB, reserve: 10%}\n"
		             "retry: {warn_after: never}\n" } }
	};

	(void)state;
	world_must_load(&w);
	const struct config *c = w.config;
	const struct config_listener *l = &c->listen.items[0];

	CHECK_TEXT("host", l->address.host, TEXT("::1"));
	assert_int_equal(l->address.port, 2525);
	assert_int_equal(l->address.ip.family, IP_V6);
	assert_int_equal(l->place.line, 2);
	assert_int_equal(l->place.column, 10);
	CHECK_TEXT("file", l->place.file, TEXT("c.yaml"));
	assert_int_equal(c->dns.servers.items[0].port, 53);
	CHECK_TEXT("name", c->dns.hosts.items[0].name, TEXT("mail.example"));
	const struct config_upstream *u = &c->upstreams.items[0];

	CHECK_TEXT("upstream", u->name, TEXT("ses"));
	CHECK_TEXT("helo", u->helo, TEXT("relay.example.com"));
	assert_int_equal(u->hosts.count, 2);
	assert_int_equal(u->hosts.items[0].ip.family, IP_NONE);
	assert_int_equal(u->hosts.items[1].ip.family, IP_V6);
	assert_int_equal(u->timeouts.dot_ms, 20 * MINUTE_MS);
	assert_int_equal(u->timeouts.rcpt_ms, 5 * MINUTE_MS);
	assert_int_equal(u->tls, CONFIG_TLS_REQUIRE);
	assert_true(u->verify);
	assert_int_equal(c->routes.items[0].via, CONFIG_VIA_DIRECT);
	assert_true(c->routes.items[0].has_tls && c->routes.items[0].tls == CONFIG_TLS_REQUIRE);
	assert_ptr_equal(c->routes.items[1].upstream, u);
	assert_false(c->routes.items[1].has_tls);
	assert_int_equal(c->limits.count, 1);
	assert_int_equal(c->limits.items[0].pace.connections, 10);
	assert_int_equal(c->limits.items[0].pace.recipients_per_message, 5);
	assert_int_equal(c->limits.any.pace.connections, 20);
	assert_int_equal(c->spool.reserve_hundredths, 1000);
	assert_int_equal(c->spool.reserve_bytes, 100000000);
	assert_true(c->retry.warn_after_ms == CONFIG_NEVER);
	assert_true(c->retry.warn_after_ms + INT64_C(4102444800000) > 0); /* no overflow in the year 2100 */
	world_fini(&w);
}

static void without_anything_it_runs_on_loopback_and_delivers_by_mx(void **state)
{
	struct world w = { .config = NULL };

	(void)state;
	world_must_load(&w);
	CHECK_TEXT("name", w.config->listen.items[0].name, TEXT("default"));
	CHECK_TEXT("address", w.config->listen.items[0].address.text, TEXT("127.0.0.1:2525"));
	assert_int_equal(w.config->listen.items[0].allow.count, 2);
	CHECK_TEXT("place", w.config->listen.items[0].place.file, TEXT("default"));
	assert_int_equal(w.config->routes.count, 1);
	assert_int_equal(w.config->routes.items[0].via, CONFIG_VIA_DIRECT);
	CHECK_TEXT("hostname", w.config->hostname, TEXT("machine.example.net"));
	CHECK_TEXT("bounces", w.config->bounce.from, TEXT("postmaster@machine.example.net"));
	assert_int_equal(w.report.count, 0);
	world_fini(&w);
}

static void a_snapshot_lives_as_long_as_somebody_holds_it(void **state)
{
	struct world w = { .config = NULL };

	(void)state;
	world_must_load(&w);
	const struct config *held = config_ref(w.config);

	world_fini(&w);
	assert_null(w.config);
	CHECK_TEXT("still there", held->hostname, TEXT("machine.example.net"));
	config_unref(&held);
	assert_null(held);
	config_unref(&held);
}

static void after_errors_the_old_snapshot_is_untouched(void **state)
{
	struct world w = { .config = NULL };

	(void)state;
	world_must_load(&w);
	const struct config *old = w.config;

	config_report_fini(&w.report);
	buf_fini(&w.said);
	w.sets[0] = "nonsense=1";
	assert_int_equal(world_load(&w), ERR_CONFIG);
	assert_ptr_equal(w.config, old);
	world_fini(&w);
}

static void any_allocation_may_fail(void **state)
{
	unsigned failed = 0;

	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct world w = { .files = { { "c.yaml", ordinary },
			                      { "more/1.yaml", "retry: {schedule: [1s, 2s]}\n" } },
			           .environment = { "BASE=/base", "NONE=n", "POSTRIDER__STOP__DRAIN=3s" },
			           .sets = { "log.level=debug" } };
		enum err err = world_load(&w);

		failed += err == ERR_NOMEM;
		/* the file has one error on purpose: the long paths of error texts are to fail too */
		assert_true(err == ERR_NOMEM || err == ERR_CONFIG);
		assert_null(w.config);
		world_fini(&w);
	}
	assert_true(failed > 20);
}

/* Presets, URLs, the names of other images, secrets, routes and rules of every kind. */
static void any_allocation_may_fail_on_the_road(void **state)
{
	unsigned failed = 0;
	bool loaded = false;

	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct world w = {
			.files = { { "c.yaml",
			             "listen: [{client_ca: /ca, cert: /c, key: /k}]\n"
			             "upstreams:\n"
			             "  ses: {provider: ses, region: eu-west-1, username: u, password_file: /secret,\n"
			             "        retry: {schedule: 1m}}\n"
			             "  pm: {provider: postmark, password: p}\n"
			             "  own: {hosts: ['a.example:25*2', b.example:25], balance: weighted, source: 192.0.2.1,\n"
			             "        pins: 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f}\n"
			             "routes:\n"
			             "  - {user: a, header: {X-A: b, X-B: '*'}, min_size: 1KB, via: ses, username: v,\n"
			             "     password: '${env:NONE}', retry: {give_up_after: 1h}}\n"
			             "  - {to: pm.example, via: pm}\n"
			             "  - {to: own.example, via: own, helo: x.example}\n"
			             "  - {via: default}\n"
			             "rules: [{reply: '421', text: x, do: slow}, {reply: 4*, upstream: ses, do: other-route, via: own}]\n" },
			           { "/secret", "swordfish\n" } },
			.environment = { "NONE=n", "POSTRIDER_UPSTREAM=smtps://ann:p%40@h.example",
			                 "MAILNAME=m.example", "POSTFIX_message_size_limit=1000000",
			                 "RELAYHOST=r.example" }
		};
		enum err err = world_load(&w);

		if (err == ERR_CONFIG)
			fail_msg("%.*s", TEXT_ARGS(buf_text(&w.said)));
		assert_true(err == ERR_NOMEM ? !w.config : w.config != NULL);
		loaded = !err;
		failed += err == ERR_NOMEM;
		world_fini(&w);
	}
	assert_true(loaded && failed > 50);
}

static void any_allocation_may_fail_when_all_is_good(void **state)
{
	bool loaded = false;

	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct world w = {
			.files = { { "c.yaml",
			             "listen: [{name: a}]\nupstreams: {u: {hosts: h.example:25}}\n"
			             "access: {senders: [1.example, 2.example, 3.example, 4.example, 5.example,\n"
			             "  6.example, 7.example, 8.example, x@9.example, .10.example]}\n" } }
		};
		enum err err = world_load(&w);

		assert_true(err == ERR_NOMEM ? !w.config : w.config != NULL);
		loaded = !err;
		world_fini(&w);
	}
	assert_true(loaded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_struct_mirrors_the_file),
		cmocka_unit_test(without_anything_it_runs_on_loopback_and_delivers_by_mx),
		cmocka_unit_test(a_snapshot_lives_as_long_as_somebody_holds_it),
		cmocka_unit_test(after_errors_the_old_snapshot_is_untouched),
		cmocka_unit_test(any_allocation_may_fail),
		cmocka_unit_test(any_allocation_may_fail_on_the_road),
		cmocka_unit_test(any_allocation_may_fail_when_all_is_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
