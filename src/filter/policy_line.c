#include "policy_internal.h"

#include <stdlib.h>

#define IDLE_MS (5 * MINUTE_MS)
#define AGE_MS (10 * MINUTE_MS) /* then a line makes room for one to what the service has become meanwhile */
#define FIRST_PAUSE_MS 100
#define LAST_PAUSE_MS (10 * SECOND_MS)

/* ---------------------------------------------------------------- up and down */

static bool has_line_up(const struct policy_service *s)
{
	for (LIST_EACH(it, &s->lines)) {
		if (LIST_ITEM(it, struct policy_line, link)->is_up)
			return true;
	}
	return false;
}

bool policy_lines_pausing(const struct policy_service *s)
{
	return io_timer_runs(&s->retry);
}

static void fail_waiting(struct policy_service *s, const char *problem)
{
	while (!list_is_empty(&s->waiting))
		policy_request_fail(LIST_FIRST(&s->waiting, struct policy_request, link), problem);
}

static void on_retry(void *owner)
{
	policy_lines_dispatch(owner);
}

/* 100 ms, 200 ms, ... 10 s, a quarter more or less. */
static void begin_pause(struct policy_service *s)
{
	int64_t pause_ms = FIRST_PAUSE_MS << MIN(s->pauses, 10u);

	pause_ms = MIN(pause_ms, LAST_PAUSE_MS);
	pause_ms += (int64_t)random_below(&s->random, (uint64_t)pause_ms / 2) - pause_ms / 4;
	if (s->pauses++ == 0)
		s->failing_since_at = io_now_at(s->io);
	/* Without memory for the timer there is no pause: the next question tries again. */
	if (io_timer_start(s->io, &s->retry, io_now_at(s->io) + pause_ms, on_retry, s))
		return;
}

static void note_failure(struct policy_service *s, const char *problem, bool was_up)
{
	if (!policy_lines_pausing(s)) /* what breaks at the same time is one failure */
		begin_pause(s);
	if (!was_up && has_line_up(s))
		return; /* it takes no more connections, but those it has work */
	if (!s->is_down && io_now_at(s->io) - s->failing_since_at >= POLICY_DOWN_AFTER_MS) {
		s->is_down = true;
		policy_say_down(s, problem);
	}
	if (s->is_down)
		fail_waiting(s, problem);
}

static void note_success(struct policy_service *s)
{
	s->pauses = 0;
	io_timer_stop(s->io, &s->retry);
	if (!s->is_down)
		return;
	s->is_down = false;
	policy_say_up(s);
}

/* ---------------------------------------------------------------- lines */

static void forget_line(struct policy_line *l)
{
	l->service->line_count--;
	l->service->counts.open_connections -= l->is_up;
	io_timer_stop(l->io, &l->timer);
	list_remove(&l->link);
	l->service = NULL;
	l->request = NULL;
}

/* No event of it counts from now on. */
static void drop_line(struct policy_line *l)
{
	forget_line(l);
	if (l->stream)
		io_stream_close(l->stream);
}

static void drop_idle_lines(struct policy_service *s)
{
	for (LIST_EACH_SAFE(it, &s->lines)) {
		struct policy_line *l = LIST_ITEM(it, struct policy_line, link);

		if (l->is_up && !l->request && !l->owes)
			drop_line(l);
	}
}

/* The line is of no more use. What it owed goes to another, once, if it looks as if the service was only restarted. */
static void line_broke(struct policy_line *l, const char *problem, bool may_retry)
{
	struct policy_service *s = l->service;
	struct policy_request *r = l->request;
	bool was_up = l->is_up, was_idle = was_up && !r && !l->owes;

	may_retry &= l->has_served && !(r && r->was_retried);
	drop_line(l);
	if (may_retry && !was_idle) {
		drop_idle_lines(s); /* the same has become of them */
		if (r) {
			r->was_retried = true;
			policy_request_wait(r, true);
		}
	} else if (!was_idle) {
		if (r)
			policy_request_fail(r, problem);
		note_failure(s, problem, was_up);
	}
	policy_lines_dispatch(s);
}

static const char *problem_of(enum err why, bool was_up)
{
	if (was_up)
		return why == ERR_OK || why == ERR_CLOSED ? "closed the connection without an answer"
		                                          : "cut the connection";
	switch (why) {
	case ERR_REFUSED:
		return "refused the connection";
	case ERR_NOT_FOUND:
		return "has no socket there";
	case ERR_DENIED:
		return "does not let this user connect";
	case ERR_UNREACHABLE:
		return "cannot be reached";
	case ERR_NOMEM:
		return "cannot be connected to for want of memory";
	case ERR_BUSY:
		return "cannot be connected to, as this process has too many descriptors open";
	default:
		return "cannot be connected to";
	}
}

static void on_line_timer(void *owner)
{
	struct policy_line *l = owner;

	if (!l->is_up)
		line_broke(l, "did not take the connection in time", false);
	else if (l->owes)
		line_broke(l, "did not answer in time", false);
	else
		drop_line(l); /* idle for long */
}

static void set_line_timer(struct policy_line *l, int64_t at)
{
	/* Without memory for a timer the line lasts as long as the service wants. */
	if (io_timer_start(l->io, &l->timer, at, on_line_timer, l))
		return;
}

static void be_idle(struct policy_line *l)
{
	l->request = NULL;
	l->owes = false;
	if (l->is_spent || io_now_at(l->io) - l->up_at >= AGE_MS)
		drop_line(l);
	else
		set_line_timer(l, io_now_at(l->io) + IDLE_MS);
}

static void on_connected(void *owner)
{
	struct policy_line *l = owner;

	if (!l->service)
		return;
	l->is_up = true;
	l->up_at = io_now_at(l->io);
	l->service->counts.open_connections++;
	be_idle(l);
	if (l->service)
		policy_lines_dispatch(l->service);
}

/* What the service said to a request, which may be NULL: whoever asked has gone. */
static void answered(struct policy_line *l, struct text action)
{
	AUTO(buf_fini) struct buf words = BUF(4096);
	struct policy_service *s = l->service;
	struct policy_request *r = l->request;
	struct policy_answer answer;
	enum err err = policy_answer_read(action, &words, &answer);

	l->has_served = true;
	note_success(s);
	be_idle(l);
	policy_lines_dispatch(s);
	if (r)
		policy_request_answer(r, &answer, err);
}

static size_t on_data(void *owner, struct text bytes)
{
	struct policy_line *l = owner;
	struct text action;
	size_t taken;

	if (!l->service)
		return bytes.len;
	if (!l->request && !l->owes) {
		line_broke(l, "spoke without being asked", false);
		return bytes.len;
	}
	switch (policy_answer_find(bytes, &action, &taken)) {
	case ERR_OK:
		if (taken < bytes.len)
			l->is_spent = true; /* more than was asked for would be taken for the next answer */
		answered(l, action);
		return bytes.len;
	case ERR_MORE:
		return 0;
	case ERR_TOO_BIG:
		policy_complain(l->service, TEXT("its answer is too long"));
		line_broke(l, "sent an answer that is too long", false);
		return bytes.len;
	default:
		policy_complain(l->service, TEXT("its answer has no action, or a line that is no attribute"));
		line_broke(l, "sent what is no answer", false);
		return bytes.len;
	}
}

static void on_eof(void *owner)
{
	struct policy_line *l = owner;

	if (l->service)
		line_broke(l, problem_of(ERR_CLOSED, true), true);
}

static void on_closed(void *owner, enum err why)
{
	struct policy_line *l = owner;

	l->stream = NULL;
	if (l->service)
		line_broke(l, problem_of(why, l->is_up), true);
	free(l);
}

/* What is written at a time is bounded by those who wait for an answer. */
static void on_drained(void *owner)
{
	(void)owner;
}

static const struct io_stream_events line_events = {
	.on_connected = on_connected,
	.on_data = on_data,
	.on_eof = on_eof,
	.on_drained = on_drained,
	.on_closed = on_closed,
};

/* False: not now, and whoever waits has been told if that is for long. */
static bool open_line(struct policy_service *s)
{
	struct policy_line *l = calloc(1, sizeof(*l));
	enum err err = l ? io_connect(s->io, &s->address, NULL, &line_events, l, &l->stream) : ERR_NOMEM;

	if (err) {
		free(l);
		note_failure(s, problem_of(err, false), false);
		return false;
	}
	l->service = s;
	l->io = s->io;
	list_append(&s->lines, &l->link);
	s->line_count++;
	s->counts.connections++;
	set_line_timer(l, io_now_at(s->io) + s->timeout_ms);
	return true;
}

/* ---------------------------------------------------------------- joining questions and lines */

static struct policy_line *find_idle_line(struct policy_service *s)
{
	for (LIST_EACH(it, &s->lines)) {
		struct policy_line *l = LIST_ITEM(it, struct policy_line, link);

		if (l->is_up && !l->request && !l->owes)
			return l;
	}
	return NULL;
}

static unsigned lines_connecting(const struct policy_service *s)
{
	unsigned count = 0;

	for (LIST_EACH(it, &s->lines))
		count += !LIST_ITEM(it, struct policy_line, link)->is_up;
	return count;
}

static void send_question(struct policy_line *l, struct policy_request *r)
{
	struct text question = buf_text(&r->question);

	policy_request_take(r);
	r->line = l;
	l->request = r;
	io_timer_stop(l->io, &l->timer); /* the request has one */
	/* The line that served last is taken first, so that those too many grow old. */
	list_remove(&l->link);
	list_prepend(&l->service->lines, &l->link);
	io_stream_write(l->stream, &question, 1);
}

void policy_lines_dispatch(struct policy_service *s)
{
	struct policy_line *l;

	while (!list_is_empty(&s->waiting) && (l = find_idle_line(s)))
		send_question(l, LIST_FIRST(&s->waiting, struct policy_request, link));
	/* One is enough to see whether a service is back. */
	unsigned most = s->is_down ? 1 : s->max_connections;

	while (s->line_count < most && lines_connecting(s) < s->waiting_count && !policy_lines_pausing(s)) {
		if (!open_line(s))
			break;
	}
}

/* ---------------------------------------------------------------- for questions and the service */

void policy_line_owes(struct policy_line *l)
{
	l->request = NULL;
	l->owes = true;
	set_line_timer(l, io_now_at(l->io) + l->service->timeout_ms);
}

void policy_line_is_late(struct policy_line *l, const char *problem)
{
	struct policy_service *s = l->service;

	drop_line(l); /* an answer that comes now must not be taken for another's */
	note_failure(s, problem, true);
	policy_lines_dispatch(s);
}

void policy_lines_retire(struct policy_service *s)
{
	s->pauses = 0;
	s->is_down = false;
	s->has_complained = false;
	io_timer_stop(s->io, &s->retry);
	for (LIST_EACH_SAFE(it, &s->lines)) {
		struct policy_line *l = LIST_ITEM(it, struct policy_line, link);

		l->is_spent = true;
		if (!l->request)
			drop_line(l);
	}
}

void policy_lines_drop(struct policy_service *s)
{
	while (!list_is_empty(&s->lines))
		drop_line(LIST_FIRST(&s->lines, struct policy_line, link));
	io_timer_stop(s->io, &s->retry);
}
