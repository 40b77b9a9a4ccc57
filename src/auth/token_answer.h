/* auth/token_answer.h - what a token endpoint, a file or a command says (RFC 6749 sections 5.1, 5.2), read strictly and told to
 * people without its secrets. */
#ifndef AUTH_TOKEN_ANSWER_H
#define AUTH_TOKEN_ANSWER_H

#include <postrider/base/buf.h>

#define TOKEN_MAX_BYTES 8192       /* an AUTH line takes some 9000 (RFC 4954 section 4.5) */
#define TOKEN_BODY_MAX (64u << 10) /* of a response, a file, a command's output */
#define TOKEN_LIFE_UNKNOWN (-1)

struct token_answer {
	struct buf token;
	struct buf refresh_token; /* empty: the old one goes on */
	int64_t life_ms;          /* TOKEN_LIFE_UNKNOWN: it does not say */
};

void token_answer_init(struct token_answer *a);
void token_answer_fini(struct token_answer *a); /* wipes; a zeroed one is fine */

/* The body of a 2xx. ERR_SYNTAX: problem says what is wrong with it, for behind "answered 200, but ". */
MUST_USE enum err token_answer_parse(struct text body, struct token_answer *out, struct buf *problem);
/* A file or an output: a token and nothing else, or an object as above. problem: for behind "it " or "what it says ". */
MUST_USE enum err token_answer_read(struct text content, struct token_answer *out, struct buf *problem);
/* A token or a secret alone, with white space around. The result points into content. ERR_SYNTAX, and why. */
MUST_USE enum err token_secret_read(struct text content, struct text *out, const char **why);

/* Another response: "401 invalid_client: AADSTS7000215: Invalid client secret". What we sent of secrets does not come back
 * in it. code: its `error`, for the caller to look at; lives in `room`. */
void token_refusal_add(struct buf *out, int status, struct text content_type, struct text body,
                       const struct text *secrets, size_t secret_count, struct buf *code);
/* One line of somebody else's words, made fit for ours: printable, and most octets long. */
void token_words_add(struct buf *out, struct text words, size_t most, const struct text *secrets,
                     size_t secret_count);

#endif
