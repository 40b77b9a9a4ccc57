#include "lookup.h"

#include <stdlib.h>

void lookup_free(struct dns_lookup *l)
{
	for (size_t i = 0; i < LOOKUP_PARTS; i++) {
		resolver_leave(&l->parts[i].waiter);
		answer_unref(&l->parts[i].answer);
	}
	io_later_cancel(l->dns->resolver.io, &l->later);
	list_remove(&l->link);
	*l->slot = NULL;
	free(l);
}

void dns_cancel(struct dns_lookup **slot)
{
	if (*slot)
		lookup_free(*slot);
}

/* The callback may do anything: cancel others, begin new lookups, free the resolver. So the lookup leaves all lists
 * and its slot before, and nothing but its own memory is touched after. */
static void deliver(void *owner)
{
	struct dns_lookup *l = owner;

	list_remove(&l->link);
	*l->slot = NULL;
	l->deliver(l);
	for (size_t i = 0; i < LOOKUP_PARTS; i++)
		answer_unref(&l->parts[i].answer);
	free(l);
}

static void on_answer(struct resolver_waiter *w, struct answer *answer)
{
	struct lookup_part *part = CONTAINER_OF(w, struct lookup_part, waiter);
	struct dns_lookup *l = part->lookup;

	part->answer = answer;
	if (--l->waiting == 0)
		io_later_run(l->dns->resolver.io, &l->later, deliver, l);
}

/* [192.0.2.1] and [IPv6:2001:db8::1] (RFC 5321 section 4.1.3), and the same without brackets. */
static bool is_literal(struct text t, struct ip *out)
{
	if (t.len >= 2 && t.at[0] == '[' && t.at[t.len - 1] == ']') {
		t = text_of(t.at + 1, t.len - 2);
		if (text_starts_nocase(t, TEXT("IPv6:")))
			t = text_skip(t, 5);
	}
	return ip_parse(t, out) == ERR_OK;
}

static enum err take_name(struct dns_lookup *l, struct text t)
{
	l->is_literal = is_literal(t, &l->literal);
	if (!l->is_literal)
		return name_from_text(t, &l->name);
	for (size_t i = 0; i < t.len; i++)
		l->name.at[l->name.len++] = ascii_lower(t.at[i]);
	return ERR_OK;
}

enum err lookup_new(struct dns *dns, struct text name, struct dns_lookup **slot,
                    void (*deliver_it)(struct dns_lookup *l), struct dns_lookup **out)
{
	struct dns_lookup *l = calloc(1, sizeof(*l));

	if (!l)
		return ERR_NOMEM;
	enum err err = take_name(l, name);

	if (err) {
		free(l);
		return err;
	}
	l->dns = dns;
	l->slot = slot;
	l->deliver = deliver_it;
	for (size_t i = 0; i < LOOKUP_PARTS; i++) {
		l->parts[i].lookup = l;
		l->parts[i].waiter.fn = on_answer;
		list_init(&l->parts[i].waiter.link);
	}
	list_append(&dns->lookups, &l->link);
	*slot = l;
	*out = l;
	return ERR_OK;
}

/* An answer may come from inside resolver_ask: the lookup counts what it waits for before. */
enum err lookup_ask(struct dns_lookup *l, const uint16_t *types, size_t count)
{
	l->waiting = (unsigned)count;
	for (size_t i = 0; i < count; i++) {
		enum err err = resolver_ask(&l->dns->resolver, &l->name, types[i], &l->parts[i].waiter);

		if (err)
			return err;
	}
	return ERR_OK;
}

enum err lookup_answer_here(struct dns_lookup *l, const struct answer *answer)
{
	enum err err = answer_new(answer, &l->parts[0].answer);

	if (!err)
		io_later_run(l->dns->resolver.io, &l->later, deliver, l);
	return err;
}
