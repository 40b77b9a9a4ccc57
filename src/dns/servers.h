/* servers.h - the name servers as one configuration names them. A question keeps the set it was begun with. */
#ifndef POSTRIDER_SRC_DNS_SERVERS_H
#define POSTRIDER_SRC_DNS_SERVERS_H

#include <postrider/dns.h>

struct server {
	struct ip_port at;
	bool trusted;           /* its AD bit counts */
	int64_t plain_until_at; /* it did not understand EDNS: none is sent until then */
};

struct servers {
	unsigned references;
	int64_t timeout_ms;
	size_t preferred; /* the one that answered last */
	size_t count;
	struct server list[];
};

#define SERVERS_MAX 8
#define SERVER_PLAIN_MS (10 * 60 * 1000)

/* Of more than SERVERS_MAX the first are taken. */
MUST_USE enum err servers_new(const struct dns_options *o, struct servers **out);
struct servers *servers_ref(struct servers *s);
void servers_unref(struct servers **s);

/* How long the server whose turn it is (0, 1, ... over all servers, round after round) is waited for. */
int64_t servers_wait_ms(const struct servers *s, unsigned turn);

#endif
