#include "wild_peer.h"

#include <stdlib.h>

#include <postrider/base/buf.h>
#include <postrider/base/time.h>
#include <postrider/smtp/line.h>

#define RECIPIENTS_MAX 64

struct wild_peer {
	struct sim *sim;
	struct io *io;
	struct io_listener *listener;
	struct random random;
	unsigned permille;
	wild_taken_fn *on_taken;
	void *owner;
	struct list visits;
};

struct visit {
	struct list link;
	struct wild_peer *peer;
	struct io_stream *stream;
	struct line_reader lines;
	struct buf data;
	char *recipients[RECIPIENTS_MAX];
	unsigned recipient_count;
	bool has_mail, in_data, silent, over;
	struct io_timer slow;
	const char *answer; /* after a while */
};

enum mood { GOOD, DEFERS, REFUSES, CLOSES, CUTS, FALLS_SILENT, MOODS };

static enum mood mood_of(struct visit *v)
{
	struct wild_peer *p = v->peer;

	if (random_below(&p->random, 1000) >= p->permille)
		return GOOD;
	return (enum mood)(1 + random_below(&p->random, MOODS - 1));
}

static void reply(struct visit *v, const char *line)
{
	struct text t = text_from(line);

	io_stream_write(v->stream, &t, 1);
}

static void cut(struct visit *v)
{
	v->over = true;
	io_stream_close(v->stream);
}

/* False: what is next is not to be done. */
static bool goes_well(struct visit *v)
{
	switch (mood_of(v)) {
	case GOOD:
		return true;
	case DEFERS:
		reply(v, "450 4.2.0 not today\r\n");
		return false;
	case REFUSES:
		reply(v, "550 5.0.0 not ever\r\n");
		return false;
	case CLOSES:
		reply(v, "421 4.3.2 closing\r\n");
		v->over = true;
		io_stream_finish(v->stream);
		return false;
	case CUTS:
		cut(v);
		return false;
	case FALLS_SILENT:
	case MOODS:
		break;
	}
	v->silent = true;
	return false;
}

static void forget(struct visit *v)
{
	for (unsigned i = 0; i < v->recipient_count; i++)
		free(v->recipients[i]);
	v->recipient_count = 0;
	v->has_mail = false;
	buf_reset(&v->data);
}

static void add_recipient(struct visit *v, struct text line)
{
	struct text path = text_skip(line, text_find_octet(line, '<') + 1);

	path = text_head(path, text_find_octet(path, '>'));
	if (!v->has_mail || v->recipient_count == RECIPIENTS_MAX) {
		reply(v, "503 5.5.1 no\r\n");
	} else if (goes_well(v)) {
		v->recipients[v->recipient_count++] = text_dup(path);
		reply(v, "250 2.1.5 ok\r\n");
	}
}

static void on_slow(void *owner)
{
	struct visit *v = owner;

	reply(v, v->answer);
	io_stream_resume(v->stream);
}

static void take(struct visit *v, bool answer_is_lost)
{
	struct wild_delivery d = { io_now_at(v->peer->io), answer_is_lost };

	for (unsigned i = 0; i < v->recipient_count; i++)
		v->peer->on_taken(v->peer->owner, text_from(v->recipients[i]), buf_text(&v->data), &d);
}

/* The dot: the worst place to go away. Some answers take their time. */
static void end_data(struct visit *v)
{
	struct wild_peer *p = v->peer;
	enum mood mood = mood_of(v);

	v->in_data = false;
	if (mood == GOOD) {
		take(v, false);
		v->answer = "250 2.0.0 taken\r\n";
		if (p->permille && random_below(&p->random, 8) == 0 &&
		    !io_timer_start(p->io, &v->slow,
		                    io_now_at(p->io) + (int64_t)random_below(&p->random, 9000), on_slow, v))
			io_stream_pause(v->stream);
		else
			reply(v, v->answer);
	} else if (mood == DEFERS || mood == REFUSES || mood == CLOSES) {
		reply(v, mood == REFUSES ? "554 5.6.0 not ever\r\n" : "451 4.3.0 not today\r\n");
	} else {
		if (random_below(&p->random, 2))
			take(v, true);
		if (mood == CUTS)
			cut(v);
		else
			v->silent = true;
	}
	forget(v);
}

static void on_command(struct visit *v, struct text line)
{
	if (text_starts_nocase(line, TEXT("RCPT"))) {
		add_recipient(v, line);
	} else if (text_starts_nocase(line, TEXT("MAIL"))) {
		forget(v);
		v->has_mail = goes_well(v);
		if (v->has_mail)
			reply(v, "250 2.1.0 ok\r\n");
	} else if (text_starts_nocase(line, TEXT("EHLO"))) {
		if (goes_well(v))
			reply(v, "250-wild.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
	} else if (text_starts_nocase(line, TEXT("DATA"))) {
		if (v->recipient_count == 0) {
			reply(v, "554 5.5.1 no recipients\r\n");
		} else if (goes_well(v)) {
			v->in_data = true;
			reply(v, "354 go\r\n");
		}
	} else if (text_starts_nocase(line, TEXT("QUIT"))) {
		reply(v, "221 2.0.0 bye\r\n");
		v->over = true;
		io_stream_finish(v->stream);
	} else {
		forget(v);
		reply(v, "250 2.0.0 ok\r\n");
	}
}

static void on_data_line(struct visit *v, struct text line)
{
	if (text_eq(line, TEXT("."))) {
		end_data(v);
		return;
	}
	buf_add(&v->data, line);
	buf_add_string(&v->data, "\r\n");
}

static size_t on_data(void *owner, struct text bytes)
{
	struct visit *v = owner;
	struct text rest = bytes;
	struct line line;

	while (rest.len && !v->over && !v->silent && !io_timer_runs(&v->slow) &&
	       !line_read(&v->lines, &rest, &line)) {
		if (v->in_data)
			on_data_line(v, line.text);
		else
			on_command(v, line.text);
	}
	return v->silent ? bytes.len : bytes.len - rest.len;
}

static void on_eof(void *owner)
{
	cut(owner);
}

static void on_drained(void *owner)
{
	(void)owner;
}

static void on_closed(void *owner, enum err why)
{
	struct visit *v = owner;

	(void)why;
	forget(v);
	io_timer_stop(v->peer->io, &v->slow);
	buf_fini(&v->data);
	list_remove(&v->link);
	free(v);
}

static const struct io_stream_events events = {
	.on_data = on_data, .on_eof = on_eof, .on_drained = on_drained, .on_closed = on_closed
};

static void on_accept(void *owner, struct io_stream *stream)
{
	struct wild_peer *p = owner;
	struct visit *v = calloc(1, sizeof(*v));

	if (!v)
		abort();
	v->peer = p;
	v->stream = stream;
	v->lines = line_reader(4096);
	v->data = BUF(64u << 20);
	list_append(&p->visits, &v->link);
	io_stream_attach(stream, &events, v);
	if (goes_well(v))
		reply(v, "220 wild.test\r\n");
}

enum err wild_peer_new(struct sim *s, struct ip_port at, uint64_t seed, wild_taken_fn *on_taken, void *owner,
                       struct wild_peer **out)
{
	struct wild_peer *p = calloc(1, sizeof(*p));
	enum err err;

	if (!p)
		return ERR_NOMEM;
	p->sim = s;
	p->io = sim_io(s);
	p->on_taken = on_taken;
	p->owner = owner;
	random_init(&p->random, seed);
	list_init(&p->visits);
	err = io_listen(p->io, &(struct io_address){ .ip = at }, 0, on_accept, p, &p->listener);
	if (err)
		free(p);
	else
		*out = p;
	return err;
}

void wild_peer_set_malice(struct wild_peer *p, unsigned permille)
{
	p->permille = permille;
}

void wild_peer_free(struct wild_peer **slot)
{
	struct wild_peer *p = *slot;

	*slot = NULL;
	if (!p)
		return;
	io_listener_close(&p->listener);
	for (LIST_EACH_SAFE(it, &p->visits))
		io_stream_close(LIST_ITEM(it, struct visit, link)->stream);
	while (!list_is_empty(&p->visits))
		sim_run(p->sim, 1);
	free(p);
}
