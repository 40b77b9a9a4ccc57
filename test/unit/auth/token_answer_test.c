#include "token_answer.h"

#include "support/check.h"

static const struct {
	const char *name;
	struct text body;
	const char *token; /* NULL: refused */
	const char *refresh, *problem;
	int64_t life_ms;
} bodies[] = {
	{ "all",
	  LIT("{\"access_token\":\"abc\",\"token_type\":\"Bearer\",\"expires_in\":3600,\"refresh_token\":\"r\"}"),
	  "abc", "r", NULL, 3600000 },
	{ "the least", LIT("{\"access_token\":\"abc\"}"), "abc", "", NULL, TOKEN_LIFE_UNKNOWN },
	{ "more than is known", LIT("{\"access_token\":\"a.b-c_~+/=\",\"id_token\":{},\"scope\":\"x\"}"),
	  "a.b-c_~+/=", "", NULL, TOKEN_LIFE_UNKNOWN },
	{ "a type in small letters", LIT("{\"access_token\":\"abc\",\"token_type\":\"bearer\"}"), "abc", "",
	  NULL, TOKEN_LIFE_UNKNOWN },
	{ "seconds as text", LIT("{\"access_token\":\"abc\",\"expires_in\":\"60\"}"), "abc", "", NULL,
	  60000 },
	{ "seconds with a fraction", LIT("{\"access_token\":\"abc\",\"expires_in\":59.9}"), "abc", "", NULL,
	  59000 },
	{ "no life at all", LIT("{\"access_token\":\"abc\",\"expires_in\":0}"), "abc", "", NULL, 0 },
	{ "less than none", LIT("{\"access_token\":\"abc\",\"expires_in\":-5}"), "abc", "", NULL, 0 },
	{ "for ever", LIT("{\"access_token\":\"abc\",\"expires_in\":9223372036854775807}"), "abc", "", NULL,
	  INT64_C(365) * 86400 * 1000 },
	{ "seconds that are none", LIT("{\"access_token\":\"abc\",\"expires_in\":\"soon\"}"), "abc", "", NULL,
	  TOKEN_LIFE_UNKNOWN },
	{ "space around", LIT(" \r\n{\"access_token\":\"abc\"}\n"), "abc", "", NULL, TOKEN_LIFE_UNKNOWN },
	{ "another type", LIT("{\"access_token\":\"abc\",\"token_type\":\"mac\"}"), NULL, NULL,
	  "its token_type is another than Bearer", 0 },
	{ "no token", LIT("{\"token_type\":\"Bearer\"}"), NULL, NULL, "its JSON has no access_token", 0 },
	{ "an empty one", LIT("{\"access_token\":\"\"}"), NULL, NULL, "its JSON has no access_token", 0 },
	{ "a number", LIT("{\"access_token\":5}"), NULL, NULL, "its JSON has no access_token", 0 },
	{ "a space in it", LIT("{\"access_token\":\"a b\"}"), NULL, NULL,
	  "its access_token is none: too long, or not visible ASCII", 0 },
	{ "a line end in it", LIT("{\"access_token\":\"a\\r\\nQUIT\"}"), NULL, NULL,
	  "its access_token is none: too long, or not visible ASCII", 0 },
	{ "UTF-8 in it", LIT("{\"access_token\":\"\xc3\xa4\"}"), NULL, NULL,
	  "its access_token is none: too long, or not visible ASCII", 0 },
	{ "a refresh token that is none", LIT("{\"access_token\":\"a\",\"refresh_token\":\"\\n\"}"), NULL,
	  NULL, "its refresh_token is none: too long, or not ASCII", 0 },
	{ "a member twice", LIT("{\"access_token\":\"a\",\"access_token\":\"b\"}"), NULL, NULL,
	  "it is no JSON", 0 },
	{ "a list", LIT("[\"access_token\"]"), NULL, NULL, "its JSON is no object", 0 },
	{ "a text", LIT("\"abc\""), NULL, NULL, "its JSON is no object", 0 },
	{ "half", LIT("{\"access_token\":\"abc"), NULL, NULL, "it is no JSON", 0 },
	{ "a page", LIT("<html>Sign in</html>"), NULL, NULL, "it is no JSON", 0 },
	{ "nothing", LIT(""), NULL, NULL, "it is empty", 0 },
	{ "more behind it", LIT("{\"access_token\":\"abc\"} x"), NULL, NULL, "it is no JSON", 0 },
};

static void check_row(enum err (*read)(struct text, struct token_answer *, struct buf *), size_t i)
{
	AUTO(free_memory) char *copy = alone(bodies[i].body);
	AUTO(buf_fini) struct buf problem = BUF(300);
	AUTO(token_answer_fini) struct token_answer a;
	const char *row = bodies[i].name;

	token_answer_init(&a);
	enum err err = read(text_of(copy, bodies[i].body.len), &a, &problem);

	if (!bodies[i].token) {
		CHECK_INT(row, err, ERR_SYNTAX);
		if (read == token_answer_parse)
			CHECK_TEXT(row, buf_text(&problem), text_from(bodies[i].problem));
		return;
	}
	CHECK_INT(row, err, ERR_OK);
	CHECK_TEXT(row, buf_text(&a.token), text_from(bodies[i].token));
	CHECK_TEXT(row, buf_text(&a.refresh_token), text_from(bodies[i].refresh));
	CHECK_INT(row, a.life_ms, bodies[i].life_ms);
}

static void what_an_endpoint_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		check_row(token_answer_parse, i);
}

static void objects_may_stand_in_files_too(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		if (text_find_octet(bodies[i].body, '{') < bodies[i].body.len)
			check_row(token_answer_read, i);
}

static const struct {
	const char *name;
	struct text content;
	const char *token, *problem;
} contents[] = {
	{ "a token", LIT("ya29.abc"), "ya29.abc", NULL },
	{ "with a line end", LIT("ya29.abc\n"), "ya29.abc", NULL },
	{ "from Windows", LIT(" ya29.abc\r\n\r\n"), "ya29.abc", NULL },
	{ "two lines", LIT("a\nb\n"), NULL,
	  "it is no token: neither one word of visible ASCII nor a JSON object" },
	{ "two words", LIT("a b"), NULL,
	  "it is no token: neither one word of visible ASCII nor a JSON object" },
	{ "a NUL", LIT("a\0b"), NULL, "it is no token: neither one word of visible ASCII nor a JSON object" },
	{ "nothing", LIT(""), NULL, "it is empty" },
	{ "only lines", LIT("\n\n"), NULL, "it is empty" },
};

static void what_a_file_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(contents); i++) {
		AUTO(free_memory) char *copy = alone(contents[i].content);
		AUTO(buf_fini) struct buf problem = BUF(300);
		AUTO(token_answer_fini) struct token_answer a;
		const char *row = contents[i].name;

		token_answer_init(&a);
		enum err err = token_answer_read(text_of(copy, contents[i].content.len), &a, &problem);

		CHECK_INT(row, err, contents[i].token ? ERR_OK : ERR_SYNTAX);
		CHECK_TEXT(row, buf_text(&a.token), text_from(contents[i].token));
		CHECK_TEXT(row, buf_text(&problem), text_from(contents[i].problem));
	}
}

static void the_longest_token(void **state)
{
	AUTO(buf_fini) struct buf b = BUF(TOKEN_BODY_MAX);
	AUTO(buf_fini) struct buf problem = BUF(300);
	struct token_answer a;

	(void)state;
	for (size_t i = 0; i < TOKEN_MAX_BYTES; i++)
		buf_add_octet(&b, 'x');
	token_answer_init(&a);
	assert_int_equal(token_answer_read(buf_text(&b), &a, &problem), ERR_OK);
	assert_int_equal(a.token.len, TOKEN_MAX_BYTES);
	token_answer_fini(&a);
	buf_add_octet(&b, 'x');
	token_answer_init(&a);
	assert_int_equal(token_answer_read(buf_text(&b), &a, &problem), ERR_SYNTAX);
	CHECK_TEXT("too long", buf_text(&problem), TEXT("it is too long for a token"));
	token_answer_fini(&a);
}

static const struct {
	const char *name;
	int status;
	struct text type, body;
	const char *words, *code;
} refusals[] = {
	{ "as in the book", 400, LIT("application/json"),
	  LIT("{\"error\":\"invalid_grant\",\"error_description\":\"The refresh token has expired.\",\"error_uri\":\"x\"}"),
	  "400 invalid_grant: The refresh token has expired.", "invalid_grant" },
	{ "without a description", 401, LIT("application/json"), LIT("{\"error\":\"invalid_client\"}"),
	  "401 invalid_client", "invalid_client" },
	{ "only a description", 400, LIT("application/json"), LIT("{\"error_description\":\"no\"}"),
	  "400: no", "" },
	{ "an error that is an object", 403, LIT("application/json"), LIT("{\"error\":{\"code\":403}}"),
	  "403", "" },
	{ "a page", 502, LIT("text/html"), LIT("<html>"), "502 (text/html)", "" },
	{ "nothing", 500, LIT(""), LIT(""), "500", "" },
	{ "several lines", 400, LIT(""),
	  LIT("{\"error\":\"e\",\"error_description\":\"AADSTS1: no.\\r\\nTrace ID: 5\"}"),
	  "400 e: AADSTS1: no.  Trace ID: 5", "e" },
	{ "control characters", 400, LIT(""),
	  LIT("{\"error\":\"e\\u001b[31m\\u0085\",\"error_description\":\"\\u0007\"}"),
	  "400 e [31m?:  ", "e [31m?" },
	{ "UTF-8", 400, LIT(""),
	  LIT("{\"error\":\"e\",\"error_description\":\"Zugriff verweigert f\xc3\xbcr\"}"),
	  "400 e: Zugriff verweigert f\xc3\xbcr", "e" },
	{ "a secret said back", 400, LIT(""),
	  LIT("{\"error\":\"e\",\"error_description\":\"refresh token s3cr3t/+x is not s3cr3t/+x\"}"),
	  "400 e: refresh token [secret] is not [secret]", "e" },
	{ "as it stood in the form", 400, LIT(""),
	  LIT("{\"error\":\"e\",\"error_description\":\"body was a=s3cr3t%2F%2Bx&b\"}"),
	  "400 e: body was a=[secret]&b", "e" },
	{ "in the error itself", 400, LIT(""), LIT("{\"error\":\"s3cr3t/+x\"}"), "400 [secret]", "[secret]" },
	{ "in the type", 400, LIT("text/s3cr3t/+x"), LIT("?"), "400 (text/[secret])", "" },
};

static void what_people_hear_of_a_refusal(void **state)
{
	static const struct text secrets[] = { LIT("s3cr3t/+x"), LIT("e") /* too short to be one */ };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		AUTO(buf_fini) struct buf words = BUF(2000);
		AUTO(buf_fini) struct buf code = BUF(2000);

		token_refusal_add(&words, refusals[i].status, refusals[i].type, refusals[i].body, secrets,
		                  ARRAY_LEN(secrets), &code);
		CHECK_TEXT(refusals[i].name, buf_text(&words), text_from(refusals[i].words));
		CHECK_TEXT(refusals[i].name, buf_text(&code), text_from(refusals[i].code));
	}
}

/* The secret begins before the place where the words are cut. */
static void words_are_cut_behind_what_is_hidden(void **state)
{
	static const struct text secrets[] = { LIT("0123456789") };
	AUTO(buf_fini) struct buf words = BUF(2000);

	(void)state;
	token_words_add(&words, TEXT("xxxxxx0123456789yyyy\xc3\xa4zzzz"), 19, secrets, 1);
	CHECK_TEXT("cut", buf_text(&words), TEXT("xxxxxx[secret]yyyy..."));
}

static void secrets_are_one_line(void **state)
{
	struct text out = TEXT("before");
	const char *why;

	(void)state;
	assert_int_equal(token_secret_read(TEXT("\tab c \n"), &out, &why), ERR_OK);
	CHECK_TEXT("trimmed", out, TEXT("ab c"));
	assert_int_equal(token_secret_read(TEXT("a\nb"), &out, &why), ERR_SYNTAX);
	assert_string_equal(why, "holds something else than one line of ASCII");
	assert_int_equal(token_secret_read(TEXT("\n"), &out, &why), ERR_SYNTAX);
	assert_string_equal(why, "is empty");
	CHECK_TEXT("as it was", out, TEXT("ab c"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_an_endpoint_says),
		cmocka_unit_test(objects_may_stand_in_files_too),
		cmocka_unit_test(what_a_file_says),
		cmocka_unit_test(the_longest_token),
		cmocka_unit_test(what_people_hear_of_a_refusal),
		cmocka_unit_test(words_are_cut_behind_what_is_hidden),
		cmocka_unit_test(secrets_are_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
