/* SMTP servers that follow a script. */
#include "internal.h"

#include <postrider/smtp/command.h>
#include <postrider/smtp/line.h>
#include <postrider/smtp/parameter.h>

#include <assert.h>
#include <stdlib.h>

#define SCRIPTS_MAX 64
#define MESSAGES_MAX 4096

struct sim_peer {
	struct sim *sim;
	struct io_listener *listener;
	struct tls_context *tls;
	const char *scripts[SCRIPTS_MAX];
	unsigned script_count, connections, open_count, most_at_once, wrong_lines, message_count;
	struct text messages[MESSAGES_MAX];
	struct buf transcript;
	struct list open;
};

struct visit {
	struct list link;
	struct sim_peer *peer;
	struct io_stream *stream;
	struct text rest, again; /* what is to come, and where `repeat` goes on */
	struct line_reader lines;
	struct io_timer wait;
	struct buf data; /* mail data being taken */
	uint64_t chunk_left;
	bool is_last_chunk;
	bool has_data, waiting, over, left;
};

static void go_on(struct visit *v);

/* ---------------------------------------------------------------- the script */

static struct text step_of(struct text rest)
{
	return text_trim(text_cut(&rest, '\n'));
}

static void advance(struct visit *v)
{
	text_cut(&v->rest, '\n');
}

static bool matches(struct text pattern, struct text line)
{
	size_t star = text_find_octet(pattern, '*');

	if (star == pattern.len)
		return text_eq_nocase(pattern, line);
	if (!text_starts_nocase(line, text_head(pattern, star)))
		return false;
	pattern = text_skip(pattern, star + 1);
	line = text_skip(line, star);
	for (size_t i = 0; i <= line.len; i++)
		if (matches(pattern, text_skip(line, i)))
			return true;
	return false;
}

static int64_t duration_ms(struct text t)
{
	struct text number = text_cut(&t, ' ');
	uint64_t value;

	if (text_to_u64(number, 1u << 30, &value))
		value = 0;
	if (text_eq(t, TEXT("s")))
		value *= 1000;
	else if (text_eq(t, TEXT("m")))
		value *= 60000;
	return (int64_t)value;
}

static void note(struct sim_peer *p, const char *who, struct text line)
{
	buf_add_format(&p->transcript, "%s %.*s\n", who, TEXT_ARGS(line));
}

static void on_waited(void *owner)
{
	struct visit *v = owner;

	v->waiting = false;
	go_on(v);
	if (v->stream)
		io_stream_resume(v->stream);
}

static void on_tls_done(void *owner, enum err err, const struct tls_info *info)
{
	struct visit *v = owner;

	(void)info;
	v->waiting = false;
	if (!err)
		go_on(v);
}

static void say(struct visit *v, struct text line)
{
	struct text pieces[2] = { line, TEXT("\r\n") };

	note(v->peer, "S:", line);
	/* the answer to the dot decides whether the message counts */
	if (v->has_data && line.len > 3 && line.at[3] == ' ') {
		v->has_data = false;
		if (line.at[0] == '2' && v->peer->message_count < MESSAGES_MAX) {
			struct text *m = &v->peer->messages[v->peer->message_count++];

			m->len = v->data.len;
			m->at = text_dup(buf_text(&v->data));
		}
		buf_reset(&v->data);
	}
	io_stream_write(v->stream, pieces, 2);
}

/* Does what comes before the next line that is expected of the client. */
static void go_on(struct visit *v)
{
	struct io *io = &v->peer->sim->io;

	while (!v->over && !v->waiting && v->rest.len) {
		struct text step = step_of(v->rest);

		if (text_starts(step, TEXT("C:")) || text_starts(step, TEXT("D:")) ||
		    text_starts(step, TEXT("B:")))
			return;
		advance(v);
		if (text_eq(step, TEXT("S: drops"))) {
			v->over = true;
			note(v->peer, "S:", TEXT("drops"));
			io_stream_close(v->stream);
		} else if (text_eq(step, TEXT("tls"))) {
			v->waiting = true;
			if (!v->peer->tls || tls_start(v->stream, v->peer->tls, TEXT_EMPTY, on_tls_done, v))
				io_stream_close(v->stream);
		} else if (text_starts(step, TEXT("S: "))) {
			say(v, text_skip(step, 3));
		} else if (text_starts(step, TEXT("after "))) {
			v->waiting = true;
			if (io_timer_start(io, &v->wait, io_now_at(io) + duration_ms(text_skip(step, 6)),
			                   on_waited, v))
				abort();
		} else if (text_eq(step, TEXT("again:"))) {
			v->again = v->rest;
		} else if (text_eq(step, TEXT("repeat"))) {
			v->rest = v->again;
		}
	}
	/* the script is over: QUIT is understood, all else is wrong */
}

static void end_chunk(struct visit *v)
{
	v->has_data = v->is_last_chunk;
	advance(v);
	go_on(v);
}

/* False: it is no BDAT command. */
static bool begin_chunk(struct visit *v, struct text line)
{
	struct smtp_command command;
	struct smtp_chunk chunk;

	if (smtp_command_parse(line, &command) || command.verb != SMTP_BDAT ||
	    smtp_chunk_parse(command.args, &chunk))
		return false;
	v->chunk_left = chunk.bytes;
	v->is_last_chunk = chunk.last;
	if (v->chunk_left == 0)
		end_chunk(v);
	return true;
}

static size_t take_chunk(struct visit *v, struct text rest)
{
	size_t len = (size_t)MIN(v->chunk_left, (uint64_t)rest.len);

	buf_add(&v->data, text_head(rest, len));
	v->chunk_left -= len;
	if (v->chunk_left == 0)
		end_chunk(v);
	return len;
}

/* A server that said 221 counts it no more. */
static void leave(struct visit *v)
{
	v->peer->open_count -= !v->left;
	v->left = true;
}

static void on_line(struct visit *v, struct text line)
{
	struct text step = step_of(v->rest);

	note(v->peer, "C:", line);
	if (text_starts(step, TEXT("B:")) && begin_chunk(v, line))
		return;
	if (text_starts(step, TEXT("C:")) && matches(text_trim(text_skip(step, 2)), line)) {
		advance(v);
		go_on(v);
	} else if (text_eq_nocase(line, TEXT("QUIT"))) {
		say(v, TEXT("221 2.0.0 bye"));
		v->over = true;
		leave(v);
		io_stream_finish(v->stream);
	} else {
		v->peer->wrong_lines++;
		say(v, TEXT("503 5.5.1 not expected here"));
	}
}

static void on_data_line(struct visit *v, struct text line)
{
	if (!text_eq(line, TEXT("."))) {
		buf_add(&v->data, line);
		buf_add_string(&v->data, "\r\n");
		return;
	}
	note(v->peer, "C:", TEXT("(data) ."));
	v->has_data = true;
	advance(v);
	go_on(v);
}

/* ---------------------------------------------------------------- the stream */

static size_t on_data(void *owner, struct text bytes)
{
	struct visit *v = owner;
	struct text rest = bytes;
	struct line line;

	while (rest.len && !v->over && !v->waiting) {
		if (v->chunk_left) {
			rest = text_skip(rest, take_chunk(v, rest));
			continue;
		}
		if (line_read(&v->lines, &rest, &line))
			break;
		if (line.fault)
			v->peer->wrong_lines++;
		if (text_starts(step_of(v->rest), TEXT("D:")))
			on_data_line(v, line.text);
		else
			on_line(v, line.text);
	}
	if (v->waiting && !v->over && io_timer_runs(&v->wait))
		io_stream_pause(v->stream);
	return bytes.len - rest.len;
}

static void on_eof(void *owner)
{
	struct visit *v = owner;

	note(v->peer, "C:", TEXT("closes"));
	io_stream_close(v->stream);
}

static void on_drained(void *owner)
{
	(void)owner;
}

static void on_closed(void *owner, enum err why)
{
	struct visit *v = owner;

	(void)why;
	io_timer_stop(&v->peer->sim->io, &v->wait);
	leave(v);
	list_remove(&v->link);
	buf_fini(&v->data);
	free(v);
}

static const struct io_stream_events events = {
	.on_data = on_data, .on_eof = on_eof, .on_drained = on_drained, .on_closed = on_closed
};

static void on_accept(void *owner, struct io_stream *stream)
{
	struct sim_peer *p = owner;
	struct visit *v = sim_alloc(sizeof(*v));
	unsigned script = MIN(p->connections, p->script_count - 1);

	p->connections++;
	p->open_count++;
	p->most_at_once = MAX(p->most_at_once, p->open_count);
	v->peer = p;
	v->stream = stream;
	v->rest = v->again = text_from(p->scripts[script]);
	v->lines = line_reader(1u << 20);
	v->data = BUF(256u << 20);
	list_append(&p->open, &v->link);
	note(p, "C:", TEXT("connects"));
	io_stream_attach(stream, &events, v);
	go_on(v);
}

/* ---------------------------------------------------------------- life */

enum err sim_peer_new(struct sim *s, struct ip_port at, struct sim_peer **out)
{
	struct sim_peer *p = sim_alloc(sizeof(*p));
	enum err err;

	p->sim = s;
	p->transcript = BUF(64u << 20);
	list_init(&p->open);
	err = io_listen(&s->io, &(struct io_address){ .ip = at }, 0, on_accept, p, &p->listener);
	if (err)
		free(p);
	else
		*out = p;
	return err;
}

enum err sim_peer_add_script(struct sim_peer *p, const char *script)
{
	if (p->script_count == SCRIPTS_MAX)
		return ERR_TOO_BIG;
	p->scripts[p->script_count++] = script;
	return ERR_OK;
}

void sim_peer_use_tls(struct sim_peer *p, struct tls_context *context)
{
	p->tls = tls_context_ref(context);
}

void sim_peer_free(struct sim_peer **slot)
{
	struct sim_peer *p = *slot;

	*slot = NULL;
	if (!p)
		return;
	io_listener_close(&p->listener);
	for (LIST_EACH_SAFE(it, &p->open))
		io_stream_close(LIST_ITEM(it, struct visit, link)->stream);
	sim_settle(p->sim, 60000);
	assert(list_is_empty(&p->open));
	for (unsigned i = 0; i < p->message_count; i++)
		free((char *)p->messages[i].at);
	tls_context_unref(&p->tls);
	buf_fini(&p->transcript);
	free(p);
}

unsigned sim_peer_connections(const struct sim_peer *p)
{
	return p->connections;
}

unsigned sim_peer_most_at_once(const struct sim_peer *p)
{
	return p->most_at_once;
}

unsigned sim_peer_wrong_lines(const struct sim_peer *p)
{
	return p->wrong_lines;
}

unsigned sim_peer_messages(const struct sim_peer *p)
{
	return p->message_count;
}

struct text sim_peer_message(const struct sim_peer *p, unsigned n)
{
	return n < p->message_count ? p->messages[n] : TEXT_EMPTY;
}

struct text sim_peer_transcript(const struct sim_peer *p)
{
	return buf_text(&p->transcript);
}
