/* policy/sts_fetch.h - one policy from its web site (RFC 8461 section 3.3). */
#ifndef POLICY_STS_FETCH_H
#define POLICY_STS_FETCH_H

#include "sts_domain.h"

#define STS_FETCH_MS MINUTE_MS /* section 3.3: the longest a fetch may take */

struct sts_fetch;

/* policy: with one reference, which the callee takes over. NULL: there is none to be had, with why as reports have it and a
 * sentence for people. Once, in a later turn, not after a cancel. */
typedef void sts_fetch_fn(void *owner, struct policy_domain *policy, enum policy_failure failure,
                          struct text problem);

struct sts_fetch_options {
	struct io *io;
	struct dns *dns;
	struct tls_context *tls;     /* one that verifies; referenced */
	const struct config *config; /* counted: which addresses may be gone to */
	struct text domain, id;      /* copied */
	sts_fetch_fn *on_done;
	void *owner;
};

/* An error: nothing was started. */
MUST_USE enum err sts_fetch_start(const struct sts_fetch_options *options, struct sts_fetch **out);
void sts_fetch_cancel(struct sts_fetch **fetch); /* NULL is fine */

#endif
