/* Certificates by a script: words that stand for octets, sent in the hello and judged as real ones are. */
#include "tls_certificate.h"

#include <postrider/crypto.h>

static struct text or_word(struct text t, const char *word)
{
	return t.len > 0 ? t : text_from(word);
}

void sim_certificate_add(struct buf *b, const struct sim_tls_certificate *c)
{
	buf_add(b, or_word(c->octets, "certificate"));
	buf_add_octet(b, '\0');
	buf_add(b, or_word(c->key, "key"));
	buf_add_octet(b, '\0');
	buf_add(b, or_word(c->issuer, "issuer"));
	buf_add_octet(b, '\0');
	buf_add(b, c->names);
}

struct sim_tls_certificate sim_certificate_read(struct text sent)
{
	struct sim_tls_certificate c;

	c.octets = text_cut(&sent, '\0');
	c.key = text_cut(&sent, '\0');
	c.issuer = text_cut(&sent, '\0');
	c.names = sent;
	return c;
}

static bool fits_digest(const void *digest, struct text octets)
{
	struct crypto_sha256 own = crypto_sha256(&octets, 1);

	return memcmp(own.at, digest, sizeof(own.at)) == 0;
}

static bool fits_pins(const struct tls_expectation *e, const struct sim_tls_certificate *c)
{
	for (size_t i = 0; i < e->pin_count; i++) {
		if (fits_digest(e->pins[i], c->octets) || fits_digest(e->pins[i], c->key))
			return true;
	}
	return false;
}

static bool covers(struct text wildcard, struct text name)
{
	size_t dot = text_find_octet(name, '.');

	return text_starts(wildcard, TEXT("*.")) && dot > 0 && dot < name.len &&
	       text_eq_nocase(text_skip(wildcard, 1), text_skip(name, dot));
}

bool sim_certificate_is_for(const struct sim_tls_certificate *c, struct text name)
{
	struct text rest = c->names;

	while (rest.len > 0) {
		struct text offered = text_cut(&rest, ' ');

		if (text_eq_nocase(offered, name) || covers(offered, name) || covers(name, offered))
			return true;
	}
	return c->names.len == 0;
}

static bool fits_names(const struct tls_expectation *e, const struct sim_tls_certificate *c)
{
	for (size_t i = 0; i < e->name_count; i++) {
		if (sim_certificate_is_for(c, e->names[i]))
			return true;
	}
	return false;
}

static bool fits_record(const struct tls_tlsa *r, struct text octets)
{
	return (r->matching == 0 && text_eq(r->data, octets)) ||
	       (r->matching == 1 && r->data.len == CRYPTO_SHA256_BYTES && fits_digest(r->data.at, octets));
}

static enum tls_fault fault_by_tlsa(const struct tls_expectation *e, const struct sim_tls_certificate *c)
{
	enum tls_fault fault = TLS_FAULT_MISMATCH;

	for (size_t i = 0; i < e->tlsa_count; i++) {
		const struct tls_tlsa *r = &e->tlsa[i];

		if (r->usage == 3 && fits_record(r, r->selector == 0 ? c->octets : c->key))
			return TLS_FAULT_NONE;
		if (r->usage != 2 || !fits_record(r, c->issuer))
			continue;
		if (fits_names(e, c))
			return TLS_FAULT_NONE;
		fault = TLS_FAULT_NAME;
	}
	return fault;
}

enum tls_fault sim_certificate_judge(const struct sim_tls_certificate *c, const struct tls_expectation *e,
                                     bool leads_to_ca)
{
	switch (e->proof) {
	case TLS_PROOF_PINS:
		return fits_pins(e, c) ? TLS_FAULT_NONE : TLS_FAULT_MISMATCH;
	case TLS_PROOF_DANE:
		return fault_by_tlsa(e, c);
	case TLS_PROOF_NAMES:
		return !leads_to_ca        ? TLS_FAULT_UNTRUSTED
		       : !fits_names(e, c) ? TLS_FAULT_NAME
		                           : TLS_FAULT_NONE;
	case TLS_PROOF_CONTEXT:
	case TLS_PROOF_NONE:
		break;
	}
	return leads_to_ca ? TLS_FAULT_NONE : TLS_FAULT_UNTRUSTED;
}
