/* deliver/search.h - where a target can be reached: one address after the other, found as they are needed.
 *
 *   hosts (configured, MX, literal) -> one after the other: their addresses -> one after the other
 *
 * Addresses that failed lately are put aside and come when the others are used up, so that a dead host costs
 * its connect time-out once in a while and not every time. What goes wrong on the way is kept as a failure. */
#ifndef DELIVER_SEARCH_H
#define DELIVER_SEARCH_H

#include <postrider/dns.h>
#include <postrider/io/io.h>

#include "failure.h"
#include "internal.h"
#include "target.h"

struct search_place {
	struct ip_port address;
	size_t host; /* place in search->hosts */
};

struct search {
	struct deliver *d;
	const struct config *config;            /* borrowed, as way */
	const struct config_way *way;
	const struct config_upstream *upstream; /* NULL: direct */
	struct text domain;
	/* Whether DANE and MTA-STS are asked for; set before the first search_next. */
	bool wants_dane, wants_sts;
	struct arena arena;
	void (*on_next)(void *owner, bool found);
	void *owner;

	struct target_hosts hosts;
	size_t next_host;
	size_t next_domain; /* of an upstream whose hosts are domains */
	struct search_place places[TARGET_TRIES_MAX]; /* of the host at hand, next first */
	size_t place_count, next_place;
	struct search_place aside[TARGET_TRIES_MAX]; /* failed lately */
	size_t aside_count, next_aside;
	unsigned per_address; /* as of the target */
	struct search_place full; /* the first that has as many connections as it may have */
	bool has_full;
	struct search_place at; /* the one found last */
	unsigned found_count;
	struct failure failure;
	struct dns_lookup *lookup;
	struct policy_lookup *policy;
	struct policy_domain *domain_policy; /* of MTA-STS; NULL: none */
	size_t proofs_end; /* hosts before it may have a proof */
	struct text canonical; /* the end of the domain's CNAME chain; empty: as itself, or not proved */
	struct io_later step;
	int64_t dns_since_at, dns_ms; /* -1: nothing was asked */
	bool started, implicit_mx;
};

/* Copies domain. ERR_NOMEM. A zeroed search may be given to search_fini. */
MUST_USE enum err search_init(struct search *s, struct deliver *d, const struct config *config,
                              const struct config_way *way, struct text domain);
void search_fini(struct search *s);

/* on_next comes once, in a later turn: s->at is the next address, or none is left and s->failure says why. */
void search_next(struct search *s, void (*on_next)(void *owner, bool found), void *owner);
/* Nothing more is found. */
void search_give_up(struct search *s);

/* A failure in our own words, in one sentence. */
void search_note(struct search *s, enum deliver_kind kind, enum reason reason, const char *enhanced,
                 const char *format, ...) PRINTF_LIKE(5, 6);

/* The host found last must not be used: that was no try, and its other addresses are passed over. */
void search_skip_host(struct search *s);

/* For the reports on TLS: of a host that nobody was connected to. */
void search_report(const struct search *s, struct text host, enum policy_failure failure, struct text problem);

static inline const struct target_host *search_host(const struct search *s)
{
	return &s->hosts.items[s->at.host];
}

#endif
