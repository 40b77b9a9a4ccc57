#include "servers.h"

#include <stdlib.h>

#include <postrider/base/auto.h>

#define FIRST_WAIT_MS 1000
#define MAX_DOUBLINGS 3

static bool is_trusted(enum dns_trust trust, struct ip ip)
{
	if (trust == DNS_TRUST_LOOPBACK)
		return ip_is_loopback(ip);
	return trust == DNS_TRUST_ALL;
}

enum err servers_new(const struct dns_options *o, struct servers **out)
{
	size_t count = MIN(o->server_count, (size_t)SERVERS_MAX);
	struct servers *s = calloc(1, sizeof(*s) + count * sizeof(s->list[0]));

	if (!s)
		return ERR_NOMEM;
	s->references = 1;
	s->timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : DNS_DEFAULT_TIMEOUT_MS;
	s->count = count;
	for (size_t i = 0; i < count; i++) {
		s->list[i].at = o->servers[i];
		s->list[i].trusted = is_trusted(o->trust, o->servers[i].ip);
	}
	*out = s;
	return ERR_OK;
}

struct servers *servers_ref(struct servers *s)
{
	s->references++;
	return s;
}

void servers_unref(struct servers **s)
{
	struct servers *old = TAKE(*s);

	if (old && --old->references == 0)
		free(old);
}

/* The first round takes half of the time at most, so that there is a second one; each round waits twice as long. */
int64_t servers_wait_ms(const struct servers *s, unsigned turn)
{
	int64_t first = s->timeout_ms / (2 * (int64_t)MAX(s->count, (size_t)1));
	unsigned round = s->count ? turn / (unsigned)s->count : 0;

	first = MIN(MAX(first, 1), FIRST_WAIT_MS);
	return first << MIN(round, MAX_DOUBLINGS);
}
