/* Being slow, and being left alone, for a time that a rule says. What waits meanwhile costs no attempt. */
#include "internal.h"

#include <stdio.h>

/* One of our own rules that is met again by the only connection, this long after it slowed us, wants more than that. */
#define ESCALATES_AFTER_MS (30 * SECOND_MS)
#define ESCALATED_MS (2 * MINUTE_MS)
#define REPLY_KEPT_BYTES 500

bool limit_is_slow(const struct limit *l)
{
	return l->slow_until_at > io_now_at(l->schedule->io);
}

bool share_is_suspended(const struct share *h)
{
	for (unsigned i = 0; i < h->limit_count; i++)
		if (h->limits[i]->suspended_until_at)
			return true;
	return false;
}

int64_t share_slow_until_at(const struct share *h)
{
	int64_t until = 0;

	for (unsigned i = 0; i < h->limit_count; i++)
		if (limit_is_slow(h->limits[i]))
			until = MAX(until, h->limits[i]->slow_until_at);
	return until;
}

/* ---------------------------------------------------------------- why */

void limit_cause_fini(struct limit_cause *cause)
{
	free(cause->reply);
	free(cause->rule);
	*cause = (struct limit_cause){ 0 };
}

/* Without memory there is no story, and the effect is the same. */
static void keep_cause(struct limit_cause *cause, const struct rule_match *m, const struct deliver_result *r)
{
	char place[600] = "one of the built-in rules";

	limit_cause_fini(cause);
	if (m->rule)
		snprintf(place, sizeof(place), "%.*s:%u", TEXT_ARGS(text_head(m->rule->place.file, 500)),
		         m->rule->place.line);
	cause->reply = text_dup(text_head(r->reply, REPLY_KEPT_BYTES));
	cause->rule = text_dup(text_from(place));
	cause->reason = r->reason;
}

static void say(struct limit *l, enum event_kind kind)
{
	struct schedule *s = l->schedule;
	AUTO(buf_fini) struct buf name = BUF(600);
	struct event event = EVENT(kind);

	limit_add_name(l, &name);
	event.route = buf_text(&name);
	event.reason = l->suspend_cause.reason;
	event.response = text_from(l->suspend_cause.reply);
	event.at = text_from(l->suspend_cause.rule);
	event.rule = TEXT("rules");
	if (kind == EVENT_PAUSED) {
		event.level = LEVEL_WARN;
		event.next_attempt_time = io_now_time(s->io) + (l->suspended_until_at - io_now_at(s->io));
		event.detail = TEXT("a rule on replies suspends it; what waits costs no attempt");
	} else {
		event.detail = TEXT("one connection asks first");
	}
	observe_emit(s->observe, &event);
}

/* ---------------------------------------------------------------- the end */

void limit_resume(struct limit *l)
{
	struct schedule *s = l->schedule;

	if (!l->suspended_until_at)
		return;
	io_timer_stop(s->io, &l->resume_timer);
	l->suspended_until_at = 0;
	window_restart(&l->window, io_now_at(s->io));
	say(l, EVENT_RESUMED);
	limit_cause_fini(&l->suspend_cause);
	rates_note(s);
	limit_pump_all(l);
	limit_call_next(l);
}

static void on_resume(void *owner)
{
	limit_resume(owner);
}

/* ---------------------------------------------------------------- the beginning */

/* What a peer says at its door it says to all that share it; what it says of a recipient or a message, of its domain. */
static struct limit *meant(struct share *h, const struct rule_match *m)
{
	return h->limits[m->is_general ? h->limit_count - 1 : 0];
}

static void suspend(struct limit *l, int64_t for_ms, const struct rule_match *m,
                    const struct deliver_result *r)
{
	struct schedule *s = l->schedule;

	/* answers to what was on its way say nothing new */
	if (l->suspended_until_at)
		return;
	l->suspended_until_at = io_now_at(s->io) + for_ms;
	if (io_timer_start(s->io, &l->resume_timer, l->suspended_until_at, on_resume, l)) {
		l->suspended_until_at = 0; /* better to go on than to rest for ever */
		return;
	}
	keep_cause(&l->suspend_cause, m, r);
	say(l, EVENT_PAUSED);
	rates_note(s);
}

void limit_restore_suspension(struct limit *l, int64_t until_at, struct limit_cause *cause)
{
	limit_cause_fini(&l->suspend_cause);
	l->suspend_cause = *cause;
	if (!io_timer_start(l->schedule->io, &l->resume_timer, until_at, on_resume, l))
		l->suspended_until_at = until_at;
}

void limit_restore_slow(struct limit *l, int64_t until_at, struct limit_cause *cause)
{
	limit_cause_fini(&l->slow_cause);
	l->slow_cause = *cause;
	l->slow_since_at = io_now_at(l->schedule->io);
	l->slow_until_at = until_at;
}

void share_suspend(struct share *h, const struct rule_match *m, const struct deliver_result *r)
{
	if (h->limit_count)
		suspend(meant(h, m), m->for_ms, m, r);
}

void share_slow(struct share *h, const struct rule_match *m, const struct deliver_result *r)
{
	int64_t now = io_now_at(h->destination->schedule->io);
	struct limit *l;

	if (!h->limit_count)
		return;
	l = meant(h, m);
	if (!limit_is_slow(l)) {
		l->slow_since_at = now;
		keep_cause(&l->slow_cause, m, r);
	} else if (m->escalates && now - l->slow_since_at >= ESCALATES_AFTER_MS && limit_window(l) == 1) {
		suspend(l, ESCALATED_MS, m, r);
	}
	l->slow_until_at = MAX(l->slow_until_at, now + m->for_ms);
	rates_note(l->schedule);
}

/* ---------------------------------------------------------------- our own addresses */

void share_spare_source(struct share *h, struct ip source, int64_t for_ms)
{
	int64_t now = io_now_at(h->destination->schedule->io);
	struct limit *l = h->limit_count ? h->limits[0] : NULL;
	size_t place = 0;

	for (size_t i = 0; l && i < ARRAY_LEN(l->spared); i++) {
		if (ip_eq(l->spared[i].ip, source) && l->spared[i].until_at) {
			place = i;
			break;
		}
		if (l->spared[i].until_at < l->spared[place].until_at)
			place = i;
	}
	if (!l)
		return;
	l->spared[place].ip = source;
	l->spared[place].until_at = now + for_ms;
}

unsigned share_spared_sources(const struct share *h, struct ip *out)
{
	int64_t now = io_now_at(h->destination->schedule->io);
	unsigned count = 0;

	for (size_t i = 0; h->limit_count && i < ARRAY_LEN(h->limits[0]->spared); i++)
		if (h->limits[0]->spared[i].until_at > now)
			out[count++] = h->limits[0]->spared[i].ip;
	return count;
}

void share_try_now(struct share *h)
{
	for (unsigned i = 0; i < h->limit_count; i++)
		limit_resume(h->limits[i]);
}
