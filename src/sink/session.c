/* The stream of a session: what comes in goes to its phase, and replies go out. */
#include "session.h"

#include <stdlib.h>

#include <postrider/smtp/command.h>

#define UNSENT_BYTES (256 * 1024) /* of replies that the peer does not take: then we do not read from it */

/* ---------------------------------------------------------------- replies */

void sink_session_say(struct session *s, struct reply reply)
{
	if (!(s->sink->o.keywords & EHLO_ENHANCEDSTATUSCODES) || s->sink->o.no_ehlo)
		reply.enhanced[0] = '\0';
	reply_add(&s->sink->out, &reply);
}

static void write_replies(struct session *s, struct text replies)
{
	io_stream_write(s->stream, &replies, 1);
	if (!s->is_blocked && io_stream_unsent(s->stream) > UNSENT_BYTES) {
		s->is_blocked = true;
		io_stream_pause(s->stream);
	}
}

void sink_session_flush(struct session *s)
{
	struct buf *out = &s->sink->out;

	if (buf_err(out))
		io_stream_close(s->stream); /* a reply is missing: nobody would know which */
	else if (out->len > 0)
		write_replies(s, buf_text(out));
	buf_reset(out);
}

void sink_session_go_on(struct session *s)
{
	sink_session_flush(s);
	if (!s->is_blocked)
		io_stream_resume(s->stream);
}

void sink_session_close(struct session *s)
{
	s->phase = PHASE_DEAF;
	sink_session_flush(s);
	io_stream_finish(s->stream);
}

/* ---------------------------------------------------------------- what comes */

/* False: the rest has to wait. */
static bool take(struct session *s, struct text *input)
{
	switch (s->phase) {
	case PHASE_DATA:
		sink_content_take(s, input);
		return true;
	case PHASE_CHUNK:
		sink_content_take_chunk(s, input);
		return true;
	case PHASE_ANSWER:
		io_stream_pause(s->stream);
		return false;
	case PHASE_DEAF:
	case PHASE_HANDSHAKE:
		*input = TEXT_EMPTY;
		return true;
	default:
		return sink_command_take(s, input);
	}
}

static size_t on_data(void *owner, struct text octets)
{
	struct session *s = owner;
	struct text input = octets;

	while (input.len > 0 && take(s, &input))
		;
	sink_session_flush(s);
	return octets.len - input.len;
}

static void on_connected(void *owner)
{
	(void)owner;
}

/* Half-open clients are not served further; what they are owed is sent. */
static void on_eof(void *owner)
{
	struct session *s = owner;

	s->phase = PHASE_DEAF;
	io_stream_finish(s->stream);
}

static void on_drained(void *owner)
{
	struct session *s = owner;

	if (!s->is_blocked)
		return;
	s->is_blocked = false;
	if (s->phase != PHASE_ANSWER)
		io_stream_resume(s->stream);
}

/* ---------------------------------------------------------------- begin and end */

/* What is under way forgets the session. */
static void let_go(struct session *s)
{
	io_timer_stop(s->sink->o.io, &s->timer);
	if (s->item)
		s->item->on_kept = NULL;
	s->item = NULL;
	s->sink->counts.open_sessions--;
	list_remove(&s->link);
	s->sink = NULL;
}

static void on_closed(void *owner, enum err why)
{
	struct session *s = owner;

	(void)why;
	if (s->sink)
		let_go(s);
	buf_fini(&s->helo);
	buf_fini(&s->paths);
	buf_fini(&s->content);
	free(s);
}

static const struct io_stream_events events = {
	.on_connected = on_connected,
	.on_data = on_data,
	.on_eof = on_eof,
	.on_drained = on_drained,
	.on_closed = on_closed,
};

static void greet(struct session *s)
{
	struct sink *sink = s->sink;

	if (sink->o.max_sessions && sink->counts.open_sessions > sink->o.max_sessions) {
		SAY(s, 421, "4.3.2", "Too many sessions");
		sink_session_close(s);
		return;
	}
	buf_add_string(&sink->out, "220 ");
	buf_add(&sink->out, sink->o.hostname);
	buf_add_string(&sink->out, " ESMTP sink\r\n");
	sink_session_flush(s);
}

void sink_session_begin(struct sink *sink, struct io_stream *stream)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s) {
		io_stream_close(stream);
		return;
	}
	s->sink = sink;
	s->stream = stream;
	s->number = ++sink->counts.sessions;
	s->lines = line_reader(SMTP_COMMAND_LINE_MAX);
	s->helo = BUF(SMTP_COMMAND_LINE_MAX);
	s->paths = BUF(SESSION_PATHS_BYTES);
	sink->counts.open_sessions++;
	list_append(&sink->sessions, &s->link);
	io_stream_attach(stream, &events, s);
	greet(s);
}

void sink_session_abandon(struct list *link)
{
	struct session *s = LIST_ITEM(link, struct session, link);

	let_go(s);
	io_stream_close(s->stream);
}
