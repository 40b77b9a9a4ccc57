/* One client: joins the session with its stream and with the queue. */
#include "connection.h"

#include <postrider/base/time.h>
#include <postrider/observe/observe.h>
#include <postrider/route.h>

/* A client that takes longer than this for a handshake does not mean it. */
#define HANDSHAKE_MS (30 * SECOND_MS)
/* Mail data slower than this is cut off when the session's time is used up: a client may stay below it for that long in all. */
#define LEAST_OCTETS_PER_S 100

/* ---------------------------------------------------------------- what the session asks for */

static int64_t now_time(void *owner)
{
	struct connection *c = owner;

	return io_now_time(c->receive->io);
}

static struct id make_id(void *owner)
{
	struct connection *c = owner;

	return id_next(&c->receive->ids, io_now_time(c->receive->io));
}

static void resume_if_wanted(struct connection *c);

/* A reload reaches sessions between two transactions. One whose listener is gone goes on as it was. */
static void renew(void *owner)
{
	struct connection *c = owner;
	struct listener *l = c->listener;

	if (c->session.config == c->receive->config || !l->io)
		return;
	config_unref(&c->session.config);
	c->session.config = config_ref(c->receive->config);
	c->session.listener = l->config;
	receive_session_renew_rights(&c->session);
}

static void on_draft_room(void *owner)
{
	resume_if_wanted(owner);
}

static enum err open_draft(void *owner, uint64_t declared_bytes)
{
	struct connection *c = owner;
	bool through = c->session.listener->hand_over != CONFIG_STORE;

	return (through ? queue_draft_open_through : queue_draft_open)(c->receive->queue, declared_bytes, on_draft_room,
	                                                               c, &c->draft);
}

static enum err write_draft(void *owner, struct text bytes)
{
	struct connection *c = owner;

	return queue_draft_write(c->draft, bytes);
}

static bool has_room(void *owner, uint64_t bytes)
{
	struct connection *c = owner;

	return queue_has_room(c->receive->queue, bytes);
}

static bool draft_is_busy(void *owner)
{
	struct connection *c = owner;

	return c->draft && queue_draft_is_busy(c->draft);
}

static void abort_draft(void *owner)
{
	struct connection *c = owner;

	queue_draft_abort(&c->draft);
}

static void connection_free(struct connection *c)
{
	struct receive *r = c->receive;

	receive_session_fini(&c->session);
	config_unref(&c->config);
	queue_draft_abort(&c->draft);
	list_remove(&c->link);
	free(c->more);
	free(c);
	receive_check_stopped(r);
}

static void flush(void *owner);

static void flush_later(struct connection *c)
{
	io_later_run(c->receive->io, &c->flush, flush, c);
}

/* Something that the client had to wait for has come: it has all its time again. */
static void renew_limit(struct connection *c)
{
	c->limit_at = io_now_at(c->receive->io) + c->session.listener->timeout_ms;
	c->commands = c->session.commands;
}

/* Commands that wait behind an answer are answered in the same write; where there are none it goes now. */
void connection_go_on(struct connection *c)
{
	renew_limit(c);
	if (c->receive->stopping)
		receive_session_stop(&c->session);
	if (!c->behind)
		flush(c);
	resume_if_wanted(c);
	if (c->behind)
		flush_later(c);
}

/* Whoever sent the message may be gone by now: it is ours all the same, and told of. */
static void on_decided(void *owner, const struct queue_decision *decision)
{
	struct connection *c = owner;
	struct receive *r = c->receive;

	c->ticket = NULL;
	if (decision->outcomes ? receive_hand_over_end(decision) != HAND_OVER_REFUSED : !decision->err) {
		r->counts.messages++;
		r->counts.recipients += c->session.transaction->envelope->recipient_count;
		r->counts.bytes += c->session.transaction->envelope->content_bytes;
	}
	receive_session_decided(&c->session, decision);
	if (!c->stream)
		connection_free(c);
	else
		connection_go_on(c); /* the 250 leaves before the message's delivery begins */
}

static void commit(void *owner, const struct queue_submission *submission)
{
	struct connection *c = owner;

	c->ticket = queue_accept(c->receive->queue, &c->draft, submission, on_decided, c);
}

static void start_tls(void *owner)
{
	struct connection *c = owner;

	c->tls_wanted = true; /* after the 220 was written: flush() */
}

static void close_session(void *owner)
{
	struct connection *c = owner;

	c->closing = true;
}

/* ---------------------------------------------------------------- rests */

static void on_rested(void *owner)
{
	struct connection *c = owner;

	receive_session_rested(&c->session);
	connection_go_on(c);
}

static void rest(void *owner, int64_t ms)
{
	struct connection *c = owner;
	struct connection_more *more = connection_more(c);
	struct io *io = c->receive->io;

	if (!more || io_timer_start(io, &more->rest, io_now_at(io) + ms, on_rested, c))
		receive_session_rested(&c->session);
}

struct connection_more *connection_more(struct connection *c)
{
	if (!c->more)
		c->more = calloc(1, sizeof(*c->more));
	return c->more;
}

static const struct receive_session_ops session_ops = {
	.renew = renew,
	.now_time = now_time,
	.make_id = make_id,
	.has_room = has_room,
	.open_draft = open_draft,
	.write_draft = write_draft,
	.draft_is_busy = draft_is_busy,
	.abort_draft = abort_draft,
	.commit = commit,
	.start_tls = start_tls,
	.close = close_session,
	.emit = asks_emit,
	.take = asks_take,
	.give_back = asks_give_back,
	.rest = rest,
	.auth_offered = asks_auth_offered,
	.auth_begin = asks_auth_begin,
	.auth_answer = asks_auth_answer,
	.auth_cancel = asks_auth_cancel,
	.auth_find = asks_auth_find,
	.ask_policy = asks_policy,
	.client_changed = asks_client_changed,
};

/* ---------------------------------------------------------------- the stream */

static void on_tls_done(void *owner, enum err err, const struct tls_info *info)
{
	struct connection *c = owner;

	renew_limit(c);
	observe_counters(c->receive->observe)->tls_sessions_in += !err;
	observe_counters(c->receive->observe)->tls_failures_in += err != ERR_OK;
	observe_counters(c->receive->observe)->tls_resumed_in += !err && info->resumed;
	if (err)
		door_say_refused(c, STAGE_STARTTLS, REASON_TLS, NULL, info->problem);
	receive_session_tls_done(&c->session, err, info);
	resume_if_wanted(c);
	flush(c);
}

static void begin_tls(struct connection *c)
{
	c->tls_wanted = false;
	io_stream_discard_kept(c->stream);
	connection_set_limit(c,
	                     io_now_at(c->receive->io) + MIN(HANDSHAKE_MS, c->session.listener->timeout_ms));
	if (tls_start(c->stream, c->tls, TEXT_EMPTY, on_tls_done, c))
		io_stream_close(c->stream);
}

/* Somebody else's word is waited for before the client can be answered. */
static bool owes_answer(const struct connection *c)
{
	const struct receive_session *s = &c->session;

	return c->ticket || s->phase == PHASE_ASK || (s->phase == PHASE_AUTH && s->auth_thinks);
}

static void flush(void *owner)
{
	struct connection *c = owner;
	struct text out = buf_text(&c->session.out);

	if (!c->stream || io_stream_is_closing(c->stream))
		return;
	io_later_cancel(c->receive->io, &c->flush);
	if (out.len)
		io_stream_write(c->stream, &out, 1);
	buf_fini(&c->session.out); /* an idle session keeps no buffer */
	if (c->closing && !owes_answer(c))
		io_stream_finish(c->stream);
	else if (c->tls_wanted)
		begin_tls(c);
}

/* While the client does not read our answers, its commands wait. */
#define UNSENT_MAX (64u << 10)

static bool may_read(const struct connection *c)
{
	return receive_session_wants_input(&c->session) && io_stream_unsent(c->stream) < UNSENT_MAX;
}

static void resume_if_wanted(struct connection *c)
{
	if (!c->paused || !c->stream || io_stream_is_closing(c->stream) || !may_read(c))
		return;
	c->paused = false;
	/* what we were busy with is not the client's fault */
	c->limit_at =
		MAX(c->limit_at, io_now_at(c->receive->io) + MIN(MINUTE_MS, c->session.listener->timeout_ms));
	io_stream_resume(c->stream);
}

static bool goes_on(const struct connection *c)
{
	return !c->closing && !io_stream_is_closing(c->stream) && may_read(c);
}

/* A command gives the client all its time again. Mail data gives time by its octets: who sends one a minute is not waited for
 * longer than for who sends none, and who is merely slow gets as long as it takes. A command that comes letter by letter is not
 * there before it is whole. */
static void count_progress(struct connection *c, bool in_data, size_t taken)
{
	int64_t full_at = io_now_at(c->receive->io) + c->session.listener->timeout_ms;

	if (c->commands != c->session.commands) {
		c->commands = c->session.commands;
		c->limit_at = full_at;
	} else if (in_data) {
		c->limit_at = MIN(full_at, c->limit_at + (int64_t)(taken * SECOND_MS / LEAST_OCTETS_PER_S));
	}
}

/* The stream offers memory of its own: what was taken of it nobody reads again. */
static void wipe_secret(struct connection *c, struct text taken)
{
	if (c->session.heard_secret && taken.len)
		explicit_bzero((void *)(uintptr_t)taken.at, taken.len);
	c->session.heard_secret = false;
}

/* What is said to a long row of commands leaves in between. */
size_t connection_talk(struct connection *c, struct text bytes)
{
	size_t taken = 0, more;

	do {
		bool in_data = receive_session_is_in_data(&c->session);

		more = receive_session_feed(&c->session, text_skip(bytes, taken));
		wipe_secret(c, text_head(text_skip(bytes, taken), more));
		taken += more;
		if (more)
			count_progress(c, in_data, more);
		if (c->session.phase == PHASE_TLS) {
			/* What came in the same segment behind STARTTLS was not protected: forgotten
			 * (RFC 3207 section 6). */
			flush(c);
			return bytes.len;
		}
		if (c->receive->stopping)
			receive_session_stop(&c->session);
		flush(c);
	} while (more && taken < bytes.len && goes_on(c));
	c->behind = taken < bytes.len;
	if (!c->closing && !io_stream_is_closing(c->stream) && !may_read(c)) {
		c->paused = true;
		io_stream_pause(c->stream);
	}
	return taken;
}

static size_t on_data(void *owner, struct text bytes)
{
	struct connection *c = owner;

	return c->door == DOOR_OPEN ? connection_talk(c, bytes) : door_take(c, bytes);
}

/* A client that closes its half may still be owed an answer: the 250 to its last dot. */
static void on_eof(void *owner)
{
	struct connection *c = owner;

	if (c->door != DOOR_OPEN) {
		io_stream_close(c->stream);
		return;
	}
	c->closing = true;
	if (!owes_answer(c))
		flush(c);
}

static void on_drained(void *owner)
{
	struct connection *c = owner;

	if (c->door == DOOR_OPEN)
		resume_if_wanted(c);
}

static void forget_more(struct connection *c)
{
	if (!c->more)
		return;
	auth_cancel(&c->more->auth);
	policy_service_cancel(&c->more->policy);
	io_timer_stop(c->receive->io, &c->more->rest);
}

static void on_closed(void *owner, enum err why)
{
	struct connection *c = owner;
	struct receive *r = c->receive;

	(void)why;
	c->stream = NULL;
	io_timer_stop(r->io, &c->deadline);
	io_later_cancel(r->io, &c->flush);
	forget_more(c);
	clients_leave(c->client);
	c->listener->sessions--;
	receive_listener_unref(c->listener);
	tls_context_unref(&c->tls);
	r->counts.sessions--;
	observe_counters(r->observe)->smtp_sessions = r->counts.sessions;
	if (!c->ticket)
		connection_free(c);
}

const struct io_stream_events connection_stream_events = {
	.on_data = on_data,
	.on_eof = on_eof,
	.on_drained = on_drained,
	.on_closed = on_closed,
};

/* ---------------------------------------------------------------- time */

/* It is not the client that is waited for. */
static bool waits_for_us(const struct connection *c)
{
	return owes_answer(c) || c->session.rests || (c->draft && queue_draft_is_busy(c->draft));
}

/* Runs once in a while rather than being moved at every octet: what it finds is how long the client has. */
static void on_deadline(void *owner)
{
	struct connection *c = owner;
	struct io *io = c->receive->io;

	if (c->door == DOOR_OPEN && waits_for_us(c))
		c->limit_at = MAX(c->limit_at, io_now_at(io) + SECOND_MS);
	if (c->limit_at > io_now_at(io)) {
		connection_set_limit(c, c->limit_at);
	} else if (c->door != DOOR_OPEN) {
		door_timed_out(c);
	} else if (c->session.phase == PHASE_TLS) {
		door_say_refused(c, STAGE_STARTTLS, REASON_TIMEOUT, NULL,
		                 TEXT("the handshake took too long"));
		io_stream_close(c->stream);
	} else {
		receive_session_timed_out(&c->session);
		flush(c);
	}
}

void connection_set_limit(struct connection *c, int64_t at_ms)
{
	c->limit_at = at_ms;
	if (io_timer_start(c->receive->io, &c->deadline, at_ms, on_deadline, c))
		io_stream_close(c->stream);
}

/* ---------------------------------------------------------------- coming and going */

void connection_flush(struct connection *c)
{
	flush(c);
}

void connection_open_session(struct connection *c, struct ip_port client, const struct tls_info *info)
{
	bool implicit = c->settings->tls == CONFIG_TLS_IMPLICIT;

	c->door = DOOR_OPEN;
	receive_session_init(&c->session, &session_ops, c, c->config, c->settings, client.ip, client.port,
	                     c->tls && !implicit);
	config_unref(&c->config);
	c->session.is_named = c->more && c->more->via.ip.family != IP_NONE;
	receive_session_renew_rights(&c->session);
	connection_set_limit(c, io_now_at(c->receive->io) + c->session.listener->timeout_ms);
	if (info)
		receive_session_protected(&c->session, info);
	flush(c);
}

bool receive_connection_stop_if_idle(struct list *link)
{
	struct connection *c = LIST_ITEM(link, struct connection, link);

	if (!c->stream)
		return false;
	if (c->door != DOOR_OPEN || c->session.phase == PHASE_TLS) {
		io_stream_close(
			c->stream); /* nothing can be said inside a handshake, and nobody knows how long it takes */
		return true;
	}
	if (!receive_session_stop(&c->session))
		return false;
	flush(c);
	return true;
}

/* One whose message the queue decides on still hears how that ended; the next hop's answer it waits for no longer. */
void receive_connection_end(struct list *link)
{
	struct connection *c = LIST_ITEM(link, struct connection, link);

	if (c->ticket)
		queue_accept_hurry(c->ticket);
	if (c->ticket || !c->stream)
		return;
	if (c->door != DOOR_OPEN) {
		io_stream_close(c->stream);
		return;
	}
	receive_session_end(&c->session);
	flush(c);
}

void receive_connection_close(struct list *link)
{
	struct connection *c = LIST_ITEM(link, struct connection, link);

	if (c->ticket)
		queue_accept_hurry(c->ticket);
	if (c->stream)
		io_stream_close(c->stream);
}
