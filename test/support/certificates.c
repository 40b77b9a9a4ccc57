#include "support/certificates.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/ecp.h>
#include <mbedtls/entropy.h>
#include <mbedtls/pk.h>
#include <mbedtls/rsa.h>
#include <mbedtls/sha256.h>
#include <mbedtls/sha512.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>

struct maker {
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context random;
	mbedtls_pk_context key, issuer_key;
	mbedtls_x509write_cert writer;
};

static void maker_init(struct maker *m)
{
	mbedtls_entropy_init(&m->entropy);
	mbedtls_ctr_drbg_init(&m->random);
	mbedtls_pk_init(&m->key);
	mbedtls_pk_init(&m->issuer_key);
	mbedtls_x509write_crt_init(&m->writer);
	assert_int_equal(psa_crypto_init(), PSA_SUCCESS);
	assert_int_equal(mbedtls_ctr_drbg_seed(&m->random, mbedtls_entropy_func, &m->entropy, NULL, 0), 0);
}

static void maker_fini(struct maker *m)
{
	mbedtls_x509write_crt_free(&m->writer);
	mbedtls_pk_free(&m->issuer_key);
	mbedtls_pk_free(&m->key);
	mbedtls_ctr_drbg_free(&m->random);
	mbedtls_entropy_free(&m->entropy);
}

static void make_key(struct maker *m, bool rsa)
{
	mbedtls_pk_type_t type = rsa ? MBEDTLS_PK_RSA : MBEDTLS_PK_ECKEY;

	assert_int_equal(mbedtls_pk_setup(&m->key, mbedtls_pk_info_from_type(type)), 0);
	if (rsa)
		assert_int_equal(mbedtls_rsa_gen_key(mbedtls_pk_rsa(m->key), mbedtls_ctr_drbg_random, &m->random, 2048,
		                                     65537), 0);
	else
		assert_int_equal(mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(m->key),
		                                     mbedtls_ctr_drbg_random, &m->random), 0);
}

static void read_issuer_key(struct maker *m, const struct certificate *ca)
{
	assert_int_equal(mbedtls_pk_parse_key(&m->issuer_key, (const unsigned char *)ca->key, strlen(ca->key) + 1, NULL,
	                                      0, mbedtls_ctr_drbg_random, &m->random), 0);
}

static mbedtls_x509_san_list host_name(const char *name, mbedtls_x509_san_list *next)
{
	mbedtls_x509_san_list item = { .next = next };

	item.node.type = MBEDTLS_X509_SAN_DNS_NAME;
	item.node.san.unstructured_name.p = (unsigned char *)name;
	item.node.san.unstructured_name.len = strlen(name);
	return item;
}

static void add_names(struct maker *m, const struct certificate_options *o)
{
	mbedtls_x509_san_list address = { 0 }, second, first, mailbox;

	address.node.type = MBEDTLS_X509_SAN_IP_ADDRESS;
	address.node.san.unstructured_name.p = (unsigned char *)o->address;
	address.node.san.unstructured_name.len = 4;
	if (o->second_name)
		second = host_name(o->second_name, o->address ? &address : NULL);
	first = host_name(o->name, o->second_name ? &second : o->address ? &address : NULL);
	if (o->mailbox) {      /* the last here is the first there */
		mailbox = host_name(o->mailbox, NULL);
		mailbox.node.type = MBEDTLS_X509_SAN_RFC822_NAME;
		first.next = &mailbox;
	}
	assert_int_equal(mbedtls_x509write_crt_set_subject_alternative_name(&m->writer, &first), 0);
}

static void describe(struct maker *m, const struct certificate_options *o, const char *subject, const char *issuer)
{
	unsigned char serial[16];

	assert_int_equal(mbedtls_ctr_drbg_random(&m->random, serial, sizeof(serial)), 0);
	serial[0] = (unsigned char)((serial[0] & 0x7f) | 0x40);
	mbedtls_x509write_crt_set_version(&m->writer, MBEDTLS_X509_CRT_VERSION_3);
	mbedtls_x509write_crt_set_md_alg(&m->writer, MBEDTLS_MD_SHA256);
	mbedtls_x509write_crt_set_subject_key(&m->writer, &m->key);
	mbedtls_x509write_crt_set_issuer_key(&m->writer, o->ca ? &m->issuer_key : &m->key);
	assert_int_equal(mbedtls_x509write_crt_set_serial_raw(&m->writer, serial, sizeof(serial)), 0);
	assert_int_equal(mbedtls_x509write_crt_set_subject_name(&m->writer, subject), 0);
	assert_int_equal(mbedtls_x509write_crt_set_issuer_name(&m->writer, issuer), 0);
	assert_int_equal(mbedtls_x509write_crt_set_validity(&m->writer, "20200101000000",
	                                                    o->expired ? "20210101000000" : "20990101000000"), 0);
	assert_int_equal(mbedtls_x509write_crt_set_basic_constraints(&m->writer, !o->ca || o->is_issuer, -1), 0);
	assert_int_equal(mbedtls_x509write_crt_set_key_usage(&m->writer, o->ca && !o->is_issuer ? MBEDTLS_X509_KU_DIGITAL_SIGNATURE :
	                                                     o->ca ? MBEDTLS_X509_KU_KEY_CERT_SIGN :
	                                                     MBEDTLS_X509_KU_KEY_CERT_SIGN |
	                                                     MBEDTLS_X509_KU_DIGITAL_SIGNATURE), 0);
	assert_int_equal(mbedtls_x509write_crt_set_subject_key_identifier(&m->writer), 0);
	assert_int_equal(mbedtls_x509write_crt_set_authority_key_identifier(&m->writer), 0);
}

void certificate_make(struct certificate *out, const struct certificate_options *o)
{
	struct maker m;
	char subject[128];

	snprintf(subject, sizeof(subject), "CN=%s,O=Example", o->name);
	maker_init(&m);
	make_key(&m, o->rsa);
	if (o->ca)
		read_issuer_key(&m, o->ca);
	describe(&m, o, subject, o->ca ? o->ca->issuer : subject);
	if (o->ca && !o->is_issuer && !o->only_common_name)
		add_names(&m, o);
	assert_int_equal(mbedtls_x509write_crt_pem(&m.writer, (unsigned char *)out->certificate,
	                                           sizeof(out->certificate), mbedtls_ctr_drbg_random, &m.random), 0);
	assert_int_equal(mbedtls_pk_write_key_pem(&m.key, (unsigned char *)out->key, sizeof(out->key)), 0);
	snprintf(out->issuer, sizeof(out->issuer), "%s", subject);
	maker_fini(&m);
}

void certificate_add_tlsa(const struct certificate *c, unsigned selector, unsigned matching, struct buf *out)
{
	mbedtls_x509_crt parsed;
	unsigned char digest[64];

	mbedtls_x509_crt_init(&parsed);
	assert_int_equal(mbedtls_x509_crt_parse(&parsed, (const unsigned char *)c->certificate, strlen(c->certificate) + 1), 0);
	mbedtls_x509_buf part = selector ? parsed.pk_raw : parsed.raw;

	if (matching == 1)
		assert_int_equal(mbedtls_sha256(part.p, part.len, digest, 0), 0);
	if (matching == 2)
		assert_int_equal(mbedtls_sha512(part.p, part.len, digest, 0), 0);
	if (matching == 1 || matching == 2)
		buf_add_bytes(out, digest, matching == 1 ? 32 : 64);
	else
		buf_add_bytes(out, part.p, part.len);
	mbedtls_x509_crt_free(&parsed);
}

void certificates_make(struct certificates *out)
{
	static const unsigned char loopback[4] = { 127, 0, 0, 1 };

	certificate_make(&out->ca, &(struct certificate_options){ .name = "Test CA" });
	certificate_make(&out->server, &(struct certificate_options){
		.name = "mail.example.org", .address = loopback, .ca = &out->ca });
}
