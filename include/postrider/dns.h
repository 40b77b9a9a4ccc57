/* postrider/dns.h - names to MX hosts and addresses, without blocking. One struct dns serves the process.
 * Names are absolute always: no search list, a final dot is accepted. RFC 1034, 1035, 2181, 2308, 6891; RFC 5321 section
 * 5.1 for MX; RFC 7505 for the null MX. */
#ifndef POSTRIDER_DNS_H
#define POSTRIDER_DNS_H

#include <postrider/base/ip.h>
#include <postrider/io/io.h>

struct dns;
struct dns_lookup; /* one question of ours in flight */

struct dns_static {
	struct text name;
	const struct ip *addresses;
	size_t address_count;
};

#define DNS_DEFAULT_TIMEOUT_MS 5000

/* Whose AD bit counts as proof by DNSSEC: a bit from afar could be anybody's. */
enum dns_trust { DNS_TRUST_LOOPBACK, DNS_TRUST_ALL, DNS_TRUST_NONE };

struct dns_options {
	struct io *io;
	const struct ip_port *servers; /* asked in turn; the one that answers is asked first next time */
	size_t server_count;
	int64_t timeout_ms; /* for one question in all, over all tries and servers; 0: 5 s */
	enum dns_trust trust;
	const struct dns_static *statics; /* before anything else; also hosts file entries */
	size_t static_count;
	size_t cache_max_bytes; /* 0: 8 MiB */
	size_t max_in_flight;   /* questions at a time, the others wait in order; 0: 256 */
};

/* Everything in options is copied. ERR_SYNTAX: a static name that is no domain name. */
MUST_USE enum err dns_new(const struct dns_options *options, struct dns **out);
/* New servers and statics (resolv.conf changed, reload); the cache is emptied, lookups in flight go on. */
MUST_USE enum err dns_configure(struct dns *dns, const struct dns_options *options);
void dns_free(struct dns **dns); /* lookups in flight: their slots are set to NULL, no callback */

struct dns_mx {
	struct text host; /* lower case, without final dot */
	uint16_t preference;
};

struct dns_mx_list {
	const struct dns_mx *hosts; /* by preference; the order among equals is as they came */
	size_t count;
	bool is_null;          /* RFC 7505: this domain takes no mail; count is 0 */
	bool is_implicit;      /* no MX record: the domain itself is the host (RFC 5321 section 5.1) */
	bool secure;           /* the AD bit of a resolver that may be trusted */
	struct text canonical; /* the name at the end of the CNAME chain */
};

struct dns_address_list {
	const struct ip *addresses; /* in the order of the answer, IPv6 and IPv4 as asked for */
	size_t count;
	/* Those of one family at least, with every alias on the way. A failure or a made-up answer for the other one (DNS64) takes
	 * nothing from it: whoever can cause one must not be able to make a host of a signed zone look like any other. */
	bool secure;
	struct text canonical; /* the name at the end of the CNAME chain: of the secure one, when one is */
};

/* A TLSA record (RFC 6698 section 2.1), as it is in the zone. */
struct dns_tlsa {
	uint8_t usage, selector, matching;
	struct text data;
};

struct dns_tlsa_list {
	const struct dns_tlsa *records;
	size_t count;
	bool secure;
	struct text canonical;
};

struct dns_text_list {
	const struct text *texts; /* a record's strings, one behind the other: any octets (RFC 1035 section 3.3.14) */
	size_t count;
	bool secure;
};

/* Why a lookup failed, for people and events: "SERVFAIL from 127.0.0.53:53 for MX of example.com". Borrowed. */
/* hosts/addresses last until the callback returns.
 * ERR_NOT_FOUND: no such domain (NXDOMAIN), or no address at all: asking again is no use.
 * ERR_TIMEOUT: nobody answered; ERR_TEMPORARY: SERVFAIL and the like: asking later may help. */
typedef void dns_mx_fn(void *owner, enum err err, const struct dns_mx_list *mx, struct text problem);
typedef void dns_address_fn(void *owner, enum err err, const struct dns_address_list *found,
                            struct text problem);

/* name is copied. *slot holds the lookup until on_done runs or dns_cancel(slot) is called; both set it to NULL first.
 * on_done runs once, in a later turn of the loop, never from inside this call, also for cached answers. An error here
 * means nothing was started and on_done never runs. ERR_SYNTAX: not a domain name. */
MUST_USE enum err dns_find_mx(struct dns *dns, struct text name, struct dns_lookup **slot, dns_mx_fn *on_done,
                              void *owner);

enum dns_families { DNS_V4 = 1, DNS_V6 = 2, DNS_ANY = 3 };
MUST_USE enum err dns_find_addresses(struct dns *dns, struct text name, enum dns_families families,
                                     struct dns_lookup **slot, dns_address_fn *on_done, void *owner);

/* As above. ERR_NOT_FOUND: there is no such record, or no such name. ERR_TEMPORARY: also what DNSSEC proves to be false, which
 * a validating resolver calls SERVFAIL. At most 128 records of one answer are kept. */
typedef void dns_tlsa_fn(void *owner, enum err err, const struct dns_tlsa_list *found, struct text problem);
typedef void dns_text_fn(void *owner, enum err err, const struct dns_text_list *found, struct text problem);
MUST_USE enum err dns_find_tlsa(struct dns *dns, struct text name, struct dns_lookup **slot, dns_tlsa_fn *on_done,
                                void *owner);
MUST_USE enum err dns_find_txt(struct dns *dns, struct text name, struct dns_lookup **slot, dns_text_fn *on_done,
                               void *owner);
/* What a name is an alias of, one step (CNAME): one text. What it leads to may be insecure where the alias is not. */
MUST_USE enum err dns_find_alias(struct dns *dns, struct text name, struct dns_lookup **slot, dns_text_fn *on_done,
                                 void *owner);
void dns_cancel(struct dns_lookup **slot); /* *slot may be NULL */

struct dns_counts {
	uint64_t queries, answers, timeouts, servfails, cache_hits, shared; /* since the start */
	size_t cache_entries, cache_bytes, in_flight;
};
struct dns_counts dns_count(const struct dns *dns);

/* Reads what the system says. resolv.conf: its `nameserver` lines, the first max of them, with port 53; ERR_NOT_FOUND:
 * there is none, *count is 0. A hosts file: each is called for every name of every line; what it hears is borrowed.
 * Lines that make no sense, names that are no domain names, and addresses with a zone (fe80::1%eth0) are passed over. */
MUST_USE enum err dns_parse_resolv_conf(struct text t, struct ip_port *out, size_t max, size_t *count);
typedef void dns_hosts_fn(void *owner, struct text name, struct ip ip);
void dns_parse_hosts(struct text t, dns_hosts_fn *each, void *owner);

#endif
