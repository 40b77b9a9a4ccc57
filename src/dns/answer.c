#include "answer.h"

#include <stdlib.h>

static size_t octets_of(const struct answer *a)
{
	size_t bytes = a->canonical.len + a->problem.len;

	for (size_t i = 0; i < a->count; i++)
		bytes += a->mx      ? a->mx[i].host.len
		         : a->tlsa  ? a->tlsa[i].data.len
		         : a->texts ? a->texts[i].len
		                    : 0;
	return bytes;
}

static size_t record_bytes(const struct answer *a)
{
	return a->mx          ? sizeof(*a->mx)
	       : a->tlsa      ? sizeof(*a->tlsa)
	       : a->texts     ? sizeof(*a->texts)
	       : a->addresses ? sizeof(*a->addresses)
	                      : 0;
}

static struct text copy_text(char **at, struct text t)
{
	struct text copy = { *at, t.len };

	if (t.len > 0)
		memcpy(*at, t.at, t.len);
	*at += t.len;
	return copy;
}

static void copy_records(struct answer *a, const struct answer *from, char **at)
{
	void *room = a + 1;

	if (from->mx) {
		struct dns_mx *mx = room;

		for (size_t i = 0; i < from->count; i++)
			mx[i] = (struct dns_mx){ copy_text(at, from->mx[i].host), from->mx[i].preference };
		a->mx = mx;
	} else if (from->tlsa) {
		struct dns_tlsa *tlsa = room;

		for (size_t i = 0; i < from->count; i++) {
			tlsa[i] = from->tlsa[i];
			tlsa[i].data = copy_text(at, from->tlsa[i].data);
		}
		a->tlsa = tlsa;
	} else if (from->texts) {
		struct text *texts = room;

		for (size_t i = 0; i < from->count; i++)
			texts[i] = copy_text(at, from->texts[i]);
		a->texts = texts;
	} else if (from->addresses) {
		a->addresses = memcpy(room, from->addresses, from->count * sizeof(*from->addresses));
	}
}

/* One block: the answer, its records, the octets of its names. */
enum err answer_new(const struct answer *from, struct answer **out)
{
	size_t records = from->count * record_bytes(from);
	size_t bytes = sizeof(struct answer) + records + octets_of(from);
	struct answer *a = malloc(bytes);

	if (!a)
		return ERR_NOMEM;
	*a = *from;
	a->references = 1;
	a->bytes = bytes;
	char *at = (char *)(a + 1) + records;

	copy_records(a, from, &at);
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
