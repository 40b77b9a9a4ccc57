/* What a source is made of: what the configuration says of it, its name for people, TLS towards it. */
#include "token_source.h"

#include <stdlib.h>

#define MEMORY_MAX (256u << 10)
#define CA_MAX (8u << 20)
#define READ_BYTES 65536
#define COMMAND_WORD_MAX 100

static const size_t texts[] = {
	offsetof(struct config_oauth2, token_url),     offsetof(struct config_oauth2, client_id),
	offsetof(struct config_oauth2, client_secret), offsetof(struct config_oauth2, client_secret_file),
	offsetof(struct config_oauth2, refresh_token), offsetof(struct config_oauth2, refresh_token_file),
	offsetof(struct config_oauth2, scope),         offsetof(struct config_oauth2, token_file),
	offsetof(struct config_oauth2, token_command), offsetof(struct config_oauth2, ca_file),
};

static struct text *text_at(const struct config_oauth2 *c, size_t offset)
{
	return (struct text *)(void *)((char *)(uintptr_t)c + offset);
}

struct crypto_sha256 token_source_key(const struct config_oauth2 *c)
{
	struct text pieces[2 * ARRAY_LEN(texts)];
	size_t lengths[ARRAY_LEN(texts)];

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct text t = *text_at(c, texts[i]);

		lengths[i] = t.len;
		pieces[2 * i] = text_of((const char *)&lengths[i], sizeof(lengths[i]));
		pieces[2 * i + 1] = t;
	}
	return crypto_sha256(pieces, ARRAY_LEN(pieces));
}

static enum err copy_config(struct token_source *s, const struct config_oauth2 *c)
{
	size_t total = 0;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		total += text_at(c, texts[i])->len;
	buf_init(&s->memory, MEMORY_MAX);
	buf_reserve(&s->memory, total + 1);
	for (size_t i = 0; i < ARRAY_LEN(texts) && !buf_err(&s->memory); i++) {
		struct text from = *text_at(c, texts[i]);

		*text_at(&s->config, texts[i]) = text_of(s->memory.at + s->memory.len, from.len);
		buf_add(&s->memory, from);
	}
	return buf_err(&s->memory);
}

static void name_source(struct token_source *s)
{
	const struct config_oauth2 *c = &s->config;
	struct text command = text_trim(c->token_command);

	buf_init(&s->name, TOKEN_WORDS_MAX);
	if (s->way == TOKEN_BY_URL) /* without its query: a key may stand there */
		token_words_add(&s->name, text_head(c->token_url, text_find_octet(c->token_url, '?')),
		                TOKEN_WORDS_MAX / 2, NULL, 0);
	else if (s->way == TOKEN_BY_FILE)
		buf_add_format(&s->name, "token_file %.*s",
		               TEXT_ARGS(text_head(c->token_file, TOKEN_WORDS_MAX / 2)));
	else {
		buf_add_string(&s->name, "token_command "); /* its arguments may be secrets */
		token_words_add(&s->name, text_head(command, text_find_octet(command, ' ')), COMMAND_WORD_MAX,
		                NULL, 0);
	}
}

void token_source_free(struct token_source *s)
{
	token_fetch_drop(s);
	token_source_drop_jobs(s);
	tls_context_unref(&s->tls);
	tls_context_unref(&s->next_tls);
	buf_wipe(&s->memory);
	buf_wipe(&s->token);
	buf_wipe(&s->refresh);
	buf_fini(&s->name);
	buf_fini(&s->problem);
	free(s);
}

enum err token_source_new(struct auth_tokens *t, const struct config_oauth2 *c,
                          const struct crypto_sha256 *key, struct token_source **out)
{
	struct token_source *s = calloc(1, sizeof(*s));

	if (!s)
		return ERR_NOMEM;
	s->tokens = t;
	s->key = *key;
	s->way = c->token_url.len ? TOKEN_BY_URL : c->token_file.len ? TOKEN_BY_FILE : TOKEN_BY_COMMAND;
	list_init(&s->waits);
	buf_init(&s->token, TOKEN_MAX_BYTES);
	buf_init(&s->refresh, TOKEN_MAX_BYTES);
	buf_init(&s->problem, TOKEN_WORDS_MAX);
	enum err err = copy_config(s, c);

	if (!err) {
		name_source(s);
		err = buf_err(&s->name);
	}
	if (!err)
		err = map_add(&t->sources, &s->item, crypto_sha256_text(&s->key));
	if (err) {
		token_source_free(s);
		return err;
	}
	*out = s;
	return ERR_OK;
}

/* ---------------------------------------------------------------- TLS towards them */

static enum err read_ca(struct io_disk *disk, struct text path, struct buf *out)
{
	AUTO(free_memory) char *name = text_dup(path);
	struct io_file *file = NULL;
	enum err err = name ? disk->ops->open(disk, name, IO_FILE_READ, &file) : ERR_NOMEM;
	size_t got = READ_BYTES;

	for (uint64_t at = 0; !err && got == READ_BYTES; at += got) {
		char *room = buf_reserve(out, READ_BYTES);

		err = room ? disk->ops->read_at(file, at, room, READ_BYTES, &got) : buf_err(out);
		if (!err)
			buf_grew(out, got);
	}
	if (file)
		disk->ops->close(&file);
	return err;
}

enum err token_source_make_context(struct token_source *s, struct buf *problem)
{
	const struct auth_tokens_options *o = &s->tokens->options;
	AUTO(buf_fini) struct buf ca = BUF(CA_MAX);
	enum err err = s->config.ca_file.len ? read_ca(o->disk, s->config.ca_file, &ca) : ERR_OK;

	if (err == ERR_NOMEM)
		return err;
	if (err) {
		if (problem)
			buf_add_format(problem, "oauth2.ca_file %.*s: %s", TEXT_ARGS(s->config.ca_file),
			               err == ERR_NOT_FOUND ? "no such file" : err_text(err));
		return ERR_CONFIG;
	}
	const struct tls_client_options tls = {
		.verify = true, .ca = buf_text(&ca), .certificate = TEXT_EMPTY, .key = TEXT_EMPTY
	};

	return o->client_context ? o->client_context(o->client_context_owner, &tls, &s->next_tls, problem)
	                         : tls_client_context_new(o->io, &tls, &s->next_tls, problem);
}
