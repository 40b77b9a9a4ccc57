/* The queue on the real loop with its lanes: what the thread sanitizer is to see. */
#include "support/check.h"

#include <stdio.h>

#include <postrider/io/uv.h>
#include <postrider/queue.h>
#include <postrider/queue/memory.h>

#include "support/queue_rig.h"

#define MESSAGES 300
#define AT_ONCE 20

struct flow {
	struct io *io;
	struct queue *queue;
	struct id_source ids;
	struct rig place;
	unsigned begun, accepted, delivered, loaded, settled;
	uint64_t octets;
	struct id waiting[MESSAGES]; /* deferred, and given by no scan yet */
	unsigned waiting_count, fresh;
	char *content;
	bool closed;
};

struct transfer {
	struct flow *flow;
	struct queue_work *work;
	struct body_source *body;
	uint64_t got;
};

static void begin_one(struct flow *f);

static void stop_if_done(struct flow *f)
{
	if (f->accepted == MESSAGES && f->settled == MESSAGES)
		io_uv_stop(f->io);
}

static void on_settled(void *owner, enum err err)
{
	struct flow *f = owner;

	assert_int_equal(err, ERR_OK);
	f->settled++;
	stop_if_done(f);
}

static void settle(struct flow *f, struct id id, enum queue_verdict verdict)
{
	struct queue_outcome o = { .verdict = verdict,
		                   .recipient = { .n = 0, .due_time = io_now_time(f->io) } };

	queue_settle(f->queue, &(struct queue_settlement){ .id = id, .outcomes = &o, .outcome_count = 1 },
	             verdict == QUEUE_DELIVERED ? on_settled : NULL, f);
}

static void read_on(void *owner)
{
	struct transfer *t = owner;
	struct flow *f = t->flow;
	struct text span;
	enum err err;

	while (!(err = body_source_next(t->body, &span)) && span.len > 0)
		t->got += span.len;
	if (err == ERR_MORE)
		return;
	assert_int_equal(err, ERR_OK);
	assert_true(t->got == t->work->message->content_bytes);
	f->octets += t->got;
	body_source_release(&t->body);
	settle(f, t->work->id, QUEUE_DELIVERED);
	f->delivered++;
	queue_work_free(f->queue, &t->work);
	free(t);
}

static void deliver(struct flow *f, struct queue_work *work)
{
	struct transfer *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->flow = f;
	t->work = work;
	assert_int_equal(queue_message_body(f->queue, work->message, &t->body), ERR_OK);
	body_source_listen(t->body, read_on, t);
	read_on(t);
}

/* Every third one is deferred first, found by a scan, loaded and claimed. */
static void on_fresh(void *owner, struct queue_work **work)
{
	struct flow *f = owner;

	if (++f->fresh % 3 == 0) {
		f->waiting[f->waiting_count++] = (*work)->id;
		settle(f, (*work)->id, QUEUE_DEFERRED);
		queue_work_free(f->queue, work);
	} else {
		deliver(f, TAKE(*work));
	}
}

static void on_loaded(void *owner, enum err err, struct queue_work *work)
{
	struct flow *f = owner;

	assert_int_equal(err, ERR_OK);
	f->loaded++;
	deliver(f, work);
}

/* Rows of what is in memory already are given too. */
static void take_row(struct flow *f, const struct queue_row *row)
{
	for (unsigned i = 0; i < f->waiting_count; i++) {
		if (!id_eq(f->waiting[i], row->id))
			continue;
		f->waiting[i] = f->waiting[--f->waiting_count];
		queue_load(f->queue, row->id, TEXT("d0.example"), &row->n, 1, on_loaded, f);
		queue_claim(f->queue, row->id, &row->n, 1, NULL, NULL);
		return;
	}
}

static void on_rows(void *owner, enum err err, const struct queue_row *rows, size_t count, int64_t next)
{
	struct flow *f = owner;

	(void)next;
	assert_int_equal(err, ERR_OK);
	for (size_t i = 0; i < count; i++)
		take_row(f, &rows[i]);
}

static void on_due(void *owner, struct text key, int64_t due_time)
{
	struct flow *f = owner;

	(void)due_time;
	queue_scan(f->queue, key, &(struct queue_cursor){ 0 }, INT64_MAX, 1000, on_rows, f);
}

static const struct queue_events events = { .on_fresh = on_fresh, .on_due = on_due };

static void on_decided(void *owner, const struct queue_decision *d)
{
	struct flow *f = owner;

	assert_int_equal(d->err, ERR_OK);
	f->accepted++;
	if (f->begun < MESSAGES)
		begin_one(f);
	stop_if_done(f);
}

static void begin_one(struct flow *f)
{
	struct queue_draft *d = NULL;
	struct envelope *e = envelope_new(100000);
	const struct text key = TEXT("d0.example");
	size_t len = f->begun % 10 == 0 ? 200000 : 500 + f->begun % 7 * 900;

	f->begun++;
	assert_non_null(e);
	e->id = id_next(&f->ids, io_now_time(f->io));
	assert_int_equal(envelope_set(e, &e->reverse_path, TEXT("a@example.org")), ERR_OK);
	assert_int_equal(envelope_add_recipient(e, TEXT("b@d0.example"), TEXT_EMPTY), ERR_OK);
	assert_int_equal(queue_draft_open(f->queue, 0, rig_ignore, NULL, &d), ERR_OK);
	for (size_t at = 0; at < len; at += 40000)
		assert_int_equal(queue_draft_write(d, text_of(f->content + at, MIN(len - at, 40000))),
		                 ERR_OK);
	queue_accept(f->queue, &d,
	             &(struct queue_submission){ .envelope = e, .prepended = TEXT_EMPTY, .keys = &key },
	             on_decided, f);
	envelope_free(&e);
}

static void on_closed(void *owner)
{
	struct flow *f = owner;

	f->closed = true;
	io_uv_stop(f->io);
}

static void run_flow(bool in_memory)
{
	struct flow f = { .content = rig_octets(200000, 1) };

	rig_init(&f.place, RIG_LMDB);
	f.place.options.in_memory = in_memory;
	f.place.options.memory_budget_bytes = 60000; /* so that contents are forgotten and read again */
	id_source_init(&f.ids, 1, 0);
	assert_int_equal(io_uv_new(&(struct io_uv_options){ .disk_threads = 3, .cpu_threads = 1 }, &f.io),
	                 ERR_OK);
	f.place.options.io = f.io;
	assert_int_equal(queue_open(&f.place.options, &f.queue), ERR_OK);
	queue_listen(f.queue, &events, &f);
	for (unsigned i = 0; i < AT_ONCE; i++)
		begin_one(&f);
	io_uv_run(f.io);
	assert_int_equal(f.accepted, MESSAGES);
	assert_int_equal(f.delivered, MESSAGES);
	assert_int_equal(f.loaded, MESSAGES / 3);
	assert_int_equal(queue_space(f.queue).messages, 0);
	assert_int_equal(queue_space(f.queue).files, 0);
	queue_close(&f.queue, on_closed, &f);
	io_uv_run(f.io);
	assert_true(f.closed);
	io_uv_free(&f.io);
	free(f.content);
	rig_fini(&f.place);
}

static void mail_flows_through_lmdb_on_the_real_loop(void **state)
{
	(void)state;
	run_flow(false);
}

static void mail_flows_through_the_memory_twin_on_the_real_loop(void **state)
{
	(void)state;
	run_flow(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_flows_through_lmdb_on_the_real_loop),
		cmocka_unit_test(mail_flows_through_the_memory_twin_on_the_real_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
