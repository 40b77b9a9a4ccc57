/* Looking for what is due: the fronts move on, piles that run low are filled again; and when there is something to look for. */
#include "internal.h"

#include <stdlib.h>

#define SCAN_ROWS 500 /* given at a time */

/* ---------------------------------------------------------------- rows become tasks */

/* Rows of one message follow each other when they have the same due time: those of one pile become one task. */
static size_t rows_of_one_message(const struct queue_row *rows, size_t count)
{
	size_t n = 1;

	while (n < count && id_eq(rows[n].id, rows[0].id) && rows[n].sender == rows[0].sender &&
	       rows[n].class == rows[0].class)
		n++;
	return n;
}

static void skip_rows(struct task *t, const struct queue_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (task_holds(t, rows[i].n))
			continue;
		t->more_is_mixed = t->more_is_mixed || !t->pile || t->pile->name.class != rows[i].class ||
		                   t->pile->name.sender != rows[i].sender;
		t->more_due_time =
			t->has_more_rows ? MIN(t->more_due_time, rows[i].due_time) : rows[i].due_time;
		t->has_more_rows = true;
	}
}

static bool add_task(struct destination *d, const struct queue_row *rows, size_t count)
{
	struct task *t;

	if (task_new(d, rows[0].id, rows[0].class, rows[0].sender, &t))
		return false;
	t->due_time = rows[0].due_time;
	t->ns = calloc(count, sizeof(*t->ns));
	if (!t->ns) {
		task_free(t);
		return false;
	}
	for (size_t i = 0; i < count; i++)
		t->ns[i] = rows[i].n;
	t->n_count = count;
	backlog_join(t, rows[0].class, rows[0].sender);
	task_make_ready(t, false);
	return true;
}

/* Rows of one message. False: nobody can take them now. */
static bool add_rows(struct destination *d, const struct queue_row *rows, size_t count, bool may_make_room)
{
	struct map_item *there = map_find(&d->tasks, id_key(&rows[0].id));
	const struct pile *p = pile_find(d, rows[0].class, rows[0].sender);

	if (there) {
		skip_rows(CONTAINER_OF(there, struct task, by_id), rows, count);
		return true;
	}
	if (!destination_has_room(d) &&
	    !(may_make_room && backlog_make_room(d, rows[0].class, p ? p->count : 0)))
		return false;
	return add_task(d, rows, count);
}

/* Rows that were found, each message by itself: taken, or put on its pile. A class whose piles are too many is left at the front. */
static void take_found(struct destination *d, const struct queue_found *found, struct queue_cursor ends[])
{
	bool stopped[READY_CLASSES] = { false };

	for (size_t i = 0, n; i < found->count; i += n) {
		const struct queue_row *r = &found->rows[i];
		struct queue_cursor before = queue_cursor_before(r->due_time, r->id, r->n);
		const struct pile *p = pile_find(d, r->class, r->sender);
		bool may_take = !p || !p->lies || p->sought;

		n = rows_of_one_message(r, found->count - i);
		if (stopped[r->class] ||
		    (may_take && (!p || p->count < pile_quota(d) || p->sought) && add_rows(d, r, n, true)))
			continue;
		if (pile_lies(d, r->class, r->sender, &before))
			continue;
		stopped[r->class] = true;
		ends[r->class] = before;
	}
}

/* ---------------------------------------------------------------- the fronts move on */

static bool any_lies(const struct destination *d)
{
	for (struct map_item *it = map_next(&d->backlog.piles, NULL); it;
	     it = map_next(&d->backlog.piles, it))
		if (CONTAINER_OF(it, const struct pile, by_name)->lies)
			return true;
	return false;
}

/* What was passed over for want of room. */
static void note_left(struct destination *d, const struct queue_found *found, struct queue_cursor ends[])
{
	for (size_t i = 0; i < found->share_count; i++) {
		const struct queue_share *share = &found->shares[i];

		if (share->left_some && !pile_lies(d, share->class, share->sender, &share->left) &&
		    queue_cursor_compare(&share->left, &ends[share->class]) < 0)
			ends[share->class] = share->left;
	}
}

static void move_fronts(struct destination *d, const struct queue_found *found)
{
	struct backlog *b = &d->backlog;
	struct queue_cursor ends[READY_CLASSES];
	bool from_the_front;

	for (unsigned i = 0; i < READY_CLASSES; i++)
		ends[i] = found->end;
	take_found(d, found, ends);
	note_left(d, found, ends);
	/* at the end of what is due the next search begins at the very front, when that costs little */
	from_the_front = found->is_end && !any_lies(d);
	for (unsigned i = 0; i < READY_CLASSES; i++) {
		if (!(b->searched & BIT(i)))
			continue;
		if (from_the_front && !b->full[i])
			b->front[i].set = false;
		else if (found->end.set)
			b->front[i] = ends[i];
		/* its piles were too many for a moment, or there was no memory for one */
		if (!b->full[i] && queue_cursor_compare(&ends[i], &found->end) < 0)
			d->disk_due_time = MIN(d->disk_due_time, io_now_time(d->schedule->io));
	}
	/* a class that was full when the search began may not be any more */
	d->disk_due_time = MIN(d->disk_due_time, found->next_due_time);
}

static void end_search(struct destination *d, const struct queue_found *found, int64_t news_time)
{
	d->backlog.news_time = INT64_MAX;
	if (found->err)
		d->backlog.not_before_at = io_now_at(d->schedule->io) + SECOND_MS;
	if (news_time < INT64_MAX)
		destination_disk_due(
			d, news_time); /* it came while the search ran, which may not have seen it */
	destination_wait_for_disk(d);
	destination_pump_later(d);
}

static bool is_stopping(struct destination *d)
{
	d->scanning = false;
	if (d->schedule->stopping)
		schedule_check_stopped(d->schedule);
	return d->schedule->stopping;
}

static void on_front(void *owner, const struct queue_found *found)
{
	struct destination *d = owner;

	if (is_stopping(d))
		return;
	if (found->err)
		d->disk_due_time = io_now_time(d->schedule->io);
	else
		move_fronts(d, found);
	end_search(d, found, d->backlog.news_time);
}

static unsigned open_classes(const struct destination *d)
{
	unsigned classes = 0;

	for (unsigned i = 0; i < READY_CLASSES; i++)
		classes |= d->backlog.full[i] ? 0 : BIT(i);
	return classes;
}

static void begin_search(struct destination *d, struct queue_wish *wish, queue_found_fn *on_found)
{
	d->scanning = true;
	wish->until_time = io_now_time(d->schedule->io);
	wish->max_rows = SCAN_ROWS;
	wish->max_looks = d->schedule->bounds.looks;
	queue_search(d->schedule->queue, d->by_key.key, wish, on_found, d);
}

/* Who is known has the room that is left to him, behind what lies already nobody. Without memory to say so nobody is looked for:
 * it is tried again. */
static void search_front(struct destination *d)
{
	struct backlog *b = &d->backlog;
	AUTO(free_memory)
	struct queue_share *shares = calloc(MAX(b->piles.count, 1), sizeof(*shares));
	struct queue_wish wish = {
		.classes = open_classes(d), .shares = shares, .leader = SIZE_MAX, .others = true
	};

	if (!shares) {
		b->not_before_at = io_now_at(d->schedule->io) + SECOND_MS;
		return;
	}
	for (struct map_item *it = map_next(&b->piles, NULL); it; it = map_next(&b->piles, it)) {
		const struct pile *p = CONTAINER_OF(it, const struct pile, by_name);

		shares[wish.share_count++] = (struct queue_share){ .sender = p->name.sender,
			                                           .class = (enum config_class)p->name.class,
			                                           .room = p->lies ? 0 : pile_room(d, p) };
	}
	memcpy(wish.after, b->front, sizeof(wish.after));
	b->searched = wish.classes;
	d->disk_due_time = INT64_MAX;
	begin_search(d, &wish, on_front);
}

/* ---------------------------------------------------------------- piles are filled again */

/* A row that is due in the future was on a pile, where only lies what is due: the clock was set back since. */
static void look_for_far(struct destination *d, int64_t due_time)
{
	d->far = true;
	destination_disk_due(d, due_time);
}

/* Where more of it lies, after the search. */
static void pile_sought(struct destination *d, struct pile *p, const struct queue_share *share,
                        const struct queue_found *found)
{
	struct queue_cursor rest = found->end;
	bool is_rest = true;

	if (found->err) {
		rest = p->sought_from;
	} else if (share->left_some) {
		rest = share->left;
	} else if (found->is_end) {
		is_rest = false;
		if (p->sought_from.set && p->sought_from.due_time > io_now_time(d->schedule->io))
			look_for_far(d, p->sought_from.due_time);
	} else if (queue_cursor_compare(&p->sought_from, &rest) > 0) {
		rest = p->sought_from;
	}
	p->sought = false;
	if (is_rest && (!p->lies || queue_cursor_compare(&rest, &p->from) < 0)) {
		p->lies = true;
		p->from = rest;
	}
	pile_changed(d, p);
}

static void on_filled(void *owner, const struct queue_found *found)
{
	struct destination *d = owner;
	struct queue_cursor ends[READY_CLASSES] = { 0 };

	if (is_stopping(d))
		return;
	take_found(d, found, ends);
	for (size_t i = 0; i < found->share_count; i++) {
		struct pile *p = pile_find(d, found->shares[i].class, found->shares[i].sender);

		if (p && p->sought)
			pile_sought(d, p, &found->shares[i], found);
	}
	/* Only what is due lies on a pile, unless the clock was set back since: then the fronts may be beyond it. */
	if (!found->err && found->is_end && found->next_due_time < INT64_MAX)
		destination_disk_due(d, found->next_due_time);
	end_search(d, found, d->backlog.news_time);
}

/* Whose turn it is to be filled: the urgent first, and in a class those that have nothing. Without room only these, when
 * somebody can make some. */
static struct pile *next_low(const struct destination *d)
{
	const struct backlog *b = &d->backlog;
	bool has_room = destination_has_room(d);

	for (unsigned i = 0; i < READY_CLASSES; i++) {
		enum config_class class = ready_order[i];
		struct pile *p = LIST_FIRST(&b->empty[class], struct pile, link);

		if (p && (has_room || !b->blocked[class][false]))
			return p;
		p = LIST_FIRST(&b->low[class], struct pile, link);
		if (p && (has_room || (class == CONFIG_CLASS_URGENT && !b->blocked[class][true])))
			return p;
	}
	return NULL;
}

static void seek(struct destination *d, struct pile *p, struct queue_share *share)
{
	size_t room = destination_has_room(d) ? pile_room(d, p) : 1;

	*share = (struct queue_share){ .sender = p->name.sender,
		                       .class = (enum config_class)p->name.class,
		                       .after = p->from,
		                       .room = MAX(room, 1) };
	p->sought = true;
	p->sought_from = p->from;
	p->lies = false;
	list_remove(&p->link);
}

static void seek_list(struct destination *d, struct list *list, const struct queue_cursor *from,
                      struct queue_wish *wish, struct queue_share *shares)
{
	for (LIST_EACH_SAFE(it, list)) {
		struct pile *p = LIST_ITEM(it, struct pile, link);

		if (queue_cursor_compare(&p->from, from) >= 0)
			seek(d, p, &shares[wish->share_count++]);
	}
}

/* From its place, and along the way whoever else runs low and lies behind it. */
static void search_low(struct destination *d, struct pile *leader)
{
	struct backlog *b = &d->backlog;
	struct queue_cursor from = leader->from;
	AUTO(free_memory)
	struct queue_share *shares = calloc(b->piles.count, sizeof(*shares));
	struct queue_wish wish = { .shares = shares };

	if (!shares) {
		b->not_before_at = io_now_at(d->schedule->io) + SECOND_MS;
		return;
	}
	seek(d, leader, &shares[wish.share_count++]);
	for (unsigned i = 0; i < READY_CLASSES; i++) {
		wish.classes |= BIT(i);
		wish.after[i] = from;
		seek_list(d, &b->empty[i], &from, &wish, shares);
		if (destination_has_room(d))
			seek_list(d, &b->low[i], &from, &wish, shares);
	}
	begin_search(d, &wish, on_filled);
}

/* ---------------------------------------------------------------- rows of a clock that was set back */

/* No attempt is put off for longer than the schedule's longest step. */
static int64_t longest_wait_ms(const struct schedule *s)
{
	int64_t longest = route_longest_step_ms(s->config);

	return longest + longest / 10 + MINUTE_MS;
}

static size_t take_far(struct destination *d, const struct queue_row *rows, size_t count)
{
	size_t used = 0;

	while (used < count) {
		size_t n = rows_of_one_message(rows + used, count - used);
		const struct queue_row *last = &rows[used + n - 1];

		if (!add_rows(d, rows + used, n, false))
			break;
		d->far_cursor = (struct queue_cursor){ last->due_time, last->id, last->n, true };
		used += n;
	}
	return used;
}

static void on_far_rows(void *owner, enum err err, const struct queue_row *rows, size_t count,
                        int64_t next_due_time)
{
	struct destination *d = owner;

	if (is_stopping(d))
		return;
	if (err)
		return; /* the watch comes back to it */
	if (take_far(d, rows, count) == count && next_due_time == INT64_MAX) {
		d->far = false;
		d->far_cursor.set = false;
	}
	end_search(d, &(struct queue_found){ .err = ERR_OK }, d->backlog.news_time);
}

/* After the clock was set back rows may wait for a time of the old one, hours or years away: they are due now. */
static void search_far(struct destination *d)
{
	struct schedule *s = d->schedule;

	if (!d->far_cursor.set)
		d->far_cursor = (struct queue_cursor){ .due_time = io_now_time(s->io) + longest_wait_ms(s),
			                               .set = true };
	d->scanning = true;
	queue_scan(s->queue, d->by_key.key, &d->far_cursor, INT64_MAX, SCAN_ROWS, on_far_rows, d);
}

/* ---------------------------------------------------------------- when */

static int64_t front_at(const struct destination *d)
{
	if (d->disk_due_time == INT64_MAX || open_classes(d) == 0)
		return INT64_MAX;
	return io_at_of_time(d->schedule->io, d->disk_due_time);
}

int64_t backlog_due_at(const struct destination *d)
{
	int64_t at = front_at(d);

	if ((d->far && destination_has_room(d)) || next_low(d))
		at = 0;
	return at == INT64_MAX ? at : MAX(at, d->backlog.not_before_at);
}

int64_t backlog_next_due_time(const struct destination *d)
{
	return any_lies(d) ? io_now_time(d->schedule->io) : d->disk_due_time;
}

bool backlog_is_empty(const struct destination *d)
{
	return d->backlog.piles.count == 0 && d->disk_due_time == INT64_MAX && !d->far;
}

static void search(void *owner)
{
	struct destination *d = owner;
	struct pile *low = next_low(d);
	bool front = front_at(d) <= io_now_at(d->schedule->io);

	if (d->scanning || d->schedule->stopping)
		return;
	if (d->far && destination_has_room(d))
		search_far(d);
	else if (low && (low->name.class == CONFIG_CLASS_URGENT || !front || d->backlog.turn++ % 2))
		search_low(d, low);
	else if (front)
		search_front(d);
	destination_wait_for_disk(d);
}

/* Starts the timer for what is known to lie on disk. Without memory for a timer the schedule's watch comes by. A suspended
 * destination is not asked for more than it has: its tasks share the failure, what is on disk waits for the probe. */
void destination_wait_for_disk(struct destination *d)
{
	struct schedule *s = d->schedule;
	int64_t at = backlog_due_at(d);

	if (at == INT64_MAX || s->stopping || d->scanning)
		return;
	if (destination_is_suspended(d))
		at = MAX(at, d->suspended_until_at);
	if (io_timer_start(s->io, &d->disk_timer, at, search, d))
		return;
}
