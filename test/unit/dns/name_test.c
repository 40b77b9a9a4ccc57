#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <postrider/base/auto.h>

#include "name.h"

#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define L61 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *name;
	struct text in;
	const char *out; /* NULL: no name */
} text_cases[] = {
	{ "a name", LIT("mx1.example.com"), "mx1.example.com" },
	{ "capitals", LIT("MX1.Example.COM"), "mx1.example.com" },
	{ "the final dot", LIT("example.com."), "example.com" },
	{ "one label", LIT("localhost"), "localhost" },
	{ "digits, hyphens and underscores", LIT("_25._tcp.1-a.example"), "_25._tcp.1-a.example" },
	{ "a label of 63", LIT(L63 ".example"), L63 ".example" },
	{ "a label of 64", LIT(L63 "a.example"), NULL },
	{ "253 octets", LIT(L63 "." L63 "." L63 "." L61), L63 "." L63 "." L63 "." L61 },
	{ "253 octets and a dot", LIT(L63 "." L63 "." L63 "." L61 "."), L63 "." L63 "." L63 "." L61 },
	{ "254 octets", LIT(L63 "." L63 "." L63 "." L61 "a"), NULL },
	{ "nothing", LIT(""), NULL },
	{ "the root", LIT("."), NULL },
	{ "two final dots", LIT("example.."), NULL },
	{ "a dot in front", LIT(".example"), NULL },
	{ "an empty label", LIT("a..example"), NULL },
	{ "a space", LIT("a b"), NULL },
	{ "a NUL", LIT("a\0b"), NULL },
	{ "UTF-8", LIT("b\xc3\xbc"), NULL },
	{ "an escape", LIT("a\\046b"), NULL },
	{ "brackets", LIT("[a]"), NULL },
};

static void names_are_read_from_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(text_cases); i++) {
		struct name name = { .len = 3, .at = "old" };
		enum err err = name_from_text(text_cases[i].in, &name);

		print_message("  %s\n", text_cases[i].name);
		assert_int_equal(err, text_cases[i].out ? ERR_OK : ERR_SYNTAX);
		assert_string_equal(name.at, text_cases[i].out ? text_cases[i].out : "old");
		assert_int_equal(name.len, strlen(name.at));
	}
}

static const struct {
	const char *name;
	struct text in;
	const char *out;
} wire_cases[] = {
	{ "a name", LIT("\3mx1\7Example\3COM\0"), "mx1.example.com" },
	{ "the root", LIT("\0"), "" },
	{ "no end", LIT("\3mx1"), NULL },
	{ "an end inside a label", LIT("\4mx1"), NULL },
	{ "nothing", LIT(""), NULL },
	{ "octets behind", LIT("\1a\0x"), NULL },
	{ "a compression pointer", LIT("\1a\xc0\x0c"), NULL },
	{ "a dot inside a label", LIT("\3a.b\0"), NULL },
	{ "a NUL inside a label", LIT("\3a\0b\0"), NULL },
};

static void names_are_read_from_messages(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wire_cases); i++) {
		struct name name = { .len = 3, .at = "old" };
		enum err err = name_from_wire(wire_cases[i].in, &name);

		print_message("  %s\n", wire_cases[i].name);
		assert_int_equal(err, wire_cases[i].out ? ERR_OK : ERR_SYNTAX);
		assert_string_equal(name.at, wire_cases[i].out ? wire_cases[i].out : "old");
	}
}

static void a_name_is_under_its_zone_at_a_dot_only(void **state)
{
	static const struct {
		const char *name, *zone;
		bool is_under;
	} cases[] = {
		{ "example.com", "example.com", true },   { "a.example.com", "example.com", true },
		{ "aexample.com", "example.com", false }, { "com", "example.com", false },
		{ "a.b.localhost", "localhost", true },   { "notlocalhost", "localhost", false },
	};
	struct name name, zone, root = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(name_from_text(text_from(cases[i].name), &name), ERR_OK);
		assert_int_equal(name_from_text(text_from(cases[i].zone), &zone), ERR_OK);
		assert_int_equal(name_is_under(&name, &zone), cases[i].is_under);
		assert_true(name_is_under(&name, &root));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_read_from_text),
		cmocka_unit_test(names_are_read_from_messages),
		cmocka_unit_test(a_name_is_under_its_zone_at_a_dot_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
