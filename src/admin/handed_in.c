#include <postrider/admin/handed_in.h>

#include <stdlib.h>

#include <postrider/base/auto.h>
#include <postrider/base/time.h>
#include <postrider/io/stream.h>
#include <postrider/mail/header.h>
#include <postrider/mail/local_text.h>
#include <postrider/mail/trace.h>
#include <postrider/route.h>
#include <postrider/smtp/path.h>

#define ENVELOPE_BUDGET (8u << 20)
#define PATH_MAX_BYTES 1024
#define SUBJECT_KEPT 200
#define PIECE_MAX IO_READ_BYTES

struct handed_in {
	struct handed_in_options options;
	const struct config *config;
	struct envelope *envelope;
	struct text *keys;
	bool *held, *strict;
	enum config_class *classes;
	size_t room;
	struct queue_draft *draft;
	struct header_scan header;
	struct header_pick pick; /* of the header fields that routes ask for */
	bool provisional;        /* some recipient's way may be another one when the content is known */
	struct local_text lines;
	struct buf mended;
	struct text local_user; /* in the envelope's arena */
	uint64_t bytes;
	bool has_from, is_deciding;
	enum err err; /* of the content, kept */

	struct observe *observe;
	int code;
	queue_decided_fn *on_decided;
	void *decided_owner;
};

/* ---------------------------------------------------------------- life */

static enum err fill_envelope(struct handed_in *h)
{
	const struct handed_in_options *o = &h->options;
	struct envelope *e = h->envelope;
	enum err err;

	e->received_time = io_now_time(o->io);
	e->id = o->id;
	err = envelope_set(e, &e->client, o->client);
	if (!err)
		err = envelope_set(e, &e->helo, h->config->hostname);
	if (!err)
		err = envelope_set(e, &e->listener, o->listener);
	if (!err)
		err = envelope_set(e, &e->protocol, o->protocol);
	if (!err)
		err = envelope_set(e, &h->local_user, o->local_user);
	return err;
}

enum err handed_in_new(const struct handed_in_options *options, struct handed_in **out)
{
	AUTO(handed_in_free) struct handed_in *h = calloc(1, sizeof(*h));

	if (!h)
		return ERR_NOMEM;
	h->options = *options;
	h->config = config_ref(options->config);
	header_scan_init(&h->header);
	header_pick_init(&h->pick, h->config->routes.fields.items, h->config->routes.fields.count);
	if (h->pick.count)
		h->header.pick = &h->pick;
	buf_init(&h->mended, 2 * PIECE_MAX + 16);
	h->envelope = envelope_new(ENVELOPE_BUDGET);
	if (!h->envelope || fill_envelope(h))
		return ERR_NOMEM;
	*out = TAKE(h);
	return ERR_OK;
}

void handed_in_free(struct handed_in **slot)
{
	struct handed_in *h = *slot;

	*slot = NULL;
	if (!h)
		return;
	queue_draft_abort(&h->draft);
	header_scan_fini(&h->header);
	header_pick_fini(&h->pick);
	buf_fini(&h->mended);
	envelope_free(&h->envelope);
	free(h->keys);
	free(h->held);
	free(h->strict);
	free(h->classes);
	config_unref(&h->config);
	free(h);
}

struct envelope *handed_in_envelope(struct handed_in *h)
{
	return h->envelope;
}

bool handed_in_is_deciding(const struct handed_in *h)
{
	return h->is_deciding;
}

/* ---------------------------------------------------------------- envelope */

/* As mail by SMTP: the domain as the DNS has it. */
static enum err plain_path(const struct smtp_path *path, struct buf *room, struct text *mailbox)
{
	enum err err = path->is_utf8 ? smtp_mailbox_to_ascii_domain(path, room) : ERR_OK;

	if (!err && path->is_utf8)
		*mailbox = buf_text(room);
	return err ? err : buf_err(room);
}

enum err handed_in_from(struct handed_in *h, struct text mailbox, struct buf *problem)
{
	AUTO(buf_fini) struct buf room = BUF(PATH_MAX_BYTES);
	struct smtp_path path = { .mailbox = TEXT_EMPTY };
	bool is_null = mailbox.len == 0 || text_eq(mailbox, TEXT("<>"));
	size_t before = problem->len;

	if (h->has_from)
		buf_add(problem, TEXT("there are two senders"));
	else if (!is_null && smtp_mailbox_parse_utf8(mailbox, &path))
		buf_add_format(problem, "the sender \"%.*s\" is no address",
		               TEXT_ARGS(text_head(mailbox, 300)));
	else if (plain_path(&path, &room, &path.mailbox))
		return ERR_NOMEM;
	else if (!route_sender_allowed(h->config, path.mailbox))
		buf_add_format(problem, "the sender %.*s is not allowed here (access.senders)",
		               TEXT_ARGS(path.mailbox));
	if (problem->len > before)
		return ERR_SYNTAX;
	h->has_from = true;
	h->envelope->smtputf8 = h->envelope->smtputf8 || path.is_utf8;
	return envelope_set(h->envelope, &h->envelope->reverse_path, path.mailbox);
}

static enum err make_room(struct handed_in *h)
{
	size_t room = h->room ? h->room * 2 : 4;

	if (h->envelope->recipient_count < h->room)
		return ERR_OK;
	struct text *keys = realloc(h->keys, room * sizeof(*keys));

	if (!keys)
		return ERR_NOMEM;
	h->keys = keys;
	bool *held = realloc(h->held, room * sizeof(*held));

	if (!held)
		return ERR_NOMEM;
	h->held = held;
	bool *strict = realloc(h->strict, room * sizeof(*strict));

	if (!strict)
		return ERR_NOMEM;
	h->strict = strict;
	enum config_class *classes = realloc(h->classes, room * sizeof(*classes));

	if (!classes)
		return ERR_NOMEM;
	h->classes = classes;
	h->room = room;
	return ERR_OK;
}

static enum err add_recipient(struct handed_in *h, struct text given, struct text path,
                              const struct route_choice *choice)
{
	struct envelope *e = h->envelope;
	size_t n = e->recipient_count;

	for (size_t i = 0; i < n; i++)
		if (text_eq(e->recipients[i].forward_path, path))
			return ERR_OK;
	if (make_room(h) || arena_text(&e->arena, route_key(choice), &h->keys[n]) ||
	    envelope_add_recipient(e, path, text_eq(given, path) ? TEXT_EMPTY : given))
		return ERR_NOMEM;
	h->held[n] = choice->via == CONFIG_VIA_HOLD;
	h->strict[n] = route_is_strict(choice->route);
	h->provisional = h->provisional || choice->provisional;
	h->classes[n] = route_class(choice->route, e->priority);
	return ERR_OK;
}

/* The words for a recipient that is refused before its way is looked for; false: it is not. */
static bool is_refused(struct handed_in *h, struct text mailbox, struct buf *problem)
{
	const struct config *config = h->config;
	size_t before = problem->len;

	if (h->envelope->recipient_count >= config->access.max_recipients)
		buf_add_format(problem, "more than %llu recipients (access.max_recipients)",
		               (unsigned long long)config->access.max_recipients);
	else if (route_admit_recipient(config, &config->listen.items[0], true, mailbox) != ROUTE_ADMITTED)
		buf_add_format(problem, "the recipient %.*s is not allowed here (access.recipients)",
		               TEXT_ARGS(mailbox));
	return problem->len > before;
}

enum err handed_in_to(struct handed_in *h, struct text mailbox, struct buf *problem)
{
	AUTO(buf_fini) struct buf rewritten = BUF(PATH_MAX_BYTES);
	AUTO(buf_fini) struct buf room = BUF(PATH_MAX_BYTES);
	struct smtp_path path = { .is_utf8 = false };
	struct text given = mailbox;
	const struct route_message message = { .listener = h->options.listener,
		                               .user = h->envelope->user,
		                               .reverse_path = h->envelope->reverse_path };
	struct route_choice choice;

	if (!text_eq_nocase(mailbox, TEXT("postmaster")) && smtp_mailbox_parse_utf8(mailbox, &path)) {
		buf_add_format(problem, "the recipient \"%.*s\" is no address",
		               TEXT_ARGS(text_head(mailbox, 300)));
		return ERR_SYNTAX;
	}
	if (plain_path(&path, &room, &mailbox))
		return ERR_NOMEM;
	if (is_refused(h, mailbox, problem))
		return ERR_SYNTAX;
	route_rewrite_recipient(h->config, mailbox, &rewritten);
	if (buf_err(&rewritten))
		return ERR_NOMEM;
	if (route_find(h->config, &message, buf_text(&rewritten), &choice)) {
		buf_add_format(problem, "the recipient %.*s is no address that mail can go to",
		               TEXT_ARGS(mailbox));
		return ERR_SYNTAX;
	}
	if (choice.via == CONFIG_VIA_REJECT && !choice.provisional) {
		buf_add_format(problem, "the recipient %.*s %s", TEXT_ARGS(mailbox),
		               choice.route ? "is rejected by a route" : "matches no route");
		return ERR_SYNTAX;
	}
	h->envelope->smtputf8 = h->envelope->smtputf8 || path.is_utf8;
	return add_recipient(h, given, buf_text(&rewritten), &choice);
}

/* ---------------------------------------------------------------- content */

enum err handed_in_open(struct handed_in *h, uint64_t declared_bytes)
{
	uint64_t limit = h->config->access.max_message_size_bytes;

	if (limit > 0 && declared_bytes > limit)
		return ERR_TOO_BIG;
	return queue_draft_open(h->options.queue, declared_bytes, h->options.on_room, h->options.owner,
	                        &h->draft);
}

/* Whole pieces, not lines, go on to the draft: a call for each line costs more than the line. */
static enum err keep_mended(struct handed_in *h)
{
	uint64_t limit = h->config->access.max_message_size_bytes;
	struct text span = buf_text(&h->mended);

	if (buf_err(&h->mended))
		return ERR_NOMEM;
	h->bytes += span.len;
	if (limit > 0 && h->bytes > limit)
		return ERR_TOO_BIG;
	enum err err = header_scan_feed(&h->header, span);

	if (!err && span.len > 0)
		err = queue_draft_write(h->draft, span);
	buf_reset(&h->mended);
	return err;
}

enum err handed_in_write(struct handed_in *h, struct text octets)
{
	while (!h->err && octets.len > 0) {
		local_text_add(&h->lines, text_head(octets, PIECE_MAX), &h->mended);
		octets = text_skip(octets, PIECE_MAX);
		h->err = keep_mended(h);
	}
	return h->err;
}

bool handed_in_is_busy(const struct handed_in *h)
{
	return h->draft && queue_draft_is_busy(h->draft);
}

static enum err know_content(struct handed_in *h)
{
	struct envelope *e = h->envelope;

	header_scan_finish(&h->header);
	e->content_bytes = h->bytes;
	e->body = h->lines.has_8bit ? ENVELOPE_8BIT : ENVELOPE_7BIT;
	e->header_8bit = h->header.is_8bit;
	e->tls_wish = header_scan_wants_no_tls(&h->header) ? ENVELOPE_TLS_OPTIONAL : ENVELOPE_TLS_UNSAID;
	enum err err = envelope_set(e, &e->message_id, header_scan_value(&h->header, HEADER_MESSAGE_ID));

	if (!err)
		err = envelope_set(e, &e->subject,
		                   text_head(header_scan_value(&h->header, HEADER_SUBJECT), SUBJECT_KEPT));
	if (!err)
		err = header_pick_finish(&h->pick);
	return err ? err : envelope_set(e, &e->fields, buf_text(&h->pick.lines));
}

/* As in an SMTP session: refused when all recipients are rejected, else those that are come back as a report. */
static enum err look_again(struct handed_in *h, struct buf *problem)
{
	struct envelope *e = h->envelope;
	const struct route_message message = { .listener = h->options.listener,
		                               .user = e->user,
		                               .reverse_path = e->reverse_path,
		                               .fields = e->fields,
		                               .content_bytes = e->content_bytes,
		                               .is_received = true };
	struct route_choice choice = { .route = NULL };
	size_t rejected = 0;

	for (size_t i = 0; h->provisional && i < e->recipient_count; i++) {
		if (route_find(h->config, &message, e->recipients[i].forward_path, &choice) ||
		    arena_text(&e->arena, route_key(&choice), &h->keys[i]))
			return ERR_NOMEM;
		h->held[i] = choice.via == CONFIG_VIA_HOLD;
		h->strict[i] = route_is_strict(choice.route);
		h->classes[i] = route_class(choice.route, e->priority);
		rejected += choice.via == CONFIG_VIA_REJECT;
	}
	if (!rejected || rejected < e->recipient_count)
		return ERR_OK;
	buf_add_string(problem, choice.route ? "the message is rejected by a route (routes)"
	                                     : "the message matches no route (routes)");
	return ERR_DENIED;
}

enum err handed_in_finish(struct handed_in *h, struct buf *problem)
{
	if (!h->err) {
		local_text_finish(&h->lines, &h->mended);
		h->err = keep_mended(h);
	}
	if (!h->err)
		h->err = know_content(h);
	if (!h->err)
		h->err = look_again(h, problem);
	if (h->err)
		return h->err;
	if (h->bytes == 0)
		buf_add(problem, TEXT("the message is empty"));
	else if (h->lines.has_nul)
		buf_add(problem, TEXT("the message holds octets of zero, which mail cannot carry"));
	else if (h->header.counts[HEADER_RECEIVED] > h->config->access.max_hops)
		buf_add(problem,
		        TEXT("too many Received fields: this mail goes round in circles (access.max_hops)"));
	return problem->len > 0 ? ERR_SYNTAX : ERR_OK;
}

/* ---------------------------------------------------------------- the decision */

static void tell(struct handed_in *h, const struct queue_decision *decision)
{
	const struct envelope *e = h->envelope;
	struct event event = EVENT(EVENT_RECEIVED);
	int64_t now = io_now_time(h->options.io);

	event.has_id = true;
	event.id = e->id;
	event.recipients = (int64_t)e->recipient_count;
	event.message_id = e->message_id;
	event.from = e->reverse_path;
	event.to = e->recipient_count == 1 ? e->recipients[0].forward_path : TEXT_EMPTY;
	event.size = (int64_t)e->content_bytes;
	event.created_time = e->received_time;
	event.code = h->code;
	event.ms.total = (int32_t)MIN(MAX(now - e->received_time, 0), INT32_MAX);
	event.ms.queue = decision->disk_ms;
	event.client_ip = e->client;
	event.client_listener = e->listener;
	event.client_protocol = e->protocol;
	event.subject = e->subject;
	observe_emit(h->observe, &event);
}

static void on_decided(void *owner, const struct queue_decision *decision)
{
	struct handed_in *h = owner;

	h->is_deciding = false;
	if (!decision->err)
		tell(h, decision);
	h->on_decided(h->decided_owner, decision);
}

static enum err add_trace(struct handed_in *h, struct buf *out)
{
	struct envelope *e = h->envelope;
	const struct envelope_recipient *only = e->recipient_count == 1 ? &e->recipients[0] : NULL;
	struct trace fields = {
		.helo = e->helo,
		.local_user = h->local_user,
		.hostname = h->config->hostname,
		.protocol = e->protocol,
		.id = e->id,
		.received_time = e->received_time,
		.forward_path = !only                     ? TEXT_EMPTY
		                : only->original_path.len ? only->original_path
		                                          : only->forward_path,
	};

	trace_add_received(out, &fields);
	return buf_err(out);
}

static void add_message_id(struct handed_in *h, struct buf *out)
{
	AUTO(buf_fini) struct buf message_id = BUF(400);
	struct id_text id = id_to_text(h->envelope->id);

	buf_add_format(&message_id, "<%.*s@%.*s>", ID_CHARS, id.at, TEXT_ARGS(h->config->hostname));
	buf_add_format(out, "Message-ID: %.*s\r\n", TEXT_ARGS(buf_text(&message_id)));
	if (envelope_set(h->envelope, &h->envelope->message_id, buf_text(&message_id)))
		h->envelope->message_id = TEXT_EMPTY; /* its story goes without */
}

/* RFC 6409 section 8: what a submission may lack. */
static void add_missing(struct handed_in *h, struct buf *out)
{
	const struct envelope *e = h->envelope;

	if (h->header.counts[HEADER_DATE] == 0) {
		buf_add(out, TEXT("Date: "));
		time_add_rfc5322(out, e->received_time);
		buf_add(out, TEXT("\r\n"));
	}
	if (h->header.counts[HEADER_MESSAGE_ID] == 0)
		add_message_id(h, out);
	if (h->header.counts[HEADER_FROM] == 0)
		buf_add_format(out, "From: %.*s\r\n",
		               TEXT_ARGS(e->reverse_path.len ? e->reverse_path : h->config->bounce.from));
}

enum err handed_in_commit(struct handed_in *h, struct text fields, struct observe *observe, int code,
                          queue_decided_fn *decided, void *owner)
{
	AUTO(buf_fini) struct buf prepended = BUF(16384);
	enum err err = add_trace(h, &prepended);

	buf_add(&prepended, fields);
	if (h->options.add_missing)
		add_missing(h, &prepended);
	if (err || buf_err(&prepended))
		return ERR_NOMEM;
	struct queue_submission submission = { .envelope = h->envelope,
		                               .prepended = buf_text(&prepended),
		                               .keys = h->keys,
		                               .held = h->held,
		                               .classes = h->classes,
		                               .strict = h->strict,
		                               .mode = QUEUE_STORE };

	h->observe = observe;
	h->code = code;
	h->on_decided = decided;
	h->decided_owner = owner;
	h->is_deciding = true;
	/* From here on it is kept even if nobody waits for the answer. */
	queue_accept(h->options.queue, &h->draft, &submission, on_decided, h);
	return ERR_OK;
}
