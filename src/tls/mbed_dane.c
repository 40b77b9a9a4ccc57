/* Certificates by TLSA records (RFC 6698, RFC 7671, RFC 7672 section 3). mbedTLS knows nothing of them: the chain is what the
 * server sent, and for an issuer's record it is built anew with that issuer as the only one that counts. */
#include "mbed.h"

#include <mbedtls/md.h>
#include <mbedtls/oid.h>
#include <mbedtls/sha256.h>
#include <mbedtls/sha512.h>

#define USAGE_ISSUER 2
#define USAGE_SERVER 3
#define SHOWN_OCTETS 8

struct search {
	const struct tls_expectation *proof;
	mbedtls_x509_crt *chain; /* the server's own is the first */
	uint32_t flags;          /* of the chain below the best issuer so far */
	const struct tls_tlsa
		*near; /* names an issuer that was found, though the rest does not do; NULL: none does */
};

/* ---------------------------------------------------------------- one record, one certificate */

static struct text selected(const struct tls_tlsa *r, const mbedtls_x509_crt *c)
{
	const mbedtls_x509_buf *part = r->selector == 0 ? &c->raw : &c->pk_raw;

	return text_of((const char *)part->p, part->len);
}

static bool matches(const struct tls_tlsa *r, const mbedtls_x509_crt *c)
{
	unsigned char digest[64];
	struct text part = selected(r, c);

	if (r->selector > 1)
		return false;
	switch (r->matching) {
	case 0:
		return text_eq(r->data, part);
	case 1:
		return mbedtls_sha256((const unsigned char *)part.at, part.len, digest, 0) == 0 &&
		       text_eq(r->data, text_of((const char *)digest, 32));
	case 2:
		return mbedtls_sha512((const unsigned char *)part.at, part.len, digest, 0) == 0 &&
		       text_eq(r->data, text_of((const char *)digest, 64));
	default:
		return false;
	}
}

/* ---------------------------------------------------------------- below an issuer */

static uint32_t flaws_of_server(const struct search *s)
{
	uint32_t flags = 0;

	if (!mbed_fits_names(s->chain, s->proof->names, s->proof->name_count))
		flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
	if (mbedtls_x509_crt_check_extended_key_usage(s->chain, MBEDTLS_OID_SERVER_AUTH,
	                                              MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH)))
		flags |= MBEDTLS_X509_BADCERT_EXT_KEY_USAGE;
	return flags;
}

static bool note_flags(struct search *s, const struct tls_tlsa *r, uint32_t flags)
{
	if (!s->near || !(flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED)) {
		s->near = r;
		s->flags = flags;
	}
	return flags == 0;
}

/* A copy: as a list of CAs it must be alone. */
static bool is_below(struct search *s, const struct tls_tlsa *r, struct text issuer)
{
	mbedtls_x509_crt anchor;
	uint32_t flags = 0;

	mbedtls_x509_crt_init(&anchor);
	int status = mbedtls_x509_crt_parse_der(&anchor, (const unsigned char *)issuer.at, issuer.len);

	if (status == 0)
		status = mbedtls_x509_crt_verify_with_profile(
			s->chain, &anchor, NULL, &mbedtls_x509_crt_profile_default, NULL, &flags, NULL, NULL);
	mbedtls_x509_crt_free(&anchor);
	if (status != 0 && status != MBEDTLS_ERR_X509_CERT_VERIFY_FAILED)
		return false;
	return note_flags(s, r, flags | flaws_of_server(s));
}

/* ---------------------------------------------------------------- below a bare key */

static bool is_signed_with(const mbedtls_x509_crt *c, mbedtls_pk_context *key)
{
	mbedtls_md_type_t digest_type = c->MBEDTLS_PRIVATE(sig_md);
	const mbedtls_md_info_t *info = mbedtls_md_info_from_type(digest_type);
	mbedtls_pk_type_t type = c->MBEDTLS_PRIVATE(sig_pk);
	const mbedtls_x509_buf *signature = &c->MBEDTLS_PRIVATE(sig);
	unsigned char digest[MBEDTLS_MD_MAX_SIZE];

	if (!info || !(mbedtls_x509_crt_profile_default.allowed_mds & MBEDTLS_X509_ID_FLAG(digest_type)) ||
	    !mbedtls_pk_can_do(key, type) || mbedtls_md(info, c->tbs.p, c->tbs.len, digest))
		return false;
	return mbedtls_pk_verify_ext(type, c->MBEDTLS_PRIVATE(sig_opts), key, digest_type, digest,
	                             mbedtls_md_get_size(info), signature->p, signature->len) == 0;
}

static uint32_t flaws_of_dates(const mbedtls_x509_crt *c)
{
	return (mbedtls_x509_time_is_past(&c->valid_to) ? MBEDTLS_X509_BADCERT_EXPIRED : 0u) |
	       (mbedtls_x509_time_is_future(&c->valid_from) ? MBEDTLS_X509_BADCERT_FUTURE : 0u);
}

/* Whose issuer was not sent: only there can a key be of use that the record alone has. */
static bool is_top(const struct search *s, const mbedtls_x509_crt *c)
{
	for (const mbedtls_x509_crt *other = s->chain; other && other->raw.p; other = other->next) {
		if (other != c && other->subject_raw.len == c->issuer_raw.len &&
		    memcmp(other->subject_raw.p, c->issuer_raw.p, c->issuer_raw.len) == 0)
			return false;
	}
	return true;
}

static bool is_below_key(struct search *s, const struct tls_tlsa *r)
{
	mbedtls_pk_context key;
	bool fits = false;

	mbedtls_pk_init(&key);
	int status = mbedtls_pk_parse_public_key(&key, (const unsigned char *)r->data.at, r->data.len);

	for (mbedtls_x509_crt *c = s->chain; status == 0 && !fits && c && c->raw.p; c = c->next) {
		if (!is_top(s, c) || !is_signed_with(c, &key))
			continue;
		if (c == s->chain)
			fits = note_flags(s, r, flaws_of_dates(c) | flaws_of_server(s));
		else
			fits = is_below(s, r, text_of((const char *)c->raw.p, c->raw.len));
	}
	mbedtls_pk_free(&key);
	return fits;
}

/* ---------------------------------------------------------------- all records */

/* The server's own certificate is no issuer of itself: that is what usage 3 is for. */
static bool fits_issuer(struct search *s, const struct tls_tlsa *r)
{
	for (mbedtls_x509_crt *c = s->chain->next; c && c->raw.p; c = c->next) {
		if (matches(r, c) && is_below(s, r, text_of((const char *)c->raw.p, c->raw.len)))
			return true;
	}
	if (r->matching != 0 || s->near == r)
		return false;
	return r->selector == 0 ? is_below(s, r, r->data) : r->selector == 1 && is_below_key(s, r);
}

static void add_record(struct buf *b, const struct tls_tlsa *r)
{
	buf_add_format(b, "%u %u %u ", r->usage, r->selector, r->matching);
	mbed_add_hex(b, (const unsigned char *)r->data.at, MIN(r->data.len, (size_t)SHOWN_OCTETS));
	if (r->data.len > SHOWN_OCTETS)
		buf_add_string(b, "...");
}

static void explain(const struct search *s, struct buf *problem)
{
	unsigned char digest[32];

	if (s->near) {
		buf_add_string(problem, "the TLSA record ");
		add_record(problem, s->near);
		buf_add_string(problem, " names an issuer, but ");
		mbed_add_verdict(problem, s->flags, NULL);
	} else {
		buf_add_string(problem, "the certificate fits no TLSA record (");
		for (size_t i = 0; i < MIN(s->proof->tlsa_count, (size_t)4); i++) {
			buf_add_string(problem, i ? ", " : "");
			add_record(problem, &s->proof->tlsa[i]);
		}
		buf_add_string(problem, s->proof->tlsa_count > 4 ? ", ...)" : ")");
	}
	mbed_add_description(problem, s->chain);
	if (mbedtls_sha256(s->chain->pk_raw.p, s->chain->pk_raw.len, digest, 0) == 0) {
		buf_add_string(problem, "; its record would be 3 1 1 ");
		mbed_add_hex(problem, digest, sizeof(digest));
	}
}

bool mbed_fits_tlsa(const struct tls_expectation *p, mbedtls_x509_crt *chain, struct buf *problem,
                    enum tls_fault *fault)
{
	struct search s = { .proof = p, .chain = chain };

	for (size_t i = 0; i < p->tlsa_count; i++) {
		if (p->tlsa[i].usage == USAGE_SERVER && matches(&p->tlsa[i], chain))
			return true;
	}
	for (size_t i = 0; i < p->tlsa_count; i++) {
		if (p->tlsa[i].usage == USAGE_ISSUER && fits_issuer(&s, &p->tlsa[i]))
			return true;
	}
	*fault = s.near ? mbed_fault_of(s.flags) : TLS_FAULT_MISMATCH;
	explain(&s, problem);
	return false;
}
