/* The session joined with real streams and real TLS: a server in a process of its own, over loopback. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <postrider/deliver.h>
#include <postrider/io/uv.h>
#include <postrider/mail/body_source.h>
#include <postrider/mail/envelope.h>
#include <postrider/sink.h>
#include <postrider/tls.h>

#include "support/certificates.h"
#include "support/check.h"

struct world {
	struct io *io;
	const struct config *config;
	struct deliver *deliver;
	struct envelope *envelope;
	struct certificates certificates;
	struct certificate stranger; /* another CA */
	const struct certificate *trusted;
	pid_t server;
};

struct courier {
	struct world *world;
	struct deliver_connection *connection;
	struct deliver_job job;
	char *content;
	size_t size;
	unsigned to_send, sent, delivered;
	bool failed;
	enum reason reason;
	char reply[600], version[16];
	bool verified;
	int32_t tls_ms;
};

/* ---------------------------------------------------------------- the server */

static void serve(const struct certificates *certificates, bool tls, int report)
{
	struct sink_options options = { .max_bytes = 64u << 20 };
	struct tls_server_options server = { certificate_pem(&certificates->server),
		                             certificate_key(&certificates->server) };
	struct sink *sink;

	alarm(100);
	if (io_uv_new(&(struct io_uv_options){ 0 }, &options.io))
		_exit(1);
	if (tls && tls_server_context_new(options.io, &server, &options.tls, NULL))
		_exit(2);
	options.address.ip.ip = ip_from_v4(0x7F000001u);
	if (sink_open(&options, &sink) ||
	    write(report, &sink_address(sink)->ip.port, sizeof(uint16_t)) != sizeof(uint16_t))
		_exit(3);
	io_uv_run(options.io);
	_exit(0);
}

static uint16_t start_server(struct world *w, bool tls)
{
	uint16_t port;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	w->server = fork();
	assert_true(w->server >= 0);
	if (w->server == 0)
		serve(&w->certificates, tls, ends[1]);
	assert_int_equal(read(ends[0], &port, sizeof(port)), sizeof(port));
	close(ends[0]);
	close(ends[1]);
	return port;
}

static enum err client_context(void *owner, const struct tls_client_options *o, struct tls_context **out,
                               struct buf *problem)
{
	struct world *w = owner;
	struct tls_client_options with_ca = *o;

	with_ca.ca = certificate_pem(w->trusted);
	return tls_client_context_new(w->io, &with_ca, out, problem);
}

static const struct config *load(uint16_t port)
{
	char yaml[300];
	struct config_sources sources = { .file = TEXT("test.yaml"), .machine_name = TEXT("relay.example") };
	const struct config *config = NULL;
	struct config_report report;

	snprintf(yaml, sizeof(yaml),
	         "hostname: relay.example\nlisten: [{address: \"127.0.0.1:2525\", allow: [127.0.0.0/8]}]\n"
	         "upstreams: {up: {hosts: [\"127.0.0.1:%u\"], tls: require, verify: true}}\n"
	         "routes: [{to: any, via: up}]\n",
	         port);
	sources.text = text_from(yaml);
	config_report_init(&report);
	assert_int_equal(config_load(&sources, &config, &report), ERR_OK);
	config_report_fini(&report);
	return config;
}

static void open_world(struct world *w, bool server_tls, bool trust)
{
	*w = (struct world){ 0 };
	certificates_make(&w->certificates);
	certificate_make(&w->stranger, &(struct certificate_options){ .name = "Another CA" });
	w->trusted = trust ? &w->certificates.ca : &w->stranger;
	w->config = load(start_server(w, server_tls));
	assert_int_equal(io_uv_new(&(struct io_uv_options){ 0 }, &w->io), ERR_OK);
	assert_int_equal(deliver_new(&(struct deliver_options){ .io = w->io,
	                                                        .config = w->config,
	                                                        .seed = 1,
	                                                        .client_context = client_context,
	                                                        .client_context_owner = w },
	                             &w->deliver),
	                 ERR_OK);
	w->envelope = envelope_new(10000);
	assert_int_equal(envelope_add_recipient(w->envelope, TEXT("a@example.net"), TEXT_EMPTY), ERR_OK);
}

static void close_world(struct world *w)
{
	kill(w->server, SIGKILL);
	waitpid(w->server, NULL, 0);
	deliver_free(&w->deliver);
	config_unref(&w->config);
	envelope_free(&w->envelope);
	io_uv_free(&w->io);
}

/* ---------------------------------------------------------------- messages */

/* One after the other: the connection may be ready while a message is still in hand. */
static void give(struct courier *c, struct deliver_connection *connection)
{
	static const uint32_t place = 0;

	if (!deliver_is_ready(connection) || deliver_in_flight(connection) > 0)
		return;
	if (c->sent == c->to_send) {
		deliver_finish(connection);
		return;
	}
	c->sent++;
	c->job = (struct deliver_job){ .envelope = c->world->envelope,
		                       .recipients = &place,
		                       .recipient_count = 1 };
	assert_int_equal(body_source_memory(TEXT("Received: x\r\n"), text_of(c->content, c->size), NULL, NULL,
	                                    &c->job.body),
	                 ERR_OK);
	deliver_send(connection, &c->job);
}

static void on_ready(void *owner, struct deliver_connection *connection)
{
	give(owner, connection);
}

static void keep(struct courier *c, const struct deliver_result *r)
{
	c->reason = r->reason;
	c->verified = r->tls.verified;
	c->tls_ms = r->ms.tls;
	snprintf(c->reply, sizeof(c->reply), "%.*s", TEXT_ARGS(r->reply));
	snprintf(c->version, sizeof(c->version), "%.*s", TEXT_ARGS(r->tls.version));
}

static void on_result(void *owner, struct deliver_connection *connection, struct deliver_job *job,
                      size_t index, const struct deliver_result *r)
{
	struct courier *c = owner;

	(void)connection;
	(void)job;
	(void)index;
	c->delivered += r->kind == DELIVER_DELIVERED;
	assert_int_equal(r->remote.ip.bytes[0], 127);
	assert_true(r->local.port != 0);
	keep(c, r);
}

static void on_done(void *owner, struct deliver_connection *connection, struct deliver_job *job)
{
	(void)job;
	give(owner, connection);
}

static void on_closed(void *owner, struct deliver_connection *connection,
                      const struct deliver_result *failure)
{
	struct courier *c = owner;

	(void)connection;
	c->failed = failure != NULL;
	if (failure)
		keep(c, failure);
	io_uv_stop(c->world->io);
}

static const struct deliver_events events = {
	.on_ready = on_ready, .on_result = on_result, .on_done = on_done, .on_closed = on_closed
};

static void deliver_some(struct world *w, struct courier *c, enum config_tls tls)
{
	const struct config_upstream *up = &w->config->upstreams.items[0];
	struct config_way way = { .upstream = up, .tls = tls, .helo = up->helo };
	struct deliver_target target = { .way = &way };

	c->world = w;
	c->content = malloc(c->size);
	for (size_t i = 0; i < c->size; i++)
		c->content[i] = i % 72 == 70 ? '\r' : i % 72 == 71 ? '\n' : '.';
	memcpy(c->content + c->size - 4, "xx\r\n", 4);
	assert_int_equal(deliver_open(w->deliver, &target, &events, c, &c->connection), ERR_OK);
	io_uv_run(w->io);
	free(c->content);
}

/* ---------------------------------------------------------------- tests */

static void messages_go_out_in_plain_text(void **state)
{
	struct courier c = { .to_send = 5, .size = 3000000 };
	struct world w;

	(void)state;
	open_world(&w, false, true);
	deliver_some(&w, &c, CONFIG_TLS_OPPORTUNISTIC);
	assert_int_equal(c.delivered, 5);
	assert_string_equal(c.version, "");
	close_world(&w);
}

static void opportunistic_tls_takes_any_certificate(void **state)
{
	struct courier c = { .to_send = 3, .size = 1000000 };
	struct world w;

	(void)state;
	open_world(&w, true, false);
	deliver_some(&w, &c, CONFIG_TLS_OPPORTUNISTIC);
	assert_int_equal(c.delivered, 3);
	assert_string_equal(c.version, "TLSv1.3");
	assert_false(c.verified);
	close_world(&w);
}

static void demanded_tls_checks_the_certificate(void **state)
{
	struct courier good = { .to_send = 3, .size = 1000000 }, bad = { .to_send = 1, .size = 100 };
	struct world w;

	(void)state;
	open_world(&w, true, true);
	deliver_some(&w, &good, CONFIG_TLS_REQUIRE);
	assert_int_equal(good.delivered, 3);
	assert_true(good.verified);
	assert_string_equal(good.version, "TLSv1.3");
	close_world(&w);

	open_world(&w, true, false);
	deliver_some(&w, &bad, CONFIG_TLS_REQUIRE);
	assert_int_equal(bad.sent, 0);
	assert_true(bad.failed);
	assert_int_equal(bad.reason, REASON_TLS);
	assert_non_null(strstr(bad.reply, "certificate is not the one demanded"));
	close_world(&w);
}

static void demanded_tls_that_is_not_offered_fails(void **state)
{
	struct courier c = { .to_send = 1, .size = 100 };
	struct world w;

	(void)state;
	open_world(&w, false, true);
	deliver_some(&w, &c, CONFIG_TLS_REQUIRE);
	assert_int_equal(c.sent, 0);
	assert_true(c.failed);
	assert_int_equal(c.reason, REASON_TLS);
	close_world(&w);
}

static void nobody_listens(void **state)
{
	struct courier c = { .to_send = 1, .size = 100 };
	struct world w;

	(void)state;
	open_world(&w, false, true);
	kill(w.server, SIGKILL);
	waitpid(w.server, NULL, 0);
	deliver_some(&w, &c, CONFIG_TLS_NONE);
	assert_true(c.failed);
	assert_int_equal(c.reason, REASON_CONNECT);
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_go_out_in_plain_text),
		cmocka_unit_test(opportunistic_tls_takes_any_certificate),
		cmocka_unit_test(demanded_tls_checks_the_certificate),
		cmocka_unit_test(demanded_tls_that_is_not_offered_fails),
		cmocka_unit_test(nobody_listens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
