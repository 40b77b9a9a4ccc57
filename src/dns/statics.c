#include "statics.h"

#include <stdlib.h>

#include <postrider/base/auto.h>

struct entry {
	struct map_item by_name;
	struct name name;
	struct ip *addresses;
	size_t count;
};

static struct entry *find(const struct statics *s, const struct name *name)
{
	struct map_item *item = map_find(&s->names, name_text(name));

	return item ? CONTAINER_OF(item, struct entry, by_name) : NULL;
}

static struct entry *find_or_add(struct statics *s, const struct name *name)
{
	struct entry *e = find(s, name);

	if (e)
		return e;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->name = *name;
	if (map_add(&s->names, &e->by_name, name_text(&e->name))) {
		free(e);
		return NULL;
	}
	return e;
}

static bool has_address(const struct entry *e, struct ip ip)
{
	for (size_t i = 0; i < e->count; i++)
		if (ip_eq(e->addresses[i], ip))
			return true;
	return false;
}

static enum err add(struct statics *s, const struct dns_static *from)
{
	struct name name;

	if (name_from_text(from->name, &name))
		return ERR_SYNTAX;
	struct entry *e = find_or_add(s, &name);

	if (!e)
		return ERR_NOMEM;
	if (from->address_count == 0)
		return ERR_OK;
	struct ip *addresses = realloc(e->addresses, (e->count + from->address_count) * sizeof(*addresses));

	if (!addresses)
		return ERR_NOMEM;
	e->addresses = addresses;
	for (size_t i = 0; i < from->address_count; i++)
		if (!has_address(e, from->addresses[i]))
			e->addresses[e->count++] = from->addresses[i];
	return ERR_OK;
}

enum err statics_init(struct statics *s, const struct dns_static *list, size_t count, uint64_t seed)
{
	struct statics made = { 0 };
	enum err err = ERR_OK;

	map_init(&made.names, false, seed);
	for (size_t i = 0; i < count && !err; i++)
		err = add(&made, &list[i]);
	if (err)
		statics_fini(&made);
	else
		*s = made;
	return err;
}

void statics_fini(struct statics *s)
{
	for (struct map_item *item = map_next(&s->names, NULL), *next; item; item = next) {
		struct entry *e = CONTAINER_OF(item, struct entry, by_name);

		next = map_next(&s->names, item);
		free(e->addresses);
		free(e);
	}
	map_fini(&s->names);
}

bool statics_find(const struct statics *s, const struct name *name, const struct ip **addresses,
                  size_t *count)
{
	static const struct ip loopback[] = { { IP_V6, { [15] = 1 } }, { IP_V4, { 127, 0, 0, 1 } } };
	const struct entry *e = find(s, name);

	if (e) {
		*addresses = e->addresses;
		*count = e->count;
		return true;
	}
	if (!name_is_localhost(name))
		return false;
	*addresses = loopback;
	*count = ARRAY_LEN(loopback);
	return true;
}
