/* GET /v1/messages/ID: what is in the queue of a message, and what is known of its past. */
#include "internal.h"

#include <stdlib.h>

#include <postrider/base/auto.h>

#define EVENTS_MAX_BYTES (8u << 20)
#define ANSWER_MAX_BYTES (24u << 20)
#define CANDIDATES_MAX 10

struct story {
	struct op op;
	struct id first, last; /* what the prefix may mean */
	struct buf living;     /* JSON of what is in the queue; empty: nothing is */
	struct buf events;     /* JSON lines with commas between them */
	bool events_cut;
	struct id candidates[CANDIDATES_MAX];
	unsigned candidate_count; /* different messages met; CANDIDATES_MAX: or more */
};

static void end(struct story *s)
{
	buf_fini(&s->living);
	buf_fini(&s->events);
	op_end(&s->op);
}

static void note_candidate(struct story *s, struct id id)
{
	for (unsigned i = 0; i < s->candidate_count; i++)
		if (id_eq(s->candidates[i], id))
			return;
	if (s->candidate_count < CANDIDATES_MAX)
		s->candidates[s->candidate_count++] = id;
}

/* ---------------------------------------------------------------- the answer */

static void respond_ambiguous(struct story *s)
{
	AUTO(buf_fini) struct buf detail = BUF(4096);

	buf_add(&detail, TEXT("these messages begin like this: "));
	for (unsigned i = 0; i < s->candidate_count; i++) {
		struct id_text id = id_to_text(s->candidates[i]);

		buf_add_format(&detail, "%s%.*s", i ? ", " : "", ID_CHARS, id.at);
	}
	if (s->candidate_count == CANDIDATES_MAX)
		buf_add(&detail, TEXT(" and perhaps more"));
	buf_add_octet(&detail, '\0');
	op_respond_problem(&s->op, 409, "Not one message", detail.at ? detail.at : "",
	                   "give more letters of the id");
}

static void respond(struct story *s)
{
	AUTO(buf_fini) struct buf body = BUF(ANSWER_MAX_BYTES);
	struct id_text id = id_to_text(s->candidates[0]);
	struct json_writer w;

	json_writer_init(&w, &body);
	json_open_object(&w, NULL);
	json_put_text(&w, "id", text_of(id.at, ID_CHARS));
	json_put_raw(&w, "queue", s->living.len ? buf_text(&s->living) : TEXT("null"));
	json_open_array(&w, "events");
	if (s->events.len > 0)
		json_put_raw(&w, NULL, buf_text(&s->events));
	json_close_array(&w);
	if (s->events_cut)
		json_put_bool(&w, "events_cut", true);
	json_close_object(&w);
	buf_add_octet(&body, '\n');
	op_respond_json(&s->op, 200, &body);
}

static void finish(struct story *s)
{
	if (s->candidate_count == 0)
		op_respond_problem(
			&s->op, 404, "No such message",
			"nothing in the queue and nothing in the history begins like this",
			"`postrider queue` lists what waits; finished messages are remembered for some days");
	else if (s->candidate_count > 1)
		respond_ambiguous(s);
	else
		respond(s);
	end(s);
}

/* ---------------------------------------------------------------- gathering */

static bool on_line(void *owner, struct id id, struct text line)
{
	struct story *s = owner;

	note_candidate(s, id);
	if (s->events_cut || s->events.len + line.len + 1 > EVENTS_MAX_BYTES) {
		s->events_cut = true;
		return s->candidate_count < 2;
	}
	if (s->events.len > 0)
		buf_add_octet(&s->events, ',');
	buf_add(&s->events, line);
	return s->op.x && s->candidate_count < CANDIDATES_MAX;
}

static void on_history(void *owner, enum err err)
{
	struct story *s = owner;

	/* Without a history there is still what the queue says. */
	if (err || buf_err(&s->events)) {
		buf_fini(&s->events);
		s->events_cut = true;
	}
	finish(s);
}

static bool on_entry(void *owner, const struct queue_entry *entry)
{
	struct story *s = owner;
	struct json_writer w;

	note_candidate(s, entry->envelope->id);
	if (s->candidate_count > 1)
		return s->candidate_count < CANDIDATES_MAX;
	json_writer_init(&w, &s->living);
	json_open_object(&w, NULL);
	add_envelope_json(&w, entry);
	json_open_array(&w, "recipients");
	for (size_t i = 0; i < entry->recipient_count; i++)
		add_recipient_json(s->op.admin, &w, entry->envelope, &entry->recipients[i]);
	json_close_array(&w);
	json_close_object(&w);
	return true;
}

static void on_queue(void *owner, enum err err)
{
	struct story *s = owner;

	if (!err)
		err = buf_err(&s->living);
	if (err) {
		op_respond_problem(&s->op, 503, "The queue could not be read", err_text(err), "see the log");
		end(s);
	} else if (s->op.admin->options.history) {
		history_read(s->op.admin->options.history, s->first, s->last, on_line, on_history, s);
	} else {
		finish(s);
	}
}

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
	((struct story *)owner)->op.x = NULL; /* queue or history is being read, and ends it */
}

static const struct http_exchange_events exchange_events = { .on_body = on_body,
	                                                     .on_end = on_end,
	                                                     .on_gone = on_gone };

void admin_message(struct admin *a, struct http_exchange *x)
{
	struct text prefix = text_skip(http_path(x), sizeof("/v1/messages/") - 1);
	struct id first, last;

	if (id_prefix_range(prefix, &first, &last)) {
		http_respond_problem(x, 422, "Not an id", TEXT("an id has letters and digits, 26 at most"),
		                     TEXT("`postrider queue` lists ids"));
		return;
	}
	struct story *s = calloc(1, sizeof(*s));

	if (!s) {
		http_respond_problem(x, 503, "Out of memory", TEXT_EMPTY, TEXT("try again later"));
		return;
	}
	s->first = first;
	s->last = last;
	buf_init(&s->living, EVENTS_MAX_BYTES);
	buf_init(&s->events, EVENTS_MAX_BYTES);
	op_begin(&s->op, a, x, &exchange_events);
	queue_find(a->options.queue, first, last, on_entry, on_queue, s);
}
