#include "report.h"

#include <stdlib.h>

#include <postrider/base/auto.h>

#include "keep.h"
#include "report_book.h"
#include "report_send.h"
#include "sts_parse.h"

#define JITTER_MS (4 * HOUR_MS)         /* RFC 8460 section 4.1: not everybody at midnight */
#define AFTER_START_MS (10 * MINUTE_MS) /* what is late already is spread over so much */
#define TRIES_MAX 3
#define GIVE_UP_DAYS 3 /* after the day it is about */
#define SENDINGS_MAX 4
#define KEEP_BYTES (2 * REPORT_BYTES_MAX)
#define KEEP_DELAY_MS (30 * SECOND_MS)
#define KEEP_INTERVAL_MS (5 * MINUTE_MS)

struct reports {
	struct reports_options o;
	struct random random;
	struct id_source ids;
	struct tls_context *tls;
	struct report_book book;
	struct io_timer midnight;
	struct list queue; /* those whose time has come */
	struct sending {
		struct reports *reports;
		struct report_domain *domain; /* NULL: free */
		struct report_sending *sending;
	} sendings[SENDINGS_MAX];
	struct keep *keep;
	bool is_told_full; /* today */
};

static int64_t now_time(const struct reports *r)
{
	return io_now_time(r->o.io);
}

static void say(struct reports *r, struct text words)
{
	struct event event = EVENT(EVENT_WARNING);

	event.level = LEVEL_WARN;
	event.detail = words;
	observe_emit(r->o.observe, &event);
}

static void touch(struct reports *r)
{
	if (r->keep)
		keep_touch(r->keep);
}

/* ---------------------------------------------------------------- sending */

static void on_due(void *owner);
static void start_next(struct reports *r);

/* What is forgotten without a timer would stay for ever: it goes. */
static void arm(struct reports *r, struct report_domain *d, int64_t at_time)
{
	if (io_timer_start(r->o.io, &d->timer, io_at_of_time(r->o.io, at_time), on_due, d))
		report_book_drop(&r->book, d);
}

static void drop(struct reports *r, struct report_domain *d)
{
	io_timer_stop(r->o.io, &d->timer);
	list_remove(&d->queued);
	report_book_drop(&r->book, d);
	touch(r);
}

static void say_lost(struct reports *r, const struct report_domain *d, struct text problem)
{
	struct buf words = BUF(2048);

	buf_add_format(&words, "TLSRPT: the report for %.*s could not be sent and is given up: %.*s",
	               TEXT_ARGS(d->by_name.key), TEXT_ARGS(problem));
	say(r, buf_text(&words));
	buf_fini(&words);
}

/* A quarter of an hour, then two hours. */
static void try_again(struct reports *r, struct report_domain *d, struct text problem)
{
	d->tries++;
	if (d->tries >= TRIES_MAX) {
		say_lost(r, d, problem);
		drop(r, d);
		return;
	}
	arm(r, d, now_time(r) + (d->tries == 1 ? 15 * MINUTE_MS : 2 * HOUR_MS));
	touch(r);
}

static void on_end(void *owner, enum report_end end, struct text problem)
{
	struct sending *slot = owner;
	struct reports *r = slot->reports;
	struct report_domain *d = TAKE(slot->domain);

	slot->sending = NULL;
	switch (end) {
	case REPORT_LATER:
		try_again(r, d, problem);
		break;
	case REPORT_REFUSED:
		say_lost(r, d, problem);
		drop(r, d);
		break;
	case REPORT_SENT:
	case REPORT_NOBODY_ASKS:
		drop(r, d);
		break;
	}
	start_next(r);
}

/* Made when it is first needed. Without CAs reports by https are given up in the end, with a word. */
static struct tls_context *tls_of(struct reports *r)
{
	struct tls_client_options options = { .verify = true };
	struct buf problem = BUF(1024);
	enum err err = ERR_OK;

	if (!r->tls)
		err = r->o.client_context
		              ? r->o.client_context(r->o.client_context_owner, &options, &r->tls, &problem)
		              : tls_client_context_new(r->o.io, &options, &r->tls, &problem);
	buf_fini(&problem);
	return err ? NULL : r->tls;
}

static bool start(struct reports *r, struct sending *slot, struct report_domain *d)
{
	struct report_send_options options = { .io = r->o.io,
		                               .dns = r->o.dns,
		                               .queue = r->o.queue,
		                               .tls = tls_of(r),
		                               .observe = r->o.observe,
		                               .ids = &r->ids,
		                               .config = r->o.config,
		                               .domain = d,
		                               .on_end = on_end,
		                               .owner = slot };
	enum err err;

	slot->reports = r;
	slot->domain = d;
	err = report_send_start(&options, &slot->sending);
	if (err) {
		slot->domain = NULL;
		try_again(r, d, text_from(err_text(err)));
	}
	return !err;
}

static void start_next(struct reports *r)
{
	for (size_t i = 0; i < SENDINGS_MAX; i++)
		while (!r->sendings[i].domain && !list_is_empty(&r->queue))
			if (start(r, &r->sendings[i],
			          LIST_ITEM(list_shift(&r->queue), struct report_domain, queued)))
				break;
}

static void on_due(void *owner)
{
	struct report_domain *d = owner;
	struct reports *r = d->reports;

	if (!r->o.config->tls_reports.send) {
		drop(r, d);
		return;
	}
	list_append(&r->queue, &d->queued);
	start_next(r);
}

/* ---------------------------------------------------------------- days */

static void plan(struct reports *r, struct report_domain *d)
{
	int64_t at = (d->day + 1) * DAY_MS + (int64_t)random_below(&r->random, JITTER_MS);

	if (at < now_time(r)) /* we were away: a second for each, so that few of them leave at once */
		at = now_time(r) +
		     (int64_t)random_below(
			     &r->random, (uint64_t)MIN((int64_t)r->book.domains * SECOND_MS, AFTER_START_MS));
	arm(r, d, at);
}

/* All closed ones that nobody has planned yet. What is too old says nothing to anybody any more. */
static void plan_closed(struct reports *r)
{
	int64_t today = now_time(r) / DAY_MS;

	for (LIST_EACH_SAFE(it, &r->book.closed)) {
		struct report_domain *d = LIST_ITEM(it, struct report_domain, link);

		if (d->reports)
			continue;
		d->reports = r;
		if (d->day + GIVE_UP_DAYS < today || d->day > today)
			drop(r, d);
		else
			plan(r, d);
	}
}

static void on_midnight(void *owner);

static void turn(struct reports *r)
{
	int64_t today = now_time(r) / DAY_MS;

	if (today != r->book.day)
		r->is_told_full = false;
	if (report_book_turn(&r->book, today))
		touch(r);
	plan_closed(r);
	/* A second later than midnight, so that a timer that is early by less does not come twice. Without memory for it the
	 * next session of the new day turns the page. */
	if (io_timer_start(r->o.io, &r->midnight, io_at_of_time(r->o.io, (today + 1) * DAY_MS + SECOND_MS),
	                   on_midnight, r))
		r->is_told_full = false;
}

static void on_midnight(void *owner)
{
	turn(owner);
}

/* ---------------------------------------------------------------- counting */

static void after_note(struct reports *r, bool fitted)
{
	touch(r);
	if (fitted || r->is_told_full)
		return;
	r->is_told_full = true;
	say(r,
	    TEXT("TLSRPT: there is more to report today than is kept; reports will not count all sessions"));
}

static bool is_wanted(struct reports *r, struct text domain)
{
	if (!r->o.config->tls_reports.send || !sts_is_name(domain))
		return false;
	if (now_time(r) / DAY_MS != r->book.day)
		turn(r);
	return true;
}

void report_note(struct reports *r, const struct policy_report *note)
{
	if (is_wanted(r, note->domain))
		after_note(r, report_book_note(&r->book, note));
}

void report_note_fetch(struct reports *r, struct text domain, enum policy_failure failure,
                       struct text problem)
{
	if (is_wanted(r, domain))
		after_note(r, report_book_note_fetch(&r->book, domain, failure, problem));
}

/* ---------------------------------------------------------------- life */

static void fill(void *owner, struct buf *out)
{
	struct reports *r = owner;

	report_book_encode(&r->book, out);
}

static enum err open_kept(struct reports *r)
{
	struct keep_options options = { .io = r->o.io,
		                        .disk = r->o.disk,
		                        .directory = r->o.directory,
		                        .name = "tls-reports",
		                        .what = "what is counted for reports on TLS",
		                        .max_bytes = KEEP_BYTES,
		                        .delay_ms = KEEP_DELAY_MS,
		                        .interval_ms = KEEP_INTERVAL_MS,
		                        .observe = r->o.observe,
		                        .fill = fill,
		                        .owner = r };
	AUTO(buf_fini) struct buf kept = BUF(KEEP_BYTES);
	enum err err = keep_new(&options, &r->keep);

	if (err)
		return err;
	err = keep_read(r->keep, &kept);
	if (!err) {
		err = report_book_decode(&r->book, buf_text(&kept));
		if (err == ERR_DAMAGED || err == ERR_UNSUPPORTED)
			keep_set_aside(r->keep, buf_text(&kept));
	}
	return err == ERR_NOMEM ? err : ERR_OK;
}

enum err reports_new(const struct reports_options *options, struct reports **out)
{
	AUTO(reports_free) struct reports *r = calloc(1, sizeof(*r));
	enum err err;

	if (!r)
		return ERR_NOMEM;
	r->o = *options;
	r->o.config = config_ref(options->config);
	random_init(&r->random, options->seed);
	id_source_init(&r->ids, random_u64(&r->random), options->newest_id_time);
	report_book_init(&r->book, random_u64(&r->random));
	list_init(&r->queue);
	err = options->disk && options->directory.len ? open_kept(r) : ERR_OK;
	if (err)
		return err;
	turn(r);
	*out = TAKE(r);
	return ERR_OK;
}

void reports_configure(struct reports *r, const struct config *config)
{
	config_unref(&r->o.config);
	r->o.config = config_ref(config);
	tls_context_unref(&r->tls); /* the CAs may be others now */
}

void reports_free(struct reports **slot)
{
	struct reports *r = TAKE(*slot);

	if (!r)
		return;
	keep_free(&r->keep);
	io_timer_stop(r->o.io, &r->midnight);
	for (size_t i = 0; i < SENDINGS_MAX; i++)
		report_send_cancel(&r->sendings[i].sending);
	for (LIST_EACH(it, &r->book.closed))
		io_timer_stop(r->o.io, &LIST_ITEM(it, struct report_domain, link)->timer);
	report_book_fini(&r->book);
	tls_context_unref(&r->tls);
	config_unref(&r->o.config);
	free(r);
}
