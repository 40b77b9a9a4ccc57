/* Contexts: certificates, CAs, and what we offer and accept. */
#include "mbed.h"

#include <stdlib.h>

#include <psa/crypto.h>

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
	MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
	MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1,
	MBEDTLS_SSL_IANA_TLS_GROUP_NONE,
};

/* Of servers, in their signatures. Under 1.2 a server with an RSA key takes the first that it can, and mbedTLS does not
 * understand RSASSA-PSS there, though it has to offer that for 1.3 and puts it first by itself. Under 1.3 PKCS #1 is no choice. */
static const uint16_t signatures[] = {
	MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256, MBEDTLS_TLS1_3_SIG_ECDSA_SECP384R1_SHA384,
	MBEDTLS_TLS1_3_SIG_ECDSA_SECP521R1_SHA512, MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA256,
	MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA384,       MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA512,
	MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA256,    MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA384,
	MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA512,    MBEDTLS_TLS1_3_SIG_NONE,
};

static void context_free(struct tls_context *base)
{
	struct mbed_context *c = CONTAINER_OF(base, struct mbed_context, base);

	mbedtls_ssl_config_free(&c->config);
	mbedtls_ssl_config_free(&c->other);
	for (size_t i = 0; i < c->pair_count; i++)
		mbed_pair_fini(&c->pairs[i]);
	free(c->pairs);
	ca_store_unref(&c->store);
	mbed_world_unref(&c->world);
	free(c);
}

static bool context_certificate(const struct tls_context *base, size_t i, struct tls_certificate_facts *out)
{
	const struct mbed_context *c = CONTAINER_OF(base, const struct mbed_context, base);

	if (c->is_client || i >= c->pair_count)
		return false;
	*out = c->pairs[i].facts;
	return true;
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

static void configure(struct mbed_context *c, mbedtls_ssl_config *config, enum tls_version highest)
{
	mbedtls_ssl_conf_rng(config, mbedtls_ctr_drbg_random, &c->world->random);
	mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
	mbedtls_ssl_conf_max_tls_version(config, highest == TLS_1_2 ? MBEDTLS_SSL_VERSION_TLS1_2
	                                                            : MBEDTLS_SSL_VERSION_TLS1_3);
	mbedtls_ssl_conf_ciphersuites(config, ciphersuites);
	mbedtls_ssl_conf_groups(config, groups);
	mbedtls_ssl_conf_renegotiation(config, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
}

static void unref_mbed(struct mbed_context **c)
{
	if (*c)
		context_free(&TAKE(*c)->base);
}

static enum err config_new(struct mbed_context *c, mbedtls_ssl_config *config, enum tls_version highest)
{
	int status = mbedtls_ssl_config_defaults(
		config, c->is_client ? MBEDTLS_SSL_IS_CLIENT : MBEDTLS_SSL_IS_SERVER,
		MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);

	if (status == 0)
		configure(c, config, highest);
	return err_of(status);
}

static enum err context_new(struct io *io, bool is_client, enum tls_version highest,
                            struct mbed_context **out)
{
	AUTO(unref_mbed) struct mbed_context *c = calloc(1, sizeof(*c));

	if (!c)
		return ERR_NOMEM;
	c->base = (struct tls_context){ .ops = &mbed_ops, .references = 1 };
	c->is_client = is_client;
	mbedtls_ssl_config_init(&c->config);
	mbedtls_ssl_config_init(&c->other);
	enum err err = mbed_world_ref(io, &c->world);

	if (!err)
		err = mbed_world_random(c->world);
	if (!err && psa_crypto_init() != PSA_SUCCESS) /* TLS 1.3 needs it */
		err = ERR_NOMEM;
	if (!err)
		err = config_new(c, &c->config, highest);
	if (!err && is_client)
		err = config_new(c, &c->other, highest);
	if (err)
		return err;
	*out = TAKE(c);
	return ERR_OK;
}

/* ---------------------------------------------------------------- servers */

static enum err add_pair(struct mbed_context *c, const struct tls_certificate *from, struct buf *problem)
{
	return mbed_pair_read(&c->pairs[c->pair_count++], from, c->world, problem);
}

static enum err read_pairs(struct mbed_context *c, const struct tls_server_options *o, struct buf *problem)
{
	struct tls_certificate first = { .chain = o->certificate, .key = o->key };
	bool has_first = o->certificate.len > 0 || o->certificate_count == 0;
	enum err err = ERR_OK;

	c->pairs = calloc(o->certificate_count + 1, sizeof(*c->pairs));
	if (!c->pairs)
		return ERR_NOMEM;
	if (has_first)
		err = add_pair(c, &first, problem);
	for (size_t i = 0; !err && i < o->certificate_count; i++)
		err = add_pair(c, &o->certificates[i], problem);
	return err;
}

/* A session that is resumed under TLS 1.3 knows no certificate of the client any more: whoever asks for one resumes none. */
static enum err configure_tickets(struct mbed_context *c, const struct tls_server_options *o)
{
	int modes = MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL;
	enum err err = ERR_OK;

	if (!c->asks && !o->no_tickets) {
		err = mbed_world_tickets(c->world);
		mbedtls_ssl_conf_session_tickets_cb(&c->config, mbedtls_ssl_ticket_write,
		                                    mbedtls_ssl_ticket_parse, &c->world->tickets);
		modes |= MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL;
	}
	mbedtls_ssl_conf_tls13_key_exchange_modes(&c->config, modes);
	return err;
}

/* Optional: a certificate that proves nothing is as good as none. */
static enum err configure_asking(struct mbed_context *c, const struct tls_server_options *o,
                                 struct buf *problem)
{
	mbedtls_ssl_conf_authmode(&c->config,
	                          o->ask_client ? MBEDTLS_SSL_VERIFY_OPTIONAL : MBEDTLS_SSL_VERIFY_NONE);
	c->asks = o->ask_client;
	if (!o->ask_client || o->client_ca.len == 0)
		return ERR_OK;
	enum err err = ca_store_parse(o->client_ca, &c->store, problem);

	if (!err)
		mbedtls_ssl_conf_ca_chain(&c->config, &c->store->chain, NULL);
	return err;
}

enum err tls_server_context_new(struct io *io, const struct tls_server_options *o, struct tls_context **out,
                                struct buf *problem)
{
	AUTO(unref_mbed) struct mbed_context *c = NULL;
	enum err err = context_new(io, false, o->highest, &c);

	if (!err)
		err = read_pairs(c, o, problem);
	if (!err)
		err = err_of(mbedtls_ssl_conf_own_cert(&c->config, &c->pairs[0].chain, &c->pairs[0].keys[0]));
	if (!err)
		err = configure_asking(c, o, problem);
	if (!err)
		err = configure_tickets(c, o);
	if (err)
		return err;
	mbedtls_ssl_conf_cert_cb(&c->config, mbed_choose_certificate);
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
		return mbed_wrong(
			problem,
			"certificates are to be verified, but this system has no CA certificates (package "
			"ca-certificates)");
	return err;
}

static enum err show_own(struct mbed_context *c, mbedtls_ssl_config *config)
{
	return err_of(mbedtls_ssl_conf_own_cert(config, &c->pairs[0].chain, &c->pairs[0].keys[0]));
}

static enum err read_own(struct mbed_context *c, const struct tls_client_options *o, struct buf *problem)
{
	struct tls_certificate own = { .chain = o->certificate, .key = o->key };

	if (o->certificate.len == 0)
		return ERR_OK;
	c->pairs = calloc(1, sizeof(*c->pairs));
	if (!c->pairs)
		return ERR_NOMEM;
	enum err err = add_pair(c, &own, problem);

	if (!err)
		err = show_own(c, &c->config);
	return err ? err : show_own(c, &c->other);
}

/* Each connection has its full handshake: a session may only be resumed under the policy it was verified under, and
 * connections are used for many messages instead. So we ask for no tickets. */
static void configure_client(struct mbed_context *c, mbedtls_ssl_config *config, bool verify)
{
	mbedtls_ssl_conf_sig_algs(config, signatures);
	mbedtls_ssl_conf_session_tickets(config, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
	mbedtls_ssl_conf_tls13_key_exchange_modes(config, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL);
	mbedtls_ssl_conf_authmode(config, verify ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_OPTIONAL);
	mbedtls_ssl_conf_ca_chain(config, c->store ? &c->store->chain : NULL, NULL);
}

enum err tls_client_context_new(struct io *io, const struct tls_client_options *o, struct tls_context **out,
                                struct buf *problem)
{
	AUTO(unref_mbed) struct mbed_context *c = NULL;
	enum err err = context_new(io, true, o->highest, &c);

	if (err)
		return err;
	c->verify = o->verify;
	err = read_store(c, io, o->ca, problem);
	if (!err)
		err = read_own(c, o, problem);
	if (err)
		return err;
	configure_client(c, &c->config, c->verify);
	configure_client(c, &c->other, !c->verify);
	*out = &TAKE(c)->base;
	return ERR_OK;
}
