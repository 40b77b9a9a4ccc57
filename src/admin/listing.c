/* GET /v1/queue: what waits, a line a message, as fast as the peer takes it. */
#include "walk.h"

#include <stdlib.h>

#include <postrider/base/auto.h>

#define LINE_MAX_BYTES (16u << 20)
/* While the peer has not taken this much, nothing further is read from the queue. */
#define UNSENT_BYTES (256u << 10)

struct listing {
	struct op op;
	struct selector selector;
	struct walk walk;
	struct buf line;
	uint64_t limit, sent;
	bool whole; /* all recipients of a message, not only those selected */
	bool walking, ended;
};

static void end(struct listing *l)
{
	selector_fini(&l->selector);
	buf_fini(&l->line);
	op_end(&l->op);
}

static bool on_entry(void *owner, const struct queue_entry *entry)
{
	struct listing *l = owner;
	struct json_writer w;

	if (!l->op.x)
		return false;
	buf_reset(&l->line);
	json_writer_init(&w, &l->line);
	json_open_object(&w, NULL);
	add_envelope_json(&w, entry);
	json_open_array(&w, "recipients");
	for (size_t i = 0; i < entry->recipient_count; i++)
		if (l->whole ||
		    selector_takes_recipient(&l->selector, entry->envelope, &entry->recipients[i]))
			add_recipient_json(l->op.admin, &w, entry->envelope, &entry->recipients[i]);
	json_close_array(&w);
	json_close_object(&w);
	buf_add_octet(&l->line, '\n');
	if (buf_err(&l->line)) {
		http_abort(TAKE(l->op.x));
		return false;
	}
	http_add(l->op.x, buf_text(&l->line));
	return ++l->sent < l->limit && http_unsent(l->op.x) < UNSENT_BYTES;
}

static void go_on(struct listing *l)
{
	if (l->walking || http_unsent(l->op.x) >= UNSENT_BYTES)
		return;
	l->walking = true;
	walk_go(&l->walk);
}

static void on_slice(void *owner, enum err err, bool is_end)
{
	struct listing *l = owner;

	l->walking = false;
	if (l->op.x && err) {
		http_abort(TAKE(l->op.x)); /* cut off: never to be taken for the whole list */
	} else if (l->op.x && (is_end || l->sent >= l->limit)) {
		http_end(TAKE(l->op.x));
	}
	if (!l->op.x)
		end(l);
	else
		go_on(l);
}

static const struct walk_events walk_events = { .on_entry = on_entry, .on_slice = on_slice };

static void on_body(void *owner, struct text piece)
{
	(void)owner, (void)piece;
}

static void on_end(void *owner)
{
	(void)owner;
}

static void on_room(void *owner)
{
	go_on(owner);
}

static void on_gone(void *owner)
{
	struct listing *l = owner;

	l->op.x = NULL;
	if (!l->walking)
		end(l);
}

static const struct http_exchange_events exchange_events = {
	.on_body = on_body,
	.on_end = on_end,
	.on_room = on_room,
	.on_gone = on_gone,
};

static bool take_other(void *owner, struct text name, struct text value, struct buf *problem)
{
	struct listing *l = owner;

	if (text_eq(name, TEXT("limit"))) {
		if (text_to_u64(value, INT64_MAX, &l->limit) || l->limit == 0)
			buf_add_format(problem, "limit \"%.*s\": expected a number from 1", TEXT_ARGS(value));
		return true;
	}
	l->whole = l->whole || text_eq(name, TEXT("whole"));
	return text_eq(name, TEXT("whole"));
}

void admin_queue(struct admin *a, struct http_exchange *x)
{
	struct listing *l = calloc(1, sizeof(*l));

	if (!l) {
		http_respond_problem(x, 503, "Out of memory", TEXT_EMPTY, TEXT("try again later"));
		return;
	}
	selector_init(&l->selector);
	l->limit = UINT64_MAX;
	if (!read_query(x, &l->selector, take_other, l)) {
		selector_fini(&l->selector);
		free(l);
		return;
	}
	buf_init(&l->line, LINE_MAX_BYTES);
	walk_init(&l->walk, a, &l->selector, &walk_events, l);
	op_begin(&l->op, a, x, &exchange_events);
	http_begin(x, 200, HTTP_JSON_LINES);
	go_on(l);
}
