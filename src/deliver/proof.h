/* deliver/proof.h - what TLS the host at hand has to give, as route, message and policy have it; what is said where it does not;
 * and what is told to the reports. */
#ifndef DELIVER_PROOF_H
#define DELIVER_PROOF_H

#include "client.h"
#include "search.h"

struct proof {
	struct policy_demand demand; /* of the host at hand */
	bool relaxed;                /* opened for mail that may go without: DANE and MTA-STS do not count */
	bool told;                   /* of this host something was said already */
};

/* Whether anybody is to be asked: before the search begins. */
void proof_prepare(const struct proof *p, struct search *s, enum config_tls tls, bool requires_tls);
/* False: the host the search found must not be used; its failure says so, and the search goes on behind it. */
bool proof_find(struct proof *p, struct search *s, enum config_tls tls, bool requires_tls, struct text server_name);

/* What proved the host, as events say it. */
enum event_proof proof_by(const struct proof *p, enum event_proof by);

/* A failure of TLS gets the name of whoever demands it; words outlive r. */
void proof_explain(const struct proof *p, const struct search *s, struct deliver_result *r, struct buf *words);

/* How a session came up or did not: for the reports. */
void proof_tell_up(struct proof *p, const struct search *s, const struct client *c, bool tried_without);
void proof_tell_failed(struct proof *p, const struct search *s, enum session_fault fault, enum tls_fault tls_fault,
                       const struct deliver_result *r);

#endif
