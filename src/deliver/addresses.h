/* deliver/addresses.h - how many connections lead to an address, whatever their targets, and who waits for one.
 *
 * A connection takes a place before it is opened. With as many there as its own limit says it stands in line; whoever leaves
 * lets in those whose limits allow it, in the order in which they came. Ports do not count: who limits his clients does so by
 * address. */
#ifndef DELIVER_ADDRESSES_H
#define DELIVER_ADDRESSES_H

#include <postrider/base/ip.h>
#include <postrider/base/list.h>
#include <postrider/base/map.h>

struct addresses {
	struct map by_ip;
};

struct address;

/* Of one connection. Zeroed: it has none. */
struct address_place {
	struct list link; /* of those who wait */
	struct address *address;
	struct text group; /* those of one do not give way to each other; borrowed */
	unsigned limit;    /* 0: none */
	bool waits;
	void (*on_turn)(void *owner); /* the place is taken; from inside the call of whoever leaves */
	void *owner;
};

void addresses_init(struct addresses *a, uint64_t seed);
void addresses_fini(struct addresses *a); /* no place may be taken */

bool addresses_are_full(const struct addresses *a, struct ip ip, unsigned limit);
enum address_answer {
	ADDRESS_TAKEN,
	ADDRESS_WAITS,  /* on_turn comes */
	ADDRESS_CROWDED /* so many wait that it had better come again */
};
#define ADDRESS_LINE_MAX 64
/* At ip, by its limit, group, on_turn and owner. Without memory it is taken and not counted. */
enum address_answer addresses_take(struct addresses *a, struct ip ip, struct address_place *p);
/* Taken, waiting or neither. */
void addresses_leave(struct addresses *a, struct address_place *p);
/* Somebody of another group waits where p is. */
bool addresses_others_wait(const struct address_place *p);
unsigned addresses_count(const struct address_place *p);

#endif
