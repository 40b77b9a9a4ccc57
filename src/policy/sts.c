#include "sts.h"

#include <stdlib.h>

#include <postrider/base/auto.h>

#include "sts_inside.h"

#define TXT_QUIET_MS MINUTE_MS
#define KEEP_BYTES (2 * STS_POLICY_BYTES_MAX)
#define KEEP_DELAY_MS SECOND_MS
#define KEEP_INTERVAL_MS MINUTE_MS

/* One question of a delivery. */
struct lookup {
	struct policy_lookup base;
	struct sts *sts;
	struct list link, wait; /* of all; at an entry that is fetched */
	struct io_later later;
	struct io_timer timer;
	struct dns_lookup *txt;
	policy_domain_fn *on_done;
	void *owner;
	size_t name_len;
	char name[];
};

static struct text name_of(const struct lookup *l)
{
	return text_of(l->name, l->name_len);
}

/* ---------------------------------------------------------------- answers */

static void let_go(struct lookup *l)
{
	struct sts *s = l->sts;

	list_remove(&l->link);
	list_remove(&l->wait);
	io_later_cancel(s->o.io, &l->later);
	io_timer_stop(s->o.io, &l->timer);
	dns_cancel(&l->txt);
	free(l);
}

static void cancel(struct policy_lookup *base)
{
	let_go(CONTAINER_OF(base, struct lookup, base));
}

/* A policy of mode none says that there is none (RFC 8461 section 3.2). */
static void answer(struct lookup *l, struct policy_domain *policy)
{
	policy_domain_fn *on_done = l->on_done;
	void *owner = l->owner;

	*l->base.slot = NULL;
	let_go(l);
	on_done(owner, ERR_OK, policy_domain_mode(policy) == POLICY_MODE_NONE ? NULL : policy);
}

static void answer_known(struct lookup *l)
{
	AUTO(policy_domain_unref)
	struct policy_domain *policy = sts_known(l->sts, sts_cache_find(&l->sts->cache, name_of(l)));

	if (policy)
		policy_domain_ref(policy);
	answer(l, policy);
}

static void answer_later(void *owner)
{
	answer_known(owner);
}

void sts_answer_waiters(struct sts_entry *e)
{
	struct list waiters;

	list_init(&waiters);
	list_append_all(&waiters, &e->waiters);
	while (!list_is_empty(&waiters))
		answer_known(LIST_FIRST(&waiters, struct lookup, wait));
}

/* ---------------------------------------------------------------- a delivery asks */

static void on_patience(void *owner)
{
	answer_known(owner);
}

/* There is a record, with this id. */
static void follow(struct lookup *l, struct text id)
{
	struct sts *s = l->sts;
	struct sts_entry *e = sts_cache_get(&s->cache, name_of(l), sts_now_time(s));
	struct policy_domain *policy = sts_known(s, e);
	bool is_quiet;

	if (!e || (policy && text_eq(policy->id, id))) {
		answer_known(l);
		return;
	}
	e->sts = s;
	is_quiet = sts_now_at(s) < e->site_quiet_until_at && text_eq(e->id, id);
	if (is_quiet || !sts_sites_want(s, e, id, true)) {
		answer_known(l);
		return;
	}
	list_append(&e->waiters, &l->wait);
	sts_sites_go_on(s);
}

static void on_txt_failed(struct lookup *l)
{
	struct sts *s = l->sts;
	struct sts_entry *e = sts_cache_get(&s->cache, name_of(l), sts_now_time(s));

	if (e) {
		e->sts = s;
		e->txt_quiet_until_at = sts_now_at(s) + TXT_QUIET_MS;
	}
	answer_known(l);
}

static void on_txt(void *owner, enum err err, const struct dns_text_list *txt, struct text problem)
{
	struct lookup *l = owner;
	struct text id;

	(void)problem;
	if (err && err != ERR_NOT_FOUND)
		on_txt_failed(l);
	else if (err || sts_txt_parse(txt->texts, txt->count, &id, NULL))
		answer_known(l); /* section 5.1: a policy in the cache counts without a record, too */
	else
		follow(l, id);
}

static struct lookup *lookup_new(struct sts *s, struct text domain, struct policy_lookup **slot,
                                 policy_domain_fn *on_done, void *owner)
{
	struct lookup *l = calloc(1, sizeof(*l) + domain.len);

	if (!l)
		return NULL;
	l->base = (struct policy_lookup){ .slot = slot, .cancel = cancel };
	l->sts = s;
	l->on_done = on_done;
	l->owner = owner;
	l->name_len = domain.len;
	for (size_t i = 0; i < domain.len; i++)
		l->name[i] = ascii_lower(domain.at[i]);
	list_append(&s->lookups, &l->link);
	list_init(&l->wait);
	return l;
}

static enum err ask(struct sts *s, struct lookup *l)
{
	struct sts_entry *e = sts_cache_find(&s->cache, name_of(l));
	enum err err;

	if (e)
		sts_cache_used(&s->cache, e, sts_now_time(s));
	if (e && sts_now_at(s) < e->txt_quiet_until_at)
		return ERR_TEMPORARY;
	err = sts_ask_txt(s, name_of(l), &l->txt, on_txt, l);
	return err ? err : io_timer_start(s->o.io, &l->timer, sts_now_at(s) + STS_WAIT_MS, on_patience, l);
}

enum err sts_find(struct sts *s, struct text domain, struct policy_lookup **slot, policy_domain_fn *on_done,
                  void *owner)
{
	bool has_none = !s->o.config->direct.mta_sts || !sts_is_name(domain);
	struct lookup *l = lookup_new(s, domain, slot, on_done, owner);
	enum err err;

	if (!l)
		return ERR_NOMEM;
	err = has_none ? ERR_NOT_FOUND : ask(s, l);
	if (err == ERR_NOMEM) {
		let_go(l);
		return err;
	}
	if (err)
		io_later_run(s->o.io, &l->later, answer_later, l);
	*slot = &l->base;
	return ERR_OK;
}

/* ---------------------------------------------------------------- life */

static void fill(void *owner, struct buf *out)
{
	struct sts *s = owner;

	sts_cache_encode(&s->cache, sts_now_time(s), out);
}

static void adopt_kept(struct sts *s)
{
	for (LIST_EACH_SAFE(it, &s->cache.used)) {
		struct sts_entry *e = LIST_ITEM(it, struct sts_entry, by_use);

		e->sts = s;
		sts_sites_arm(s, e);
	}
}

static enum err read_kept(struct sts *s)
{
	AUTO(buf_fini) struct buf kept = BUF(KEEP_BYTES);
	enum err err = keep_read(s->keep, &kept);

	if (!err) {
		err = sts_cache_decode(&s->cache, buf_text(&kept), sts_now_time(s));
		if (err == ERR_DAMAGED || err == ERR_UNSUPPORTED)
			keep_set_aside(s->keep, buf_text(&kept));
	}
	adopt_kept(s);
	return err == ERR_NOMEM ? err : ERR_OK;
}

static enum err open_kept(struct sts *s)
{
	struct keep_options options = { .io = s->o.io,
		                        .disk = s->o.disk,
		                        .directory = s->o.directory,
		                        .name = "mta-sts",
		                        .what = "the cache of MTA-STS policies",
		                        .max_bytes = KEEP_BYTES,
		                        .delay_ms = KEEP_DELAY_MS,
		                        .interval_ms = KEEP_INTERVAL_MS,
		                        .observe = s->o.observe,
		                        .fill = fill,
		                        .owner = s };
	enum err err = keep_new(&options, &s->keep);

	return err ? err : read_kept(s);
}

enum err sts_new(const struct sts_options *options, struct sts **out)
{
	AUTO(sts_free) struct sts *s = calloc(1, sizeof(*s));
	enum err err;

	if (!s)
		return ERR_NOMEM;
	s->o = *options;
	s->o.config = config_ref(options->config);
	random_init(&s->random, options->seed);
	sts_cache_init(&s->cache, options->seed, sts_sites_forget, s);
	list_init(&s->lookups);
	list_init(&s->queue);
	err = options->disk && options->directory.len ? open_kept(s) : ERR_OK;
	if (!err)
		*out = TAKE(s);
	return err;
}

void sts_configure(struct sts *s, const struct config *config)
{
	config_unref(&s->o.config);
	s->o.config = config_ref(config);
	tls_context_unref(&s->tls); /* the CAs may be others now */
}

void sts_free(struct sts **slot)
{
	struct sts *s = TAKE(*slot);

	if (!s)
		return;
	keep_free(&s->keep);
	while (!list_is_empty(&s->lookups)) {
		struct lookup *l = LIST_FIRST(&s->lookups, struct lookup, link);

		*l->base.slot = NULL;
		let_go(l);
	}
	sts_cache_fini(&s->cache);
	tls_context_unref(&s->tls);
	config_unref(&s->o.config);
	free(s);
}
