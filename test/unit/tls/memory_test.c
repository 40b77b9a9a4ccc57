/* Each allocation of this thread fails in turn: contexts are made or not, handshakes and records end well or badly. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <postrider/io/uv.h>
#include <postrider/io/world.h>
#include <postrider/tls.h>

#include "mbed.h"
#include "support/alloc.h"
#include "support/certificates.h"
#include "support/streams.h"

struct world {
	struct ends ends;
	struct certificates certificates;
	struct tls_context *server, *client;
	unsigned failed;
	unsigned done;
	bool peer_verified;
	bool inline_jobs; /* jobs run on the test's thread, where allocations fail */
	struct io_world_ops ops;
	const struct io_world_ops *real;
	struct ending {
		struct io_job job, *of;
	} endings[64];
	unsigned ended;
};

static struct world *the_world; /* of the jobs that run inline: a world of io knows no owner */

static int make_certificates(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	certificates_make(&w->certificates);
	*state = w;
	return 0;
}

static int free_certificates(void **state)
{
	free(*state);
	return 0;
}

/* Two certificates, a question for the client's, and a client that has one; or the least there is. */
struct options {
	struct tls_certificate certificates[2];
	struct tls_server_options server;
	struct tls_client_options client;
};

static void options_init(struct options *o, struct world *w, bool all)
{
	struct text pem = certificate_pem(&w->certificates.server),
		    key = certificate_key(&w->certificates.server);
	struct text ca = certificate_pem(&w->certificates.ca);

	*o = (struct options){ .server = { pem, key, TLS_NONE }, .client = { true, ca, TLS_NONE } };
	if (!all)
		return;
	o->certificates[0] = o->certificates[1] = (struct tls_certificate){ pem, key };
	o->server.certificates = o->certificates;
	o->server.certificate_count = 2;
	o->server.ask_client = true;
	o->server.client_ca = ca;
	o->client.certificate = pem;
	o->client.key = key;
}

static void contexts_are_made_or_not(void **state)
{
	struct world *w = *state;

	for (unsigned all = 0; all < 2; all++) {
		struct options o;

		options_init(&o, w, all);
		ends_init(&w->ends);
		for (EACH_ALLOC_FAILING) {
			struct tls_context *c = NULL;
			enum err err = tls_server_context_new(w->ends.io, &o.server, &c, NULL);

			assert_true((err == ERR_OK) == (c != NULL));
			tls_context_unref(&c);
			err = tls_client_context_new(w->ends.io, &o.client, &c, NULL);
			assert_true((err == ERR_OK) == (c != NULL));
			tls_context_unref(&c);
		}
		ends_fini(&w->ends);
	}
}

static void on_done(void *owner, enum err err, const struct tls_info *info)
{
	struct world *w = owner;

	w->peer_verified |= info->peer_verified;
	w->done++;
	w->failed += err != ERR_OK;
}

static void start(struct world *w, struct end *e, struct tls_context *c)
{
	if (tls_start(e->stream, c, TEXT("mail.example.org"), on_done, w) != ERR_OK)
		io_stream_close(e->stream);
}

static void talk(struct world *w)
{
	static const char hello[] = "hello";
	struct text big = text_of(hello, 5);

	start(w, &w->ends.server, w->server);
	start(w, &w->ends.client, w->client);
	if (w->ends.client.stream && !io_stream_is_closing(w->ends.client.stream))
		io_stream_write(w->ends.client.stream, &big, 1);
	LOOP_UNTIL(w->ends.io, w->ends.client.closed || w->ends.server.closed ||
	                               w->ends.server.got.len == 5 || buf_err(&w->ends.server.got));
	if (w->ends.client.stream)
		io_stream_finish(w->ends.client.stream);
	LOOP_UNTIL(w->ends.io, w->ends.client.closed || w->ends.server.closed || w->ends.server.eofs);
}

static void warm_up(struct io *io)
{
	struct io_timer timers[16] = { 0 };

	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(io_timer_start(io, &timers[i], io_now_at(io), NULL, NULL), ERR_OK);
	for (unsigned i = 0; i < 16; i++)
		io_timer_stop(io, &timers[i]);
}

static void run_nothing(struct io_job *job)
{
	(void)job;
}

static void on_ending(struct io_job *job)
{
	struct io_job *of = CONTAINER_OF(job, struct ending, job)->of;

	of->done(of);
}

static void submit_inline(struct io *io, enum io_lane lane, struct io_job *job)
{
	struct world *w = the_world;
	struct ending *e = &w->endings[w->ended++];

	assert_true(w->ended <= ARRAY_LEN(w->endings));
	job->run(job);
	*e = (struct ending){ .job = { .run = run_nothing, .done = on_ending }, .of = job };
	w->real->submit(io, lane, &e->job);
}

static void run_jobs_inline(struct world *w)
{
	the_world = w;
	w->ended = 0;
	w->real = w->ends.io->ops;
	w->ops = *w->real;
	w->ops.submit = submit_inline;
	w->ends.io->ops = &w->ops;
}

/* With one set of buffers for both ends: they are given up and asked for again all the time. */
static bool converse(struct world *w, const struct options *o, unsigned nth)
{
	struct mbed_world *shared = NULL;

	w->failed = w->done = 0;
	ends_init(&w->ends);
	warm_up(w->ends.io);
	assert_int_equal(mbed_world_ref(w->ends.io, &shared), ERR_OK);
	shared->hot_max = 1;
	assert_int_equal(tls_server_context_new(w->ends.io, &o->server, &w->server, NULL), ERR_OK);
	assert_int_equal(tls_client_context_new(w->ends.io, &o->client, &w->client, NULL), ERR_OK);
	ends_join(&w->ends);
	if (w->inline_jobs)
		run_jobs_inline(w);
	alloc_fail_nth(nth);
	talk(w);
	bool failed = alloc_has_failed();

	alloc_fail_nth(0);
	if (!failed) {
		assert_int_equal(w->ends.server.got.len, 5);
		assert_int_equal(w->done, 2);
		assert_int_equal(w->failed, 0);
		assert_true(!o->client.certificate.len || w->peer_verified);
	}
	tls_context_unref(&w->server);
	tls_context_unref(&w->client);
	mbed_world_unref(&shared);
	ends_fini(&w->ends);
	return failed;
}

static void a_conversation_ends_whatever_fails(void **state)
{
	struct world *w = *state;
	struct options o;
	unsigned nth;

	for (unsigned i = 0; i < 4; i++) {
		options_init(&o, w, i & 1);
		o.server.highest = i & 2 ? TLS_1_2 : TLS_NONE;
		w->peer_verified = false;
		for (nth = 1; converse(w, &o, nth); nth++)
			;
		print_message("%u allocations of the loop\n", nth - 1);
	}
}

/* mbedTLS 3.6.6 itself loses a cipher's context when memory runs out while it makes the keys of TLS 1.3 (it frees the transform
 * and not what is in it). What we lose is found by the other tests. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:gcm_ctx_alloc\nleak:aes_ctx_alloc\n";
}

/* Handshakes ask for memory some thousand times: of those each so manieth fails, another set for each kind. */
static void a_handshake_ends_whatever_fails_in_it(void **state)
{
	enum { STEP = 67 };
	struct world *w = *state;
	struct options o;
	unsigned nth, runs = 0;

	w->inline_jobs = true;
	for (unsigned i = 0; i < 4; i++) {
		options_init(&o, w, i & 1);
		o.server.highest = i & 2 ? TLS_1_2 : TLS_NONE;
		w->peer_verified = false;
		for (nth = 1 + i * STEP / 4; converse(w, &o, nth); nth += STEP)
			runs++;
		print_message("about %u allocations, %u of them failed\n", nth, runs);
		runs = 0;
	}
	w->inline_jobs = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contexts_are_made_or_not),
		cmocka_unit_test(a_conversation_ends_whatever_fails),
		cmocka_unit_test(a_handshake_ends_whatever_fails_in_it),
	};

	return cmocka_run_group_tests(tests, make_certificates, free_certificates);
}
