/* Each allocation of this thread fails in turn: contexts are made or not, handshakes and records end well or badly. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <postrider/io/uv.h>
#include <postrider/tls.h>

#include "support/alloc.h"
#include "support/certificates.h"
#include "support/streams.h"

struct world {
	struct ends ends;
	struct certificates certificates;
	struct tls_context *server, *client;
	unsigned failed;
	unsigned done;
};

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

static void contexts_are_made_or_not(void **state)
{
	struct world *w = *state;
	struct tls_server_options server = { certificate_pem(&w->certificates.server),
		                             certificate_key(&w->certificates.server), TLS_NONE };
	struct tls_client_options client = { true, certificate_pem(&w->certificates.ca), TLS_NONE };

	ends_init(&w->ends);
	for (EACH_ALLOC_FAILING) {
		struct tls_context *c = NULL;
		enum err err = tls_server_context_new(w->ends.io, &server, &c, NULL);

		assert_true((err == ERR_OK) == (c != NULL));
		tls_context_unref(&c);
		err = tls_client_context_new(w->ends.io, &client, &c, NULL);
		assert_true((err == ERR_OK) == (c != NULL));
		tls_context_unref(&c);
	}
	ends_fini(&w->ends);
}

static void on_done(void *owner, enum err err, const struct tls_info *info)
{
	struct world *w = owner;

	(void)info;
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
	LOOP_UNTIL(w->ends.io, w->ends.client.closed || w->ends.server.closed || w->ends.server.got.len == 5 ||
	           buf_err(&w->ends.server.got));
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

static void a_conversation_ends_whatever_fails(void **state)
{
	struct world *w = *state;
	struct tls_server_options server = { certificate_pem(&w->certificates.server),
		                             certificate_key(&w->certificates.server), TLS_NONE };
	struct tls_client_options client = { true, certificate_pem(&w->certificates.ca), TLS_NONE };
	bool failed = true;

	for (unsigned nth = 1; failed; nth++) {
		w->failed = w->done = 0;
		ends_init(&w->ends);
		warm_up(w->ends.io);
		assert_int_equal(tls_server_context_new(w->ends.io, &server, &w->server, NULL), ERR_OK);
		assert_int_equal(tls_client_context_new(w->ends.io, &client, &w->client, NULL), ERR_OK);
		ends_join(&w->ends);
		alloc_fail_nth(nth);
		talk(w);
		failed = alloc_has_failed();
		alloc_fail_nth(0);
		if (!failed) {
			assert_int_equal(w->ends.server.got.len, 5);
			assert_int_equal(w->done, 2);
			assert_int_equal(w->failed, 0);
		}
		tls_context_unref(&w->server);
		tls_context_unref(&w->client);
		ends_fini(&w->ends);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contexts_are_made_or_not),
		cmocka_unit_test(a_conversation_ends_whatever_fails),
	};

	return cmocka_run_group_tests(tests, make_certificates, free_certificates);
}
