#include "internal.h"

#include <stdlib.h>

#define PILES_AT_LEAST 16 /* when the memory for tasks is used up by other destinations */
#define GIVE_BACK_AT_ONCE 16
#define KEPT_OF_LOWER \
	32u /* of what goes behind, so that its share finds something; with little memory a quarter */

void backlog_init(struct backlog *b, uint64_t seed)
{
	*b = (struct backlog){ .news_time = INT64_MAX };
	map_init(&b->piles, false, seed);
	for (unsigned i = 0; i < READY_CLASSES; i++) {
		list_init(&b->empty[i]);
		list_init(&b->low[i]);
	}
}

void backlog_fini(struct backlog *b)
{
	struct map_item *item;

	while ((item = map_next(&b->piles, NULL))) {
		map_remove(&b->piles, item);
		free(CONTAINER_OF(item, struct pile, by_name));
	}
	map_fini(&b->piles);
}

/* ---------------------------------------------------------------- how much each may have in memory */

static bool others_took_all(const struct destination *d)
{
	return d->schedule->task_count >= d->schedule->bounds.tasks_in_all;
}

size_t pile_quota(const struct destination *d)
{
	size_t all = others_took_all(d) ? d->schedule->bounds.at_least : d->schedule->bounds.tasks;

	return MAX(all / MAX(d->backlog.piles.count, 1), 1);
}

size_t pile_room(const struct destination *d, const struct pile *p)
{
	size_t most = pile_quota(d);

	return most - MIN(p->count, most);
}

/* ---------------------------------------------------------------- piles */

static struct text name_key(const struct pile_name *name)
{
	return (struct text){ (const char *)name, sizeof(*name) };
}

struct pile *pile_find(const struct destination *d, enum config_class class, uint64_t sender)
{
	struct pile_name name = { sender, class };
	struct map_item *item = map_find(&d->backlog.piles, name_key(&name));

	return item ? CONTAINER_OF(item, struct pile, by_name) : NULL;
}

static struct pile *pile_get(struct destination *d, enum config_class class, uint64_t sender)
{
	struct pile *p = pile_find(d, class, sender);

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->name = (struct pile_name){ sender, class };
	list_init(&p->link);
	if (map_add(&d->backlog.piles, &p->by_name, name_key(&p->name))) {
		free(p);
		return NULL;
	}
	d->backlog.pile_count[class]++;
	return p;
}

static size_t piles_max(const struct destination *d)
{
	return others_took_all(d) ? PILES_AT_LEAST : d->schedule->bounds.piles;
}

static void pile_forget(struct destination *d, struct pile *p)
{
	struct backlog *b = &d->backlog;
	size_t class = (size_t)p->name.class;

	map_remove(&b->piles, &p->by_name);
	free(p);
	b->pile_count[class]--;
	if (!b->full[class] || b->pile_count[class] > piles_max(d) / 8 * 7)
		return;
	b->full[class] = false;
	d->disk_due_time = MIN(d->disk_due_time, io_now_time(d->schedule->io));
}

void pile_changed(struct destination *d, struct pile *p)
{
	struct backlog *b = &d->backlog;
	size_t class = (size_t)p->name.class;

	list_remove(&p->link);
	if (p->sought)
		return;
	if (p->lies && p->count == 0)
		list_append(&b->empty[class], &p->link);
	else if (p->lies && p->count <= pile_quota(d) / 2)
		list_append(&b->low[class], &p->link);
	else if (!p->lies && p->count == 0)
		pile_forget(d, p);
}

void backlog_join(struct task *t, enum config_class class, uint64_t sender)
{
	t->pile = pile_get(t->destination, class, sender);
	if (!t->pile)
		return;
	t->pile->count++;
	pile_changed(t->destination, t->pile);
}

void backlog_part(struct task *t)
{
	struct pile *p = t->pile;

	memset(t->destination->backlog.blocked, 0, sizeof(t->destination->backlog.blocked));
	t->pile = NULL;
	if (!p)
		return;
	p->count--;
	pile_changed(t->destination, p);
}

/* ---------------------------------------------------------------- what lies on disk */

/* A row behind this place is not accounted for. */
static void set_front_back(struct destination *d, enum config_class class, const struct queue_cursor *to)
{
	struct queue_cursor *front = &d->backlog.front[class];

	if (queue_cursor_compare(front, to) > 0)
		*front = *to;
	if (d->scanning)
		d->backlog.news_time = MIN(d->backlog.news_time, to->set ? to->due_time : 0);
	d->disk_due_time = MIN(d->disk_due_time, to->set ? to->due_time : 0);
}

/* False: there is no place to remember it. */
bool pile_lies(struct destination *d, enum config_class class, uint64_t sender,
               const struct queue_cursor *from)
{
	struct pile *p = pile_find(d, class, sender);

	if (!p && d->backlog.pile_count[class] >= piles_max(d)) {
		d->backlog.full[class] = true;
		return false;
	}
	if (!p)
		p = pile_get(d, class, sender);
	if (!p)
		return false;
	if (!p->lies || queue_cursor_compare(from, &p->from) < 0)
		p->from = *from;
	p->lies = true;
	pile_changed(d, p);
	return true;
}

void backlog_lies(struct destination *d, enum config_class class, uint64_t sender,
                  const struct queue_cursor *from)
{
	if (!pile_lies(d, class, sender, from))
		set_front_back(d, class, from);
	destination_wait_for_disk(d);
}

void destination_disk_due(struct destination *d, int64_t due_time)
{
	struct queue_cursor before = { .due_time = due_time, .set = true };

	for (unsigned i = 0; i < READY_CLASSES; i++)
		if (queue_cursor_compare(&d->backlog.front[i], &before) > 0)
			d->backlog.front[i] = before;
	if (d->scanning)
		d->backlog.news_time = MIN(d->backlog.news_time, due_time);
	d->disk_due_time = MIN(d->disk_due_time, due_time);
	destination_wait_for_disk(d);
}

static void lies_from(struct task *t, int64_t due_time)
{
	struct queue_cursor from = { .due_time = due_time, .set = true };

	if (t->pile)
		backlog_lies(t->destination, (enum config_class)t->pile->name.class, t->pile->name.sender,
		             &from);
	else
		destination_disk_due(t->destination, due_time);
}

void backlog_put_back(struct task *t, int64_t delay_ms)
{
	struct destination *d = t->destination;

	d->backlog.not_before_at = MAX(d->backlog.not_before_at, io_now_at(d->schedule->io) + delay_ms);
	lies_from(t, t->due_time);
}

/* Of another class, or of nobody knows which: the fronts go back for them. */
void backlog_put_back_more(struct task *t)
{
	if (t->more_is_mixed)
		destination_disk_due(t->destination, t->more_due_time);
	else
		lies_from(t, t->more_due_time);
}

/* ---------------------------------------------------------------- making room */

/* Nothing was done with it yet, and the disk has all of it. */
static bool can_go_back(const struct task *t)
{
	return t->state == TASK_READY && t->pile && t->next == 0 && t->settled == 0 &&
	       t->outcome_count == 0 && !t->has_more_rows && !t->called_off && !task_is_through(t);
}

static void release_claim(struct task *t)
{
	AUTO(free_memory) uint32_t *ns = NULL;
	size_t count = t->work ? t->work->recipient_count : t->n_count;

	if (!t->claimed)
		return;
	ns = calloc(MAX(count, 1), sizeof(*ns));
	for (size_t i = 0; ns && i < count; i++)
		ns[i] = t->work ? t->work->recipients[i].n : t->ns[i];
	if (ns)
		queue_release(t->destination->schedule->queue, t->id, ns, count);
}

static bool give_back(struct task *t)
{
	struct destination *d = t->destination;
	struct queue_cursor from = queue_cursor_before(t->due_time, t->id, 0);

	/* a message has its rows in one pile or in several */
	if (!pile_lies(d, (enum config_class)t->pile->name.class, t->pile->name.sender, &from))
		return false;
	for (size_t i = 0; t->work && i < t->work->recipient_count; i++)
		backlog_lies(d, t->work->recipients[i].class, t->pile->name.sender, &from);
	release_claim(t);
	task_free(t);
	return true;
}

static unsigned give_back_some(struct ready_flow *f)
{
	unsigned wanted = (unsigned)MIN(MAX(f->count / 2, 1), GIVE_BACK_AT_ONCE), given = 0, looks = 64;
	struct list *it = f->items.prev;

	while (it != &f->items && given < wanted && looks-- > 0) {
		struct task *t = CONTAINER_OF(LIST_ITEM(it, struct ready_item, link), struct task, item);

		it = it->prev;
		if (can_go_back(t))
			given += give_back(t);
	}
	return given;
}

/* Who has to make room for one more of this class: the longest line of the last class, if that goes behind; else who has
 * several when the other has none. */
static struct ready_flow *who_gives(struct destination *d, enum config_class class, size_t count)
{
	for (unsigned i = READY_CLASSES; i-- > 0;) {
		enum config_class of = ready_order[i];
		struct ready_flow *f = ready_longest(&d->ready, of);

		if (of == class)
			return count == 0 && f && f->count > 1 ? f : NULL;
		if (f && d->ready.classes[of].count > MIN(KEPT_OF_LOWER, d->tasks.count / 4))
			return f;
	}
	return NULL;
}

bool backlog_make_room(struct destination *d, enum config_class class, size_t count)
{
	bool *blocked = &d->backlog.blocked[class][count > 0];
	struct ready_flow *f;

	if (destination_has_room(d))
		return true;
	f = *blocked ? NULL : who_gives(d, class, count);
	if (f && give_back_some(f) > 0)
		return true;
	*blocked = true;
	return false;
}

/* ---------------------------------------------------------------- fresh mail */

static void leave_on_disk(struct destination *d, const struct queue_work *work)
{
	for (size_t i = 0; i < work->recipient_count; i++) {
		const struct queue_recipient *r = &work->recipients[i];
		struct queue_cursor from = queue_cursor_before(r->due_time, work->id, r->n);

		backlog_lies(d, r->class, work->sender, &from);
	}
}

bool backlog_admit(struct destination *d, const struct queue_work *work)
{
	enum config_class class = work->recipients[0].class;
	const struct pile *p = pile_find(d, class, work->sender);
	size_t count = p ? p->count : 0;

	if (!(p && p->lies && count >= pile_quota(d)) && !map_find(&d->tasks, id_key(&work->id)) &&
	    backlog_make_room(d, class, count))
		return true;
	leave_on_disk(d, work);
	return false;
}
