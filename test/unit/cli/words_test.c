#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <postrider/base/auto.h>

#include "words.h"

static const struct {
	const char *name;
	struct text in, out;
} decoded[] = {
	{ "plain", LIT("Invoice 4711"), LIT("Invoice 4711") },
	{ "Q", LIT("=?utf-8?Q?Gr=C3=BC=C3=9Fe_an_alle?="),
	  LIT("Gr\xc3\xbc\xc3\x9f"
	      "e an alle") },
	{ "B", LIT("=?UTF-8?b?R3LDvMOfZQ==?="),
	  LIT("Gr\xc3\xbc\xc3\x9f"
	      "e") },
	{ "Latin-1", LIT("=?iso-8859-1?q?M=FCller?="), LIT("M\xc3\xbcller") },
	{ "with a language", LIT("=?us-ascii*en?q?hi?="), LIT("hi") },
	{ "words side by side", LIT("=?utf-8?q?a?= \t=?utf-8?q?b?="), LIT("ab") },
	{ "a word and text", LIT("x =?utf-8?q?a?= y"), LIT("x a y") },
	{ "another charset", LIT("=?koi8-r?q?=C1?="), LIT("=?koi8-r?q?=C1?=") },
	{ "cut", LIT("=?utf-8?q?abc"), LIT("=?utf-8?q?abc") },
	{ "a broken escape", LIT("=?utf-8?q?a=4?="), LIT("=?utf-8?q?a=4?=") },
	{ "no hexadecimal", LIT("=?utf-8?q?a=zz?="), LIT("=?utf-8?q?a=zz?=") },
	{ "no base 64", LIT("=?utf-8?b?a*b?="), LIT("=?utf-8?b?a*b?=") },
	{ "another encoding", LIT("=?utf-8?x?abc?="), LIT("=?utf-8?x?abc?=") },
	{ "an opening alone", LIT("a =? b"), LIT("a =? b") },
	{ "nothing", LIT(""), LIT("") },
};

static void words_are_decoded(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(decoded); i++) {
		AUTO(buf_fini) struct buf out = BUF(1000);

		words_add_decoded(&out, decoded[i].in);
		if (!text_eq(buf_text(&out), decoded[i].out))
			fail_msg("%s: %.*s", decoded[i].name, TEXT_ARGS(buf_text(&out)));
	}
}

static const struct text subjects[] = {
	LIT("Invoice 4711"),
	LIT(""),
	LIT("Gr\xc3\xbc\xc3\x9f"
	    "e an alle, die dies lesen und sich fragen, wie lang so ein Betreff wohl werden darf: \xe2\x82\xac"),
	LIT("\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80"),
	LIT("looks like =?utf-8?q?one?= and is none"),
	LIT("a\r\nBcc: everybody@example.com"),
	LIT("_ under? score ="),
	LIT("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80 broken"),
};

static void what_is_encoded_reads_back_and_stays_in_its_field(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(subjects); i++) {
		AUTO(buf_fini) struct buf out = BUF(10000), back = BUF(10000);

		words_add_encoded(&out, subjects[i]);
		words_add_decoded(&back, buf_text(&out));
		if (!text_eq(buf_text(&back), subjects[i]))
			fail_msg("%zu: %.*s", i, TEXT_ARGS(buf_text(&out)));
		struct text rest = buf_text(&out);

		while (rest.len > 0) {
			struct text line = text_cut(&rest, '\n');

			assert_true(line.len <= 77);
			/* Whatever was given, a further line begins with the white space of a folded field. */
			assert_true(rest.len == 0 || rest.at[0] == ' ');
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_decoded),
		cmocka_unit_test(what_is_encoded_reads_back_and_stays_in_its_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
