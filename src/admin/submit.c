/* POST /v1/messages: a message handed in, answered 202 when it is on disk. It is taken for all its recipients or for
 * none. */
#include "internal.h"

#include <stdlib.h>

#include <postrider/admin/handed_in.h>
#include <postrider/base/auto.h>

#define PATH_MAX_BYTES 1024

struct submit {
	struct op op;
	struct handed_in *message;
};

static void end(struct submit *s)
{
	handed_in_free(&s->message);
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

/* The sender first, wherever it stands: routes may depend on it. */
static enum err read_paths(struct submit *s, struct text query, const char *wanted,
                           enum err (*take)(struct handed_in *h, struct text value, struct buf *problem),
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
		                       ? take(s->message, buf_text(&value), problem)
		                       : ERR_OK;

		if (err)
			return err;
	}
	return ERR_OK;
}

static enum err read_envelope(struct submit *s, struct text query, struct buf *problem)
{
	enum err err = read_paths(s, query, "from", handed_in_from, problem);

	if (!err)
		err = read_paths(s, query, "to", handed_in_to, problem);
	if (!err && handed_in_envelope(s->message)->recipient_count == 0) {
		buf_add(problem, TEXT("it has no recipient"));
		err = ERR_SYNTAX;
	}
	return err;
}

/* ---------------------------------------------------------------- the decision */

static void respond_accepted(struct submit *s, const struct queue_decision *decision)
{
	AUTO(buf_fini) struct buf body = BUF(4u << 20);
	const struct envelope *e = handed_in_envelope(s->message);
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
	respond_accepted(s, decision);
	end(s);
}

/* ---------------------------------------------------------------- content */

static void on_body(void *owner, struct text piece)
{
	struct submit *s = owner;
	enum err err = handed_in_write(s->message, piece);

	if (err)
		refuse_err(s, err);
	else if (handed_in_is_busy(s->message))
		http_pause(s->op.x);
}

static void on_draft_room(void *owner)
{
	struct submit *s = owner;

	if (s->op.x)
		http_resume(s->op.x);
}

static void on_end(void *owner)
{
	struct submit *s = owner;
	AUTO(buf_fini) struct buf problem = BUF(1000);
	enum err err = handed_in_finish(s->message, &problem);

	if (!err)
		err = handed_in_commit(s->message, TEXT_EMPTY, s->op.admin->options.observe, 202, on_decided,
		                       s);
	if (err == ERR_SYNTAX || err == ERR_DENIED)
		buf_add_octet(&problem, '\0');
	if (err == ERR_DENIED) {
		refuse(s, 422, "Not taken", problem.at ? problem.at : "",
		       "`postrider config` shows the routes; another user, header field or size may have one");
	} else if (err == ERR_SYNTAX) {
		refuse(s, 422, "Not a message", problem.at ? problem.at : "",
		       "give header fields, a blank line and a text");
	} else if (err) {
		refuse_err(s, err);
	}
}

static void on_gone(void *owner)
{
	struct submit *s = owner;

	s->op.x = NULL;
	if (!handed_in_is_deciding(s->message)) /* else on_decided ends it */
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

	if (err)
		http_respond_problem(x, problem.len ? 422 : 503,
		                     problem.len ? "Not accepted" : "Out of memory", buf_text(&problem),
		                     problem.len ? TEXT("nothing was sent") : TEXT("try again later"));
	return err != ERR_OK;
}

static enum err begin(struct admin *a, struct submit *s)
{
	return handed_in_new(&(struct handed_in_options){ .io = a->options.io,
	                                                  .queue = a->options.queue,
	                                                  .config = a->config,
	                                                  .id = id_next(&a->ids, io_now_time(a->options.io)),
	                                                  .listener = LIT("admin"),
	                                                  .protocol = LIT("HTTP"),
	                                                  .client = LIT("unix"),
	                                                  .on_room = on_draft_room,
	                                                  .owner = s },
	                     &s->message);
}

void admin_submit(struct admin *a, struct http_exchange *x)
{
	struct submit *s = calloc(1, sizeof(*s));

	if (s)
		s->op.admin = a;
	if (!s || begin(a, s)) {
		free(s);
		http_respond_problem(x, 503, "Out of memory", TEXT_EMPTY, TEXT("try again later"));
		return;
	}
	if (is_refused(s, x)) {
		handed_in_free(&s->message);
		free(s);
		return;
	}
	uint64_t declared = http_body_bytes(x) == UINT64_MAX ? 0 : http_body_bytes(x);

	op_begin(&s->op, a, x, &exchange_events);
	enum err err = handed_in_open(s->message, declared);

	if (err)
		refuse_err(s, err);
}
