/* Which web sites are asked, in what order, what is made of their failures, and when they are asked again. */
#include "sts_inside.h"

#include <postrider/base/auto.h>

#include "report.h"
#include "sts_fetch.h"

#define FETCHES_MAX 32
#define QUEUED_MAX 2000
#define SITE_QUIET_MS (5 * MINUTE_MS) /* RFC 8461 section 3.3: for each id */
#define REFRESH_AGAIN_LEAST_MS (10 * MINUTE_MS)
#define REFRESH_AGAIN_MS HOUR_MS
#define NAME_MAX_BYTES 253

static void on_timer(void *owner);

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
	if (sts_known(s, e)) {
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

void sts_sites_arm(struct sts *s, struct sts_entry *e)
{
	unsigned random = (unsigned)random_below(&s->random, 1000);

	arm(s, e, io_at_of_time(s->o.io, sts_entry_next_time(e, sts_now_time(s), random)));
}

/* A site that does not answer is asked four times more before the policy ends, or each hour. */
static void arm_for_another_try(struct sts *s, struct sts_entry *e)
{
	int64_t left = sts_entry_end_time(e) - sts_now_time(s);
	int64_t after = MAX(MIN(left / 4, (int64_t)REFRESH_AGAIN_MS), (int64_t)REFRESH_AGAIN_LEAST_MS);

	arm(s, e, sts_now_at(s) + MIN(after, MAX(left, 0)));
}

static void on_failure(struct sts *s, struct sts_entry *e, enum policy_failure failure, struct text problem)
{
	e->site_quiet_until_at = sts_now_at(s) + SITE_QUIET_MS;
	say_failure(s, e, problem);
	if (s->o.reports)
		report_note_fetch(s->o.reports, sts_entry_name(e), failure, problem);
	if (sts_known(s, e))
		arm_for_another_try(s, e);
}

static void on_policy(struct sts *s, struct sts_entry *e, struct policy_domain *policy)
{
	sts_cache_set(&s->cache, e, policy, sts_now_time(s));
	e->is_told = false;
	e->site_quiet_until_at = 0;
	sts_sites_arm(s, e);
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
	sts_answer_waiters(e);
	sts_sites_go_on(s);
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
void sts_sites_go_on(struct sts *s)
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
		sts_answer_waiters(e);
	}
}

bool sts_sites_want(struct sts *s, struct sts_entry *e, struct text id, bool is_waited_for)
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

void sts_sites_forget(void *owner, struct sts_entry *e)
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

enum err sts_ask_txt(struct sts *s, struct text domain, struct dns_lookup **slot, dns_text_fn *on_txt,
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
	if (!sts_sites_want(s, e, id, false))
		arm_for_another_try(s, e);
	sts_sites_go_on(s);
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

	if (!sts_entry_policy(e, sts_now_time(s))) {
		if (!e->fetch && list_is_empty(&e->queued) && list_is_empty(&e->waiters))
			sts_cache_remove(&s->cache, e);
		return;
	}
	if (e->fetch || e->txt || !list_is_empty(&e->queued))
		return; /* its end arms again */
	if (sts_now_time(s) - e->used_time > STS_USED_MS || !s->o.config->direct.mta_sts)
		arm(s, e, io_at_of_time(s->o.io, sts_entry_end_time(e)));
	else if (sts_ask_txt(s, sts_entry_name(e), &e->txt, on_refresh_txt, e))
		refresh(s, e, e->policy->id);
}
