/* What a certificate says of whom it is for. Strangers write certificates: nothing here trusts their octets. */
#include "mbed.h"

#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>
#include <mbedtls/sha256.h>

#define FINGERPRINT_BYTES 32

static unsigned kind_of(const mbedtls_x509_buf *name)
{
	return (unsigned)name->tag & MBEDTLS_ASN1_TAG_VALUE_MASK;
}

static struct text text_of_name(const mbedtls_x509_buf *name)
{
	return text_of((const char *)name->p, name->len);
}

void mbed_each_name(const mbedtls_x509_crt *certificate, mbed_name_fn *each, void *owner)
{
	bool has_alternative = false;

	for (const mbedtls_x509_sequence *s = &certificate->subject_alt_names; s && s->buf.p; s = s->next) {
		if (kind_of(&s->buf) != MBEDTLS_X509_SAN_DNS_NAME)
			continue;
		has_alternative = true;
		each(owner, text_of_name(&s->buf));
	}
	for (const mbedtls_x509_name *n = &certificate->subject; n && !has_alternative; n = n->next) {
		if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &n->oid) == 0 && n->val.len > 0)
			each(owner, text_of_name(&n->val));
	}
}

/* One word of ASCII: anything else could look like another name to whoever reads or compares it. */
static bool is_word(struct text t)
{
	for (size_t i = 0; i < t.len; i++) {
		if (t.at[i] <= ' ' || t.at[i] >= 0x7f)
			return false;
	}
	return t.len > 0 && t.len <= HOST_NAME_MAX_BYTES;
}

struct text mbed_peer_name(const mbedtls_x509_crt *certificate)
{
	for (const mbedtls_x509_sequence *s = &certificate->subject_alt_names; s && s->buf.p; s = s->next) {
		unsigned kind = kind_of(&s->buf);

		if ((kind == MBEDTLS_X509_SAN_DNS_NAME || kind == MBEDTLS_X509_SAN_RFC822_NAME) &&
		    is_word(text_of_name(&s->buf)))
			return text_of_name(&s->buf);
	}
	for (const mbedtls_x509_name *n = &certificate->subject; n; n = n->next) {
		if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &n->oid) == 0 && is_word(text_of_name(&n->val)))
			return text_of_name(&n->val);
	}
	return TEXT_EMPTY;
}

void mbed_add_hex(struct buf *b, const unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf_add_format(b, "%02x", bytes[i]);
}

void mbed_add_fingerprint(struct buf *b, const mbedtls_x509_crt *certificate)
{
	unsigned char digest[FINGERPRINT_BYTES];

	if (mbedtls_sha256(certificate->raw.p, certificate->raw.len, digest, 0) == 0)
		mbed_add_hex(b, digest, sizeof(digest));
}

bool mbed_is_host_name(struct text name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.at[i];

		if (!ascii_is_alnum(c) && c != '-' && c != '_' && c != '.')
			return false;
		if (c == '.' && (i == 0 || name.at[i - 1] == '.'))
			return false;
	}
	return name.len > 0 && name.len <= HOST_NAME_MAX_BYTES && name.at[name.len - 1] != '.';
}
