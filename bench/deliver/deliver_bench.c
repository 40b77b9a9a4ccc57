/* What outbound SMTP costs: messages from memory over loopback to the sink in a process of its own.
 *
 *   bench_deliver_deliver MESSAGES BYTES CONNECTIONS [PIPELINING]     PIPELINING: yes (the default) or no
 *
 * Prints the CPU time of this process alone, in microseconds a message, and messages a second of both together. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <postrider/deliver.h>
#include <postrider/io/uv.h>
#include <postrider/mail/body_source.h>
#include <postrider/mail/envelope.h>
#include <postrider/sink.h>

struct bench {
	struct io *io;
	struct deliver *deliver;
	struct envelope *envelope;
	struct text prepended, content;
	uint64_t wanted, given, delivered, failed;
	unsigned open;
};

struct courier {
	struct bench *b;
	struct deliver_connection *connection;
	struct io_later give;
};

struct message {
	struct deliver_job job;
	uint32_t place;
};

static void need(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "failed: %s\n", what);
	exit(1);
}

/* ---------------------------------------------------------------- the other side */

/* Its port comes through the pipe. */
static void run_sink(int report, bool pipelining)
{
	struct sink_options options = { .keywords = EHLO_SIZE | EHLO_8BITMIME |
		                                    (pipelining ? EHLO_PIPELINING : 0) };
	struct sink *sink;

	need(!io_uv_new(&(struct io_uv_options){ 0 }, &options.io), "a loop");
	options.address.ip.ip = ip_from_v4(0x7F000001u);
	need(!sink_open(&options, &sink), "the sink");
	need(write(report, &sink_address(sink)->ip.port, sizeof(uint16_t)) == sizeof(uint16_t), "the pipe");
	io_uv_run(options.io);
	exit(0);
}

static pid_t start_sink(bool pipelining, uint16_t *port)
{
	int ends[2];
	pid_t pid;

	need(pipe(ends) == 0, "a pipe");
	pid = fork();
	need(pid >= 0, "a process");
	if (pid == 0)
		run_sink(ends[1], pipelining);
	need(read(ends[0], port, sizeof(*port)) == sizeof(*port), "the sink's port");
	return pid;
}

/* ---------------------------------------------------------------- messages */

static void give(void *owner)
{
	struct courier *c = owner;
	struct bench *b = c->b;

	while (deliver_is_ready(c->connection)) {
		struct message *m;

		if (b->given == b->wanted) {
			deliver_finish(c->connection);
			return;
		}
		b->given++;
		m = calloc(1, sizeof(*m));
		need(m != NULL, "memory");
		m->job.envelope = b->envelope;
		m->job.recipients = &m->place;
		m->job.recipient_count = 1;
		m->job.owner = m;
		need(!body_source_memory(b->prepended, b->content, NULL, NULL, &m->job.body), "memory");
		deliver_send(c->connection, &m->job);
	}
}

static void on_ready(void *owner, struct deliver_connection *connection)
{
	struct courier *c = owner;

	(void)connection;
	io_later_run(c->b->io, &c->give, give, c);
}

static void on_result(void *owner, struct deliver_connection *connection, struct deliver_job *job,
                      size_t index, const struct deliver_result *r)
{
	struct courier *c = owner;

	(void)connection;
	(void)job;
	(void)index;
	if (r->kind == DELIVER_DELIVERED)
		c->b->delivered++;
	else if (c->b->failed++ == 0)
		fprintf(stderr, "%.*s\n", TEXT_ARGS(r->reply));
}

static void on_done(void *owner, struct deliver_connection *connection, struct deliver_job *job)
{
	(void)owner;
	(void)connection;
	free(job->owner);
}

static void on_closed(void *owner, struct deliver_connection *connection,
                      const struct deliver_result *failure)
{
	struct courier *c = owner;

	(void)connection;
	if (failure)
		fprintf(stderr, "%.*s\n", TEXT_ARGS(failure->reply));
	if (--c->b->open == 0)
		io_uv_stop(c->b->io);
	free(c);
}

static const struct deliver_events events = { on_ready, on_result, on_done, on_closed };

static void make_message(struct bench *b, size_t bytes)
{
	char *content = malloc(bytes + 2);

	need(content != NULL, "memory");
	for (size_t i = 0; i < bytes; i++)
		content[i] = i % 72 == 70 ? '\r' : i % 72 == 71 ? '\n' : 'x';
	memcpy(content + bytes - 4, "xx\r\n", 4);
	b->content = text_of(content, bytes);
	b->prepended = TEXT("Received: from app.example.com (app.example.com [127.0.0.1])\r\n"
	                    "\tby relay.example with ESMTP id 01JD8Q4FZ7K2M3N4P5Q6R7S8T9;\r\n"
	                    "\tFri, 2 Jan 2026 03:04:05 +0000\r\n");
	b->envelope = envelope_new(10000);
	need(b->envelope &&
	             !envelope_set(b->envelope, &b->envelope->reverse_path, TEXT("sender@example.org")) &&
	             !envelope_add_recipient(b->envelope, TEXT("recipient@example.net"), TEXT_EMPTY),
	     "memory");
}

static const struct config *load(uint16_t port)
{
	static char yaml[300];
	struct config_sources sources = { .file = TEXT("bench.yaml"), .machine_name = TEXT("relay.example") };
	struct config_report report;
	const struct config *config = NULL;

	snprintf(
		yaml, sizeof(yaml),
		"hostname: relay.example\nlisten: [{address: \"127.0.0.1:2525\", allow: [127.0.0.0/8]}]\n"
		"upstreams: {sink: {hosts: [\"127.0.0.1:%u\"], tls: none}}\nroutes: [{to: any, via: sink}]\n",
		port);
	sources.text = text_from(yaml);
	config_report_init(&report);
	need(!config_load(&sources, &config, &report), "the configuration");
	config_report_fini(&report);
	return config;
}

static double cpu_us(bool system_too)
{
	struct rusage u;
	double us;

	getrusage(RUSAGE_SELF, &u);
	us = (double)u.ru_utime.tv_sec * 1e6 + (double)u.ru_utime.tv_usec;
	return system_too ? us + (double)u.ru_stime.tv_sec * 1e6 + (double)u.ru_stime.tv_usec : us;
}

int main(int argc, char **argv)
{
	struct bench b = { 0 };
	const struct config *config;
	uint16_t port = 0;
	double cpu, user;
	uint64_t began_us;
	pid_t sink;

	if (argc < 4) {
		fprintf(stderr, "usage: %s MESSAGES BYTES CONNECTIONS [yes|no]\n", argv[0]);
		return 2;
	}
	sink = start_sink(argc < 5 || strcmp(argv[4], "no") != 0, &port);
	b.wanted = strtoull(argv[1], NULL, 10);
	b.open = (unsigned)atoi(argv[3]);
	make_message(&b, (size_t)atol(argv[2]));
	config = load(port);
	need(!io_uv_new(&(struct io_uv_options){ 0 }, &b.io), "a loop");
	need(!deliver_new(&(struct deliver_options){ .io = b.io, .config = config, .seed = 1 }, &b.deliver),
	     "deliver");
	cpu = cpu_us(true);
	user = cpu_us(false);
	began_us = io_clock_us(b.io);
	for (unsigned i = 0, count = b.open; i < count; i++) {
		struct deliver_target target = { .upstream = &config->upstreams.items[0],
			                         .tls = CONFIG_TLS_NONE };
		struct courier *c = calloc(1, sizeof(*c));

		need(c != NULL, "memory");
		c->b = &b;
		need(!deliver_open(b.deliver, &target, &events, c, &c->connection), "a connection");
	}
	io_uv_run(b.io);
	cpu = cpu_us(true) - cpu;
	user = cpu_us(false) - user;
	printf("%llu delivered, %llu not: %.1f us of CPU each (%.1f of them our own code), %.0f messages/s\n",
	       (unsigned long long)b.delivered, (unsigned long long)b.failed, cpu / (double)b.wanted,
	       user / (double)b.wanted, (double)b.wanted * 1e6 / (double)(io_clock_us(b.io) - began_us));
	kill(sink, SIGTERM);
	waitpid(sink, NULL, 0);
	deliver_free(&b.deliver);
	config_unref(&config);
	io_uv_free(&b.io);
	envelope_free(&b.envelope);
	return b.failed || b.delivered != b.wanted;
}
