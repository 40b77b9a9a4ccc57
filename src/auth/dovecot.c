/* Many dialogues on a connection to Dovecot.
 *
 * Dovecot's old auth process serves those who are connected for as long as they stay, also when Dovecot was stopped or started
 * anew. So the connection is made anew now and then: `coming` becomes `serving` when it is greeted, and what was serving is
 * `leaving`, for the dialogues that are on it, until the next one comes. When there is nobody to connect to any more, what is
 * serving takes no new dialogues either.
 *
 * Without a connection calls wait as long as one is on its way, and hear LATER at once during a pause. A call that is with the
 * client when its connection breaks hears it with the client's next line. */
#include "dovecot_wire.h"

#include <stdlib.h>

#include <postrider/base/base64.h>
#include <postrider/base/map.h>
#include <postrider/base/random.h>
#include <postrider/crypto.h>

#define GREETING_MS (5 * SECOND_MS)
#define RENEW_MS (30 * SECOND_MS)
#define ANSWER_MS \
	(30 * SECOND_MS) /* Dovecot lets those who failed wait: auth_failure_delay, 2 s unless set */
#define FIRST_PAUSE_MS 100
#define LAST_PAUSE_MS (10 * SECOND_MS)
#define DOWN_AFTER_MS SECOND_MS /* a restart is not worth a word */
#define STEADY_MS SECOND_MS     /* a connection that lasted so long was none that Dovecot throws away */
#define CALLS_MAX 1000
#define TIMEOUTS_MAX 3 /* in a row, without a word about any request: it hangs */
#define USER_MAX 512
#define WHY_MAX 512
#define NAME_MAX_BYTES 256

struct dovecot {
	struct auth_backend backend; /* first */
	struct io *io;
	struct io_address address;
	struct dovecot_wire *coming, *serving, *leaving; /* NULL: none */
	struct io_timer next;                            /* when a wire is to be made */
	unsigned pauses;                                 /* that failed one after the other */
	unsigned timeouts;
	int64_t serving_since_at;
	bool has_greeted;
	unsigned mechanisms;
	struct map calls; /* by id */
	uint32_t next_id;
	struct random random;
	bool is_closing; /* goes with its last call */
	struct buf name; /* the address as written, for people */
	struct auth_backend_news news;
	bool is_down; /* and that was said */
	int64_t down_since_at;
};

enum call_state {
	CALL_WAITING,   /* for a wire; line is what to send then */
	CALL_ASKED,     /* Dovecot's turn */
	CALL_CONTINUED, /* the client's turn */
	CALL_BROKEN,    /* the client's turn, and the dialogue is lost */
	CALL_FAILING,   /* LATER will be said in a later turn */
};

struct auth_call {
	struct map_item item;
	struct dovecot *dovecot;
	struct dovecot_wire *wire; /* when ASKED or CONTINUED */
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

static void make_wire(struct dovecot *d);

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
	buf_fini(&d->name);
	free(d);
}

static bool has_calls(struct dovecot *d, const struct dovecot_wire *w)
{
	for (struct map_item *it = map_next(&d->calls, NULL); it; it = map_next(&d->calls, it)) {
		if (CONTAINER_OF(it, struct auth_call, item)->wire == w)
			return true;
	}
	return false;
}

/* The last one to leave shuts the door. */
static void leave_wire(struct auth_call *c)
{
	struct dovecot *d = c->dovecot;
	const struct dovecot_wire *w = c->wire;

	c->wire = NULL;
	if (w && w == d->leaving && !has_calls(d, w))
		dovecot_wire_drop(&d->leaving);
}

static void free_call(struct auth_call *c)
{
	struct dovecot *d = c->dovecot;

	leave_wire(c);
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
	leave_wire(c);
	c->state = CALL_FAILING;
	c->why = why;
	io_timer_stop(c->dovecot->io, &c->deadline);
	io_later_run(c->dovecot->io, &c->later, on_fail_later, c);
}

/* Its dialogue with Dovecot is lost; whose turn it is decides when that can be said. */
static void lose(struct auth_call *c, const char *why)
{
	if (c->state == CALL_CONTINUED) {
		leave_wire(c);
		c->state = CALL_BROKEN;
		c->why = why;
	} else if (c->state != CALL_BROKEN && c->state != CALL_FAILING) {
		fail_later(c, why);
	}
}

/* Those on a wire. NULL: those that wait for one. */
static void lose_all(struct dovecot *d, const struct dovecot_wire *w, const char *why)
{
	for (struct map_item *it = map_next(&d->calls, NULL); it; it = map_next(&d->calls, it)) {
		struct auth_call *c = CONTAINER_OF(it, struct auth_call, item);

		if (c->wire == w && (w || c->state == CALL_WAITING))
			lose(c, why);
	}
}

/* ---------------------------------------------------------------- asking */

static void drop_wire(struct dovecot *d, struct dovecot_wire **w, const char *why)
{
	if (*w)
		lose_all(d, *w, why);
	dovecot_wire_drop(w);
}

static void send_cancel(struct auth_call *c)
{
	struct buf line = BUF(64);

	dovecot_write_cancel(&line, c->id);
	dovecot_wire_send(c->wire, buf_text(&line));
	buf_fini(&line);
}

static void on_next(void *owner)
{
	make_wire(owner);
}

static void make_wire_in(struct dovecot *d, int64_t ms)
{
	/* Without memory for the timer the next call makes one. */
	if (io_timer_start(d->io, &d->next, io_now_at(d->io) + ms, on_next, d))
		return;
}

static void on_deadline(void *owner)
{
	struct auth_call *c = owner;
	struct dovecot *d = c->dovecot;
	bool is_serving = c->wire == d->serving;

	send_cancel(c);
	fail_later(c, "Dovecot did not answer in time");
	if (++d->timeouts < TIMEOUTS_MAX || !is_serving)
		return;
	d->timeouts = 0;
	drop_wire(d, &d->serving, "Dovecot does not answer");
	if (!d->coming)
		make_wire_in(d, 0);
}

/* Without memory for the timer the call cannot be bounded, and so is not made. */
static void ask(struct auth_call *c, struct dovecot_wire *w)
{
	struct dovecot *d = c->dovecot;

	if (io_timer_start(d->io, &c->deadline, io_now_at(d->io) + ANSWER_MS, on_deadline, c)) {
		fail_later(c, "out of memory");
		return;
	}
	c->state = CALL_ASKED;
	c->wire = w;
	dovecot_wire_send(w, buf_text(&c->line));
	wipe_line(&c->line);
}

/* ---------------------------------------------------------------- what Dovecot says */

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

static void on_said(void *owner, struct dovecot_wire *w, const struct dovecot_line *line)
{
	struct dovecot *d = owner;
	struct auth_call *c = find_call(d, line->id);

	d->timeouts = 0;
	if (!c || c->wire != w)
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

/* ---------------------------------------------------------------- connections */

static void tell(struct dovecot *d, bool is_bad, const char *why)
{
	AUTO(buf_fini) struct buf what = BUF(1024);

	if (!d->news.fn)
		return;
	buf_add_format(&what, "the Dovecot at %.*s ", TEXT_ARGS(buf_text(&d->name)));
	if (is_bad)
		buf_add_format(
			&what,
			"checks no logins: %s; until it is back they are answered 454. Look whether it runs.",
			why);
	else
		buf_add_string(&what, "is back");
	d->news.fn(d->news.owner, is_bad, buf_text(&what));
}

static void note_down(struct dovecot *d, const char *why)
{
	int64_t now_at = io_now_at(d->io);

	if (d->down_since_at == 0)
		d->down_since_at = now_at;
	if (d->is_down || now_at - d->down_since_at < DOWN_AFTER_MS)
		return;
	d->is_down = true;
	tell(d, true, why);
}

static void note_up(struct dovecot *d)
{
	d->down_since_at = 0;
	if (d->is_down)
		tell(d, false, NULL);
	d->is_down = false;
}

/* 100 ms, 200 ms, ... 10 s, a quarter more or less. */
static void begin_pause(struct dovecot *d)
{
	int64_t pause_ms = MIN(FIRST_PAUSE_MS << MIN(d->pauses, 10u), LAST_PAUSE_MS);

	pause_ms += (int64_t)random_below(&d->random, (uint64_t)pause_ms / 2) - pause_ms / 4;
	d->pauses++;
	make_wire_in(d, pause_ms);
}

/* What is under way on it may still end, but not for ever. */
static void let_serving_leave(struct dovecot *d)
{
	drop_wire(d, &d->leaving, "Dovecot was started anew");
	if (d->serving && has_calls(d, d->serving)) {
		d->leaving = d->serving;
		d->serving = NULL;
	}
	drop_wire(d, &d->serving, "Dovecot was started anew");
}

static void on_up(void *owner, struct dovecot_wire *w)
{
	struct dovecot *d = owner;

	let_serving_leave(d);
	d->serving = w;
	d->coming = NULL;
	d->serving_since_at = io_now_at(d->io);
	d->timeouts = 0;
	d->has_greeted = true;
	note_up(d);
	d->mechanisms = dovecot_wire_mechanisms(w);
	make_wire_in(d, RENEW_MS);
	for (struct map_item *it = map_next(&d->calls, NULL); it; it = map_next(&d->calls, it)) {
		struct auth_call *c = CONTAINER_OF(it, struct auth_call, item);

		if (c->state == CALL_WAITING)
			ask(c, w);
	}
}

static void no_wire_came(struct dovecot *d, enum err err, const char *why)
{
	bool is_gone = err == ERR_REFUSED || err == ERR_NOT_FOUND;

	if (is_gone && d->serving)
		let_serving_leave(d);
	if (!d->serving) {
		lose_all(d, NULL, why);
		note_down(d, why);
	}
	begin_pause(d);
}

static void serving_broke(struct dovecot *d, const char *why)
{
	bool was_steady = io_now_at(d->io) - d->serving_since_at >= STEADY_MS;

	drop_wire(d, &d->serving, why);
	if (d->coming)
		return;
	if (was_steady) {
		d->pauses = 0;
		make_wire_in(d, 0);
	} else {
		begin_pause(d);
	}
}

static void on_broken(void *owner, struct dovecot_wire *w, enum err err, const char *why)
{
	struct dovecot *d = owner;

	if (w == d->coming) {
		dovecot_wire_drop(&d->coming);
		no_wire_came(d, err, why);
	} else if (w == d->serving) {
		serving_broke(d, why);
	} else {
		drop_wire(d, &d->leaving, why);
	}
}

static const struct dovecot_wire_events wire_events = {
	.on_up = on_up,
	.on_said = on_said,
	.on_broken = on_broken,
};

static void make_wire(struct dovecot *d)
{
	const struct dovecot_wire_options options = {
		.io = d->io,
		.to = &d->address,
		.client_id = (uint32_t)random_below(&d->random, INT32_MAX) + 1,
		.greeting_ms = GREETING_MS,
		.events = &wire_events,
		.owner = d,
	};
	enum err err = d->coming ? ERR_OK : dovecot_wire_new(&options, &d->coming);

	if (err)
		no_wire_came(d, err, dovecot_wire_problem(err));
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
	if (!d->serving && !d->coming && !io_timer_runs(&d->next))
		make_wire(d);
	if (d->serving)
		ask(c, d->serving);
	else if (!d->coming && d->pauses && c->state == CALL_WAITING)
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
		send_cancel(c);
		fail_later(c, "the answer does not fit into a line for Dovecot");
		return;
	}
	ask(c, c->wire);
}

static void cancel(struct auth_call **slot)
{
	struct auth_call *c = *slot;

	if (!c)
		return;
	*slot = NULL;
	if (c->state == CALL_ASKED || c->state == CALL_CONTINUED)
		send_cancel(c);
	free_call(c);
}

static void close_backend(struct auth_backend **b)
{
	static const char why[] = "the configuration was changed";
	struct dovecot *d = dovecot_of(*b);

	*b = NULL;
	io_timer_stop(d->io, &d->next);
	dovecot_wire_drop(&d->coming);
	drop_wire(d, &d->serving, why);
	drop_wire(d, &d->leaving, why);
	lose_all(d, NULL, why);
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

enum err auth_dovecot_new(struct io *io, const struct config_endpoint *address, struct auth_backend_news news,
                          struct auth_backend **out)
{
	struct dovecot *d = calloc(1, sizeof(*d));
	enum err err = d ? address_of(address, &d->address) : ERR_NOMEM;

	if (!err) {
		buf_init(&d->name, NAME_MAX_BYTES);
		buf_add(&d->name, text_head(address->text, NAME_MAX_BYTES));
		err = buf_err(&d->name);
	}
	if (err) {
		free(d);
		return err;
	}
	d->news = news;
	d->backend.ops = &ops;
	d->io = io;
	map_init(&d->calls, false, io_random_u64(io));
	random_init(&d->random, io_random_u64(io));
	make_wire_in(d, 0);
	*out = &d->backend;
	return ERR_OK;
}
