#include "internal.h"

#include <assert.h>
#include <stdio.h>

#define REPLY_KEPT_BYTES 1000
/* A connection that was kept may have been closed by the peer meanwhile: that is no attempt, a few times. */
#define AGAIN_MAX 3

/* ---------------------------------------------------------------- times */

const struct config_retry *outcome_retry(const struct task *t)
{
	return t->choice.route ? t->choice.route->effective_retry : &t->destination->schedule->config->retry;
}

static int64_t life_ms(const struct config_retry *retry, const struct envelope *e)
{
	return e->reverse_path.len ? retry->give_up_after_ms : retry->bounce_give_up_after_ms;
}

int64_t outcome_expires_time(const struct task *t)
{
	const struct envelope *e = t->work->message->envelope;
	int64_t life = life_ms(outcome_retry(t), e),
		expires = life >= CONFIG_NEVER ? INT64_MAX : outcome_begin_time(e) + life;

	return e->by == ENVELOPE_BY_RETURN ? MIN(expires, e->by_time) : expires;
}

static bool is_past(const struct envelope *e, enum envelope_by by, int64_t now)
{
	return e->by == by && now >= e->by_time;
}

bool outcome_is_late(const struct task *t)
{
	const struct envelope *e = t->work->message->envelope;
	int64_t now = io_now_time(t->destination->schedule->io);

	if (!is_past(e, ENVELOPE_BY_NOTIFY, now) || through_client_waits(t))
		return is_past(e, ENVELOPE_BY_RETURN, now);
	for (size_t i = t->next; i < t->end; i++)
		if (!t->work->recipients[i].late_told)
			return true;
	return false;
}

/* The step for this attempt (the last one repeats) with a tenth of jitter either way, so that what failed together does
 * not come back together; the last attempt is made when the life ends. */
static int64_t next_attempt_time(struct task *t, uint32_t attempts, int64_t now, int64_t expires)
{
	struct schedule *s = t->destination->schedule;
	const struct config_durations *steps = &outcome_retry(t)->schedule;
	int64_t step = steps->items[MIN(attempts ? attempts - 1 : 0, (uint32_t)steps->count - 1)];
	int64_t tenth = step / 10;
	int64_t due = now + step - tenth + (int64_t)random_below(&s->random, (uint64_t)(2 * tenth + 1));

	return MIN(due, MAX(expires, now + 1));
}

/* The same for all recipients of a message that are put off together: they go in one transaction then, too. */
static int64_t put_off(struct task *t, uint32_t attempts, int64_t now, int64_t expires)
{
	if (t->deferred_attempts != attempts || t->deferred_until_time <= now) {
		t->deferred_attempts = attempts;
		t->deferred_until_time = next_attempt_time(t, attempts, now, expires);
	}
	return t->deferred_until_time;
}

/* ---------------------------------------------------------------- words */

void outcome_add_remote(struct buf *b, struct text host, struct ip_port at)
{
	buf_add(b, host);
	if (at.ip.family == IP_NONE)
		return;
	if (b->len)
		buf_add_octet(b, ' ');
	buf_add_octet(b, '[');
	ip_add(b, at.ip);
	buf_add_format(b, "]:%u", at.port);
}

static struct text remote_text(struct task *t, const struct deliver_result *r)
{
	struct buf b = BUF(512);
	struct text kept = TEXT_EMPTY;

	outcome_add_remote(&b, r->mx, r->remote);
	if (buf_err(&b) || arena_text(&t->arena, buf_text(&b), &kept))
		kept = TEXT_EMPTY;
	buf_fini(&b);
	return kept;
}

static struct text keep(struct task *t, struct text words, size_t max)
{
	struct text kept;

	return arena_text(&t->arena, text_head(words, max), &kept) ? TEXT_EMPTY : kept;
}

static enum event_kind event_of(enum queue_verdict verdict)
{
	switch (verdict) {
	case QUEUE_DELIVERED:
		return EVENT_DELIVERED;
	case QUEUE_BOUNCED:
		return EVENT_BOUNCED;
	case QUEUE_EXPIRED:
		return EVENT_EXPIRED;
	case QUEUE_DROPPED:
		return EVENT_DROPPED;
	case QUEUE_ON_HOLD:
		return EVENT_HELD;
	case QUEUE_DEFERRED:
		break;
	}
	return EVENT_DEFERRED;
}

static void say(struct task *t, const struct task_outcome *o, const struct deliver_result *r)
{
	struct schedule *s = t->destination->schedule;
	const struct envelope *e = t->work->message->envelope;
	const struct queue_recipient *q = &o->outcome.recipient;
	int64_t now = io_now_time(s->io), expires = outcome_expires_time(t);
	struct event event = EVENT(event_of(o->outcome.verdict));
	char place[512];

	event.has_id = true;
	event.id = e->id;
	event.rcpt = q->n;
	event.from = e->reverse_path;
	event.to = e->recipients[q->n].forward_path;
	event.size = (int64_t)t->work->message->content_bytes;
	event.created_time = e->received_time;
	event.attempt = q->attempts;
	event.action = t->reroute_to.len && q->via.len ? TEXT("other-route") : TEXT_EMPTY;
	event.reason = q->reason;
	event.stage = q->stage;
	event.response = q->reply;
	event.enhanced = o->enhanced;
	if (o->was_unknown)
		event.detail = TEXT("an earlier attempt may have delivered it (unknown_outcome)");
	if (through_client_waits(t)) {
		event.action = TEXT("through");
	} else if (o->outcome.verdict == QUEUE_DEFERRED) {
		event.next_attempt_time = q->due_time;
		event.expires_time = expires == INT64_MAX ? 0 : expires;
	}
	event.upstream = t->choice.way && t->choice.way->upstream ? t->choice.way->upstream->name : TEXT_EMPTY;
	event.route = t->destination->by_key.key;
	if (t->choice.route) {
		struct config_place p = t->choice.route->place;
		int n = snprintf(place, sizeof(place), "%.*s:%u", TEXT_ARGS(text_head(p.file, 480)), p.line);

		event.at = text_of(place, (size_t)MAX(n, 0));
	}
	if (r) {
		event.code = r->code;
		event.mx = r->mx;
		event.remote = r->remote;
		event.local = r->local;
		event.tls = r->tls;
		event.login_user = r->login_user;
		event.login_mechanism = r->mechanism;
		event.ms = r->ms;
		event.ms.wait = (int32_t)MIN(t->wait_ms, INT32_MAX);
	}
	event.ms.queue = (int32_t)MIN(MAX(now - e->received_time, 0), INT32_MAX);
	observe_emit(s->observe, &event);
}

/* ---------------------------------------------------------------- one result */

/* Room for results is made before an attempt, so that none can be lost for want of memory. */
enum err outcome_reserve(struct task *t, size_t count)
{
	struct task_outcome *more;

	if (t->outcome_count + count <= t->outcome_room)
		return ERR_OK;
	more = realloc(t->outcomes, (t->outcome_count + count) * sizeof(*more));
	if (!more)
		return ERR_NOMEM;
	t->outcomes = more;
	t->outcome_room = t->outcome_count + count;
	return ERR_OK;
}

static struct task_outcome *new_outcome(struct task *t)
{
	assert(t->outcome_count < t->outcome_room);
	t->outcomes[t->outcome_count] = (struct task_outcome){ 0 };
	return &t->outcomes[t->outcome_count++];
}

/* As its route has it now: what its row says may be of an older configuration. */
static enum config_class class_of(const struct task *t)
{
	return route_class(t->choice.route, t->work->message->envelope->priority);
}

/* Whether the sender wants to hear of this: by NOTIFY, or without it as usual (RFC 3461 section 4.1). Never a report on a
 * report (RFC 5321 section 6.1). */
static bool wants(const struct envelope *e, uint32_t n, unsigned notify, bool unsaid)
{
	unsigned said = e->recipients[n].notify;

	if (e->reverse_path.len == 0 || (said & ENVELOPE_NOTIFY_NEVER))
		return false;
	return said ? said & notify : unsaid;
}

/* "N" of DELIVERBY asks for a report by itself, which only NEVER forbids (RFC 2852 section 4). */
static void tell_delay(const struct task *t, struct task_outcome *o, int64_t now)
{
	const struct envelope *e = t->work->message->envelope;
	struct queue_recipient *q = &o->outcome.recipient;
	bool late = is_past(e, ENVELOPE_BY_NOTIFY, now) && !q->late_told,
	     slow = !q->warned && now - outcome_begin_time(e) >= outcome_retry(t)->warn_after_ms;

	if (late)
		o->told[NOTICE_DELAYED] = wants(e, q->n, ~0u, true);
	else if (slow)
		o->told[NOTICE_DELAYED] = wants(e, q->n, ENVELOPE_NOTIFY_DELAY, true);
	q->late_told = q->late_told || late;
	q->warned = q->warned || o->told[NOTICE_DELAYED];
}

/* By another upstream, at once; it keeps to that. */
static void go_on_by(struct task *t, struct queue_recipient *q, int64_t now)
{
	char key[ROUTE_KEY_MAX];
	int n = snprintf(key, sizeof(key), "upstream:%.*s", TEXT_ARGS(text_head(t->reroute_to, 256)));

	q->key = keep(t, text_of(key, (size_t)MAX(n, 0)), ROUTE_KEY_MAX);
	q->via = keep(t, t->reroute_to, 256);
	q->due_time = now;
}

static void defer(struct task *t, struct task_outcome *o, int64_t now, int64_t expires)
{
	const struct envelope *e = t->work->message->envelope;
	struct queue_recipient *q = &o->outcome.recipient;

	o->outcome.verdict = QUEUE_DEFERRED;
	q->state = QUEUE_WAITING;
	q->due_time = put_off(t, q->attempts, now, expires);
	if (e->by == ENVELOPE_BY_NOTIFY && e->by_time > now)
		q->due_time = MIN(q->due_time, e->by_time); /* somebody has to be told then */
	tell_delay(t, o, now);
	if (t->reroute_to.len)
		go_on_by(t, q, now);
}

static void judge_failure(struct task *t, struct task_outcome *o, const struct deliver_result *r)
{
	struct schedule *s = t->destination->schedule;
	const struct envelope *e = t->work->message->envelope;
	int64_t now = io_now_time(s->io), expires = outcome_expires_time(t);

	if (r->kind == DELIVER_UNKNOWN && ledger_policy(t) == CONFIG_UNKNOWN_HOLD) {
		o->outcome.verdict = QUEUE_ON_HOLD;
		o->outcome.recipient.state = QUEUE_HELD;
		o->outcome.recipient.released = false;
		return;
	}
	if (r->kind != DELIVER_PERMANENT && now < expires) {
		defer(t, o, now, expires);
		return;
	}
	o->outcome.verdict = r->kind == DELIVER_PERMANENT ? QUEUE_BOUNCED : QUEUE_EXPIRED;
	o->told[NOTICE_FAILED] = wants(e, o->outcome.recipient.n, ENVELOPE_NOTIFY_FAILURE, true);
	if (o->outcome.verdict == QUEUE_EXPIRED && is_past(e, ENVELOPE_BY_RETURN, now)) {
		o->deadline = true;
		o->enhanced = TEXT("5.4.7");
	}
}

/* The next hop took it and will not tell what becomes of it, or the sender wants to hear of each hop (RFC 2852 section 4). */
static void judge_success(struct task *t, struct task_outcome *o, const struct deliver_result *r)
{
	const struct envelope *e = t->work->message->envelope;
	uint32_t n = o->outcome.recipient.n;

	o->outcome.verdict = QUEUE_DELIVERED;
	if (r->is_final) {
		o->told[NOTICE_DELIVERED] = wants(e, n, ENVELOPE_NOTIFY_SUCCESS, false) ||
		                            (e->by_trace && wants(e, n, ~0u, true));
		return;
	}
	o->told[NOTICE_RELAYED] = (!r->keeps_dsn && wants(e, n, ENVELOPE_NOTIFY_SUCCESS, false)) ||
	                          (e->by && (!r->keeps_by || e->by_trace) && wants(e, n, ~0u, true));
}

static void count(struct task *t, const struct task_outcome *o, bool unknown)
{
	struct schedule *s = t->destination->schedule;

	s->counts.attempts++;
	s->counts.unknown_outcomes += unknown;
	ledger_count(t, &o->outcome.recipient, unknown);
	switch (o->outcome.verdict) {
	case QUEUE_DELIVERED:
		s->counts.delivered++;
		return;
	case QUEUE_DEFERRED:
		s->counts.deferred++;
		return;
	case QUEUE_BOUNCED:
		s->counts.bounced++;
		return;
	case QUEUE_EXPIRED:
		s->counts.expired++;
		return;
	case QUEUE_DROPPED:
	case QUEUE_ON_HOLD:
		return;
	}
}

static void add_result(struct task *t, size_t index, const struct deliver_result *r)
{
	struct task_outcome *o = new_outcome(t);
	struct queue_recipient *q;

	o->outcome.recipient = t->work->recipients[index];
	q = &o->outcome.recipient;
	q->class = class_of(t);
	q->attempts++;
	q->last_attempt_time = io_now_time(t->destination->schedule->io);
	q->reason = r->kind == DELIVER_DELIVERED ? REASON_NONE : r->reason;
	q->stage = r->kind == DELIVER_DELIVERED ? STAGE_NONE : r->stage;
	q->reply = keep(t, r->reply, REPLY_KEPT_BYTES);
	bool still_unknown = ledger_still_unknown(t, &t->work->recipients[index], r);

	if (!still_unknown)
		q->remote = remote_text(t, r);
	q->key = t->destination->by_key.key;
	q->unknown_outcome = r->kind == DELIVER_UNKNOWN || still_unknown;
	o->was_unknown = t->work->recipients[index].unknown_outcome;
	o->enhanced = keep(t, r->enhanced, 16);
	o->outcome.code = r->from_peer ? r->code : 0;
	o->mx = keep(t, r->mx, 255);
	o->reply_is_peers = r->from_peer;
	if (r->kind == DELIVER_DELIVERED)
		judge_success(t, o, r);
	else
		judge_failure(t, o, r);
	count(t, o, r->kind == DELIVER_UNKNOWN);
	say(t, o, r);
}

void outcome_add(struct task *t, size_t index, const struct deliver_result *result)
{
	/* all recipients of the job alike: what the first one is told counts for the rest */
	if (result->untouched && !t->called_off && (t->again || t->again_count < AGAIN_MAX)) {
		if (!t->again)
			t->again_count++;
		t->again = true;
		return;
	}
	add_result(t, index, result);
}

void outcome_reroute(struct task *t, size_t index, const struct deliver_result *result, struct text upstream)
{
	t->reroute_to = upstream;
	add_result(t, index, result);
	t->reroute_to = TEXT_EMPTY;
}

/* No memory to decide anything: nothing was changed on disk, and the rows are read again shortly. */
static void come_back(struct task *t)
{
	backlog_put_back(t, SETTLE_AGAIN_MS);
	t->state = TASK_SETTLING;
	task_free(t);
}

void outcome_fail_rest(struct task *t, const struct deliver_result *result)
{
	if (outcome_reserve(t, t->end - t->next)) {
		come_back(t);
		return;
	}
	for (size_t i = t->next; i < t->end; i++)
		add_result(t, i, result);
	t->next = t->end;
	task_settle(t);
}

/* ---------------------------------------------------------------- what is decided without an attempt */

static void settle_rest_at(struct task *t, enum queue_verdict verdict, enum queue_state state,
                           struct text key, enum reason reason, struct text words, int64_t due_time)
{
	if (outcome_reserve(t, t->end - t->next)) {
		come_back(t);
		return;
	}
	for (; t->next < t->end; t->next++) {
		struct task_outcome *o = new_outcome(t);

		o->outcome.verdict = verdict;
		o->outcome.recipient = t->work->recipients[t->next];
		o->outcome.recipient.state = state;
		o->outcome.recipient.class = class_of(t);
		o->outcome.recipient.key = keep(t, key, ROUTE_KEY_MAX);
		o->outcome.recipient.due_time = due_time;
		if (words.len) {
			o->outcome.recipient.reason = reason;
			o->outcome.recipient.reply = words;
			say(t, o, NULL);
		}
	}
	task_settle(t);
}

static void settle_rest(struct task *t, enum queue_verdict verdict, enum queue_state state, struct text key,
                        struct text words)
{
	settle_rest_at(t, verdict, state, key, REASON_POLICY, words, io_now_time(t->destination->schedule->io));
}

void outcome_await_release(struct task *t)
{
	settle_rest_at(t, QUEUE_DEFERRED, QUEUE_WAITING, t->destination->by_key.key, REASON_NONE, TEXT_EMPTY,
	               t->work->message->envelope->release_time);
}

/* What is said in the place of a reply; the last one is worth reading. */
static struct text late_words(struct task *t, const struct queue_recipient *q)
{
	struct buf b = BUF(REPLY_KEPT_BYTES);
	struct text kept;

	buf_add_string(&b, "the time that the sender set for delivery (DELIVERBY) is over");
	if (q->reply.len) {
		buf_add_string(&b, "; the last answer was: ");
		buf_add(&b, text_head(q->reply, REPLY_KEPT_BYTES - b.len));
	}
	kept = keep(t, buf_text(&b), REPLY_KEPT_BYTES);
	buf_fini(&b);
	return kept;
}

static void add_return(struct task *t, struct task_outcome *o)
{
	struct queue_recipient *q = &o->outcome.recipient;

	o->outcome.verdict = QUEUE_EXPIRED;
	o->deadline = true;
	o->enhanced = TEXT("5.4.7");
	q->reason = REASON_DEADLINE;
	q->reply = late_words(t, q);
	o->told[NOTICE_FAILED] = wants(t->work->message->envelope, q->n, ENVELOPE_NOTIFY_FAILURE, true);
	t->destination->schedule->counts.expired++;
	say(t, o, NULL);
}

/* Due at once again: nothing but the report has changed. */
static void add_lateness(struct task *t, struct task_outcome *o, int64_t now)
{
	struct queue_recipient *q = &o->outcome.recipient;

	o->outcome.verdict = QUEUE_DEFERRED;
	q->state = QUEUE_WAITING;
	q->due_time = now;
	q->key = t->destination->by_key.key;
	o->enhanced = TEXT("4.4.7");
	tell_delay(t, o, now);
}

void outcome_late_rest(struct task *t)
{
	int64_t now = io_now_time(t->destination->schedule->io);
	bool returned = t->work->message->envelope->by == ENVELOPE_BY_RETURN;

	if (outcome_reserve(t, t->end - t->next)) {
		come_back(t);
		return;
	}
	for (; t->next < t->end; t->next++) {
		struct task_outcome *o = new_outcome(t);

		o->outcome.recipient = t->work->recipients[t->next];
		if (returned)
			add_return(t, o);
		else
			add_lateness(t, o, now);
	}
	task_settle(t);
}

void outcome_rekey_rest(struct task *t, struct text key)
{
	settle_rest(t, QUEUE_DEFERRED, QUEUE_WAITING, key, TEXT_EMPTY);
}

void outcome_hold_rest(struct task *t)
{
	settle_rest(t, QUEUE_ON_HOLD, QUEUE_HELD, t->destination->by_key.key,
	            TEXT("a route holds this recipient"));
}

void outcome_hold_doubtful_rest(struct task *t)
{
	settle_rest_at(t, QUEUE_ON_HOLD, QUEUE_HELD, t->destination->by_key.key, REASON_UNKNOWN_OUTCOME,
	               TEXT("the last attempt may have delivered it, and its route holds it then (unknown: hold); "
	                    "postrider release sends it again"),
	               io_now_time(t->destination->schedule->io));
}

void outcome_discard_rest(struct task *t)
{
	settle_rest(t, QUEUE_DROPPED, QUEUE_WAITING, t->destination->by_key.key,
	            TEXT("a route discards this recipient"));
}
