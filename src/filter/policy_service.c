#include "policy_internal.h"

#include <stdlib.h>

#define DEFAULT_TIMEOUT_MS (5 * SECOND_MS)
#define DEFAULT_CONNECTIONS 20
#define DEFAULT_WAITING 10000

/* ---------------------------------------------------------------- the end of a request */

void policy_request_wait(struct policy_request *r, bool in_front)
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

void policy_request_take(struct policy_request *r)
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

	policy_request_take(r);
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

void policy_request_answer(struct policy_request *r, struct policy_answer *answer, enum err err)
{
	struct policy_answer instead;

	if (!err) {
		finish(r, answer);
		return;
	}
	instead = answer_on_error(r->service, err == ERR_NOMEM ? TEXT("memory ran out") : answer->problem);
	policy_complain(r->service, instead.problem);
	finish(r, &instead);
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

void policy_request_fail(struct policy_request *r, const char *problem)
{
	policy_request_take(r);
	r->line = NULL;
	r->problem = problem;
	io_later_run(r->service->io, &r->later, on_fail_later, r);
}

/* ---------------------------------------------------------------- asking */

static void on_deadline(void *owner)
{
	struct policy_request *r = owner;
	static const char problem[] = "did not answer in time";

	if (!r->line) {
		finish_failed(r, problem);
		return;
	}
	struct policy_line *l = r->line;

	l->request = NULL;
	policy_request_fail(r, problem);
	policy_line_is_late(l, problem);
}

static bool is_no_use(const struct policy_service *s, const char **problem)
{
	if (s->is_down && policy_lines_pausing(s))
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
		policy_request_fail(r, problem);
		return ERR_OK;
	}
	policy_request_wait(r, false);
	policy_lines_dispatch(s);
	return ERR_OK;
}

void policy_service_cancel(struct policy_request **slot)
{
	struct policy_request *r = *slot;

	if (!r)
		return;
	if (r->line)
		policy_line_owes(r->line);
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
		policy_lines_retire(s);
	}
	policy_lines_dispatch(s);
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
	policy_lines_drop(s);
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
