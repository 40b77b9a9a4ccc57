#include "internal.h"

#include <stdio.h>

#include <postrider/base/crc32c.h>
#include <postrider/mail/record.h>

#define STATE_FORMAT 1
#define STATE_MAX_BYTES (32u << 20)
#define SEAL_BYTES 4
/* What was taken is on disk after this time at the latest; until then the grant stands for it. */
#define SAVE_EVERY_MS (10 * SECOND_MS)
/* No rule says longer; a clock that was wrong might. */
#define PAUSE_MAX_MS (7 * DAY_MS)

enum { STATE_NUMBER = 1, STATE_TIME = 2, STATE_LIMIT = 3 };
enum { LIMIT_NAME = 1, LIMIT_LEVEL = 2, LIMIT_RATE = 3, LIMIT_SLOW = 4, LIMIT_SUSPENDED = 5 };
enum { PAUSE_REST = 1, PAUSE_REASON = 2, PAUSE_REPLY = 3, PAUSE_RULE = 4 };
enum {
	RATE_UNIT = 1,
	RATE_MOST = 2,
	RATE_WINDOW = 3,
	RATE_GRANT = 4,
	RATE_SLOT_AGE = 5,
	RATE_SLOT_COUNT = 6
};

/* ---------------------------------------------------------------- writing */

static void add_rate(struct buf *b, const struct limit_rate *rate, int64_t now_at, bool grants)
{
	size_t mark = record_open_field(b, LIMIT_RATE);
	uint64_t count;
	int64_t at;

	record_add_u64(b, RATE_UNIT, rate->unit);
	record_add_u64(b, RATE_MOST, rate->bucket.most);
	record_add_u64(b, RATE_WINDOW, (uint64_t)rate->bucket.window_ms);
	if (grants)
		record_add_u64(b, RATE_GRANT, bucket_grant(&rate->bucket));
	for (size_t i = 0; bucket_slot_at(&rate->bucket, i, &at, &count); i++) {
		record_add_i64(b, RATE_SLOT_AGE, now_at - at);
		record_add_u64(b, RATE_SLOT_COUNT, count);
	}
	record_close_field(b, mark);
}

static void add_pause(struct buf *b, unsigned tag, int64_t rest_ms, const struct limit_cause *cause)
{
	size_t mark = record_open_field(b, tag);

	record_add_i64(b, PAUSE_REST, rest_ms);
	record_add_u64(b, PAUSE_REASON, cause->reason);
	record_add_text(b, PAUSE_REPLY, text_from(cause->reply));
	record_add_text(b, PAUSE_RULE, text_from(cause->rule));
	record_close_field(b, mark);
}

static bool is_worth_keeping(const struct limit *l)
{
	if (limit_is_slow(l) || l->suspended_until_at)
		return true;
	for (size_t i = 0; i < l->rate_count; i++)
		if (bucket_is_long(&l->rates[i].bucket))
			return true;
	return false;
}

static void add_limit(struct buf *b, struct limit *l, int64_t now_at, bool grants)
{
	size_t mark;

	if (!is_worth_keeping(l))
		return;
	mark = record_open_field(b, STATE_LIMIT);
	record_add_text(b, LIMIT_NAME, l->by_name.key);
	record_add_u64(b, LIMIT_LEVEL, (uint64_t)l->level);
	if (limit_is_slow(l))
		add_pause(b, LIMIT_SLOW, l->slow_until_at - now_at, &l->slow_cause);
	if (l->suspended_until_at)
		add_pause(b, LIMIT_SUSPENDED, l->suspended_until_at - now_at, &l->suspend_cause);
	for (size_t i = 0; i < l->rate_count; i++) {
		struct bucket *bucket = &l->rates[i].bucket;

		if (!bucket_is_long(bucket))
			continue;
		(void)bucket_used(bucket, now_at); /* what is over goes */
		add_rate(b, &l->rates[i], now_at, grants && l->users);
		bucket->taken_since = 0;
		bucket->granting = grants ? bucket_grant(bucket) : 0;
	}
	record_close_field(b, mark);
}

static enum err build(struct schedule *s, bool grants)
{
	struct rate_state *r = &s->rates;
	struct buf *b = &r->out;
	uint32_t crc;

	buf_reset(b);
	record_begin(b, STATE_FORMAT);
	record_add_u64(b, STATE_NUMBER, ++r->number);
	record_add_i64(b, STATE_TIME, io_now_time(s->io));
	for (LIST_EACH(it, &s->limits_all))
		add_limit(b, LIST_ITEM(it, struct limit, all), io_now_at(s->io), grants);
	crc = crc32c(0, b->at, b->len);
	for (unsigned i = 0; i < SEAL_BYTES; i++)
		buf_add_octet(b, (char)(crc >> 8 * i));
	return buf_err(b);
}

/* The older of the two is given up for the new one. */
static void run(struct io_job *job)
{
	struct rate_state *r = CONTAINER_OF(job, struct rate_state, job);
	const char *path = r->paths[r->number & 1];
	struct io_file *f = NULL;
	enum err err = r->disk->ops->remove(r->disk, path);

	if (!err || err == ERR_NOT_FOUND)
		err = r->disk->ops->open(r->disk, path, IO_FILE_CREATE, &f);
	if (!err)
		err = r->disk->ops->write_at(f, 0, r->out.at, r->out.len);
	if (!err)
		err = r->disk->ops->sync(f);
	if (f)
		r->disk->ops->close(&f);
	if (!err)
		err = r->disk->ops->sync_directory(r->disk, r->directory);
	r->err = err;
}

/* Mail does not wait for a disk that has no room for this; whoever runs it is told once. */
static void complain(struct schedule *s, enum err err)
{
	struct event event = EVENT(EVENT_WARNING);

	if (s->rates.has_complained)
		return;
	s->rates.has_complained = true;
	event.level = LEVEL_WARN;
	event.reason = REASON_SPOOL;
	event.detail = TEXT(
		"what rates have given and who is suspended cannot be kept in the spool: after a restart a limit by the hour or the day may be passed");
	event.response = text_from(err_text(err));
	observe_emit(s->observe, &event);
}

static void grant_all(struct schedule *s)
{
	for (LIST_EACH(it, &s->limits_all)) {
		struct limit *l = LIST_ITEM(it, struct limit, all);

		for (size_t i = 0; i < l->rate_count; i++) {
			struct bucket *b = &l->rates[i].bucket;

			if (!bucket_is_long(b) || b->granting == 0)
				continue;
			b->granted = b->granting - MIN(b->granting, b->taken_since);
			b->granting = 0;
		}
	}
	limits_granted(s);
}

static void done(struct io_job *job)
{
	struct rate_state *r = CONTAINER_OF(job, struct rate_state, job);
	struct schedule *s = r->schedule;

	r->writing = false;
	r->is_known = true;
	if (r->err)
		complain(s, r->err);
	else
		r->has_complained = false;
	if (r->closing) {
		r->closed = true;
		schedule_check_stopped(s);
		return;
	}
	grant_all(s);
	if (r->again)
		rates_save_soon(s);
}

static void save(struct schedule *s, bool grants)
{
	struct rate_state *r = &s->rates;

	io_timer_stop(s->io, &r->timer);
	r->again = false;
	r->writing = true;
	r->err = build(s, grants);
	if (r->err) {
		done(&r->job);
		return;
	}
	r->job.run = run;
	r->job.done = done;
	io_job_submit(s->io, IO_LANE_DISK, &r->job);
}

static void on_time(void *owner)
{
	rates_save_soon(owner);
}

void rates_save_soon(struct schedule *s)
{
	struct rate_state *r = &s->rates;

	if (!r->disk || r->closing)
		return;
	if (r->writing)
		r->again = true;
	else
		save(s, true);
}

void rates_changed(struct schedule *s, const struct bucket *b)
{
	struct rate_state *r = &s->rates;

	if (!r->disk || r->closing)
		return;
	if (b->granted < bucket_grant(b) / 2) {
		rates_save_soon(s);
		return;
	}
	rates_note(s);
}

void rates_note(struct schedule *s)
{
	struct rate_state *r = &s->rates;

	if (!r->disk || r->closing || io_timer_runs(&r->timer))
		return;
	if (io_timer_start(s->io, &r->timer, io_now_at(s->io) + SAVE_EVERY_MS, on_time, s))
		rates_save_soon(s);
}

bool rates_close(struct schedule *s)
{
	struct rate_state *r = &s->rates;

	if (!r->disk || r->closed || (!r->is_known && !r->writing && !io_timer_runs(&r->timer)))
		return true;
	if (r->writing || r->closing)
		return false;
	r->closing = true;
	save(s, false);
	return r->closed;
}

/* ---------------------------------------------------------------- reading */

static enum err read_all(struct io_disk *disk, const char *path, struct buf *out)
{
	struct io_file *f = NULL;
	enum err err = disk->ops->open(disk, path, IO_FILE_READ, &f);
	size_t got = 1;

	while (!err && got > 0) {
		char *room = buf_reserve(out, 65536);

		err = room ? disk->ops->read_at(f, out->len, room, 65536, &got) : buf_err(out);
		if (!err)
			buf_grew(out, got);
	}
	if (f)
		disk->ops->close(&f);
	return err;
}

static bool unseal(struct text t, struct text *inside)
{
	uint32_t crc = 0;

	if (t.len <= SEAL_BYTES)
		return false;
	*inside = text_head(t, t.len - SEAL_BYTES);
	for (unsigned i = 0; i < SEAL_BYTES; i++)
		crc |= (uint32_t)(unsigned char)t.at[inside->len + i] << 8 * i;
	return crc == crc32c(0, inside->at, inside->len);
}

/* 0: it is not whole. */
static unsigned number_of(struct text record)
{
	struct record_reader r;
	struct record_field f;

	record_open(&r, record, STATE_FORMAT);
	while (record_next(&r, &f))
		if (f.tag == STATE_NUMBER)
			return (unsigned)record_u64(&r, &f, UINT32_MAX);
	return 0;
}

struct reading {
	struct schedule *schedule;
	int64_t saved_at; /* on the clock of now; may lie before its beginning */
};

static void read_slots(const struct reading *in, struct text fields, struct bucket *b, uint64_t grant)
{
	int64_t now = io_now_at(in->schedule->io), at = now;
	struct record_reader r;
	struct record_field f;

	record_open_inner(&r, fields);
	while (record_next(&r, &f)) {
		if (f.tag == RATE_SLOT_AGE)
			at = in->saved_at - record_i64(&r, &f);
		else if (f.tag == RATE_SLOT_COUNT)
			bucket_restore(b, at, record_u64(&r, &f, UINT32_MAX), now);
	}
	/* the run crashed: what it was granted may have been taken until its next save was due */
	if (grant)
		bucket_restore(b, in->saved_at + SAVE_EVERY_MS, grant, now);
}

static void read_rate(const struct reading *in, struct text fields, struct limit *l)
{
	struct config_rate rate = { 0 };
	struct limit_rate *more;
	struct record_reader r;
	struct record_field f;
	uint64_t unit = 0, grant = 0;

	record_open_inner(&r, fields);
	while (record_next(&r, &f)) {
		if (f.tag == RATE_UNIT)
			unit = record_u64(&r, &f, sizeof(struct limit_cost) - sizeof(uint64_t));
		else if (f.tag == RATE_MOST)
			rate.count = record_u64(&r, &f, UINT64_MAX);
		else if (f.tag == RATE_WINDOW)
			rate.window_ms = (int64_t)record_u64(&r, &f, (uint64_t)CONFIG_NEVER);
		else if (f.tag == RATE_GRANT)
			grant = record_u64(&r, &f, UINT64_MAX);
	}
	if (r.err || rate.count == 0 || rate.window_ms <= 0 || unit % sizeof(uint64_t))
		return;
	more = realloc(l->rates, (l->rate_count + 1) * sizeof(*more));
	if (!more)
		return;
	l->rates = more;
	more[l->rate_count].unit = (size_t)unit;
	bucket_init(&more[l->rate_count].bucket, rate);
	more[l->rate_count].bucket.granted = 0;
	read_slots(in, fields, &more[l->rate_count++].bucket, grant);
}

static void read_pause(const struct reading *in, struct text fields, unsigned kind, struct limit *l)
{
	struct limit_cause cause = { 0 };
	struct text reply = TEXT_EMPTY, rule = TEXT_EMPTY;
	struct record_reader r;
	struct record_field f;
	int64_t rest = 0;

	record_open_inner(&r, fields);
	while (record_next(&r, &f)) {
		if (f.tag == PAUSE_REST)
			rest = record_i64(&r, &f);
		else if (f.tag == PAUSE_REASON)
			cause.reason = (enum reason)record_u64(&r, &f, REASON_COUNT - 1);
		else if (f.tag == PAUSE_REPLY)
			reply = f.value;
		else if (f.tag == PAUSE_RULE)
			rule = f.value;
	}
	if (r.err || rest <= 0 || rest > PAUSE_MAX_MS || in->saved_at + rest <= io_now_at(in->schedule->io))
		return;
	cause.reply = text_dup(reply);
	cause.rule = text_dup(rule);
	if (kind == LIMIT_SLOW)
		limit_restore_slow(l, in->saved_at + rest, &cause);
	else
		limit_restore_suspension(l, in->saved_at + rest, &cause);
}

static void read_limit(const struct reading *in, struct text fields)
{
	struct record_reader r;
	struct record_field f;
	struct limit *l = NULL;
	struct text name = TEXT_EMPTY;

	record_open_inner(&r, fields);
	while (record_next(&r, &f)) {
		if (f.tag == LIMIT_NAME)
			name = f.value;
		else if (f.tag == LIMIT_LEVEL && name.len > 2 && !limit_find(in->schedule, name))
			l = limit_new(in->schedule, (enum limit_level)record_u64(&r, &f, LIMIT_HOSTS), name);
		else if (f.tag == LIMIT_RATE && l)
			read_rate(in, f.value, l);
		else if ((f.tag == LIMIT_SLOW || f.tag == LIMIT_SUSPENDED) && l)
			read_pause(in, f.value, f.tag, l);
	}
}

static void read_state(struct schedule *s, struct text record)
{
	struct reading in = { s, io_now_at(s->io) };
	struct record_reader r;
	struct record_field f;

	record_open(&r, record, STATE_FORMAT);
	while (record_next(&r, &f)) {
		if (f.tag == STATE_TIME)
			in.saved_at -= MAX(io_now_time(s->io) - record_i64(&r, &f), INT64_C(0));
		else if (f.tag == STATE_LIMIT)
			read_limit(&in, f.value);
	}
}

static char *path_in(struct text directory, const char *name)
{
	char *path;

	return asprintf(&path, "%.*s/%s", TEXT_ARGS(directory), name) < 0 ? NULL : path;
}

void rates_open(struct schedule *s, struct io_disk *disk, struct text directory)
{
	struct rate_state *r = &s->rates;
	struct buf found[2] = { BUF(STATE_MAX_BYTES), BUF(STATE_MAX_BYTES) };
	struct text best = TEXT_EMPTY;

	r->schedule = s;
	buf_init(&r->out, STATE_MAX_BYTES);
	if (!disk || directory.len == 0)
		return;
	r->directory = text_dup(directory);
	r->paths[0] = path_in(directory, "rates.0");
	r->paths[1] = path_in(directory, "rates.1");
	if (!r->directory || !r->paths[0] || !r->paths[1])
		return;
	r->disk = disk;
	for (unsigned i = 0; i < 2; i++) {
		struct text inside;

		if (read_all(disk, r->paths[i], &found[i]) || !unseal(buf_text(&found[i]), &inside) ||
		    number_of(inside) <= r->number)
			continue;
		r->number = number_of(inside);
		best = inside;
	}
	if (best.len) {
		r->is_known = true;
		read_state(s, best);
	}
	buf_fini(&found[0]);
	buf_fini(&found[1]);
}

void rates_free(struct schedule *s)
{
	struct rate_state *r = &s->rates;

	io_timer_stop(s->io, &r->timer);
	buf_fini(&r->out);
	free(r->directory);
	free(r->paths[0]);
	free(r->paths[1]);
}
