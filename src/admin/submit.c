/* POST /v1/messages: a message handed in, answered 202 when it is on disk. What holds for a client of an SMTP listener
 * holds here: senders, recipients, size, hops. It is taken for all its recipients or for none. */
#include "internal.h"

#include <stdlib.h>

#include <postrider/base/auto.h>
#include <postrider/mail/header.h>
#include <postrider/mail/trace.h>
#include <postrider/route.h>
#include <postrider/smtp/path.h>

#include "line_ends.h"

#define LISTENER TEXT("admin") /* as routes see it */
#define ENVELOPE_BUDGET (2u << 20)
#define PATH_MAX_BYTES 1024
#define SUBJECT_KEPT 200

struct submit {
	struct op op;
	struct envelope *envelope;
	struct text *keys;
	bool *held;
	size_t room;
	struct queue_draft *draft;
	struct header_scan header;
	struct line_ends line_ends;
	struct buf mended;
	uint64_t bytes;
	bool has_from;
};

static void end(struct submit *s)
{
	queue_draft_abort(&s->draft);
	header_scan_fini(&s->header);
	buf_fini(&s->mended);
	envelope_free(&s->envelope);
	free(s->keys);
	free(s->held);
	op_end(&s->op);
}

static void refuse(struct submit *s, int status, const char *title, const char *detail, const char *next_step)
{
	op_respond_problem(&s->op, status, title, detail, next_step);
	end(s);
}

static void refuse_err(struct submit *s, enum err err)
{
	if (err == ERR_FULL)
		refuse(s, 507, "No space", "the spool has no room for it (spool.max_size, or the disk)",
		       "try again later");
	else if (err == ERR_TOO_BIG)
		refuse(s, 413, "Too large",
		       "the message is larger than this relay takes (access.max_message_size)",
		       "send a smaller one");
	else
		refuse(s, 503, "Not stored", err_text(err), "try again later");
}

/* ---------------------------------------------------------------- envelope */

/* "<>" and "" are the null reverse-path. */
static enum err take_from(struct submit *s, struct text value, struct buf *problem)
{
	const struct config *config = s->op.admin->config;
	struct smtp_path path = { .mailbox = TEXT_EMPTY };
	bool is_null = value.len == 0 || text_eq(value, TEXT("<>"));

	if (s->has_from)
		buf_add(problem, TEXT("there are two senders"));
	else if (!is_null && smtp_mailbox_parse(value, &path))
		buf_add_format(problem, "the sender \"%.*s\" is no address",
		               TEXT_ARGS(text_head(value, 300)));
	else if (!route_sender_allowed(config, path.mailbox))
		buf_add_format(problem, "the sender %.*s is not allowed here (access.senders)",
		               TEXT_ARGS(path.mailbox));
	if (problem->len > 0)
		return ERR_SYNTAX;
	s->has_from = true;
	return envelope_set(s->envelope, &s->envelope->reverse_path, path.mailbox);
}

static enum err make_room(struct submit *s)
{
	size_t room = s->room ? s->room * 2 : 4;

	if (s->envelope->recipient_count < s->room)
		return ERR_OK;
	struct text *keys = realloc(s->keys, room * sizeof(*keys));

	if (!keys)
		return ERR_NOMEM;
	s->keys = keys;
	bool *held = realloc(s->held, room * sizeof(*held));

	if (!held)
		return ERR_NOMEM;
	s->held = held;
	s->room = room;
	return ERR_OK;
}

static enum err add_recipient(struct submit *s, struct text given, struct text path,
                              const struct route_choice *choice)
{
	struct envelope *e = s->envelope;
	size_t n = e->recipient_count;

	for (size_t i = 0; i < n; i++)
		if (text_eq(e->recipients[i].forward_path, path))
			return ERR_OK;
	if (make_room(s) || arena_text(&e->arena, route_key(choice), &s->keys[n]) ||
	    envelope_add_recipient(e, path, text_eq(given, path) ? TEXT_EMPTY : given))
		return ERR_NOMEM;
	s->held[n] = choice->via == CONFIG_VIA_HOLD;
	return ERR_OK;
}

static enum err take_to(struct submit *s, struct text value, struct buf *problem)
{
	const struct config *config = s->op.admin->config;
	AUTO(buf_fini) struct buf rewritten = BUF(PATH_MAX_BYTES);
	struct smtp_path path;
	struct route_choice choice;

	if (!text_eq_nocase(value, TEXT("postmaster")) && smtp_mailbox_parse(value, &path)) {
		buf_add_format(problem, "the recipient \"%.*s\" is no address",
		               TEXT_ARGS(text_head(value, 300)));
		return ERR_SYNTAX;
	}
	if (s->envelope->recipient_count >= config->access.max_recipients) {
		buf_add_format(problem, "more than %llu recipients (access.max_recipients)",
		               (unsigned long long)config->access.max_recipients);
		return ERR_SYNTAX;
	}
	if (route_admit_recipient(config, &config->listen.items[0], true, value) != ROUTE_ADMITTED) {
		buf_add_format(problem, "the recipient %.*s is not allowed here (access.recipients)",
		               TEXT_ARGS(value));
		return ERR_SYNTAX;
	}
	route_rewrite_recipient(config, value, &rewritten);
	if (buf_err(&rewritten))
		return ERR_NOMEM;
	if (route_find(config, LISTENER, s->envelope->reverse_path, buf_text(&rewritten), &choice)) {
		buf_add_format(problem, "the recipient %.*s is no address that mail can go to",
		               TEXT_ARGS(value));
		return ERR_SYNTAX;
	}
	if (choice.via == CONFIG_VIA_REJECT) {
		buf_add_format(problem, "the recipient %.*s %s", TEXT_ARGS(value),
		               choice.route ? "is rejected by a route" : "matches no route");
		return ERR_SYNTAX;
	}
	return add_recipient(s, value, buf_text(&rewritten), &choice);
}

/* The sender first, wherever it stands: routes may depend on it. */
static enum err read_paths(struct submit *s, struct text query, const char *wanted,
                           enum err (*take)(struct submit *s, struct text value, struct buf *problem),
                           struct buf *problem)
{
	AUTO(buf_fini) struct buf name = BUF(256), value = BUF(PATH_MAX_BYTES);

	while (http_query_next(&query, &name, &value)) {
		if (!text_eq(buf_text(&name), TEXT("from")) && !text_eq(buf_text(&name), TEXT("to"))) {
			buf_add_format(problem, "there is no \"%.*s\" here, only from and to",
			               TEXT_ARGS(text_head(buf_text(&name), 100)));
			return ERR_SYNTAX;
		}
		if (buf_err(&value)) {
			buf_add_format(problem, "an address has %s", err_text(buf_err(&value)));
			return ERR_SYNTAX;
		}
		enum err err = text_eq(buf_text(&name), text_from(wanted))
		                       ? take(s, buf_text(&value), problem)
		                       : ERR_OK;

		if (err)
			return err;
	}
	return ERR_OK;
}

static enum err read_envelope(struct submit *s, struct text query, struct buf *problem)
{
	enum err err = read_paths(s, query, "from", take_from, problem);

	if (!err)
		err = read_paths(s, query, "to", take_to, problem);
	if (!err && s->envelope->recipient_count == 0) {
		buf_add(problem, TEXT("it has no recipient"));
		err = ERR_SYNTAX;
	}
	return err;
}

static enum err fill_envelope(struct submit *s)
{
	struct admin *a = s->op.admin;
	struct envelope *e = s->envelope;
	enum err err;

	e->received_time = io_now_time(a->options.io);
	e->id = id_next(&a->ids, e->received_time);
	err = envelope_set(e, &e->client, TEXT("unix"));
	if (!err)
		err = envelope_set(e, &e->helo, a->config->hostname);
	if (!err)
		err = envelope_set(e, &e->listener, LISTENER);
	if (!err)
		err = envelope_set(e, &e->protocol, TEXT("HTTP"));
	return err;
}

/* ---------------------------------------------------------------- the decision */

static void tell(struct submit *s, const struct queue_decision *decision)
{
	const struct envelope *e = s->envelope;
	struct event event = EVENT(EVENT_RECEIVED);
	int64_t now = io_now_time(s->op.admin->options.io);

	event.has_id = true;
	event.id = e->id;
	event.recipients = (int64_t)e->recipient_count;
	event.message_id = e->message_id;
	event.from = e->reverse_path;
	event.to = e->recipient_count == 1 ? e->recipients[0].forward_path : TEXT_EMPTY;
	event.size = (int64_t)e->content_bytes;
	event.created_time = e->received_time;
	event.code = 202;
	event.ms.total = (int32_t)MIN(MAX(now - e->received_time, 0), INT32_MAX);
	event.ms.queue = decision->disk_ms;
	event.client_ip = TEXT("unix");
	event.client_listener = e->listener;
	event.client_protocol = e->protocol;
	event.subject = e->subject;
	observe_emit(s->op.admin->options.observe, &event);
}

static void respond_accepted(struct submit *s, const struct queue_decision *decision)
{
	AUTO(buf_fini) struct buf body = BUF(4u << 20);
	const struct envelope *e = s->envelope;
	struct id_text id = id_to_text(e->id);
	struct json_writer w;

	json_writer_init(&w, &body);
	json_open_object(&w, NULL);
	json_put_text(&w, "id", text_of(id.at, ID_CHARS));
	json_put_number(&w, "size", (int64_t)e->content_bytes);
	json_put_number(&w, "disk_ms", decision->disk_ms);
	json_open_array(&w, "recipients");
	for (size_t i = 0; i < e->recipient_count; i++)
		json_put_text(&w, NULL, e->recipients[i].forward_path);
	json_close_array(&w);
	json_close_object(&w);
	buf_add_octet(&body, '\n');
	op_respond_json(&s->op, 202, &body);
}

static void on_decided(void *owner, const struct queue_decision *decision)
{
	struct submit *s = owner;

	if (decision->err) {
		refuse_err(s, decision->err);
		return;
	}
	tell(s, decision);
	respond_accepted(s, decision);
	end(s);
}

/* ---------------------------------------------------------------- content */

/* Whole pieces, not lines, go on to the draft: a call for each line costs more than the line. */
static enum err keep_mended(struct submit *s)
{
	uint64_t limit = s->op.admin->config->access.max_message_size_bytes;
	struct text span = buf_text(&s->mended);

	if (buf_err(&s->mended))
		return ERR_NOMEM;
	s->bytes += span.len;
	if (limit > 0 && s->bytes > limit)
		return ERR_TOO_BIG;
	enum err err = header_scan_feed(&s->header, span);

	if (!err && span.len > 0)
		err = queue_draft_write(s->draft, span);
	buf_reset(&s->mended);
	return err;
}

static void on_body(void *owner, struct text piece)
{
	struct submit *s = owner;

	line_ends_add(&s->line_ends, piece, &s->mended);
	enum err err = keep_mended(s);

	if (err)
		refuse_err(s, err);
	else if (queue_draft_is_busy(s->draft))
		http_pause(s->op.x);
}

static void on_draft_room(void *owner)
{
	struct submit *s = owner;

	if (s->op.x)
		http_resume(s->op.x);
}

static enum err add_trace(struct submit *s, struct buf *trace)
{
	struct envelope *e = s->envelope;
	const struct envelope_recipient *only = e->recipient_count == 1 ? &e->recipients[0] : NULL;
	struct trace fields = {
		.helo = e->helo,
		.hostname = s->op.admin->config->hostname,
		.protocol = e->protocol,
		.id = e->id,
		.received_time = e->received_time,
		.forward_path = !only                     ? TEXT_EMPTY
		                : only->original_path.len ? only->original_path
		                                          : only->forward_path,
	};

	trace_add_received(trace, &fields);
	return buf_err(trace);
}

static enum err finish_content(struct submit *s)
{
	struct envelope *e = s->envelope;

	line_ends_finish(&s->line_ends, &s->mended);
	enum err err = keep_mended(s);

	if (err)
		return err;
	header_scan_finish(&s->header);
	e->content_bytes = s->bytes;
	e->body = s->line_ends.has_8bit ? ENVELOPE_8BIT : ENVELOPE_7BIT;
	err = envelope_set(e, &e->message_id, header_scan_value(&s->header, HEADER_MESSAGE_ID));
	if (!err)
		err = envelope_set(e, &e->subject,
		                   text_head(header_scan_value(&s->header, HEADER_SUBJECT), SUBJECT_KEPT));
	return err;
}

static void on_end(void *owner)
{
	struct submit *s = owner;
	AUTO(buf_fini) struct buf trace = BUF(4096);
	enum err err = finish_content(s);

	if (!err)
		err = add_trace(s, &trace);
	if (err) {
		refuse_err(s, err);
	} else if (s->bytes == 0) {
		refuse(s, 422, "Nothing to send", "the message is empty",
		       "give header fields, a blank line and a text");
	} else if (s->header.counts[HEADER_RECEIVED] > s->op.admin->config->access.max_hops) {
		refuse(s, 422, "A loop",
		       "too many Received fields: this mail goes round in circles (access.max_hops)", "");
	} else {
		struct queue_submission submission = { .envelope = s->envelope,
			                               .prepended = buf_text(&trace),
			                               .keys = s->keys,
			                               .held = s->held,
			                               .mode = QUEUE_STORE };

		/* From here on it is kept even if nobody waits for the answer. */
		queue_accept(s->op.admin->options.queue, &s->draft, &submission, on_decided, s);
	}
}

static void on_gone(void *owner)
{
	struct submit *s = owner;

	s->op.x = NULL;
	if (s->draft) /* else the queue is deciding, and on_decided ends it */
		end(s);
}

static const struct http_exchange_events exchange_events = { .on_body = on_body,
	                                                     .on_end = on_end,
	                                                     .on_gone = on_gone };

/* ---------------------------------------------------------------- the request */

static bool has_right_type(struct http_exchange *x)
{
	struct text type = http_header(x, TEXT("Content-Type"));

	return text_eq_nocase(text_trim(text_cut(&type, ';')), TEXT("message/rfc822"));
}

static bool is_refused(struct submit *s, struct http_exchange *x)
{
	AUTO(buf_fini) struct buf problem = BUF(4096);
	const struct config *config = s->op.admin->config;
	struct admin_health health = { 0 };

	s->op.admin->options.health(s->op.admin->options.owner, &health);
	if (health.stopping) {
		http_respond_problem(x, 503, "Stopping", TEXT("no new mail is taken"),
		                     TEXT("try again after the restart"));
		return true;
	}
	if (!has_right_type(x)) {
		http_respond_problem(x, 415, "Not a message", TEXT("the body must be message/rfc822"),
		                     TEXT("set Content-Type: message/rfc822"));
		return true;
	}
	if (config->access.max_message_size_bytes > 0 && http_body_bytes(x) != UINT64_MAX &&
	    http_body_bytes(x) > config->access.max_message_size_bytes) {
		http_respond_problem(x, 413, "Too large",
		                     TEXT("the message is larger than access.max_message_size"),
		                     TEXT("send a smaller one"));
		return true;
	}
	enum err err = read_envelope(s, http_query(x), &problem);

	if (err == ERR_OK)
		err = fill_envelope(s);
	if (err)
		http_respond_problem(x, problem.len ? 422 : 503,
		                     problem.len ? "Not accepted" : "Out of memory", buf_text(&problem),
		                     problem.len ? TEXT("nothing was sent") : TEXT("try again later"));
	return err != ERR_OK;
}

static void forget(struct submit *s)
{
	envelope_free(&s->envelope);
	free(s->keys);
	free(s->held);
	free(s);
}

void admin_submit(struct admin *a, struct http_exchange *x)
{
	struct submit *s = calloc(1, sizeof(*s));

	if (s)
		s->envelope = envelope_new(ENVELOPE_BUDGET);
	if (!s || !s->envelope) {
		free(s);
		http_respond_problem(x, 503, "Out of memory", TEXT_EMPTY, TEXT("try again later"));
		return;
	}
	s->op.admin = a;
	if (is_refused(s, x)) {
		forget(s);
		return;
	}
	uint64_t declared = http_body_bytes(x) == UINT64_MAX ? 0 : http_body_bytes(x);

	header_scan_init(&s->header);
	buf_init(&s->mended, 4 * IO_READ_BYTES);
	op_begin(&s->op, a, x, &exchange_events);
	enum err err = queue_draft_open(a->options.queue, declared, on_draft_room, s, &s->draft);

	if (err)
		refuse_err(s, err);
}
