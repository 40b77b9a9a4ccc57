#include "outbox.h"

#include <assert.h>

void outbox_begin(struct outbox *o, outbox_send_fn *send, void *owner)
{
	assert(o->count == 0);
	o->send = send;
	o->owner = owner;
}

void outbox_drop(struct outbox *o)
{
	o->count = 0;
	o->bytes = 0;
	o->copied = 0;
	o->borrows = false;
}

void outbox_flush(struct outbox *o)
{
	if (o->count)
		o->send(o->owner, o->pieces, o->count);
	outbox_drop(o);
}

static void add_piece(struct outbox *o, struct text t)
{
	o->pieces[o->count++] = t;
	o->bytes += t.len;
}

/* The last piece, when it ends where the next copy will begin: then the two are one. */
static struct text *open_copy(struct outbox *o)
{
	struct text *last = o->count ? &o->pieces[o->count - 1] : NULL;

	return last && last->at + last->len == o->copies + o->copied ? last : NULL;
}

static void copy_part(struct outbox *o, struct text t)
{
	char *at = o->copies + o->copied;
	struct text *last = open_copy(o);

	memcpy(at, t.at, t.len);
	o->copied += t.len;
	if (!last) {
		add_piece(o, text_of(at, t.len));
		return;
	}
	last->len += t.len;
	o->bytes += t.len;
}

void outbox_copy(struct outbox *o, struct text t)
{
	while (t.len) {
		size_t room = OUTBOX_COPY_BYTES - o->copied;
		struct text part = text_head(t, room);

		if (room == 0 || (o->count == OUTBOX_PIECES && !open_copy(o))) {
			outbox_flush(o);
			continue;
		}
		copy_part(o, part);
		t = text_skip(t, part.len);
	}
}

void outbox_add(struct outbox *o, struct text t)
{
	if (t.len <= OUTBOX_SHORT_BYTES) {
		outbox_copy(o, t);
		return;
	}
	if (o->count == OUTBOX_PIECES)
		outbox_flush(o);
	add_piece(o, t);
	o->borrows = true;
}

void outbox_copy_u64(struct outbox *o, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	outbox_copy(o, text_of(digits + at, sizeof(digits) - at));
}
