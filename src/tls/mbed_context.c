/* Contexts: certificate, key, CAs, and what we offer and accept. */
#include "mbed.h"

#include <stdlib.h>

#include <psa/crypto.h>

#define TICKET_LIFETIME_S 3600

/* Ephemeral keys and authenticated encryption only. AES-128 first: nearly every peer has it in hardware. */
static const int ciphersuites[] = {
	MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
	MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
	MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	0,
};

/* In mbedTLS P-256 is faster than X25519 by 10 to 15 % of a handshake. */
static const uint16_t groups[] = {
	MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
	MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
	MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1,
	MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1,
	MBEDTLS_SSL_IANA_TLS_GROUP_NONE,
};

static void context_free(struct tls_context *base)
{
	struct mbed_context *c = CONTAINER_OF(base, struct mbed_context, base);

	mbedtls_ssl_config_free(&c->config);
	mbedtls_ssl_ticket_free(&c->tickets);
	mbedtls_pk_free(&c->key);
	mbedtls_x509_crt_free(&c->certificate);
	mbedtls_ctr_drbg_free(&c->random);
	mbedtls_entropy_free(&c->entropy);
	ca_store_unref(&c->store);
	free(c);
}

static bool context_certificate(const struct tls_context *base, size_t i, struct tls_certificate_facts *out)
{
	(void)base;
	(void)i;
	(void)out;
	return false;
}

static const struct tls_context_ops mbed_ops = {
	.start = mbed_layer_start,
	.info = mbed_layer_info,
	.binding = mbed_layer_binding,
	.certificate = context_certificate,
	.free = context_free,
};

static enum err err_of(int status)
{
	switch (status) {
	case 0:
		return ERR_OK;
	case MBEDTLS_ERR_SSL_ALLOC_FAILED:
	case MBEDTLS_ERR_X509_ALLOC_FAILED:
	case MBEDTLS_ERR_PK_ALLOC_FAILED:
		return ERR_NOMEM;
	default:
		return ERR_TLS;
	}
}

static void configure(struct mbed_context *c, enum tls_version highest)
{
	mbedtls_ssl_config *config = &c->config;

	mbedtls_ssl_conf_rng(config, mbedtls_ctr_drbg_random, &c->random);
	mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
	mbedtls_ssl_conf_max_tls_version(config, highest == TLS_1_2 ? MBEDTLS_SSL_VERSION_TLS1_2 :
	                                 MBEDTLS_SSL_VERSION_TLS1_3);
	mbedtls_ssl_conf_ciphersuites(config, ciphersuites);
	mbedtls_ssl_conf_groups(config, groups);
	mbedtls_ssl_conf_renegotiation(config, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
}

static enum err context_new(bool is_client, enum tls_version highest, struct mbed_context **out)
{
	struct mbed_context *c = calloc(1, sizeof(*c));

	if (!c)
		return ERR_NOMEM;
	c->base = (struct tls_context){ .ops = &mbed_ops, .references = 1 };
	c->is_client = is_client;
	mbedtls_ssl_config_init(&c->config);
	mbedtls_entropy_init(&c->entropy);
	mbedtls_ctr_drbg_init(&c->random);
	mbedtls_x509_crt_init(&c->certificate);
	mbedtls_pk_init(&c->key);
	mbedtls_ssl_ticket_init(&c->tickets);

	int status = psa_crypto_init() == PSA_SUCCESS ? 0 : MBEDTLS_ERR_SSL_ALLOC_FAILED;      /* TLS 1.3 needs it */

	if (!status)
		status = mbedtls_ctr_drbg_seed(&c->random, mbedtls_entropy_func, &c->entropy, NULL, 0);
	if (!status)
		status = mbedtls_ssl_config_defaults(&c->config,
		                                     is_client ? MBEDTLS_SSL_IS_CLIENT : MBEDTLS_SSL_IS_SERVER,
		                                     MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
	if (status) {
		context_free(&c->base);
		return err_of(status);
	}
	configure(c, highest);
	*out = c;
	return ERR_OK;
}

static void unref_mbed(struct mbed_context **c)
{
	if (*c)
		context_free(&TAKE(*c)->base);
}

/* ---------------------------------------------------------------- servers */

static enum err wrong(struct buf *problem, const char *text)
{
	if (problem)
		buf_add_string(problem, text);
	return ERR_CONFIG;
}

static enum err read_certificate(struct mbed_context *c, struct text pem, struct buf *problem)
{
	size_t size;
	char *copy = mbed_pem_copy(pem, &size);

	if (!copy)
		return ERR_NOMEM;
	int status = mbedtls_x509_crt_parse(&c->certificate, (const unsigned char *)copy, size);

	mbed_pem_free(&copy, size);
	if (status == 0)
		return ERR_OK;
	if (status > 0)
		return wrong(problem, "a certificate of the chain cannot be read");
	mbed_add_error(problem, "the certificate cannot be read", status);
	return ERR_CONFIG;
}

static enum err read_key(struct mbed_context *c, struct text pem, struct buf *problem)
{
	size_t size;
	char *copy = mbed_pem_copy(pem, &size);

	if (!copy)
		return ERR_NOMEM;
	int status = mbedtls_pk_parse_key(&c->key, (const unsigned char *)copy, size, NULL, 0,
	                                  mbedtls_ctr_drbg_random, &c->random);

	mbed_pem_free(&copy, size);
	if (status == 0)
		return ERR_OK;
	if (status == MBEDTLS_ERR_PK_PASSWORD_REQUIRED || status == MBEDTLS_ERR_PK_PASSWORD_MISMATCH)
		return wrong(problem, "the key is protected by a password; it has to be stored without one");
	mbed_add_error(problem, "the key cannot be read", status);
	return ERR_CONFIG;
}

static enum err check_pair(struct mbed_context *c, struct buf *problem)
{
	if (mbedtls_pk_check_pair(&c->certificate.pk, &c->key, mbedtls_ctr_drbg_random, &c->random) != 0)
		return wrong(problem, "the key does not belong to the certificate (the first of the chain must be the "
		                      "server's own)");
	return ERR_OK;
}

/* Who comes again within the hour saves us a signature. Nothing is granted to a client by its certificate here, so a
 * resumed session, which knows none, grants nothing either. */
static int configure_server(struct mbed_context *c)
{
	int status = mbedtls_ssl_ticket_setup(&c->tickets, mbedtls_ctr_drbg_random, &c->random,
	                                      MBEDTLS_CIPHER_AES_256_GCM, TICKET_LIFETIME_S);

	if (!status)
		status = mbedtls_ssl_conf_own_cert(&c->config, &c->certificate, &c->key);
	if (status)
		return status;
	mbedtls_ssl_conf_session_tickets_cb(&c->config, mbedtls_ssl_ticket_write, mbedtls_ssl_ticket_parse, &c->tickets);
	mbedtls_ssl_conf_tls13_key_exchange_modes(&c->config, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL |
	                                          MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL);
	mbedtls_ssl_conf_authmode(&c->config, MBEDTLS_SSL_VERIFY_NONE);
	return 0;
}

enum err tls_server_context_new(struct io *io, const struct tls_server_options *o, struct tls_context **out,
                                struct buf *problem)
{
	AUTO(unref_mbed) struct mbed_context *c = NULL;
	enum err err = context_new(false, o->highest, &c);

	(void)io;
	if (!err)
		err = read_certificate(c, o->certificate, problem);
	if (!err)
		err = read_key(c, o->key, problem);
	if (!err)
		err = check_pair(c, problem);
	if (!err)
		err = err_of(configure_server(c));
	if (err)
		return err;
	*out = &TAKE(c)->base;
	return ERR_OK;
}

/* ---------------------------------------------------------------- clients */

static enum err read_store(struct mbed_context *c, struct io *io, struct text ca, struct buf *problem)
{
	if (ca.len > 0)
		return ca_store_parse(ca, &c->store, problem);
	enum err err = ca_store_system(io, &c->store);

	if (err == ERR_NOT_FOUND && !c->verify)
		return ERR_OK;
	if (err == ERR_NOT_FOUND)
		return wrong(problem, "certificates are to be verified, but this system has no CA certificates (package "
		                      "ca-certificates)");
	return err;
}

/* Each connection has its full handshake: a session may only be resumed under the policy it was verified under, and
 * connections are used for many messages instead. So we ask for no tickets. */
static void configure_client(struct mbed_context *c)
{
	mbedtls_ssl_conf_session_tickets(&c->config, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
	mbedtls_ssl_conf_tls13_key_exchange_modes(&c->config, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL);
	mbedtls_ssl_conf_authmode(&c->config, c->verify ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_OPTIONAL);
	mbedtls_ssl_conf_ca_chain(&c->config, c->store ? &c->store->chain : NULL, NULL);
}

enum err tls_client_context_new(struct io *io, const struct tls_client_options *o, struct tls_context **out,
                                struct buf *problem)
{
	AUTO(unref_mbed) struct mbed_context *c = NULL;
	enum err err = context_new(true, o->highest, &c);

	if (err)
		return err;
	c->verify = o->verify;
	err = read_store(c, io, o->ca, problem);
	if (err)
		return err;
	configure_client(c);
	*out = &TAKE(c)->base;
	return ERR_OK;
}
