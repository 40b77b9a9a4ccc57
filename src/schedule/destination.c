#include "internal.h"

/* The first probe after a failure comes soon; a host that stays away is asked less and less, never rarer than this. */
#define SUSPEND_FIRST_MS (20 * SECOND_MS)
#define SUSPEND_MAX_MS (10 * MINUTE_MS)
#define OPENING_PAUSE_MS (5 * SECOND_MS)

bool destination_is_suspended(const struct destination *d)
{
	return d->suspended_until_at != 0;
}

static void pump(void *owner)
{
	struct destination *d = owner;

	if (d->schedule->stopping) {
		connections_finish_idle(d);
		schedule_check_stopped(d->schedule);
		return;
	}
	if (d->reroute)
		tasks_reroute(d);
	tasks_load(d);
	if (!destination_is_suspended(d)) {
		connections_assign(d);
		connections_open(d);
		if (d->ready.count == 0 && d->loading_count == 0)
			connections_leave_lines(d);
		through_check(d);
	}
	if (!io_timer_runs(&d->disk_timer))
		destination_wait_for_disk(d);
	/* a place that was kept for this one and is not taken goes to the next */
	schedule_feed_hungry(d->schedule);
	destination_forget_if_empty(d);
}

void destination_pump_later(struct destination *d)
{
	io_later_run(d->schedule->io, &d->pump, pump, d);
}

struct destination *destination_find(struct schedule *s, struct text key)
{
	struct map_item *item = map_find(&s->destinations, key);

	return item ? CONTAINER_OF(item, struct destination, by_key) : NULL;
}

struct destination *destination_get(struct schedule *s, struct text key)
{
	struct destination *d = destination_find(s, key);
	char *name;

	if (d)
		return d;
	d = calloc(1, sizeof(*d));
	name = text_dup(key);
	if (!d || !name || map_add(&s->destinations, &d->by_key, text_of(name, key.len))) {
		free(d);
		free(name);
		return NULL;
	}
	d->schedule = s;
	ready_init(&d->ready, random_u64(&s->random));
	backlog_init(&d->backlog, random_u64(&s->random));
	list_init(&d->connections);
	list_init(&d->through);
	list_init(&d->shares);
	arena_init(&d->mx_arena, 16384);
	list_init(&d->hungry);
	list_append(&s->all, &d->all);
	map_init(&d->tasks, false, random_u64(&s->random));
	arena_init(&d->failure_arena, 8192);
	d->disk_due_time = INT64_MAX;
	s->counts.destinations++;
	return d;
}

void destination_free(struct destination *d)
{
	struct schedule *s = d->schedule;

	io_timer_stop(s->io, &d->disk_timer);
	io_timer_stop(s->io, &d->resume_timer);
	io_later_cancel(s->io, &d->pump);
	for (LIST_EACH_SAFE(it, &d->shares))
		share_free(LIST_ITEM(it, struct share, link));
	list_remove(&d->hungry);
	list_remove(&d->all);
	map_remove(&s->destinations, &d->by_key);
	map_fini(&d->tasks);
	ready_fini(&d->ready);
	backlog_fini(&d->backlog);
	arena_fini(&d->failure_arena);
	arena_fini(&d->mx_arena);
	free((char *)d->by_key.key.at);
	free(d);
	s->counts.destinations--;
}

static bool knows_host(const struct destination *d, struct text host)
{
	for (size_t i = 0; i < d->mx_count; i++)
		if (text_eq(d->mx[i], host))
			return true;
	return false;
}

/* In whatever order; without memory nothing is known. */
void destination_learn_hosts(struct destination *d, const struct text *hosts, size_t count)
{
	bool same = count == d->mx_count;

	for (size_t i = 0; same && i < count; i++)
		same = knows_host(d, hosts[i]);
	if (same)
		return;
	arena_reset(&d->mx_arena);
	d->mx_count = 0;
	d->mx = arena_alloc(&d->mx_arena, count * sizeof(*d->mx));
	for (size_t i = 0; d->mx && i < count; i++)
		if (!arena_text(&d->mx_arena, hosts[i], &d->mx[d->mx_count]))
			d->mx_count++;
	for (LIST_EACH(it, &d->shares))
		share_resolve(LIST_ITEM(it, struct share, link));
}

/* One that has nothing in memory, nothing known on disk and no connection is forgotten; its next mail makes it anew. What it
 * learned by failing is forgotten only when the suspension is over. */
void destination_forget_if_empty(struct destination *d)
{
	if (d->tasks.count == 0 && list_is_empty(&d->connections) && backlog_is_empty(d) &&
	    !d->scanning && !destination_is_suspended(d))
		destination_free(d);
}

bool destination_has_room(const struct destination *d)
{
	return d->tasks.count < d->schedule->bounds.at_least ||
	       (d->tasks.count < d->schedule->bounds.tasks &&
	        d->schedule->task_count < d->schedule->bounds.tasks_in_all);
}

/* ---------------------------------------------------------------- failure and healing */

static void on_resume(void *owner)
{
	struct destination *d = owner;

	d->suspended_until_at = 0;
	destination_wait_for_disk(d);
	destination_pump_later(d);
}

static void end_pause(struct destination *d)
{
	if (!io_timer_runs(&d->resume_timer))
		return;
	io_timer_stop(d->schedule->io, &d->resume_timer);
	on_resume(d);
}

void destination_try_now(struct destination *d)
{
	for (LIST_EACH(it, &d->shares))
		share_try_now(LIST_ITEM(it, struct share, link));
	end_pause(d);
}

/* Upstreams are few, and whoever runs the relay wants to know. */
static void say_health(struct destination *d, enum event_kind kind)
{
	struct event event = EVENT(kind);
	struct text prefix = TEXT("upstream:");

	if (!text_starts(d->by_key.key, prefix))
		return;
	event.upstream = text_skip(d->by_key.key, prefix.len);
	event.route = d->by_key.key;
	if (kind == EVENT_UPSTREAM_DOWN) {
		event.level = LEVEL_WARN;
		event.reason = d->failure.reason;
		event.stage = d->failure.stage;
		event.response = d->failure.reply;
		event.mx = d->failure.mx;
		event.remote = d->failure.remote;
	}
	observe_emit(d->schedule->observe, &event);
}

/* Those that know the outage begin small again; a limit that was in use all the while had none. */
static void restart_windows(struct destination *d)
{
	for (LIST_EACH(it, &d->shares))
		share_restart(LIST_ITEM(it, struct share, link));
}

void destination_succeeded(struct destination *d)
{
	if (d->failures) {
		restart_windows(d);
		say_health(d, EVENT_UPSTREAM_UP);
	}
	d->failures = 0;
	d->failure_number++;
	d->last_success_at = io_now_at(d->schedule->io);
	if (destination_is_suspended(d))
		end_pause(d);
}

static enum err keep_failure(struct destination *d, const struct deliver_result *failure)
{
	struct deliver_result kept = *failure;

	arena_reset(&d->failure_arena);
	d->failure = (struct deliver_result){ 0 };
	if (arena_text(&d->failure_arena, failure->enhanced, &kept.enhanced) ||
	    arena_text(&d->failure_arena, text_head(failure->reply, 2000), &kept.reply) ||
	    arena_text(&d->failure_arena, failure->mx, &kept.mx) ||
	    arena_text(&d->failure_arena, failure->login_user, &kept.login_user))
		return ERR_NOMEM;
	kept.tls = (struct event_tls){ TEXT_EMPTY, TEXT_EMPTY, false };
	d->failure = kept;
	return ERR_OK;
}

/* The host is there, and what one route demands of it is not, or not for its login: what comes by another route goes on. A
 * login that was refused is not shown to the host again before its time, whoever asks (deliver.h). */
static bool is_about_way(const struct deliver_result *failure)
{
	bool is_login = failure->reason == REASON_AUTH && failure->stage == STAGE_AUTH && failure->code / 100 != 4;

	return failure->reason == REASON_TLS || failure->reason == REASON_TLS_POLICY || is_login;
}

static bool concerns(const struct destination *d, const struct task *t)
{
	return !is_about_way(&d->failure) || t->choice.way == d->failure_way;
}

/* Whether a task that was ready at the last failure comes to the same. A success since then has healed all. */
bool destination_shares_failure(const struct destination *d, const struct task *t)
{
	return t->failure_number && t->failure_number == d->failure_number && concerns(d, t);
}

/* Nobody could be reached: every task in memory comes to the same, without trying each in turn. Those whose message lies on
 * disk come to it when it is read. What is not in memory waits for the next probe. */
static void share_failure(struct destination *d)
{
	for (READY_EACH_SAFE(t, d)) {
		t->failure_number = d->failure_number;
		if (t->work && t->routed_by == d->schedule->config && concerns(d, t)) {
			task_leave_ready(t);
			outcome_fail_rest(t, &d->failure);
		}
	}
}

/* A rule suspends it, and nobody was tried: nothing is counted, but whose time is over has waited enough. */
void destination_expire(struct destination *d, const struct deliver_result *failure)
{
	int64_t now = io_now_time(d->schedule->io);

	for (READY_EACH_SAFE(t, d)) {
		if (!t->work || t->routed_by != d->schedule->config ||
		    outcome_expires_time(t) > now)
			continue;
		task_leave_ready(t);
		outcome_fail_rest(t, failure);
	}
}

/* The peer wants no more connections than it has, or there is no memory for another: the others go on, and none is opened
 * for a moment. */
void destination_pause_opening(struct destination *d)
{
	struct schedule *s = d->schedule;

	if (io_timer_runs(&d->resume_timer))
		return;
	if (io_timer_start(s->io, &d->resume_timer, io_now_at(s->io) + OPENING_PAUSE_MS, on_resume, d))
		return; /* then there is no pause; the watch comes by */
}

/* How long nobody is tried: longer each time, and never longer than a message with as many attempts would wait. */
static int64_t pause_ms(const struct destination *d)
{
	int64_t step = route_shortest_step_ms(d->schedule->config, d->by_key.key, d->failures);

	return MIN(MIN(SUSPEND_FIRST_MS << MIN(d->failures, 8u), SUSPEND_MAX_MS), step);
}

/* Connections that failed together count once: a burst of mail must not look like an outage of hours. */
static void suspend(struct destination *d)
{
	struct schedule *s = d->schedule;
	int64_t pause = pause_ms(d);

	if (destination_is_suspended(d))
		return;
	if (d->failures++ == 0)
		say_health(d, EVENT_UPSTREAM_DOWN);
	pause = pause * 9 / 10 + (int64_t)random_below(&s->random, (uint64_t)(pause / 5) + 1);
	d->suspended_until_at = io_now_at(s->io) + pause;
	if (io_timer_start(s->io, &d->resume_timer, d->suspended_until_at, on_resume, d))
		d->suspended_until_at = 0; /* better to ask again at once than never */
}

void destination_failed(struct destination *d, const struct deliver_result *failure, const struct config_way *way,
                        bool others_work)
{
	if (others_work || keep_failure(d, failure)) {
		destination_pause_opening(d);
		return;
	}
	d->failure_way = way;
	d->failure_number++;
	/* "No such domain" is an answer, not an outage: the next mail may ask again at once. */
	if (failure->kind != DELIVER_PERMANENT && !is_about_way(failure))
		suspend(d);
	share_failure(d);
}
