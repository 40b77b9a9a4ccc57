/* deliver/internal.h - what the connections of one struct deliver share. */
#ifndef DELIVER_INTERNAL_H
#define DELIVER_INTERNAL_H

#include <postrider/base/random.h>
#include <postrider/deliver.h>
#include <postrider/io/io.h>
#include <postrider/observe/counters.h>

#include "addresses.h"
#include "hosts.h"
#include "logins.h"
#include "outbox.h"
#include "tls_choice.h"

struct deliver {
	struct deliver_options o;
	const struct config *config; /* referenced */
	struct hosts hosts;
	struct addresses addresses;
	struct logins logins;
	struct random random;
	int64_t v4_first_until_at; /* IPv6 leads nowhere, it seems */
	struct outbox outbox;
	struct tls_choices tls;
	struct ip *own_given; /* of the options */
	size_t own_given_count;
	struct ip *own; /* all addresses that lead back to us */
	struct config_ips own_ips;
	struct buf problem;
	struct list connections;
	struct counters *counters; /* NULL: nobody counts */
};

/* connection.c: closes when it is idle, or after the next job where it is not up yet. */
void connection_outdate(struct deliver_connection *c);
struct deliver_connection *connection_of_link(struct list *link);

#endif
