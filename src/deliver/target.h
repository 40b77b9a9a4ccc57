/* deliver/target.h - from a target to hosts in the order in which they are tried, and from a host's
 * addresses to theirs. RFC 5321 section 5.1, RFC 7505. Functions of their arguments. */
#ifndef DELIVER_TARGET_H
#define DELIVER_TARGET_H

#include <postrider/base/arena.h>
#include <postrider/base/random.h>
#include <postrider/deliver.h>

struct target_host {
	struct text name; /* as in the configuration or in the MX; "[192.0.2.1]" for an address literal */
	struct ip ip;     /* IP_NONE: to be looked up, unless there is a */
	struct text unix_path; /* socket instead of an address; empty: none */
	uint16_t port;
	unsigned preference; /* of the MX; 0 */
	bool is_named;       /* a person named it, or DNSSEC proves that it is the domain's */
	struct policy_host *proof; /* of DANE, once its addresses are known; the search's */
};

struct target_hosts {
	struct target_host *items;
	size_t count;
};

/* More than these of one domain are not looked at; the order is by preference, so the best remain. */
#define TARGET_HOSTS_MAX 20
/* The addresses tried in one attempt. */
#define TARGET_TRIES_MAX 8

/* In order, or by chance as their weights say. Everything is copied into the arena. ERR_NOMEM */
MUST_USE enum err target_of_upstream(const struct config_upstream *upstream, struct random *random,
                                     struct arena *arena, struct target_hosts *out);
/* One more host behind those that are there: for the MX hosts of several domains, each with a port. ERR_NOMEM */
MUST_USE enum err target_append(struct target_hosts *hosts, const struct target_hosts *more, struct arena *arena);
/* "[192.0.2.1]", "[IPv6:2001:db8::1]". ERR_SYNTAX */
MUST_USE enum err target_of_literal(struct text domain, uint16_t port, struct arena *arena,
                                    struct target_hosts *out);
/* By preference, those of equal preference shuffled. Our own name and all that is not preferred to it are
 * cut off, as mail for them would come back to us; *own says that this happened. Hosts without a name ("."
 * beside others) are left out. Nothing may remain: count 0. */
MUST_USE enum err target_of_mx(const struct dns_mx_list *mx, uint16_t port, struct text own_name,
                               struct random *random, struct arena *arena, struct target_hosts *out,
                               bool *own);

/* Sorts addresses in place as ip says and returns how many remain: of one family only, one family first,
 * or the two in turn, IPv6 first (RFC 8305 section 4). The order within a family stays. families: bits of
 * enum dns_families that we can use. */
size_t target_order_addresses(struct ip *addresses, size_t count, enum config_ip_choice ip,
                              unsigned families);

#endif
