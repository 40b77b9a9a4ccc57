/* Conversations by chance, with TLS and without: whatever the owners take, leave, pause and write, each octet arrives
 * once and in its place, and the end comes last. A failure names its seed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <postrider/base/random.h>
#include <postrider/io/uv.h>
#include <postrider/tls.h>

#include "mbed.h"
#include "support/certificates.h"
#include "support/streams.h"

#define SEEDS 60
#define STEPS 250
#define WRITE_MAX 30000

struct world {
	struct ends ends;
	struct certificates certificates;
	struct random random;
	unsigned seed, done;
	uint64_t written[2], taken[2];
	bool settling;
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

static char octet_at(uint64_t place)
{
	return (char)(place * 167 >> 4);
}

static void on_data(struct end *e, struct text bytes)
{
	struct world *w = e->owner;
	uint64_t *taken = &w->taken[e == &w->ends.server];
	size_t least = bytes.len > IO_KEEP_BYTES ? bytes.len - IO_KEEP_BYTES : 0;

	e->take = bytes.len;
	if (!w->settling && random_below(&w->random, 3) == 0)
		e->take = least + (size_t)random_below(&w->random, bytes.len - least + 1);
	e->pause_in_data = !w->settling && random_below(&w->random, 4) == 0;
	if (e->pause_in_data && random_below(&w->random, 2))
		e->take = (size_t)random_below(&w->random, bytes.len + 1);
	for (size_t i = 0; i < bytes.len; i++) {
		if (bytes.at[i] != octet_at(*taken + i))
			fail_msg("seed %u: octet %llu is wrong", w->seed, (unsigned long long)(*taken + i));
	}
	*taken += e->take;
	buf_reset(&e->got);
}

static void on_done(void *owner, enum err err, const struct tls_info *info)
{
	struct world *w = owner;

	(void)info;
	assert_int_equal(err, ERR_OK);
	w->done++;
}

static void write_some(struct world *w, struct end *e)
{
	static char bytes[WRITE_MAX];
	uint64_t *written = &w->written[e == &w->ends.server];
	size_t len = 1 + (size_t)random_below(&w->random, random_below(&w->random, 4) ? 300 : WRITE_MAX);
	size_t cut = (size_t)random_below(&w->random, len + 1);
	struct text pieces[] = { text_of(bytes, cut), text_of(bytes + cut, len - cut) };

	for (size_t i = 0; i < len; i++)
		bytes[i] = octet_at(*written + i);
	*written += len;
	io_stream_write(e->stream, pieces, 2);
}

static void step(struct world *w)
{
	struct end *e = random_below(&w->random, 2) ? &w->ends.client : &w->ends.server;

	switch (random_below(&w->random, 6)) {
	case 0:
	case 1:
		write_some(w, e);
		break;
	case 2:
		io_stream_pause(e->stream);
		break;
	case 3:
		io_stream_resume(e->stream);
		break;
	default:
		loop_for(w->ends.io, random_below(&w->random, 5) == 0);
		break;
	}
}

static void finish(struct world *w, struct end *from, struct end *to)
{
	w->settling = true;
	io_stream_pause(to->stream);      /* so that what was left without a pause is offered once more */
	io_stream_resume(to->stream);
	io_stream_finish(from->stream);
	LOOP_UNTIL(w->ends.io, to->eofs || to->closed);
	if (to->closed)
		fail_msg("seed %u: closed with %s", w->seed, err_text(to->why));
}

static void start_tls(struct world *w, struct tls_context *server, struct tls_context *client)
{
	assert_int_equal(tls_start(w->ends.server.stream, server, TEXT_EMPTY, on_done, w), ERR_OK);
	assert_int_equal(tls_start(w->ends.client.stream, client, TEXT("mail.example.org"), on_done, w), ERR_OK);
	if (random_below(&w->random, 2))
		LOOP_UNTIL(w->ends.io, w->done == 2);
}

static void converse(struct world *w, unsigned seed, struct tls_context *server, struct tls_context *client)
{
	struct mbed_world *shared = NULL;

	ends_init(&w->ends);
	assert_int_equal(mbed_world_ref(w->ends.io, &shared), ERR_OK);
	shared->hot_max = seed % 3 ? 1 : 2;      /* mostly each end gives up its buffers when the other is used */
	w->seed = seed;
	w->done = 0;
	w->settling = false;
	memset(w->written, 0, sizeof(w->written));
	memset(w->taken, 0, sizeof(w->taken));
	random_init(&w->random, seed);
	w->ends.client.on_data = w->ends.server.on_data = on_data;
	w->ends.client.owner = w->ends.server.owner = w;
	ends_join(&w->ends);
	if (client)
		start_tls(w, server, client);
	for (unsigned i = 0; i < STEPS; i++)
		step(w);
	if (client)
		LOOP_UNTIL(w->ends.io, w->done == 2);
	finish(w, &w->ends.client, &w->ends.server);
	if (w->taken[1] != w->written[0])
		fail_msg("seed %u: %llu octets of %llu", seed, (unsigned long long)w->taken[1],
		         (unsigned long long)w->written[0]);
	io_stream_finish(w->ends.server.stream);
	LOOP_UNTIL(w->ends.io, w->ends.server.closed && w->ends.client.closed);
	assert_int_equal(w->ends.client.closed, 1);
	mbed_world_unref(&shared);
	ends_fini(&w->ends);
}

static void plain_conversations_arrive_whole(void **state)
{
	for (unsigned seed = 1; seed <= SEEDS; seed++)
		converse(*state, seed, NULL, NULL);
}

static void conversations_over_tls_arrive_whole(void **state)
{
	struct world *w = *state;
	struct tls_server_options server = { certificate_pem(&w->certificates.server),
		                             certificate_key(&w->certificates.server), TLS_NONE };
	struct tls_client_options client = { true, certificate_pem(&w->certificates.ca), TLS_NONE };
	struct tls_context *servers[2] = { NULL }, *c = NULL;
	struct io *io;

	assert_int_equal(io_uv_new(NULL, &io), ERR_OK);
	assert_int_equal(tls_server_context_new(io, &server, &servers[0], NULL), ERR_OK);
	server.highest = TLS_1_2;
	assert_int_equal(tls_server_context_new(io, &server, &servers[1], NULL), ERR_OK);
	assert_int_equal(tls_client_context_new(io, &client, &c, NULL), ERR_OK);
	for (unsigned seed = 1; seed <= SEEDS; seed++)
		converse(w, seed, servers[seed % 2], c);
	tls_context_unref(&servers[0]);
	tls_context_unref(&servers[1]);
	tls_context_unref(&c);
	io_uv_free(&io);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_conversations_arrive_whole),
		cmocka_unit_test(conversations_over_tls_arrive_whole),
	};

	return cmocka_run_group_tests(tests, make_certificates, free_certificates);
}
