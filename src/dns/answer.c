#include "answer.h"

#include <stdlib.h>

static size_t names_bytes(const struct answer *a)
{
	size_t bytes = a->canonical.len + a->problem.len;

	for (size_t i = 0; a->mx && i < a->count; i++)
		bytes += a->mx[i].host.len;
	return bytes;
}

static struct text copy_text(char **at, struct text t)
{
	struct text copy = { *at, t.len };

	if (t.len > 0)
		memcpy(*at, t.at, t.len);
	*at += t.len;
	return copy;
}

/* One block: the answer, its records, the octets of its names. */
enum err answer_new(const struct answer *from, struct answer **out)
{
	size_t record_bytes = from->mx ? sizeof(struct dns_mx) : from->addresses ? sizeof(struct ip) : 0;
	size_t bytes = sizeof(struct answer) + from->count * record_bytes + names_bytes(from);
	struct answer *a = malloc(bytes);

	if (!a)
		return ERR_NOMEM;
	*a = *from;
	a->references = 1;
	a->bytes = bytes;
	char *at = (char *)(a + 1) + from->count * record_bytes;

	if (from->mx) {
		struct dns_mx *mx = (struct dns_mx *)(void *)(a + 1);

		for (size_t i = 0; i < from->count; i++)
			mx[i] = (struct dns_mx){ copy_text(&at, from->mx[i].host), from->mx[i].preference };
		a->mx = mx;
	} else if (from->addresses) {
		a->addresses = memcpy(a + 1, from->addresses, from->count * record_bytes);
	}
	a->canonical = copy_text(&at, from->canonical);
	a->problem = copy_text(&at, from->problem);
	*out = a;
	return ERR_OK;
}

static const struct answer no_memory = {
	.kind = ANSWER_FAILED,
	.err = ERR_NOMEM,
	.canonical = LIT(""),
	.problem = LIT("out of memory for a DNS answer"),
};

struct answer *answer_no_memory(void)
{
	return (struct answer *)&no_memory;
}

struct answer *answer_ref(struct answer *a)
{
	if (a != &no_memory)
		a->references++;
	return a;
}

void answer_unref(struct answer **a)
{
	struct answer *old = TAKE(*a);

	if (old && old != &no_memory && --old->references == 0)
		free(old);
}
