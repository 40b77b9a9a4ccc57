/* deliver/hosts.h - what is remembered of the hosts we spoke to, by address and port.
 *
 * Bounded: the one not used for longest is forgotten first. Each mark has an end of its own, and a
 * connection that came up takes back what a failure said. Nothing here is ever proof: a wrong memory costs
 * a detour or a round trip, no mail. */
#ifndef DELIVER_HOSTS_H
#define DELIVER_HOSTS_H

#include <postrider/base/ip.h>
#include <postrider/base/list.h>
#include <postrider/base/map.h>

enum host_mark {
	HOST_FAILING = BIT(0), /* could not be used lately: after others, doubling from HOST_FAILING_MIN_MS */
	HOST_NO_TLS = BIT(1),  /* its handshake failed */
	HOST_NO_EHLO = BIT(2), /* it drops the connection at EHLO */
	HOST_KEEPS = BIT(3),   /* took a command after a message on the same connection */
	HOST_CUTS = BIT(4), /* closed where the next envelope was joined to a message: KEEPS does not count */
	HOST_NO_CHUNKS = BIT(5), /* offers CHUNKING and does not know BDAT */
};
#define HOST_MARK_COUNT 6

#define HOST_FAILING_MIN_MS (30 * INT64_C(1000))
#define HOST_FAILING_MAX_MS (10 * 60 * INT64_C(1000))
#define HOST_NO_TLS_MS (60 * 60 * INT64_C(1000))
#define HOST_NO_EHLO_MS (60 * 60 * INT64_C(1000))
#define HOST_KEEPS_MS (24 * 60 * 60 * INT64_C(1000))
#define HOST_CUTS_MS (60 * 60 * INT64_C(1000))
#define HOST_NO_CHUNKS_MS (24 * 60 * 60 * INT64_C(1000))

struct hosts {
	struct map by_address;
	struct list by_use; /* newest first */
	size_t max;
};

void hosts_init(struct hosts *h, size_t max, uint64_t seed);
void hosts_fini(struct hosts *h);

/* Marks that hold at this time. */
unsigned hosts_marks(struct hosts *h, const struct ip_port *host, int64_t now_at);
/* Without memory nothing is remembered. */
void hosts_mark(struct hosts *h, const struct ip_port *host, enum host_mark mark, int64_t now_at);
/* A connection came up: FAILING is taken back, and its waits begin small again. */
void hosts_heal(struct hosts *h, const struct ip_port *host);

#endif
