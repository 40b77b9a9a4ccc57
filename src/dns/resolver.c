#include "resolver.h"

#include <stdlib.h>

#include "key.h"
#include "question.h"

#define DEFAULT_CACHE_BYTES (8 * 1024 * 1024)
#define DEFAULT_MAX_RUNNING 256

static void take_limits(struct resolver *r, const struct dns_options *o)
{
	r->max_running = o->max_in_flight ? o->max_in_flight : DEFAULT_MAX_RUNNING;
	r->cache.max_bytes = o->cache_max_bytes ? o->cache_max_bytes : DEFAULT_CACHE_BYTES;
}

enum err resolver_init(struct resolver *r, const struct dns_options *o)
{
	*r = (struct resolver){ .io = o->io };
	list_init(&r->running);
	list_init(&r->waiting);
	cache_init(&r->cache, 0, io_random_u64(o->io));
	take_limits(r, o);
	map_init(&r->shared, false, io_random_u64(o->io));
	return servers_new(o, &r->servers);
}

static void drop_all(struct list *questions)
{
	while (!list_is_empty(questions)) {
		struct question *q = LIST_ITEM(questions->next, struct question, link);

		question_free(&q);
	}
}

void resolver_fini(struct resolver *r)
{
	if (!r->io)
		return;
	drop_all(&r->running);
	drop_all(&r->waiting);
	cache_fini(&r->cache);
	map_fini(&r->shared);
	servers_unref(&r->servers);
}

static void unshare(struct question *q)
{
	if (!q->is_shared)
		return;
	map_remove(&q->resolver->shared, &q->by_key);
	q->is_shared = false;
}

static void unshare_all(struct list *questions)
{
	for (LIST_EACH(it, questions))
		unshare(LIST_ITEM(it, struct question, link));
}

uint16_t resolver_id(struct resolver *r)
{
	if (r->ids_left == 0) {
		r->ids = io_random_u64(r->io);
		r->ids_left = 4;
	}
	uint16_t id = (uint16_t)r->ids;

	r->ids >>= 16;
	r->ids_left--;
	return id;
}

/* A question may be over before question_start returns, and come back here through resolver_finish: then the loop
 * that is running already goes on. */
static void run_waiting(struct resolver *r)
{
	if (r->is_starting)
		return;
	r->is_starting = true;
	while (r->running_count < r->max_running && !list_is_empty(&r->waiting)) {
		struct question *q = LIST_ITEM(list_shift(&r->waiting), struct question, link);

		list_append(&r->running, &q->link);
		r->running_count++;
		question_start(q);
	}
	r->is_starting = false;
}

void resolver_configure(struct resolver *r, const struct dns_options *o, struct servers **servers)
{
	unshare_all(&r->running);
	unshare_all(&r->waiting);
	cache_clear(&r->cache);
	servers_unref(&r->servers);
	r->servers = TAKE(*servers);
	take_limits(r, o);
	run_waiting(r);
}

static void give_up(struct question *q)
{
	unshare(q);
	if (q->runs)
		q->resolver->running_count--;
	question_free(&q);
}

void resolver_finish(struct question *q, struct answer *answer)
{
	struct resolver *r = q->resolver;
	struct list *link;

	if (q->is_shared)
		cache_put(&r->cache, key_text(&q->key), answer, io_now_at(r->io));
	while ((link = list_shift(&q->waiters))) {
		struct resolver_waiter *w = LIST_ITEM(link, struct resolver_waiter, link);

		w->question = NULL;
		w->fn(w, answer_ref(answer));
	}
	answer_unref(&answer);
	give_up(q);
	run_waiting(r);
}

static void wait_for(struct question *q, struct resolver_waiter *w)
{
	w->question = q;
	list_append(&q->waiters, &w->link);
}

static struct question *find_shared(struct resolver *r, struct text key)
{
	struct map_item *item = map_find(&r->shared, key);

	return item ? CONTAINER_OF(item, struct question, by_key) : NULL;
}

enum err resolver_ask(struct resolver *r, const struct name *name, uint16_t type, struct resolver_waiter *w)
{
	struct question_key key = question_key(name, type);
	int64_t left_ms;
	struct answer *cached = cache_find(&r->cache, key_text(&key), io_now_at(r->io), &left_ms);

	if (cached) {
		r->counts.cache_hits++;
		w->fn(w, answer_ref(cached));
		return ERR_OK;
	}
	struct question *q = find_shared(r, key_text(&key));

	if (q) {
		r->counts.shared++;
		wait_for(q, w);
		return ERR_OK;
	}
	enum err err = question_new(r, name, type, &q);

	if (err)
		return err;
	err = map_add(&r->shared, &q->by_key, key_text(&q->key));
	if (err) {
		question_free(&q);
		return err;
	}
	q->is_shared = true;
	wait_for(q, w);
	list_append(&r->waiting, &q->link);
	run_waiting(r);
	return ERR_OK;
}

void resolver_leave(struct resolver_waiter *w)
{
	struct question *q = TAKE(w->question);

	if (!q)
		return;
	struct resolver *r = q->resolver;

	list_remove(&w->link);
	if (!list_is_empty(&q->waiters))
		return;
	give_up(q);
	run_waiting(r);
}
