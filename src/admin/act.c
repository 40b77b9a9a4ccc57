/* POST /v1/queue/VERB: retry, hold, release, drop what a selector means. */
#include "walk.h"

#include <stdlib.h>

#include <postrider/base/auto.h>

/* Recipients gathered before they are acted on; more follow in the next slice. A message is never cut in two. */
#define BATCH_COUNT 500
#define BATCH_MAX_BYTES (64u << 20)
#define ANSWER_MAX_BYTES (1u << 20)
#define NAMED_MAX 20 /* ids that are named in an answer */

struct target {
	struct target *next;
	struct act *act;
	struct id id;
	struct queue_recipient recipient;
	struct text from, to; /* for the event */
};

struct act {
	struct op op;
	struct selector selector;
	struct walk walk;
	enum schedule_verb verb;
	bool dry_run, is_checking; /* is_checking: only whether the ids are unique */

	struct arena arena; /* of the batch */
	struct target *targets;
	size_t count, pending;
	bool is_end;

	uint64_t messages, recipients, done, busy, gone, failed;
	enum err last_failure;
	struct buf missing, ambiguous; /* ids, with commas */
	unsigned missing_count, ambiguous_count;
};

static const struct {
	struct text name;
	enum schedule_verb verb;
	enum event_kind event;
} verbs[] = {
	{ LIT("retry"), SCHEDULE_RETRY, EVENT_COUNT },
	{ LIT("hold"), SCHEDULE_HOLD, EVENT_HELD },
	{ LIT("release"), SCHEDULE_RELEASE, EVENT_RELEASED },
	{ LIT("drop"), SCHEDULE_DROP, EVENT_DROPPED },
};

static void end(struct act *act)
{
	selector_fini(&act->selector);
	arena_fini(&act->arena);
	buf_fini(&act->missing);
	buf_fini(&act->ambiguous);
	op_end(&act->op);
}

/* ---------------------------------------------------------------- the answer */

static void add_ids(struct json_writer *w, const char *key, const struct buf *ids)
{
	struct text rest = buf_text(ids);

	json_open_array(w, key);
	while (rest.len > 0)
		json_put_text(w, NULL, text_cut(&rest, ','));
	json_close_array(w);
}

static void respond(struct act *act)
{
	AUTO(buf_fini) struct buf body = BUF(ANSWER_MAX_BYTES);
	struct json_writer w;

	json_writer_init(&w, &body);
	json_open_object(&w, NULL);
	json_put_text(&w, "verb", verbs[act->verb].name);
	json_put_bool(&w, "dry_run", act->dry_run);
	json_put_number(&w, "messages", (int64_t)act->messages);
	json_put_number(&w, "recipients", (int64_t)act->recipients);
	json_put_number(&w, "done", (int64_t)act->done);
	json_put_number(&w, "busy", (int64_t)act->busy);
	json_put_number(&w, "gone", (int64_t)act->gone);
	json_put_number(&w, "failed", (int64_t)act->failed);
	if (act->failed)
		json_put_string(&w, "failure", err_text(act->last_failure));
	add_ids(&w, "missing", &act->missing);
	json_close_object(&w);
	buf_add_octet(&body, '\n');
	op_respond_json(&act->op, 200, &body);
}

static void respond_ambiguous(struct act *act)
{
	AUTO(buf_fini) struct buf detail = BUF(4096);

	buf_add_format(&detail, "%.*s%s: more than one message begins like this",
	               TEXT_ARGS(buf_text(&act->ambiguous)),
	               act->ambiguous_count > NAMED_MAX ? " and others" : "");
	buf_add_octet(&detail, '\0');
	op_respond_problem(&act->op, 409, "Not one message", detail.at ? detail.at : "",
	                   "give more letters of the id; nothing was changed");
}

/* ---------------------------------------------------------------- gathering */

static void name_id(struct buf *ids, unsigned *count, struct text id)
{
	if (++*count > NAMED_MAX)
		return;
	if (ids->len > 0)
		buf_add_octet(ids, ',');
	buf_add(ids, id);
}

static void on_id(void *owner, struct text id, unsigned count)
{
	struct act *act = owner;

	if (count > 1)
		name_id(&act->ambiguous, &act->ambiguous_count, id);
	else if (!act->is_checking)
		name_id(&act->missing, &act->missing_count, id);
}

/* Whether the verb has a meaning for it: what is held already is not counted for `hold`. */
static bool fits(const struct act *act, const struct queue_recipient *r)
{
	if (act->verb == SCHEDULE_RELEASE)
		return r->state == QUEUE_HELD;
	return act->verb == SCHEDULE_DROP || r->state != QUEUE_HELD;
}

static enum err keep_target(struct act *act, const struct envelope *e, const struct queue_recipient *r)
{
	struct target *t = arena_alloc(&act->arena, sizeof(*t));

	if (!t)
		return ERR_NOMEM;
	*t = (struct target){ .next = act->targets, .act = act, .id = e->id, .recipient = *r };
	if (arena_text(&act->arena, r->key, &t->recipient.key) ||
	    arena_text(&act->arena, r->reply, &t->recipient.reply) ||
	    arena_text(&act->arena, r->remote, &t->recipient.remote) ||
	    arena_text(&act->arena, e->reverse_path, &t->from) ||
	    arena_text(&act->arena, e->recipients[r->n].forward_path, &t->to))
		return ERR_NOMEM;
	act->targets = t;
	act->count++;
	return ERR_OK;
}

static bool on_entry(void *owner, const struct queue_entry *entry)
{
	struct act *act = owner;
	uint64_t before = act->recipients;

	if (act->is_checking)
		return true;
	for (size_t i = 0; i < entry->recipient_count; i++) {
		const struct queue_recipient *r = &entry->recipients[i];

		if (!selector_takes_recipient(&act->selector, entry->envelope, r) || !fits(act, r))
			continue;
		act->recipients++;
		if (act->dry_run)
			continue;
		if (keep_target(act, entry->envelope, r)) {
			act->failed++;
			act->last_failure = ERR_NOMEM;
		}
	}
	act->messages += act->recipients > before;
	return act->count < BATCH_COUNT;
}

/* ---------------------------------------------------------------- acting */

static void tell(const struct target *t)
{
	const struct act *act = t->act;
	struct event event = EVENT(verbs[act->verb].event);

	if (event.kind == EVENT_COUNT)
		return; /* a retry tells of itself by its outcome */
	event.has_id = true;
	event.id = t->id;
	event.rcpt = t->recipient.n;
	event.from = t->from;
	event.to = t->to;
	event.reason = REASON_ADMIN;
	event.action = verbs[act->verb].name;
	observe_emit(act->op.admin->options.observe, &event);
}

static void go_on(struct act *act);

static void on_acted(void *owner, enum err err)
{
	struct target *t = owner;
	struct act *act = t->act;

	if (!err) {
		act->done++;
		tell(t);
	} else if (err == ERR_BUSY) {
		act->busy++;
	} else if (err == ERR_NOT_FOUND) {
		act->gone++;
	} else {
		act->failed++;
		act->last_failure = err;
	}
	if (--act->pending == 0)
		go_on(act);
}

/* The batch is acted on, or was empty: the next one, or the answer. */
static void go_on(struct act *act)
{
	arena_reset(&act->arena);
	act->targets = NULL;
	act->count = 0;
	if (act->is_end || !act->op.x) {
		respond(act);
		end(act);
		return;
	}
	walk_go(&act->walk);
}

static void act_on_batch(struct act *act)
{
	struct target *next;

	act->pending = act->count + 1; /* one for ourselves: an answer may come from inside */
	for (struct target *t = act->targets; t; t = next) {
		next = t->next;
		schedule_act(act->op.admin->options.schedule, t->id, &t->recipient, act->verb, on_acted, t);
	}
	if (--act->pending == 0)
		go_on(act);
}

static const struct walk_events walk_events;

static void on_slice(void *owner, enum err err, bool is_end)
{
	struct act *act = owner;

	if (err) {
		op_respond_problem(&act->op, 503, "The queue could not be read", err_text(err),
		                   "see the log; what was changed so far stays changed");
		end(act);
		return;
	}
	if (act->ambiguous.len > 0) {
		respond_ambiguous(act);
		end(act);
		return;
	}
	if (act->is_checking && is_end) {
		act->is_checking = false;
		walk_init(&act->walk, act->op.admin, &act->selector, &walk_events, act);
		walk_go(&act->walk);
		return;
	}
	act->is_end = is_end;
	act_on_batch(act);
}

static const struct walk_events walk_events = { .on_entry = on_entry, .on_slice = on_slice, .on_id = on_id };

/* ---------------------------------------------------------------- the request */

static void on_body(void *owner, struct text piece)
{
	(void)owner, (void)piece;
}

static void on_end(void *owner)
{
	(void)owner;
}

static void on_gone(void *owner)
{
	((struct act *)owner)->op.x = NULL; /* the walk or the batch ends first */
}

static const struct http_exchange_events exchange_events = { .on_body = on_body,
	                                                     .on_end = on_end,
	                                                     .on_gone = on_gone };

static bool take_other(void *owner, struct text name, struct text value, struct buf *problem)
{
	struct act *act = owner;

	(void)value, (void)problem;
	if (!text_eq(name, TEXT("dry_run")))
		return false;
	act->dry_run = true;
	return true;
}

static bool find_verb(struct text path, enum schedule_verb *out)
{
	struct text name = text_skip(path, sizeof("/v1/queue/") - 1);

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (text_eq(name, verbs[i].name)) {
			*out = verbs[i].verb;
			return true;
		}
	return false;
}

static bool read_request(struct act *act, struct http_exchange *x)
{
	if (!find_verb(http_path(x), &act->verb)) {
		http_respond_problem(x, 404, "No such verb", http_path(x),
		                     TEXT("retry, hold, release or drop"));
		return false;
	}
	if (!read_query(x, &act->selector, take_other, act))
		return false;
	if (!act->selector.is_empty)
		return true;
	http_respond_problem(x, 422, "Nothing selected",
	                     TEXT("an action needs something that says what to act on"),
	                     TEXT("give ids, or to, from, domain, route, reason, older, state, or all"));
	return false;
}

void admin_act(struct admin *a, struct http_exchange *x)
{
	struct act *act = calloc(1, sizeof(*act));

	if (!act) {
		http_respond_problem(x, 503, "Out of memory", TEXT_EMPTY, TEXT("try again later"));
		return;
	}
	selector_init(&act->selector);
	arena_init(&act->arena, BATCH_MAX_BYTES);
	buf_init(&act->missing, 4096);
	buf_init(&act->ambiguous, 4096);
	if (!read_request(act, x)) {
		selector_fini(&act->selector);
		free(act);
		return;
	}
	/* Ids are looked at first: with one that means two messages nothing is changed at all. */
	act->is_checking = act->selector.ids && !act->dry_run;
	op_begin(&act->op, a, x, &exchange_events);
	walk_init(&act->walk, a, &act->selector, &walk_events, act);
	walk_go(&act->walk);
}
