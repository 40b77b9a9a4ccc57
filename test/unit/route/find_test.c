#include "unit/config/world.h"

#include <postrider/route.h>

static const char routes[] =
	"upstreams:\n"
	"  ses: {hosts: ses.example:587}\n"
	"  SES: {hosts: other.example:587, tls: none}\n"
	"routes:\n"
	"  - {to: [bank.example, .bank.example], via: direct, tls: require}\n" /* 1 */
	"  - {to: ann@inside.example, from: '<>', via: discard}\n"             /* 2 */
	"  - {to: inside.example, via: hold}\n"                                /* 3 */
	"  - {from: news.example.com, via: SES}\n"                             /* 4 */
	"  - {from: '<>', via: direct}\n"                                      /* 5 */
	"  - {to: refused.example, via: reject}\n"                             /* 6 */
	"  - {listener: web, via: ses, tls: opportunistic}\n"                  /* 7 */
	"  - {listener: apps, via: ses}\n"                                     /* 8 */
	"listen: [{name: apps, address: 127.0.0.1:1}, {name: web, address: 127.0.0.1:2}]\n";

static const struct {
	const char *name;
	const char *listener, *reverse_path, *forward_path;
	size_t number;
	enum config_via via;
	const char *key;
	enum config_tls tls;
} ways[] = {
	{ "a domain", "apps", "a@b.example", "x@Bank.Example", 1, CONFIG_VIA_DIRECT, "bank.example",
	  CONFIG_TLS_REQUIRE },
	{ "a subdomain", "apps", "a@b.example", "x@MX.bank.example", 1, CONFIG_VIA_DIRECT, "mx.bank.example",
	  CONFIG_TLS_REQUIRE },
	{ "both conditions", "apps", "", "Ann@inside.example", 2, CONFIG_VIA_DISCARD, "route:discard",
	  CONFIG_TLS_OPPORTUNISTIC },
	{ "one of two conditions", "apps", "a@b.example", "ann@inside.example", 3, CONFIG_VIA_HOLD,
	  "route:hold", CONFIG_TLS_OPPORTUNISTIC },
	{ "a sender", "apps", "a@News.example.com", "x@y.example", 4, CONFIG_VIA_UPSTREAM, "upstream:SES",
	  CONFIG_TLS_NONE },
	{ "the null reverse-path", "apps", "", "x@y.example", 5, CONFIG_VIA_DIRECT, "y.example",
	  CONFIG_TLS_OPPORTUNISTIC },
	{ "an address literal", "apps", "", "x@[192.0.2.1]", 5, CONFIG_VIA_DIRECT, "[192.0.2.1]",
	  CONFIG_TLS_OPPORTUNISTIC },
	{ "a literal of IPv6", "apps", "", "x@[IPv6:2001:DB8::1]", 5, CONFIG_VIA_DIRECT, "[ipv6:2001:db8::1]",
	  CONFIG_TLS_OPPORTUNISTIC },
	{ "a refusal", "apps", "a@b.example", "x@refused.example", 6, CONFIG_VIA_REJECT, "route:reject",
	  CONFIG_TLS_OPPORTUNISTIC },
	{ "a listener", "web", "a@b.example", "x@y.example", 7, CONFIG_VIA_UPSTREAM, "upstream:ses",
	  CONFIG_TLS_OPPORTUNISTIC },
	{ "another listener", "apps", "a@b.example", "x@y.example", 8, CONFIG_VIA_UPSTREAM, "upstream:ses",
	  CONFIG_TLS_REQUIRE },
	{ "a listener that is gone", "gone", "a@b.example", "x@y.example", 0, CONFIG_VIA_REJECT,
	  "route:reject", CONFIG_TLS_OPPORTUNISTIC },
	{ "a quoted local part with another domain in it", "apps", "a@b.example",
	  "\"x@bank.example\"@y.example", 8, CONFIG_VIA_UPSTREAM, "upstream:ses", CONFIG_TLS_REQUIRE },
	{ "quotes do not lead around a rule", "apps", "", "\"\\a\\nn\"@inside.example", 2, CONFIG_VIA_DISCARD,
	  "route:discard", CONFIG_TLS_OPPORTUNISTIC },
};

static enum err find(const struct config *config, struct text listener, struct text reverse_path,
                     bool released, struct text forward_path, struct route_choice *out)
{
	const struct route_message message = { .listener = listener,
		                               .reverse_path = reverse_path,
		                               .released = released };

	return route_find(config, &message, forward_path, out);
}

static void check_ways(const char *yaml)
{
	struct world w;

	if (world_load_text(&w, yaml))
		fail_msg("%.*s", TEXT_ARGS(buf_text(&w.said)));
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		struct route_choice choice;

		CHECK_INT(ways[i].name,
		          find(w.config, text_from(ways[i].listener), text_from(ways[i].reverse_path), false,
		               text_from(ways[i].forward_path), &choice),
		          ERR_OK);
		CHECK_INT(ways[i].name, choice.route_number, ways[i].number);
		CHECK_INT(ways[i].name, choice.via, ways[i].via);
		CHECK_TEXT(ways[i].name, route_key(&choice), text_from(ways[i].key));
		CHECK(ways[i].name,
		      !choice.way == (choice.via != CONFIG_VIA_UPSTREAM && choice.via != CONFIG_VIA_DIRECT));
		if (choice.way) {
			CHECK_INT(ways[i].name, choice.way->tls, ways[i].tls);
			CHECK(ways[i].name, !choice.way->upstream == (choice.via != CONFIG_VIA_UPSTREAM));
		}
		CHECK(ways[i].name, !choice.route == (choice.route_number == 0));
		if (choice.route)
			CHECK_INT(ways[i].name, choice.route->place.line, 4 + ways[i].number);
	}
	world_fini(&w);
}

static void the_first_route_that_matches_wins(void **state)
{
	(void)state;
	check_ways(routes);
}

/* So many routes behind those above that there is an index. */
static void the_first_of_many_routes_wins(void **state)
{
	AUTO(buf_fini) struct buf yaml = BUF(100000);
	struct text listeners = text_from(routes);
	size_t split = text_find(listeners, TEXT("listen:"));

	(void)state;
	buf_add(&yaml, text_head(listeners, split));
	for (unsigned i = 0; i < 50; i++)
		buf_add_format(
			&yaml,
			"  - {to: [d%u.example, .e%u.example, f@g%u.example], listener: apps, via: hold}\n",
			i, i, i);
	buf_add(&yaml, text_skip(listeners, split));
	buf_add_octet(&yaml, '\0');
	check_ways(yaml.at);
}

static void each_of_many_routes_is_found(void **state)
{
	AUTO(buf_fini) struct buf yaml = BUF(100000);
	struct route_choice choice;
	struct world w;

	(void)state;
	buf_add_string(&yaml, "routes:\n");
	for (unsigned i = 0; i < 50; i++)
		buf_add_format(&yaml, "  - {to: [d%u.example, .d%u.example], from: a.example, via: hold}\n",
		               i, i);
	for (unsigned i = 0; i < 50; i++)
		buf_add_format(&yaml, "  - {to: [d%u.example, x@y.d%u.example], via: discard}\n", i, i);
	buf_add_octet(&yaml, '\0');
	assert_int_equal(world_load_text(&w, yaml.at), ERR_OK);
	assert_non_null(w.config->routes.index);
	for (unsigned i = 0; i < 50; i++) {
		AUTO(buf_fini) struct buf to = BUF(100);

		buf_add_format(&to, "x@d%u.example", i);
		assert_int_equal(
			find(w.config, TEXT("default"), TEXT("b@a.example"), false, buf_text(&to), &choice),
			ERR_OK);
		assert_int_equal(choice.route_number, i + 1);
		assert_int_equal(
			find(w.config, TEXT("default"), TEXT("b@b.example"), false, buf_text(&to), &choice),
			ERR_OK);
		assert_int_equal(choice.route_number, i + 51);
		buf_reset(&to);
		buf_add_format(&to, "x@y.d%u.example", i);
		assert_int_equal(
			find(w.config, TEXT("default"), TEXT("b@a.example"), false, buf_text(&to), &choice),
			ERR_OK);
		assert_int_equal(choice.route_number, i + 1);
		assert_int_equal(
			find(w.config, TEXT("default"), TEXT("b@b.example"), false, buf_text(&to), &choice),
			ERR_OK);
		assert_int_equal(choice.route_number, i + 51);
	}
	assert_int_equal(
		find(w.config, TEXT("default"), TEXT("b@b.example"), false, TEXT("x@none.example"), &choice),
		ERR_OK);
	assert_int_equal(choice.route_number, 0);
	world_fini(&w);
}

static void a_recipient_without_a_domain_has_no_way(void **state)
{
	struct route_choice choice = { .route_number = 77 };
	char longest[1 + 256 + 1] = "@";
	struct world w = { .config = NULL };

	(void)state;
	world_must_load(&w);
	memset(longest + 1, 'a', 256);
	assert_int_equal(find(w.config, TEXT("default"), TEXT_EMPTY, false, TEXT("postmaster"), &choice),
	                 ERR_SYNTAX);
	assert_int_equal(find(w.config, TEXT("default"), TEXT_EMPTY, false, TEXT_EMPTY, &choice), ERR_SYNTAX);
	assert_int_equal(find(w.config, TEXT("default"), TEXT_EMPTY, false, text_of(longest, 257), &choice),
	                 ERR_SYNTAX);
	assert_int_equal(choice.route_number, 77);
	assert_int_equal(find(w.config, TEXT("default"), TEXT_EMPTY, false, text_of(longest, 256), &choice),
	                 ERR_OK);
	assert_int_equal(choice.key_len, 255);
	world_fini(&w);
}

static void the_longest_name_of_an_upstream_fits_into_a_key(void **state)
{
	static const char name[] = "n234567890123456789012345678901234567890123456789012345678901234";
	AUTO(buf_fini) struct buf yaml = BUF(1000);
	struct route_choice choice;
	struct world w;

	(void)state;
	buf_add_format(&yaml, "upstreams: {%s: {hosts: h.example:25}}", name);
	buf_add_octet(&yaml, '\0');
	assert_int_equal(world_load_text(&w, yaml.at), ERR_OK);
	assert_int_equal(find(w.config, TEXT("default"), TEXT_EMPTY, false, TEXT("x@y.example"), &choice),
	                 ERR_OK);
	assert_int_equal(choice.key_len, strlen("upstream:") + 64);
	world_fini(&w);
}

static void the_longest_domain_gives_the_limit(void **state)
{
	static const struct {
		const char *domain;
		uint64_t connections;
	} cases[] = { { "gmail.com", 1 },     { "GMAIL.COM", 1 },
		      { "a.gmail.com", 2 },   { "a.b.gmail.com", 3 },
		      { "b.gmail.com", 2 },   { "xgmail.com", 4 },
		      { "other.example", 4 }, { "", 4 },
		      { "[192.0.2.1]", 4 },   { "com", 4 } };
	struct world w;

	(void)state;
	assert_int_equal(world_load_text(&w, "limits:\n"
	                                     "  any: {connections: 4}\n"
	                                     "  .gmail.com: {connections: 2}\n"
	                                     "  gmail.com: {connections: 1}\n"
	                                     "  .b.gmail.com: {connections: 3}\n"),
	                 ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		CHECK_INT(cases[i].domain,
		          route_limit(w.config, text_from(cases[i].domain))->pace.connections,
		          cases[i].connections);
	world_fini(&w);
}

static void what_was_released_is_held_only_where_nothing_else_matches(void **state)
{
	static const char yaml[] = "upstreams: {ses: {hosts: ses.example:587}}\n"
				   "routes:\n"
				   "  - {to: held.example, via: hold}\n"
				   "  - {to: .held.example, via: hold}\n"
				   "  - {to: held.example, via: ses}\n";
	struct route_choice choice;
	struct world w;

	(void)state;
	assert_int_equal(world_load_text(&w, yaml), ERR_OK);
	assert_int_equal(
		find(w.config, TEXT("apps"), TEXT("a@b.example"), false, TEXT("x@held.example"), &choice),
		ERR_OK);
	assert_int_equal(choice.route_number, 1);
	assert_int_equal(
		find(w.config, TEXT("apps"), TEXT("a@b.example"), true, TEXT("x@held.example"), &choice),
		ERR_OK);
	assert_int_equal(choice.route_number, 3);
	assert_int_equal(
		find(w.config, TEXT("apps"), TEXT("a@b.example"), true, TEXT("x@a.held.example"), &choice),
		ERR_OK);
	assert_int_equal(choice.route_number, 2);
	assert_int_equal(
		find(w.config, TEXT("apps"), TEXT("a@b.example"), true, TEXT("x@other.example"), &choice),
		ERR_OK);
	assert_int_equal(choice.via, CONFIG_VIA_REJECT);
	world_fini(&w);
}

/* ---------------------------------------------------------------- by user, header field, size */

static const char content_routes[] =
	"upstreams: {a: {hosts: a.example:587}}\n"
	"routes:\n"
	"  - {to: t1.example, user: billing, via: a}\n"                                   /* 1 */
	"  - {to: t1.example, user: any, via: hold}\n"                                    /* 2 */
	"  - {to: t2.example, header: {X-Stream: bulk}, via: a}\n"                        /* 3 */
	"  - {to: t2.example, header: {X-Stream: '*urgent*', List-Id: '*'}, via: hold}\n" /* 4 */
	"  - {to: t3.example, min_size: 1MB, max_size: 2MB, via: a}\n"                    /* 5 */
	"  - {to: t3.example, max_size: 10KB, via: hold}\n"                               /* 6 */
	"  - {to: t4.example, header: {X-Spam: 'yes'}, via: reject}\n"                    /* 7 */
	"  - {to: t5.example, header: {X-Ok: '*'}, via: a}\n"                             /* 8 */
	"  - {to: t5.example, via: reject}\n"                                             /* 9 */
	"  - {to: t6.example, header: {X-Spam: 'yes'}, via: reject}\n"                    /* 10 */
	"  - {to: t6.example, via: reject}\n"                                             /* 11 */
	"  - {via: direct}\n";                                                            /* 12 */

static const struct {
	const char *name;
	const char *domain, *user, *fields; /* fields NULL: not received yet */
	uint64_t bytes;
	size_t number;
	bool provisional;
} content_ways[] = {
	{ "a user", "t1.example", "billing", "", 1, 1, false },
	{ "another user", "t1.example", "shop", "", 1, 2, false },
	{ "a user in other letters is another", "t1.example", "Billing", "", 1, 2, false },
	{ "nobody", "t1.example", "", "", 1, 12, false },
	{ "a user is known before the content", "t1.example", "billing", NULL, 0, 1, false },
	{ "a header field", "t2.example", "", "X-Stream: bulk\n", 1, 3, false },
	{ "in other letters", "t2.example", "", "x-stream: BULK\n", 1, 3, false },
	{ "a longer value", "t2.example", "", "X-Stream: bulky\n", 1, 12, false },
	{ "not there", "t2.example", "", "X-Stream\nList-Id\n", 1, 12, false },
	{ "the second of two", "t2.example", "", "X-Stream: a\nX-Stream: bulk\n", 1, 3, false },
	{ "both conditions", "t2.example", "", "X-Stream: very urgent!\nList-Id: \n", 1, 4, false },
	{ "one of them", "t2.example", "", "X-Stream: very urgent!\nList-Id\n", 1, 12, false },
	{ "before the content", "t2.example", "", NULL, 0, 12, true },
	{ "between the bounds", "t3.example", "", "", 1500000, 5, false },
	{ "at the lower bound", "t3.example", "", "", 1000000, 5, false },
	{ "at the upper bound", "t3.example", "", "", 2000000, 5, false },
	{ "above it", "t3.example", "", "", 2000001, 12, false },
	{ "small", "t3.example", "", "", 10000, 6, false },
	{ "size before the content", "t3.example", "", NULL, 0, 12, true },
	{ "rejected by its content", "t4.example", "", "X-Spam: Yes\n", 1, 7, false },
	{ "may be rejected", "t4.example", "", NULL, 0, 12, true },
	{ "saved by its content", "t5.example", "", "X-Ok: \n", 1, 8, false },
	{ "may be saved", "t5.example", "", NULL, 0, 9, true },
	{ "rejected either way", "t6.example", "", NULL, 0, 11, false },
	{ "no route asks", "t7.example", "", NULL, 0, 12, false },
};

static void routes_match_by_user_header_field_and_size(void **state)
{
	struct world w;

	(void)state;
	if (world_load_text(&w, content_routes))
		fail_msg("%.*s", TEXT_ARGS(buf_text(&w.said)));
	for (size_t i = 0; i < ARRAY_LEN(content_ways); i++) {
		const char *fields = content_ways[i].fields;
		const struct route_message message = { .listener = TEXT("default"),
			                               .user = text_from(content_ways[i].user),
			                               .reverse_path = TEXT("a@b.example"),
			                               .fields = fields ? text_from(fields) : TEXT_EMPTY,
			                               .content_bytes = content_ways[i].bytes,
			                               .is_received = fields != NULL };
		AUTO(buf_fini) struct buf to = BUF(100);
		struct route_choice choice;

		buf_add_format(&to, "x@%s", content_ways[i].domain);
		CHECK_INT(content_ways[i].name, route_find(w.config, &message, buf_text(&to), &choice),
		          ERR_OK);
		CHECK_INT(content_ways[i].name, choice.route_number, content_ways[i].number);
		CHECK_INT(content_ways[i].name, choice.provisional, content_ways[i].provisional);
	}
	world_fini(&w);
}

static const struct {
	const char *pattern, *value;
	bool fits;
} stars[] = {
	{ "a", "a", true },         { "a", "A", true },
	{ "a", "b", false },        { "a", "", false },
	{ "a", "aa", false },       { "*", "", true },
	{ "*", "anything", true },  { "**", "x", true },
	{ "a*", "abc", true },      { "a*", "ba", false },
	{ "*c", "abc", true },      { "*c", "abcd", false },
	{ "*b*", "abc", true },     { "*b*", "b", true },
	{ "*b*", "acd", false },    { "a*c", "abc", true },
	{ "a*c", "ac", true },      { "a*c", "abcd", false },
	{ "*ab", "aab", true },     { "*aab", "aaab", true },
	{ "a*b*c", "aXbYc", true }, { "a*b*c", "aXcYb", false },
	{ "*a*a*", "a", false },    { "*a*a*", "aa", true },
	{ "?", "?", true },         { "?", "x", false },
	{ "[a]", "a", false },      { "\xc3\xa4*", "\xc3\xa4", true },
};

static bool pattern_fits(const char *pattern, struct text value)
{
	AUTO(buf_fini) struct buf yaml = BUF(10000);
	AUTO(buf_fini) struct buf fields = BUF(10000);
	struct route_choice choice;
	struct world w;

	buf_add_format(&yaml, "routes: [{header: {X: \"%s\"}, via: hold}, {via: direct}]", pattern);
	buf_add_octet(&yaml, '\0');
	if (world_load_text(&w, yaml.at))
		fail_msg("%.*s", TEXT_ARGS(buf_text(&w.said)));
	buf_add_format(&fields, "X: %.*s\n", TEXT_ARGS(value));
	const struct route_message message = { .fields = buf_text(&fields), .is_received = true };

	assert_int_equal(route_find(w.config, &message, TEXT("x@y.example"), &choice), ERR_OK);
	world_fini(&w);
	return choice.route_number == 1;
}

static void a_star_stands_for_any_octets(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(stars); i++)
		CHECK_INT(stars[i].pattern, pattern_fits(stars[i].pattern, text_from(stars[i].value)),
		          stars[i].fits);
}

/* A pattern that sends naive matchers back and forth for ever. The bound is the product of both lengths. */
static void many_stars_end_soon(void **state)
{
	AUTO(buf_fini) struct buf pattern = BUF(1000);
	AUTO(buf_fini) struct buf value = BUF(1000);

	(void)state;
	for (unsigned i = 0; i < 240; i++)
		buf_add_string(&pattern, "a*");
	buf_add_string(&pattern, "b");
	buf_add_octet(&pattern, '\0');
	for (unsigned i = 0; i < 500; i++)
		buf_add_octet(&value, 'a');
	assert_false(pattern_fits(pattern.at, buf_text(&value)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_route_that_matches_wins),
		cmocka_unit_test(the_first_of_many_routes_wins),
		cmocka_unit_test(each_of_many_routes_is_found),
		cmocka_unit_test(a_recipient_without_a_domain_has_no_way),
		cmocka_unit_test(the_longest_name_of_an_upstream_fits_into_a_key),
		cmocka_unit_test(the_longest_domain_gives_the_limit),
		cmocka_unit_test(what_was_released_is_held_only_where_nothing_else_matches),
		cmocka_unit_test(routes_match_by_user_header_field_and_size),
		cmocka_unit_test(a_star_stands_for_any_octets),
		cmocka_unit_test(many_stars_end_soon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
