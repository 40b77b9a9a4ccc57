/* Messages and recipients of the queue as JSON. */
#include "internal.h"

#include <postrider/base/auto.h>
#include <postrider/base/time.h>

const char *state_name(enum queue_state state)
{
	switch (state) {
	case QUEUE_WAITING:
		return "waiting";
	case QUEUE_CLAIMED:
		return "active";
	case QUEUE_HELD:
		return "held";
	}
	return "unknown";
}

/* Nothing for people to wonder about: what it waits for beyond its time. */
static void add_wait(struct admin *a, struct json_writer *w, struct id id, const struct queue_recipient *r)
{
	AUTO(buf_fini) struct buf words = BUF(4096);
	int64_t until = 0;

	if (!a->options.schedule || !schedule_waits_for(a->options.schedule, id, r, &words, &until))
		return;
	json_put_text(w, "waits_for", buf_text(&words));
	if (until > 0)
		json_put_time(w, "waits_until", until);
}

void add_recipient_json(struct admin *a, struct json_writer *w, const struct envelope *e,
                        const struct queue_recipient *r)
{
	const struct envelope_recipient *to = r->n < e->recipient_count ? &e->recipients[r->n] : NULL;

	json_open_object(w, NULL);
	json_put_text(w, "address", to ? to->forward_path : TEXT_EMPTY);
	/* As postqueue -j has it: there when there was a delay, and then in words. */
	json_put_text_if(w, "delay_reason", r->reply.len ? r->reply : reason_text(r->reason));
	json_put_number(w, "rcpt", r->n);
	if (to)
		json_put_text_if(w, "orig_to", to->original_path);
	json_put_string(w, "state", state_name(r->state));
	json_put_text_if(w, "reason", reason_text(r->reason));
	json_put_text_if(w, "stage", stage_text(r->stage));
	json_put_number(w, "attempts", r->attempts);
	if (r->last_attempt_time > 0)
		json_put_time(w, "last_attempt", r->last_attempt_time);
	if (r->state == QUEUE_WAITING)
		json_put_time(w, "next_attempt", r->due_time);
	json_put_text_if(w, "remote", r->remote);
	json_put_text(w, "key", r->key);
	json_put_text_if(w, "via", r->via);
	add_wait(a, w, e->id, r);
	if (r->unknown_outcome)
		json_put_bool(w, "unknown_outcome", true);
	json_close_object(w);
}

/* The queue's name as Postfix would call it. */
static const char *queue_name(const struct queue_entry *entry)
{
	bool is_deferred = false, is_held = false;

	for (size_t i = 0; i < entry->recipient_count; i++) {
		const struct queue_recipient *r = &entry->recipients[i];

		if (r->state == QUEUE_CLAIMED)
			return "active";
		is_held = is_held || r->state == QUEUE_HELD;
		is_deferred = is_deferred || (r->state == QUEUE_WAITING && r->attempts > 0);
	}
	return entry->damaged ? "corrupt" : is_deferred ? "deferred" : is_held ? "hold" : "incoming";
}

void add_envelope_json(struct json_writer *w, const struct queue_entry *entry)
{
	const struct envelope *e = entry->envelope;
	struct id_text id = id_to_text(e->id);

	json_put_string(w, "queue_name", queue_name(entry));
	json_put_text(w, "queue_id", text_of(id.at, ID_CHARS));
	json_put_number(w, "arrival_time", e->received_time / SECOND_MS);
	json_put_number(w, "message_size", (int64_t)entry->content_bytes);
	json_put_text(w, "sender", e->reverse_path);
	json_put_time(w, "received", e->received_time);
	json_put_text_if(w, "message_id", e->message_id);
	json_put_text_if(w, "subject", e->subject);
	json_put_text_if(w, "listener", e->listener);
	json_put_text_if(w, "client", e->client);
	if (entry->damaged)
		json_put_bool(w, "damaged", true);
}
