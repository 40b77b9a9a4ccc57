/* support/dns_world.h - a world with virtual time and scripted name servers, for tests of the resolver. What the
 * servers do is a list of rules; what they were asked is kept as text with times, to be compared. */
#ifndef POSTRIDER_TEST_SUPPORT_DNS_WORLD_H
#define POSTRIDER_TEST_SUPPORT_DNS_WORLD_H

#include <postrider/base/random.h>
#include <postrider/dns.h>
#include <postrider/dns/message.h>
#include <postrider/io/world.h>

enum dns_does {
	DNS_ANSWERS,
	DNS_IS_SILENT,
	DNS_WRONG_ID, /* these five: a good answer, spoiled */
	DNS_WRONG_NAME,
	DNS_WRONG_TYPE,
	DNS_NO_RESPONSE_BIT,
	DNS_WRONG_OPCODE,
	DNS_UPPER_CASE, /* the question comes back in capitals: good */
	DNS_TWO_QUESTIONS,
	DNS_GARBAGE,      /* the right id, then junk */
	DNS_SHORT,        /* five octets */
	DNS_CUT,          /* the answer without its last octets */
	DNS_HEADER_ONLY,  /* the answer's header, with no question */
	DNS_PORT_CLOSED,  /* UDP: nobody listens. TCP: refused */
	DNS_TCP_CLOSES,   /* takes the question and closes */
	DNS_TCP_HALF,     /* half of the answer, then silence */
	DNS_TCP_BY_OCTETS /* the answer one octet at a time */
};

enum dns_wire_way { DNS_ANY_WAY, DNS_UDP, DNS_TCP };

/* The first rule that fits answers. None: silence. */
struct dns_rule {
	int server;              /* 0 .. */
	const char *type, *name; /* NULL: any */
	enum dns_wire_way way;
	unsigned times; /* how often; 0: always */
	enum dns_does does;
	int64_t delay_ms;
	unsigned rcode;
	const char *records; /* lines "name ttl type data"; the authority section behind a line "--" */
	bool authentic, authoritative, truncated, no_edns;
	bool only_plain; /* fits a question without EDNS only */
	bool limit;      /* answers no longer than the question's UDP size */
};

#define DNS_WORLD_SERVERS 4
#define DNS_WORLD_RULES 32

struct dns_world {
	struct io io;
	int64_t now_at, wake_at;
	struct random random;
	struct list events; /* by time */
	struct list datagrams;
	uint64_t last_socket;
	size_t open_sockets, open_streams, most_sockets, max_sockets; /* max 0: no limit */
	bool sending_fails;
	struct ip_port servers[DNS_WORLD_SERVERS];
	const struct dns_rule *rules;
	size_t rule_count;
	unsigned used[DNS_WORLD_RULES];
	struct buf log;   /* "1000 #0 udp MX example.com\n" */
	uint16_t ids[64]; /* of the questions, in order */
	unsigned ids_count;
	struct dns *dns;
};

/* One lookup and how it ended, as text: "10 mx1.example.com, 20 mx2.example.com", "implicit example.com", "null",
 * "192.0.2.1 2001:db8::1", "time-out: no answer from ...". With " (secure)" and " [at 1000 ms]" where it is so. */
struct dns_outcome {
	struct dns_world *world;
	struct dns_lookup *slot;
	unsigned calls;
	enum err err;
	int64_t done_at;
	char text[4096];
	void (*then)(struct dns_outcome *o); /* from inside the callback */
	void *with;
};

/* Servers are 192.0.2.1, .2, ... port 53; from is options for the resolver, NULL: one server and the defaults. */
void dns_world_init(struct dns_world *w, const struct dns_rule *rules, size_t rule_count,
                    const struct dns_options *from);
void dns_world_init_without(struct dns_world *w, const struct dns_rule *rules,
                            size_t rule_count); /* the caller makes w->dns */
void dns_world_fini(struct dns_world *w);       /* asserts that nothing is left open */
void dns_world_rules(struct dns_world *w, const struct dns_rule *rules, size_t rule_count);
struct dns_options dns_world_options(struct dns_world *w, size_t server_count);

void dns_world_find_mx(struct dns_world *w, const char *name, struct dns_outcome *o);
void dns_world_find(struct dns_world *w, const char *name, enum dns_families families, struct dns_outcome *o);

void dns_world_run(struct dns_world *w); /* until nothing is due any more */
void dns_world_run_until(struct dns_world *w, int64_t at_ms);
/* What arrives next arrives so many times more. */
void dns_world_repeat_event(struct dns_world *w, unsigned times);
const char *dns_world_log(struct dns_world *w); /* since the last call */

#endif
