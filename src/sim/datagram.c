/* Datagrams towards functions that answer them. */
#include "internal.h"

#include <stdlib.h>

#define DATAGRAM_MAX (64u << 10)

struct answerer {
	struct list link;
	struct ip_port at;
	sim_datagram_fn *answer;
	void *owner;
};

struct sim_datagram {
	struct list link;
	struct io_datagram base;
	struct list answers; /* on their way */
};

struct answer {
	struct list link;
	struct sim_datagram *datagram;
	struct sim_event event;
	enum err err;
	struct buf octets;
};

enum err sim_answer_datagrams(struct sim *s, struct ip_port at, sim_datagram_fn *answer, void *owner)
{
	struct answerer *a = calloc(1, sizeof(*a));

	if (!a)
		return ERR_NOMEM;
	*a = (struct answerer){ .at = at, .answer = answer, .owner = owner };
	list_prepend(&s->answerers, &a->link);
	return ERR_OK;
}

void sim_forget_answerer(struct sim *s, const void *owner)
{
	for (LIST_EACH_SAFE(it, &s->answerers)) {
		struct answerer *a = LIST_ITEM(it, struct answerer, link);

		if (a->owner != owner)
			continue;
		list_remove(&a->link);
		free(a);
	}
}

static struct answerer *find_answerer(struct sim *s, struct ip_port at)
{
	for (LIST_EACH(it, &s->answerers)) {
		struct answerer *a = LIST_ITEM(it, struct answerer, link);

		if (ip_eq(a->at.ip, at.ip) && a->at.port == at.port)
			return a;
	}
	return NULL;
}

static void answer_free(struct answer *a)
{
	list_remove(&a->link);
	buf_fini(&a->octets);
	free(a);
}

static void on_answer(struct sim_event *event)
{
	struct answer *a = CONTAINER_OF(event, struct answer, event);
	struct sim_datagram *d = a->datagram;
	struct buf octets = a->octets;
	enum err err = a->err;

	a->octets = BUF(0);
	answer_free(a);
	sim_note(sim_of(d->base.io), "datagram", buf_text(&octets));
	d->base.on_datagram(d->base.owner, err, buf_text(&octets));
	buf_fini(&octets);
}

enum err sim_datagram_open(struct io *io, const struct ip_port *peer, struct io_datagram **out)
{
	struct sim_datagram *d = sim_alloc(sizeof(*d));

	d->base.io = io;
	d->base.peer = *peer;
	list_init(&d->answers);
	list_append(&sim_of(io)->datagrams, &d->link);
	*out = &d->base;
	return ERR_OK;
}

enum err sim_datagram_send(struct io_datagram *base, struct text bytes)
{
	struct sim_datagram *d = CONTAINER_OF(base, struct sim_datagram, base);
	struct sim *s = sim_of(base->io);
	struct answerer *by = find_answerer(s, base->peer);
	struct answer *a = sim_alloc(sizeof(*a));

	a->datagram = d;
	a->octets = BUF(DATAGRAM_MAX);
	list_append(&d->answers, &a->link);
	if (by)
		by->answer(by->owner, bytes, &a->octets);
	else
		a->err = ERR_REFUSED;
	if (by && a->octets.len == 0)
		answer_free(a);
	else
		sim_event_at(s, &a->event, s->now_at + 2 * sim_delay(s), on_answer);
	return ERR_OK;
}

void sim_datagram_close(struct io_datagram *base)
{
	struct sim_datagram *d = CONTAINER_OF(base, struct sim_datagram, base);

	for (LIST_EACH_SAFE(it, &d->answers)) {
		struct answer *a = LIST_ITEM(it, struct answer, link);

		sim_event_cancel(sim_of(base->io), &a->event);
		answer_free(a);
	}
	list_remove(&d->link);
	free(d);
}
