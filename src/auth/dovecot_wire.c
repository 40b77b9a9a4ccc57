#include "dovecot_wire.h"

#include <stdlib.h>

/* Its memory goes in on_closed, which may be after the owner's. */
struct dovecot_wire {
	struct io *io;
	struct io_stream *stream;
	const struct dovecot_wire_events *events; /* NULL: dropped */
	void *owner;
	uint32_t client_id;
	struct io_timer patience;
	struct dovecot_handshake handshake;
	bool is_connected;
};

static void break_off(struct dovecot_wire *w, enum err err, const char *why)
{
	if (w->events)
		w->events->on_broken(w->owner, w, err, why);
}

const char *dovecot_wire_problem(enum err err)
{
	switch (err) {
	case ERR_NOMEM:
		return "out of memory";
	case ERR_BUSY:
		return "too many descriptors are open to connect to Dovecot";
	case ERR_DENIED:
		return "this user may not connect to Dovecot's socket";
	default:
		return "Dovecot is down";
	}
}

static const char *problem_of_greeting(enum err err)
{
	switch (err) {
	case ERR_UNSUPPORTED:
		return "Dovecot speaks another version of its protocol";
	case ERR_TOO_BIG:
		return "Dovecot's greeting has no end";
	default:
		return "what listens there does not speak Dovecot's auth protocol";
	}
}

static void on_patience_over(void *owner)
{
	struct dovecot_wire *w = owner;

	break_off(w, ERR_TIMEOUT,
	          w->is_connected ? "Dovecot did not greet in time"
	                          : "Dovecot did not take the connection in time");
}

static void on_connected(void *owner)
{
	struct dovecot_wire *w = owner;
	struct buf hello = BUF(128);

	w->is_connected = true;
	dovecot_write_hello(&hello, w->client_id);
	if (buf_err(&hello))
		break_off(w, ERR_NOMEM, "out of memory");
	else if (w->events)
		io_stream_write(w->stream, &(struct text){ hello.at, hello.len }, 1);
	buf_fini(&hello);
}

static void take_line(struct dovecot_wire *w, struct text line)
{
	struct dovecot_line said;
	enum err err = dovecot_read(&w->handshake, line, &said);

	if (err) {
		break_off(w, err, problem_of_greeting(err));
	} else if (said.kind == DOVECOT_READY) {
		io_timer_stop(w->io, &w->patience);
		w->events->on_up(w->owner, w);
	} else if (said.kind != DOVECOT_NOTHING) {
		w->events->on_said(w->owner, w, &said);
	}
}

static size_t on_data(void *owner, struct text bytes)
{
	struct dovecot_wire *w = owner;
	struct text rest = bytes;

	while (w->events && text_find_octet(rest, '\n') < rest.len)
		take_line(w, text_cut(&rest, '\n'));
	if (w->events && rest.len > DOVECOT_LINE_MAX)
		break_off(w, ERR_TOO_BIG, "Dovecot sent a line that is too long");
	return w->events ? bytes.len - rest.len : bytes.len;
}

static void on_eof(void *owner)
{
	break_off(owner, ERR_CLOSED, "Dovecot closed the connection");
}

/* What is written at a time is bounded by the dialogues there may be. */
static void on_drained(void *owner)
{
	(void)owner;
}

static void on_closed(void *owner, enum err why)
{
	struct dovecot_wire *w = owner;

	w->stream = NULL;
	break_off(w, why, w->is_connected ? "Dovecot closed the connection" : dovecot_wire_problem(why));
	io_timer_stop(w->io, &w->patience);
	free(w);
}

static const struct io_stream_events stream_events = {
	.on_connected = on_connected,
	.on_data = on_data,
	.on_eof = on_eof,
	.on_drained = on_drained,
	.on_closed = on_closed,
};

enum err dovecot_wire_new(const struct dovecot_wire_options *o, struct dovecot_wire **out)
{
	struct dovecot_wire *w = calloc(1, sizeof(*w));
	enum err err;

	if (!w)
		return ERR_NOMEM;
	w->io = o->io;
	w->events = o->events;
	w->owner = o->owner;
	w->client_id = o->client_id;
	err = io_timer_start(w->io, &w->patience, io_now_at(w->io) + o->greeting_ms, on_patience_over, w);
	if (!err)
		err = io_connect(o->io, o->to, NULL, &stream_events, w, &w->stream);
	if (err) {
		io_timer_stop(w->io, &w->patience);
		free(w);
		return err;
	}
	*out = w;
	return ERR_OK;
}

void dovecot_wire_drop(struct dovecot_wire **wire)
{
	struct dovecot_wire *w = *wire;

	*wire = NULL;
	if (!w)
		return;
	w->events = NULL;
	io_timer_stop(w->io, &w->patience);
	if (w->stream)
		io_stream_close(w->stream);
}

void dovecot_wire_send(struct dovecot_wire *w, struct text lines)
{
	if (w->stream)
		io_stream_write(w->stream, &lines, 1);
}

unsigned dovecot_wire_mechanisms(const struct dovecot_wire *w)
{
	return w->handshake.mechanisms;
}
