#include "report_send.h"

#include <stdlib.h>

#include <postrider/base/auto.h>
#include <postrider/http/client.h>
#include <postrider/io/lane.h>
#include <postrider/queue.h>
#include <postrider/route.h>

#include "report_txt.h"

#define ARENA_BYTES (256u << 10)
#define JSON_BYTES (8u << 20)
#define MAIL_BYTES (16u << 20)
#define ENVELOPE_BYTES (64u << 10)
#define PROBLEM_MAX 1024
#define NAME_MAX_BYTES 253
#define POST_SILENCE_MS (30 * SECOND_MS)
#define POST_CONNECT_MS (15 * SECOND_MS)
#define POST_MS (2 * MINUTE_MS)
#define RESPONSE_MAX (64u << 10)

struct report_sending {
	struct report_send_options o;
	struct dns_lookup *txt;
	struct arena arena;
	struct report_places places;
	size_t at; /* the place whose turn it is */
	struct io_job job;
	struct buf json, gzip;
	enum err gzip_err;
	bool in_job, cancelled;
	struct http_call *call;
	int status;
	struct queue_ticket *ticket;
	struct envelope *envelope; /* of the message the queue decides on */
	bool later, sent;
	struct buf problem;
};

static void next_place(struct report_sending *s);

static void sending_free(struct report_sending *s)
{
	config_unref(&s->o.config);
	tls_context_unref(&s->o.tls);
	arena_fini(&s->arena);
	envelope_free(&s->envelope);
	buf_fini(&s->json);
	buf_fini(&s->gzip);
	buf_fini(&s->problem);
	free(s);
}

static void end(struct report_sending *s, enum report_end how)
{
	struct report_send_options o = s->o;

	o.on_end(o.owner, how, buf_text(&s->problem));
	sending_free(s);
}

/* Not now. The first word counts. */
static void fail(struct report_sending *s, bool later, struct text what, struct text why)
{
	s->later = s->later || later;
	if (s->problem.len == 0)
		buf_add_format(&s->problem, "%.*s: %.*s", TEXT_ARGS(text_head(what, 300)),
		               TEXT_ARGS(text_head(why, 600)));
}

static const struct report_place *place(const struct report_sending *s)
{
	return &s->places.items[s->at];
}

static void place_done(struct report_sending *s)
{
	s->o.domain->sent |= BIT(s->at);
	s->sent = true;
}

static struct report_head head_of(const struct report_sending *s)
{
	const struct config *c = s->o.config;

	return (struct report_head){ .organization = c->tls_reports.organization,
		                     .contact = c->tls_reports.from,
		                     .submitter = c->hostname };
}

/* ---------------------------------------------------------------- by mail */

/* RFC 8460 section 5.3: what is wrong with TLS there must not stop word of it. */
static enum err make_envelope(struct report_sending *s, uint64_t bytes)
{
	struct envelope *e = s->envelope = envelope_new(ENVELOPE_BYTES);
	struct text from = s->o.config->tls_reports.from;
	enum err err;

	if (!e)
		return ERR_NOMEM;
	e->received_time = io_now_time(s->o.io);
	e->id = id_next(s->o.ids, e->received_time);
	e->tls_wish = ENVELOPE_TLS_OPTIONAL;
	e->content_bytes = bytes;
	err = envelope_set(e, &e->reverse_path, from);
	if (!err)
		err = envelope_add_recipient(e, place(s)->to, TEXT_EMPTY);
	if (!err)
		err = envelope_set(e, &e->protocol, TEXT("LOCAL"));
	if (!err)
		err = envelope_set(e, &e->client, TEXT("local"));
	return err;
}

static void tell(const struct report_sending *s)
{
	const struct envelope *e = s->envelope;
	struct event event = EVENT(EVENT_RECEIVED);

	event.has_id = true;
	event.id = e->id;
	event.recipients = 1;
	event.from = e->reverse_path;
	event.to = e->recipients[0].forward_path;
	event.size = (int64_t)e->content_bytes;
	event.created_time = e->received_time;
	event.client_protocol = e->protocol;
	event.detail = TEXT("a report on TLS of ours");
	observe_emit(s->o.observe, &event);
}

static void on_decided(void *owner, const struct queue_decision *decision)
{
	struct report_sending *s = owner;

	s->ticket = NULL;
	if (decision->err) {
		fail(s, true, TEXT("the queue"), text_from(err_text(decision->err)));
	} else {
		tell(s);
		place_done(s);
	}
	envelope_free(&s->envelope);
	s->at++;
	next_place(s);
}

static enum err write_mail(struct report_sending *s, struct queue_draft **draft)
{
	struct report_mail mail = { .domain = s->o.domain,
		                    .head = head_of(s),
		                    .to = place(s)->to,
		                    .id = s->envelope->id,
		                    .now_time = s->envelope->received_time,
		                    .gzip = buf_text(&s->gzip) };
	AUTO(buf_fini) struct buf message = BUF(MAIL_BYTES);
	enum err err;

	report_add_mail(&message, &mail);
	err = buf_err(&message);
	s->envelope->content_bytes = message.len;
	if (!err)
		err = queue_draft_open(s->o.queue, message.len, NULL, NULL, draft);
	return err ? err : queue_draft_write(*draft, buf_text(&message));
}

static enum err send_mail(struct report_sending *s)
{
	const struct route_message message = { .reverse_path = s->o.config->tls_reports.from,
		                               .is_received = true };
	struct queue_draft *draft = NULL;
	struct route_choice choice;
	struct text key;
	bool held;
	enum err err = route_find(s->o.config, &message, place(s)->to, &choice);

	if (!err && choice.via == CONFIG_VIA_REJECT)
		err = ERR_DENIED;
	if (!err)
		err = make_envelope(s, 0);
	if (!err)
		err = write_mail(s, &draft);
	if (err) {
		queue_draft_abort(&draft);
		return err;
	}
	key = route_key(&choice);
	held = choice.via == CONFIG_VIA_HOLD;
	s->ticket = queue_accept(s->o.queue, &draft,
	                         &(struct queue_submission){ .envelope = s->envelope,
	                                                     .prepended = TEXT_EMPTY,
	                                                     .keys = &key,
	                                                     .held = &held,
	                                                     .mode = QUEUE_STORE },
	                         on_decided, s);
	return ERR_OK;
}

/* ---------------------------------------------------------------- by https */

static void on_head(void *owner, int status, struct text content_type)
{
	struct report_sending *s = owner;

	(void)content_type;
	s->status = status;
}

static void on_body(void *owner, struct text piece)
{
	(void)owner;
	(void)piece;
}

static bool may_help_later(int status)
{
	return status >= 500 || status == 408 || status == 425 || status == 429;
}

static void on_posted(void *owner, enum err err, struct text why)
{
	struct report_sending *s = owner;
	bool answered = !err || err == ERR_TOO_BIG;

	s->call = NULL;
	if (!answered) {
		fail(s, err != ERR_DENIED, place(s)->to, why.len ? why : text_from(err_text(err)));
	} else if (s->status / 100 == 2) {
		place_done(s);
	} else {
		struct buf words = BUF(64);

		buf_add_format(&words, "it answered %d", s->status);
		fail(s, may_help_later(s->status), place(s)->to, buf_text(&words));
		buf_fini(&words);
	}
	s->at++;
	next_place(s);
}

/* The URL is a stranger's: what it may reach is what his mail hosts could be. */
static bool may_connect(void *owner, struct ip ip)
{
	const struct report_sending *s = owner;
	static const struct config_ips nobody = { 0 };

	return route_target_allowed(s->o.config, ip, &nobody, NULL);
}

static enum err post(struct report_sending *s)
{
	static const struct http_call_events events = { .on_head = on_head,
		                                        .on_body = on_body,
		                                        .on_done = on_posted };
	struct http_call_options options = { .io = s->o.io,
		                             .url = place(s)->to,
		                             .dns = s->o.dns,
		                             .tls = s->o.tls,
		                             .may_connect = may_connect,
		                             .method = TEXT("POST"),
		                             .content_type = TEXT("application/tlsrpt+gzip"),
		                             .body = buf_text(&s->gzip),
		                             .timeout_ms = POST_SILENCE_MS,
		                             .connect_ms = POST_CONNECT_MS,
		                             .total_ms = POST_MS,
		                             .max_body = RESPONSE_MAX,
		                             .events = &events,
		                             .owner = s };

	s->status = 0;
	return s->o.tls ? http_call_start(&options, &s->call) : ERR_UNSUPPORTED;
}

/* ---------------------------------------------------------------- all of it */

static enum err send_to_place(struct report_sending *s)
{
	if (!place(s)->is_mail)
		return post(s);
	return s->o.queue ? send_mail(s) : ERR_UNSUPPORTED;
}

static void next_place(struct report_sending *s)
{
	for (; s->at < s->places.count; s->at++) {
		enum err err;

		if (s->o.domain->sent & BIT(s->at)) {
			s->sent = true;
			continue;
		}
		err = send_to_place(s);
		if (!err)
			return; /* its end goes on */
		envelope_free(&s->envelope);
		fail(s, err == ERR_NOMEM || err == ERR_FULL || err == ERR_IO, place(s)->to,
		     text_from(err_text(err)));
	}
	end(s, s->later ? REPORT_LATER : s->sent ? REPORT_SENT : REPORT_REFUSED);
}

static void run_gzip(struct io_job *job)
{
	struct report_sending *s = CONTAINER_OF(job, struct report_sending, job);

	s->gzip_err = report_gzip(buf_text(&s->json), &s->gzip);
}

static void on_gzip(struct io_job *job)
{
	struct report_sending *s = CONTAINER_OF(job, struct report_sending, job);

	s->in_job = false;
	if (s->cancelled) {
		sending_free(s);
		return;
	}
	buf_fini(&s->json);
	if (!s->gzip_err) {
		next_place(s);
		return;
	}
	fail(s, true, TEXT("compressing it"), text_from(err_text(s->gzip_err)));
	end(s, REPORT_LATER);
}

static void make_report(struct report_sending *s)
{
	struct report_head head = head_of(s);

	report_add_json(&s->json, s->o.domain, &head);
	if (buf_err(&s->json)) {
		fail(s, true, TEXT("making it"), text_from(err_text(buf_err(&s->json))));
		end(s, REPORT_LATER);
		return;
	}
	s->in_job = true;
	s->job = (struct io_job){ .run = run_gzip, .done = on_gzip };
	io_job_submit(s->o.io, IO_LANE_CPU, &s->job);
}

static void on_txt(void *owner, enum err err, const struct dns_text_list *txt, struct text problem)
{
	struct report_sending *s = owner;

	if (err && err != ERR_NOT_FOUND) {
		fail(s, true, TEXT("the TXT record"), problem);
		end(s, REPORT_LATER);
		return;
	}
	if (!err)
		err = report_txt_parse(txt->texts, txt->count, &s->arena, &s->places);
	if (err)
		end(s, err == ERR_NOMEM ? REPORT_LATER : REPORT_NOBODY_ASKS);
	else
		make_report(s);
}

static enum err ask_txt(struct report_sending *s)
{
	struct buf name = BUF(NAME_MAX_BYTES);
	enum err err;

	buf_add(&name, TEXT("_smtp._tls."));
	buf_add(&name, s->o.domain->by_name.key);
	err = buf_err(&name);
	if (!err)
		err = dns_find_txt(s->o.dns, buf_text(&name), &s->txt, on_txt, s);
	buf_fini(&name);
	return err;
}

enum err report_send_start(const struct report_send_options *options, struct report_sending **out)
{
	struct report_sending *s = calloc(1, sizeof(*s));
	enum err err;

	if (!s)
		return ERR_NOMEM;
	s->o = *options;
	s->o.config = config_ref(options->config);
	s->o.tls = options->tls ? tls_context_ref(options->tls) : NULL;
	arena_init(&s->arena, ARENA_BYTES);
	buf_init(&s->json, JSON_BYTES);
	buf_init(&s->gzip, JSON_BYTES);
	buf_init(&s->problem, PROBLEM_MAX);
	err = ask_txt(s);
	if (err)
		sending_free(s);
	else
		*out = s;
	return err;
}

void report_send_cancel(struct report_sending **slot)
{
	struct report_sending *s = TAKE(*slot);

	if (!s)
		return;
	dns_cancel(&s->txt);
	http_call_cancel(&s->call);
	if (s->ticket)
		queue_accept_forget(s->ticket);
	s->ticket = NULL;
	s->cancelled = true;
	if (!s->in_job)
		sending_free(s);
}
