/* One connection to Dovecot, many dialogues on it.
 *
 *   PAUSING -> CONNECTING -> GREETING -> UP -> PAUSING ...
 *
 * While Dovecot is greeting us, calls wait; during a pause they hear LATER at once. A call that is with the client when the
 * connection breaks hears it with the client's next line. */
#include "dovecot_protocol.h"

#include <stdlib.h>

#include <postrider/base/base64.h>
#include <postrider/base/map.h>
#include <postrider/base/random.h>
#include <postrider/crypto.h>
#include <postrider/io/stream.h>

#define CONNECT_MS (5 * SECOND_MS)
#define ANSWER_MS (30 * SECOND_MS) /* Dovecot lets those who failed wait, for 17 s at most */
#define FIRST_PAUSE_MS 100
#define LAST_PAUSE_MS (10 * SECOND_MS)
#define STEADY_MS SECOND_MS /* a connection that lasted so long was none that Dovecot throws away */
#define CALLS_MAX 1000
#define TIMEOUTS_MAX 3 /* in a row, without a word about any request: it hangs */
#define USER_MAX 512
#define WHY_MAX 512

enum phase { PHASE_PAUSING, PHASE_CONNECTING, PHASE_GREETING, PHASE_UP };

struct dovecot {
	struct auth_backend backend; /* first */
	struct io *io;
	struct io_address address;
	struct wire *wire; /* NULL while pausing */
	enum phase phase;
	struct io_timer timer; /* the pause, or how long connecting and greeting may take */
	unsigned pauses;
	unsigned timeouts;
	int64_t up_at;
	bool has_greeted;
	unsigned mechanisms;
	struct map calls; /* by id */
	uint32_t next_id;
	struct random random;
	bool is_closing; /* goes with its last call */
};

/* A connection. Its memory goes in on_closed, which may be after Dovecot's. */
struct wire {
	struct dovecot *dovecot; /* NULL: nobody wants it any more */
	struct io_stream *stream;
	struct dovecot_handshake handshake;
};

enum call_state {
	CALL_WAITING,   /* for the connection to be up; line is what to send then */
	CALL_ASKED,     /* Dovecot's turn */
	CALL_CONTINUED, /* the client's turn */
	CALL_BROKEN,    /* the client's turn, and the dialogue is lost */
	CALL_FAILING,   /* LATER will be said in a later turn */
};

struct auth_call {
	struct map_item item;
	struct dovecot *dovecot;
	struct auth_call **slot;
	auth_result_fn *on_result;
	void *owner;
	enum call_state state;
	uint32_t id;
	struct buf line; /* wiped when it was sent */
	struct io_timer deadline;
	struct io_later later;
	const char *why;
};

static void connect_to(struct dovecot *d);

/* ---------------------------------------------------------------- the end of a call */

static void wipe_line(struct buf *b)
{
	if (b->at)
		crypto_wipe(b->at, b->room);
	buf_fini(b);
}

static void free_if_over(struct dovecot *d)
{
	if (!d->is_closing || d->calls.count)
		return;
	map_fini(&d->calls);
	free(d);
}

static void free_call(struct auth_call *c)
{
	struct dovecot *d = c->dovecot;

	map_remove(&d->calls, &c->item);
	io_timer_stop(d->io, &c->deadline);
	io_later_cancel(d->io, &c->later);
	wipe_line(&c->line);
	free(c);
	free_if_over(d);
}

/* The last thing that is done with it: the owner may begin another, or close the backend. */
static void finish(struct auth_call *c, const struct auth_result *result)
{
	auth_result_fn *on_result = c->on_result;
	void *owner = c->owner;

	*c->slot = NULL;
	free_call(c);
	on_result(owner, result);
}

static void finish_later_said(struct auth_call *c, const char *why)
{
	finish(c, &(struct auth_result){ .verdict = AUTH_SAYS_LATER, .why = text_from(why) });
}

static void on_fail_later(void *owner)
{
	struct auth_call *c = owner;

	finish_later_said(c, c->why);
}

static void fail_later(struct auth_call *c, const char *why)
{
	c->state = CALL_FAILING;
	c->why = why;
	io_timer_stop(c->dovecot->io, &c->deadline);
	io_later_run(c->dovecot->io, &c->later, on_fail_later, c);
}

/* Its dialogue with Dovecot is lost; whose turn it is decides when that can be said. */
static void lose(struct auth_call *c, const char *why)
{
	if (c->state == CALL_CONTINUED) {
		c->state = CALL_BROKEN;
		c->why = why;
	} else if (c->state != CALL_BROKEN && c->state != CALL_FAILING) {
		fail_later(c, why);
	}
}

static void lose_all(struct dovecot *d, const char *why)
{
	for (struct map_item *it = map_next(&d->calls, NULL); it; it = map_next(&d->calls, it))
		lose(CONTAINER_OF(it, struct auth_call, item), why);
}

/* ---------------------------------------------------------------- the connection */

static void drop_wire(struct dovecot *d)
{
	struct wire *w = d->wire;

	d->wire = NULL;
	if (!w)
		return;
	w->dovecot = NULL;
	if (w->stream)
		io_stream_close(w->stream);
}

static void on_pause_over(void *owner)
{
	connect_to(owner);
}

/* 100 ms, 200 ms, ... 10 s, a quarter more or less; none when a connection broke that had served. */
static void begin_pause(struct dovecot *d, bool had_served)
{
	int64_t pause_ms = MIN(FIRST_PAUSE_MS << MIN(d->pauses, 10u), LAST_PAUSE_MS);

	pause_ms += (int64_t)random_below(&d->random, (uint64_t)pause_ms / 2) - pause_ms / 4;
	d->phase = PHASE_PAUSING;
	d->pauses++;
	if (had_served) {
		pause_ms = 0;
		d->pauses = 0;
	}
	/* Without memory for a timer the next call connects. */
	if (io_timer_start(d->io, &d->timer, io_now_at(d->io) + pause_ms, on_pause_over, d))
		return;
}

static void wire_broke(struct dovecot *d, const char *why)
{
	bool had_served = d->phase == PHASE_UP && io_now_at(d->io) - d->up_at >= STEADY_MS;

	drop_wire(d);
	lose_all(d, why);
	begin_pause(d, had_served);
}

static void on_too_slow(void *owner)
{
	struct dovecot *d = owner;

	wire_broke(d, d->phase == PHASE_CONNECTING ? "Dovecot did not take the connection in time"
	                                           : "Dovecot did not greet in time");
}

static void send_text(struct dovecot *d, struct text t)
{
	io_stream_write(d->wire->stream, &t, 1);
}

/* ---------------------------------------------------------------- what Dovecot says */

static void on_deadline(void *owner)
{
	struct auth_call *c = owner;
	struct dovecot *d = c->dovecot;
	struct buf cancel = BUF(64);
	bool was_asked = c->state == CALL_ASKED;

	if (was_asked) {
		dovecot_write_cancel(&cancel, c->id);
		send_text(d, buf_text(&cancel));
	}
	buf_fini(&cancel);
	fail_later(c, "Dovecot did not answer in time");
	if (was_asked && ++d->timeouts >= TIMEOUTS_MAX)
		wire_broke(d, "Dovecot does not answer");
}

/* Without memory for the timer the call cannot be bounded, and so is not made. */
static void ask(struct auth_call *c)
{
	struct dovecot *d = c->dovecot;

	if (io_timer_start(d->io, &c->deadline, io_now_at(d->io) + ANSWER_MS, on_deadline, c)) {
		fail_later(c, "out of memory");
		return;
	}
	c->state = CALL_ASKED;
	send_text(d, buf_text(&c->line));
	wipe_line(&c->line);
}

static void be_up(struct dovecot *d)
{
	d->phase = PHASE_UP;
	d->up_at = io_now_at(d->io);
	d->timeouts = 0;
	d->has_greeted = true;
	d->mechanisms = d->wire->handshake.mechanisms;
	io_timer_stop(d->io, &d->timer);
	for (struct map_item *it = map_next(&d->calls, NULL); it; it = map_next(&d->calls, it)) {
		struct auth_call *c = CONTAINER_OF(it, struct auth_call, item);

		if (c->state == CALL_WAITING)
			ask(c);
	}
}

/* Into out, as people may read it. */
static void add_plain(struct buf *out, struct text escaped)
{
	struct buf b = BUF(DOVECOT_LINE_MAX);

	if (dovecot_unescape(escaped, &b) == ERR_OK) {
		struct text t = text_head(buf_text(&b), WHY_MAX / 2);

		for (size_t i = 0; i < t.len; i++)
			buf_add_octet(out, t.at[i] >= ' ' && t.at[i] <= '~' ? t.at[i] : '?');
	}
	buf_fini(&b);
}

static void heard_fail(struct auth_call *c, const struct dovecot_line *line)
{
	struct auth_result result = { .verdict = line->temporary ? AUTH_SAYS_LATER : AUTH_SAYS_NO };
	struct buf why = BUF(WHY_MAX);

	buf_add_string(&why, line->temporary ? "Dovecot has a passing failure" : "Dovecot refused");
	if (line->reason.len) {
		buf_add_string(&why, ": ");
		add_plain(&why, line->reason);
	}
	result.why = buf_text(&why);
	finish(c, &result);
	buf_fini(&why);
}

static bool is_user(struct text user)
{
	for (size_t i = 0; i < user.len; i++) {
		if ((unsigned char)user.at[i] < ' ' || user.at[i] == 0x7f)
			return false;
	}
	return user.len > 0;
}

static void heard_ok(struct auth_call *c, const struct dovecot_line *line)
{
	struct auth_result result = { .verdict = AUTH_SAYS_YES };
	struct buf user = BUF(USER_MAX), octets = BUF(DOVECOT_LINE_MAX);

	if (dovecot_unescape(line->user, &user) || !is_user(buf_text(&user)) ||
	    base64_decode(line->data, &octets)) {
		finish_later_said(c, "Dovecot's OK names no user that could be one");
	} else {
		result.user = buf_text(&user);
		result.octets = buf_text(&octets);
		finish(c, &result);
	}
	buf_fini(&user);
	buf_fini(&octets);
}

static void heard_cont(struct auth_call *c, const struct dovecot_line *line)
{
	struct auth_result result = { .verdict = AUTH_SAYS_MORE };
	struct buf octets = BUF(DOVECOT_LINE_MAX);

	if (base64_decode(line->data, &octets)) {
		finish_later_said(c, "Dovecot sent a challenge that is no base64");
	} else {
		io_timer_stop(c->dovecot->io, &c->deadline);
		c->state = CALL_CONTINUED;
		result.octets = buf_text(&octets);
		c->on_result(c->owner, &result);
	}
	buf_fini(&octets);
}

static struct auth_call *find_call(struct dovecot *d, uint32_t id)
{
	struct map_item *item = map_find(&d->calls, text_of((const char *)&id, sizeof(id)));

	return item ? CONTAINER_OF(item, struct auth_call, item) : NULL;
}

static void heard(struct dovecot *d, const struct dovecot_line *line)
{
	struct auth_call *c = find_call(d, line->id);

	d->timeouts = 0;
	if (!c)
		return; /* cancelled, or given up */
	if (c->state == CALL_CONTINUED && line->kind == DOVECOT_FAIL)
		lose(c, "Dovecot gave the dialogue up");
	if (c->state != CALL_ASKED)
		return;
	if (line->kind == DOVECOT_OK)
		heard_ok(c, line);
	else if (line->kind == DOVECOT_FAIL)
		heard_fail(c, line);
	else
		heard_cont(c, line);
}

static void on_connected(void *owner)
{
	struct wire *w = owner;
	struct dovecot *d = w->dovecot;
	struct buf hello = BUF(128);

	if (!d)
		return;
	d->phase = PHASE_GREETING;
	dovecot_write_hello(&hello, (uint32_t)random_below(&d->random, INT32_MAX) + 1);
	if (buf_err(&hello))
		wire_broke(d, "out of memory");
	else
		send_text(d, buf_text(&hello));
	buf_fini(&hello);
}

static const char *problem_of(enum err err)
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

/* False: the wire is gone. */
static bool take_line(struct wire *w, struct text line)
{
	struct dovecot *d = w->dovecot;
	struct dovecot_line said;
	enum err err = dovecot_read(&w->handshake, line, &said);

	if (err)
		wire_broke(d, problem_of(err));
	else if (said.kind == DOVECOT_READY)
		be_up(d);
	else if (said.kind != DOVECOT_NOTHING)
		heard(d, &said);
	return w->dovecot != NULL;
}

static size_t on_data(void *owner, struct text bytes)
{
	struct wire *w = owner;
	struct text rest = bytes;

	while (w->dovecot && text_find_octet(rest, '\n') < rest.len) {
		if (!take_line(w, text_cut(&rest, '\n')))
			return bytes.len;
	}
	if (w->dovecot && rest.len > DOVECOT_LINE_MAX)
		wire_broke(w->dovecot, "Dovecot sent a line that is too long");
	return w->dovecot ? bytes.len - rest.len : bytes.len;
}

static void on_eof(void *owner)
{
	struct wire *w = owner;

	if (w->dovecot)
		wire_broke(w->dovecot, "Dovecot closed the connection");
}

static void on_closed(void *owner, enum err why)
{
	struct wire *w = owner;

	w->stream = NULL;
	if (w->dovecot)
		wire_broke(w->dovecot, why == ERR_DENIED ? "this user may not connect to Dovecot's socket"
		                       : w->dovecot->phase == PHASE_CONNECTING
		                               ? "Dovecot is down"
		                               : "Dovecot closed the connection");
	free(w);
}

/* What is written at a time is bounded by those who wait for an answer. */
static void on_drained(void *owner)
{
	(void)owner;
}

static const struct io_stream_events wire_events = {
	.on_connected = on_connected,
	.on_data = on_data,
	.on_eof = on_eof,
	.on_drained = on_drained,
	.on_closed = on_closed,
};

static void connect_to(struct dovecot *d)
{
	struct wire *w = calloc(1, sizeof(*w));
	enum err err = w ? io_connect(d->io, &d->address, NULL, &wire_events, w, &w->stream) : ERR_NOMEM;

	if (err) {
		free(w);
		lose_all(d, err == ERR_BUSY ? "too many descriptors are open to connect to Dovecot"
		                            : "Dovecot is down");
		begin_pause(d, false);
		return;
	}
	w->dovecot = d;
	d->wire = w;
	d->phase = PHASE_CONNECTING;
	if (io_timer_start(d->io, &d->timer, io_now_at(d->io) + CONNECT_MS, on_too_slow, d))
		wire_broke(d, "out of memory");
}

/* ---------------------------------------------------------------- as a backend */

static struct dovecot *dovecot_of(const struct auth_backend *b)
{
	return CONTAINER_OF(b, struct dovecot, backend);
}

/* Before it has ever greeted us PLAIN is assumed: a client that comes while Dovecot is late hears 454 and comes again, and
 * not that there is no AUTH here, which it would take for final. */
static unsigned mechanisms(const struct auth_backend *b)
{
	const struct dovecot *d = dovecot_of(b);

	return d->has_greeted ? d->mechanisms : AUTH_PLAIN;
}

static void take_id(struct dovecot *d, struct auth_call *c)
{
	do {
		if (++d->next_id == 0)
			d->next_id = 1;
	} while (find_call(d, d->next_id));
	c->id = d->next_id;
}

/* Room for all of it at once, so that no copy is left behind where it grew. */
static enum err write_line(struct auth_call *c, const struct auth_request *request)
{
	buf_init(&c->line, DOVECOT_REQUEST_MAX);
	if (!buf_reserve(&c->line,
	                 MIN(BASE64_CHARS(request->initial.len) + 256, (size_t)DOVECOT_REQUEST_MAX)))
		return ERR_NOMEM;
	dovecot_write_auth(&c->line, c->id, request);
	return buf_err(&c->line);
}

static enum err begin(struct auth_backend *b, const struct auth_request *request, struct auth_call **slot)
{
	struct dovecot *d = dovecot_of(b);

	if (d->calls.count >= CALLS_MAX)
		return ERR_BUSY;
	struct auth_call *c = calloc(1, sizeof(*c));

	if (!c)
		return ERR_NOMEM;
	c->dovecot = d;
	c->slot = slot;
	c->on_result = request->on_result;
	c->owner = request->owner;
	take_id(d, c);
	enum err err = write_line(c, request);

	if (!err)
		err = map_add(&d->calls, &c->item, text_of((const char *)&c->id, sizeof(c->id)));
	if (err) {
		wipe_line(&c->line);
		free(c);
		return err;
	}
	*slot = c;
	if (d->phase == PHASE_PAUSING && !io_timer_runs(&d->timer))
		connect_to(d);
	if (d->phase == PHASE_UP)
		ask(c);
	else if (d->phase == PHASE_PAUSING && d->pauses && c->state == CALL_WAITING)
		fail_later(c, "Dovecot is down");
	return ERR_OK;
}

static void answer(struct auth_call *c, struct text octets)
{
	if (c->state == CALL_BROKEN) {
		fail_later(c, c->why);
		return;
	}
	buf_init(&c->line, DOVECOT_REQUEST_MAX);
	if (buf_reserve(&c->line, MIN(BASE64_CHARS(octets.len) + 64, (size_t)DOVECOT_REQUEST_MAX)))
		dovecot_write_cont(&c->line, c->id, octets);
	if (buf_err(&c->line)) {
		struct buf cancel = BUF(64);

		dovecot_write_cancel(&cancel, c->id);
		send_text(c->dovecot, buf_text(&cancel));
		buf_fini(&cancel);
		fail_later(c, "the answer does not fit into a line for Dovecot");
		return;
	}
	ask(c);
}

static void cancel(struct auth_call **slot)
{
	struct auth_call *c = *slot;

	if (!c)
		return;
	*slot = NULL;
	if (c->state == CALL_ASKED || c->state == CALL_CONTINUED) {
		struct buf line = BUF(64);

		dovecot_write_cancel(&line, c->id);
		send_text(c->dovecot, buf_text(&line));
		buf_fini(&line);
	}
	free_call(c);
}

static void close_backend(struct auth_backend **b)
{
	struct dovecot *d = dovecot_of(*b);

	*b = NULL;
	io_timer_stop(d->io, &d->timer);
	drop_wire(d);
	lose_all(d, "the configuration was changed");
	d->is_closing = true;
	free_if_over(d);
}

static const struct auth_backend_ops ops = {
	.mechanisms = mechanisms,
	.begin = begin,
	.answer = answer,
	.cancel = cancel,
	.close = close_backend,
};

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

enum err auth_dovecot_new(struct io *io, const struct config_endpoint *address, struct auth_backend **out)
{
	struct dovecot *d = calloc(1, sizeof(*d));
	enum err err = d ? address_of(address, &d->address) : ERR_NOMEM;

	if (err) {
		free(d);
		return err;
	}
	d->backend.ops = &ops;
	d->io = io;
	map_init(&d->calls, false, io_random_u64(io));
	random_init(&d->random, io_random_u64(io));
	begin_pause(d, true);
	*out = &d->backend;
	return ERR_OK;
}
