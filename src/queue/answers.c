/* Answers that are due in a later turn and have no operation to carry them. */
#include "internal.h"

#include <stdlib.h>

static void give_answer(void *owner)
{
	struct answer *a = owner;
	struct queue *q = a->queue;
	struct answer given = *a;

	if (a->spare)
		a->used = false;
	else
		free(a);
	if (!q->closing) {
		if (given.on_settled)
			given.on_settled(given.owner, given.err);
		else if (given.on_loaded)
			given.on_loaded(given.owner, given.err, NULL);
		else if (given.on_rows)
			given.on_rows(given.owner, given.err, NULL, 0, INT64_MAX);
		else
			given.on_found(given.owner, &(struct queue_found){ .err = given.err });
	}
	queue_job_ended(q);
}

static struct answer *answer_new(struct queue *q)
{
	struct answer *a = calloc(1, sizeof(*a));

	for (size_t i = 0; !a && i < SPARE_ANSWERS; i++) {
		if (!q->spare_answers[i].used) {
			a = &q->spare_answers[i];
			*a = (struct answer){ .spare = true, .used = true };
		}
	}
	return a;
}

void queue_answer_later(struct queue *q, const struct answer *answer)
{
	struct answer *a = answer_new(q);

	/* With no memory at all and every spare one under way there is no way to keep a promise. */
	if (!a)
		return;
	a->queue = q;
	a->on_settled = answer->on_settled;
	a->on_loaded = answer->on_loaded;
	a->on_rows = answer->on_rows;
	a->on_found = answer->on_found;
	a->owner = answer->owner;
	a->err = answer->err;
	queue_job_begun(q);
	io_later_run(q->io, &a->later, give_answer, a);
}

void queue_tell_later(struct queue *q, queue_settled_fn *on_settled, void *owner, enum err err)
{
	if (on_settled)
		queue_answer_later(q,
		                   &(struct answer){ .on_settled = on_settled, .owner = owner, .err = err });
}
