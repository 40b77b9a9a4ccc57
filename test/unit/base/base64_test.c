#include <postrider/base/base64.h>

#include "support/alloc.h"
#include "support/check.h"

static const struct {
	const char *name;
	struct text chars, octets;
} pairs[] = {
	/* RFC 4648 section 10 */
	{ "nothing", LIT(""), LIT("") },
	{ "f", LIT("Zg=="), LIT("f") },
	{ "fo", LIT("Zm8="), LIT("fo") },
	{ "foo", LIT("Zm9v"), LIT("foo") },
	{ "foob", LIT("Zm9vYg=="), LIT("foob") },
	{ "fooba", LIT("Zm9vYmE="), LIT("fooba") },
	{ "foobar", LIT("Zm9vYmFy"), LIT("foobar") },
	{ "NUL", LIT("AGEAYg=="), LIT("\0a\0b") },
	{ "every digit's ends", LIT("AZaz09+/"), LIT("\x01\x96\xb3\xd3\xdf\xbf") },
	{ "all ones", LIT("////"), LIT("\xff\xff\xff") },
};

static const struct {
	const char *name;
	struct text chars;
} refused[] = {
	{ "without its padding", LIT("Zg") },
	{ "half its padding", LIT("Zg=") },
	{ "one character", LIT("Z") },
	{ "one character padded", LIT("Z===") },
	{ "padding alone", LIT("====") },
	{ "three of padding", LIT("Zm9vZ===") },
	{ "padding in the middle", LIT("Zg==Zm9v") },
	{ "padding inside a group", LIT("Z=g=") },
	{ "too much padding", LIT("Zm9v====") },
	{ "bits left over", LIT("Zh==") },
	{ "bits left over of two", LIT("Zm9=") },
	{ "a line end inside", LIT("Zm9v\r\nYmFy") },
	{ "a line end behind", LIT("Zm9v\n") },
	{ "a space", LIT("Zm9 ") },
	{ "the alphabet of URLs", LIT("-_-_") },
	{ "a NUL", LIT("Zm9\0") },
	{ "an octet above ASCII", LIT("Zm9\xc3") },
	{ "good, then bad", LIT("Zm9vZm9vZm9vZm!v") },
};

static void octets_become_characters(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		struct buf out = BUF(64);

		base64_add(&out, pairs[i].octets);
		CHECK_TEXT(pairs[i].name, buf_text(&out), pairs[i].chars);
		CHECK_INT(pairs[i].name, out.len, BASE64_CHARS(pairs[i].octets.len));
		buf_fini(&out);
	}
}

static void characters_become_octets(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		struct buf out = BUF(64);
		char *copy = alone(pairs[i].chars);

		CHECK_INT(pairs[i].name, base64_decode(text_of(copy, pairs[i].chars.len), &out), ERR_OK);
		CHECK_TEXT(pairs[i].name, buf_text(&out), pairs[i].octets);
		CHECK(pairs[i].name, out.len <= BASE64_OCTETS(pairs[i].chars.len));
		free(copy);
		buf_fini(&out);
	}
}

static void octets_go_into_the_callers_memory(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		size_t exact = pairs[i].octets.len, len = 99;
		char *room = alone(pairs[i].octets);

		CHECK_INT(pairs[i].name, base64_decode_to(pairs[i].chars, room, exact, &len), ERR_OK);
		CHECK_TEXT(pairs[i].name, text_of(room, len), pairs[i].octets);
		if (exact)
			CHECK_INT(pairs[i].name, base64_decode_to(pairs[i].chars, room, exact - 1, &len),
			          ERR_TOO_BIG);
		free(room);
	}
}

static void what_is_no_base64_leaves_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct buf out = BUF(64);
		char *copy = alone(refused[i].chars);

		buf_add_string(&out, "kept");
		CHECK_INT(refused[i].name, base64_decode(text_of(copy, refused[i].chars.len), &out),
		          ERR_SYNTAX);
		CHECK_TEXT(refused[i].name, buf_text(&out), TEXT("kept"));
		free(copy);
		buf_fini(&out);
	}
}

static void every_octet_goes_there_and_back(void **state)
{
	unsigned char all[256];

	(void)state;
	for (size_t i = 0; i < 256; i++)
		all[i] = (unsigned char)i;
	for (size_t len = 0; len <= 256; len++) {
		struct buf chars = BUF(400), octets = BUF(256);

		base64_add(&chars, text_of((char *)all, len));
		assert_int_equal(base64_decode(buf_text(&chars), &octets), ERR_OK);
		assert_int_equal(octets.len, len);
		assert_memory_equal(buf_text(&octets).at, all, len);
		buf_fini(&chars);
		buf_fini(&octets);
	}
}

static void a_full_buf_and_no_memory_are_said(void **state)
{
	struct buf small = BUF(2);

	(void)state;
	assert_int_equal(base64_decode(TEXT("Zm9v"), &small), ERR_TOO_BIG);
	buf_fini(&small);
	for (EACH_ALLOC_FAILING) {
		struct buf out = BUF(64);
		enum err err = base64_decode(TEXT("Zm9vYmFy"), &out);

		if (err)
			assert_int_equal(err, ERR_NOMEM);
		else
			assert_int_equal(out.len, 6);
		buf_fini(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(octets_become_characters),
		cmocka_unit_test(characters_become_octets),
		cmocka_unit_test(octets_go_into_the_callers_memory),
		cmocka_unit_test(what_is_no_base64_leaves_nothing),
		cmocka_unit_test(every_octet_goes_there_and_back),
		cmocka_unit_test(a_full_buf_and_no_memory_are_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
