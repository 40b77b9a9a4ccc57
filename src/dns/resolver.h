/* resolver.h - from a question to its answer: cache, sharing, and at most so many questions on the way at a time. */
#ifndef POSTRIDER_SRC_DNS_RESOLVER_H
#define POSTRIDER_SRC_DNS_RESOLVER_H

#include <postrider/base/list.h>
#include <postrider/base/map.h>

#include "answer.h"
#include "cache.h"
#include "servers.h"

struct question;

struct resolver {
	struct io *io;
	struct servers *servers;
	struct cache cache;
	struct map shared;            /* questions by what they ask, as long as others may join them */
	struct list running, waiting; /* questions */
	size_t running_count, max_running;
	struct dns_counts counts;
	bool is_starting; /* run_waiting is at work */
	uint64_t ids;     /* random bits not yet used */
	unsigned ids_left;
};

MUST_USE enum err resolver_init(struct resolver *r, const struct dns_options *o);
void resolver_fini(struct resolver *r); /* waiters are forgotten; a zeroed resolver is fine */
/* Questions on their way end with the servers they have; new ones do not join them. The cache is emptied. */
void resolver_configure(struct resolver *r, const struct dns_options *o, struct servers **servers);

/* Somebody who waits for an answer. The reference is theirs. fn only takes note: it calls nobody and asks nothing. */
struct resolver_waiter {
	struct list link;
	struct question *question; /* NULL: waits for nothing */
	void (*fn)(struct resolver_waiter *w, struct answer *answer);
};

/* fn runs later or from inside this call, once. ERR_NOMEM: it never runs. */
MUST_USE enum err resolver_ask(struct resolver *r, const struct name *name, uint16_t type,
                               struct resolver_waiter *w);
/* A question that nobody waits for any more is given up. */
void resolver_leave(struct resolver_waiter *w);

uint16_t resolver_id(struct resolver *r); /* unpredictable */

/* For question.c: a question is over and its answer is known. Tells all who wait, frees it, lets the next one go. */
void resolver_finish(struct question *q, struct answer *answer);

#endif
