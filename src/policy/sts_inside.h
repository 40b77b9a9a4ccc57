/* policy/sts_inside.h - what sts.c (deliveries that ask) and sts_sites.c (records and web sites that are asked) share. */
#ifndef POLICY_STS_INSIDE_H
#define POLICY_STS_INSIDE_H

#include <postrider/base/random.h>

#include "keep.h"
#include "sts_cache.h"

struct sts {
	struct sts_options o;
	struct tls_context *tls; /* NULL: not needed so far */
	struct random random;
	struct sts_cache cache;
	struct list lookups, queue;
	size_t fetches, queued;
	struct keep *keep; /* NULL: nothing is kept */
};

static inline int64_t sts_now_at(const struct sts *s)
{
	return io_now_at(s->o.io);
}

static inline int64_t sts_now_time(const struct sts *s)
{
	return io_now_time(s->o.io);
}

/* What counts for the domain now; e may be NULL. */
static inline struct policy_domain *sts_known(const struct sts *s, const struct sts_entry *e)
{
	return e && s->o.config->direct.mta_sts ? sts_entry_policy(e, sts_now_time(s)) : NULL;
}

/* sts.c: those who wait for a fetch of e hear what is known; what they do may have the entry leave. */
void sts_answer_waiters(struct sts_entry *e);

/* The TXT record of a domain. ERR_SYNTAX: the domain's name leaves no room for one. */
MUST_USE enum err sts_ask_txt(struct sts *s, struct text domain, struct dns_lookup **slot,
                              dns_text_fn *on_txt, void *owner);
/* Puts the web site into the queue, if it is not there or being asked already. False: there is too much to do already. Whoever
 * waits goes first. sts_sites_go_on begins it, and may answer waiters. */
bool sts_sites_want(struct sts *s, struct sts_entry *e, struct text id, bool is_waited_for);
void sts_sites_go_on(struct sts *s);
/* When the policy of an entry is to be refreshed, or ends. */
void sts_sites_arm(struct sts *s, struct sts_entry *e);
/* All that is under way for an entry; owner is the sts. */
void sts_sites_forget(void *owner, struct sts_entry *e);

#endif
