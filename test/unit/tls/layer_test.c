#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <time.h>

#include <postrider/io/uv.h>
#include <postrider/tls.h>

#include "support/certificates.h"
#include "support/streams.h"

/* What an end heard of its handshake. */
struct heard {
	unsigned times;
	enum err err;
	struct tls_info info;
	char problem[512];
};

struct world {
	struct ends ends;
	struct certificates certificates;
	struct tls_context *server, *client, *lax;
	struct heard of_server, of_client;
	enum tls_version highest;
};

/* The keys are made once for all tests. */
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

static struct tls_context *server_context(struct world *w, const struct certificate *c)
{
	struct tls_server_options o = { certificate_pem(c), certificate_key(c), w->highest };
	struct tls_context *context = NULL;

	assert_int_equal(tls_server_context_new(w->ends.io, &o, &context, NULL), ERR_OK);
	return context;
}

static struct tls_context *client_context(struct world *w, bool verify, const struct certificate *ca)
{
	struct tls_client_options o = { verify, certificate_pem(ca), TLS_NONE };
	struct tls_context *context = NULL;

	assert_int_equal(tls_client_context_new(w->ends.io, &o, &context, NULL), ERR_OK);
	return context;
}

static int set_up_any(void **state)
{
	struct world *w = *state;

	ends_init(&w->ends);
	w->server = server_context(w, &w->certificates.server);
	w->client = client_context(w, true, &w->certificates.ca);
	w->lax = client_context(w, false, &w->certificates.ca);
	memset(&w->of_server, 0, sizeof(w->of_server));
	memset(&w->of_client, 0, sizeof(w->of_client));
	return 0;
}

static int set_up(void **state)
{
	((struct world *)*state)->highest = TLS_NONE;
	return set_up_any(state);
}

static int set_up_1_2(void **state)
{
	((struct world *)*state)->highest = TLS_1_2;
	return set_up_any(state);
}

static int tear_down(void **state)
{
	struct world *w = *state;

	tls_context_unref(&w->server);
	tls_context_unref(&w->client);
	tls_context_unref(&w->lax);
	tls_context_unref(&w->client);
	ends_fini(&w->ends);
	return 0;
}

static void on_done(void *owner, enum err err, const struct tls_info *info)
{
	struct heard *h = owner;

	h->times++;
	h->err = err;
	h->info = *info;
	snprintf(h->problem, sizeof(h->problem), "%.*s", TEXT_ARGS(info->problem));
}

static void start_server(struct world *w)
{
	assert_int_equal(tls_start(w->ends.server.stream, w->server, TEXT_EMPTY, on_done, &w->of_server), ERR_OK);
}

static void start_client(struct world *w, struct tls_context *c, const char *name)
{
	assert_int_equal(tls_start(w->ends.client.stream, c, text_from(name), on_done, &w->of_client), ERR_OK);
}

/* Both ends, as far as they come. */
static void shake_hands(struct world *w, struct tls_context *client, const char *name)
{
	ends_join(&w->ends);
	start_server(w);
	start_client(w, client, name);
	LOOP_UNTIL(w->ends.io, w->of_client.times && (w->of_server.times || w->ends.server.closed));
}

static void open_both(struct world *w)
{
	shake_hands(w, w->client, "mail.example.org");
	assert_int_equal(w->of_client.err, ERR_OK);
	assert_int_equal(w->of_server.err, ERR_OK);
}

static void close_both(struct world *w)
{
	struct end *ends[] = { &w->ends.client, &w->ends.server };

	for (unsigned i = 0; i < 2; i++) {
		if (ends[i]->stream)
			io_stream_close(ends[i]->stream);
	}
	LOOP_UNTIL(w->ends.io, w->ends.client.closed && w->ends.server.closed);
}

#define assert_text(actual, expected) assert_true(text_eq(actual, TEXT(expected)))

/* ---------------------------------------------------------------- handshakes */

static void both_agree_on_tls_1_3_and_the_name_is_verified(void **state)
{
	struct world *w = *state;

	open_both(w);
	assert_int_equal(w->of_client.info.version, TLS_1_3);
	assert_int_equal(w->of_server.info.version, TLS_1_3);
	assert_text(w->of_client.info.cipher, "TLS_AES_128_GCM_SHA256");
	assert_true(w->of_client.info.verified);
	assert_false(w->of_server.info.verified);
	assert_string_equal(w->of_client.problem, "");
	assert_int_equal(tls_info_of(w->ends.client.stream).version, TLS_1_3);
	assert_true(tls_info_of(w->ends.client.stream).verified);
	assert_int_equal(w->of_client.times, 1);
	close_both(w);
}

static void both_agree_on_tls_1_2_when_that_is_the_highest(void **state)
{
	struct world *w = *state;

	open_both(w);
	assert_int_equal(w->of_client.info.version, TLS_1_2);
	assert_int_equal(w->of_server.info.version, TLS_1_2);
	assert_text(w->of_client.info.cipher, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
	assert_text(w->of_server.info.cipher, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
	assert_true(w->of_client.info.verified);
	close_both(w);
}

static void a_plain_stream_has_no_tls(void **state)
{
	struct world *w = *state;

	ends_join(&w->ends);
	assert_int_equal(tls_info_of(w->ends.client.stream).version, TLS_NONE);
	start_server(w);
	assert_int_equal(tls_info_of(w->ends.server.stream).version, TLS_NONE);
	close_both(w);
	assert_int_equal(w->of_server.times, 0);
}

static void another_name_is_refused_and_the_names_offered_are_told(void **state)
{
	struct world *w = *state;

	shake_hands(w, w->client, "other.example.org");
	assert_int_equal(w->of_client.err, ERR_CERTIFICATE);
	assert_non_null(strstr(w->of_client.problem, "for another name"));
	assert_non_null(strstr(w->of_client.problem, "it is for "));
	assert_non_null(strstr(w->of_client.problem, "mail.example.org"));
	assert_non_null(strstr(w->of_client.problem, "127.0.0.1"));
	LOOP_UNTIL(w->ends.io, w->ends.client.closed && (w->of_server.times || w->ends.server.closed));
	assert_int_equal(w->ends.client.why, ERR_CERTIFICATE);
	close_both(w);
}

static void a_name_with_a_final_dot_is_the_same(void **state)
{
	struct world *w = *state;

	shake_hands(w, w->client, "mail.example.org.");
	assert_int_equal(w->of_client.err, ERR_OK);
	close_both(w);
}

static void an_address_is_looked_for_among_the_addresses(void **state)
{
	struct world *w = *state;

	shake_hands(w, w->client, "127.0.0.1");
	assert_int_equal(w->of_client.err, ERR_OK);
	assert_true(w->of_client.info.verified);
	close_both(w);
}

static void another_address_is_refused(void **state)
{
	struct world *w = *state;

	shake_hands(w, w->client, "127.0.0.2");
	assert_int_equal(w->of_client.err, ERR_CERTIFICATE);
	close_both(w);
}

static void without_a_name_nothing_is_verified(void **state)
{
	struct world *w = *state;

	shake_hands(w, w->client, "");
	assert_int_equal(w->of_client.err, ERR_CERTIFICATE);
	assert_string_equal(w->of_client.problem, "there is no name to check it against");
	close_both(w);
}

static void without_a_name_and_without_verification_it_is_not_called_verified(void **state)
{
	struct world *w = *state;

	shake_hands(w, w->lax, "");
	assert_int_equal(w->of_client.err, ERR_OK);
	assert_false(w->of_client.info.verified);
	close_both(w);
}

static void an_unknown_ca_is_refused(void **state)
{
	struct world *w = *state;
	struct certificate other;
	struct tls_context *client;

	certificate_make(&other, &(struct certificate_options){ .name = "Another CA" });
	client = client_context(w, true, &other);
	shake_hands(w, client, "mail.example.org");
	tls_context_unref(&client);
	assert_int_equal(w->of_client.err, ERR_CERTIFICATE);
	assert_non_null(strstr(w->of_client.problem, "leads to no known CA"));
	LOOP_UNTIL(w->ends.io, w->of_server.times || w->ends.server.closed);
	if (w->of_server.times)
		assert_int_equal(w->of_server.err, ERR_TLS);
	close_both(w);
}

static void an_expired_certificate_is_refused(void **state)
{
	struct world *w = *state;
	struct certificate old;

	certificate_make(&old, &(struct certificate_options){
		.name = "mail.example.org", .ca = &w->certificates.ca, .expired = true });
	tls_context_unref(&w->server);
	w->server = server_context(w, &old);
	shake_hands(w, w->client, "mail.example.org");
	assert_int_equal(w->of_client.err, ERR_CERTIFICATE);
	assert_non_null(strstr(w->of_client.problem, "has expired"));
	close_both(w);
}

static void a_certificate_with_a_common_name_only_is_for_that_name(void **state)
{
	struct world *w = *state;
	struct certificate old;

	certificate_make(&old, &(struct certificate_options){
		.name = "old.example.org", .ca = &w->certificates.ca, .only_common_name = true });
	tls_context_unref(&w->server);
	w->server = server_context(w, &old);
	shake_hands(w, w->client, "mail.example.org");
	assert_int_equal(w->of_client.err, ERR_CERTIFICATE);
	assert_string_equal(w->of_client.problem, "the certificate is for another name; it is for old.example.org");
	close_both(w);
}

static void without_verification_any_certificate_will_do_and_it_is_said(void **state)
{
	struct world *w = *state;

	shake_hands(w, w->lax, "other.example.org");
	assert_int_equal(w->of_client.err, ERR_OK);
	assert_int_equal(w->of_server.err, ERR_OK);
	assert_false(w->of_client.info.verified);
	assert_non_null(strstr(w->of_client.problem, "for another name"));
	assert_int_equal(tls_info_of(w->ends.client.stream).problem.len, 0);
	close_both(w);
}

static void without_verification_a_good_certificate_is_said_too(void **state)
{
	struct world *w = *state;

	shake_hands(w, w->lax, "mail.example.org");
	assert_int_equal(w->of_client.err, ERR_OK);
	assert_true(w->of_client.info.verified);
	close_both(w);
}

static void an_rsa_key_works_too(void **state)
{
	struct world *w = *state;
	struct certificate rsa;

	certificate_make(&rsa, &(struct certificate_options){
		.name = "rsa.example.org", .second_name = "mail.example.org", .ca = &w->certificates.ca, .rsa = true });
	tls_context_unref(&w->server);
	w->server = server_context(w, &rsa);
	shake_hands(w, w->client, "mail.example.org");
	assert_int_equal(w->of_client.err, ERR_OK);
	assert_true(w->of_client.info.verified);
	close_both(w);
}

/* ---------------------------------------------------------------- octets */

static void echo(struct end *e, struct text bytes)
{
	io_stream_write(e->stream, &bytes, 1);
}

static void octets_go_both_ways(void **state)
{
	struct world *w = *state;

	w->ends.server.on_data = echo;
	open_both(w);
	end_write(&w->ends.client, "EHLO there\r\n");
	LOOP_UNTIL(w->ends.io, w->ends.client.got.len == 12);
	assert_text(end_got(&w->ends.client), "EHLO there\r\n");
	close_both(w);
}

static void what_is_written_during_the_handshake_follows_it(void **state)
{
	struct world *w = *state;

	ends_join(&w->ends);
	start_server(w);
	end_write(&w->ends.server, "220 ready\r\n");
	start_client(w, w->client, "mail.example.org");
	end_write(&w->ends.client, "EHLO ");
	end_write(&w->ends.client, "there\r\n");
	assert_int_equal(io_stream_unsent(w->ends.client.stream), 12);
	LOOP_UNTIL(w->ends.io, w->ends.client.got.len == 11 && w->ends.server.got.len == 12);
	assert_text(end_got(&w->ends.server), "EHLO there\r\n");
	assert_text(end_got(&w->ends.client), "220 ready\r\n");
	LOOP_UNTIL(w->ends.io, w->ends.client.drained == 1);
	assert_int_equal(io_stream_unsent(w->ends.client.stream), 0);
	close_both(w);
}

static void check_pattern(const struct buf *got, size_t len, unsigned step)
{
	assert_int_equal(got->len, len);
	for (size_t i = 0; i < len; i++) {
		if (got->at[i] != (char)(i * step >> 3))
			fail_msg("octet %zu is wrong", i);
	}
}

static char *pattern(size_t len, unsigned step)
{
	char *bytes = malloc(len);

	assert_non_null(bytes);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)(i * step >> 3);
	return bytes;
}

static void much_goes_both_ways_at_once(void **state)
{
	enum { LEN = 5 << 20 };
	struct world *w = *state;
	AUTO(free_memory) char *a = pattern(LEN, 3);
	AUTO(free_memory) char *b = pattern(LEN, 7);
	struct text from_client = text_of(a, LEN), from_server = text_of(b, LEN);

	open_both(w);
	io_stream_write(w->ends.client.stream, &from_client, 1);
	io_stream_write(w->ends.server.stream, &from_server, 1);
	LOOP_UNTIL(w->ends.io, w->ends.server.got.len == LEN && w->ends.client.got.len == LEN);
	check_pattern(&w->ends.server.got, LEN, 3);
	check_pattern(&w->ends.client.got, LEN, 7);
	close_both(w);
}

static void pieces_of_all_sizes_arrive_in_order(void **state)
{
	static const size_t sizes[] = { 1, 0, 100, 16384, 8191, 8192, 8193, 16383, 3, 40000, 16385, 7, 65536, 2 };
	struct world *w = *state;
	struct text pieces[ARRAY_LEN(sizes)];
	size_t total = 0;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		total += sizes[i];
	AUTO(free_memory) char *bytes = pattern(total, 5);

	for (size_t i = 0, at = 0; i < ARRAY_LEN(sizes); at += sizes[i++])
		pieces[i] = text_of(bytes + at, sizes[i]);
	open_both(w);
	io_stream_write(w->ends.client.stream, pieces, ARRAY_LEN(pieces));
	LOOP_UNTIL(w->ends.io, w->ends.server.got.len == total);
	check_pattern(&w->ends.server.got, total, 5);
	close_both(w);
}

static void a_group_of_replies_is_one_record_and_one_offer(void **state)
{
	struct world *w = *state;
	struct text pieces[] = { LIT("250-one\r\n"), LIT("250-two\r\n"), LIT("250 three\r\n") };

	open_both(w);
	io_stream_write(w->ends.server.stream, pieces, 3);
	LOOP_UNTIL(w->ends.io, w->ends.client.got.len == 29);
	assert_int_equal(w->ends.client.calls, 1);
	close_both(w);
}

static void pause_and_resume(struct end *e, struct text bytes)
{
	(void)bytes;
	io_stream_pause(e->stream);
	io_stream_resume(e->stream);
}

static void what_is_left_comes_again_in_front(void **state)
{
	struct world *w = *state;

	w->ends.server.take = 3;
	w->ends.server.on_data = pause_and_resume;
	open_both(w);
	end_write(&w->ends.client, "abcdefgh");
	LOOP_UNTIL(w->ends.io, w->ends.server.got.len == 8);
	assert_text(end_got(&w->ends.server), "abcdefgh");
	w->ends.server.on_data = NULL;
	w->ends.server.take = 0;
	end_write(&w->ends.client, "ij");
	LOOP_UNTIL(w->ends.io, w->ends.server.offered == 2);
	w->ends.server.take = SIZE_MAX;
	end_write(&w->ends.client, "kl");
	LOOP_UNTIL(w->ends.io, w->ends.server.got.len == 12);
	assert_text(end_got(&w->ends.server), "abcdefghijkl");
	close_both(w);
}

static void a_pause_holds_octets_back(void **state)
{
	enum { LEN = 8 << 20 };
	struct world *w = *state;
	AUTO(free_memory) char *bytes = pattern(LEN, 3);
	struct text all = text_of(bytes, LEN);

	open_both(w);
	io_stream_pause(w->ends.server.stream);
	for (unsigned i = 0; i < 4; i++)
		io_stream_write(w->ends.client.stream, &all, 1);
	loop_for(w->ends.io, 50);
	assert_int_equal(w->ends.server.calls, 0);
	assert_true(io_stream_unsent(w->ends.client.stream) > 3 * (size_t)LEN / 2);
	for (unsigned i = 0; i < 200 && w->ends.server.got.len < 4 * (size_t)LEN; i++) {
		io_stream_resume(w->ends.server.stream);
		loop_for(w->ends.io, 0);
		io_stream_pause(w->ends.server.stream);
		loop_for(w->ends.io, 0);
	}
	io_stream_resume(w->ends.server.stream);
	LOOP_UNTIL(w->ends.io, w->ends.server.got.len == 4 * (size_t)LEN);
	for (unsigned i = 0; i < 4; i++)
		assert_memory_equal(w->ends.server.got.at + (size_t)i * LEN, bytes, LEN);
	close_both(w);
}

static void a_pause_does_not_hold_up_the_handshake(void **state)
{
	struct world *w = *state;

	ends_join(&w->ends);
	io_stream_pause(w->ends.server.stream);
	io_stream_pause(w->ends.client.stream);
	start_server(w);
	start_client(w, w->client, "mail.example.org");
	LOOP_UNTIL(w->ends.io, w->of_client.times && w->of_server.times);
	end_write(&w->ends.client, "x");
	loop_for(w->ends.io, 10);
	assert_int_equal(w->ends.server.calls, 0);
	io_stream_resume(w->ends.server.stream);
	LOOP_UNTIL(w->ends.io, w->ends.server.got.len == 1);
	close_both(w);
}

/* ---------------------------------------------------------------- STARTTLS */

static void start_tls_on_first_line(struct end *e, struct text bytes)
{
	struct world *w = e->owner;

	(void)bytes;
	e->on_data = NULL;
	end_write(e, "220 go ahead\r\n");
	start_server(w);
	e->take = 10;
}

static void start_tls_on_220(struct end *e, struct text bytes)
{
	(void)bytes;
	e->on_data = NULL;
	start_client(e->owner, ((struct world *)e->owner)->client, "mail.example.org");
}

/* CVE-2011-0411: what stands behind STARTTLS in the same segment is not taken for what came through TLS. */
static void octets_sent_in_front_of_the_handshake_are_thrown_away(void **state)
{
	struct world *w = *state;

	w->ends.server.on_data = start_tls_on_first_line;
	w->ends.client.on_data = start_tls_on_220;
	w->ends.server.owner = w->ends.client.owner = w;
	ends_join(&w->ends);
	end_write(&w->ends.client, "STARTTLS\r\nMAIL FROM:<evil@example.org>\r\n");
	LOOP_UNTIL(w->ends.io, w->of_client.times && w->of_server.times);
	assert_int_equal(w->of_client.err, ERR_OK);
	w->ends.server.take = SIZE_MAX;
	end_write(&w->ends.client, "EHLO there\r\n");
	LOOP_UNTIL(w->ends.io, w->ends.server.got.len == 22);
	assert_text(end_got(&w->ends.server), "STARTTLS\r\nEHLO there\r\n");
	close_both(w);
}

/* ---------------------------------------------------------------- ends */

static void finishing_says_close_notify(void **state)
{
	struct world *w = *state;

	open_both(w);
	end_write(&w->ends.client, "QUIT\r\n");
	io_stream_finish(w->ends.client.stream);
	LOOP_UNTIL(w->ends.io, w->ends.server.eofs == 1);
	assert_text(end_got(&w->ends.server), "QUIT\r\n");
	assert_int_equal(w->ends.server.closed, 0);
	end_write(&w->ends.server, "221 bye\r\n");
	io_stream_finish(w->ends.server.stream);
	LOOP_UNTIL(w->ends.io, w->ends.client.closed && w->ends.server.closed);
	assert_int_equal(w->ends.client.why, ERR_OK);
	assert_int_equal(w->ends.server.why, ERR_OK);
}

static void octets_that_end_without_close_notify_were_cut_short(void **state)
{
	struct world *w = *state;

	open_both(w);
	end_write(&w->ends.client, "250 ok");
	LOOP_UNTIL(w->ends.io, w->ends.server.got.len == 6);
	io_stream_close(w->ends.client.stream);
	LOOP_UNTIL(w->ends.io, w->ends.server.closed);
	assert_int_equal(w->ends.server.eofs, 0);
	assert_int_equal(w->ends.server.why, ERR_CLOSED);
	close_both(w);
}

static void the_end_waits_for_what_a_paused_owner_has_not_seen(void **state)
{
	struct world *w = *state;

	open_both(w);
	io_stream_pause(w->ends.server.stream);
	end_write_many(&w->ends.client, 'x', 100000);
	io_stream_finish(w->ends.client.stream);
	loop_for(w->ends.io, 30);
	assert_int_equal(w->ends.server.calls, 0);
	assert_int_equal(w->ends.server.eofs, 0);
	io_stream_resume(w->ends.server.stream);
	LOOP_UNTIL(w->ends.io, w->ends.server.eofs == 1);
	assert_int_equal(w->ends.server.got.len, 100000);
	close_both(w);
}

static void garbage_instead_of_a_hello_fails(void **state)
{
	struct world *w = *state;

	ends_join(&w->ends);
	start_server(w);
	end_write(&w->ends.client, "EHLO i.do.not.know.tls\r\nMAIL FROM:<>\r\n");
	LOOP_UNTIL(w->ends.io, w->of_server.times == 1 && w->ends.server.closed == 1);
	assert_int_equal(w->of_server.err, ERR_TLS);
	assert_int_equal(w->ends.server.why, ERR_TLS);
	assert_true(strlen(w->of_server.problem) > 10);
	assert_int_equal(w->ends.server.calls, 0);
	close_both(w);
}

static void a_server_without_tls_fails_the_client(void **state)
{
	struct world *w = *state;

	ends_join(&w->ends);
	start_client(w, w->client, "mail.example.org");
	end_write(&w->ends.server, "500 what is that?\r\n");
	LOOP_UNTIL(w->ends.io, w->ends.client.closed == 1);
	assert_int_equal(w->of_client.times, 1);
	assert_int_equal(w->of_client.err, ERR_TLS);
	close_both(w);
}

/* Straight to the wire, past the layer. */
static void send_raw(struct end *e, const char *bytes, size_t len)
{
	struct text raw = text_of(bytes, len);

	io_layer_send(io_stream_layer(e->stream), &raw, 1);
}

static void a_damaged_record_ends_the_stream(void **state)
{
	struct world *w = *state;

	open_both(w);
	end_write(&w->ends.client, "before");
	send_raw(&w->ends.client, "\x17\x03\x03\x00\x20" "0123456789abcdef0123456789abcdef", 37);
	LOOP_UNTIL(w->ends.io, w->ends.server.closed);
	assert_int_equal(w->ends.server.why, ERR_TLS);
	assert_text(end_got(&w->ends.server), "before");
	assert_int_equal(w->ends.server.eofs, 0);
	close_both(w);
}

static void plain_octets_inside_tls_end_the_stream(void **state)
{
	struct world *w = *state;

	open_both(w);
	send_raw(&w->ends.client, "RSET\r\nQUIT\r\n", 12);
	LOOP_UNTIL(w->ends.io, w->ends.server.closed);
	assert_int_equal(w->ends.server.why, ERR_TLS);
	assert_int_equal(w->ends.server.calls, 0);
	close_both(w);
}

static void the_peers_alert_is_told_by_its_name(void **state)
{
	static const char alert[] = { 21, 3, 3, 0, 2, 2, 40 };
	struct world *w = *state;
	struct text record = text_of(alert, sizeof(alert));

	ends_join(&w->ends);
	start_client(w, w->client, "mail.example.org");
	io_stream_write(w->ends.server.stream, &record, 1);
	LOOP_UNTIL(w->ends.io, w->ends.client.closed == 1);
	assert_int_equal(w->of_client.err, ERR_TLS);
	assert_string_equal(w->of_client.problem, "the peer sent the alert \"handshake failure\" (40)");
	close_both(w);
}

static void a_peer_that_leaves_during_the_handshake_is_a_failure(void **state)
{
	struct world *w = *state;

	ends_join(&w->ends);
	start_server(w);
	loop_for(w->ends.io, 2);
	io_stream_close(w->ends.client.stream);
	LOOP_UNTIL(w->ends.io, w->ends.server.closed == 1);
	assert_int_equal(w->of_server.times, 1);
	assert_int_equal(w->of_server.err, ERR_TLS);
	assert_non_null(strstr(w->of_server.problem, "closed the connection"));
}

/* ---------------------------------------------------------------- many at once */

enum { STORM = 50 };

struct storm {
	struct world *world;
	struct end clients[STORM], servers[STORM];
	struct heard of_clients[STORM], of_servers[STORM];
	struct io_listener *listener;
	unsigned accepted, done;
	struct io_timer tick;
	uint64_t ticked_us, late_us;
};

static void on_storm_accept(void *owner, struct io_stream *stream)
{
	struct storm *s = owner;
	unsigned i = s->accepted++;
	struct end *e = &s->servers[i];

	assert_true(i < STORM);
	end_init(e, s->world->ends.io);
	e->stream = stream;
	e->on_data = echo;
	io_stream_attach(stream, &end_events, e);
	assert_int_equal(tls_start(stream, s->world->server, TEXT_EMPTY, on_done, &s->of_servers[i]), ERR_OK);
}

static void on_storm_client(struct end *e)
{
	struct storm *s = e->owner;

	if (e->connected == 1 && !e->closed && !io_stream_layer(e->stream)) {
		assert_int_equal(tls_start(e->stream, s->world->client, TEXT("mail.example.org"), on_done,
		                           &s->of_clients[e - s->clients]), ERR_OK);
		end_write(e, "hello");
	}
}

static void on_tick(void *owner)
{
	struct storm *s = owner;
	uint64_t now_us = io_clock_us(s->world->ends.io);

	if (s->ticked_us && now_us - s->ticked_us > 2000 + s->late_us)
		s->late_us = now_us - s->ticked_us - 2000;
	s->ticked_us = now_us;
	assert_int_equal(io_timer_start(s->world->ends.io, &s->tick, io_now_at(s->world->ends.io) + 2, on_tick, s), ERR_OK);
}

static bool storm_is_over(const struct storm *s)
{
	for (unsigned i = 0; i < STORM; i++) {
		if (s->clients[i].got.len < 5)
			return false;
	}
	return true;
}

static double cpu_ms(clockid_t of)
{
	struct timespec used;

	clock_gettime(of, &used);
	return (double)used.tv_sec * 1e3 + (double)used.tv_nsec / 1e6;
}

/* On the loop these handshakes would take 50 x 4 ms. What the loop's own thread works is what counts here: how late it
 * is depends on what else this machine does. */
static void many_handshakes_at_once_do_not_hold_up_the_loop(void **state)
{
	struct world *w = *state;
	struct storm *s = calloc(1, sizeof(*s));
	struct io_address any = { .ip = { .ip = ip_from_v4(0x7f000001) } };

	assert_non_null(s);
	double loop_ms = -cpu_ms(CLOCK_THREAD_CPUTIME_ID), all_ms = -cpu_ms(CLOCK_PROCESS_CPUTIME_ID);

	s->world = w;
	assert_int_equal(io_listen(w->ends.io, &any, 0, on_storm_accept, s, &s->listener), ERR_OK);
	on_tick(s);
	for (unsigned i = 0; i < STORM; i++) {
		end_init(&s->clients[i], w->ends.io);
		s->clients[i].owner = s;
		s->clients[i].on_event = on_storm_client;
		assert_int_equal(io_connect(w->ends.io, io_listener_address(s->listener), NULL, &end_events, &s->clients[i],
		                            &s->clients[i].stream), ERR_OK);
	}
	LOOP_UNTIL(w->ends.io, storm_is_over(s));
	io_timer_stop(w->ends.io, &s->tick);
	loop_ms += cpu_ms(CLOCK_THREAD_CPUTIME_ID);
	all_ms += cpu_ms(CLOCK_PROCESS_CPUTIME_ID);
	print_message("the loop worked %.0f ms of %.0f and was late by %u us at most\n", loop_ms, all_ms,
	              (unsigned)s->late_us);
	assert_true(loop_ms < all_ms / 2);
	assert_true(s->late_us < 1000000);
	for (unsigned i = 0; i < STORM; i++) {
		assert_int_equal(s->of_clients[i].times, 1);
		assert_int_equal(s->of_servers[i].times, 1);
		assert_true(s->of_clients[i].info.verified);
		io_stream_close(s->clients[i].stream);
		io_stream_close(s->servers[i].stream);
	}
	io_listener_close(&s->listener);
	LOOP_UNTIL(w->ends.io, s->clients[STORM - 1].closed && s->servers[STORM - 1].closed);
	for (unsigned i = 0; i < STORM; i++) {
		end_fini(&s->clients[i]);
		end_fini(&s->servers[i]);
	}
	free(s);
}

/* Every moment of the handshake, by turns of the loop. */
static void closing_at_any_moment_is_safe(void **state)
{
	struct world *w = *state;

	for (unsigned turns = 0; turns < 40; turns++) {
		for (unsigned who = 0; who < 4; who++) {
			tear_down(state);
			set_up_any(state);
			ends_join(&w->ends);
			start_server(w);
			start_client(w, w->client, "mail.example.org");
			for (unsigned i = 0; i < turns; i++)
				loop_for(w->ends.io, 0);
			struct end *e = who % 2 ? &w->ends.client : &w->ends.server;
			unsigned heard = who % 2 ? w->of_client.times : w->of_server.times;

			if (e->stream && who < 2)
				io_stream_close(e->stream);
			else if (e->stream)
				io_stream_finish(e->stream);
			LOOP_UNTIL(w->ends.io, e->closed);
			assert_int_equal(who % 2 ? w->of_client.times : w->of_server.times, heard);
			close_both(w);
			assert_int_equal(w->ends.client.closed, 1);
			assert_int_equal(w->ends.server.closed, 1);
		}
	}
}

static void freeing_the_world_during_a_handshake_is_safe(void **state)
{
	struct world *w = *state;

	ends_join(&w->ends);
	start_server(w);
	start_client(w, w->client, "mail.example.org");
	io_listener_close(&w->ends.listener);
	io_uv_free(&w->ends.io);
	assert_int_equal(w->ends.client.closed, 1);
	assert_int_equal(w->of_client.times, 0);
}

static void a_context_can_go_before_its_streams(void **state)
{
	struct world *w = *state;

	ends_join(&w->ends);
	start_server(w);
	start_client(w, w->client, "mail.example.org");
	tls_context_unref(&w->server);
	tls_context_unref(&w->client);
	assert_null(w->client);
	LOOP_UNTIL(w->ends.io, w->of_client.times && w->of_server.times);
	assert_int_equal(w->of_client.err, ERR_OK);
	end_write(&w->ends.client, "x");
	LOOP_UNTIL(w->ends.io, w->ends.server.got.len == 1);
	close_both(w);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
#define TEST_1_2(fn) cmocka_unit_test_setup_teardown(fn, set_up_1_2, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(both_agree_on_tls_1_3_and_the_name_is_verified),
		TEST_1_2(both_agree_on_tls_1_2_when_that_is_the_highest),
		TEST(a_plain_stream_has_no_tls),
		TEST(another_name_is_refused_and_the_names_offered_are_told),
		TEST_1_2(another_name_is_refused_and_the_names_offered_are_told),
		TEST(a_name_with_a_final_dot_is_the_same),
		TEST(an_address_is_looked_for_among_the_addresses),
		TEST(another_address_is_refused),
		TEST(without_a_name_nothing_is_verified),
		TEST(without_a_name_and_without_verification_it_is_not_called_verified),
		TEST(an_unknown_ca_is_refused),
		TEST_1_2(an_unknown_ca_is_refused),
		TEST(an_expired_certificate_is_refused),
		TEST(a_certificate_with_a_common_name_only_is_for_that_name),
		TEST(without_verification_any_certificate_will_do_and_it_is_said),
		TEST_1_2(without_verification_any_certificate_will_do_and_it_is_said),
		TEST(without_verification_a_good_certificate_is_said_too),
		TEST(an_rsa_key_works_too),
		TEST_1_2(an_rsa_key_works_too),
		TEST(octets_go_both_ways),
		TEST(what_is_written_during_the_handshake_follows_it),
		TEST_1_2(what_is_written_during_the_handshake_follows_it),
		TEST(much_goes_both_ways_at_once),
		TEST_1_2(much_goes_both_ways_at_once),
		TEST(pieces_of_all_sizes_arrive_in_order),
		TEST_1_2(pieces_of_all_sizes_arrive_in_order),
		TEST(a_group_of_replies_is_one_record_and_one_offer),
		TEST(what_is_left_comes_again_in_front),
		TEST(a_pause_holds_octets_back),
		TEST_1_2(a_pause_holds_octets_back),
		TEST(a_pause_does_not_hold_up_the_handshake),
		TEST_1_2(a_pause_does_not_hold_up_the_handshake),
		TEST(octets_sent_in_front_of_the_handshake_are_thrown_away),
		TEST(finishing_says_close_notify),
		TEST_1_2(finishing_says_close_notify),
		TEST(octets_that_end_without_close_notify_were_cut_short),
		TEST_1_2(octets_that_end_without_close_notify_were_cut_short),
		TEST(the_end_waits_for_what_a_paused_owner_has_not_seen),
		TEST(garbage_instead_of_a_hello_fails),
		TEST(a_server_without_tls_fails_the_client),
		TEST(a_damaged_record_ends_the_stream),
		TEST_1_2(a_damaged_record_ends_the_stream),
		TEST(plain_octets_inside_tls_end_the_stream),
		TEST(the_peers_alert_is_told_by_its_name),
		TEST(a_peer_that_leaves_during_the_handshake_is_a_failure),
		TEST(many_handshakes_at_once_do_not_hold_up_the_loop),
		TEST(closing_at_any_moment_is_safe),
		TEST_1_2(closing_at_any_moment_is_safe),
		TEST(freeing_the_world_during_a_handshake_is_safe),
		TEST(a_context_can_go_before_its_streams),
	};

	return cmocka_run_group_tests(tests, make_certificates, free_certificates);
}
