#include "unit/config/world.h"

#include <postrider/route.h>

static struct ip ip_of(const char *text)
{
	struct ip ip;

	if (ip_parse(text_from(text), &ip))
		fail_msg("%s is no address", text);
	return ip;
}

static const struct {
	const char *listener;
	const char *client; /* NULL: through a Unix socket */
	bool may;
} clients[] = {
	{ "{}", "127.0.0.1", true },
	{ "{}", "127.255.0.1", true },
	{ "{}", "::1", true },
	{ "{}", "::ffff:127.0.0.1", true },
	{ "{}", "10.0.0.1", false },
	{ "{}", "::2", false },
	{ "{}", NULL, false },
	{ "{allow: []}", "127.0.0.1", false },
	{ "{allow: [10.0.0.0/8, 'fd00::/8']}", "10.255.255.255", true },
	{ "{allow: [10.0.0.0/8, 'fd00::/8']}", "11.0.0.0", false },
	{ "{allow: [10.0.0.0/8, 'fd00::/8']}", "fdff::1", true },
	{ "{allow: [10.0.0.0/8, 'fd00::/8']}", "fe00::1", false },
	{ "{allow: 192.0.2.1}", "192.0.2.1", true },
	{ "{allow: 192.0.2.1}", "192.0.2.0", false },
	{ "{allow: '::/0'}", "192.0.2.0", false },
	{ "{allow: [192.0.2.128/25]}", "192.0.2.127", false },
	{ "{allow: [192.0.2.128/25]}", "192.0.2.200", true },
	{ "{address: 'unix:/run/x.sock', allow: []}", NULL, true },
	{ "{address: 'unix:/run/x.sock', allow: 127.0.0.1}", "127.0.0.1", false },
};

static void who_may_relay_is_said_by_the_listener(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
		AUTO(buf_fini) struct buf yaml = BUF(1000);
		struct ip client = clients[i].client ? ip_of(clients[i].client) : (struct ip){ 0 };
		struct world w;

		buf_add_format(&yaml, "listen: [%s]", clients[i].listener);
		buf_add_octet(&yaml, '\0');
		assert_int_equal(world_load_text(&w, yaml.at), ERR_OK);
		if (route_may_relay(&w.config->listen.items[0], client) != clients[i].may)
			fail_msg("%s from %s", clients[i].listener,
			         clients[i].client ? clients[i].client : "a socket");
		world_fini(&w);
	}
}

static void the_null_reverse_path_is_always_allowed(void **state)
{
	struct world w;

	(void)state;
	assert_int_equal(world_load_text(&w, "access: {senders: [example.com, .example.org]}"), ERR_OK);
	assert_true(route_sender_allowed(w.config, TEXT_EMPTY));
	assert_true(route_sender_allowed(w.config, TEXT("ann@Example.com")));
	assert_true(route_sender_allowed(w.config, TEXT("ann@a.example.org")));
	assert_false(route_sender_allowed(w.config, TEXT("ann@example.org")));
	assert_false(route_sender_allowed(w.config, TEXT("ann@example.com.evil.example")));
	assert_false(route_sender_allowed(w.config, TEXT("\"ann@example.com\"@evil.example")));
	world_fini(&w);
	assert_int_equal(world_load_text(&w, "access: {senders: []}"), ERR_OK);
	assert_true(route_sender_allowed(w.config, TEXT_EMPTY));
	assert_false(route_sender_allowed(w.config, TEXT("ann@example.com")));
	world_fini(&w);
}

#define GATEWAY \
	"hostname: relay.example\nlisten: [{address: 192.0.2.1:25, accept_for: [example.com, x@one.example]}]\n"
#define CLOSED "access: {recipients: [example.com, .inside.example]}\n"
#define POSTMASTER "rewrite: {recipients: {postmaster: ops@example.com}}\n"

static const struct {
	const char *name;
	const char *yaml;
	bool may_relay;
	const char *forward_path;
	enum route_admission admission;
} recipients[] = {
	{ "ours, to anywhere", GATEWAY, true, "bob@elsewhere.example", ROUTE_ADMITTED },
	{ "a stranger, to anywhere", GATEWAY, false, "bob@elsewhere.example", ROUTE_RELAY_DENIED },
	{ "a stranger, to us", GATEWAY, false, "bob@example.com", ROUTE_ADMITTED },
	{ "a stranger, to our only address there", GATEWAY, false, "X@one.example", ROUTE_ADMITTED },
	{ "a stranger, to another address there", GATEWAY, false, "y@one.example", ROUTE_RELAY_DENIED },
	{ "a stranger, to a subdomain", GATEWAY, false, "bob@a.example.com", ROUTE_RELAY_DENIED },
	{ "a stranger, through a percent sign", GATEWAY, false, "bob%elsewhere.example@example.com",
	  ROUTE_RELAY_DENIED },
	{ "a stranger, through an exclamation mark", GATEWAY, false, "elsewhere.example!bob@example.com",
	  ROUTE_RELAY_DENIED },
	{ "a stranger, through a quoted at sign", GATEWAY, false, "\"bob@elsewhere.example\"@example.com",
	  ROUTE_RELAY_DENIED },
	{ "ours, through a percent sign", GATEWAY, true, "bob%elsewhere.example@example.com",
	  ROUTE_ADMITTED },
	{ "ours, to a listed domain", CLOSED, true, "bob@example.com", ROUTE_ADMITTED },
	{ "ours, to a listed subdomain", CLOSED, true, "bob@a.inside.example", ROUTE_ADMITTED },
	{ "ours, to another", CLOSED, true, "bob@elsewhere.example", ROUTE_RECIPIENT_DENIED },
	{ "a stranger, to a listed domain", CLOSED, false, "bob@example.com", ROUTE_RELAY_DENIED },
	{ "a stranger, to accept_for outside access.recipients",
	  "listen: [{accept_for: two.example}]\n" CLOSED, false, "bob@two.example", ROUTE_RECIPIENT_DENIED },
	{ "ours, to postmaster", CLOSED, true, "Postmaster", ROUTE_ADMITTED },
	{ "a stranger, to postmaster without a destination", GATEWAY, false, "postmaster",
	  ROUTE_RELAY_DENIED },
	{ "a stranger, to postmaster with one", GATEWAY POSTMASTER, false, "postMaster", ROUTE_ADMITTED },
	{ "a stranger, to our postmaster by name", GATEWAY POSTMASTER, false, "postmaster@Relay.example",
	  ROUTE_ADMITTED },
	{ "a stranger, to somebody's postmaster", GATEWAY POSTMASTER, false, "postmaster@elsewhere.example",
	  ROUTE_RELAY_DENIED },
};

static void a_recipient_is_admitted_or_denied(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(recipients); i++) {
		struct world w;

		if (world_load_text(&w, recipients[i].yaml))
			fail_msg("%s: %.*s", recipients[i].name, TEXT_ARGS(buf_text(&w.said)));
		CHECK_INT(recipients[i].name,
		          route_admit_recipient(w.config, &w.config->listen.items[0], recipients[i].may_relay,
		                                text_from(recipients[i].forward_path)),
		          recipients[i].admission);
		world_fini(&w);
	}
}

static const struct {
	const char *forward_path;
	const char *becomes;
	const char *rule; /* NULL: none */
} rewrites[] = {
	{ "ann@old.example", "ann@new.example", "ann@old.example" },
	{ "ANN@OLD.example", "ann@new.example", "ann@old.example" },
	{ "bob@old.example", "bob@newer.example", "old.example" },
	{ "\"b b\"@old.example", "\"b b\"@newer.example", "old.example" },
	{ "bob@a.old.example", "all@sub.example", ".old.example" },
	{ "bob@newer.example", "bob@newer.example", NULL },
	{ "ann@new.example", "loop@old.example", "ann@new.example" },
	{ "postmaster", "ops@example.com", "postmaster" },
	{ "POSTMASTER@Relay.Example", "ops@example.com", "postmaster" },
	{ "postmaster@other.example", "postmaster@other.example", NULL },
};

static void a_recipient_is_rewritten_once(void **state)
{
	struct world w;

	(void)state;
	assert_int_equal(world_load_text(&w, "hostname: relay.example\n"
	                                     "rewrite:\n"
	                                     "  recipients:\n"
	                                     "    .old.example: all@sub.example\n"
	                                     "    old.example: newer.example\n"
	                                     "    ann@old.example: ann@new.example\n"
	                                     "    ann@new.example: loop@old.example\n"
	                                     "    postmaster: ops@example.com\n"),
	                 ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(rewrites); i++) {
		AUTO(buf_fini) struct buf out = BUF(400);
		const struct config_rewrite_rule *rule =
			route_rewrite_recipient(w.config, text_from(rewrites[i].forward_path), &out);

		CHECK_TEXT(rewrites[i].forward_path, buf_text(&out), text_from(rewrites[i].becomes));
		CHECK_TEXT(rewrites[i].forward_path, rule ? rule->match.text : TEXT_EMPTY,
		           text_from(rewrites[i].rule));
	}
	world_fini(&w);
}

static void postmaster_has_a_domain_in_any_case(void **state)
{
	static const struct {
		const char *yaml;
		const char *becomes;
	} cases[] = {
		{ "hostname: relay.example", "postmaster@relay.example" },
		{ "{hostname: relay.example, rewrite: {recipients: {any: all@example.com}}}",
		  "all@example.com" },
		{ "{hostname: relay.example, rewrite: {recipients: {any: example.com}}}",
		  "postmaster@example.com" },
		{ "{hostname: relay.example, rewrite: {recipients: {postmaster@relay.example: ops@example.com}}}",
		  "ops@example.com" },
		{ "{hostname: relay.example, rewrite: {recipients: {relay.example: example.com}}}",
		  "postmaster@example.com" },
		{ "{hostname: relay.example, rewrite: {recipients: {any: a@example.com, postmaster: ops@example.com}}}",
		  "ops@example.com" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(buf_fini) struct buf out = BUF(400);
		struct world w;

		assert_int_equal(world_load_text(&w, cases[i].yaml), ERR_OK);
		(void)route_rewrite_recipient(w.config, TEXT("postmaster"), &out);
		CHECK_TEXT(cases[i].yaml, buf_text(&out), text_from(cases[i].becomes));
		world_fini(&w);
	}
}

static const struct {
	const char *ip;
	const char *why; /* NULL: allowed */
} targets[] = {
	{ "192.0.3.1", NULL },
	{ "2600::1", NULL },
	{ "127.0.0.1", "a loopback address" },
	{ "::1", "a loopback address" },
	{ "::ffff:127.0.0.1", "a loopback address" },
	{ "0.0.0.0", "a private address" },
	{ "10.0.0.1", "a private address" },
	{ "172.31.255.255", "a private address" },
	{ "172.32.0.0", NULL },
	{ "192.168.1.1", "a private address" },
	{ "169.254.169.254", "a private address" },
	{ "100.64.0.1", "a private address" },
	{ "100.128.0.1", NULL },
	{ "224.0.0.1", "a private address" },
	{ "255.255.255.255", "a private address" },
	{ "::", "a private address" },
	{ "fd00::1", "a private address" },
	{ "fe80::1", "a private address" },
	{ "ff02::1", "a private address" },
	{ "::ffff:10.0.0.1", "a private address" },
	{ "64:ff9b::10.0.0.1", "a private address" },
	{ "2002:0a00:0001::1", "a private address" },
	{ "198.51.100.9", "our own address" },
	{ "2001:db8::9", "our own address" },
	{ "10.1.2.3", NULL },      /* listed */
	{ "198.51.100.10", NULL }, /* listed, and ours */
};

static void direct_delivery_does_not_go_inside(void **state)
{
	const struct ip own[] = { ip_of("198.51.100.9"), ip_of("2001:db8::9"), ip_of("198.51.100.10") };
	const struct config_ips ours = { own, ARRAY_LEN(own) };
	struct world w;

	(void)state;
	assert_int_equal(world_load_text(&w, "direct: {allow_private: [10.1.0.0/16, 198.51.100.10]}"),
	                 ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		const char *why = NULL;
		bool allowed = route_target_allowed(w.config, ip_of(targets[i].ip), &ours, &why);

		CHECK_INT(targets[i].ip, allowed, !targets[i].why);
		CHECK_TEXT(targets[i].ip, text_from(why), text_from(targets[i].why));
	}
	assert_false(route_target_allowed(w.config, ip_of("127.0.0.1"), &ours, NULL));
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_may_relay_is_said_by_the_listener),
		cmocka_unit_test(the_null_reverse_path_is_always_allowed),
		cmocka_unit_test(a_recipient_is_admitted_or_denied),
		cmocka_unit_test(a_recipient_is_rewritten_once),
		cmocka_unit_test(postmaster_has_a_domain_in_any_case),
		cmocka_unit_test(direct_delivery_does_not_go_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
