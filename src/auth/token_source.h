/* auth/token_source.h - one place that tokens come from: what tokens.c (who waits, what is kept, when it is asked again) and
 * token_fetch.c (asking once) share. */
#ifndef AUTH_TOKEN_SOURCE_H
#define AUTH_TOKEN_SOURCE_H

#include <postrider/auth/tokens.h>
#include <postrider/base/auto.h>
#include <postrider/base/map.h>
#include <postrider/base/time.h>
#include <postrider/base/url.h>
#include <postrider/crypto.h>
#include <postrider/http/client.h>
#include <postrider/io/lane.h>

#include "token_answer.h"

#define TOKEN_WORDS_MAX 1500

enum token_way { TOKEN_BY_URL, TOKEN_BY_FILE, TOKEN_BY_COMMAND };
/* Files that a source is made of. */
enum token_file { TOKEN_FILE_TOKEN, TOKEN_FILE_REFRESH, TOKEN_FILE_SECRET, TOKEN_FILES };

struct token_source;

/* In the disk lane; owns what it touches, and goes on alone when its source is gone. */
struct token_job {
	struct io_job job;
	struct token_source *source; /* NULL: gone */
	struct io_disk *disk;
	char *paths[TOKEN_FILES]; /* NULL: not this one */
	struct buf contents[TOKEN_FILES];
	enum err errs[TOKEN_FILES];
};

/* One question, from its first file to its answer. */
struct token_fetch {
	bool runs;
	struct token_job *reading;
	struct http_call *http;
	struct auth_command *command;
	int64_t asked_at;
	bool is_between; /* the refresh token was being written when the file was read: it may be the old one */
	int status;
	struct buf content_type, body;
	struct buf refresh_token, secret; /* as they were sent */
	bool by_header, is_second;        /* how the client's secret is shown: RFC 6749 section 2.3.1 */
};

struct token_source {
	struct map_item item;
	struct crypto_sha256 key; /* of all that the configuration says */
	struct auth_tokens *tokens;
	bool is_old;    /* of a configuration that was taken */
	bool is_wanted; /* by the one that is being taken */

	enum token_way way;
	struct config_oauth2 config; /* texts in `memory` */
	struct buf memory;
	struct buf name; /* for people: "https://login.example.com/token", "token_file /run/token" */
	struct tls_context *tls, *next_tls;

	/* the token */
	struct buf token;
	uint64_t serial;
	struct crypto_sha256 digest; /* of the last one */
	int64_t got_at, refresh_at, ends_at;
	uint64_t refused_serial; /* and until when it is not tried again */
	int64_t refused_until_at;
	unsigned young_refusals; /* in a row, of tokens that were new */

	/* the refresh token, when the server has given another one */
	struct buf refresh;
	struct crypto_sha256 refresh_file; /* of what the file held last */
	bool told_rotation;
	struct token_job *writing;

	struct token_fetch fetch;
	bool by_header; /* what the server took last */

	unsigned failures; /* in a row */
	int64_t retry_at;
	struct buf problem;
	int64_t told_at; /* 0: nothing is wrong, or nobody was told */

	struct list waits;
};

struct auth_tokens {
	struct auth_tokens_options options;
	struct map sources;
	struct list lost; /* waits whose source is gone */
	uint64_t serial;
};

/* token_source.c */
struct crypto_sha256 token_source_key(const struct config_oauth2 *c);
MUST_USE enum err token_source_new(struct auth_tokens *t, const struct config_oauth2 *c,
                                   const struct crypto_sha256 *key, struct token_source **out);
void token_source_free(struct token_source *s); /* out of the map by now, and nobody waits */
/* Into next_tls. ERR_CONFIG: problem (may be NULL). */
MUST_USE enum err token_source_make_context(struct token_source *s, struct buf *problem);

/* token_fetch.c. The end is token_source_fetched or token_source_failed, once, in a later turn. An error: nothing was begun. */
MUST_USE enum err token_fetch_begin(struct token_source *s);
void token_fetch_drop(struct token_source *s);

/* token_rotate.c */
struct token_job *token_job_new(struct token_source *s); /* NULL: no memory */
void token_job_free(struct token_job *j);
/* The server has given another refresh token: keeps it, and writes it to its file. */
void token_source_rotate(struct token_source *s, struct text refresh_token);
void token_source_drop_jobs(struct token_source *s);

/* tokens.c */
void token_source_fetched(struct token_source *s, const struct token_answer *answer);
/* words: a sentence without its name: "answered 400 invalid_grant". is_lasting: a person has to do something. */
void token_source_failed(struct token_source *s, bool is_lasting, struct text words);
void token_source_tell(struct token_source *s, bool is_bad, struct text words);

#endif
