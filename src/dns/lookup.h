/* lookup.h - what a caller asked, from the question to the callback: for dns.c (MX hosts, addresses) and records.c (the rest). */
#ifndef POSTRIDER_SRC_DNS_LOOKUP_H
#define POSTRIDER_SRC_DNS_LOOKUP_H

#include <postrider/dns.h>

#include "resolver.h"
#include "statics.h"
#include "wire.h"

struct dns {
	struct resolver resolver;
	struct statics statics;
	struct list lookups;
};

#define LOOKUP_PARTS 2

struct lookup_part {
	struct resolver_waiter waiter;
	struct dns_lookup *lookup;
	struct answer *answer; /* NULL: not asked, or on its way */
};

/* Answered by one question, or by two (IPv6 and IPv4). */
struct dns_lookup {
	struct list link; /* of dns->lookups */
	struct dns *dns;
	struct dns_lookup **slot; /* the caller's */
	union {
		dns_mx_fn *mx;
		dns_address_fn *addresses;
		dns_tlsa_fn *tlsa;
		dns_text_fn *texts;
	} on_done;
	void *owner;
	void (*deliver)(struct dns_lookup *l); /* calls on_done */
	enum dns_families families;
	struct io_later later; /* delivers */
	unsigned waiting;      /* parts on their way */
	struct lookup_part parts[LOOKUP_PARTS];
	struct name name; /* or the literal as it was given */
	struct ip literal;
	bool is_literal;
};

MUST_USE enum err lookup_new(struct dns *dns, struct text name, struct dns_lookup **slot,
                             void (*deliver)(struct dns_lookup *l), struct dns_lookup **out);
MUST_USE enum err lookup_ask(struct dns_lookup *l, const uint16_t *types, size_t count);
/* What is known without asking arrives in the same way, a turn later. */
MUST_USE enum err lookup_answer_here(struct dns_lookup *l, const struct answer *answer);
void lookup_free(struct dns_lookup *l);

#endif
