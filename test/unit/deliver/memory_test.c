/* Each allocation failing in turn, on the real loop with a server in a process of its own: whatever is
 * missing, every message has one result and every connection one end. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <postrider/deliver.h>
#include <postrider/io/uv.h>
#include <postrider/mail/body_source.h>
#include <postrider/mail/envelope.h>
#include <postrider/sink.h>

#include "support/alloc.h"
#include "support/check.h"

#define RECIPIENTS 3
#define MESSAGES 3

struct world {
	struct io *io;
	const struct config *config;
	struct deliver *deliver;
	struct envelope *envelope;
	pid_t server;
};

struct courier {
	struct world *world;
	struct deliver_connection *connection;
	struct deliver_job jobs[MESSAGES];
	unsigned given, results[MESSAGES][RECIPIENTS], delivered, done, closed;
};

/* ---------------------------------------------------------------- the server */

static void serve(int report)
{
	struct sink_options options = { 0 };
	struct sink *sink;

	alarm(100);
	if (io_uv_new(&(struct io_uv_options){ 0 }, &options.io))
		_exit(1);
	options.address.ip.ip = ip_from_v4(0x7F000001u);
	if (sink_open(&options, &sink) ||
	    write(report, &sink_address(sink)->ip.port, sizeof(uint16_t)) != sizeof(uint16_t))
		_exit(1);
	io_uv_run(options.io);
	_exit(0);
}

static uint16_t start_server(struct world *w)
{
	uint16_t port;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	w->server = fork();
	assert_true(w->server >= 0);
	if (w->server == 0)
		serve(ends[1]);
	assert_int_equal(read(ends[0], &port, sizeof(port)), sizeof(port));
	close(ends[0]);
	close(ends[1]);
	return port;
}

static const struct config *load(uint16_t port)
{
	char yaml[300];
	struct config_sources sources = { .file = TEXT("test.yaml"), .machine_name = TEXT("relay.example") };
	const struct config *config = NULL;
	struct config_report report;

	snprintf(yaml, sizeof(yaml),
	         "hostname: relay.example\nlisten: [{address: \"127.0.0.1:2525\", allow: [127.0.0.0/8]}]\n"
	         "upstreams: {up: {hosts: [\"127.0.0.1:%u\"], tls: none}}\nroutes: [{to: any, via: up}]\n",
	         port);
	sources.text = text_from(yaml);
	config_report_init(&report);
	assert_int_equal(config_load(&sources, &config, &report), ERR_OK);
	config_report_fini(&report);
	return config;
}

/* Real contexts allocate some thousand times for the system's CAs, which is not what is tried here. */
static enum err no_tls(void *owner, const struct tls_client_options *o, struct tls_context **out,
                       struct buf *problem)
{
	(void)owner;
	(void)o;
	(void)problem;
	*out = NULL;
	return ERR_OK;
}

static enum err make_deliver(struct world *w)
{
	return deliver_new(
		&(struct deliver_options){
			.io = w->io, .config = w->config, .seed = 1, .client_context = no_tls },
		&w->deliver);
}

static void open_world(struct world *w)
{
	*w = (struct world){ 0 };
	w->config = load(start_server(w));
	assert_int_equal(io_uv_new(&(struct io_uv_options){ 0 }, &w->io), ERR_OK);
	w->envelope = envelope_new(10000);
	assert_int_equal(envelope_set(w->envelope, &w->envelope->reverse_path, TEXT("s@example.org")),
	                 ERR_OK);
	for (unsigned i = 0; i < RECIPIENTS; i++)
		assert_int_equal(envelope_add_recipient(w->envelope, TEXT("a@example.net"), TEXT_EMPTY),
		                 ERR_OK);
}

static void close_world(struct world *w)
{
	kill(w->server, SIGKILL);
	waitpid(w->server, NULL, 0);
	config_unref(&w->config);
	envelope_free(&w->envelope);
	io_uv_free(&w->io);
}

/* ---------------------------------------------------------------- messages */

static void on_ready(void *owner, struct deliver_connection *connection)
{
	static const uint32_t places[RECIPIENTS] = { 0, 1, 2 };
	struct courier *c = owner;
	struct deliver_job *job = &c->jobs[c->given];

	if (c->given == MESSAGES) {
		deliver_finish(connection);
		return;
	}
	*job = (struct deliver_job){ .envelope = c->world->envelope,
		                     .recipients = places,
		                     .recipient_count = RECIPIENTS };
	if (body_source_memory(TEXT("Received: x\r\n"), TEXT("\r\nhello\r\n"), NULL, NULL, &job->body)) {
		deliver_finish(connection);
		return;
	}
	c->given++;
	deliver_send(connection, job);
}

static void on_result(void *owner, struct deliver_connection *connection, struct deliver_job *job,
                      size_t index, const struct deliver_result *r)
{
	struct courier *c = owner;

	(void)connection;
	assert_int_equal(c->results[job - c->jobs][index]++, 0);
	c->delivered += r->kind == DELIVER_DELIVERED;
	assert_true(r->enhanced.len > 0);
}

static void on_done(void *owner, struct deliver_connection *connection, struct deliver_job *job)
{
	struct courier *c = owner;

	(void)connection;
	for (unsigned i = 0; i < RECIPIENTS; i++)
		assert_int_equal(c->results[job - c->jobs][i], 1);
	c->done++;
}

static void on_closed(void *owner, struct deliver_connection *connection,
                      const struct deliver_result *failure)
{
	struct courier *c = owner;

	(void)connection;
	assert_int_equal(c->closed++, 0);
	assert_true(!failure || failure->enhanced.len > 0);
	io_uv_stop(c->world->io);
}

static const struct deliver_events events = { .on_ready = on_ready,
	                                      .on_result = on_result,
	                                      .on_done = on_done,
	                                      .on_closed = on_closed };

static void deliver_some(struct world *w, struct courier *c)
{
	const struct config_upstream *up = &w->config->upstreams.items[0];
	struct config_way way = { .upstream = up, .tls = CONFIG_TLS_NONE, .helo = up->helo };
	struct deliver_target target = { .way = &way };

	c->world = w;
	if (deliver_open(w->deliver, &target, &events, c, &c->connection)) {
		assert_true(alloc_has_failed());
		return;
	}
	io_uv_run(w->io);
	assert_int_equal(c->closed, 1);
	assert_int_equal(c->done, c->given);
}

static void messages_and_connections_have_one_end(void **state)
{
	struct world w;
	unsigned runs = 0;

	(void)state;
	open_world(&w);
	/* one for itself, so that what the loop makes once is there */
	for (unsigned i = 0; i < 2; i++) {
		struct courier c = { 0 };

		alloc_fail_nth(0);
		assert_int_equal(make_deliver(&w), ERR_OK);
		deliver_some(&w, &c);
		assert_int_equal(c.delivered, MESSAGES * RECIPIENTS);
		deliver_free(&w.deliver);
	}
	for (EACH_ALLOC_FAILING) {
		struct courier c = { 0 };

		if (make_deliver(&w)) {
			assert_true(alloc_has_failed());
			continue;
		}
		deliver_some(&w, &c);
		if (!alloc_has_failed())
			assert_int_equal(c.delivered, MESSAGES * RECIPIENTS);
		deliver_free(&w.deliver);
		runs++;
	}
	assert_true(runs > 10);
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_and_connections_have_one_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
