#include "sts.h"

#include <stdlib.h>

#include <postrider/base/auto.h>
#include <postrider/base/random.h>

#include "keep.h"
#include "report.h"
#include "sts_cache.h"
#include "sts_fetch.h"

#define FETCHES_MAX 32
#define QUEUED_MAX 2000
#define TXT_QUIET_MS MINUTE_MS
#define SITE_QUIET_MS (5 * MINUTE_MS) /* RFC 8461 section 3.3: for each id */
#define REFRESH_AGAIN_LEAST_MS (10 * MINUTE_MS)
#define REFRESH_AGAIN_MS HOUR_MS
#define KEEP_BYTES (2 * STS_POLICY_BYTES_MAX)
#define KEEP_DELAY_MS SECOND_MS
#define KEEP_INTERVAL_MS MINUTE_MS
#define NAME_MAX_BYTES 253

struct sts {
	struct sts_options o;
	struct tls_context *tls; /* NULL: not needed so far */
	struct random random;
	struct sts_cache cache;
	struct list lookups, queue;
	size_t fetches, queued;
	struct keep *keep; /* NULL: nothing is kept */
};

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

static int64_t now_at(const struct sts *s)
{
	return io_now_at(s->o.io);
}

static int64_t now_time(const struct sts *s)
{
	return io_now_time(s->o.io);
}

static void start_next(struct sts *s);
static void on_timer(void *owner);

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

static struct policy_domain *known(const struct sts *s, const struct sts_entry *e)
{
	return e && s->o.config->direct.mta_sts ? sts_entry_policy(e, now_time(s)) : NULL;
}

static void answer_known(struct lookup *l)
{
	AUTO(policy_domain_unref)
	struct policy_domain *policy = known(l->sts, sts_cache_find(&l->sts->cache, name_of(l)));

	if (policy)
		policy_domain_ref(policy);
	answer(l, policy);
}

static void answer_later(void *owner)
{
	answer_known(owner);
}

/* What they do may have the entry leave. */
static void answer_waiters(struct sts_entry *e)
{
	struct list waiters;

	list_init(&waiters);
	list_append_all(&waiters, &e->waiters);
	while (!list_is_empty(&waiters))
		answer_known(LIST_FIRST(&waiters, struct lookup, wait));
}

/* ---------------------------------------------------------------- fetching */

static void say_failure(struct sts *s, struct sts_entry *e, struct text problem)
{
	struct event event = EVENT(EVENT_WARNING);
	struct buf words = BUF(2048);

	if (e->is_told)
		return;
	e->is_told = true;
	buf_add_format(&words, "MTA-STS: %.*s has a policy, which could not be fetched: %.*s; ",
	               TEXT_ARGS(sts_entry_name(e)), TEXT_ARGS(problem));
	if (known(s, e)) {
		buf_add_string(&words, "the one of before counts until ");
		time_add_rfc5322(&words, sts_entry_end_time(e));
	} else {
		buf_add_string(&words, "mail goes there as if it had none");
	}
	event.level = LEVEL_WARN;
	event.detail = buf_text(&words);
	observe_emit(s->o.observe, &event);
	buf_fini(&words);
}

static void arm(struct sts *s, struct sts_entry *e, int64_t at)
{
	if (io_timer_start(s->o.io, &e->timer, at, on_timer, e))
		e->is_told = false; /* it is fetched when mail comes, or ends */
}

static void arm_for_policy(struct sts *s, struct sts_entry *e)
{
	unsigned random = (unsigned)random_below(&s->random, 1000);

	arm(s, e, io_at_of_time(s->o.io, sts_entry_next_time(e, now_time(s), random)));
}

/* A site that does not answer is asked four times more before the policy ends, or each hour. */
static void arm_for_another_try(struct sts *s, struct sts_entry *e)
{
	int64_t left = sts_entry_end_time(e) - now_time(s);
	int64_t after = MAX(MIN(left / 4, (int64_t)REFRESH_AGAIN_MS), (int64_t)REFRESH_AGAIN_LEAST_MS);

	arm(s, e, now_at(s) + MIN(after, MAX(left, 0)));
}

static void on_failure(struct sts *s, struct sts_entry *e, enum policy_failure failure, struct text problem)
{
	e->site_quiet_until_at = now_at(s) + SITE_QUIET_MS;
	say_failure(s, e, problem);
	if (s->o.reports)
		report_note_fetch(s->o.reports, sts_entry_name(e), failure, problem);
	if (known(s, e))
		arm_for_another_try(s, e);
}

static void on_policy(struct sts *s, struct sts_entry *e, struct policy_domain *policy)
{
	sts_cache_set(&s->cache, e, policy, now_time(s));
	e->is_told = false;
	e->site_quiet_until_at = 0;
	arm_for_policy(s, e);
	if (s->keep)
		keep_touch(s->keep);
}

static void on_fetched(void *owner, struct policy_domain *policy, enum policy_failure failure,
                       struct text problem)
{
	struct sts_entry *e = owner;
	struct sts *s = e->sts;

	e->fetch = NULL;
	s->fetches--;
	if (policy)
		on_policy(s, e, policy);
	else
		on_failure(s, e, failure, problem);
	answer_waiters(e);
	start_next(s);
}

/* Made when it is first needed: who sends everything to an upstream needs no CAs. */
static enum err make_tls(struct sts *s)
{
	struct tls_client_options options = { .verify = true };
	struct buf problem = BUF(1024);
	enum err err = ERR_OK;

	if (!s->tls)
		err = s->o.client_context
		              ? s->o.client_context(s->o.client_context_owner, &options, &s->tls, &problem)
		              : tls_client_context_new(s->o.io, &options, &s->tls, &problem);
	buf_fini(&problem);
	return err;
}

static enum err start(struct sts *s, struct sts_entry *e)
{
	struct sts_fetch_options options = { .io = s->o.io,
		                             .dns = s->o.dns,
		                             .config = s->o.config,
		                             .domain = sts_entry_name(e),
		                             .id = e->id,
		                             .on_done = on_fetched,
		                             .owner = e };
	enum err err = make_tls(s);

	options.tls = s->tls;
	return err ? err : sts_fetch_start(&options, &e->fetch);
}

/* Those that cannot even be started are answered at once: their callers came from the loop. */
static void start_next(struct sts *s)
{
	while (s->fetches < FETCHES_MAX && !list_is_empty(&s->queue)) {
		struct sts_entry *e = LIST_ITEM(list_shift(&s->queue), struct sts_entry, queued);
		enum err err = start(s, e);

		s->queued--;
		if (!err) {
			s->fetches++;
			continue;
		}
		on_failure(s, e, POLICY_STS_POLICY_FETCH_ERROR,
		           s->tls ? text_from(err_text(err))
		                  : TEXT("there are no CAs to check web sites with"));
		answer_waiters(e);
	}
}

/* Whoever waits goes first. False: there is too much to do already. */
static bool fetch(struct sts *s, struct sts_entry *e, struct text id, bool is_waited_for)
{
	if (e->fetch || !list_is_empty(&e->queued))
		return true;
	if (s->queued >= QUEUED_MAX)
		return false;
	memmove(e->id_octets, id.at, id.len);
	e->id = text_of(e->id_octets, id.len);
	if (is_waited_for)
		list_prepend(&s->queue, &e->queued);
	else
		list_append(&s->queue, &e->queued);
	s->queued++;
	return true;
}

static void forget(void *owner, struct sts_entry *e)
{
	struct sts *s = owner;

	io_timer_stop(s->o.io, &e->timer);
	dns_cancel(&e->txt);
	if (e->fetch)
		s->fetches--;
	sts_fetch_cancel(&e->fetch);
	if (!list_is_empty(&e->queued))
		s->queued--;
	list_remove(&e->queued);
}

/* ---------------------------------------------------------------- refresh */

static enum err ask_txt(struct sts *s, struct text domain, struct dns_lookup **slot, dns_text_fn *on_txt,
                        void *owner)
{
	struct buf name = BUF(NAME_MAX_BYTES);
	enum err err;

	buf_add(&name, TEXT("_mta-sts."));
	buf_add(&name, domain);
	err = buf_err(&name) == ERR_TOO_BIG ? ERR_SYNTAX : buf_err(&name);
	if (!err)
		err = dns_find_txt(s->o.dns, buf_text(&name), slot, on_txt, owner);
	buf_fini(&name);
	return err;
}

/* The web site is asked whatever became of the record: who can block the one must block the other too. */
static void refresh(struct sts *s, struct sts_entry *e, struct text id)
{
	if (!fetch(s, e, id, false))
		arm_for_another_try(s, e);
	start_next(s);
}

static void on_refresh_txt(void *owner, enum err err, const struct dns_text_list *txt, struct text problem)
{
	struct sts_entry *e = owner;
	struct text id = e->policy->id;
	struct text found;

	(void)problem;
	if (!err && !sts_txt_parse(txt->texts, txt->count, &found, NULL))
		id = found;
	refresh(e->sts, e, id);
}

static void on_timer(void *owner)
{
	struct sts_entry *e = owner;
	struct sts *s = e->sts;

	if (!sts_entry_policy(e, now_time(s))) {
		if (!e->fetch && list_is_empty(&e->queued) && list_is_empty(&e->waiters))
			sts_cache_remove(&s->cache, e);
		return;
	}
	if (e->fetch || e->txt || !list_is_empty(&e->queued))
		return; /* its end arms again */
	if (now_time(s) - e->used_time > STS_USED_MS || !s->o.config->direct.mta_sts)
		arm(s, e, io_at_of_time(s->o.io, sts_entry_end_time(e)));
	else if (ask_txt(s, sts_entry_name(e), &e->txt, on_refresh_txt, e))
		refresh(s, e, e->policy->id);
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
	struct sts_entry *e = sts_cache_get(&s->cache, name_of(l), now_time(s));
	struct policy_domain *policy = known(s, e);
	bool is_quiet;

	if (!e || (policy && text_eq(policy->id, id))) {
		answer_known(l);
		return;
	}
	e->sts = s;
	is_quiet = now_at(s) < e->site_quiet_until_at && text_eq(e->id, id);
	if (is_quiet || !fetch(s, e, id, true)) {
		answer_known(l);
		return;
	}
	list_append(&e->waiters, &l->wait);
	start_next(s);
}

static void on_txt_failed(struct lookup *l)
{
	struct sts *s = l->sts;
	struct sts_entry *e = sts_cache_get(&s->cache, name_of(l), now_time(s));

	if (e) {
		e->sts = s;
		e->txt_quiet_until_at = now_at(s) + TXT_QUIET_MS;
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
		sts_cache_used(&s->cache, e, now_time(s));
	if (e && now_at(s) < e->txt_quiet_until_at)
		return ERR_TEMPORARY;
	err = ask_txt(s, name_of(l), &l->txt, on_txt, l);
	return err ? err : io_timer_start(s->o.io, &l->timer, now_at(s) + STS_WAIT_MS, on_patience, l);
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

	sts_cache_encode(&s->cache, now_time(s), out);
}

static void adopt_kept(struct sts *s)
{
	for (LIST_EACH_SAFE(it, &s->cache.used)) {
		struct sts_entry *e = LIST_ITEM(it, struct sts_entry, by_use);

		e->sts = s;
		arm_for_policy(s, e);
	}
}

static enum err read_kept(struct sts *s)
{
	AUTO(buf_fini) struct buf kept = BUF(KEEP_BYTES);
	enum err err = keep_read(s->keep, &kept);

	if (!err) {
		err = sts_cache_decode(&s->cache, buf_text(&kept), now_time(s));
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
	sts_cache_init(&s->cache, options->seed, forget, s);
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
