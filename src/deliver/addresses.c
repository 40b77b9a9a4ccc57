#include "addresses.h"

#include <stdlib.h>
#include <string.h>

struct address {
	struct map_item by_ip;
	unsigned char key[17]; /* family and octets */
	unsigned count;
	struct list line;
	unsigned line_length;
};

static struct text make_key(struct ip ip, unsigned char key[17])
{
	memset(key, 0, 17);
	key[0] = (unsigned char)ip.family;
	memcpy(key + 1, ip.bytes, ip.family == IP_V4 ? 4 : 16);
	return text_of((const char *)key, 17);
}

void addresses_init(struct addresses *a, uint64_t seed)
{
	map_init(&a->by_ip, false, seed);
}

void addresses_fini(struct addresses *a)
{
	map_fini(&a->by_ip);
}

static struct address *find(const struct addresses *a, struct ip ip)
{
	unsigned char key[17];
	struct map_item *item = map_find(&a->by_ip, make_key(ip, key));

	return item ? CONTAINER_OF(item, struct address, by_ip) : NULL;
}

static struct address *get(struct addresses *a, struct ip ip)
{
	struct address *there = find(a, ip);

	if (there)
		return there;
	there = calloc(1, sizeof(*there));
	if (!there)
		return NULL;
	list_init(&there->line);
	if (map_add(&a->by_ip, &there->by_ip, make_key(ip, there->key))) {
		free(there);
		return NULL;
	}
	return there;
}

bool addresses_are_full(const struct addresses *a, struct ip ip, unsigned limit)
{
	const struct address *there = limit ? find(a, ip) : NULL;

	return there && there->count >= limit;
}

enum address_answer addresses_take(struct addresses *a, struct ip ip, struct address_place *p)
{
	struct address *there = get(a, ip);

	if (!there)
		return ADDRESS_TAKEN;
	p->waits = p->limit && there->count >= p->limit;
	if (p->waits && there->line_length >= ADDRESS_LINE_MAX) {
		p->waits = false;
		return ADDRESS_CROWDED;
	}
	p->address = there;
	if (!p->waits) {
		there->count++;
		return ADDRESS_TAKEN;
	}
	list_append(&there->line, &p->link);
	there->line_length++;
	return ADDRESS_WAITS;
}

static void leave_line(struct address_place *p)
{
	list_remove(&p->link);
	p->address->line_length--;
	p->waits = false;
}

static void let_in(struct address *there)
{
	for (LIST_EACH_SAFE(it, &there->line)) {
		struct address_place *p = LIST_ITEM(it, struct address_place, link);

		if (there->count >= p->limit)
			continue;
		leave_line(p);
		there->count++;
		p->on_turn(p->owner);
	}
}

void addresses_leave(struct addresses *a, struct address_place *p)
{
	struct address *there = p->address;

	if (!there)
		return;
	if (p->waits)
		leave_line(p);
	else
		there->count--;
	p->address = NULL;
	let_in(there);
	if (there->count > 0 || !list_is_empty(&there->line))
		return;
	map_remove(&a->by_ip, &there->by_ip);
	free(there);
}

bool addresses_others_wait(const struct address_place *p)
{
	if (!p->address || p->waits)
		return false;
	for (LIST_EACH(it, &p->address->line))
		if (!text_eq(LIST_ITEM(it, struct address_place, link)->group, p->group))
			return true;
	return false;
}

unsigned addresses_count(const struct address_place *p)
{
	return p->address ? p->address->count : 0;
}
