#include "mbed.h"

#include <stdlib.h>

#include <mbedtls/asn1.h>
#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/platform_util.h>

#define NAMES_MAX 8

char *mbed_pem_copy(struct text pem, size_t *size)
{
	*size = pem.len + 1;
	return text_dup(pem);
}

void mbed_pem_free(char **copy, size_t size)
{
	if (*copy)
		mbedtls_platform_zeroize(*copy, size);
	free(TAKE(*copy));
}

enum err mbed_wrong(struct buf *problem, const char *text)
{
	if (problem)
		buf_add_string(problem, text);
	return ERR_CONFIG;
}

void mbed_add_error(struct buf *b, const char *what, int error)
{
	char reason[256];

	if (!b)
		return;
	mbedtls_strerror(error, reason, sizeof(reason));
	buf_add_format(b, "%s: %s (-0x%04x)", what, reason, (unsigned)-error);
}

/* RFC 8446 section 6, RFC 5246 section 7.2. */
void mbed_add_alert(struct buf *b, unsigned char alert)
{
	static const struct {
		unsigned char number;
		const char *name;
	} alerts[] = {
		{ 0, "close notify" },
		{ 10, "unexpected message" },
		{ 20, "bad record MAC" },
		{ 22, "record overflow" },
		{ 40, "handshake failure" },
		{ 42, "bad certificate" },
		{ 43, "unsupported certificate" },
		{ 44, "certificate revoked" },
		{ 45, "certificate expired" },
		{ 46, "certificate unknown" },
		{ 47, "illegal parameter" },
		{ 48, "unknown CA" },
		{ 49, "access denied" },
		{ 50, "decode error" },
		{ 51, "decrypt error" },
		{ 70, "protocol version" },
		{ 71, "insufficient security" },
		{ 80, "internal error" },
		{ 86, "inappropriate fallback" },
		{ 90, "user cancelled" },
		{ 109, "missing extension" },
		{ 110, "unsupported extension" },
		{ 112, "unrecognised name" },
		{ 116, "certificate required" },
		{ 120, "no application protocol" },
	};
	const char *name = "an unknown alert";

	for (size_t i = 0; i < ARRAY_LEN(alerts); i++) {
		if (alerts[i].number == alert)
			name = alerts[i].name;
	}
	buf_add_format(b, "the peer sent the alert \"%s\" (%u)", name, alert);
}

struct text mbed_cipher_name(int id)
{
	static const struct {
		int id;
		struct text name;
	} ciphers[] = {
		{ 0x1301, LIT("TLS_AES_128_GCM_SHA256") },
		{ 0x1302, LIT("TLS_AES_256_GCM_SHA384") },
		{ 0x1303, LIT("TLS_CHACHA20_POLY1305_SHA256") },
		{ 0xC02B, LIT("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256") },
		{ 0xC02C, LIT("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384") },
		{ 0xC02F, LIT("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256") },
		{ 0xC030, LIT("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384") },
		{ 0xCCA8, LIT("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256") },
		{ 0xCCA9, LIT("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256") },
	};

	for (size_t i = 0; i < ARRAY_LEN(ciphers); i++) {
		if (ciphers[i].id == id)
			return ciphers[i].name;
	}
	return TEXT("unknown");
}

/* ---------------------------------------------------------------- certificates */

/* A stranger wrote these octets: nothing in them may look like anything but a name. */
static void add_name(struct buf *b, const unsigned char *at, size_t len)
{
	for (size_t i = 0; i < len && i < 255; i++)
		buf_add_octet(b, at[i] > ' ' && at[i] < 0x7f ? (char)at[i] : '?');
}

static void add_subject(struct buf *b, const mbedtls_x509_crt *certificate, unsigned *count)
{
	for (const mbedtls_x509_name *n = &certificate->subject; n; n = n->next) {
		if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &n->oid) != 0 || n->val.len == 0)
			continue;
		if ((*count)++)
			buf_add_string(b, ", ");
		add_name(b, n->val.p, n->val.len);
	}
}

static void add_alternative(struct buf *b, const mbedtls_x509_buf *name, unsigned *count)
{
	unsigned kind = (unsigned)name->tag & MBEDTLS_ASN1_TAG_VALUE_MASK;

	if (kind != MBEDTLS_X509_SAN_DNS_NAME && kind != MBEDTLS_X509_SAN_IP_ADDRESS)
		return;
	if (*count == NAMES_MAX)
		buf_add_string(b, ", ...");
	if ((*count)++ >= NAMES_MAX)
		return;
	if (*count > 1)
		buf_add_string(b, ", ");
	if (kind == MBEDTLS_X509_SAN_DNS_NAME) {
		add_name(b, name->p, name->len);
		return;
	}
	struct ip ip = { .family = name->len == 4 ? IP_V4 : IP_V6 };

	if (name->len == 4 || name->len == 16)
		memcpy(ip.bytes, name->p, name->len);
	ip_add(b, ip);
}

/* The names a client may look for: the alternative ones, else the common name (RFC 6125 section 6.4.4). */
static void add_names(struct buf *b, const mbedtls_x509_crt *certificate)
{
	unsigned count = 0;

	buf_add_string(b, "; it is for ");
	for (const mbedtls_x509_sequence *s = &certificate->subject_alt_names; s && s->buf.p; s = s->next)
		add_alternative(b, &s->buf, &count);
	if (count == 0)
		add_subject(b, certificate, &count);
	if (count == 0)
		buf_add_string(b, "no name");
}

/* Nor may the name of an issuer look like anything else: mbedTLS writes what is not printable with a backslash. */
void mbed_add_description(struct buf *b, const mbedtls_x509_crt *certificate)
{
	char issuer[256];
	const mbedtls_x509_time *end = &certificate->valid_to;

	add_names(b, certificate);
	if (mbedtls_x509_dn_gets(issuer, sizeof(issuer), &certificate->issuer) > 0)
		buf_add_format(b, ", issued by %s", issuer);
	buf_add_format(b, ", valid until %04d-%02d-%02d", end->year, end->mon, end->day);
}

void mbed_add_verdict(struct buf *b, uint32_t flags, const mbedtls_x509_crt *certificate)
{
	static const struct {
		uint32_t flag;
		const char *text;
	} verdicts[] = {
		{ MBEDTLS_X509_BADCERT_MISSING, "the peer has no certificate" },
		{ MBEDTLS_X509_BADCERT_NOT_TRUSTED, "the certificate leads to no known CA" },
		{ MBEDTLS_X509_BADCERT_EXPIRED, "the certificate has expired" },
		{ MBEDTLS_X509_BADCERT_FUTURE, "the certificate is not valid yet" },
		{ MBEDTLS_X509_BADCERT_REVOKED, "the certificate was revoked" },
		{ MBEDTLS_X509_BADCERT_KEY_USAGE, "the certificate is not for this use" },
		{ MBEDTLS_X509_BADCERT_EXT_KEY_USAGE, "the certificate is not for this use" },
		{ MBEDTLS_X509_BADCERT_NS_CERT_TYPE, "the certificate is not for this use" },
		{ MBEDTLS_X509_BADCERT_BAD_MD, "the certificate is signed with a weak digest" },
		{ MBEDTLS_X509_BADCERT_BAD_PK, "the certificate's kind of key is not accepted" },
		{ MBEDTLS_X509_BADCERT_BAD_KEY, "the certificate's key is too weak" },
		{ MBEDTLS_X509_BADCERT_OTHER, "there is no name to check it against" },      /* our own finding */
		{ MBEDTLS_X509_BADCERT_CN_MISMATCH, "the certificate is for another name" },
	};
	size_t before = b->len;

	for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
		if (!(flags & verdicts[i].flag))
			continue;
		if (b->len > before)
			buf_add_string(b, ", ");
		buf_add_string(b, verdicts[i].text);
	}
	if (b->len == before)
		buf_add_string(b, "the certificate cannot be verified");
	if (certificate && (flags & MBEDTLS_X509_BADCERT_CN_MISMATCH))
		add_names(b, certificate);
}
