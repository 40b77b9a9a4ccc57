/* postrider-load: sends mail over SMTP as fast as asked, takes it in again where the relay delivers it, and says what
 * happened to each message: how long until the 250, and from the 250 to its arrival.
 *
 * One process, one loop: both ends are timed by the same clock. Every message carries its number in the field X-Load. */
#include <postrider/io/stream.h>
#include <postrider/io/uv.h>

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define HEADER_LOOKED_AT 4096

struct load;

enum client_state {
	CLIENT_GREETING,
	CLIENT_EHLO,
	CLIENT_MAIL,
	CLIENT_RCPT,
	CLIENT_DATA,
	CLIENT_DOT,
	CLIENT_QUIT
};

struct client {
	struct load *load;
	struct io_stream *stream;
	enum client_state state;
	unsigned replies_due; /* of a pipelined group */
	bool refused;
	unsigned sent_here; /* messages in this connection */
	size_t number;
	size_t body_sent;
	bool sending_body;
};

struct message {
	uint64_t began_us, answered_us, arrived_us;
	unsigned arrivals;
};

/* A connection of the relay to us. */
struct arrival {
	struct load *load;
	struct io_stream *stream;
	bool in_data, line_start_dot;
	unsigned char tail_len; /* how much of CR LF . CR LF the data ends with so far */
	char header[HEADER_LOOKED_AT];
	size_t header_len;
};

struct load {
	struct io *io;
	struct io_address to, listen;
	struct io_listener *listener;
	unsigned sessions, per_session, running;
	size_t total, next, answered, refused, failed, arrived, duplicates, unknown;
	size_t size;
	double rate; /* messages a second in all; 0: as fast as it goes */
	bool pipelining;
	const char *from, *recipient;
	char *body;
	size_t body_len;
	struct message *messages;
	uint64_t run, began_us, sent_us, last_us;
	unsigned wait_seconds;
	struct io_timer deadline, pace;
	bool done;
};

static void client_open(struct load *l);
static void begin_message(struct client *c);

static void finish_if_all_here(struct load *l)
{
	if (l->running == 0 && !l->sent_us)
		l->sent_us = io_clock_us(l->io);
	if (l->done || l->running || (l->listener && l->arrived < l->answered))
		return;
	l->done = true;
	io_uv_stop(l->io);
}

/* ---------------------------------------------------------------- sending */

static void say(struct client *c, const char *format, ...) PRINTF_LIKE(2, 3);
static void say(struct client *c, const char *format, ...)
{
	char line[1024];
	struct text t = { line, 0 };
	va_list args;

	va_start(args, format);
	t.len = (size_t)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	io_stream_write(c->stream, &t, 1);
}

static void push_body(struct client *c)
{
	struct load *l = c->load;

	while (c->sending_body && io_stream_unsent(c->stream) == 0) {
		size_t part = MIN(l->body_len - c->body_sent, (size_t)(256 * 1024));
		struct text t = { l->body + c->body_sent, part };

		c->body_sent += part;
		c->sending_body = c->body_sent < l->body_len;
		io_stream_write(c->stream, &t, 1);
	}
}

static void send_message(struct client *c)
{
	struct load *l = c->load;
	char header[512];
	int n = snprintf(
		header, sizeof(header),
		"From: <%s>\r\nTo: <%s>\r\nSubject: load %zu\r\nMessage-ID: <%llx.%zu@load.example>\r\n"
		"Date: Thu, 1 Jan 2026 00:00:00 +0000\r\nX-Load: %llx %zu\r\n\r\n",
		l->from, l->recipient, c->number, (unsigned long long)l->run, c->number,
		(unsigned long long)l->run, c->number);
	size_t first = MIN(l->body_len, (size_t)(256 * 1024));
	struct text pieces[2] = { { header, (size_t)n }, { l->body, first } };

	c->state = CLIENT_DOT;
	c->body_sent = first;
	c->sending_body = first < l->body_len;
	io_stream_write(c->stream, pieces, 2);
	push_body(c);
}

static void quit(struct client *c)
{
	c->state = CLIENT_QUIT;
	say(c, "QUIT\r\n");
}

static bool may_send_now(struct load *l)
{
	if (l->rate <= 0)
		return true;
	return (double)l->next <= (double)(io_clock_us(l->io) - l->began_us) / 1e6 * l->rate;
}

static void begin_message(struct client *c)
{
	struct load *l = c->load;

	if (l->next >= l->total || (l->per_session && c->sent_here >= l->per_session)) {
		quit(c);
		return;
	}
	c->number = l->next++;
	c->sent_here++;
	c->refused = false;
	l->messages[c->number].began_us = io_clock_us(l->io);
	c->state = CLIENT_MAIL;
	if (l->pipelining) {
		c->replies_due = 2;
		say(c, "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n", l->from, l->recipient);
	} else {
		c->replies_due = 0;
		say(c, "MAIL FROM:<%s>\r\n", l->from);
	}
}

struct pause {
	struct io_timer timer;
	struct client *client;
};

static void on_paced(void *owner)
{
	struct pause *p = owner;
	struct client *c = p->client;

	free(p);
	if (!may_send_now(c->load)) {
		p = calloc(1, sizeof(*p));
		p->client = c;
		if (io_timer_start(c->load->io, &p->timer, io_now_at(c->load->io) + 1, on_paced, p))
			abort();
		return;
	}
	begin_message(c);
}

static void next_message(struct client *c)
{
	struct pause *p;

	if (may_send_now(c->load)) {
		begin_message(c);
		return;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	p->client = c;
	if (io_timer_start(c->load->io, &p->timer, io_now_at(c->load->io) + 1, on_paced, p))
		abort();
}

static void on_answer(struct client *c, int code)
{
	struct load *l = c->load;
	struct message *m = &l->messages[c->number];

	switch (c->state) {
	case CLIENT_GREETING:
		c->state = CLIENT_EHLO;
		say(c, "EHLO load.example\r\n");
		return;
	case CLIENT_EHLO:
		next_message(c);
		return;
	case CLIENT_MAIL:
		c->state = CLIENT_RCPT;
		c->refused = c->refused || code >= 400;
		if (!l->pipelining)
			say(c, "RCPT TO:<%s>\r\n", l->recipient);
		return;
	case CLIENT_RCPT:
		c->state = CLIENT_DATA;
		c->refused = c->refused || code >= 400;
		if (!l->pipelining)
			say(c, "DATA\r\n");
		return;
	case CLIENT_DATA:
		if (code == 354) {
			send_message(c);
			return;
		}
		l->refused++;
		say(c, "RSET\r\n");
		c->state = CLIENT_EHLO;
		return;
	case CLIENT_DOT:
		if (code < 400) {
			m->answered_us = io_clock_us(l->io);
			l->answered++;
			l->last_us = m->answered_us;
			if (m->arrivals)
				l->arrived++;
		} else {
			l->refused++;
		}
		next_message(c);
		return;
	case CLIENT_QUIT:
		io_stream_finish(c->stream);
		return;
	}
}

static size_t client_data(void *owner, struct text bytes)
{
	struct client *c = owner;
	struct text rest = bytes;

	for (;;) {
		const char *end = rest.len ? memchr(rest.at, '\n', rest.len) : NULL;
		int code;

		if (!end)
			break;
		code = rest.len > 3 ? atoi(rest.at) : 0;
		bool last = rest.len > 3 && rest.at[3] != '-';

		rest = text_skip(rest, (size_t)(end - rest.at) + 1);
		if (last)
			on_answer(c, code);
	}
	return bytes.len - rest.len;
}

static void client_connected(void *owner)
{
	(void)owner;
}

static void client_eof(void *owner)
{
	io_stream_close(((struct client *)owner)->stream);
}

static void client_drained(void *owner)
{
	push_body(owner);
}

static void client_closed(void *owner, enum err why)
{
	struct client *c = owner;
	struct load *l = c->load;

	if (c->state != CLIENT_QUIT) {
		l->failed++;
		if (l->failed < 5)
			fprintf(stderr, "postrider-load: a session ended: %s\n", err_text(why));
	}
	free(c);
	l->running--;
	if (l->next < l->total && l->failed < 1000)
		client_open(l);
	finish_if_all_here(l);
}

static const struct io_stream_events client_events = { client_connected, client_data, client_eof,
	                                               client_drained, client_closed };

static void client_open(struct load *l)
{
	struct client *c = calloc(1, sizeof(*c));
	enum err err;

	if (!c)
		abort();
	c->load = l;
	err = io_connect(l->io, &l->to, NULL, &client_events, c, &c->stream);
	if (err) {
		fprintf(stderr, "postrider-load: cannot connect: %s\n", err_text(err));
		exit(1);
	}
	l->running++;
}

/* ---------------------------------------------------------------- taking in again */

static void on_message_arrived(struct arrival *a)
{
	struct load *l = a->load;
	const char *at = memmem(a->header, a->header_len, "X-Load: ", 8);
	unsigned long long run;
	size_t number;
	struct message *m;

	a->header[MIN(a->header_len, sizeof(a->header) - 1)] = 0;
	if (!at || sscanf(at + 8, "%llx %zu", &run, &number) != 2 || run != l->run || number >= l->total) {
		l->unknown++;
		return;
	}
	m = &l->messages[number];
	if (m->arrivals++) {
		l->duplicates++;
		return;
	}
	m->arrived_us = io_clock_us(l->io);
	l->last_us = m->arrived_us;
	if (m->answered_us)
		l->arrived++;
}

/* Looks for the end of the data, CR LF . CR LF, in what comes; returns how much was used. */
static size_t take_data(struct arrival *a, struct text bytes)
{
	static const char end[] = "\r\n.\r\n";
	size_t i = 0;

	if (a->header_len < sizeof(a->header)) {
		size_t more = MIN(bytes.len, sizeof(a->header) - a->header_len);

		memcpy(a->header + a->header_len, bytes.at, more);
		a->header_len += more;
	}
	while (i < bytes.len) {
		if (a->tail_len == 0) {
			const char *cr = memchr(bytes.at + i, '\r', bytes.len - i);

			if (!cr)
				return bytes.len;
			i = (size_t)(cr - bytes.at);
		}
		if (bytes.at[i] == end[a->tail_len])
			a->tail_len++;
		else
			a->tail_len = bytes.at[i] == '\r';
		i++;
		if (a->tail_len == 5) {
			a->in_data = false;
			return i;
		}
	}
	return i;
}

static void answer(struct buf *out, struct text line, struct arrival *a)
{
	switch (line.len ? line.at[0] | 0x20 : 0) {
	case 'e':
		buf_add_string(
			out, "250-load.example\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250 8BITMIME\r\n");
		return;
	case 'd':
		buf_add_string(out, "354 go\r\n");
		a->in_data = true;
		a->tail_len = 2;
		a->header_len = 0;
		return;
	case 'q':
		buf_add_string(out, "221 bye\r\n");
		return;
	default:
		buf_add_string(out, "250 ok\r\n");
	}
}

static size_t arrival_data(void *owner, struct text bytes)
{
	struct arrival *a = owner;
	struct text rest = bytes, said;
	struct buf out = BUF(65536);
	bool quitting = false;

	while (rest.len) {
		if (a->in_data) {
			rest = text_skip(rest, take_data(a, rest));
			if (!a->in_data) {
				on_message_arrived(a);
				buf_add_string(&out, "250 taken\r\n");
			}
			continue;
		}
		const char *end = memchr(rest.at, '\n', rest.len);

		if (!end)
			break;
		quitting = quitting || (rest.at[0] | 0x20) == 'q';
		answer(&out, rest, a);
		rest = text_skip(rest, (size_t)(end - rest.at) + 1);
	}
	said = buf_text(&out);
	if (said.len)
		io_stream_write(a->stream, &said, 1);
	buf_fini(&out);
	if (quitting)
		io_stream_finish(a->stream);
	finish_if_all_here(a->load);
	return bytes.len - rest.len;
}

static void arrival_eof(void *owner)
{
	io_stream_close(((struct arrival *)owner)->stream);
}

static void arrival_drained(void *owner)
{
	(void)owner;
}

static void arrival_closed(void *owner, enum err why)
{
	(void)why;
	free(owner);
}

static const struct io_stream_events arrival_events = { NULL, arrival_data, arrival_eof, arrival_drained,
	                                                arrival_closed };

static void on_accept(void *owner, struct io_stream *stream)
{
	struct load *l = owner;
	struct arrival *a = calloc(1, sizeof(*a));
	struct text greeting = TEXT("220 load.example ESMTP\r\n");

	if (!a)
		abort();
	a->load = l;
	a->stream = stream;
	io_stream_attach(stream, &arrival_events, a);
	io_stream_write(stream, &greeting, 1);
}

/* ---------------------------------------------------------------- what came of it */

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void print_quantiles(const char *name, uint64_t *values, size_t count)
{
	qsort(values, count, sizeof(*values), by_size);
	printf(",\"%s_p50_ms\":%.3f,\"%s_p99_ms\":%.3f", name,
	       count ? (double)values[count / 2] / 1000 : -1.0, name,
	       count ? (double)values[count * 99 / 100] / 1000 : -1.0);
}

static void print_result(struct load *l)
{
	uint64_t *values = calloc(l->total + 1, sizeof(*values));
	double sending = (double)(l->sent_us - l->began_us) / 1e6,
	       all = (double)(l->last_us - l->began_us) / 1e6;
	struct rusage self;
	size_t count = 0;

	if (!values)
		abort();
	getrusage(RUSAGE_SELF, &self);
	printf("{\"messages\":%zu,\"accepted\":%zu,\"refused\":%zu,\"failed_sessions\":%zu,\"arrived\":%zu,"
	       "\"duplicates\":%zu,\"unknown\":%zu,\"seconds_sending\":%.3f,\"seconds\":%.3f,\"accepted_per_second\":%.1f,"
	       "\"per_second\":%.1f,\"tool_cpu_seconds\":%.3f",
	       l->total, l->answered, l->refused, l->failed, l->arrived, l->duplicates, l->unknown, sending,
	       all, (double)l->answered / sending, (double)(l->listener ? l->arrived : l->answered) / all,
	       (double)(self.ru_utime.tv_sec + self.ru_stime.tv_sec) +
	               (double)(self.ru_utime.tv_usec + self.ru_stime.tv_usec) / 1e6);
	for (size_t i = 0; i < l->total; i++)
		if (l->messages[i].answered_us)
			values[count++] = l->messages[i].answered_us - l->messages[i].began_us;
	print_quantiles("accept", values, count);
	count = 0;
	for (size_t i = 0; i < l->total; i++)
		if (l->messages[i].answered_us && l->messages[i].arrivals)
			values[count++] = l->messages[i].arrived_us > l->messages[i].answered_us
			                          ? l->messages[i].arrived_us - l->messages[i].answered_us
			                          : 0;
	print_quantiles("way", values, count);
	printf("}\n");
	free(values);
}

/* ---------------------------------------------------------------- start */

static void make_body(struct load *l)
{
	static const char line[] =
		"The quick brown fox jumps over the lazy dog, again and again and again.\r\n";
	struct buf b = BUF(SIZE_MAX);

	while (b.len < l->size)
		buf_add(&b, text_head(TEXT(line), MAX(MIN(l->size - b.len, sizeof(line) - 1), (size_t)3)));
	if (b.at[b.len - 1] != '\n')
		memcpy(b.at + b.len - 2, "\r\n", 2);
	buf_add_string(&b, ".\r\n");
	l->body = buf_take(&b, &l->body_len);
	if (!l->body)
		abort();
}

static void on_deadline(void *owner)
{
	struct load *l = owner;

	fprintf(stderr, "postrider-load: time is over with %zu of %zu here\n", l->arrived, l->answered);
	if (!l->sent_us)
		l->sent_us = io_clock_us(l->io);
	io_uv_stop(l->io);
}

static const char usage[] =
	"postrider-load --to ADDRESS:PORT [--listen ADDRESS:PORT] [--sessions N] [--messages N] [--size BYTES]\n"
	"               [--per-session N] [--pipelining] [--rate PER_SECOND] [--from MAILBOX] [--rcpt MAILBOX] [--wait SECONDS]\n"
	"Prints one line of JSON. With --listen it waits until every message that was answered 250 has arrived there.\n";

static bool parse(struct load *l, int argc, char **argv)
{
	static const struct option options[] = {
		{ "to", 1, NULL, 't' },       { "listen", 1, NULL, 'l' },     { "sessions", 1, NULL, 's' },
		{ "messages", 1, NULL, 'm' }, { "size", 1, NULL, 'z' },       { "per-session", 1, NULL, 'p' },
		{ "from", 1, NULL, 'f' },     { "rcpt", 1, NULL, 'r' },       { "wait", 1, NULL, 'w' },
		{ "rate", 1, NULL, 'R' },     { "pipelining", 0, NULL, 'P' }, { NULL, 0, NULL, 0 },
	};
	bool has_to = false;
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (o) {
		case 't':
			has_to = !ip_port_parse(text_from(optarg), &l->to.ip);
			break;
		case 'l':
			if (ip_port_parse(text_from(optarg), &l->listen.ip))
				return false;
			break;
		case 's':
			l->sessions = (unsigned)atoi(optarg);
			break;
		case 'm':
			l->total = (size_t)atol(optarg);
			break;
		case 'z':
			l->size = (size_t)atol(optarg);
			break;
		case 'p':
			l->per_session = (unsigned)atoi(optarg);
			break;
		case 'f':
			l->from = optarg;
			break;
		case 'r':
			l->recipient = optarg;
			break;
		case 'w':
			l->wait_seconds = (unsigned)atoi(optarg);
			break;
		case 'R':
			l->rate = atof(optarg);
			break;
		case 'P':
			l->pipelining = true;
			break;
		default:
			return false;
		}
	}
	return has_to && l->sessions && l->total && l->size;
}

int main(int argc, char **argv)
{
	struct load l = { .sessions = 20,
		          .total = 1000,
		          .size = 10240,
		          .from = "from@load.example",
		          .recipient = "to@load.example",
		          .wait_seconds = 120 };

	if (!parse(&l, argc, argv)) {
		fputs(usage, stderr);
		return 2;
	}
	l.messages = calloc(l.total, sizeof(*l.messages));
	if (!l.messages || io_uv_new(&(struct io_uv_options){ 0 }, &l.io))
		return 1;
	make_body(&l);
	l.run = io_random_u64(l.io);
	if (l.listen.ip.ip.family != IP_NONE && io_listen(l.io, &l.listen, 0, on_accept, &l, &l.listener)) {
		fputs("postrider-load: cannot listen\n", stderr);
		return 1;
	}
	l.began_us = io_clock_us(l.io);
	for (unsigned i = 0; i < l.sessions && i < l.total; i++)
		client_open(&l);
	if (io_timer_start(l.io, &l.deadline, io_now_at(l.io) + (int64_t)l.wait_seconds * 1000, on_deadline,
	                   &l))
		return 1;
	io_uv_run(l.io);
	print_result(&l);
	return l.failed || l.refused || (l.listener && l.arrived < l.answered) ? 1 : 0;
}
