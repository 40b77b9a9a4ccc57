#include "token_answer.h"

#include <postrider/base/auto.h>
#include <postrider/base/time.h>
#include <postrider/base/utf8.h>
#include <postrider/http/exchange.h>
#include <postrider/http/json.h>

#define LIFE_MOST_S (INT64_C(365) * 24 * 3600)
#define CODE_MAX 100
#define DESCRIPTION_MAX 300
#define SECRET_MIN 4 /* shorter ones would make holes in every sentence */

void token_answer_init(struct token_answer *a)
{
	*a = (struct token_answer){ .token = BUF(TOKEN_MAX_BYTES),
		                    .refresh_token = BUF(TOKEN_MAX_BYTES),
		                    .life_ms = TOKEN_LIFE_UNKNOWN };
}

void token_answer_fini(struct token_answer *a)
{
	buf_wipe(&a->token);
	buf_wipe(&a->refresh_token);
}

/* ---------------------------------------------------------------- reading */

static enum err refuse(struct buf *problem, const char *words)
{
	buf_add_string(problem, words);
	return ERR_SYNTAX;
}

/* access-token = 1*VSCHAR (RFC 6749 appendix A.12), and a space would end it in an AUTH line. */
static bool is_token(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (t.at[i] <= ' ' || t.at[i] >= 0x7f)
			return false;
	return t.len > 0 && t.len <= TOKEN_MAX_BYTES;
}

/* The same of a refresh token or a client's secret: 1*VSCHAR with spaces inside (appendix A.2, A.17). */
static bool is_secret(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (t.at[i] < ' ' || t.at[i] >= 0x7f)
			return false;
	return t.len > 0 && t.len <= TOKEN_MAX_BYTES;
}

static struct text trim(struct text t)
{
	while (t.len && (t.at[t.len - 1] == '\n' || t.at[t.len - 1] == '\r' || t.at[t.len - 1] == ' ' ||
	                 t.at[t.len - 1] == '\t'))
		t.len--;
	while (t.len && (t.at[0] == '\n' || t.at[0] == '\r' || t.at[0] == ' ' || t.at[0] == '\t'))
		t = text_skip(t, 1);
	return t;
}

enum err token_secret_read(struct text content, struct text *out, const char **why)
{
	struct text t = trim(content);

	*why = t.len == 0                ? "is empty"
	       : t.len > TOKEN_MAX_BYTES ? "is too long for a secret"
	                                 : "holds something else than one line of ASCII";
	if (!is_secret(t))
		return ERR_SYNTAX;
	*out = t;
	return ERR_OK;
}

/* "expires_in": 3600; some servers write "3600". */
static int64_t life_of(const struct json *v)
{
	uint64_t seconds;
	int64_t life = TOKEN_LIFE_UNKNOWN;

	if (json_kind_of(v) == JSON_IS_NUMBER)
		life = MAX(json_as_number(v, 0), 0);
	else if (json_kind_of(v) == JSON_IS_TEXT &&
	         text_to_u64(json_as_text(v), LIFE_MOST_S, &seconds) == ERR_OK)
		life = (int64_t)seconds;
	return life < 0 ? TOKEN_LIFE_UNKNOWN : MIN(life, LIFE_MOST_S) * SECOND_MS;
}

static enum err take_refresh_token(const struct json *v, struct token_answer *out, struct buf *problem)
{
	struct text t = json_as_text(json_member(v, "refresh_token"));

	if (t.len && !is_secret(t))
		return refuse(problem, "its refresh_token is none: too long, or not ASCII");
	buf_reserve(&out->refresh_token, t.len);
	buf_add(&out->refresh_token, t);
	return buf_err(&out->refresh_token);
}

static enum err take_object(const struct json *v, struct token_answer *out, struct buf *problem)
{
	const struct json *type = json_member(v, "token_type");
	struct text token = json_as_text(json_member(v, "access_token"));

	if (json_kind_of(v) != JSON_IS_OBJECT)
		return refuse(problem, "its JSON is no object");
	if (token.len == 0)
		return refuse(problem, "its JSON has no access_token");
	if (!is_token(token))
		return refuse(problem, "its access_token is none: too long, or not visible ASCII");
	if (type && !text_eq_nocase(json_as_text(type), TEXT("bearer")))
		return refuse(problem, "its token_type is another than Bearer");
	buf_reserve(&out->token, token.len);
	buf_add(&out->token, token);
	out->life_ms = life_of(json_member(v, "expires_in"));
	enum err err = take_refresh_token(v, out, problem);

	return err ? err : buf_err(&out->token);
}

/* The words of the reader are not repeated: they quote what it read. */
enum err token_answer_parse(struct text body, struct token_answer *out, struct buf *problem)
{
	struct json *v = NULL;
	enum err err = json_parse(body, &v, NULL);

	if (err == ERR_SYNTAX)
		return refuse(problem, trim(body).len ? "it is no JSON" : "it is empty");
	if (!err)
		err = take_object(v, out, problem);
	json_wipe(&v);
	return err;
}

enum err token_answer_read(struct text content, struct token_answer *out, struct buf *problem)
{
	struct text t = trim(content);

	if (t.len && t.at[0] == '{')
		return token_answer_parse(t, out, problem);
	if (t.len == 0)
		return refuse(problem, "it is empty");
	if (!is_token(t))
		return refuse(
			problem,
			t.len > TOKEN_MAX_BYTES
				? "it is too long for a token"
				: "it is no token: neither one word of visible ASCII nor a JSON object");
	buf_reserve(&out->token, t.len);
	buf_add(&out->token, t);
	return buf_err(&out->token);
}

/* ---------------------------------------------------------------- for people */

static size_t find_secret(struct text words, struct text secret)
{
	return secret.len < SECRET_MIN ? words.len : text_find(words, secret);
}

/* A server may say back what it was sent, as it was or as it stood in the form. */
static void add_without(struct buf *out, struct text words, struct text secret)
{
	while (words.len) {
		size_t at = find_secret(words, secret);

		buf_add(out, text_head(words, at));
		if (at == words.len)
			return;
		buf_add_string(out, "[secret]");
		words = text_skip(words, at + secret.len);
	}
}

static void drop_secret(struct buf *words, struct text secret)
{
	AUTO(buf_wipe) struct buf rest = BUF(2 * TOKEN_BODY_MAX);

	if (find_secret(buf_text(words), secret) == words->len)
		return;
	add_without(&rest, buf_text(words), secret);
	buf_reset(words);
	buf_add(words, buf_text(&rest));
}

static void drop_secrets(struct buf *words, const struct text *secrets, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		AUTO(buf_wipe) struct buf encoded = BUF(3 * TOKEN_MAX_BYTES);

		drop_secret(words, secrets[i]);
		http_add_encoded(&encoded, secrets[i]);
		drop_secret(words, buf_text(&encoded));
	}
}

static void add_printable(struct buf *out, struct text words, size_t most)
{
	size_t end = out->len + most;

	while (words.len && out->len < end) {
		size_t len = utf8_length(words, NULL);
		bool is_control = len == 1 && ((unsigned char)words.at[0] < ' ' || words.at[0] == 0x7f);
		/* C1 controls and what else begins with C2 80..9F */
		bool is_c1 =
			len == 2 && (unsigned char)words.at[0] == 0xc2 && (unsigned char)words.at[1] < 0xa0;

		if (len == 0 || is_control || is_c1)
			buf_add_octet(out, is_control ? ' ' : '?');
		else if (out->len + len > end)
			break;
		else
			buf_add(out, text_head(words, len));
		words = text_skip(words, MAX(len, (size_t)1));
	}
	if (words.len)
		buf_add_string(out, "...");
}

void token_words_add(struct buf *out, struct text words, size_t most, const struct text *secrets,
                     size_t secret_count)
{
	AUTO(buf_wipe) struct buf copy = BUF(2 * TOKEN_BODY_MAX);

	buf_add(&copy, words);
	drop_secrets(&copy, secrets, secret_count);
	if (!buf_err(&copy))
		add_printable(out, trim(buf_text(&copy)), most);
}

void token_refusal_add(struct buf *out, int status, struct text content_type, struct text body,
                       const struct text *secrets, size_t secret_count, struct buf *code)
{
	struct json *v = NULL;

	buf_add_format(out, "%d", status);
	if (json_parse(body, &v, NULL) == ERR_OK) {
		struct text error = json_as_text(json_member(v, "error"));
		struct text description = json_as_text(json_member(v, "error_description"));

		token_words_add(code, error, CODE_MAX, secrets, secret_count);
		if (error.len)
			buf_add_octet(out, ' ');
		buf_add(out, buf_text(code));
		if (description.len)
			buf_add_string(out, ": ");
		token_words_add(out, description, DESCRIPTION_MAX, secrets, secret_count);
	} else if (content_type.len) {
		buf_add_string(out, " (");
		token_words_add(out, content_type, CODE_MAX, secrets, secret_count);
		buf_add_octet(out, ')');
	}
	json_wipe(&v);
}
