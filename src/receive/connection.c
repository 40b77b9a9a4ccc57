/* One client: joins the session with its stream and with the queue. */
#include "server.h"

#include <postrider/observe/observe.h>
#include <postrider/route.h>

struct connection {
	struct list link; /* in receive->connections */
	struct receive *receive;
	struct listener *listener;
	struct client *client;
	struct tls_context *tls;  /* what EHLO offered; a reference, NULL: none */
	struct io_stream *stream; /* NULL once it is closed */
	struct receive_session session;
	struct queue_draft *draft;
	struct queue_ticket *ticket; /* a message that the queue decides on */
	struct io_timer deadline;
	int64_t active_at;     /* when the client last got something done */
	struct io_later flush; /* writes what the session says, after all that waits was offered to it */
	bool paused, closing, tls_wanted;
	bool behind; /* the client has said more than was taken */
};

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
	c->session.may_relay = route_may_relay(l->config, c->session.client);
}

static void on_draft_room(void *owner)
{
	resume_if_wanted(owner);
}

static enum err open_draft(void *owner, uint64_t declared_bytes)
{
	struct connection *c = owner;

	return queue_draft_open(c->receive->queue, declared_bytes, on_draft_room, c, &c->draft);
}

static enum err write_draft(void *owner, struct text bytes)
{
	struct connection *c = owner;

	return queue_draft_write(c->draft, bytes);
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
	queue_draft_abort(&c->draft);
	list_remove(&c->link);
	free(c);
	receive_check_stopped(r);
}

static void flush(void *owner);

static void flush_later(struct connection *c)
{
	io_later_run(c->receive->io, &c->flush, flush, c);
}

/* Whoever sent the message may be gone by now: it is ours all the same, and told of. */
static void on_decided(void *owner, const struct queue_decision *decision)
{
	struct connection *c = owner;
	struct receive *r = c->receive;

	c->ticket = NULL;
	c->active_at = io_now_at(r->io);
	if (!decision->err) {
		r->counts.messages++;
		r->counts.recipients += c->session.transaction->envelope->recipient_count;
		r->counts.bytes += c->session.transaction->envelope->content_bytes;
	}
	receive_session_decided(&c->session, decision);
	if (!c->stream) {
		connection_free(c);
		return;
	}
	if (r->stopping)
		receive_session_stop(&c->session);
	/* Commands that wait behind the dot are answered in the same write as the 250; where there are none it goes now, before
	 * the message's delivery begins. */
	if (!c->behind)
		flush(c);
	resume_if_wanted(c);
	if (c->behind)
		flush_later(c);
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

static void emit(void *owner, struct event *event)
{
	struct connection *c = owner;
	struct buf ip = BUF(IP_TEXT_MAX);

	if (event->kind == EVENT_REJECTED)
		c->receive->counts.rejections++;
	if (c->session.client.family != IP_NONE)
		ip_add(&ip, c->session.client);
	else
		buf_add_string(&ip, "unix");
	event->client_ip = buf_text(&ip);
	event->client_helo = text_from(c->session.helo);
	event->client_listener = c->session.listener->name;
	if (c->session.transaction)
		event->client_protocol = c->session.transaction->envelope->protocol;
	if (c->session.tls_running) {
		event->tls.version = text_from(tls_version_text(c->session.tls.version));
		event->tls.cipher = c->session.tls.cipher;
	}
	observe_emit(c->receive->observe, event);
	buf_fini(&ip);
}

static const struct receive_session_ops session_ops = {
	.renew = renew,
	.now_time = now_time,
	.make_id = make_id,
	.open_draft = open_draft,
	.write_draft = write_draft,
	.draft_is_busy = draft_is_busy,
	.abort_draft = abort_draft,
	.commit = commit,
	.start_tls = start_tls,
	.close = close_session,
	.emit = emit,
};

/* ---------------------------------------------------------------- the stream */

static void on_tls_done(void *owner, enum err err, const struct tls_info *info)
{
	struct connection *c = owner;

	c->active_at = io_now_at(c->receive->io);
	if (!err)
		observe_counters(c->receive->observe)->tls_sessions_in++;
	receive_session_tls_done(&c->session, err, info);
	resume_if_wanted(c);
	flush(c);
}

static void begin_tls(struct connection *c)
{
	c->tls_wanted = false;
	io_stream_discard_kept(c->stream);
	if (tls_start(c->stream, c->tls, TEXT_EMPTY, on_tls_done, c))
		io_stream_close(c->stream);
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
	if (c->closing)
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
	io_stream_resume(c->stream);
}

static bool goes_on(const struct connection *c)
{
	return !c->closing && !io_stream_is_closing(c->stream) && may_read(c);
}

/* What is said to a long row of commands leaves in between. */
static size_t on_data(void *owner, struct text bytes)
{
	struct connection *c = owner;
	size_t taken = 0, more;

	do {
		more = receive_session_feed(&c->session, text_skip(bytes, taken));
		taken += more;
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
	/* a command that comes letter by letter is not there before it is whole */
	if (taken)
		c->active_at = io_now_at(c->receive->io);
	c->behind = taken < bytes.len;
	if (!c->closing && !io_stream_is_closing(c->stream) && !may_read(c)) {
		c->paused = true;
		io_stream_pause(c->stream);
	}
	return taken;
}

/* A client that closes its half may still be owed an answer: the 250 to its last dot. */
static void on_eof(void *owner)
{
	struct connection *c = owner;

	c->closing = true;
	if (!c->ticket)
		flush(c);
}

static void on_drained(void *owner)
{
	resume_if_wanted(owner);
}

static void on_closed(void *owner, enum err why)
{
	struct connection *c = owner;
	struct receive *r = c->receive;

	(void)why;
	c->stream = NULL;
	io_timer_stop(r->io, &c->deadline);
	io_later_cancel(r->io, &c->flush);
	receive_client_drop(r, c->client);
	c->listener->sessions--;
	receive_listener_unref(c->listener);
	tls_context_unref(&c->tls);
	r->counts.sessions--;
	observe_counters(r->observe)->smtp_sessions = r->counts.sessions;
	if (!c->ticket)
		connection_free(c);
}

static const struct io_stream_events stream_events = {
	.on_data = on_data,
	.on_eof = on_eof,
	.on_drained = on_drained,
	.on_closed = on_closed,
};

/* ---------------------------------------------------------------- time */

/* Runs once in a while rather than being moved at every octet: what it finds is how long nothing came. */
static void on_deadline(void *owner)
{
	struct connection *c = owner;
	struct io *io = c->receive->io;
	int64_t limit_at = c->active_at + c->session.listener->timeout_ms;

	if (c->ticket)
		limit_at = io_now_at(io) + SECOND_MS; /* it is the disk that we wait for */
	if (limit_at > io_now_at(io)) {
		if (io_timer_start(io, &c->deadline, limit_at, on_deadline, c))
			io_stream_close(c->stream);
		return;
	}
	if (c->session.phase == PHASE_TLS) {
		io_stream_close(c->stream);
		return;
	}
	receive_session_timed_out(&c->session);
	flush(c);
}

/* ---------------------------------------------------------------- coming and going */

static void refuse(struct io_stream *stream, const struct config *config, const char *words)
{
	struct buf b = BUF(1024);
	struct text reply;

	buf_add_format(&b, "421 4.7.0 %.*s %s\r\n", TEXT_ARGS(config->hostname), words);
	reply = buf_text(&b);
	if (!buf_err(&b))
		io_stream_write(stream, &reply, 1);
	io_stream_finish(stream);
	buf_fini(&b);
}

static void on_refused_closed(void *owner, enum err why)
{
	(void)owner;
	(void)why;
}

static size_t on_refused_data(void *owner, struct text bytes)
{
	(void)owner;
	return bytes.len;
}

static void on_refused_eof(void *owner)
{
	(void)owner;
}

/* Told 421 and closed: nothing of ours hangs on it. */
static const struct io_stream_events refused_events = {
	.on_data = on_refused_data,
	.on_eof = on_refused_eof,
	.on_closed = on_refused_closed,
};

static const char *why_not(const struct listener *l, const struct client *client)
{
	const struct receive *r = l->receive;

	if (r->stopping)
		return "is stopping, come back soon";
	if (r->counts.sessions >= r->options.max_sessions || l->sessions >= l->config->max_sessions)
		return "has too many sessions, come back later";
	if (client->ip.family != IP_NONE && l->config->per_client.sessions &&
	    client->sessions > l->config->per_client.sessions)
		return "has too many sessions from you, come back later";
	return NULL;
}

void receive_connection_accept(void *owner, struct io_stream *stream)
{
	struct listener *l = owner;
	struct receive *r = l->receive;
	const struct io_address *peer = io_stream_peer(stream);
	struct connection *c = calloc(1, sizeof(*c));
	struct client *client = receive_client_get(r, peer->ip.ip);
	const char *no = !c || !client ? "is out of memory, come back later" : why_not(l, client);

	r->counts.connections++;
	observe_counters(r->observe)->smtp_connections++;
	if (!no &&
	    io_timer_start(r->io, &c->deadline, io_now_at(r->io) + l->config->timeout_ms, on_deadline, c))
		no = "is out of memory, come back later";
	if (no) {
		r->counts.refused_connections++;
		observe_counters(r->observe)->smtp_connections_refused++;
		receive_client_drop(r, client);
		free(c);
		io_stream_attach(stream, &refused_events, NULL);
		refuse(stream, r->config, no);
		return;
	}
	c->receive = r;
	c->listener = l;
	c->client = client;
	c->stream = stream;
	c->tls = l->tls ? tls_context_ref(l->tls) : NULL;
	c->active_at = io_now_at(r->io);
	l->references++;
	l->sessions++;
	r->counts.sessions++;
	observe_counters(r->observe)->smtp_sessions = r->counts.sessions;
	list_append(&r->connections, &c->link);
	io_stream_attach(stream, &stream_events, c);
	receive_session_init(&c->session, &session_ops, c, r->config, l->config, peer->ip.ip, peer->ip.port,
	                     l->tls != NULL);
	c->session.may_relay = route_may_relay(l->config, peer->ip.ip);
	flush(c);
}

bool receive_connection_stop_if_idle(struct list *link)
{
	struct connection *c = LIST_ITEM(link, struct connection, link);

	if (!receive_session_stop(&c->session))
		return false;
	flush(c);
	return true;
}

/* One whose message the queue decides on still hears how that ended. */
void receive_connection_end(struct list *link)
{
	struct connection *c = LIST_ITEM(link, struct connection, link);

	if (c->ticket || !c->stream)
		return;
	receive_session_end(&c->session);
	flush(c);
}

void receive_connection_close(struct list *link)
{
	struct connection *c = LIST_ITEM(link, struct connection, link);

	if (c->stream)
		io_stream_close(c->stream);
}
