/* What token endpoints, files and commands say: a token that is taken fits in a line of SMTP, and what people are told has
 * neither control characters nor our secret in it. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include <postrider/base/utf8.h>

#include "auth/token_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct text secrets[] = { LIT("S3CR3T/+") };

static void check_answer(enum err (*read)(struct text, struct token_answer *, struct buf *), struct text body)
{
	struct buf problem = BUF(300);
	struct token_answer a;

	token_answer_init(&a);
	if (read(body, &a, &problem) == ERR_OK) {
		assert(a.token.len > 0 && a.token.len <= TOKEN_MAX_BYTES && a.life_ms >= TOKEN_LIFE_UNKNOWN);
		for (size_t i = 0; i < a.token.len; i++)
			assert(a.token.at[i] > ' ' && a.token.at[i] < 0x7f);
		for (size_t i = 0; i < a.refresh_token.len; i++)
			assert(a.refresh_token.at[i] >= ' ' && a.refresh_token.at[i] < 0x7f);
	} else {
		assert(problem.len > 0 && !buf_err(&problem));
	}
	token_answer_fini(&a);
	buf_fini(&problem);
}

static void check_words(struct text words, size_t most)
{
	assert(words.len <= most && utf8_is_valid(words));
	assert(text_find(words, secrets[0]) == words.len);
	for (size_t i = 0; i < words.len; i++)
		assert((unsigned char)words.at[i] >= ' ' && words.at[i] != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text body = text_of((const char *)data, size), secret;
	struct buf words = BUF(2000), code = BUF(2000);
	const char *why;

	if (size > TOKEN_BODY_MAX)
		return 0;
	check_answer(token_answer_parse, body);
	check_answer(token_answer_read, body);
	token_refusal_add(&words, 400, TEXT("application/json"), body, secrets, 1, &code);
	assert(!buf_err(&words) && !buf_err(&code));
	check_words(buf_text(&words), 1000);
	check_words(buf_text(&code), 200);
	buf_reset(&words);
	token_words_add(&words, body, 50, secrets, 1);
	check_words(buf_text(&words), 60);
	if (token_secret_read(body, &secret, &why) == ERR_OK)
		assert(secret.len > 0 && secret.at >= body.at &&
		       secret.at + secret.len <= body.at + body.len);
	buf_fini(&words);
	buf_fini(&code);
	return 0;
}
