/* policy/sts_cache.h - what is known of domains: their policies, and when asking failed. Bounded: the domain that was not asked
 * for the longest makes room, one without a policy before any with one. No I/O. */
#ifndef POLICY_STS_CACHE_H
#define POLICY_STS_CACHE_H

#include <postrider/base/map.h>
#include <postrider/base/random.h>
#include <postrider/base/time.h>
#include <postrider/io/io.h>

#include "sts_domain.h"

#define STS_POLICIES_MAX 20000
#define STS_POLICY_BYTES_MAX (32u << 20) /* of all policies together */
#define STS_OTHERS_MAX 5000              /* domains without a policy: asking failed, or is under way */
#define STS_LEAST_AGE_MS MINUTE_MS       /* a max_age that is shorter would have each delivery fetch */
#define STS_REFRESH_MS DAY_MS            /* section 10.2 */
#define STS_REFRESH_LEAST_MS HOUR_MS /* what would have to be fetched more often is fetched when mail comes */
#define STS_USED_MS (31 * DAY_MS)    /* who was not asked for so long is not fetched again */

struct sts_fetch;
struct dns_lookup;

struct sts_entry {
	struct map_item by_name;
	struct list by_use; /* in `used` or `others` of the cache */
	struct policy_domain *policy;
	int64_t fetched_time, used_time;

	/* Of asking, which sts.c does. */
	struct sts *sts;
	struct list waiters, queued;
	struct sts_fetch *fetch;
	struct dns_lookup *txt; /* of a refresh */
	struct io_timer timer;  /* refresh, or the end of the policy */
	struct text id;         /* of the fetch that waits, runs or failed last; in id_octets */
	char id_octets[STS_ID_MAX];
	int64_t txt_quiet_until_at;  /* the TXT record could not be had: not asked for again before */
	int64_t site_quiet_until_at; /* the web site had nothing for this id: likewise */
	bool is_told;                /* an event said that fetching fails */
};

struct sts_cache {
	struct map map;
	struct list used, others; /* the least recently used first */
	size_t policies, others_count, bytes;
	/* Gives up what sts.c has of an entry that leaves. */
	void (*on_leave)(void *owner, struct sts_entry *e);
	void *owner;
};

void sts_cache_init(struct sts_cache *c, uint64_t seed, void (*on_leave)(void *owner, struct sts_entry *e),
                    void *owner);
void sts_cache_fini(struct sts_cache *c);

struct sts_entry *sts_cache_find(const struct sts_cache *c, struct text domain);
/* The one that is there, or a new one; the latest used from now on. NULL: no memory, or all others are busy. */
struct sts_entry *sts_cache_get(struct sts_cache *c, struct text domain, int64_t now_time);
void sts_cache_used(struct sts_cache *c, struct sts_entry *e, int64_t now_time);
/* Takes the reference over. */
void sts_cache_set(struct sts_cache *c, struct sts_entry *e, struct policy_domain *policy, int64_t now_time);
void sts_cache_remove(struct sts_cache *c, struct sts_entry *e);

static inline struct text sts_entry_name(const struct sts_entry *e)
{
	return e->by_name.key;
}

/* When the policy ends; 0: there is none. */
int64_t sts_entry_end_time(const struct sts_entry *e);
/* The policy if its time is not over; NULL otherwise. Borrowed. */
struct policy_domain *sts_entry_policy(const struct sts_entry *e, int64_t now_time);
/* When to fetch it again in the background, or when it ends, if that is not wanted. random: from 0 to 999. */
int64_t sts_entry_next_time(const struct sts_entry *e, int64_t now_time, unsigned random);

/* All policies, for the disk. What reads them leaves out what is over, and what makes no sense; ERR_DAMAGED when none does
 * though there is something. */
void sts_cache_encode(const struct sts_cache *c, int64_t now_time, struct buf *out);
MUST_USE enum err sts_cache_decode(struct sts_cache *c, struct text record, int64_t now_time);

#endif
