/* What to demand of one host, of all that has a say: the route, the message, DANE, MTA-STS. */
#include "internal.h"

#include <stdio.h>

static bool is_tls(enum config_tls tls)
{
	return tls == CONFIG_TLS_REQUIRE || tls == CONFIG_TLS_IMPLICIT;
}

static void demand_tls(struct policy_demand *d, enum policy_by by)
{
	if (!is_tls(d->tls)) {
		d->tls = CONFIG_TLS_REQUIRE;
		d->by = by;
	}
}

static void refuse(struct policy_demand *d, bool is_permanent, const char *format, ...) PRINTF_LIKE(3, 4);

static void refuse(struct policy_demand *d, bool is_permanent, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int len = vsnprintf(d->words, sizeof(d->words), format, args);
	va_end(args);
	d->refusal = text_of(d->words, len < 0 ? 0 : MIN((size_t)len, sizeof(d->words) - 1));
	d->is_permanent = is_permanent;
}

static void add_name(struct policy_demand *d, struct text name)
{
	for (size_t i = 0; i < d->expect.name_count; i++) {
		if (text_eq_nocase(d->names[i], name))
			return;
	}
	if (name.len > 0 && d->expect.name_count < POLICY_NAMES_MAX)
		d->names[d->expect.name_count++] = name;
}

/* RFC 7672 section 3.2.2: under an issuer's record the certificate is for the base domain, or for the domain whose mail
 * it takes. */
static void demand_dane(const struct policy_facts *q, struct policy_demand *d)
{
	const struct policy_host *h = q->host;

	d->by = POLICY_BY_DANE;
	if (!is_tls(d->tls))
		d->tls = CONFIG_TLS_REQUIRE;
	d->server_name = h->base;
	if (!policy_host_is_usable(h)) {
		d->expect.proof = TLS_PROOF_NONE;
		return;
	}
	d->proves = true;
	d->expect.proof = TLS_PROOF_DANE;
	d->expect.tlsa = h->records;
	d->expect.tlsa_count = h->usable_count;
	add_name(d, h->base);
	add_name(d, q->host_name);
	add_name(d, q->domain_name);
	add_name(d, q->domain_canonical);
}

static void demand_name(const struct policy_facts *q, struct policy_demand *d, enum policy_by by)
{
	demand_tls(d, by);
	d->by = by;
	d->proves = true;
	d->expect.proof = TLS_PROOF_NAMES;
	add_name(d, q->host_name);
}

static void demand_sts(const struct policy_facts *q, struct policy_demand *d)
{
	if (!policy_domain_allows(q->domain, q->host_name)) {
		refuse(d, false, "the MTA-STS policy of %.*s does not allow the mail host %.*s",
		       TEXT_ARGS(q->domain_name), TEXT_ARGS(q->host_name));
		d->by = POLICY_BY_MTA_STS;
		return;
	}
	demand_name(q, d, POLICY_BY_MTA_STS);
}

/* RFC 8689 section 4.2.1: the name of the host must be proved, and the host. */
static void demand_proof(const struct policy_facts *q, struct policy_demand *d)
{
	if (d->proves || d->refusal.len > 0)
		return;
	demand_tls(d, POLICY_BY_MESSAGE);
	if (q->mx_secure)
		demand_name(q, d, POLICY_BY_MESSAGE);
	else
		refuse(d, true,
		       "the sender demands TLS all the way (REQUIRETLS), and the mail host %.*s of %.*s cannot "
		       "prove that it is its own, by DANE or by MTA-STS",
		       TEXT_ARGS(q->host_name), TEXT_ARGS(q->domain_name));
}

/* A person wants this host to be proved by its records. */
static void demand_records(const struct policy_facts *q, struct policy_demand *d)
{
	if (d->expect.proof != TLS_PROOF_DANE)
		refuse(d, false,
		       "the host %.*s is to be proved by DANE, and has no usable TLSA records that DNSSEC proves",
		       TEXT_ARGS(q->host_name));
}

void policy_demand_of(const struct policy_facts *q, struct policy_demand *out)
{
	bool optional = q->tls_optional && !q->requires_tls;
	bool none = q->tls == CONFIG_TLS_NONE && !q->requires_tls;

	*out = (struct policy_demand){
		.tls = q->tls,
		.by = is_tls(q->tls) ? POLICY_BY_ROUTE : POLICY_BY_NOBODY,
		.server_name = q->host_name,
		.refusal = TEXT_EMPTY,
	};
	out->expect.names = out->names;
	if (none)
		return;
	if (q->host && (!optional || q->wants_dane))
		demand_dane(q, out);
	else if (policy_domain_mode(q->domain) == POLICY_MODE_ENFORCE && !optional)
		demand_sts(q, out);
	if (q->wants_dane)
		demand_records(q, out);
	if (q->requires_tls)
		demand_proof(q, out);
}

enum policy_failure policy_failure_of(enum tls_fault fault)
{
	switch (fault) {
	case TLS_FAULT_NONE:
		return POLICY_SUCCEEDED;
	case TLS_FAULT_NAME:
		return POLICY_CERTIFICATE_HOST_MISMATCH;
	case TLS_FAULT_DATES:
		return POLICY_CERTIFICATE_EXPIRED;
	case TLS_FAULT_UNTRUSTED:
		return POLICY_CERTIFICATE_NOT_TRUSTED;
	case TLS_FAULT_HANDSHAKE:
	case TLS_FAULT_MISMATCH:
	case TLS_FAULT_OTHER:
		break;
	}
	return POLICY_VALIDATION_FAILURE;
}
