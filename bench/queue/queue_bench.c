/* What the queue costs: durable accepts and settles on this machine's disk, through the real loop and its lanes.
 *
 *   bench_queue_queue flow DIR BYTES SESSIONS SECONDS [INLINE [WAIT]]
 *                                                         accept, announce, settle; each session keeps one message going;
 *                                                         bodies over INLINE octets go to files, a settle waits WAIT ms
 *   bench_queue_queue fill DIR BYTES MESSAGES             only accepts, then the time of a start with them, of a scan,
 *                                                         of loads, and of emptying it again
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <postrider/base/auto.h>
#include <postrider/io/uv.h>
#include <postrider/mail/envelope.h>
#include <postrider/queue.h>

struct bench {
	struct io *io;
	struct queue *queue;
	struct queue_options options;
	struct id_source ids;
	char *content;
	size_t bytes;
	unsigned sessions, in_flight;
	uint64_t began_us, until_us;
	uint64_t accepted, settled, wanted;
	uint64_t latency_sum_us, latency_max_us;
	bool settle, stopping;
	struct io_timer check;
	size_t scanned, loaded;
	struct queue_cursor cursor;
	char key[32];
};

struct session {
	struct bench *b;
	uint64_t began_us;
	unsigned number;
};

static void need(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "failed: %s\n", what);
	exit(1);
}

static double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double user_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec / 1e6;
}

static unsigned long long written_bytes(void)
{
	FILE *f = fopen("/proc/self/io", "r");
	char line[128];
	unsigned long long bytes = 0;

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "write_bytes: %llu", &bytes);
	if (f)
		fclose(f);
	return bytes;
}

static struct envelope *make_envelope(struct bench *b)
{
	struct envelope *e = envelope_new(1 << 20);

	need(e, "memory");
	e->id = id_next(&b->ids, io_now_time(b->io));
	e->received_time = io_now_time(b->io);
	enum err err = envelope_set(e, &e->reverse_path, TEXT("bounces+12345@app.example.com"));

	err = err ? err
	          : envelope_add_recipient(e, TEXT("somebody.with.a.name@mail.example.net"), TEXT_EMPTY);
	err = err ? err : envelope_set(e, &e->helo, TEXT("app1.example.com"));
	err = err ? err : envelope_set(e, &e->client, TEXT("192.0.2.17:43210"));
	err = err ? err : envelope_set(e, &e->listener, TEXT("apps"));
	err = err ? err : envelope_set(e, &e->protocol, TEXT("ESMTP"));
	err = err ? err : envelope_set(e, &e->message_id, TEXT("<20260102030405.12345@app.example.com>"));
	err = err ? err : envelope_set(e, &e->subject, TEXT("Your order 12345 has been sent"));
	need(!err, "envelope");
	return e;
}

static void send_one(struct session *s);

static void on_decided(void *owner, const struct queue_decision *d)
{
	struct session *s = owner;
	struct bench *b = s->b;
	uint64_t now = io_clock_us(b->io), took = now - s->began_us;

	need(!d->err, "accept");
	b->accepted++;
	b->latency_sum_us += took;
	b->latency_max_us = MAX(b->latency_max_us, took);
	if (b->until_us ? now < b->until_us : b->accepted + b->in_flight - 1 < b->wanted)
		send_one(s);
	else
		b->in_flight--;
}

static void nothing(void *owner)
{
	(void)owner;
}

static void send_one(struct session *s)
{
	struct bench *b = s->b;
	struct queue_draft *d = NULL;
	struct envelope *e = make_envelope(b);
	struct text key = text_from(b->key);

	s->began_us = io_clock_us(b->io);
	need(!queue_draft_open(b->queue, b->bytes, nothing, NULL, &d), "draft");
	for (size_t at = 0; at < b->bytes; at += 65536)
		need(!queue_draft_write(d, text_of(b->content + at, MIN(b->bytes - at, 65536))), "write");
	queue_accept(
		b->queue, &d,
		&(struct queue_submission){
			.envelope = e,
			.prepended = TEXT(
				"Received: from app1.example.com (app1.example.com [192.0.2.17])\r\n"
				"\tby relay.example.com with ESMTP id 01H455VB4PEX5VSKNK084SN02Q\r\n"
				"\tfor <somebody.with.a.name@mail.example.net>; Fri, 2 Jan 2026 03:04:05 +0000\r\n"),
			.keys = &key,
			.mode = QUEUE_STORE,
		},
		on_decided, s);
	envelope_free(&e);
}

static void on_settled(void *owner, enum err err)
{
	struct bench *b = owner;

	need(!err, "settle");
	b->settled++;
}

static void on_fresh(void *owner, struct queue_work **work)
{
	struct bench *b = owner;

	if (!b->settle)
		return;
	struct queue_outcome o = { .verdict = QUEUE_DELIVERED,
		                   .recipient = { .n = (*work)->recipients[0].n } };

	queue_settle(b->queue,
	             &(struct queue_settlement){ .id = (*work)->id, .outcomes = &o, .outcome_count = 1 },
	             on_settled, b);
	queue_work_free(b->queue, work);
}

static const struct queue_events events = { .on_fresh = on_fresh };

static void on_closed(void *owner)
{
	io_uv_stop(((struct bench *)owner)->io);
}

static void check(void *owner)
{
	struct bench *b = owner;

	if (b->in_flight > 0 || (b->settle && b->settled < b->accepted))
		need(!io_timer_start(b->io, &b->check, io_now_at(b->io) + 5, check, b), "timer");
	else
		io_uv_stop(b->io);
}

static void open_queue(struct bench *b)
{
	struct buf problem = BUF(500);

	b->options.problem = &problem;
	enum err err = queue_open(&b->options, &b->queue);

	if (err)
		fprintf(stderr, "%.*s\n", TEXT_ARGS(buf_text(&problem)));
	need(!err, "open");
	buf_fini(&problem);
	queue_listen(b->queue, &events, b);
}

static void close_queue(struct bench *b)
{
	queue_close(&b->queue, on_closed, b);
	io_uv_run(b->io);
}

static void run_sessions(struct bench *b)
{
	struct session *s = calloc(b->sessions, sizeof(*s));

	need(s, "memory");
	b->in_flight = b->sessions;
	for (unsigned i = 0; i < b->sessions; i++) {
		s[i] = (struct session){ .b = b, .number = i };
		send_one(&s[i]);
	}
	check(b);
	io_uv_run(b->io);
	free(s);
}

static void flow(struct bench *b, double seconds)
{
	b->settle = true;
	open_queue(b);
	double cpu = cpu_seconds(), user = user_seconds();
	unsigned long long bytes = written_bytes();

	b->began_us = io_clock_us(b->io);
	b->until_us = b->began_us + (uint64_t)(seconds * 1e6);
	run_sessions(b);
	double took = (double)(io_clock_us(b->io) - b->began_us) / 1e6, n = (double)b->accepted;

	printf("%zu octets, %u sessions: %.0f messages/s, %.1f us CPU each (%.1f user), %.0f octets written each, "
	       "to the 250: %.2f ms mean, %.1f ms worst\n",
	       b->bytes, b->sessions, n / took, (cpu_seconds() - cpu) / n * 1e6,
	       (user_seconds() - user) / n * 1e6, (double)(written_bytes() - bytes) / n,
	       (double)b->latency_sum_us / n / 1e3, (double)b->latency_max_us / 1e3);
	close_queue(b);
}

/* ---------------------------------------------------------------- fill */

static double since(struct bench *b, uint64_t from)
{
	return (double)(io_clock_us(b->io) - from) / 1e3;
}

static void count_key(void *owner, struct text key, uint64_t recipients, int64_t earliest)
{
	(void)key, (void)earliest;
	((struct bench *)owner)->scanned += recipients;
}

static void drained(void *owner, enum err err)
{
	struct bench *b = owner;

	need(!err, "settle");
	b->settled++;
}

static void next_rows(struct bench *b);

static void on_loaded(void *owner, enum err err, struct queue_work *work)
{
	struct bench *b = owner;
	struct queue_outcome o = { .verdict = QUEUE_DELIVERED };

	need(!err, "load");
	b->loaded++;
	o.recipient.n = work->recipients[0].n;
	queue_settle(b->queue,
	             &(struct queue_settlement){ .id = work->id, .outcomes = &o, .outcome_count = 1 },
	             drained, b);
	queue_work_free(b->queue, &work);
}

static void on_rows(void *owner, enum err err, const struct queue_row *rows, size_t count,
                    int64_t next_due_time)
{
	struct bench *b = owner;

	(void)next_due_time;
	need(!err, "scan");
	for (size_t i = 0; i < count; i++)
		queue_load(b->queue, rows[i].id, text_from(b->key), &rows[i].n, 1, on_loaded, b);
	b->scanned += count;
	if (count > 0) {
		b->cursor = (struct queue_cursor){ rows[count - 1].due_time, rows[count - 1].id,
			                           rows[count - 1].n, true };
		next_rows(b);
	}
}

static void next_rows(struct bench *b)
{
	queue_scan(b->queue, text_from(b->key), &b->cursor, INT64_MAX, 256, on_rows, b);
}

static void until_drained(void *owner)
{
	struct bench *b = owner;

	if (b->settled < b->wanted)
		need(!io_timer_start(b->io, &b->check, io_now_at(b->io) + 5, until_drained, b), "timer");
	else
		io_uv_stop(b->io);
}

static void fill(struct bench *b)
{
	open_queue(b);
	uint64_t from = io_clock_us(b->io);

	run_sessions(b);
	printf("filled with %llu messages in %.1f s: %.0f/s; %.0f MiB in use\n",
	       (unsigned long long)b->accepted, since(b, from) / 1e3,
	       (double)b->accepted / since(b, from) * 1e3,
	       (double)queue_space(b->queue).used_bytes / 1048576);
	close_queue(b);

	from = io_clock_us(b->io);
	open_queue(b);
	printf("opened in %.1f ms", since(b, from));
	from = io_clock_us(b->io);
	need(!queue_each_key(b->queue, count_key, b), "keys");
	printf(", directory of keys in %.2f ms (%zu recipients)\n", since(b, from), b->scanned);

	b->scanned = 0;
	from = io_clock_us(b->io);
	double cpu = cpu_seconds();

	next_rows(b);
	until_drained(b);
	io_uv_run(b->io);
	printf("scanned, loaded and settled %zu in %.1f s: %.0f/s, %.1f us CPU each\n", b->loaded,
	       since(b, from) / 1e3, (double)b->loaded / since(b, from) * 1e3,
	       (cpu_seconds() - cpu) / (double)b->loaded * 1e6);
	close_queue(b);
}

int main(int argc, char **argv)
{
	struct bench b = { .key = "mail.example.net" };

	if (argc < 5) {
		fprintf(stderr,
		        "usage: %s flow DIR BYTES SESSIONS SECONDS [INLINE [WAIT]] | fill DIR BYTES MESSAGES\n",
		        argv[0]);
		return 2;
	}
	mallopt(M_MMAP_THRESHOLD, 1 << 20); /* as the daemon does */
	mallopt(M_TRIM_THRESHOLD, 8 << 20);
	need(!io_uv_new(&(struct io_uv_options){ 0 }, &b.io), "loop");
	b.bytes = strtoul(argv[3], NULL, 10);
	b.content = malloc(b.bytes + 1);
	need(b.content, "memory");
	for (size_t i = 0; i < b.bytes; i++)
		b.content[i] = (char)(i * 31 + (i >> 8));
	b.options = (struct queue_options){ .io = b.io,
		                            .disk = io_disk_real(),
		                            .path = text_from(argv[2]),
		                            .max_bytes = UINT64_C(20) << 30,
		                            .reserve_bytes = 64 << 20,
		                            .durable = true,
		                            .seed = 1 };
	id_source_init(&b.ids, 1, 0);
	if (strcmp(argv[1], "fill") == 0) {
		b.sessions = 200;
		b.wanted = strtoul(argv[4], NULL, 10);
		fill(&b);
	} else {
		need(argc > 5, "seconds");
		b.options.inline_max_bytes = argc > 6 ? strtoul(argv[6], NULL, 10) : 0;
		b.options.settle_wait_ms = argc > 7 ? strtol(argv[7], NULL, 10) : 0;
		b.sessions = (unsigned)strtoul(argv[4], NULL, 10);
		flow(&b, strtod(argv[5], NULL));
	}
	free(b.content);
	io_uv_free(&b.io);
	return 0;
}
