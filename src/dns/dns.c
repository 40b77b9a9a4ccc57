#include <postrider/dns.h>

#include <assert.h>
#include <stdlib.h>

#include "lookup.h"

static enum err answer_here(struct dns_lookup *l, enum answer_kind kind, const struct ip *addresses,
                            size_t count)
{
	struct answer answer = {
		.kind = kind,
		.addresses = addresses,
		.count = count,
		.canonical = name_text(&l->name),
		.problem = kind == ANSWER_RECORDS ? TEXT_EMPTY : TEXT("no address of the family wanted"),
	};

	return lookup_answer_here(l, &answer);
}

static bool is_wanted(enum dns_families families, struct ip ip)
{
	return families & (ip.family == IP_V4 ? DNS_V4 : DNS_V6);
}

static enum err answer_addresses_here(struct dns_lookup *l, const struct ip *all, size_t count)
{
	AUTO(free_memory) struct ip *wanted = calloc(count + 1, sizeof(*wanted));
	size_t wanted_count = 0;

	if (!wanted)
		return ERR_NOMEM;
	for (size_t i = 0; i < count; i++)
		if (is_wanted(l->families, all[i]))
			wanted[wanted_count++] = all[i];
	return answer_here(l, wanted_count ? ANSWER_RECORDS : ANSWER_NO_DATA, wanted, wanted_count);
}

/* ---------------------------------------------------------------- MX hosts */

static bool is_static(const struct dns_lookup *l)
{
	const struct ip *addresses;
	size_t count;

	return statics_find(&l->dns->statics, &l->name, &addresses, &count);
}

/* RFC 5321 section 5.1: without any MX record the domain itself is the host; a name of which only the hosts file
 * knows, too. */
static void say_implicit(struct dns_lookup *l, struct text host, bool secure)
{
	struct dns_mx mx = { host, 0 };
	struct dns_mx_list list = {
		.hosts = &mx, .count = 1, .is_implicit = true, .secure = secure, .canonical = host
	};

	l->on_done.mx(l->owner, ERR_OK, &list, TEXT_EMPTY);
}

static void deliver_mx(struct dns_lookup *l)
{
	const struct answer *a = l->parts[0].answer;
	struct dns_mx_list list = {
		.hosts = a->mx, .count = a->count, .secure = a->secure, .canonical = a->canonical
	};

	switch (a->kind) {
	case ANSWER_RECORDS:
		l->on_done.mx(l->owner, ERR_OK, &list, TEXT_EMPTY);
		return;
	case ANSWER_NULL_MX:
		list.is_null = true;
		l->on_done.mx(l->owner, ERR_OK, &list, TEXT_EMPTY);
		return;
	case ANSWER_NO_DATA:
		say_implicit(l, a->canonical, a->secure);
		return;
	case ANSWER_NO_NAME:
		if (is_static(l)) {
			say_implicit(l, name_text(&l->name), false);
			return;
		}
		l->on_done.mx(l->owner, ERR_NOT_FOUND, NULL, a->problem);
		return;
	case ANSWER_UNUSABLE:
		l->on_done.mx(l->owner, ERR_NOT_FOUND, NULL, a->problem);
		return;
	case ANSWER_FAILED:
		l->on_done.mx(l->owner, a->err, NULL, a->problem);
		return;
	}
}

enum err dns_find_mx(struct dns *dns, struct text name, struct dns_lookup **slot, dns_mx_fn *on_done,
                     void *owner)
{
	static const uint16_t types[] = { WIRE_MX };
	struct dns_lookup *l = NULL;
	enum err err = lookup_new(dns, name, slot, deliver_mx, &l);

	if (err)
		return err;
	l->on_done.mx = on_done;
	l->owner = owner;
	if (l->is_literal ||
	    (is_static(l) && (dns->resolver.servers->count == 0 || name_is_localhost(&l->name))))
		err = answer_here(l, ANSWER_NO_DATA, NULL, 0);
	else
		err = lookup_ask(l, types, ARRAY_LEN(types));
	if (err)
		lookup_free(l);
	return err;
}

/* ---------------------------------------------------------------- addresses */

static const struct answer *failed_part(const struct dns_lookup *l)
{
	for (size_t i = 0; i < LOOKUP_PARTS; i++)
		if (l->parts[i].answer && l->parts[i].answer->kind == ANSWER_FAILED)
			return l->parts[i].answer;
	return NULL;
}

/* Nothing was found. Silence or refusal about one family is no absence. */
static void say_none(struct dns_lookup *l)
{
	const struct answer *failed = failed_part(l), *first = l->parts[0].answer,
			    *second = l->parts[1].answer;
	struct buf problem = BUF(1024);

	assert(first);
	if (failed) {
		l->on_done.addresses(l->owner, failed->err, NULL, failed->problem);
	} else if (!second || first->kind == ANSWER_NO_NAME) {
		l->on_done.addresses(l->owner, ERR_NOT_FOUND, NULL, first->problem);
	} else {
		buf_add(&problem, first->problem);
		buf_add_string(&problem, "; ");
		buf_add(&problem, second->problem);
		l->on_done.addresses(l->owner, ERR_NOT_FOUND, NULL, buf_text(&problem));
	}
	buf_fini(&problem);
}

static void say_both(struct dns_lookup *l, const struct answer *first, const struct answer *second)
{
	size_t count = first->count + second->count;
	AUTO(free_memory) struct ip *all = malloc(count * sizeof(*all));

	if (!all) {
		l->on_done.addresses(l->owner, ERR_NOMEM, NULL, TEXT("out of memory for addresses"));
		return;
	}
	memcpy(all, first->addresses, first->count * sizeof(*all));
	memcpy(all + first->count, second->addresses, second->count * sizeof(*all));
	struct dns_address_list list = { all, count, first->secure || second->secure,
		                         first->secure ? first->canonical : second->canonical };

	l->on_done.addresses(l->owner, ERR_OK, &list, TEXT_EMPTY);
}

static void deliver_addresses(struct dns_lookup *l)
{
	const struct answer *found[LOOKUP_PARTS];
	size_t count = 0;

	for (size_t i = 0; i < LOOKUP_PARTS; i++) {
		const struct answer *a = l->parts[i].answer;

		if (a && a->kind == ANSWER_RECORDS)
			found[count++] = a;
	}
	if (count == 0) {
		say_none(l);
	} else if (count == 2) {
		say_both(l, found[0], found[1]);
	} else {
		struct dns_address_list list = { found[0]->addresses, found[0]->count, found[0]->secure,
			                         found[0]->canonical };

		l->on_done.addresses(l->owner, ERR_OK, &list, TEXT_EMPTY);
	}
}

enum err dns_find_addresses(struct dns *dns, struct text name, enum dns_families families,
                            struct dns_lookup **slot, dns_address_fn *on_done, void *owner)
{
	struct dns_lookup *l = NULL;
	uint16_t types[LOOKUP_PARTS];
	size_t type_count = 0, count;
	const struct ip *addresses;

	assert(families & DNS_ANY);
	enum err err = lookup_new(dns, name, slot, deliver_addresses, &l);

	if (err)
		return err;
	l->on_done.addresses = on_done;
	l->owner = owner;
	l->families = families;
	if (families & DNS_V6)
		types[type_count++] = WIRE_AAAA;
	if (families & DNS_V4)
		types[type_count++] = WIRE_A;
	if (l->is_literal)
		err = answer_addresses_here(l, &l->literal, 1);
	else if (statics_find(&dns->statics, &l->name, &addresses, &count))
		err = answer_addresses_here(l, addresses, count);
	else
		err = lookup_ask(l, types, type_count);
	if (err)
		lookup_free(l);
	return err;
}

/* ---------------------------------------------------------------- the resolver's life */

enum err dns_new(const struct dns_options *options, struct dns **out)
{
	AUTO(dns_free) struct dns *dns = calloc(1, sizeof(*dns));

	if (!dns)
		return ERR_NOMEM;
	list_init(&dns->lookups);
	enum err err = resolver_init(&dns->resolver, options);

	if (!err)
		err = statics_init(&dns->statics, options->statics, options->static_count,
		                   io_random_u64(options->io));
	if (!err)
		*out = TAKE(dns);
	return err;
}

enum err dns_configure(struct dns *dns, const struct dns_options *options)
{
	struct servers *servers = NULL;
	struct statics statics = { 0 };
	enum err err = servers_new(options, &servers);

	if (!err)
		err = statics_init(&statics, options->statics, options->static_count,
		                   io_random_u64(options->io));
	if (err) {
		servers_unref(&servers);
		return err;
	}
	statics_fini(&dns->statics);
	dns->statics = statics;
	resolver_configure(&dns->resolver, options, &servers);
	return ERR_OK;
}

void dns_free(struct dns **pointer)
{
	struct dns *dns = TAKE(*pointer);

	if (!dns)
		return;
	while (!list_is_empty(&dns->lookups))
		lookup_free(LIST_ITEM(dns->lookups.next, struct dns_lookup, link));
	resolver_fini(&dns->resolver);
	statics_fini(&dns->statics);
	free(dns);
}

struct dns_counts dns_count(const struct dns *dns)
{
	struct dns_counts counts = dns->resolver.counts;

	counts.cache_entries = dns->resolver.cache.entries.count;
	counts.cache_bytes = dns->resolver.cache.bytes;
	counts.in_flight = dns->resolver.running_count;
	return counts;
}
