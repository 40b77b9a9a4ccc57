/* policy/internal.h - one struct policy: what its parts share. */
#ifndef POLICY_INTERNAL_H
#define POLICY_INTERNAL_H

#include <postrider/base/list.h>
#include <postrider/policy.h>

#include "lookup.h"
#include "report.h"
#include "sts.h"

struct policy {
	struct io *io;
	struct dns *dns;
	struct sts *sts;
	struct reports *reports;
	struct list hosts; /* lookups of policy_find_host */
};

/* dane.c: all of policy->hosts, without a word. */
void dane_cancel_all(struct policy *p);

/* Immutable and counted; one piece of memory. */
struct policy_host {
	unsigned references;
	struct text base;          /* TLSA base domain */
	size_t count;              /* records as the zone has them, TLS_TLSA_MAX at most */
	size_t usable_count;       /* the first so many of them */
	struct tls_tlsa records[]; /* the octets lie behind them */
};

#endif
