/* Questions, connections ("lines"), and what becomes of a question when its line breaks.
 *
 *   asked -> waiting -> on a line -> answered
 *               ^           |
 *               +-- once ---+  the line had served before and closed without a word: the service was restarted
 *
 * After a failure no line is made until a pause is over, and each pause is longer than the one before it. When this has gone on
 * for DOWN_AFTER_MS without an answer the service is down: then questions are answered at once until the pause is over,
 * and the one line that is made after it shows whether the service is back. */
#include "policy_protocol.h"

#include <stdlib.h>

#include <postrider/base/random.h>
#include <postrider/io/stream.h>
#include <postrider/observe/observe.h>

#define DEFAULT_TIMEOUT_MS (5 * SECOND_MS)
#define DEFAULT_CONNECTIONS 20
#define DEFAULT_WAITING 10000
#define IDLE_MS (5 * MINUTE_MS)
#define AGE_MS (10 * MINUTE_MS) /* then a line makes room for one to what the service has become meanwhile */
#define FIRST_PAUSE_MS 100
#define LAST_PAUSE_MS (10 * SECOND_MS)
#define DOWN_AFTER_MS SECOND_MS
#define SAY_AGAIN_MS MINUTE_MS

struct policy_service {
	struct io *io;
	struct observe *observe;
	struct io_address address;
	struct buf name; /* the endpoint as written, for people */
	int64_t timeout_ms;
	bool accept_on_error;
	unsigned max_connections, max_waiting;
	struct list lines;
	struct list waiting; /* requests without a line */
	struct list asked;   /* all others */
	unsigned waiting_count, line_count;
	unsigned pauses; /* one after the other without an answer between them */
	int64_t failing_since_at, retry_at;
	struct io_timer retry; /* runs during a pause */
	bool is_down;
	int64_t complained_at;
	bool has_complained;
	struct random random;
	struct policy_service_counts counts;
};

struct policy_request {
	struct list link;
	bool is_waiting;
	struct policy_service *service;
	struct policy_request **slot;
	policy_answer_fn *on_answer;
	void *owner;
	struct policy_line *line; /* that it was written to; NULL: none */
	struct buf question;
	struct io_timer deadline;
	struct io_later later; /* to tell a failure that was known at once */
	const char *problem;
	bool was_retried;
};

/* One connection. Its memory goes in on_closed, which may be after the service's. */
struct policy_line {
	struct list link;
	struct policy_service *service; /* NULL: closing, nobody wants it any more */
	struct io *io;
	struct io_stream *stream;
	struct policy_request *request; /* whose answer comes next */
	bool is_up;
	bool owes;             /* an answer for somebody who has gone */
	bool has_served;       /* at least one answer */
	bool is_spent;         /* not to be used again */
	int64_t up_at;
	struct io_timer timer; /* connecting, idle, or owing */
};

static void dispatch(struct policy_service *s);

/* ---------------------------------------------------------------- what people hear */

static void say(struct policy_service *s, enum event_level level, const char *words, struct text more)
{
	AUTO(buf_fini) struct buf detail = BUF(1024);
	struct event event = EVENT(EVENT_WARNING);

	if (!s->observe)
		return;
	buf_add_format(&detail, "the policy service at %.*s %s", TEXT_ARGS(buf_text(&s->name)), words);
	buf_add(&detail, more);
	event.level = level;
	event.rule = TEXT("access.policy_service");
	event.detail = buf_text(&detail);
	observe_emit(s->observe, &event);
}

static void say_down(struct policy_service *s, const char *problem)
{
	AUTO(buf_fini) struct buf more = BUF(512);

	buf_add_format(
		&more, "%s; until it is back %s (access.policy_service.on_error). Look whether it runs.",
		problem, s->accept_on_error ? "nothing is refused for it" : "recipients are answered 451");
	say(s, LEVEL_ERROR, "is down: it ", buf_text(&more));
}

/* An answer that makes no sense comes as often as mail does. */
static void complain(struct policy_service *s, struct text problem)
{
	int64_t now_at = io_now_at(s->io);

	if (s->has_complained && now_at - s->complained_at < SAY_AGAIN_MS)
		return;
	s->has_complained = true;
	s->complained_at = now_at;
	say(s, LEVEL_WARN, "is not understood: ", problem);
}

/* ---------------------------------------------------------------- the end of a request */

static void let_wait(struct policy_request *r, bool in_front)
{
	struct policy_service *s = r->service;

	list_remove(&r->link);
	if (in_front)
		list_prepend(&s->waiting, &r->link);
	else
		list_append(&s->waiting, &r->link);
	r->line = NULL;
	r->is_waiting = true;
	s->waiting_count++;
}

static void take_from_waiting(struct policy_request *r)
{
	if (r->is_waiting)
		r->service->waiting_count--;
	r->is_waiting = false;
	list_remove(&r->link);
	list_append(&r->service->asked, &r->link);
}

static void unlink_request(struct policy_request *r)
{
	struct policy_service *s = r->service;

	take_from_waiting(r);
	list_remove(&r->link);
	*r->slot = NULL;
	io_timer_stop(s->io, &r->deadline);
	io_later_cancel(s->io, &r->later);
}

static void free_request(struct policy_request *r)
{
	buf_fini(&r->question);
	free(r);
}

/* The last thing that is done in a turn: the owner may ask again, cancel others, or free the service. */
static void finish(struct policy_request *r, const struct policy_answer *answer)
{
	if (answer->failed)
		r->service->counts.failures++;
	unlink_request(r);
	r->on_answer(r->owner, answer);
	free_request(r);
}

static struct policy_answer answer_on_error(const struct policy_service *s, struct text problem)
{
	struct policy_answer answer = {
		.verdict = POLICY_PASS, .failed = true, .level = LEVEL_WARN, .problem = problem
	};

	if (!s->accept_on_error) {
		answer.verdict = POLICY_REFUSE;
		answer.reply = (struct reply){ 451, "4.3.5",
			                       TEXT("The policy service cannot be asked, try again later") };
	}
	return answer;
}

static void finish_failed(struct policy_request *r, const char *problem)
{
	struct policy_answer answer = answer_on_error(r->service, text_from(problem));

	finish(r, &answer);
}

static void on_fail_later(void *owner)
{
	struct policy_request *r = owner;

	finish_failed(r, r->problem);
}

/* Heard in a later turn, one by one: so nobody's callback can change what is being walked. */
static void fail_later(struct policy_request *r, const char *problem)
{
	take_from_waiting(r);
	r->line = NULL;
	r->problem = problem;
	io_later_run(r->service->io, &r->later, on_fail_later, r);
}

/* ---------------------------------------------------------------- up and down */

static bool has_line_up(const struct policy_service *s)
{
	for (LIST_EACH(it, &s->lines)) {
		if (LIST_ITEM(it, struct policy_line, link)->is_up)
			return true;
	}
	return false;
}

static bool is_pausing(const struct policy_service *s)
{
	return io_timer_runs(&s->retry);
}

static void fail_waiting(struct policy_service *s, const char *problem)
{
	while (!list_is_empty(&s->waiting))
		fail_later(LIST_FIRST(&s->waiting, struct policy_request, link), problem);
}

static void on_retry(void *owner)
{
	dispatch(owner);
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
	if (!is_pausing(s)) /* what breaks at the same time is one failure */
		begin_pause(s);
	if (!was_up && has_line_up(s))
		return; /* it takes no more connections, but those it has work */
	if (!s->is_down && io_now_at(s->io) - s->failing_since_at >= DOWN_AFTER_MS) {
		s->is_down = true;
		say_down(s, problem);
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
	say(s, LEVEL_INFO, "is back", TEXT_EMPTY);
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
			let_wait(r, true);
		}
	} else if (!was_idle) {
		if (r)
			fail_later(r, problem);
		note_failure(s, problem, was_up);
	}
	dispatch(s);
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
		dispatch(l->service);
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
	if (err == ERR_NOMEM)
		answer.problem = TEXT("memory ran out");
	if (err) {
		if (r)
			complain(s, answer.problem);
		answer = answer_on_error(s, answer.problem);
	}
	be_idle(l);
	dispatch(s);
	if (r)
		finish(r, &answer);
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
			l->is_spent =
				true; /* more than was asked for: answers would be taken for those of others */
		answered(l, action);
		return bytes.len;
	case ERR_MORE:
		return 0;
	case ERR_TOO_BIG:
		complain(l->service, TEXT("its answer is too long"));
		line_broke(l, "sent an answer that is too long", false);
		return bytes.len;
	default:
		complain(l->service, TEXT("its answer has no action, or a line that is no attribute"));
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

	take_from_waiting(r);
	r->line = l;
	l->request = r;
	io_timer_stop(l->io, &l->timer); /* the request has one */
	/* The line that served last is taken first, so that those too many grow old. */
	list_remove(&l->link);
	list_prepend(&l->service->lines, &l->link);
	io_stream_write(l->stream, &question, 1);
}

static void dispatch(struct policy_service *s)
{
	struct policy_line *l;

	while (!list_is_empty(&s->waiting) && (l = find_idle_line(s)))
		send_question(l, LIST_FIRST(&s->waiting, struct policy_request, link));
	/* One is enough to see whether a service is back. */
	unsigned most = s->is_down ? 1 : s->max_connections;

	while (s->line_count < most && lines_connecting(s) < s->waiting_count && !is_pausing(s)) {
		if (!open_line(s))
			break;
	}
}

/* ---------------------------------------------------------------- asking */

static void on_deadline(void *owner)
{
	struct policy_request *r = owner;
	struct policy_service *s = r->service;
	static const char problem[] = "did not answer in time";

	if (!r->line) {
		finish_failed(r, problem);
		return;
	}
	struct policy_line *l = r->line;

	l->request = NULL;
	drop_line(l); /* an answer that comes now must not be taken for another's */
	fail_later(r, problem);
	note_failure(s, problem, true);
	dispatch(s);
}

static bool is_no_use(const struct policy_service *s, const char **problem)
{
	if (s->is_down && is_pausing(s))
		*problem = "is down";
	else if (s->waiting_count >= s->max_waiting)
		*problem = "has too many questions waiting for it";
	else
		return false;
	return true;
}

enum err policy_service_ask(struct policy_service *s, const struct policy_question *question,
                            struct policy_request **slot, policy_answer_fn *on_answer, void *owner)
{
	struct policy_request *r = calloc(1, sizeof(*r));
	const char *problem = NULL;

	if (!r)
		return ERR_NOMEM;
	r->service = s;
	r->slot = slot;
	r->on_answer = on_answer;
	r->owner = owner;
	buf_init(&r->question, POLICY_QUESTION_MAX);
	policy_question_write(&r->question, question);
	if (buf_err(&r->question) ||
	    io_timer_start(s->io, &r->deadline, io_now_at(s->io) + s->timeout_ms, on_deadline, r)) {
		free_request(r);
		return ERR_NOMEM;
	}
	*slot = r;
	s->counts.questions++;
	if (is_no_use(s, &problem)) {
		fail_later(r, problem);
		return ERR_OK;
	}
	let_wait(r, false);
	dispatch(s);
	return ERR_OK;
}

void policy_service_cancel(struct policy_request **slot)
{
	struct policy_request *r = *slot;

	if (!r)
		return;
	struct policy_line *l = r->line;

	if (l) {
		l->request = NULL;
		l->owes = true;
		set_line_timer(l, io_now_at(l->io) + r->service->timeout_ms);
	}
	unlink_request(r);
	free_request(r);
}

/* ---------------------------------------------------------------- life */

static enum err address_of(const struct config_endpoint *e, struct io_address *out)
{
	struct io_address a = { .peer_uid = UINT32_MAX, .peer_gid = UINT32_MAX };

	if (e->is_unix) {
		if (e->host.len == 0 || e->host.len >= sizeof(a.unix_path))
			return ERR_CONFIG;
		memcpy(a.unix_path, e->host.at, e->host.len);
	} else if (e->ip.family != IP_NONE) {
		a.ip = (struct ip_port){ e->ip, e->port };
	} else {
		return ERR_CONFIG;
	}
	*out = a;
	return ERR_OK;
}

static bool is_same(const struct io_address *a, const struct io_address *b)
{
	return ip_eq(a->ip.ip, b->ip.ip) && a->ip.port == b->ip.port &&
	       strcmp(a->unix_path, b->unix_path) == 0;
}

static void begin_anew(struct policy_service *s)
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

enum err policy_service_configure(struct policy_service *s, const struct policy_service_options *o)
{
	struct io_address address;
	struct buf name = BUF(256);
	enum err err = address_of(o->endpoint, &address);

	if (err)
		return err;
	buf_add(&name, text_head(o->endpoint->text, 256));
	if (buf_err(&name)) {
		buf_fini(&name);
		return ERR_NOMEM;
	}
	buf_fini(&s->name);
	s->name = name;
	s->timeout_ms = o->timeout_ms ? o->timeout_ms : DEFAULT_TIMEOUT_MS;
	s->accept_on_error = o->accept_on_error;
	s->max_connections = o->max_connections ? o->max_connections : DEFAULT_CONNECTIONS;
	s->max_waiting = o->max_waiting ? o->max_waiting : DEFAULT_WAITING;
	if (!is_same(&address, &s->address)) {
		s->address = address;
		begin_anew(s);
	}
	dispatch(s);
	return ERR_OK;
}

enum err policy_service_new(const struct policy_service_options *options, struct policy_service **out)
{
	AUTO(policy_service_free) struct policy_service *s = calloc(1, sizeof(*s));

	if (!s)
		return ERR_NOMEM;
	s->io = options->io;
	s->observe = options->observe;
	list_init(&s->lines);
	list_init(&s->waiting);
	list_init(&s->asked);
	random_init(&s->random, io_random_u64(s->io));
	enum err err = policy_service_configure(s, options);

	if (!err)
		*out = TAKE(s);
	return err;
}

static void forget_requests(struct list *requests)
{
	while (!list_is_empty(requests)) {
		struct policy_request *r = LIST_FIRST(requests, struct policy_request, link);

		unlink_request(r);
		free_request(r);
	}
}

void policy_service_free(struct policy_service **service)
{
	struct policy_service *s = *service;

	if (!s)
		return;
	*service = NULL;
	forget_requests(&s->waiting);
	forget_requests(&s->asked);
	while (!list_is_empty(&s->lines))
		drop_line(LIST_FIRST(&s->lines, struct policy_line, link));
	io_timer_stop(s->io, &s->retry);
	buf_fini(&s->name);
	free(s);
}

struct policy_service_counts policy_service_count(const struct policy_service *s)
{
	struct policy_service_counts counts = s->counts;

	counts.waiting = s->waiting_count;
	counts.is_down = s->is_down;
	return counts;
}
