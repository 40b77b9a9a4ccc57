/* What can be said at once: health, version, configuration, numbers. */
#include "internal.h"

#include <postrider/base/auto.h>

#define ANSWER_MAX_BYTES (4u << 20)
/* Destinations beyond what fits here are not listed. */
#define DESTINATIONS_MAX_BYTES (3u << 20)

static void respond(struct http_exchange *x, int status, struct text type, const struct buf *body)
{
	if (buf_err(body))
		http_respond_problem(x, 503, "Out of memory", TEXT_EMPTY, TEXT("try again later"));
	else
		http_respond(x, status, type, buf_text(body));
}

static bool is_asked_for(struct http_exchange *x, const char *what)
{
	AUTO(buf_fini) struct buf name = BUF(256), value = BUF(256);
	struct text rest = http_query(x);

	while (http_query_next(&rest, &name, &value))
		if (text_eq(buf_text(&name), text_from(what)))
			return true;
	return false;
}

/* ---------------------------------------------------------------- health */

struct check {
	const char *name;
	bool ok;
	const char *detail; /* when it is not */
};

static void add_check(struct json_writer *w, const struct check *check, bool *all)
{
	json_open_object(w, NULL);
	json_put_string(w, "name", check->name);
	json_put_bool(w, "ok", check->ok);
	if (!check->ok)
		json_put_string(w, "detail", check->detail);
	json_close_object(w);
	*all = *all && check->ok;
}

static void add_space(struct json_writer *w, const struct queue_space *space)
{
	json_open_object(w, "spool");
	json_put_number(w, "used_bytes", (int64_t)space->used_bytes);
	json_put_number(w, "limit_bytes", (int64_t)space->limit_bytes);
	json_put_number(w, "disk_free_bytes", (int64_t)space->disk_free_bytes);
	json_put_number(w, "messages", (int64_t)space->messages);
	json_put_number(w, "recipients", (int64_t)space->recipients);
	json_put_number(w, "held_recipients", (int64_t)space->held_recipients);
	json_close_object(w);
}

/* Never the upstream: that it is down is for metrics, and no reason to be restarted. */
void admin_health(struct admin *a, struct http_exchange *x)
{
	AUTO(buf_fini) struct buf body = BUF(ANSWER_MAX_BYTES);
	struct admin_health health = { 0 };
	struct queue_space space = queue_space(a->options.queue);
	struct json_writer w;
	bool ready = true;

	a->options.health(a->options.owner, &health);
	const struct check checks[] = {
		{ "listeners", health.listening, "not every listener of the configuration is open" },
		{ "running", !health.stopping, "stopping: no new mail is taken" },
		{ "spool_space", !space.full, "the spool is full: new mail gets 452 4.3.1" },
		{ "spool_disk", !space.failed, "the disk under the spool has failed" },
	};

	json_writer_init(&w, &body);
	json_open_object(&w, NULL);
	json_put_bool(&w, "live", true); /* whoever answers lives */
	json_open_array(&w, "checks");
	for (size_t i = 0; i < ARRAY_LEN(checks); i++)
		add_check(&w, &checks[i], &ready);
	json_close_array(&w);
	json_put_bool(&w, "ready", ready);
	json_put_number(&w, "up_seconds", (io_now_time(a->options.io) - a->start_time) / SECOND_MS);
	add_space(&w, &space);
	json_close_object(&w);
	buf_add_octet(&body, '\n');
	respond(x, ready || is_asked_for(x, "live") ? 200 : 503, HTTP_JSON, &body);
}

/* ---------------------------------------------------------------- version, configuration */

void admin_version(struct admin *a, struct http_exchange *x)
{
	AUTO(buf_fini) struct buf body = BUF(ANSWER_MAX_BYTES);
	struct json_writer w;

	json_writer_init(&w, &body);
	json_open_object(&w, NULL);
	json_put_text(&w, "version", buf_text(&a->version));
	json_put_text(&w, "commit", buf_text(&a->commit));
	json_put_text(&w, "hostname", a->config->hostname);
	json_put_time(&w, "started", a->start_time);
	json_close_object(&w);
	buf_add_octet(&body, '\n');
	respond(x, 200, HTTP_JSON, &body);
}

void admin_config(struct admin *a, struct http_exchange *x)
{
	AUTO(buf_fini) struct buf body = BUF(ANSWER_MAX_BYTES);

	config_print(a->config, is_asked_for(x, "origin"), &body);
	respond(x, 200, TEXT("application/yaml"), &body);
}

/* ---------------------------------------------------------------- numbers */

static void add_histogram(struct json_writer *w, const struct counter_view *v)
{
	const struct histogram *h = v->histogram;

	json_put_number(w, "count", (int64_t)h->count);
	json_put_real(w, "sum", (double)h->sum * v->unit);
	json_put_real(w, "p50", (double)histogram_quantile(h, 500) * v->unit);
	json_put_real(w, "p90", (double)histogram_quantile(h, 900) * v->unit);
	json_put_real(w, "p99", (double)histogram_quantile(h, 990) * v->unit);
	json_put_real(w, "max", (double)h->max * v->unit);
}

static void add_counter(void *owner, const struct counter_view *v)
{
	struct json_writer *w = owner;

	json_open_object(w, NULL);
	json_put_string(w, "name", v->name);
	if (v->label)
		json_put_text(w, v->label, v->label_value);
	if (v->histogram)
		add_histogram(w, v);
	else
		json_put_number(w, "value", (int64_t)v->value);
	json_close_object(w);
}

static void add_destination(void *owner, const struct schedule_destination *d)
{
	struct json_writer *w = owner;

	if (w->out->len > DESTINATIONS_MAX_BYTES)
		return;
	json_open_object(w, NULL);
	json_put_text(w, "key", d->key);
	json_put_number(w, "ready", (int64_t)d->ready);
	json_put_number(w, "in_flight", (int64_t)d->in_flight);
	json_put_number(w, "connections", d->connections);
	json_put_number(w, "window", d->window);
	json_put_time(w, "next_due", d->next_due_time == INT64_MAX ? 0 : d->next_due_time);
	json_put_text_if(w, "limit", d->limit);
	if (d->limited_until_time > 0)
		json_put_time(w, "limited_until", d->limited_until_time);
	if (d->slow_until_time > 0)
		json_put_time(w, "slow_until", d->slow_until_time);
	if (d->suspended_until_time > 0) {
		json_put_time(w, "suspended_until", d->suspended_until_time);
		json_put_text_if(w, "reason", reason_text(d->reason));
		json_put_text_if(w, "problem", d->problem);
	}
	json_close_object(w);
}

static void add_exposure(void *owner, const struct schedule_exposure *e)
{
	struct json_writer *w = owner;

	if (w->out->len > DESTINATIONS_MAX_BYTES)
		return;
	json_open_object(w, NULL);
	json_put_text(w, "key", e->key);
	json_put_number(w, "unknown", (int64_t)e->unknown);
	json_put_number(w, "attempts", (int64_t)e->attempts);
	json_put_time(w, "last", e->last_time);
	json_put_text_if(w, "remote", e->remote);
	json_close_object(w);
}

static void add_certificate(void *owner, struct text listener, struct text name, struct text serial,
                            int64_t not_after_time)
{
	struct json_writer *w = owner;

	json_open_object(w, NULL);
	json_put_text(w, "listener", listener);
	json_put_text_if(w, "name", name);
	json_put_text(w, "serial", serial);
	json_put_time(w, "not_after", not_after_time);
	json_close_object(w);
}

void admin_counters(struct admin *a, struct http_exchange *x)
{
	AUTO(buf_fini) struct buf body = BUF(ANSWER_MAX_BYTES);
	struct queue_space space = queue_space(a->options.queue);
	struct json_writer w;

	json_writer_init(&w, &body);
	json_open_object(&w, NULL);
	json_open_array(&w, "counters");
	counters_each(observe_counters(a->options.observe), add_counter, &w);
	json_close_array(&w);
	add_space(&w, &space);
	json_open_array(&w, "certificates");
	if (a->options.each_certificate)
		a->options.each_certificate(a->options.owner, add_certificate, &w);
	json_close_array(&w);
	json_open_array(&w, "destinations");
	if (a->options.schedule)
		schedule_each_destination(a->options.schedule, add_destination, &w);
	json_close_array(&w);
	json_open_array(&w, "unknown_outcomes");
	if (a->options.schedule)
		schedule_each_exposure(a->options.schedule, add_exposure, &w);
	json_close_array(&w);
	json_close_object(&w);
	buf_add_octet(&body, '\n');
	respond(x, 200, HTTP_JSON, &body);
}
