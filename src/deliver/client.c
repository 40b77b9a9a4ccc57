#include "client.h"

#include <assert.h>

#include <postrider/io/lane.h>
#include <postrider/tls.h>

#define BINDING_MAX 64

struct client;

/* What a login has to work out, in the CPU lane. */
struct derive_job {
	struct io_job job;
	struct client *client; /* NULL: it is gone */
	struct auth_client_derivation what;
};

struct client {
	struct io *io;
	struct io_stream *stream; /* NULL once it has closed */
	struct session session;
	struct tls_context *tls;
	struct text server_name;
	struct ip_port remote;
	int64_t connect_ms; /* how long connecting may take */
	struct io_timer timer;
	int64_t deadline_at; /* 0: none. The timer may run earlier, and looks again then */
	struct io_later later;
	int64_t opened_at, tls_at, auth_at, up_at; /* 0: not yet */
	struct event_tls tls_reached;
	enum tls_fault tls_fault;
	struct tls_expectation expect; /* points into expect_memory */
	void *expect_memory;
	struct buf binding;
	char nonce[AUTH_CLIENT_NONCE_OCTETS];
	struct derive_job *derives; /* NULL: nothing is worked out */
	bool shows_login, is_unix;
	bool connected;
	const struct client_events *events; /* NULL: forgotten */
	void *owner;
};

/* ---------------------------------------------------------------- time */

static void arm(struct client *c);

static void on_timer(void *owner)
{
	struct client *c = owner;

	if (!c->deadline_at)
		return;
	if (c->deadline_at > io_now_at(c->io)) {
		arm(c);
		return;
	}
	c->deadline_at = 0;
	session_deadline(&c->session);
}

/* A deadline moves with every reply, so the timer stays where it is while it runs out early enough.
 * Without memory for it the connection is given up: a peer that falls silent would hold it for good. */
static void arm(struct client *c)
{
	if (!c->deadline_at || (io_timer_runs(&c->timer) && c->timer.due.key <= c->deadline_at))
		return;
	if (io_timer_start(c->io, &c->timer, c->deadline_at, on_timer, c) && c->stream)
		io_stream_close(c->stream);
}

/* ---------------------------------------------------------------- what the session does */

static void on_send(void *owner, const struct text *pieces, size_t count)
{
	struct client *c = owner;

	if (c->stream)
		io_stream_write(c->stream, pieces, count);
}

static size_t unsent(void *owner)
{
	struct client *c = owner;

	return c->stream ? io_stream_unsent(c->stream) : 0;
}

static int64_t now_at(void *owner)
{
	return io_now_at(((struct client *)owner)->io);
}

static int64_t now_time(void *owner)
{
	return io_now_time(((struct client *)owner)->io);
}

static void on_deadline(void *owner, int64_t wait_ms)
{
	struct client *c = owner;

	c->deadline_at = wait_ms ? io_now_at(c->io) + wait_ms : 0;
	arm(c);
}

static enum event_proof proof_of(enum tls_by by)
{
	switch (by) {
	case TLS_BY_CA:
		return EVENT_PROOF_CA;
	case TLS_BY_PIN:
		return EVENT_PROOF_PIN;
	case TLS_BY_DANE:
		return EVENT_PROOF_DANE;
	case TLS_BY_NOBODY:
		break;
	}
	return EVENT_PROOF_NONE;
}

static void on_tls_done(void *owner, enum err err, const struct tls_info *info)
{
	struct client *c = owner;

	c->tls_fault = info->fault;
	if (!err)
		c->tls_reached = (struct event_tls){ text_from(tls_version_text(info->version)), info->cipher,
			                             info->verified, proof_of(info->by) };
	session_tls_done(&c->session, err, info->problem);
}

static void on_start_tls(void *owner)
{
	struct client *c = owner;
	enum err err = ERR_UNSUPPORTED;

	c->tls_at = io_now_at(c->io);
	if (c->tls)
		err = tls_start_expecting(c->stream, c->tls, c->server_name, &c->expect, on_tls_done, c);
	if (err)
		session_tls_done(&c->session, err, text_from(err_text(err)));
}

/* ---------------------------------------------------------------- what a login needs */

static void on_facts(void *owner, struct session_facts *out)
{
	struct client *c = owner;
	uint64_t word;

	if (!c->binding.len && c->tls_reached.version.len &&
	    tls_channel_binding(c->stream, TLS_BINDING_EXPORTER, &c->binding))
		buf_reset(&c->binding);
	for (size_t at = 0; at < sizeof(c->nonce); at += sizeof(word)) {
		word = io_random_u64(c->io);
		memcpy(c->nonce + at, &word, MIN(sizeof(word), sizeof(c->nonce) - at));
	}
	out->may_be_shown = c->tls_reached.verified || c->shows_login || c->is_unix || ip_is_loopback(c->remote.ip);
	out->binding = buf_text(&c->binding);
	out->nonce = text_of(c->nonce, sizeof(c->nonce));
}

static void on_ask_login(void *owner, bool needs_token)
{
	struct client *c = owner;

	if (!c->auth_at)
		c->auth_at = io_now_at(c->io);
	c->events->ask_login(c->owner, needs_token);
}

static void run_derive(struct io_job *job)
{
	auth_client_derive(&CONTAINER_OF(job, struct derive_job, job)->what);
}

static void on_derived(struct io_job *job)
{
	struct derive_job *d = CONTAINER_OF(job, struct derive_job, job);

	if (d->client) {
		d->client->derives = NULL;
		session_derived(&d->client->session, &d->what);
	}
	auth_client_derivation_fini(&d->what);
	free(d);
}

static void on_derive(void *owner, const struct auth_client_derivation *what)
{
	struct client *c = owner;
	struct derive_job *d = calloc(1, sizeof(*d));

	if (d)
		auth_client_derivation_copy(&d->what, what);
	if (!d || buf_err(&d->what.password) || buf_err(&d->what.salt)) {
		if (d)
			auth_client_derivation_fini(&d->what);
		free(d);
		io_stream_close(c->stream); /* without memory: as if it had been cut */
		return;
	}
	d->client = c;
	c->derives = d;
	d->job.run = run_derive;
	d->job.done = on_derived;
	io_job_submit(c->io, IO_LANE_CPU, &d->job);
}

/* ---------------------------------------------------------------- and what it says */

static void on_later(void *owner)
{
	session_later(&((struct client *)owner)->session);
}

static void later(void *owner)
{
	struct client *c = owner;

	io_later_run(c->io, &c->later, on_later, c);
}

static void on_up(void *owner)
{
	struct client *c = owner;

	c->up_at = io_now_at(c->io);
	c->events->up(c->owner);
}

static void on_ready(void *owner)
{
	struct client *c = owner;

	c->events->ready(c->owner);
}

void client_describe(const struct client *c, struct deliver_result *r)
{
	r->remote = c->remote;
	if (c->connected && c->stream)
		r->local = io_stream_local(c->stream)->ip;
	r->tls = c->tls_reached;
	if (c->auth_at && c->session.o.login) {
		r->login_user = c->session.o.login->login->shown_name;
		r->mechanism = text_from(auth_client_name(c->session.o.login->used));
	}
}

static void on_result(void *owner, struct deliver_job *job, size_t index, struct deliver_result *r)
{
	struct client *c = owner;

	client_describe(c, r);
	c->events->result(c->owner, job, index, r);
}

static void on_done(void *owner, struct deliver_job *job)
{
	struct client *c = owner;

	c->events->done(c->owner, job);
}

static void on_failed(void *owner, enum session_fault fault, struct deliver_result *r)
{
	struct client *c = owner;

	client_describe(c, r);
	if (c->events)
		c->events->failed(c->owner, fault, r);
}

static void on_learned(void *owner, enum session_lesson lesson)
{
	struct client *c = owner;

	c->events->learned(c->owner, lesson);
}

static void on_gate(void *owner, struct deliver_job *job)
{
	struct client *c = owner;

	c->events->gate(c->owner, job);
}

static void on_close(void *owner, bool finish)
{
	struct client *c = owner;

	c->deadline_at = 0;
	io_timer_stop(c->io, &c->timer);
	io_later_cancel(c->io, &c->later);
	if (!c->stream)
		return;
	if (finish)
		io_stream_finish(c->stream);
	else
		io_stream_close(c->stream);
}

static const struct session_output session_output = {
	.send = on_send,
	.unsent = unsent,
	.now_at = now_at,
	.now_time = now_time,
	.deadline = on_deadline,
	.start_tls = on_start_tls,
	.facts = on_facts,
	.ask_login = on_ask_login,
	.derive = on_derive,
	.later = later,
	.up = on_up,
	.ready = on_ready,
	.result = on_result,
	.done = on_done,
	.failed = on_failed,
	.learned = on_learned,
	.gate = on_gate,
	.close = on_close,
};

/* ---------------------------------------------------------------- what the stream says */

static void on_connected(void *owner)
{
	struct client *c = owner;

	c->connected = true;
	io_timer_stop(c->io, &c->timer);
	session_connected(&c->session);
}

static size_t on_data(void *owner, struct text bytes)
{
	return session_data(&((struct client *)owner)->session, bytes);
}

static void on_eof(void *owner)
{
	session_closed(&((struct client *)owner)->session, ERR_CLOSED);
}

static void on_drained(void *owner)
{
	session_drained(&((struct client *)owner)->session);
}

static void release(struct client *c)
{
	if (c->derives)
		c->derives->client = NULL;
	session_fini(&c->session);
	tls_context_unref(&c->tls);
	buf_fini(&c->binding);
	free(c->expect_memory);
	free(c);
}

static void on_closed(void *owner, enum err why)
{
	struct client *c = owner;
	const struct client_events *events;

	session_closed(&c->session, why);
	c->stream = NULL;
	io_timer_stop(c->io, &c->timer);
	io_later_cancel(c->io, &c->later);
	events = c->events;
	owner = c->owner;
	release(c);
	if (events)
		events->closed(owner);
}

static const struct io_stream_events stream_events = { on_connected, on_data, on_eof, on_drained, on_closed };

static void on_connect_timeout(void *owner)
{
	struct client *c = owner;

	session_closed(&c->session, ERR_TIMEOUT);
}

/* ---------------------------------------------------------------- the face */

enum err client_open(const struct client_options *options, struct client **out)
{
	struct client *c = calloc(1, sizeof(*c));
	struct session_options session = options->session;
	struct io_address to = { .ip = options->to };
	enum err err;

	if (!c)
		return ERR_NOMEM;
	if (options->unix_path.len) {
		/* not longer than the room: the configuration saw to it */
		to.ip = (struct ip_port){ .port = 0 };
		memcpy(to.unix_path, options->unix_path.at, MIN(options->unix_path.len, sizeof(to.unix_path) - 1));
	}
	session.out = &session_output;
	session.owner = c;
	c->io = options->io;
	c->remote = options->to;
	c->server_name = options->server_name;
	c->events = options->events;
	c->owner = options->owner;
	c->opened_at = io_now_at(c->io);
	c->shows_login = options->shows_login;
	c->is_unix = options->unix_path.len > 0;
	buf_init(&c->binding, BINDING_MAX);
	session_init(&c->session, &session);
	err = tls_expectation_copy(options->expect, &c->expect, &c->expect_memory);
	if (!err)
		err = io_timer_start(c->io, &c->timer, c->opened_at + session.timeouts->connect_ms,
		                     on_connect_timeout, c);
	if (!err)
		err = io_connect(c->io, &to, options->source.family == IP_NONE ? NULL : &options->source,
		                 &stream_events, c, &c->stream);
	if (err) {
		io_timer_stop(c->io, &c->timer);
		release(c);
		return err;
	}
	c->tls = options->tls ? tls_context_ref(options->tls) : NULL;
	*out = c;
	return ERR_OK;
}

struct session *client_session(struct client *c)
{
	return &c->session;
}

void client_forget(struct client *c)
{
	assert(c->session.phase == SESSION_CLOSED);
	c->events = NULL;
}

void client_abort(struct client *c)
{
	session_abort(&c->session);
}

int32_t client_connect_ms(const struct client *c)
{
	int64_t until = c->tls_at    ? c->tls_at
	                : c->auth_at ? c->auth_at
	                : c->up_at   ? c->up_at
	                             : io_now_at(c->io);

	return (int32_t)(until - c->opened_at);
}

const struct event_tls *client_tls(const struct client *c)
{
	return &c->tls_reached;
}

enum tls_fault client_tls_fault(const struct client *c)
{
	return c->tls_fault;
}

struct ip client_local_ip(const struct client *c)
{
	return c->connected && c->stream ? io_stream_local(c->stream)->ip.ip : (struct ip){ .family = IP_NONE };
}

int32_t client_tls_ms(const struct client *c)
{
	if (!c->tls_at)
		return -1;
	return (int32_t)((c->auth_at ? c->auth_at : c->up_at ? c->up_at : io_now_at(c->io)) - c->tls_at);
}

int32_t client_auth_ms(const struct client *c)
{
	if (!c->auth_at)
		return -1;
	return (int32_t)((c->up_at ? c->up_at : io_now_at(c->io)) - c->auth_at);
}
