/* MTA-STS (RFC 8461): the policies of domains, from their web sites, kept over restarts.
 *
 * The cache holds those domains whose TXT record names a policy. A policy in it is used until its max_age is over, whatever
 * happens to TXT record and web site; another id in the record, and its age, have it fetched again. A first fetch may delay
 * the first delivery by STS_WAIT_MS; then that goes on without, and the policy counts from when it comes. */
#ifndef POSTRIDER_POLICY_STS_H
#define POSTRIDER_POLICY_STS_H

#include <postrider/policy.h>

#include "lookup.h"

struct reports;
struct sts;

/* Longest wait of a delivery for TXT record and web site together. */
#define STS_WAIT_MS (10 * SECOND_MS)

struct sts_options {
	struct io *io;
	struct dns *dns;
	const struct config *config; /* counted */
	struct observe *observe;
	struct io_disk *disk;  /* NULL: nothing is kept */
	struct text directory; /* copied; made when it is missing */
	uint64_t seed;
	/* As in struct policy_options; NULL: tls_client_context_new. */
	enum err (*client_context)(void *owner, const struct tls_client_options *o, struct tls_context **out,
	                           struct buf *problem);
	void *client_context_owner;
	struct reports *reports; /* borrowed; hears of fetches that fail. NULL: nobody does */
};

/* Reads what was kept: blocks shortly, for the start. Whatever is wrong with the disk is an event and no error; ERR_NOMEM. */
MUST_USE enum err sts_new(const struct sts_options *options, struct sts **out);
void sts_configure(struct sts *s, const struct config *config);
void sts_free(
	struct
	sts **s); /* lookups in flight: their slots are set to NULL, no callback. Writes what was not kept yet */

/* policy_find_domain. domain: as in the DNS (A-labels), any case; an address literal has no policy. on_done always in a later
 * turn. Without direct.mta_sts nobody has a policy. */
MUST_USE enum err sts_find(struct sts *s, struct text domain, struct policy_lookup **slot,
                           policy_domain_fn *on_done, void *owner);

/* ---------------------------------------------------------------- a policy */

/* Immutable and counted. The functions of policy.h on it (policy_domain_ref, _unref, _mode, _allows) are in sts_domain.c. */
struct policy_domain {
	unsigned references;
	enum policy_mode mode;
	struct text domain, id; /* id: of the TXT record that had it fetched */
	int64_t max_age_ms;
	const struct text *mx; /* patterns, lower case */
	size_t mx_count;
};

#endif
