/* postrider/policy.h - what TLS a domain and its mail hosts demand of direct delivery: DANE (RFC 7672), MTA-STS (RFC 8461);
 * and reports on how it went (TLSRPT, RFC 8460). One struct policy serves the process.
 *
 * A delivery asks twice: policy_find_domain behind the MX lookup, before anybody is connected to; policy_find_host for each
 * host that is to be tried, behind its address lookup. What comes out of both, and of what the route and the message demand,
 * is one struct policy_demand (policy_demand_of), which says how to connect. Where both speak DANE counts and MTA-STS does
 * not (RFC 8461 section 2). A lookup that fails is never taken for "no policy": it defers, and says which zone is at fault. */
#ifndef POSTRIDER_POLICY_H
#define POSTRIDER_POLICY_H

#include <postrider/config.h>
#include <postrider/dns.h>
#include <postrider/observe/observe.h>
#include <postrider/tls.h>

struct policy;
struct policy_lookup;
struct queue;

struct policy_options {
	struct io *io;
	struct dns *dns;
	const struct config *config; /* referenced */
	struct observe *observe;
	struct io_disk *disk;  /* of the cache of MTA-STS policies; NULL: nothing outlives the process */
	struct text directory; /* where it is kept: copied; made if it is missing */
	struct queue *queue;   /* that reports by mail enter; closed after policy_free. NULL: none are sent by mail */
	int64_t newest_id_time; /* queue_newest_time */
	uint64_t seed;
	/* TLS towards the web sites of policies; NULL: mbedTLS with the system's CAs. */
	enum err (*client_context)(void *owner, const struct tls_client_options *o, struct tls_context **out,
	                           struct buf *problem);
	void *client_context_owner;
};

MUST_USE enum err policy_new(const struct policy_options *options, struct policy **out);
void policy_configure(struct policy *p, const struct config *config);
void policy_free(struct policy **p); /* lookups in flight: their slots are set to NULL, no callback */

/* ---------------------------------------------------------------- what a domain says (MTA-STS) */

enum policy_mode { POLICY_MODE_NONE, POLICY_MODE_TESTING, POLICY_MODE_ENFORCE };

/* Counted by references, immutable. */
struct policy_domain;
struct policy_domain *policy_domain_ref(struct policy_domain *d);
void policy_domain_unref(struct policy_domain **d);
enum policy_mode policy_domain_mode(const struct policy_domain *d); /* NULL: NONE */
/* Whether a host may be used under this policy: its name fits one of the `mx` patterns. Always with NONE. */
bool policy_domain_allows(const struct policy_domain *d, struct text host);

/* domain: NULL: it has no policy. ERR_OK always but for ERR_NOMEM: a fetch that fails with nothing in the cache is "no policy"
 * (RFC 8461 section 3.3), and is noted for the reports. Borrowed for the call; policy_domain_ref keeps it. */
typedef void policy_domain_fn(void *owner, enum err err, struct policy_domain *domain);
MUST_USE enum err policy_find_domain(struct policy *p, struct text domain, struct policy_lookup **slot,
                                     policy_domain_fn *on_done, void *owner);

/* ---------------------------------------------------------------- what a host says (DANE) */

/* Counted by references, immutable. NULL: no TLSA records, or DNSSEC proves nothing here. */
struct policy_host;
struct policy_host *policy_host_ref(struct policy_host *h);
void policy_host_unref(struct policy_host **h);
/* False: none of the records can be used (RFC 7672 section 3.1.3): TLS is a must, and proves nobody. */
bool policy_host_is_usable(const struct policy_host *h);
struct text policy_host_base(const struct policy_host *h); /* TLSA base domain, for SNI (RFC 7672 section 8.1); borrowed */

/* ERR_TEMPORARY: the TLSA lookup failed where DNSSEC says that there may be records: this host must not be used now; problem
 * names the zone. host: borrowed for the call. Both may be kept by policy_host_ref. */
typedef void policy_host_fn(void *owner, enum err err, struct policy_host *host, struct text problem);
/* mx_secure: the answer that named the host was proved by DNSSEC, or a person named it; address_secure: so were its addresses.
 * Without the first nothing is asked; without the second only for a host that is an alias, which may be proved where what it
 * leads to is not. canonical: the end of the host's CNAME chain, or empty. RFC 7672 section 2.2.2. */
MUST_USE enum err policy_find_host(struct policy *p, struct text host, struct text canonical, uint16_t port, bool mx_secure,
                                   bool address_secure, struct policy_lookup **slot, policy_host_fn *on_done, void *owner);
void policy_cancel(struct policy_lookup **slot); /* *slot may be NULL */

/* ---------------------------------------------------------------- how to connect */

/* Who says so. */
enum policy_by { POLICY_BY_NOBODY, POLICY_BY_ROUTE, POLICY_BY_DANE, POLICY_BY_MTA_STS, POLICY_BY_MESSAGE };

struct policy_facts {
	enum config_tls tls; /* of the route: NONE is its last word, but for a message that requires TLS */
	bool requires_tls;   /* the message: REQUIRETLS (RFC 8689) */
	bool tls_optional;   /* the message: "TLS-Required: No": DANE and MTA-STS do not count; nor does this with REQUIRETLS */
	bool wants_dane;     /* the route: without usable records the host is not used */
	bool mx_secure;      /* DNSSEC proved that the host is the domain's */
	const struct policy_domain *domain;
	const struct policy_host *host;
	struct text domain_name, host_name; /* borrowed as long as the demand, as those two; domain_name may be empty */
	struct text domain_canonical;       /* the end of the domain's CNAME chain; may be empty */
};

#define POLICY_NAMES_MAX 4

struct policy_demand {
	enum config_tls tls; /* NONE, OPPORTUNISTIC, REQUIRE, or IMPLICIT as the route has it */
	struct tls_expectation expect; /* CONTEXT: nothing that the route does not say already */
	enum policy_by by;
	bool proves;         /* whoever meets it has proved to be a host of the domain */
	struct text server_name; /* for SNI: the TLSA base domain, or the host */
	/* This host must not be used at all: a sentence; empty: it may. Transient unless is_permanent. */
	struct text refusal;
	bool is_permanent;
	struct text names[POLICY_NAMES_MAX]; /* what expect.names points at */
	char words[512];                     /* and refusal */
};

/* Points into itself, and borrows from the question: it is not to be moved. */
void policy_demand_of(const struct policy_facts *q, struct policy_demand *out);

/* ---------------------------------------------------------------- reports (RFC 8460) */

/* The failure types of RFC 8460 section 4.3. */
enum policy_failure {
	POLICY_SUCCEEDED,
	POLICY_STARTTLS_NOT_SUPPORTED,
	POLICY_CERTIFICATE_HOST_MISMATCH,
	POLICY_CERTIFICATE_EXPIRED,
	POLICY_CERTIFICATE_NOT_TRUSTED,
	POLICY_VALIDATION_FAILURE,
	POLICY_TLSA_INVALID,
	POLICY_DNSSEC_INVALID,
	POLICY_DANE_REQUIRED,
	POLICY_STS_POLICY_FETCH_ERROR,
	POLICY_STS_POLICY_INVALID,
	POLICY_STS_WEBPKI_INVALID,
};

/* What to say of a handshake that failed, or was not as it should be. */
enum policy_failure policy_failure_of(enum tls_fault fault);

struct policy_report {
	struct text domain;            /* of the recipient */
	const struct policy_domain *policy;
	const struct policy_host *host;
	struct text mx;
	struct ip remote, local;
	enum policy_failure failure;
	struct text problem;           /* more about a failure; may be empty */
};

/* One session that TLS was tried for. Cheap; nothing is kept unless tls_reports.send. */
void policy_note(struct policy *p, const struct policy_report *report);

#endif
