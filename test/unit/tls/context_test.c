#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include <postrider/io/uv.h>
#include <postrider/tls.h>

#include "support/certificates.h"

struct world {
	struct io *io;
	struct certificates certificates;
	struct buf problem;
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_int_equal(io_uv_new(NULL, &w->io), ERR_OK);
	certificates_make(&w->certificates);
	w->problem = BUF(1000);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	io_uv_free(&w->io);
	buf_fini(&w->problem);
	free(w);
	return 0;
}

static void server_is_wrong(struct world *w, struct text certificate, struct text key, const char *problem)
{
	struct tls_server_options o = { certificate, key, TLS_NONE };
	struct tls_context *c = NULL;

	buf_reset(&w->problem);
	assert_int_equal(tls_server_context_new(w->io, &o, &c, &w->problem), ERR_CONFIG);
	assert_null(c);
	if (text_find(buf_text(&w->problem), text_from(problem)) == w->problem.len)
		fail_msg("\"%.*s\" does not say \"%s\"", TEXT_ARGS(buf_text(&w->problem)), problem);
	assert_int_equal(tls_server_context_new(w->io, &o, &c, NULL), ERR_CONFIG);
}

static void a_key_of_another_certificate_is_refused(void **state)
{
	struct world *w = *state;

	server_is_wrong(w, certificate_pem(&w->certificates.server), certificate_key(&w->certificates.ca),
	                "the key does not belong to the certificate");
}

static void what_is_no_certificate_is_refused(void **state)
{
	struct world *w = *state;

	server_is_wrong(w, TEXT("hello"), certificate_key(&w->certificates.server), "the certificate cannot be read");
	server_is_wrong(w, TEXT_EMPTY, certificate_key(&w->certificates.server), "the certificate cannot be read");
	server_is_wrong(w, certificate_key(&w->certificates.server), certificate_key(&w->certificates.server),
	                "the certificate cannot be read");
}

static void what_is_no_key_is_refused(void **state)
{
	struct world *w = *state;

	server_is_wrong(w, certificate_pem(&w->certificates.server), TEXT("hello"), "the key cannot be read");
	server_is_wrong(w, certificate_pem(&w->certificates.server), TEXT_EMPTY, "the key cannot be read");
}

static void a_key_with_a_password_is_refused(void **state)
{
	struct world *w = *state;
	/* The header alone decides. */
	static const char key[] = "-----BEGIN EC PRIVATE KEY-----\n"
				  "Proc-Type: 4,ENCRYPTED\n"
				  "DEK-Info: AES-128-CBC,0123456789ABCDEF0123456789ABCDEF\n"
				  "\n"
				  "AAECAwQFBgcICQoLDA0ODwABAgMEBQYHCAkKCwwNDg8=\n"
				  "-----END EC PRIVATE KEY-----\n";

	server_is_wrong(w, certificate_pem(&w->certificates.server), TEXT(key), "protected by a password");
}

static void a_damaged_chain_is_refused(void **state)
{
	struct world *w = *state;
	char chain[2 * CERTIFICATE_PEM_MAX];
	char *damage;

	snprintf(chain, sizeof(chain), "%s%s", w->certificates.server.certificate, w->certificates.ca.certificate);
	damage = strstr(chain + strlen(w->certificates.server.certificate), "\n") + 40;
	*damage = *damage == 'A' ? 'B' : 'A';
	damage[1] = damage[1] == 'A' ? 'B' : 'A';
	memcpy(chain + strlen(w->certificates.server.certificate) + 28, "AAAA", 4);
	server_is_wrong(w, text_from(chain), certificate_key(&w->certificates.server), "chain cannot be read");
}

static void a_chain_is_taken(void **state)
{
	struct world *w = *state;
	char chain[2 * CERTIFICATE_PEM_MAX];
	struct tls_context *c = NULL;

	snprintf(chain, sizeof(chain), "%s%s", w->certificates.server.certificate, w->certificates.ca.certificate);
	struct tls_server_options o = { text_from(chain), certificate_key(&w->certificates.server), TLS_NONE };

	assert_int_equal(tls_server_context_new(w->io, &o, &c, &w->problem), ERR_OK);
	assert_int_equal(w->problem.len, 0);
	tls_context_unref(&c);
	assert_null(c);
	tls_context_unref(&c);
}

static void what_is_no_ca_is_refused(void **state)
{
	struct world *w = *state;
	struct tls_client_options o = { true, TEXT("-----BEGIN CERTIFICATE-----\nhello\n-----END CERTIFICATE-----\n"),
		                        TLS_NONE };
	struct tls_context *c = NULL;

	assert_int_equal(tls_client_context_new(w->io, &o, &c, &w->problem), ERR_CONFIG);
	assert_null(c);
	assert_true(text_starts(buf_text(&w->problem), TEXT("the CA certificates cannot be read")));
}

/* The second finds what the first has read: that is faster by far than reading 140 certificates. */
static void the_cas_of_the_system_are_read_once(void **state)
{
	struct world *w = *state;
	struct tls_client_options o = { false, TEXT_EMPTY, TLS_NONE };
	struct tls_context *c[3] = { NULL };
	uint64_t took_us[3];

	for (unsigned i = 0; i < 3; i++) {
		uint64_t before = io_clock_us(w->io);

		assert_int_equal(tls_client_context_new(w->io, &o, &c[i], &w->problem), ERR_OK);
		took_us[i] = io_clock_us(w->io) - before;
		o.verify = took_us[0] > 2000;      /* there are CAs */
		if (i == 1)
			tls_context_unref(&c[0]);
	}
	if (!o.verify)
		skip();
	print_message("%u us, then %u and %u us\n", (unsigned)took_us[0], (unsigned)took_us[1], (unsigned)took_us[2]);
	assert_true(took_us[1] < took_us[0] / 2);
	assert_true(took_us[2] < took_us[0] / 2);
	tls_context_unref(&c[1]);
	tls_context_unref(&c[2]);
	assert_int_equal(tls_client_context_new(w->io, &o, &c[0], &w->problem), ERR_OK);
	io_uv_free(&w->io);
	tls_context_unref(&c[0]);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_key_of_another_certificate_is_refused),
		TEST(what_is_no_certificate_is_refused),
		TEST(what_is_no_key_is_refused),
		TEST(a_key_with_a_password_is_refused),
		TEST(a_damaged_chain_is_refused),
		TEST(a_chain_is_taken),
		TEST(what_is_no_ca_is_refused),
		TEST(the_cas_of_the_system_are_read_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
