#include "unit/config/world.h"

#include "pattern.h"

static struct config_pattern pattern_of(struct arena *arena, const char *text)
{
	struct config_pattern p;

	if (pattern_parse(arena, text_from(text), &p))
		fail_msg("%s is no pattern", text);
	return p;
}

static const struct {
	const char *pattern;
	const char *mailbox;
	bool matches;
} matches[] = {
	{ "ann@example.com", "ann@example.com", true },
	{ "ann@example.com", "ANN@Example.COM", true },
	{ "ann@example.com", "joann@example.com", false },
	{ "b\xc3\xbc"
	  "cher.example",
	  "ann@xn--bcher-kva.example", true },
	{ "B\xc3\x9c"
	  "CHER.example",
	  "ann@XN--bcher-KVA.example", true },
	{ "xn--bcher-kva.example", "ann@xn--bcher-kva.example", true },
	{ ".b\xc3\xbc"
	  "cher.example",
	  "ann@sub.xn--bcher-kva.example", true },
	{ ".b\xc3\xbc"
	  "cher.example",
	  "ann@xn--bcher-kva.example", false },
	{ "j\xc3\xb6rg@b\xc3\xbc"
	  "cher.example",
	  "j\xc3\xb6rg@xn--bcher-kva.example", true },
	{ "j\xc3\xb6rg@example.com", "J\xc3\xb6RG@example.com", true },
	{ "j\xc3\xb6rg@example.com", "jorg@example.com", false },
	{ "ann@example.com", "ann@sub.example.com", false },
	{ "ann@example.com", "\"ann\"@example.com", true },
	{ "ann@example.com", "\"a\\nn\"@example.com", true },
	{ "ann@example.com", "\"ann \"@example.com", false },
	{ "\"ann\"@example.com", "ann@example.com", true },
	{ "\"a b\"@example.com", "\"a b\"@example.com", true },
	{ "\"a b\"@example.com", "\"a\\ b\"@example.com", true },
	{ "\"a@b\"@example.com", "\"a@b\"@example.com", true },
	{ "b\"@example.com", NULL, false },
	{ "ann@example.com", "ann@example.com.", true },
	{ "example.com", "ann@example.com", true },
	{ "example.com", "\"x@other.example\"@example.com", true },
	{ "other.example", "\"x@other.example\"@example.com", false },
	{ "example.com", "ann@EXAMPLE.com", true },
	{ "example.com", "ann@sub.example.com", false },
	{ "example.com", "ann@badexample.com", false },
	{ "example.com", "", false },
	{ "example.com", "postmaster", false },
	{ ".example.com", "ann@sub.example.com", true },
	{ ".example.com", "ann@a.b.example.com", true },
	{ ".example.com", "ann@example.com", false },
	{ ".example.com", "ann@badexample.com", false },
	{ ".example.com", "ann@.example.com", false },
	{ ".com", "ann@example.com", true },
	{ "[192.0.2.1]", "ann@[192.0.2.1]", true },
	{ "ann@[IPv6:2001:db8::1]", "ann@[ipv6:2001:DB8::1]", true },
	{ "any", "ann@example.com", true },
	{ "any", "", true },
	{ "any", "postmaster", true },
	{ "<>", "", true },
	{ "<>", "ann@example.com", false },
	{ "", NULL, false },
	{ ".", NULL, false },
	{ "..example.com", NULL, false },
	{ "@example.com", NULL, false },
	{ "ann@", NULL, false },
	{ "ann@.example.com", NULL, false },
	{ "*@example.com", NULL, false },
	{ "*.example.com", NULL, false },
	{ "an n@example.com", NULL, false },
	{ "Any", "x@any", true }, /* a word has one spelling; this is a domain */
};

/* Each pattern alone, and behind so many others that the list has an index. */
static void a_pattern_matches_what_it_says(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(matches); i++) {
		AUTO(arena_fini) struct arena arena;
		struct config_pattern p;
		AUTO(buf_fini) struct buf yaml = BUF(10000);
		struct world w;

		arena_init(&arena, 100000);
		bool parsed = pattern_parse(&arena, text_from(matches[i].pattern), &p) == ERR_OK;

		if (parsed != (matches[i].mailbox != NULL)) {
			print_error("%s: parsed: %d\n", matches[i].pattern, parsed);
			wrong++;
		}
		if (!parsed || !matches[i].mailbox)
			continue;
		if (config_pattern_matches(&p, text_from(matches[i].mailbox)) != matches[i].matches) {
			print_error("%s with %s\n", matches[i].pattern, matches[i].mailbox);
			wrong++;
		}
		buf_add_string(&yaml, "access:\n  senders:\n");
		for (unsigned n = 0; n < 20; n++)
			buf_add_format(&yaml, "    - filler%u.example\n", n);
		buf_add_format(&yaml, "    - '%s'\n", matches[i].pattern);
		buf_add_octet(&yaml, '\0');
		assert_int_equal(world_load_text(&w, yaml.at), ERR_OK);
		assert_non_null(w.config->access.senders.index);
		if (!!config_patterns_find(&w.config->access.senders, text_from(matches[i].mailbox)) !=
		    matches[i].matches) {
			print_error("%s with %s, by index\n", matches[i].pattern, matches[i].mailbox);
			wrong++;
		}
		world_fini(&w);
	}
	assert_int_equal(wrong, 0);
}

static const struct {
	const char *wide, *narrow;
	bool covers;
} covers[] = {
	{ "any", "any", true },
	{ "any", "<>", true },
	{ "any", "ann@example.com", true },
	{ "<>", "<>", true },
	{ "<>", "any", false },
	{ "example.com", "ann@example.com", true },
	{ "example.com", "example.com", true },
	{ "example.com", "<>", false },
	{ "example.com", ".example.com", false },
	{ "example.com", "any", false },
	{ ".example.com", "example.com", false },
	{ ".example.com", "a.example.com", true },
	{ ".example.com", "ann@a.example.com", true },
	{ ".example.com", ".a.example.com", true },
	{ ".example.com", ".example.com", true },
	{ ".a.example.com", ".example.com", false },
	{ "ann@example.com", "ann@example.com", true },
	{ "ann@example.com", "bob@example.com", false },
	{ "ann@example.com", "example.com", false },
};

static void a_pattern_covers_what_is_within_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(covers); i++) {
		AUTO(arena_fini) struct arena arena;

		arena_init(&arena, 100000);
		struct config_pattern wide = pattern_of(&arena, covers[i].wide);
		struct config_pattern narrow = pattern_of(&arena, covers[i].narrow);

		if (config_pattern_covers(&wide, &narrow) != covers[i].covers)
			fail_msg("%s, %s", covers[i].wide, covers[i].narrow);
	}
}

/* With and without an index: of several that match, the first written one is found. */
static void the_first_of_a_list_is_found(void **state)
{
	static const char *const lists[] = {
		"[ann@example.com, example.com, any]",
		"[example.com, ann@example.com, any]",
		"[any, ann@example.com, example.com]",
		"[.com, ann@example.com, any]",
		"[ann@example.com, x1.example, x2.example, x3.example, x4.example, x5.example, x6.example, example.com, any]",
		"[example.com, x1.example, x2.example, x3.example, x4.example, x5.example, x6.example, ann@example.com, any]",
		"[any, x1.example, x2.example, x3.example, x4.example, x5.example, x6.example, example.com, ann@example.com]",
		"[.com, x1.example, x2.example, x3.example, x4.example, x5.example, x6.example, example.com, ann@example.com]",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		AUTO(buf_fini) struct buf yaml = BUF(1000);
		struct world w;

		buf_add_format(&yaml, "access: {senders: %s}", lists[i]);
		buf_add_octet(&yaml, '\0');
		assert_int_equal(world_load_text(&w, yaml.at), ERR_OK);
		const struct config_patterns *list = &w.config->access.senders;

		CHECK_INT(lists[i], config_patterns_find(list, TEXT("ann@example.com")) - list->items, 0);
		world_fini(&w);
	}
}

static void the_most_specific_rewriting_is_found(void **state)
{
	static const struct {
		const char *mailbox;
		const char *rule;
	} cases[] = {
		{ "ann@a.b.example", "ann@a.b.example" }, { "bob@a.b.example", "a.b.example" },
		{ "bob@x.a.b.example", ".a.b.example" },  { "bob@c.b.example", ".b.example" },
		{ "bob@elsewhere.example", "any" },       { "postmaster", "postmaster" },
	};
	static const char *const orders[] = {
		"any: 1@x.example, .b.example: 1@x.example, .a.b.example: 1@x.example, a.b.example: 1@x.example, "
		"ann@a.b.example: 1@x.example, postmaster: 1@x.example",
		"postmaster: 1@x.example, ann@a.b.example: 1@x.example, a.b.example: 1@x.example, .a.b.example: 1@x.example, "
		".b.example: 1@x.example, any: 1@x.example",
	};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		AUTO(buf_fini) struct buf yaml = BUF(10000);
		struct world w;

		buf_add_format(&yaml, "rewrite: {recipients: {%s", orders[i % 2]);
		for (unsigned n = 0; i >= 2 && n < 20; n++)
			buf_add_format(&yaml, ", f%u.example: 1@x.example", n);
		buf_add_string(&yaml, "}}");
		buf_add_octet(&yaml, '\0');
		assert_int_equal(world_load_text(&w, yaml.at), ERR_OK);
		for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
			const struct config_rewrite_rule *rule = config_rewrites_find(
				&w.config->rewrite.recipients, text_from(cases[c].mailbox));

			assert_non_null(rule);
			CHECK_TEXT(cases[c].mailbox, rule->match.text, text_from(cases[c].rule));
		}
		world_fini(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pattern_matches_what_it_says),
		cmocka_unit_test(a_pattern_covers_what_is_within_it),
		cmocka_unit_test(the_first_of_a_list_is_found),
		cmocka_unit_test(the_most_specific_rewriting_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
