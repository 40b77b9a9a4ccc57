#include "support/dns_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MAX_STEPS 200000

/* ---------------------------------------------------------------- events */

struct datagram {
	struct io_datagram d;
	struct list link;
	uint64_t number;
	int server;
};

struct stream {
	struct io_stream s;
	struct list link;
	int server;
	struct buf in;
	bool closed;
};

enum event_kind {
	EVENT_DATAGRAM,
	EVENT_DATAGRAM_ERROR,
	EVENT_CONNECTED,
	EVENT_REFUSED,
	EVENT_DATA,
	EVENT_EOF,
	EVENT_CLOSED
};

struct event {
	struct list link;
	int64_t at;
	enum event_kind kind;
	uint64_t socket; /* of a datagram */
	struct stream *stream;
	size_t len;
	char octets[];
};

static struct dns_world *world_of(struct io *io)
{
	return CONTAINER_OF(io, struct dns_world, io);
}

static void add_event(struct dns_world *w, const struct event *from, int64_t delay_ms, struct text octets)
{
	struct event *e = test_malloc(sizeof(*e) + octets.len);
	struct list *place = w->events.prev;

	*e = *from;
	e->at = w->now_at + delay_ms;
	e->len = octets.len;
	memcpy(e->octets, octets.at, octets.len);
	while (place != &w->events && LIST_ITEM(place, struct event, link)->at > e->at)
		place = place->prev;
	list_insert_before(place->next, &e->link);
}

static void drop_events_of(struct dns_world *w, const struct stream *s)
{
	for (LIST_EACH_SAFE(it, &w->events)) {
		struct event *e = LIST_ITEM(it, struct event, link);

		if (e->stream != s)
			continue;
		list_remove(&e->link);
		test_free(e);
	}
}

static struct datagram *find_datagram(struct dns_world *w, uint64_t number)
{
	for (LIST_EACH(it, &w->datagrams))
		if (LIST_ITEM(it, struct datagram, link)->number == number)
			return LIST_ITEM(it, struct datagram, link);
	return NULL;
}

static void free_stream(struct dns_world *w, struct stream *s)
{
	io_stream_world_closed(&s->s);
	drop_events_of(w, s);
	buf_fini(&s->in);
	test_free(s);
	w->open_streams--;
}

static void run_event(struct dns_world *w, struct event *e)
{
	struct datagram *d = find_datagram(w, e->socket);

	switch (e->kind) {
	case EVENT_DATAGRAM:
		if (d)
			d->d.on_datagram(d->d.owner, ERR_OK, text_of(e->octets, e->len));
		return;
	case EVENT_DATAGRAM_ERROR:
		if (d)
			d->d.on_datagram(d->d.owner, ERR_REFUSED, TEXT_EMPTY);
		return;
	case EVENT_CONNECTED:
		io_stream_world_connected(&e->stream->s);
		return;
	case EVENT_REFUSED:
		io_stream_world_failed(&e->stream->s, ERR_REFUSED);
		return;
	case EVENT_DATA:
		io_stream_world_data(&e->stream->s, text_of(e->octets, e->len));
		return;
	case EVENT_EOF:
		io_stream_world_eof(&e->stream->s);
		return;
	case EVENT_CLOSED:
		free_stream(w, e->stream);
		return;
	}
}

/* ---------------------------------------------------------------- the servers */

static bool fits(const struct dns_rule *r, const struct dns_world *w, int server,
                 const struct dns_message_query *q, bool tcp)
{
	unsigned used = w->used[r - w->rules];

	return r->server == server && (!r->type || text_eq(text_from(r->type), text_from(q->type_text))) &&
	       (!r->name || text_eq(text_from(r->name), dns_message_query_name(q))) &&
	       (r->way == DNS_ANY_WAY || (r->way == DNS_TCP) == tcp) && (r->times == 0 || used < r->times) &&
	       !(r->only_plain && q->edns);
}

static const struct dns_rule *find_rule(struct dns_world *w, int server, const struct dns_message_query *q,
                                        bool tcp)
{
	for (size_t i = 0; i < w->rule_count; i++) {
		if (!fits(&w->rules[i], w, server, q, tcp))
			continue;
		w->used[i]++;
		return &w->rules[i];
	}
	return NULL;
}

static size_t read_records(const char *lines, struct dns_record *out, size_t max)
{
	struct text t = text_from(lines);
	enum dns_section section = DNS_SECTION_ANSWER;
	size_t count = 0;

	while (t.len > 0) {
		struct text line = text_cut(&t, '\n');
		uint64_t ttl;

		if (text_eq(line, TEXT("--"))) {
			section = DNS_SECTION_AUTHORITY;
			continue;
		}
		assert_true(count < max);
		struct dns_record *r = &out[count++];

		r->section = section;
		r->name = text_cut(&line, ' ');
		assert_int_equal(text_to_u64(text_cut(&line, ' '), UINT32_MAX, &ttl), ERR_OK);
		r->ttl = (uint32_t)ttl;
		r->type = text_cut(&line, ' ');
		r->data = line;
	}
	return count;
}

/* False: no memory, and so no answer. */
static bool build_reply(const struct dns_rule *r, const struct dns_message_query *q, struct text query,
                        bool tcp, struct buf *out)
{
	struct dns_record *records = test_calloc(2048, sizeof(*records));
	struct dns_message_reply reply = {
		.rcode = r->rcode,
		.authentic = r->authentic,
		.authoritative = r->authoritative,
		.truncated = r->truncated && !tcp,
		.no_edns = r->no_edns,
		.limit_bytes = r->limit && !tcp ? q->udp_bytes : 0,
		.records = records,
		.count = r->records ? read_records(r->records, records, 2048) : 0,
	};

	enum err err = dns_message_build_reply(query, &reply, out);

	assert_true(err == ERR_OK || err == ERR_NOMEM);
	test_free(records);
	return err == ERR_OK;
}

static void capitals(struct buf *reply)
{
	for (size_t i = 12; reply->at[i]; i++)
		if (reply->at[i] >= 'a' && reply->at[i] <= 'z')
			reply->at[i] = (char)(reply->at[i] - 32);
}

static void spoil(enum dns_does does, struct buf *reply)
{
	size_t question_end = 12 + strlen(reply->at + 12) + 1;

	switch (does) {
	case DNS_WRONG_ID:
		reply->at[1] ^= 1;
		return;
	case DNS_WRONG_NAME:
		reply->at[13] = reply->at[13] == 'x' ? 'y' : 'x';
		return;
	case DNS_WRONG_TYPE:
		reply->at[question_end + 1] = 16;
		return;
	case DNS_NO_RESPONSE_BIT:
		reply->at[2] &= 0x7f;
		return;
	case DNS_WRONG_OPCODE:
		reply->at[2] |= 0x20;
		return;
	case DNS_UPPER_CASE:
		capitals(reply);
		return;
	case DNS_TWO_QUESTIONS:
		reply->at[5] = 2;
		return;
	case DNS_GARBAGE:
		for (size_t i = question_end + 4; i < reply->len; i++)
			reply->at[i] = (char)(0xc0 | i);
		return;
	case DNS_SHORT:
		buf_cut(reply, 5);
		return;
	case DNS_CUT:
		buf_cut(reply, reply->len - 3);
		return;
	case DNS_HEADER_ONLY:
		memset(reply->at + 4, 0, 8);
		buf_cut(reply, 12);
		return;
	default:
		return;
	}
}

static void log_question(struct dns_world *w, int server, const struct dns_message_query *q, bool tcp)
{
	buf_add_format(&w->log, "%lld #%d %s%s %s %.*s\n", (long long)w->now_at, server, tcp ? "tcp" : "udp",
	               q->edns ? "" : " plain", q->type_text, TEXT_ARGS(dns_message_query_name(q)));
	if (w->ids_count < ARRAY_LEN(w->ids))
		w->ids[w->ids_count++] = q->id;
	assert_true(q->recursion_desired);
	if (q->edns)
		assert_int_equal(q->udp_bytes, 1232);
}

static void answer_datagram(struct dns_world *w, struct datagram *d, struct text query)
{
	struct dns_message_query q;
	struct event e = { .kind = EVENT_DATAGRAM, .socket = d->number };
	struct buf reply = BUF(65535);

	assert_int_equal(dns_message_read_query(query, &q), ERR_OK);
	log_question(w, d->server, &q, false);
	const struct dns_rule *r = find_rule(w, d->server, &q, false);

	if (!r || r->does == DNS_IS_SILENT)
		return;
	if (r->does == DNS_PORT_CLOSED) {
		e.kind = EVENT_DATAGRAM_ERROR;
		add_event(w, &e, r->delay_ms, TEXT_EMPTY);
		return;
	}
	if (build_reply(r, &q, query, false, &reply)) {
		spoil(r->does, &reply);
		add_event(w, &e, r->delay_ms, buf_text(&reply));
	}
	buf_fini(&reply);
}

static void say_over_tcp(struct dns_world *w, struct stream *s, const struct dns_rule *r, struct text reply)
{
	struct event e = { .kind = EVENT_DATA, .stream = s };
	char length[2] = { (char)(reply.len >> 8), (char)reply.len };

	if (r->does == DNS_TCP_BY_OCTETS) {
		add_event(w, &e, r->delay_ms, text_of(length, 1));
		add_event(w, &e, r->delay_ms + 1, text_of(length + 1, 1));
		for (size_t i = 0; i < reply.len; i++)
			add_event(w, &e, r->delay_ms + 2, text_of(reply.at + i, 1));
		return;
	}
	add_event(w, &e, r->delay_ms, text_of(length, 2));
	reply = text_head(reply, r->does == DNS_TCP_HALF ? reply.len / 2 : reply.len);
	for (; reply.len > 0; reply = text_skip(reply, IO_READ_BYTES))
		add_event(w, &e, r->delay_ms, text_head(reply, IO_READ_BYTES));
}

static void answer_over_tcp(struct dns_world *w, struct stream *s, struct text query)
{
	struct dns_message_query q;
	struct event eof = { .kind = EVENT_EOF, .stream = s };
	struct buf reply = BUF(65535);

	assert_int_equal(dns_message_read_query(query, &q), ERR_OK);
	log_question(w, s->server, &q, true);
	const struct dns_rule *r = find_rule(w, s->server, &q, true);

	if (!r || r->does == DNS_IS_SILENT)
		return;
	if (r->does == DNS_TCP_CLOSES) {
		add_event(w, &eof, r->delay_ms, TEXT_EMPTY);
		return;
	}
	if (build_reply(r, &q, query, true, &reply)) {
		spoil(r->does, &reply);
		say_over_tcp(w, s, r, buf_text(&reply));
	}
	buf_fini(&reply);
}

/* ---------------------------------------------------------------- the world's table */

static int server_at(const struct dns_world *w, const struct ip_port *at)
{
	for (int i = 0; i < DNS_WORLD_SERVERS; i++)
		if (ip_eq(w->servers[i].ip, at->ip) && w->servers[i].port == at->port)
			return i;
	fail_msg("nobody is at this address");
	return -1;
}

static int64_t now_at(struct io *io)
{
	return world_of(io)->now_at;
}

static int64_t now_time_us(struct io *io)
{
	return world_of(io)->now_at * 1000;
}

static uint64_t clock_us(struct io *io)
{
	return (uint64_t)world_of(io)->now_at * 1000;
}

static uint64_t world_random(struct io *io)
{
	return random_u64(&world_of(io)->random);
}

static void set_wake(struct io *io, int64_t at_ms)
{
	world_of(io)->wake_at = at_ms;
}

static enum err datagram_open(struct io *io, const struct ip_port *peer, struct io_datagram **out)
{
	struct dns_world *w = world_of(io);

	if (w->max_sockets && w->open_sockets >= w->max_sockets)
		return ERR_BUSY;
	struct datagram *d = test_calloc(1, sizeof(*d));

	d->d.io = io;
	d->d.peer = *peer;
	d->server = server_at(w, peer);
	d->number = ++w->last_socket;
	list_append(&w->datagrams, &d->link);
	w->open_sockets++;
	w->most_sockets = MAX(w->most_sockets, w->open_sockets);
	*out = &d->d;
	return ERR_OK;
}

static enum err datagram_send(struct io_datagram *d, struct text octets)
{
	struct dns_world *w = world_of(d->io);

	if (w->sending_fails)
		return ERR_UNREACHABLE;
	answer_datagram(w, CONTAINER_OF(d, struct datagram, d), octets);
	return ERR_OK;
}

static void datagram_close(struct io_datagram *d)
{
	struct datagram *datagram = CONTAINER_OF(d, struct datagram, d);

	list_remove(&datagram->link);
	world_of(d->io)->open_sockets--;
	test_free(datagram);
}

static enum err world_connect(struct io *io, const struct io_address *to, const struct ip *source,
                              struct io_stream **out)
{
	struct dns_world *w = world_of(io);
	struct stream *s = test_calloc(1, sizeof(*s));
	struct event e = { .kind = EVENT_CONNECTED, .stream = s };

	(void)source;
	s->server = server_at(w, &to->ip);
	s->in = BUF(1024);
	io_stream_world_init(&s->s, io);
	s->s.peer = *to;
	for (size_t i = 0; i < w->rule_count; i++)
		if (w->rules[i].way == DNS_TCP && w->rules[i].server == s->server &&
		    w->rules[i].does == DNS_PORT_CLOSED)
			e.kind = EVENT_REFUSED;
	add_event(w, &e, 0, TEXT_EMPTY);
	w->open_streams++;
	*out = &s->s;
	return ERR_OK;
}

static void stream_send(struct io_stream *stream, const struct text *pieces, size_t count)
{
	struct stream *s = CONTAINER_OF(stream, struct stream, s);

	for (size_t i = 0; i < count; i++)
		buf_add(&s->in, pieces[i]);
	size_t len = s->in.len < 2 ? SIZE_MAX
	                           : (size_t)(unsigned char)s->in.at[0] << 8 | (unsigned char)s->in.at[1];

	if (s->in.len >= 2 && s->in.len - 2 == len)
		answer_over_tcp(world_of(stream->io), s, text_skip(buf_text(&s->in), 2));
}

static void stream_read(struct io_stream *stream, bool on)
{
	(void)stream;
	(void)on;
}

static void stream_close(struct io_stream *stream)
{
	struct stream *s = CONTAINER_OF(stream, struct stream, s);

	drop_events_of(world_of(stream->io), s);
	add_event(world_of(stream->io), &(struct event){ .kind = EVENT_CLOSED, .stream = s }, 0, TEXT_EMPTY);
}

static const struct io_world_ops world_ops = {
	.now_at = now_at,
	.now_time_us = now_time_us,
	.clock_us = clock_us,
	.random_u64 = world_random,
	.wake_at = set_wake,
	.connect = world_connect,
	.datagram_open = datagram_open,
	.stream_send = stream_send,
	.stream_read = stream_read,
	.stream_close = stream_close,
	.datagram_send = datagram_send,
	.datagram_close = datagram_close,
};

/* ---------------------------------------------------------------- for tests */

struct dns_options dns_world_options(struct dns_world *w, size_t server_count)
{
	return (struct dns_options){ .io = &w->io, .servers = w->servers, .server_count = server_count };
}

void dns_world_rules(struct dns_world *w, const struct dns_rule *rules, size_t rule_count)
{
	assert_true(rule_count <= DNS_WORLD_RULES);
	w->rules = rules;
	w->rule_count = rule_count;
	memset(w->used, 0, sizeof(w->used));
}

void dns_world_init_without(struct dns_world *w, const struct dns_rule *rules, size_t rule_count)
{
	*w = (struct dns_world){ .wake_at = INT64_MAX, .log = BUF(1024 * 1024) };
	random_init(&w->random, 7);
	list_init(&w->events);
	list_init(&w->datagrams);
	for (unsigned i = 0; i < DNS_WORLD_SERVERS; i++)
		w->servers[i] = (struct ip_port){ ip_from_v4(0xc0000201 + i), 53 };
	io_world_init(&w->io, &world_ops);
	dns_world_rules(w, rules, rule_count);
}

void dns_world_init(struct dns_world *w, const struct dns_rule *rules, size_t rule_count,
                    const struct dns_options *from)
{
	dns_world_init_without(w, rules, rule_count);

	struct dns_options options = from ? *from : dns_world_options(w, 1);

	options.io = &w->io;
	if (!options.servers)
		options.servers = w->servers;
	assert_int_equal(dns_new(&options, &w->dns), ERR_OK);
}

void dns_world_fini(struct dns_world *w)
{
	dns_free(&w->dns);
	dns_world_run(w);
	assert_int_equal(w->open_sockets, 0);
	assert_int_equal(w->open_streams, 0);
	buf_fini(&w->log);
	io_world_fini(&w->io);
}

static struct event *next_event(struct dns_world *w)
{
	return LIST_FIRST(&w->events, struct event, link);
}

void dns_world_run_until(struct dns_world *w, int64_t at_ms)
{
	for (unsigned step = 0; step < MAX_STEPS; step++) {
		struct event *e = next_event(w);
		int64_t next = MIN(w->wake_at, e ? e->at : INT64_MAX);

		if (next > at_ms || next == INT64_MAX) {
			if (at_ms != INT64_MAX)
				w->now_at = MAX(w->now_at, at_ms);
			return;
		}
		w->now_at = MAX(w->now_at, next);
		if (e && e->at <= w->now_at && e->at <= w->wake_at) {
			list_remove(&e->link);
			run_event(w, e);
			test_free(e);
		} else {
			io_world_turn(&w->io);
		}
	}
	fail_msg("the world does not come to rest");
}

void dns_world_run(struct dns_world *w)
{
	dns_world_run_until(w, INT64_MAX);
}

void dns_world_repeat_event(struct dns_world *w, unsigned times)
{
	const struct event *e = next_event(w);

	assert_non_null(e);
	for (unsigned i = 0; i < times; i++)
		add_event(w, e, e->at - w->now_at, text_of(e->octets, e->len));
}

const char *dns_world_log(struct dns_world *w)
{
	static const char nothing[] = "";

	buf_add_octet(&w->log, '\0');
	const char *log = w->log.at ? w->log.at : nothing;

	w->log.len = 0;
	return log;
}

static void end_outcome(struct dns_outcome *o, enum err err, struct buf *text, bool secure,
                        struct text problem)
{
	assert_null(o->slot);
	if (err)
		buf_add_format(text, "%s: %.*s", err_text(err), TEXT_ARGS(problem));
	if (secure)
		buf_add_string(text, " (secure)");
	struct text said = buf_err(text) ? TEXT_EMPTY : buf_text(text);

	assert_int_not_equal(buf_err(text), ERR_TOO_BIG);
	memcpy(o->text, said.at, said.len);
	o->text[said.len] = '\0';
	o->calls++;
	o->err = err;
	o->done_at = o->world->now_at;
	if (o->then)
		o->then(o);
}

static void on_mx(void *owner, enum err err, const struct dns_mx_list *mx, struct text problem)
{
	struct dns_outcome *o = owner;
	struct buf text = BUF(sizeof(o->text) - 1);

	if (mx && mx->is_null)
		buf_add_string(&text, "null");
	if (mx && mx->is_implicit)
		buf_add_string(&text, "implicit ");
	for (size_t i = 0; mx && i < mx->count; i++) {
		buf_add_string(&text, i ? ", " : "");
		if (!mx->is_implicit)
			buf_add_format(&text, "%u ", mx->hosts[i].preference);
		buf_add(&text, mx->hosts[i].host);
	}
	if (mx && !mx->is_implicit && !mx->is_null)
		buf_add_format(&text, " of %.*s", TEXT_ARGS(mx->canonical));
	end_outcome(o, err, &text, mx && mx->secure, problem);
	buf_fini(&text);
}

static void on_addresses(void *owner, enum err err, const struct dns_address_list *found, struct text problem)
{
	struct dns_outcome *o = owner;
	struct buf text = BUF(sizeof(o->text) - 1);

	for (size_t i = 0; found && i < found->count; i++) {
		buf_add_string(&text, i ? " " : "");
		ip_add(&text, found->addresses[i]);
	}
	end_outcome(o, err, &text, found && found->secure, problem);
	buf_fini(&text);
}

static void began(struct dns_outcome *o, enum err err)
{
	o->err = err;
	assert_int_equal(o->calls, 0);
	assert_int_equal(o->slot == NULL, err != ERR_OK);
}

void dns_world_find_mx(struct dns_world *w, const char *name, struct dns_outcome *o)
{
	*o = (struct dns_outcome){ .world = w, .then = o->then, .with = o->with };
	began(o, dns_find_mx(w->dns, text_from(name), &o->slot, on_mx, o));
}

void dns_world_find(struct dns_world *w, const char *name, enum dns_families families, struct dns_outcome *o)
{
	*o = (struct dns_outcome){ .world = w, .then = o->then, .with = o->with };
	began(o, dns_find_addresses(w->dns, text_from(name), families, &o->slot, on_addresses, o));
}
