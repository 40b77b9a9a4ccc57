/* Bearer tokens, shown to a service of this machine: POST of a JSON object, answered with a status.
 *
 *   200 {"user": NAME, "senders": [...], "expires_in": SECONDS}
 *                                               yes; kept for so long, CACHE_MOST_MS at most, when the service says how long
 *   401, 403                                    no
 *   everything else, silence, no connection     later
 *
 * Each question is a connection of its own; so many at a time, the others wait. What is kept of an answer is found by an
 * HMAC of all that was asked, under a key that lives as long as the process: no token stays in memory. */
#include "backend.h"
#include "users.h"

#include <stdio.h>
#include <stdlib.h>

#include <postrider/base/arena.h>
#include <postrider/base/map.h>
#include <postrider/crypto.h>
#include <postrider/http/client.h>
#include <postrider/http/exchange.h>
#include <postrider/http/json.h>

#define ANSWER_MS (10 * SECOND_MS) /* from begin, waiting included */
#define QUESTIONS_MAX 50           /* connections at a time */
#define CALLS_MAX 1000
#define BODY_MAX (64u << 10)
#define REQUEST_MAX (64u << 10)
#define CACHE_MOST_MS (5 * MINUTE_MS)
#define CACHE_ENTRIES 1000
#define USER_MAX 512
#define URL_MAX 2048
#define TELL_AGAIN_MS MINUTE_MS

struct token_check {
	struct auth_backend backend; /* first */
	struct io *io;
	struct io_address address;
	struct buf host, target;
	struct list waiting, calls; /* calls: those with a connection, and those that know their answer */
	unsigned waiting_count, call_count, asking_count;
	struct map known; /* by digest */
	struct list oldest_first;
	unsigned char key[32];
	bool is_closing;
	struct buf url; /* without its query, for people */
	struct auth_backend_news news;
	int64_t told_at; /* 0: nothing was told */
	bool is_failing; /* and that was told */
};

/* What the service said yes to. */
struct known {
	struct map_item item;
	struct list link;
	struct crypto_sha256 digest;
	int64_t until_at;
	struct text user, senders; /* behind this struct; senders may be NULL */
};

struct auth_call {
	struct list link;
	struct token_check *check;
	struct auth_call **slot;
	auth_result_fn *on_result;
	void *owner;
	bool is_waiting;
	struct buf question; /* wiped when the answer is there */
	struct crypto_sha256 digest;
	struct http_call *http;
	int status;
	struct buf body;
	struct io_timer deadline;
	struct io_later later;
	struct buf user, senders; /* of an answer that was known */
	bool has_senders;
	const char *why;
};

static void start_waiting(struct token_check *t);

/* ---------------------------------------------------------------- what people hear */

static void tell(struct token_check *t, bool is_bad, const char *why)
{
	AUTO(buf_fini) struct buf what = BUF(4096);

	t->is_failing = is_bad;
	t->told_at = io_now_at(t->io);
	if (!t->news.fn)
		return;
	buf_add_format(&what, "the token service at %.*s ", TEXT_ARGS(buf_text(&t->url)));
	if (is_bad)
		buf_add_format(&what,
		               "is of no use now: %s; until it is, logins with tokens are answered 454", why);
	else
		buf_add_string(&what, "answers again");
	t->news.fn(t->news.owner, is_bad, buf_text(&what));
}

/* Whoever logs in may make it answer oddly: so often is nothing told. */
static void note_failure(struct token_check *t, const char *why)
{
	if (!t->is_failing && (t->told_at == 0 || io_now_at(t->io) - t->told_at >= TELL_AGAIN_MS))
		tell(t, true, why);
}

static void note_success(struct token_check *t)
{
	if (t->is_failing)
		tell(t, false, NULL);
}

/* ---------------------------------------------------------------- the end of a call */

static void wipe(struct buf *b)
{
	if (b->at)
		crypto_wipe(b->at, b->room);
	buf_fini(b);
}

static void forget(struct token_check *t, struct known *k)
{
	map_remove(&t->known, &k->item);
	list_remove(&k->link);
	free(k);
}

static void free_if_over(struct token_check *t)
{
	if (!t->is_closing || t->call_count)
		return;
	while (!list_is_empty(&t->oldest_first))
		forget(t, LIST_FIRST(&t->oldest_first, struct known, link));
	map_fini(&t->known);
	buf_fini(&t->host);
	buf_fini(&t->target);
	buf_fini(&t->url);
	crypto_wipe(t->key, sizeof(t->key));
	free(t);
}

static void end_question(struct auth_call *c)
{
	if (c->is_waiting)
		c->check->waiting_count--;
	if (c->http)
		c->check->asking_count--;
	c->is_waiting = false;
	http_call_cancel(&c->http);
	wipe(&c->question);
}

static void free_call(struct auth_call *c)
{
	struct token_check *t = c->check;

	end_question(c);
	list_remove(&c->link);
	io_timer_stop(t->io, &c->deadline);
	io_later_cancel(t->io, &c->later);
	buf_fini(&c->body);
	buf_fini(&c->user);
	buf_fini(&c->senders);
	free(c);
	t->call_count--;
	start_waiting(t);
	free_if_over(t);
}

static void finish(struct auth_call *c, const struct auth_result *result)
{
	auth_result_fn *on_result = c->on_result;
	void *owner = c->owner;

	*c->slot = NULL;
	free_call(c);
	on_result(owner, result);
}

static void finish_failed(struct auth_call *c, const char *why)
{
	note_failure(c->check, why);
	finish(c, &(struct auth_result){ .verdict = AUTH_SAYS_LATER, .why = text_from(why) });
}

/* ---------------------------------------------------------------- what is known */

static struct known *find_known(struct token_check *t, const struct crypto_sha256 *digest)
{
	struct map_item *item = map_find(&t->known, crypto_sha256_text(digest));
	struct known *k = item ? CONTAINER_OF(item, struct known, item) : NULL;

	if (k && io_now_at(t->io) >= k->until_at) {
		forget(t, k);
		return NULL;
	}
	return k;
}

static void keep_known(struct token_check *t, const struct crypto_sha256 *digest, struct text user,
                       struct text senders, int64_t keep_ms)
{
	struct known *k = find_known(t, digest);

	if (k)
		forget(t, k);
	if (t->known.count >= CACHE_ENTRIES)
		forget(t, LIST_FIRST(&t->oldest_first, struct known, link));
	k = malloc(sizeof(*k) + user.len + senders.len);
	if (!k)
		return; /* asked again next time */
	*k = (struct known){ .digest = *digest, .until_at = io_now_at(t->io) + keep_ms };
	memcpy(k + 1, user.at, user.len);
	k->user = text_of((const char *)(k + 1), user.len);
	if (senders.at) {
		char *place = (char *)(k + 1) + user.len;

		memcpy(place, senders.at, senders.len);
		k->senders = text_of(place, senders.len);
	}
	if (map_add(&t->known, &k->item, crypto_sha256_text(&k->digest))) {
		free(k);
		return;
	}
	list_append(&t->oldest_first, &k->link);
}

/* ---------------------------------------------------------------- the answer */

static bool is_user(struct text user)
{
	for (size_t i = 0; i < user.len; i++) {
		if ((unsigned char)user.at[i] < ' ' || user.at[i] == 0x7f)
			return false;
	}
	return user.len > 0 && user.len <= USER_MAX;
}

/* Adds what the users file would have in its place: SENDER,SENDER... */
static enum err add_senders(struct buf *out, const struct json *list)
{
	if (json_kind_of(list) != JSON_IS_ARRAY)
		return ERR_SYNTAX;
	for (size_t i = 0; i < json_count(list); i++) {
		struct text sender = json_as_text(json_element(list, i));

		if (sender.len == 0 || text_find_octet(sender, ',') < sender.len)
			return ERR_SYNTAX;
		if (i > 0)
			buf_add_octet(out, ',');
		buf_add(out, sender);
	}
	return buf_err(out);
}

/* What cannot be understood must not be taken for "all". */
static bool read_senders(const struct json *answer, struct buf *out)
{
	AUTO(arena_fini) struct arena arena;
	const struct json *list = json_member(answer, "senders");
	struct config_patterns patterns;
	struct text bad;

	arena_init(&arena, 256 * AUTH_SENDERS_MAX);
	return !add_senders(out, list) && !users_parse_senders(buf_text(out), &arena, &patterns, &bad);
}

static void accept(struct auth_call *c, const struct json *answer)
{
	AUTO(buf_fini) struct buf senders = BUF(AUTH_SENDERS_MAX);
	bool has_senders = json_member(answer, "senders");
	struct token_check *t = c->check;
	struct text user = json_as_text(json_member(answer, "user"));
	int64_t expires_s = json_as_number(json_member(answer, "expires_in"), 0);

	if (!is_user(user)) {
		finish_failed(c, "the token check said 200 without a user that could be one");
		return;
	}
	if (has_senders && !read_senders(answer, &senders)) {
		finish_failed(c, "the token check said 200 with senders that cannot be such");
		return;
	}
	struct text limit = has_senders ? buf_text(&senders) : (struct text){ 0 };

	if (expires_s > 0)
		keep_known(t, &c->digest, user, limit, MIN(expires_s, CACHE_MOST_MS / SECOND_MS) * SECOND_MS);
	note_success(t);
	finish(c, &(struct auth_result){ .verdict = AUTH_SAYS_YES, .user = user, .senders = limit });
}

static void judge_body(struct auth_call *c)
{
	struct json *answer = NULL;

	if (buf_err(&c->body) || json_parse(buf_text(&c->body), &answer, NULL) ||
	    json_kind_of(answer) != JSON_IS_OBJECT)
		finish_failed(c, "the token check said 200 with what is no JSON object");
	else
		accept(c, answer);
	json_free(&answer);
}

static void judge(struct auth_call *c)
{
	char why[64];

	if (c->status == 200) {
		judge_body(c);
		return;
	}
	snprintf(why, sizeof(why), "the token check answered %d", c->status);
	if (c->status == 401 || c->status == 403) {
		note_success(c->check);
		finish(c, &(struct auth_result){ .verdict = AUTH_SAYS_NO, .why = text_from(why) });
	} else {
		finish_failed(c, why);
	}
}

static void on_head(void *owner, int status, struct text content_type)
{
	struct auth_call *c = owner;

	(void)content_type;
	c->status = status;
}

static void on_body(void *owner, struct text piece)
{
	struct auth_call *c = owner;

	buf_add(&c->body, piece);
	if (buf_err(&c->body) == ERR_TOO_BIG)
		finish_failed(c, "the token check's answer is too long");
}

static const char *problem_of(enum err err)
{
	switch (err) {
	case ERR_TIMEOUT:
		return "the token check did not answer in time";
	case ERR_REFUSED:
	case ERR_NOT_FOUND:
	case ERR_UNREACHABLE:
		return "the token check is down";
	case ERR_CLOSED:
		return "the token check closed the connection without an answer";
	case ERR_SYNTAX:
		return "the token check does not answer in HTTP";
	case ERR_DENIED:
		return "this user may not connect to the token check's socket";
	default:
		return "the token check could not be asked";
	}
}

static void on_done(void *owner, enum err err, struct text problem)
{
	struct auth_call *c = owner;

	(void)problem; /* names the address: people are told the URL */
	c->http = NULL;
	c->check->asking_count--;
	if (err)
		finish_failed(c, problem_of(err));
	else
		judge(c);
}

static const struct http_call_events http_events = {
	.on_head = on_head,
	.on_body = on_body,
	.on_done = on_done,
};

/* ---------------------------------------------------------------- the question */

static void on_later(void *owner)
{
	struct auth_call *c = owner;
	struct buf user = c->user, senders = c->senders; /* outlive the call */
	struct text limit = c->has_senders ? buf_text(&senders) : (struct text){ 0 };

	c->user = c->senders = BUF(0);
	if (user.len)
		finish(c, &(struct auth_result){
				  .verdict = AUTH_SAYS_YES, .user = buf_text(&user), .senders = limit });
	else
		finish(c, &(struct auth_result){ .verdict = AUTH_SAYS_LATER, .why = text_from(c->why) });
	buf_fini(&user);
	buf_fini(&senders);
}

static void fail_later(struct auth_call *c, const char *why)
{
	end_question(c);
	list_remove(&c->link);
	list_append(&c->check->calls, &c->link);
	c->why = why;
	io_later_run(c->check->io, &c->later, on_later, c);
}

static void on_deadline(void *owner)
{
	finish_failed(owner, "the token check did not answer in time");
}

static void start(struct auth_call *c)
{
	struct token_check *t = c->check;
	const struct http_call_options options = {
		.io = t->io,
		.to = &t->address,
		.method = TEXT("POST"),
		.target = buf_text(&t->target),
		.host = buf_text(&t->host),
		.content_type = HTTP_JSON,
		.body = buf_text(&c->question),
		.timeout_ms = ANSWER_MS,
		.events = &http_events,
		.owner = c,
	};
	enum err err = http_call_start(&options, &c->http);

	t->waiting_count--;
	c->is_waiting = false;
	list_remove(&c->link);
	list_append(&t->calls, &c->link);
	wipe(&c->question);
	if (err) {
		note_failure(t, problem_of(err));
		fail_later(c, problem_of(err));
	} else {
		t->asking_count++;
	}
}

static void start_waiting(struct token_check *t)
{
	while (!list_is_empty(&t->waiting) && t->asking_count < QUESTIONS_MAX)
		start(LIST_FIRST(&t->waiting, struct auth_call, link));
}

static void write_question(struct auth_call *c, const struct auth_request *r)
{
	struct buf client = BUF(IP_TEXT_MAX);
	struct json_writer w;

	if (r->client.family != IP_NONE)
		ip_add(&client, r->client);
	json_writer_init(&w, &c->question);
	json_open_object(&w, NULL);
	json_put_string(&w, "mechanism", auth_mechanism_name(r->mechanism));
	json_put_text(&w, "user", r->user);
	json_put_text(&w, "token", r->initial);
	json_put_text(&w, "client", buf_text(&client));
	json_put_text(&w, "listener", r->listener);
	json_put_bool(&w, "tls", r->tls);
	json_close_object(&w);
	buf_fini(&client);
}

static void take_known(struct auth_call *c, const struct known *k)
{
	buf_add(&c->senders, k->senders);
	c->has_senders = k->senders.at;
	if (!buf_err(&c->senders))
		buf_add(&c->user, k->user);
	wipe(&c->question);
	list_append(&c->check->calls, &c->link);
	c->why = "out of memory"; /* without a user */
	io_later_run(c->check->io, &c->later, on_later, c);
}

static struct token_check *check_of(const struct auth_backend *b)
{
	return CONTAINER_OF(b, struct token_check, backend);
}

static struct auth_call *new_call(struct token_check *t, const struct auth_request *r,
                                  struct auth_call **slot)
{
	struct auth_call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->check = t;
	c->slot = slot;
	c->on_result = r->on_result;
	c->owner = r->owner;
	buf_init(&c->body, BODY_MAX);
	buf_init(&c->user, USER_MAX);
	buf_init(&c->senders, AUTH_SENDERS_MAX);
	buf_init(&c->question, REQUEST_MAX);
	/* At once, so that no copy of the token is left behind where it grew. */
	if (buf_reserve(&c->question,
	                MIN(r->initial.len + 6 * (r->user.len + r->listener.len) + 512, (size_t)REQUEST_MAX)))
		write_question(c, r);
	if (!buf_err(&c->question) &&
	    !io_timer_start(t->io, &c->deadline, io_now_at(t->io) + ANSWER_MS, on_deadline, c))
		return c;
	wipe(&c->question);
	free(c);
	return NULL;
}

static enum err begin(struct auth_backend *b, const struct auth_request *request, struct auth_call **slot)
{
	struct token_check *t = check_of(b);

	if (t->call_count >= CALLS_MAX)
		return ERR_BUSY;
	struct auth_call *c = new_call(t, request, slot);

	if (!c)
		return ERR_NOMEM;
	struct text asked = buf_text(&c->question);

	c->digest = crypto_hmac_sha256(text_of((const char *)t->key, sizeof(t->key)), &asked, 1);
	*slot = c;
	t->call_count++;
	const struct known *k = find_known(t, &c->digest);

	if (k) {
		take_known(c, k);
		return ERR_OK;
	}
	c->is_waiting = true;
	t->waiting_count++;
	list_append(&t->waiting, &c->link);
	start_waiting(t);
	return ERR_OK;
}

static void cancel(struct auth_call **slot)
{
	struct auth_call *c = *slot;

	*slot = NULL;
	if (c)
		free_call(c);
}

/* ---------------------------------------------------------------- the backend */

static unsigned mechanisms(const struct auth_backend *b)
{
	(void)b;
	return AUTH_OAUTHBEARER | AUTH_XOAUTH2;
}

static void close_backend(struct auth_backend **b)
{
	static const char why[] = "the configuration was changed";
	struct token_check *t = check_of(*b);

	*b = NULL;
	while (!list_is_empty(&t->waiting))
		fail_later(LIST_FIRST(&t->waiting, struct auth_call, link), why);
	for (LIST_EACH_SAFE(it, &t->calls)) {
		struct auth_call *c = LIST_ITEM(it, struct auth_call, link);

		if (c->http)
			fail_later(c, why);
	}
	t->is_closing = true;
	free_if_over(t);
}

static const struct auth_backend_ops ops = {
	.mechanisms = mechanisms,
	.begin = begin,
	.cancel = cancel,
	.close = close_backend,
};

/* ---------------------------------------------------------------- where it is */

static enum err take_url(struct token_check *t, struct text text, struct buf *problem)
{
	struct config_local_url url;
	const char *why;

	if (config_local_url_parse(text, &url, &why)) {
		if (problem)
			buf_add_format(problem, "access.token_check: %.*s %s", TEXT_ARGS(text), why);
		return ERR_CONFIG;
	}
	t->address = (struct io_address){ .ip = url.ip, .peer_uid = UINT32_MAX, .peer_gid = UINT32_MAX };
	memcpy(t->address.unix_path, url.unix_path.at,
	       MIN(url.unix_path.len, sizeof(t->address.unix_path) - 1));
	buf_add(&t->host, url.host);
	buf_add(&t->target, url.target);
	return buf_err(&t->target) ? buf_err(&t->target) : buf_err(&t->host);
}

static void make_key(struct token_check *t)
{
	for (size_t i = 0; i < sizeof(t->key); i += sizeof(uint64_t)) {
		uint64_t random = io_random_u64(t->io);

		memcpy(t->key + i, &random, sizeof(random));
	}
}

enum err auth_token_check_new(struct io *io, struct text url, struct auth_backend_news news,
                              struct auth_backend **out, struct buf *problem)
{
	struct token_check *t = calloc(1, sizeof(*t));

	if (!t)
		return ERR_NOMEM;
	t->backend.ops = &ops;
	t->io = io;
	list_init(&t->waiting);
	list_init(&t->calls);
	list_init(&t->oldest_first);
	buf_init(&t->host, 256);
	buf_init(&t->target, URL_MAX);
	buf_init(&t->url, URL_MAX);
	buf_add(&t->url,
	        text_head(url, MIN(text_find_octet(url, '?'), URL_MAX))); /* a key may stand behind it */
	t->news = news;
	map_init(&t->known, false, io_random_u64(io));
	make_key(t);
	enum err err = buf_err(&t->url);

	if (!err)
		err = take_url(t, url, problem);
	if (err) {
		t->is_closing = true;
		free_if_over(t);
		return err;
	}
	*out = &t->backend;
	return ERR_OK;
}
