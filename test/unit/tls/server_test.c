/* The server's side: certificates by name and by key, client certificates, resumption, and what is no TLS of our time. The
 * client is mbedTLS with a plain stream under it, so that it can ask for what our own clients never do. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include <mbedtls/sha256.h>
#include <psa/crypto.h>
#include <postrider/io/uv.h>
#include <postrider/tls.h>

#include "mbed.h"
#include "mbed_layer.h"
#include "support/certificates.h"
#include "support/streams.h"

/* Made once: keys take a while. */
struct keys {
	struct certificates common;
	struct certificate rsa, wild, other, client_ca, app, person, stranger, expired;
};

struct heard {
	unsigned times;
	enum err err;
	struct tls_info info;
	char problem[512];
};

struct client {
	mbedtls_ssl_context ssl;
	mbedtls_ssl_config config;
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context random;
	mbedtls_x509_crt own;
	mbedtls_pk_context key;
	struct end *end;
	bool is_over;
	int status;       /* what the handshake came to */
	char serial[200]; /* of the server's certificate, hexadecimal */
};

/* What a client wants. Zeros: as OpenSSL would by default. */
struct wish {
	const char *name;
	bool only_1_2;
	const uint16_t *signatures; /* of 1.3, MBEDTLS_TLS1_3_SIG_NONE at the end */
	const int *ciphers;
	const struct certificate *own;
	mbedtls_ssl_session *session; /* resumed, and overwritten by the new one */
};

struct world {
	struct keys keys;
	struct ends ends;
	struct tls_context *server;
	struct heard heard;
	struct client client;
};

static void make(struct certificate *out, const struct certificate *ca, const char *name, bool rsa,
                 bool expired)
{
	certificate_make(
		out, &(struct certificate_options){ .name = name, .ca = ca, .rsa = rsa, .expired = expired });
}

static int make_keys(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	struct keys *k = &w->keys;

	certificates_make(&k->common);
	make(&k->rsa, &k->common.ca, "mail.example.org", true, false);
	make(&k->wild, &k->common.ca, "*.wild.example", false, false);
	make(&k->other, &k->common.ca, "other.example", false, false);
	make(&k->client_ca, NULL, "Client CA", false, false);
	make(&k->app, &k->client_ca, "app.example", false, false);
	make(&k->expired, &k->client_ca, "old.example", false, true);
	make(&k->stranger, &k->common.ca, "stranger.example", false, false);
	certificate_make(&k->person, &(struct certificate_options){ .name = "laptop.example",
	                                                            .mailbox = "ann@example.org",
	                                                            .ca = &k->client_ca });
	*state = w;
	return 0;
}

static int free_keys(void **state)
{
	free(*state);
	return 0;
}

static int set_up(void **state)
{
	struct world *w = *state;

	ends_init(&w->ends);
	memset(&w->heard, 0, sizeof(w->heard));
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	tls_context_unref(&w->server);
	ends_fini(&w->ends);
	return 0;
}

/* ---------------------------------------------------------------- servers */

static void serve(struct world *w, const struct tls_server_options *o)
{
	tls_context_unref(&w->server);
	assert_int_equal(tls_server_context_new(w->ends.io, o, &w->server, NULL), ERR_OK);
}

static struct tls_certificate pair_of(const struct certificate *c)
{
	return (struct tls_certificate){ .chain = certificate_pem(c), .key = certificate_key(c) };
}

static void serve_one(struct world *w, bool ask, const struct certificate *client_ca)
{
	struct tls_server_options o = { certificate_pem(&w->keys.common.server),
		                        certificate_key(&w->keys.common.server), .ask_client = ask,
		                        .client_ca = client_ca ? certificate_pem(client_ca) : TEXT_EMPTY };

	serve(w, &o);
}

static void on_done(void *owner, enum err err, const struct tls_info *info)
{
	struct heard *h = owner;

	h->times++;
	h->err = err;
	h->info = *info;
	snprintf(h->problem, sizeof(h->problem), "%.*s", TEXT_ARGS(info->problem));
}

/* ---------------------------------------------------------------- the client */

static int on_recv(void *owner, unsigned char *bytes, size_t len)
{
	struct client *c = owner;
	size_t part = MIN(len, c->end->got.len);

	if (part == 0)
		return c->end->closed || c->end->eofs ? 0 : MBEDTLS_ERR_SSL_WANT_READ;
	memcpy(bytes, c->end->got.at, part);
	buf_drop_head(&c->end->got, part);
	return (int)part;
}

static int on_send(void *owner, const unsigned char *bytes, size_t len)
{
	struct client *c = owner;
	struct text all = text_of((const char *)bytes, len);

	if (!c->end->stream)
		return MBEDTLS_ERR_SSL_CONN_EOF;
	io_stream_write(c->end->stream, &all, 1);
	return (int)len;
}

static void client_init(struct client *c, const struct wish *wish, struct end *end)
{
	memset(c, 0, sizeof(*c));
	mbedtls_ssl_init(&c->ssl);
	mbedtls_ssl_config_init(&c->config);
	mbedtls_entropy_init(&c->entropy);
	mbedtls_ctr_drbg_init(&c->random);
	mbedtls_x509_crt_init(&c->own);
	mbedtls_pk_init(&c->key);
	c->end = end;
	assert_int_equal(psa_crypto_init(), PSA_SUCCESS);
	assert_int_equal(mbedtls_ctr_drbg_seed(&c->random, mbedtls_entropy_func, &c->entropy, NULL, 0), 0);
	assert_int_equal(mbedtls_ssl_config_defaults(&c->config, MBEDTLS_SSL_IS_CLIENT,
	                                             MBEDTLS_SSL_TRANSPORT_STREAM,
	                                             MBEDTLS_SSL_PRESET_DEFAULT),
	                 0);
	mbedtls_ssl_conf_rng(&c->config, mbedtls_ctr_drbg_random, &c->random);
	mbedtls_ssl_conf_authmode(&c->config, MBEDTLS_SSL_VERIFY_NONE);
	mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
		&c->config, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
	if (wish->only_1_2)
		mbedtls_ssl_conf_max_tls_version(&c->config, MBEDTLS_SSL_VERSION_TLS1_2);
	if (wish->signatures)
		mbedtls_ssl_conf_sig_algs(&c->config, wish->signatures);
	if (wish->ciphers)
		mbedtls_ssl_conf_ciphersuites(&c->config, wish->ciphers);
	if (wish->own) {
		assert_int_equal(mbedtls_x509_crt_parse(&c->own,
		                                        (const unsigned char *)wish->own->certificate,
		                                        strlen(wish->own->certificate) + 1),
		                 0);
		assert_int_equal(mbedtls_pk_parse_key(&c->key, (const unsigned char *)wish->own->key,
		                                      strlen(wish->own->key) + 1, NULL, 0,
		                                      mbedtls_ctr_drbg_random, &c->random),
		                 0);
		assert_int_equal(mbedtls_ssl_conf_own_cert(&c->config, &c->own, &c->key), 0);
	}
	assert_int_equal(mbedtls_ssl_setup(&c->ssl, &c->config), 0);
	assert_int_equal(mbedtls_ssl_set_hostname(&c->ssl, wish->name), 0);
	mbedtls_ssl_set_bio(&c->ssl, c, on_send, on_recv, NULL);
	if (wish->session && wish->session->MBEDTLS_PRIVATE(ciphersuite))
		assert_int_equal(mbedtls_ssl_set_session(&c->ssl, wish->session), 0);
}

static void client_fini(struct client *c)
{
	mbedtls_ssl_free(&c->ssl);
	mbedtls_ssl_config_free(&c->config);
	mbedtls_pk_free(&c->key);
	mbedtls_x509_crt_free(&c->own);
	mbedtls_ctr_drbg_free(&c->random);
	mbedtls_entropy_free(&c->entropy);
}

/* As far as it comes without more octets. */
static bool client_is_done(struct client *c)
{
	if (c->is_over)
		return true;
	c->status = mbedtls_ssl_handshake(&c->ssl);
	c->is_over = c->status != MBEDTLS_ERR_SSL_WANT_READ;
	return c->is_over;
}

/* Reads `expected` through TLS, and a ticket if one comes before it. */
static bool client_hears(struct client *c, const char *expected, struct wish *wish)
{
	char got[100];
	int status = mbedtls_ssl_read(&c->ssl, (unsigned char *)got, sizeof(got));

	if (status == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET && wish->session) {
		mbedtls_ssl_session_free(wish->session);
		mbedtls_ssl_session_init(wish->session);
		assert_int_equal(mbedtls_ssl_get_session(&c->ssl, wish->session), 0);
	}
	if (status <= 0)
		return false;
	assert_int_equal(status, strlen(expected));
	assert_memory_equal(got, expected, (size_t)status);
	return true;
}

static void note_serial(struct client *c)
{
	const mbedtls_x509_crt *shown = mbedtls_ssl_get_peer_cert(&c->ssl);
	struct buf hex = BUF(sizeof(c->serial) - 1);

	if (!shown)
		return;
	mbed_add_hex(&hex, shown->serial.p, shown->serial.len);
	memcpy(c->serial, hex.at, hex.len);
	buf_fini(&hex);
}

/* A handshake, and when it is a good one a word each way. */
static void meet(struct world *w, struct wish wish)
{
	struct client *c = &w->client;

	memset(&w->heard, 0, sizeof(w->heard));
	end_init(&w->ends.client, w->ends.io);
	end_init(&w->ends.server, w->ends.io);
	ends_join(&w->ends);
	assert_int_equal(tls_start(w->ends.server.stream, w->server, TEXT_EMPTY, on_done, &w->heard), ERR_OK);
	client_init(c, &wish, &w->ends.client);
	LOOP_UNTIL(w->ends.io, client_is_done(c) && (w->heard.times || w->ends.server.closed));
	if (c->status || w->heard.err)
		return;
	note_serial(c);
	assert_int_equal(mbedtls_ssl_write(&c->ssl, (const unsigned char *)"EHLO me\r\n", 9), 9);
	LOOP_UNTIL(w->ends.io, w->ends.server.got.len == 9);
	end_write(&w->ends.server, "250 you\r\n");
	LOOP_UNTIL(w->ends.io, client_hears(c, "250 you\r\n", &wish));
	if (wish.session && wish.only_1_2) {
		mbedtls_ssl_session_free(wish.session);
		mbedtls_ssl_session_init(wish.session);
		assert_int_equal(mbedtls_ssl_get_session(&c->ssl, wish.session), 0);
	}
}

static void part(struct world *w)
{
	struct end *ends[] = { &w->ends.client, &w->ends.server };

	for (unsigned i = 0; i < 2; i++) {
		if (ends[i]->stream)
			io_stream_close(ends[i]->stream);
	}
	LOOP_UNTIL(w->ends.io, w->ends.client.closed && w->ends.server.closed);
	client_fini(&w->client);
	end_fini(&w->ends.client);
	end_fini(&w->ends.server);
}

static bool was_shown(struct world *w, size_t i)
{
	struct tls_certificate_facts f;

	assert_true(tls_context_certificate(w->server, i, &f));
	return text_eq(f.serial, text_from(w->client.serial));
}

static void shows(struct world *w, struct wish wish, size_t expected)
{
	meet(w, wish);
	if (w->client.status || w->heard.err)
		fail_msg("%s: -0x%04x, %s", wish.name, (unsigned)-w->client.status, w->heard.problem);
	for (size_t i = 0; i < 4; i++) {
		if (was_shown(w, i) != (i == expected))
			fail_msg("%s (%s): certificate %zu was%s shown", wish.name,
			         wish.only_1_2 ? "1.2" : "1.3", i, was_shown(w, i) ? "" : " not");
	}
	part(w);
}

#define assert_text(actual, expected)                                                     \
	do {                                                                              \
		struct text actual_ = (actual);                                           \
		if (!text_eq(actual_, text_from(expected)))                               \
			fail_msg("\"%.*s\" is not \"%s\"", TEXT_ARGS(actual_), expected); \
	} while (0)

/* ---------------------------------------------------------------- which certificate */

static void serve_four(struct world *w)
{
	const struct text third = TEXT("THIRD.example.");
	struct tls_certificate all[] = { pair_of(&w->keys.common.server), pair_of(&w->keys.rsa),
		                         pair_of(&w->keys.wild), pair_of(&w->keys.other) };
	struct tls_server_options o = { .certificates = all, .certificate_count = 4 };

	all[3].names = &third;
	all[3].name_count = 1;
	serve(w, &o);
}

static void the_name_decides(void **state)
{
	static const struct {
		const char *name;
		size_t expected;
	} cases[] = {
		{ "mail.example.org", 0 },
		{ "MAIL.example.ORG", 0 },
		{ "a.wild.example", 2 },
		{ "third.example", 3 },
		{ NULL, 0 },
		{ "wild.example", 0 },
		{ "a.b.wild.example", 0 },
		{ "other.example", 0 },
		{ "nobody.example", 0 },
		{ "..wild.example", 0 },
		{ ".wild.example", 0 },
	};
	struct world *w = *state;

	serve_four(w);
	for (unsigned old = 0; old < 2; old++) {
		for (size_t i = 0; i < ARRAY_LEN(cases); i++)
			shows(w, (struct wish){ .name = cases[i].name, .only_1_2 = old }, cases[i].expected);
	}
}

static void the_clients_keys_decide_between_two_for_one_name(void **state)
{
	static const uint16_t rsa_signatures[] = { MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA256,
		                                   MBEDTLS_TLS1_3_SIG_NONE };
	static const int rsa_ciphers[] = { MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, 0 };
	static const int ecdsa_ciphers[] = { MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, 0 };
	static const char *const names[] = { "mail.example.org", NULL, "nobody.example" };
	struct world *w = *state;

	serve_four(w);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		shows(w, (struct wish){ .name = names[i], .signatures = rsa_signatures }, 1);
		shows(w, (struct wish){ .name = names[i], .only_1_2 = true, .ciphers = rsa_ciphers }, 1);
		shows(w, (struct wish){ .name = names[i], .only_1_2 = true, .ciphers = ecdsa_ciphers }, 0);
	}
}

static void the_name_asked_for_is_told(void **state)
{
	struct world *w = *state;

	serve_four(w);
	meet(w, (struct wish){ .name = "Nobody.Example" });
	assert_text(w->heard.info.server_name, "nobody.example");
	assert_text(tls_info_of(w->ends.server.stream).server_name, "nobody.example");
	part(w);
	meet(w, (struct wish){ .name = "evil\r\nMAIL FROM" });
	assert_text(w->heard.info.server_name, "");
	part(w);
}

static void certificates_tell_their_facts(void **state)
{
	struct world *w = *state;
	struct tls_certificate_facts f;

	serve_four(w);
	assert_true(tls_context_certificate(w->server, 0, &f));
	assert_text(f.name, "mail.example.org");
	assert_false(f.rsa);
	assert_int_equal(f.not_before_time, 1577836800000); /* 2020-01-01 */
	assert_int_equal(f.not_after_time, 4070908800000);  /* 2099-01-01 */
	assert_int_equal(f.serial.len, 32);
	assert_true(tls_context_certificate(w->server, 1, &f));
	assert_true(f.rsa);
	assert_true(tls_context_certificate(w->server, 3, &f));
	assert_text(f.name, "third.example");
	assert_false(tls_context_certificate(w->server, 4, &f));
}

/* ---------------------------------------------------------------- client certificates */

static void check_fingerprint(struct text actual, const struct certificate *c)
{
	unsigned char digest[32];
	mbedtls_x509_crt parsed;
	struct buf hex = BUF(64);

	mbedtls_x509_crt_init(&parsed);
	assert_int_equal(mbedtls_x509_crt_parse(&parsed, (const unsigned char *)c->certificate,
	                                        strlen(c->certificate) + 1),
	                 0);
	assert_int_equal(mbedtls_sha256(parsed.raw.p, parsed.raw.len, digest, 0), 0);
	mbed_add_hex(&hex, digest, 32);
	assert_true(text_eq(actual, buf_text(&hex)));
	mbedtls_x509_crt_free(&parsed);
	buf_fini(&hex);
}

static void a_client_shows_who_it_is(void **state)
{
	struct world *w = *state;
	const struct {
		const struct certificate *own;
		const char *name, *problem;
		bool verified;
	} cases[] = {
		{ &w->keys.app, "app.example", "", true },
		{ &w->keys.person, "ann@example.org", "", true },
		{ &w->keys.stranger, "stranger.example", "leads to no known CA", false },
		{ &w->keys.expired, "old.example", "has expired", false },
	};

	serve_one(w, true, &w->keys.client_ca);
	for (unsigned old = 0; old < 2; old++) {
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			meet(w, (struct wish){ .only_1_2 = old, .own = cases[i].own });
			struct tls_info info = w->heard.info;

			assert_int_equal(w->client.status, 0);
			assert_int_equal(w->heard.err, ERR_OK);
			assert_true(info.has_peer);
			assert_int_equal(info.peer_verified, cases[i].verified);
			assert_text(info.peer_name, cases[i].name);
			check_fingerprint(info.peer_fingerprint, cases[i].own);
			assert_non_null(strstr(w->heard.problem, cases[i].problem));
			info = tls_info_of(w->ends.server.stream);
			assert_text(info.peer_name, cases[i].name);
			assert_int_equal(info.peer_verified, cases[i].verified);
			part(w);
		}
	}
}

static void a_client_without_a_certificate_is_nobody_and_welcome(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < 4; i++) {
		serve_one(w, true, i & 2 ? &w->keys.client_ca : NULL);
		meet(w, (struct wish){ .only_1_2 = i & 1 });
		assert_int_equal(w->heard.err, ERR_OK);
		assert_false(w->heard.info.has_peer);
		assert_false(w->heard.info.peer_verified);
		assert_text(w->heard.info.peer_fingerprint, "");
		part(w);
	}
}

static void without_a_ca_a_certificate_is_known_by_its_fingerprint_only(void **state)
{
	struct world *w = *state;

	serve_one(w, true, NULL);
	for (unsigned old = 0; old < 2; old++) {
		meet(w, (struct wish){ .only_1_2 = old, .own = &w->keys.app });
		assert_true(w->heard.info.has_peer);
		assert_false(w->heard.info.peer_verified);
		check_fingerprint(w->heard.info.peer_fingerprint, &w->keys.app);
		part(w);
	}
}

static void who_does_not_ask_learns_nothing(void **state)
{
	struct world *w = *state;

	serve_one(w, false, &w->keys.client_ca);
	meet(w, (struct wish){ .own = &w->keys.app });
	assert_int_equal(w->heard.err, ERR_OK);
	assert_false(w->heard.info.has_peer);
	assert_false(w->heard.info.peer_verified);
	part(w);
}

/* ---------------------------------------------------------------- coming again */

static void twice(struct world *w, bool old, mbedtls_ssl_session *session, bool expected)
{
	meet(w, (struct wish){ .only_1_2 = old, .session = session, .own = &w->keys.app });
	assert_int_equal(w->heard.err, ERR_OK);
	assert_int_equal(w->heard.info.resumed, expected);
	part(w);
}

static void a_session_is_resumed_by_its_ticket(void **state)
{
	struct world *w = *state;

	for (unsigned old = 0; old < 2; old++) {
		mbedtls_ssl_session session;

		mbedtls_ssl_session_init(&session);
		serve_one(w, false, NULL);
		twice(w, old, &session, false);
		twice(w, old, &session, true);
		struct tls_context *before = tls_context_ref(w->server);

		serve_one(w, false, NULL); /* a reload: the new context is there before the old goes */
		tls_context_unref(&before);
		twice(w, old, &session, true);
		serve_one(w, true, &w->keys.client_ca); /* asks: nobody comes by an old ticket past that */
		twice(w, old, &session, false);
		assert_true(w->heard.info.has_peer);
		twice(w, old, &session, false);
		mbedtls_ssl_session_free(&session);
	}
}

static void without_tickets_nothing_is_resumed(void **state)
{
	struct world *w = *state;
	struct tls_server_options o = { certificate_pem(&w->keys.common.server),
		                        certificate_key(&w->keys.common.server), .no_tickets = true };

	serve(w, &o);
	for (unsigned old = 0; old < 2; old++) {
		mbedtls_ssl_session session;

		mbedtls_ssl_session_init(&session);
		twice(w, old, &session, false);
		twice(w, old, &session, false);
		mbedtls_ssl_session_free(&session);
	}
}

/* ---------------------------------------------------------------- what both ends know */

static void both_ends_know_the_same_octets_under_1_3(void **state)
{
	static const char label[] = "EXPORTER-Channel-Binding";
	struct world *w = *state;
	struct buf ours = BUF(100);
	unsigned char theirs[TLS_BINDING_BYTES];

	serve_one(w, false, NULL);
	ends_join(&w->ends);
	assert_int_equal(tls_channel_binding(w->ends.server.stream, TLS_BINDING_EXPORTER, &ours),
	                 ERR_NOT_FOUND);
	assert_int_equal(tls_start(w->ends.server.stream, w->server, TEXT_EMPTY, on_done, &w->heard), ERR_OK);
	assert_int_equal(tls_channel_binding(w->ends.server.stream, TLS_BINDING_EXPORTER, &ours),
	                 ERR_NOT_FOUND);
	client_init(&w->client, &(struct wish){ 0 }, &w->ends.client);
	part(w);

	meet(w, (struct wish){ 0 });
	assert_int_equal(tls_channel_binding(w->ends.server.stream, TLS_BINDING_EXPORTER, &ours), ERR_OK);
	assert_int_equal(ours.len, TLS_BINDING_BYTES);
	assert_int_equal(mbedtls_ssl_export_keying_material(&w->client.ssl, theirs, sizeof(theirs), label,
	                                                    sizeof(label) - 1, NULL, 0, 1),
	                 0);
	assert_memory_equal(ours.at, theirs, sizeof(theirs));
	part(w);
	buf_reset(&ours);
	meet(w, (struct wish){ .only_1_2 = true });
	assert_int_equal(tls_channel_binding(w->ends.server.stream, TLS_BINDING_EXPORTER, &ours),
	                 ERR_NOT_FOUND);
	part(w);
	buf_fini(&ours);
}

/* ---------------------------------------------------------------- what is refused */

static void send_raw(struct world *w, const void *bytes, size_t len)
{
	struct text raw = text_of(bytes, len);

	ends_join(&w->ends);
	assert_int_equal(tls_start(w->ends.server.stream, w->server, TEXT_EMPTY, on_done, &w->heard), ERR_OK);
	io_stream_write(w->ends.client.stream, &raw, 1);
	LOOP_UNTIL(w->ends.io, w->ends.client.closed || w->ends.client.eofs);
	assert_int_equal(w->heard.times, 1);
	assert_int_equal(w->heard.err, ERR_TLS);
}

/* A hello as it was sent before 1.2: with the suites of then, and no extension. */
static void older_versions_are_refused(void **state)
{
	static const unsigned char suites[] = { 0, 6, 0xc0, 0x13, 0, 0x2f, 0, 0x35, 1, 0 };
	struct world *w = *state;

	for (unsigned minor = 0; minor < 3; minor++) {
		unsigned char hello[5 + 4 + 2 + 32 + 1 + sizeof(suites)] = {
			0x16, 3, 1, 0, sizeof(hello) - 5, 1, 0, 0, sizeof(hello) - 9, 3, (unsigned char)minor
		};

		memcpy(hello + sizeof(hello) - sizeof(suites), suites, sizeof(suites));
		tear_down(state);
		set_up(state);
		serve_one(w, false, NULL);
		send_raw(w, hello, sizeof(hello));
		assert_int_equal(w->ends.client.got.len, 7);
		assert_int_equal(w->ends.client.got.at[0], 21); /* an alert */
		assert_int_equal(w->ends.client.got.at[5], 2);  /* fatal */
		assert_int_equal(w->ends.client.got.at[6], 70); /* protocol_version */
	}
}

static void what_is_no_tls_waits_for_no_turn(void **state)
{
	struct world *w = *state;

	serve_one(w, false, NULL);
	send_raw(w, "EHLO me\r\n", 9);
	assert_string_equal(w->heard.problem, "the peer does not speak TLS");
	assert_int_equal(w->ends.client.got.len, 0);
}

static void a_hello_has_an_end(void **state)
{
	static char endless[64 * 1024];
	struct world *w = *state;

	/* Records that each hold a little of one handshake message of 16 MiB. */
	for (size_t i = 0; i + 9 <= sizeof(endless); i += 9)
		memcpy(endless + i,
		       i ? "\x16\x03\x01\x00\x04\x00\x00\x00\x00" : "\x16\x03\x01\x00\x04\x01\xff\xff\xff",
		       9);
	serve_one(w, false, NULL);
	send_raw(w, endless, sizeof(endless));
}

/* ---------------------------------------------------------------- buffers */

enum { MANY = 24 }; /* streams: both ends of twelve connections */

struct many {
	struct end ends[MANY];
	struct heard heard[MANY];
	unsigned accepted;
	struct world *world;
	struct io_listener *listener;
};

static unsigned packed_of(const struct many *m)
{
	unsigned packed = 0;

	for (unsigned i = 0; i < MANY; i++)
		packed += CONTAINER_OF(io_stream_layer(m->ends[i].stream), struct mbed_layer, base.layer)
		                  ->packed != NULL;
	return packed;
}

static void on_accept(void *owner, struct io_stream *stream)
{
	struct many *m = owner;
	unsigned i = 2 * m->accepted++ + 1;

	m->ends[i].stream = stream;
	io_stream_attach(stream, &end_events, &m->ends[i]);
	assert_int_equal(tls_start(stream, m->world->server, TEXT_EMPTY, on_done, &m->heard[i]), ERR_OK);
}

static void join_for(struct many *m, unsigned i, enum tls_version highest)
{
	struct tls_client_options o = { true, certificate_pem(&m->world->keys.common.ca), highest };
	struct io *io = m->world->ends.io;
	struct tls_context *client = NULL;

	end_init(&m->ends[i], io);
	end_init(&m->ends[i + 1], io);
	assert_int_equal(tls_client_context_new(io, &o, &client, NULL), ERR_OK);
	assert_int_equal(io_connect(io, io_listener_address(m->listener), NULL, &end_events, &m->ends[i],
	                            &m->ends[i].stream),
	                 ERR_OK);
	LOOP_UNTIL(io, m->ends[i].connected);
	assert_int_equal(
		tls_start(m->ends[i].stream, client, TEXT("mail.example.org"), on_done, &m->heard[i]),
		ERR_OK);
	LOOP_UNTIL(io, m->heard[i].times && m->heard[i + 1].times);
	assert_int_equal(m->heard[i].err, ERR_OK);
	tls_context_unref(&client);
}

static void talk_around(struct many *m, unsigned round)
{
	for (unsigned i = 0; i < MANY; i += 2) {
		end_write(&m->ends[i], "NOOP\r\n");
		LOOP_UNTIL(m->world->ends.io, m->ends[i + 1].got.len == 6 * round);
		end_write(&m->ends[i + 1], "250 ok\r\n");
		LOOP_UNTIL(m->world->ends.io, m->ends[i].got.len == 8 * round);
	}
}

static void only_the_last_used_have_their_buffers(void **state)
{
	struct world *w = *state;
	struct io_address any = { .ip = { .ip = ip_from_v4(0x7f000001) } };
	struct mbed_world *shared = NULL;
	struct many *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	m->world = w;
	serve_one(w, false, NULL);
	assert_int_equal(mbed_world_ref(w->ends.io, &shared), ERR_OK);
	shared->hot_max = 3;
	assert_int_equal(io_listen(w->ends.io, &any, 0, on_accept, m, &m->listener), ERR_OK);
	for (unsigned i = 0; i < MANY; i += 2)
		join_for(m, i, i % 4 ? TLS_1_2 : TLS_NONE);
	for (unsigned round = 1; round <= 3; round++) {
		assert_int_equal(packed_of(m), MANY - 3);
		assert_int_equal(shared->hot_count, 3);
		talk_around(m, round);
	}
	for (unsigned i = 0; i < MANY; i++)
		io_stream_close(m->ends[i].stream);
	for (unsigned i = 0; i < MANY; i++) {
		LOOP_UNTIL(w->ends.io, m->ends[i].closed);
		end_fini(&m->ends[i]);
	}
	assert_int_equal(shared->hot_count, 0);
	io_listener_close(&m->listener);
	mbed_world_unref(&shared);
	free(m);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_name_decides),
		TEST(the_clients_keys_decide_between_two_for_one_name),
		TEST(the_name_asked_for_is_told),
		TEST(certificates_tell_their_facts),
		TEST(a_client_shows_who_it_is),
		TEST(a_client_without_a_certificate_is_nobody_and_welcome),
		TEST(without_a_ca_a_certificate_is_known_by_its_fingerprint_only),
		TEST(who_does_not_ask_learns_nothing),
		TEST(a_session_is_resumed_by_its_ticket),
		TEST(without_tickets_nothing_is_resumed),
		TEST(both_ends_know_the_same_octets_under_1_3),
		TEST(older_versions_are_refused),
		TEST(what_is_no_tls_waits_for_no_turn),
		TEST(a_hello_has_an_end),
		TEST(only_the_last_used_have_their_buffers),
	};

	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
