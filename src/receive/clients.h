/* receive/clients.h - what is remembered of those who come: how many sessions they have now, and how much they did lately.
 *
 * A table has a greatest number of entries. Whoever comes when it is full takes the place of the one that was seen least
 * lately and has no session; so a stranger with many addresses makes nothing grow. */
#ifndef POSTRIDER_RECEIVE_CLIENTS_H
#define POSTRIDER_RECEIVE_CLIENTS_H

#include <postrider/base/ip.h>
#include <postrider/base/list.h>
#include <postrider/base/map.h>

#include "limits.h"

#define CLIENT_KEY_MAX 64
#define CLIENT_WINDOWS_MAX 16

struct client {
	struct map_item by_key;
	struct list link;  /* in clients->lately, the one seen last at the end */
	unsigned sessions; /* it stays while it has some */
	unsigned char key_len;
	unsigned char window_count;
	struct limit_window *windows;
	int64_t told_at; /* when a refusal of this client was last said in the log; 0: never */
	char key[];
};

struct clients {
	struct map map;
	struct list lately;
	size_t max;
};

/* fold: keys are names, letters compare without case. */
void clients_init(struct clients *t, size_t max, bool fold, uint64_t seed);
void clients_fini(struct clients *t);

/* Found or made; NULL: no memory, or all places are taken by those who have sessions. Keys longer than CLIENT_KEY_MAX
 * octets go by a hash of them. */
struct client *clients_get(struct clients *t, struct text key);
struct client *clients_find(const struct clients *t, struct text key);
/* Entries in which nothing counts any more go. Cheap: looks at a few of those that were seen least lately. */
void clients_sweep(struct clients *t, int64_t now_at);

/* A session begins: the client of an address. A /64 of IPv6 is one client: whoever has one has all of it. */
struct client *clients_enter(struct clients *t, struct ip ip);
void clients_leave(struct client *c); /* NULL is fine */

/* The window of one thing that is counted; made when needed, NULL without memory. */
struct limit_window *client_window(struct client *c, unsigned char tag, int64_t window_ms);

/* The key of a network: /64 of IPv6, and of IPv4 as many bits as said. */
#define CLIENT_NETWORK_KEY 17
struct text client_network_key(char room[CLIENT_NETWORK_KEY], struct ip ip, unsigned v4_bits);

#endif
