/* Who waits for tokens, what is kept of them, and when their sources are asked again. */
#include "token_source.h"

#include <stdlib.h>

#define FILE_LIFE_MS SECOND_MS          /* read once for those who come together */
#define COMMAND_LIFE_MS (5 * MINUTE_MS) /* when it does not say */
#define URL_LIFE_MS (10 * MINUTE_MS)
#define EARLY_MS (60 * SECOND_MS)  /* before its end a token is renewed ... */
#define MARGIN_MS (20 * SECOND_MS) /* ... and given to nobody any more: it has a way to go */
#define YOUNG_MS (5 * MINUTE_MS)
#define REFUSED_MS (5 * MINUTE_MS)
#define PAUSE_MS (5 * SECOND_MS)
#define PAUSE_LASTING_MS (30 * SECOND_MS)
#define PAUSE_MOST_MS (5 * MINUTE_MS)
#define TELL_AGAIN_MS (10 * MINUTE_MS)

struct auth_token_wait {
	struct list link; /* in its source's waits, or in lost */
	struct auth_tokens *tokens;
	struct token_source *source; /* NULL: gone */
	struct auth_token_wait **slot;
	auth_token_fn *fn;
	void *owner;
	uint64_t refused;
	struct io_later later;
};

bool auth_login_has_tokens(const struct config_login *login)
{
	const struct config_oauth2 *o = &login->oauth2;

	return o->token_url.len || o->token_file.len || o->token_command.len;
}

static int64_t now_at(const struct token_source *s)
{
	return io_now_at(s->tokens->options.io);
}

/* 0 .. below - 1 */
static int64_t random_below_ms(const struct token_source *s, int64_t below)
{
	return below > 0 ? (int64_t)(io_random_u64(s->tokens->options.io) % (uint64_t)below) : 0;
}

/* ---------------------------------------------------------------- what people hear */

void token_source_tell(struct token_source *s, bool is_bad, struct text words)
{
	const struct auth_tokens_options *o = &s->tokens->options;
	AUTO(buf_fini) struct buf line = BUF(2 * TOKEN_WORDS_MAX);

	buf_add_format(&line, "%.*s %.*s", TEXT_ARGS(buf_text(&s->name)), TEXT_ARGS(words));
	if (o->on_notice)
		o->on_notice(o->owner, is_bad, buf_text(&line));
}

static void tell_failure(struct token_source *s, struct text words)
{
	AUTO(buf_fini) struct buf line = BUF(TOKEN_WORDS_MAX);

	if (s->told_at && now_at(s) - s->told_at < TELL_AGAIN_MS)
		return;
	s->told_at = now_at(s);
	buf_add_format(&line, "%.*s; ", TEXT_ARGS(words));
	if (s->token.len && s->ends_at > now_at(s) && s->ends_at != INT64_MAX) {
		buf_add_string(&line, "the token it gave before is good for ");
		time_add_duration(&line, s->ends_at - now_at(s));
		buf_add_string(&line, " more");
	} else {
		buf_add_string(&line, "mail that needs its tokens waits");
	}
	token_source_tell(s, true, buf_text(&line));
}

static void tell_success(struct token_source *s)
{
	if (s->told_at)
		token_source_tell(s, false, TEXT("gives tokens again"));
	s->told_at = 0;
}

/* ---------------------------------------------------------------- waiting */

static void free_wait(struct auth_token_wait *w)
{
	io_later_cancel(w->tokens->options.io, &w->later);
	list_remove(&w->link);
	free(w);
}

static void answer(struct auth_token_wait *w, enum err err, const struct auth_token *token,
                   struct text problem)
{
	auth_token_fn *fn = w->fn;
	void *owner = w->owner;

	*w->slot = NULL;
	free_wait(w);
	fn(owner, err, token, problem);
}

static void answer_failure(struct auth_token_wait *w)
{
	const struct token_source *s = w->source;
	AUTO(buf_fini) struct buf words = BUF(2 * TOKEN_WORDS_MAX);

	buf_add_format(&words, "no token to log in with: %.*s %.*s", TEXT_ARGS(buf_text(&s->name)),
	               TEXT_ARGS(buf_text(&s->problem)));
	if (s->retry_at > now_at(s)) {
		buf_add_string(&words, "; asked again in ");
		time_add_duration(&words, s->retry_at - now_at(s));
	}
	answer(w, ERR_TEMPORARY, NULL, buf_text(&words));
}

static bool is_refused(const struct token_source *s)
{
	return s->serial == s->refused_serial && now_at(s) < s->refused_until_at;
}

static bool has_token(const struct token_source *s)
{
	return s->token.len > 0 && now_at(s) < s->ends_at && !is_refused(s);
}

/* New tokens that are refused too are no fault of theirs: asking for more and more of them helps nobody. */
static void note_refusal(struct token_source *s)
{
	bool is_young = now_at(s) - s->got_at < YOUNG_MS;

	s->refused_serial = s->serial;
	s->refused_until_at = now_at(s) + REFUSED_MS;
	s->young_refusals = is_young ? s->young_refusals + 1 : 1;
	if (s->young_refusals < 2 || s->fetch.runs)
		return;
	int64_t pause = PAUSE_LASTING_MS << MIN(s->young_refusals - 2, 4u);

	s->retry_at = MAX(s->retry_at, now_at(s) + MIN(pause, PAUSE_MOST_MS));
	buf_reset(&s->problem);
	buf_add_string(&s->problem, "gives tokens that the server refuses, new ones too");
	tell_failure(s, buf_text(&s->problem));
}

/* False: it failed at once, and s->problem says so. */
static bool begin_fetch(struct token_source *s)
{
	if (s->fetch.runs)
		return true;
	enum err err = token_fetch_begin(s);

	if (!err)
		return true;
	AUTO(buf_fini) struct buf words = BUF(300);

	buf_add_format(&words, "cannot be %s: %s", s->way == TOKEN_BY_COMMAND ? "run" : "asked",
	               err == ERR_DENIED
	                       ? "it is not among the commands that the relay was started with: restart it"
	                       : err_text(err));
	token_source_failed(s, err == ERR_DENIED, buf_text(&words));
	return false;
}

static void give(struct auth_token_wait *w)
{
	struct token_source *s = w->source;
	const struct auth_token token = { buf_text(&s->token), s->serial };

	if (now_at(s) >= s->refresh_at && now_at(s) >= s->retry_at)
		(void)begin_fetch(s); /* for those who come later */
	answer(w, ERR_OK, &token, TEXT_EMPTY);
}

static void consider(void *owner)
{
	struct auth_token_wait *w = owner;
	struct token_source *s = w->source;

	if (!s) {
		answer(w, ERR_TEMPORARY, NULL,
		       TEXT("no token to log in with: the configuration has another source of tokens by now"));
		return;
	}
	if (w->refused && w->refused == s->serial && !is_refused(s))
		note_refusal(s);
	w->refused = 0;
	if (has_token(s))
		give(w);
	else if (!s->fetch.runs && (now_at(s) < s->retry_at || !begin_fetch(s)))
		answer_failure(w);
	/* else it waits for what is asked */
}

static void consider_later(struct auth_token_wait *w)
{
	io_later_run(w->tokens->options.io, &w->later, consider, w);
}

static void consider_all(struct token_source *s)
{
	for (LIST_EACH(it, &s->waits))
		consider_later(LIST_ITEM(it, struct auth_token_wait, link));
}

/* ---------------------------------------------------------------- what a source said */

static void set_times(struct token_source *s, int64_t life)
{
	int64_t from = s->fetch.asked_at; /* the server counts from some moment behind it */
	bool is_told = life != TOKEN_LIFE_UNKNOWN;

	if (s->way == TOKEN_BY_FILE)
		life = FILE_LIFE_MS;
	else if (!is_told)
		life = s->way == TOKEN_BY_URL ? URL_LIFE_MS : COMMAND_LIFE_MS;
	s->ends_at = MAX(from + life - (is_told ? MIN(MARGIN_MS, life / 4) : 0), now_at(s) + FILE_LIFE_MS);
	s->refresh_at = from + life * 4 / 5 - random_below_ms(s, life / 20);
	if (life > 2 * EARLY_MS)
		s->refresh_at = MIN(s->refresh_at, from + life - EARLY_MS);
	/* Files and commands are asked when a token is wanted, and not before. */
	if (s->way != TOKEN_BY_URL)
		s->refresh_at = s->ends_at;
}

/* The serial of a token that came before stays: who knows that it was refused need not try it again. */
static enum err keep_token(struct token_source *s, struct text token)
{
	struct crypto_sha256 digest = crypto_sha256(&token, 1);
	bool is_same = crypto_equal(crypto_sha256_text(&digest), crypto_sha256_text(&s->digest));

	buf_wipe(&s->token);
	buf_reserve(&s->token, token.len);
	buf_add(&s->token, token);
	if (buf_err(&s->token))
		return ERR_NOMEM;
	s->digest = digest;
	if (is_same)
		return ERR_OK;
	if (!is_refused(s))
		s->young_refusals = 0;
	s->serial = ++s->tokens->serial;
	s->got_at = now_at(s);
	return ERR_OK;
}

void token_source_fetched(struct token_source *s, const struct token_answer *a)
{
	enum err err = keep_token(s, buf_text(&a->token));

	if (a->refresh_token.len)
		token_source_rotate(s, buf_text(&a->refresh_token));
	if (err) {
		token_source_failed(s, false, text_from(err_text(err)));
		return;
	}
	set_times(s, a->life_ms);
	if (is_refused(s)) {
		token_source_failed(s, true, TEXT("still has the token that the server refuses"));
		return;
	}
	s->failures = 0;
	s->retry_at = 0;
	if (s->young_refusals < 2) /* else it may well be refused too */
		tell_success(s);
	consider_all(s);
}

static int64_t pause_of(const struct token_source *s, bool is_lasting)
{
	int64_t pause = is_lasting ? PAUSE_LASTING_MS : PAUSE_MS;

	if (s->way == TOKEN_BY_FILE)
		return FILE_LIFE_MS; /* a look at a file costs nothing, and somebody may be mending it */
	pause = MIN(pause << MIN(s->failures, 8u), PAUSE_MOST_MS);
	return pause - pause / 10 + random_below_ms(s, pause / 5);
}

void token_source_failed(struct token_source *s, bool is_lasting, struct text words)
{
	s->retry_at = now_at(s) + pause_of(s, is_lasting);
	s->failures++;
	buf_reset(&s->problem);
	buf_add(&s->problem, words);
	tell_failure(s, words);
	consider_all(s);
}

/* ---------------------------------------------------------------- the configuration */

static struct token_source *find_source(const struct auth_tokens *t, const struct crypto_sha256 *key)
{
	struct map_item *item = map_find(&t->sources, crypto_sha256_text(key));

	return item ? CONTAINER_OF(item, struct token_source, item) : NULL;
}

/* Those who wait there hear so. */
static void drop_source(struct auth_tokens *t, struct token_source *s)
{
	map_remove(&t->sources, &s->item);
	while (!list_is_empty(&s->waits)) {
		struct auth_token_wait *w = LIST_FIRST(&s->waits, struct auth_token_wait, link);

		list_remove(&w->link);
		list_append(&t->lost, &w->link);
		w->source = NULL;
		consider_later(w);
	}
	token_source_free(s);
}

static enum err want(struct auth_tokens *t, const struct config_login *login, struct buf *problem)
{
	struct crypto_sha256 key = token_source_key(&login->oauth2);
	struct token_source *s = find_source(t, &key);
	enum err err = s ? ERR_OK : token_source_new(t, &login->oauth2, &key, &s);

	if (err || s->is_wanted)
		return err;
	s->is_wanted = true;
	return text_starts_nocase(s->config.token_url, TEXT("https:")) ? token_source_make_context(s, problem)
	                                                               : ERR_OK;
}

static void settle(struct auth_tokens *t, bool is_taken)
{
	struct map_item *next;

	for (struct map_item *it = map_next(&t->sources, NULL); it; it = next) {
		struct token_source *s = CONTAINER_OF(it, struct token_source, item);
		/* made for the configuration that is not taken: it has no context yet that it may keep */
		bool is_new = s->is_wanted && !s->is_old;

		next = map_next(&t->sources, it);
		if (is_taken ? !s->is_wanted : is_new) {
			drop_source(t, s);
			continue;
		}
		if (is_taken && s->next_tls) {
			tls_context_unref(&s->tls);
			s->tls = TAKE(s->next_tls);
		}
		tls_context_unref(&s->next_tls);
		s->is_wanted = false;
		s->is_old = true;
	}
}

enum err auth_tokens_configure(struct auth_tokens *t, const struct config *config, struct buf *problem)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < config->ways.count && !err; i++) {
		const struct config_login *login = config->ways.items[i].login;

		if (login && auth_login_has_tokens(login))
			err = want(t, login, problem);
	}
	settle(t, !err);
	return err;
}

/* ---------------------------------------------------------------- life */

enum err auth_tokens_new(const struct auth_tokens_options *options, struct auth_tokens **out,
                         struct buf *problem)
{
	struct auth_tokens *t = calloc(1, sizeof(*t));

	if (!t)
		return ERR_NOMEM;
	t->options = *options;
	t->options.config = NULL;
	list_init(&t->lost);
	map_init(&t->sources, false, io_random_u64(options->io));
	enum err err = auth_tokens_configure(t, options->config, problem);

	if (err)
		auth_tokens_free(&t);
	else
		*out = t;
	return err;
}

void auth_tokens_free(struct auth_tokens **slot)
{
	struct auth_tokens *t = *slot;
	struct map_item *next;

	*slot = NULL;
	if (!t)
		return;
	for (struct map_item *it = map_next(&t->sources, NULL); it; it = next) {
		next = map_next(&t->sources, it);
		drop_source(t, CONTAINER_OF(it, struct token_source, item));
	}
	while (!list_is_empty(&t->lost)) {
		struct auth_token_wait *w = LIST_FIRST(&t->lost, struct auth_token_wait, link);

		*w->slot = NULL;
		free_wait(w);
	}
	map_fini(&t->sources);
	free(t);
}

enum err auth_tokens_get(struct auth_tokens *t, const struct config_login *login, uint64_t refused,
                         struct auth_token_wait **slot, auth_token_fn *on_token, void *owner)
{
	struct auth_token_wait *w = calloc(1, sizeof(*w));
	struct crypto_sha256 key = token_source_key(&login->oauth2);

	if (!w)
		return ERR_NOMEM;
	*w = (struct auth_token_wait){ .tokens = t,
		                       .source = find_source(t, &key),
		                       .slot = slot,
		                       .fn = on_token,
		                       .owner = owner,
		                       .refused = refused };
	list_append(w->source ? &w->source->waits : &t->lost, &w->link);
	*slot = w;
	consider_later(w);
	return ERR_OK;
}

void auth_tokens_cancel(struct auth_token_wait **slot)
{
	struct auth_token_wait *w = *slot;

	*slot = NULL;
	if (w)
		free_wait(w);
}
