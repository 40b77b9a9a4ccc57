/* What a server's certificate has to be. */
#include "mbed.h"

#include <mbedtls/asn1.h>
#include <mbedtls/sha256.h>

#define DIGEST_BYTES 32

/* ---------------------------------------------------------------- names */

static struct text without_dot(struct text name)
{
	return text_ends(name, TEXT(".")) ? text_head(name, name.len - 1) : name;
}

/* A wildcard is the whole leftmost label, and stands for one (RFC 6125 section 6.4.3). */
static bool covers(struct text wildcard, struct text name)
{
	size_t dot = text_find_octet(name, '.');

	return text_starts(wildcard, TEXT("*.")) && dot > 0 && dot < name.len &&
	       text_eq_nocase(text_skip(wildcard, 1), text_skip(name, dot));
}

struct name_search {
	struct text wanted;
	bool found;
};

static void compare_name(void *owner, struct text offered)
{
	struct name_search *s = owner;

	offered = without_dot(offered);
	if (text_eq_nocase(offered, s->wanted) || covers(offered, s->wanted) || covers(s->wanted, offered))
		s->found = true;
}

bool mbed_has_address(const mbedtls_x509_crt *certificate, struct ip ip)
{
	size_t len = ip.family == IP_V4 ? 4 : 16;

	for (const mbedtls_x509_sequence *s = &certificate->subject_alt_names; s && s->buf.p; s = s->next) {
		if (((unsigned)s->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == MBEDTLS_X509_SAN_IP_ADDRESS &&
		    s->buf.len == len && memcmp(s->buf.p, ip.bytes, len) == 0)
			return true;
	}
	return false;
}

static bool fits_name(const mbedtls_x509_crt *certificate, struct text name)
{
	struct name_search search = { .wanted = without_dot(name) };
	struct ip ip;

	if (search.wanted.len == 0)
		return false;
	if (ip_parse(search.wanted, &ip) == ERR_OK)
		return mbed_has_address(certificate, ip);
	mbed_each_name(certificate, compare_name, &search);
	return search.found;
}

bool mbed_fits_names(const mbedtls_x509_crt *certificate, const struct text *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (fits_name(certificate, names[i]))
			return true;
	}
	return false;
}

/* ---------------------------------------------------------------- pins */

static bool fits_pin(const struct tls_expectation *p, const mbedtls_x509_buf *octets)
{
	unsigned char digest[DIGEST_BYTES];

	if (mbedtls_sha256(octets->p, octets->len, digest, 0))
		return false;
	for (size_t i = 0; i < p->pin_count; i++) {
		if (memcmp(p->pins[i], digest, sizeof(digest)) == 0)
			return true;
	}
	return false;
}

/* With what to pin in its place: whoever renewed the certificate can compare. */
static bool judge_pins(const struct tls_expectation *p, const mbedtls_x509_crt *certificate,
                       struct buf *problem)
{
	unsigned char digest[DIGEST_BYTES];

	if (fits_pin(p, &certificate->raw) || fits_pin(p, &certificate->pk_raw))
		return true;
	buf_add_string(problem, "the certificate is none of those pinned");
	mbed_add_description(problem, certificate);
	if (mbedtls_sha256(certificate->pk_raw.p, certificate->pk_raw.len, digest, 0) == 0) {
		buf_add_string(problem, ", the SHA-256 of its key is ");
		mbed_add_hex(problem, digest, sizeof(digest));
	}
	return false;
}

/* ---------------------------------------------------------------- the verdict */

enum tls_fault mbed_fault_of(uint32_t flags)
{
	if (flags == 0)
		return TLS_FAULT_NONE;
	if (flags & (MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE))
		return TLS_FAULT_DATES;
	if (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED)
		return TLS_FAULT_UNTRUSTED;
	if (flags & MBEDTLS_X509_BADCERT_CN_MISMATCH)
		return TLS_FAULT_NAME;
	return TLS_FAULT_OTHER;
}

bool mbed_proof_needs_ca(const struct tls_expectation *p, bool context_verifies)
{
	return p->proof == TLS_PROOF_CONTEXT ? context_verifies : p->proof == TLS_PROOF_NAMES;
}

/* mbedTLS compared with the name for SNI: which names count is our business. */
static void judge_names(const struct tls_expectation *p, const mbedtls_x509_crt *certificate, uint32_t *flags)
{
	*flags &= ~(uint32_t)MBEDTLS_X509_BADCERT_CN_MISMATCH;
	if (!mbed_fits_names(certificate, p->names, p->name_count))
		*flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
}

bool mbed_proof_judge(const struct tls_expectation *p, mbedtls_x509_crt *chain, uint32_t *flags,
                      struct buf *problem, enum tls_fault *fault)
{
	if (p->proof == TLS_PROOF_PINS || p->proof == TLS_PROOF_DANE) {
		*flags = 0;
		buf_reset(problem);
		*fault = TLS_FAULT_MISMATCH;
		bool fits = p->proof == TLS_PROOF_PINS ? judge_pins(p, chain, problem)
		                                       : mbed_fits_tlsa(p, chain, problem, fault);

		if (fits)
			*fault = TLS_FAULT_NONE;
		return fits;
	}
	if (p->proof == TLS_PROOF_NAMES)
		judge_names(p, chain, flags);
	if (*flags) {
		*fault = mbed_fault_of(*flags);
		buf_reset(problem);
		mbed_add_verdict(problem, *flags, chain);
	}
	return true; /* the flags decide */
}
