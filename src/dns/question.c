#include "question.h"

#include <assert.h>
#include <stdlib.h>

#include <postrider/base/time.h>

#define MAX_TTL_MS DAY_MS
#define MAX_NEGATIVE_TTL_MS HOUR_MS
/* So many wrong answers are no accident: somebody guesses ids. TCP cannot be guessed at like that. */
#define MAX_WRONG 16

/* ---------------------------------------------------------------- making and freeing */

enum err question_new(struct resolver *r, const struct name *name, uint16_t type, struct question **out)
{
	size_t servers = r->servers->count;
	struct question *q = calloc(1, sizeof(*q) + servers * sizeof(q->attempts[0]));

	if (!q)
		return ERR_NOMEM;
	list_init(&q->link);
	list_init(&q->waiters);
	q->resolver = r;
	q->servers = servers_ref(r->servers);
	q->key = question_key(name, type);
	q->name = q->end = *name;
	q->type = type;
	q->ttl_s = INT32_MAX;
	q->secure = true;
	for (size_t i = 0; i < servers; i++)
		q->attempts[i].question = q;
	*out = q;
	return ERR_OK;
}

static void close_sockets(struct question *q)
{
	exchange_close(&q->tcp);
	q->tcp_attempt = NULL;
	for (size_t i = 0; i < q->servers->count; i++)
		io_datagram_close(&q->attempts[i].socket);
}

void question_free(struct question **pointer)
{
	struct question *q = TAKE(*pointer);

	if (!q)
		return;
	close_sockets(q);
	io_timer_stop(q->resolver->io, &q->timer);
	list_remove(&q->link);
	servers_unref(&q->servers);
	free(q);
}

/* ---------------------------------------------------------------- the end */

static struct server *server_of(const struct attempt *a)
{
	return &a->question->servers->list[a - a->question->attempts];
}

static void add_question(struct buf *b, const struct question *q)
{
	buf_add_string(b, " for ");
	buf_add_string(b, wire_type_text(q->type));
	buf_add_string(b, " of ");
	buf_add(b, name_text(&q->end));
	if (name_eq(&q->end, &q->name))
		return;
	buf_add_string(b, ", to which ");
	buf_add(b, name_text(&q->name));
	buf_add_string(b, " leads");
}

static void end(struct question *q, struct answer *answer, const struct buf *problem)
{
	struct answer *copy = NULL;

	answer->canonical = name_text(&q->end);
	answer->problem = buf_text(problem);
	if (answer_new(answer, &copy))
		copy = answer_no_memory();
	resolver_finish(q, copy);
}

static void fail(struct question *q, enum err err, const struct buf *problem)
{
	end(q, &(struct answer){ .kind = ANSWER_FAILED, .err = err }, problem);
}

/* Nobody is left to ask, or no time: what the last one who answered said, or that nobody did. */
static void give_up(struct question *q)
{
	struct buf problem = BUF(1024);

	if (q->trouble[0]) {
		buf_add_string(&problem, q->trouble);
	} else if (q->servers->count == 0) {
		buf_add_string(&problem, "no DNS server is configured");
	} else {
		buf_add_string(&problem, "no answer from ");
		for (size_t i = 0; i < q->servers->count; i++) {
			buf_add_string(&problem, i ? ", " : "");
			ip_port_add(&problem, q->servers->list[i].at);
		}
		buf_add_string(&problem, " within ");
		time_add_duration(&problem, q->servers->timeout_ms);
	}
	add_question(&problem, q);
	if (!q->was_refused && q->servers->count > 0)
		q->resolver->counts.timeouts++;
	fail(q, q->was_refused || q->servers->count == 0 ? ERR_TEMPORARY : ERR_TIMEOUT, &problem);
	buf_fini(&problem);
}

static void note_trouble(struct attempt *a, const char *what)
{
	struct question *q = a->question;
	struct buf b = BUF(sizeof(q->trouble) - 1);

	buf_add_string(&b, what);
	buf_add_string(&b, " from ");
	ip_port_add(&b, server_of(a)->at);
	memcpy(q->trouble, b.at ? b.at : "", b.len);
	q->trouble[b.len] = '\0';
	buf_fini(&b);
}
static int64_t ttl_ms(const struct question *q, const struct answer *a, uint32_t ttl_s)
{
	bool positive = a->kind == ANSWER_RECORDS || a->kind == ANSWER_NULL_MX || a->kind == ANSWER_UNUSABLE;

	return MIN((int64_t)MIN(ttl_s, q->ttl_s) * SECOND_MS, positive ? MAX_TTL_MS : MAX_NEGATIVE_TTL_MS);
}

static const char *describe(enum wire_said said)
{
	switch (said) {
	case WIRE_SAYS_NO_NAME:
		return "NXDOMAIN";
	case WIRE_SAYS_NO_DATA:
		return "no record";
	case WIRE_SAYS_NULL_MX:
		return "null MX";
	case WIRE_SAYS_UNUSABLE:
		return "no usable record";
	default:
		return "";
	}
}

static enum answer_kind kind_of(enum wire_said said)
{
	switch (said) {
	case WIRE_SAYS_NO_NAME:
		return ANSWER_NO_NAME;
	case WIRE_SAYS_NO_DATA:
		return ANSWER_NO_DATA;
	case WIRE_SAYS_NULL_MX:
		return ANSWER_NULL_MX;
	case WIRE_SAYS_UNUSABLE:
		return ANSWER_UNUSABLE;
	default:
		return ANSWER_RECORDS;
	}
}

static void end_with_reply(struct attempt *a, const struct wire_reply *r)
{
	struct question *q = a->question;
	struct buf problem = BUF(1024);
	struct answer answer = {
		.kind = kind_of(r->said),
		.secure = q->secure,
		.addresses = r->addresses,
		.mx = r->mx,
		.tlsa = r->tlsa,
		.texts = r->texts,
		.count = r->count,
	};

	answer.ttl_ms = ttl_ms(q, &answer, r->ttl_s);
	if (answer.kind != ANSWER_RECORDS) {
		buf_add_string(&problem, describe(r->said));
		buf_add_string(&problem, " from ");
		ip_port_add(&problem, server_of(a)->at);
		add_question(&problem, q);
	}
	end(q, &answer, &problem);
	buf_fini(&problem);
}

/* What the end of a chain is, was known already. */
static void end_with_cached(struct question *q, const struct answer *cached, int64_t left_ms)
{
	struct answer answer = *cached;
	struct answer *copy = NULL;

	answer.secure = q->secure && cached->secure;
	answer.ttl_ms = MIN(left_ms, (int64_t)q->ttl_s * SECOND_MS);
	if (answer_new(&answer, &copy))
		copy = answer_no_memory();
	resolver_finish(q, copy);
}

/* ---------------------------------------------------------------- asking */

static void on_timer(void *owner);
static void on_datagram(void *owner, enum err err, struct text octets);
static void on_tcp(void *owner, enum err err, struct text octets);

/* The last thing its callers do: without memory the question is over. */
static void arm(struct question *q, int64_t wait_ms)
{
	struct io *io = q->resolver->io;

	if (io_timer_start(io, &q->timer, MIN(io_now_at(io) + wait_ms, q->deadline_at), on_timer, q))
		resolver_finish(q, answer_no_memory());
}

static enum err build(struct attempt *a, struct wire_query *query)
{
	struct question *q = a->question;
	const struct server *server = server_of(a);

	a->edns = server->plain_until_at <= io_now_at(q->resolver->io);
	return wire_build_query(&(struct wire_question){ a->id, &q->end, q->type, a->edns, server->trusted },
	                        query);
}

/* The same socket and id when a server is asked again: an answer to the first time is as good. */
static enum err send_datagram(struct attempt *a)
{
	struct resolver *r = a->question->resolver;
	struct wire_query query;
	enum err err = ERR_OK;

	if (!a->socket) {
		a->id = resolver_id(r);
		a->wrong = 0;
		err = io_datagram_open(r->io, &server_of(a)->at, on_datagram, a, &a->socket);
	}
	if (!err)
		err = build(a, &query);
	if (!err)
		err = io_datagram_send(a->socket, text_of(query.at, query.len));
	if (!err)
		r->counts.queries++;
	return err;
}

static struct attempt *attempt_of_turn(struct question *q, unsigned turn)
{
	assert(q->servers->count > 0);
	return &q->attempts[(q->first + turn) % q->servers->count];
}

static void note_silence(struct attempt *a, enum err err)
{
	char what[64];
	struct buf b = BUF(sizeof(what) - 1);

	buf_add_format(&b, "no answer (%s)", err_text(err));
	memcpy(what, b.at ? b.at : "", b.len);
	what[b.len] = '\0';
	buf_fini(&b);
	note_trouble(a, what);
}

/* Asks the server whose turn it is; when that cannot be done, those behind it in this round. Then waits. Only while
 * there is hope. */
static void ask(struct question *q)
{
	unsigned count = (unsigned)q->servers->count;

	while (attempt_of_turn(q, q->turn)->refused)
		q->turn++;
	unsigned round = q->turn / count, turn = q->turn;

	while (q->turn / count == round) {
		struct attempt *a = attempt_of_turn(q, q->turn);
		enum err err;

		turn = q->turn++;
		if (a->refused)
			continue;
		err = send_datagram(a);
		if (!err)
			break;
		io_datagram_close(&a->socket);
		note_silence(a, err);
	}
	arm(q, servers_wait_ms(q->servers, turn));
}

static bool is_awaited(const struct attempt *a)
{
	struct question *q = a->question;

	if (q->tcp_attempt)
		return q->tcp_attempt == a;
	return q->turn > 0 && attempt_of_turn(q, q->turn - 1) == a;
}

/* True when somebody can be asked who has not refused. */
static bool has_hope(const struct question *q)
{
	for (size_t i = 0; i < q->servers->count; i++)
		if (!q->attempts[i].refused)
			return true;
	return false;
}

/* The server answered, and it is of no use: the next one. Nobody left: over. */
static void refuse(struct attempt *a, const char *what)
{
	struct question *q = a->question;
	bool awaited = is_awaited(a);

	note_trouble(a, what);
	a->refused = true;
	q->was_refused = true;
	io_datagram_close(&a->socket);
	if (q->tcp_attempt == a) {
		exchange_close(&q->tcp);
		q->tcp_attempt = NULL;
	}
	if (!has_hope(q))
		give_up(q);
	else if (awaited)
		ask(q);
}

/* Others may help as well: then half of what is left of the time is enough for this one. */
static int64_t tcp_wait_ms(const struct question *q)
{
	int64_t left = q->deadline_at - io_now_at(q->resolver->io);

	for (size_t i = 0; i < q->servers->count; i++)
		if (!q->attempts[i].refused && &q->attempts[i] != q->tcp_attempt)
			return left / 2;
	return left;
}

static void ask_over_tcp(struct attempt *a)
{
	struct question *q = a->question;
	struct resolver *r = q->resolver;
	struct wire_query query;

	if (q->tcp_attempt && q->tcp_attempt != a)
		return;
	io_datagram_close(&a->socket);
	exchange_close(&q->tcp);
	q->tcp_attempt = a;
	a->id = resolver_id(r);
	if (build(a, &query) ||
	    exchange_open(r->io, &server_of(a)->at, text_of(query.at, query.len), on_tcp, a, &q->tcp)) {
		refuse(a, "no TCP connection");
		return;
	}
	r->counts.queries++;
	arm(q, tcp_wait_ms(q));
}

static const char no_tcp_answer[] = "no answer over TCP";

static void on_timer(void *owner)
{
	struct question *q = owner;

	bool is_over = io_now_at(q->resolver->io) >= q->deadline_at;

	if (q->tcp_attempt && !is_over) {
		refuse(q->tcp_attempt, no_tcp_answer);
		return;
	}
	if (!is_over) {
		ask(q);
		return;
	}
	if (q->tcp_attempt) {
		/* it did answer before, over UDP */
		note_trouble(q->tcp_attempt, no_tcp_answer);
		q->was_refused = true;
	}
	give_up(q);
}

static void begin(struct question *q)
{
	close_sockets(q);
	for (size_t i = 0; i < q->servers->count; i++)
		q->attempts[i].refused = false;
	q->first = q->servers->preferred;
	q->turn = 0;
	ask(q);
}

void question_start(struct question *q)
{
	q->runs = true;
	q->deadline_at = io_now_at(q->resolver->io) + q->servers->timeout_ms;
	if (q->servers->count == 0)
		give_up(q);
	else
		begin(q);
}

/* ---------------------------------------------------------------- answers */

static void go_along(struct question *q, const struct wire_reply *r)
{
	struct resolver *resolver = q->resolver;
	struct question_key key = question_key(&r->end, q->type);
	int64_t left_ms;

	q->end = r->end;
	q->aliases += r->aliases;
	q->ttl_s = MIN(q->ttl_s, r->ttl_s);
	struct answer *cached =
		q->is_shared ? cache_find(&resolver->cache, key_text(&key), io_now_at(resolver->io), &left_ms)
			     : NULL;

	if (cached)
		end_with_cached(q, cached, left_ms);
	else
		begin(q);
}

static void end_with_bad_chain(struct attempt *a)
{
	struct buf problem = BUF(1024);

	buf_add_string(&problem, "a CNAME chain that leads nowhere from ");
	ip_port_add(&problem, server_of(a)->at);
	add_question(&problem, a->question);
	fail(a->question, ERR_TEMPORARY, &problem);
	buf_fini(&problem);
}

/* "SERVFAIL (DNSSEC bogus: signature has expired)" */
static void refuse_with_reason(struct attempt *a, unsigned rcode, struct text why)
{
	char what[192];
	struct buf b = BUF(sizeof(what) - 1);

	buf_add_string(&b, wire_rcode_text(rcode));
	if (why.len > 0)
		buf_add_format(&b, " (%.*s)", TEXT_ARGS(why));
	memcpy(what, b.at ? b.at : "", b.len);
	what[b.len] = '\0';
	buf_fini(&b);
	refuse(a, what);
}

static void take_rcode(struct attempt *a, unsigned rcode, struct text why)
{
	struct question *q = a->question;
	struct io *io = q->resolver->io;
	bool over_tcp = q->tcp_attempt == a;

	if (rcode == WIRE_SERVFAIL)
		q->resolver->counts.servfails++;
	if ((rcode != WIRE_FORMERR && rcode != WIRE_BADVERS) || !a->edns) {
		refuse_with_reason(a, rcode, why);
		return;
	}
	/* a server from before EDNS: once more as in 1987 (RFC 6891 section 7) */
	server_of(a)->plain_until_at = io_now_at(io) + SERVER_PLAIN_MS;
	if (over_tcp) {
		ask_over_tcp(a);
		return;
	}
	io_datagram_close(&a->socket);
	if (send_datagram(a))
		refuse(a, wire_rcode_text(rcode));
}

static void take_reply(struct attempt *a, const struct wire_reply *r)
{
	struct question *q = a->question;
	bool useful = r->said <= WIRE_SAYS_ALIAS;

	q->resolver->counts.answers++;
	if (useful) {
		q->servers->preferred = (size_t)(a - q->attempts);
		q->secure = q->secure && r->authentic && server_of(a)->trusted;
	}
	switch (r->said) {
	case WIRE_SAYS_ALIAS:
		go_along(q, r);
		return;
	case WIRE_SAYS_TRUNCATED:
		if (q->tcp_attempt == a)
			refuse(a, "truncated answer over TCP");
		else
			ask_over_tcp(a);
		return;
	case WIRE_SAYS_RCODE:
		take_rcode(a, r->rcode, r->why);
		return;
	case WIRE_SAYS_REFERRAL:
		refuse(a, "a referral (is it a resolver?)");
		return;
	case WIRE_SAYS_BAD_CHAIN:
		end_with_bad_chain(a);
		return;
	default:
		/* the name for people and TLS is the one at the end of the chain */
		q->end = r->end;
		end_with_reply(a, r);
	}
}

static enum err read_reply(struct attempt *a, struct text octets, struct wire_reply *r)
{
	struct question *q = a->question;

	return wire_read(octets, &(struct wire_question){ .id = a->id, .name = &q->end, .type = q->type },
	                 q->aliases, r);
}

static void on_datagram(void *owner, enum err err, struct text octets)
{
	struct attempt *a = owner;
	struct wire_reply reply;

	if (err) {
		/* nobody listens there: the next one of this round at once; after the last one it is worth waiting */
		bool awaited = is_awaited(a);

		io_datagram_close(&a->socket);
		note_silence(a, err);
		if (awaited && !a->question->tcp_attempt &&
		    a->question->turn % a->question->servers->count != 0)
			ask(a->question);
		return;
	}
	if (read_reply(a, octets, &reply)) {
		if (++a->wrong == MAX_WRONG)
			ask_over_tcp(a);
		return;
	}
	take_reply(a, &reply);
	wire_reply_fini(&reply);
}

static void on_tcp(void *owner, enum err err, struct text octets)
{
	struct attempt *a = owner;
	struct wire_reply reply;

	if (err) {
		refuse(a, no_tcp_answer);
		return;
	}
	if (read_reply(a, octets, &reply)) {
		refuse(a, "a wrong answer over TCP");
		return;
	}
	take_reply(a, &reply);
	wire_reply_fini(&reply);
}
