#include "target.h"

#include <postrider/smtp/path.h>

static enum err make_hosts(struct arena *arena, size_t count, struct target_hosts *out)
{
	out->count = 0;
	out->items = arena_alloc(arena, MAX(count, (size_t)1) * sizeof(*out->items));
	return out->items ? ERR_OK : ERR_NOMEM;
}

static enum err add_host(struct target_hosts *hosts, struct arena *arena, struct text name, uint16_t port)
{
	struct target_host *h = &hosts->items[hosts->count];
	enum err err;

	*h = (struct target_host){ .port = port };
	err = arena_text(arena, name, &h->name);

	if (err)
		return err;
	hosts->count++;
	return ERR_OK;
}

/* Which one comes first of those from `from` on: each as often as its weight says. */
static size_t draw(const unsigned *weights, size_t from, size_t count, struct random *random)
{
	uint64_t sum = 0, mark;

	for (size_t i = from; i < count; i++)
		sum += weights[i];
	mark = random_below(random, sum);
	for (size_t i = from; i < count; i++) {
		if (mark < weights[i])
			return i;
		mark -= weights[i];
	}
	return from;
}

static void shuffle_by_weight(struct target_host *hosts, unsigned *weights, size_t count, struct random *random)
{
	for (size_t at = 0; at + 1 < count; at++) {
		size_t chosen = draw(weights, at, count, random);
		struct target_host host = hosts[chosen];
		unsigned weight = weights[chosen];

		hosts[chosen] = hosts[at];
		weights[chosen] = weights[at];
		hosts[at] = host;
		weights[at] = weight;
	}
}

static enum err weigh(const struct config_upstream *upstream, struct random *random, struct arena *arena,
                      struct target_hosts *out)
{
	unsigned *weights = arena_alloc(arena, MAX(out->count, (size_t)1) * sizeof(*weights));

	if (!weights)
		return ERR_NOMEM;
	for (size_t i = 0; i < out->count; i++)
		weights[i] = MAX(upstream->hosts.items[i].weight, 1u);
	shuffle_by_weight(out->items, weights, out->count, random);
	return ERR_OK;
}

enum err target_of_upstream(const struct config_upstream *upstream, struct random *random, struct arena *arena,
                            struct target_hosts *out)
{
	enum err err = make_hosts(arena, upstream->hosts.count, out);

	for (size_t i = 0; !err && i < upstream->hosts.count; i++) {
		const struct config_endpoint *e = &upstream->hosts.items[i];
		struct target_host *h = &out->items[i];

		err = add_host(out, arena, e->host, e->port);
		h->ip = e->ip;
		if (e->is_unix)
			h->unix_path = h->name;
	}
	if (!err && upstream->balance == CONFIG_BALANCE_WEIGHTED)
		err = weigh(upstream, random, arena, out);
	return err;
}

enum err target_append(struct target_hosts *hosts, const struct target_hosts *more, struct arena *arena)
{
	struct target_hosts all;
	enum err err = make_hosts(arena, hosts->count + more->count, &all);

	if (err)
		return err;
	memcpy(all.items, hosts->items, hosts->count * sizeof(*all.items));
	memcpy(all.items + hosts->count, more->items, more->count * sizeof(*all.items));
	all.count = hosts->count + more->count;
	*hosts = all;
	return ERR_OK;
}

enum err target_of_literal(struct text domain, uint16_t port, struct arena *arena, struct target_hosts *out)
{
	struct ip ip;
	enum err err = smtp_literal_parse(domain, &ip);

	if (!err)
		err = make_hosts(arena, 1, out);
	if (!err)
		err = add_host(out, arena, domain, port);
	if (!err)
		out->items[0].ip = ip;
	return err;
}

static void shuffle(struct target_host *hosts, size_t count, struct random *random)
{
	for (size_t i = count; i > 1; i--) {
		size_t j = (size_t)random_below(random, i);
		struct target_host other = hosts[j];

		hosts[j] = hosts[i - 1];
		hosts[i - 1] = other;
	}
}

static void shuffle_equals(struct target_hosts *hosts, struct random *random)
{
	for (size_t from = 0, to; from < hosts->count; from = to) {
		for (to = from + 1; to < hosts->count; to++)
			if (hosts->items[to].preference != hosts->items[from].preference)
				break;
		shuffle(hosts->items + from, to - from, random);
	}
}

/* How many come before our own preference; *own: we are among them. */
static size_t count_before_own(const struct dns_mx_list *mx, struct text own_name, bool *own)
{
	size_t count = mx->count;

	for (size_t i = 0; i < mx->count; i++) {
		if (!text_eq_nocase(mx->hosts[i].host, own_name))
			continue;
		*own = true;
		count = i;
		while (count > 0 && mx->hosts[count - 1].preference == mx->hosts[i].preference)
			count--;
		break;
	}
	return count;
}

enum err target_of_mx(const struct dns_mx_list *mx, uint16_t port, struct text own_name,
                      struct random *random, struct arena *arena, struct target_hosts *out, bool *own)
{
	size_t count;
	enum err err;

	*own = false;
	count = MIN(count_before_own(mx, own_name, own), (size_t)TARGET_HOSTS_MAX);
	err = make_hosts(arena, count, out);
	for (size_t i = 0; !err && i < count; i++) {
		if (mx->hosts[i].host.len == 0)
			continue;
		err = add_host(out, arena, mx->hosts[i].host, port);
		if (!err)
			out->items[out->count - 1].preference = mx->hosts[i].preference;
	}
	if (!err)
		shuffle_equals(out, random);
	return err;
}

/* ---------------------------------------------------------------- addresses */

static unsigned usable_families(enum config_ip_choice ip, unsigned families)
{
	if (ip == CONFIG_IP_V4)
		return families & DNS_V4;
	return ip == CONFIG_IP_V6 ? families & DNS_V6 : families;
}

static size_t next_of(const struct ip *from, size_t count, size_t at, enum ip_family family)
{
	while (at < count && from[at].family != family)
		at++;
	return at;
}

size_t target_order_addresses(struct ip *addresses, size_t count, enum config_ip_choice ip, unsigned families)
{
	enum ip_family first = ip == CONFIG_IP_PREFER_V4 ? IP_V4 : IP_V6,
		       second = first == IP_V4 ? IP_V6 : IP_V4;
	bool in_turn = ip == CONFIG_IP_ANY;
	struct ip sorted[TARGET_TRIES_MAX];
	size_t a = 0, b = 0, kept = 0;
	bool use_first, use_second;

	families = usable_families(ip, families);
	use_first = families & (first == IP_V4 ? DNS_V4 : DNS_V6);
	use_second = families & (second == IP_V4 ? DNS_V4 : DNS_V6);
	while (kept < TARGET_TRIES_MAX) {
		size_t before = kept;

		a = use_first ? next_of(addresses, count, a, first) : count;
		if (a < count)
			sorted[kept++] = addresses[a++];
		if (a < count && !in_turn && next_of(addresses, count, a, first) < count)
			continue;
		b = use_second ? next_of(addresses, count, b, second) : count;
		if (b < count && kept < TARGET_TRIES_MAX)
			sorted[kept++] = addresses[b++];
		if (kept == before)
			break;
	}
	memcpy(addresses, sorted, kept * sizeof(*sorted));
	return kept;
}
