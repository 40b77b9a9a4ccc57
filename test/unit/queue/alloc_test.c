/* Every allocation failing in turn: whoever waits is answered once, nothing is half done, nothing leaks, and
 * the queue goes on. */
#include "support/check.h"

#include <postrider/queue.h>
#include <postrider/queue/history.h>

#include "support/alloc.h"
#include "support/queue_rig.h"

#define LARGE 200000

/* Everything that the phase needs is made before allocations begin to fail. */
struct scene {
	struct rig rig;
	struct envelope *small, *large, *many, *notice;
	char *content;
	struct id old; /* accepted before */
	struct rig_answer answers[4];
	struct queue_work *work;
	enum err err;
	unsigned rows;
	size_t got;
	bool opened;
};

static const struct text three_keys[] = { LIT("b.example"), LIT("a.example"), LIT("b.example") };

static void submit(struct scene *s, struct envelope *e, size_t len, enum queue_mode mode,
                   struct rig_answer *answer)
{
	struct queue_draft *d = NULL;
	enum err err = queue_draft_open(s->rig.queue, 0, rig_ignore, NULL, &d);

	for (size_t at = 0; !err && at < len; at += 50000) {
		err = queue_draft_write(d, text_of(s->content + at, MIN(len - at, 50000)));
		if (queue_draft_is_busy(d))
			fake_io_run(&s->rig.io);
	}
	if (d)
		queue_accept(s->rig.queue, &d,
		             &(struct queue_submission){ .envelope = e,
		                                         .prepended = TEXT("A: b\r\n"),
		                                         .keys = three_keys,
		                                         .mode = mode,
		                                         .budget_ms = 5000 },
		             rig_on_decided, answer);
	else
		*answer = (struct rig_answer){ .told = 1, .err = err };
	fake_io_run(&s->rig.io);
}

/* ---------------------------------------------------------------- phases */

static void open_again(struct scene *s)
{
	s->opened = rig_open(&s->rig) == ERR_OK;
}

static void accept_small(struct scene *s)
{
	submit(s, s->small, 1000, QUEUE_STORE, &s->answers[0]);
}

static void accept_large(struct scene *s)
{
	submit(s, s->large, LARGE, QUEUE_STORE, &s->answers[0]);
}

static void accept_many(struct scene *s)
{
	submit(s, s->many, 1000, QUEUE_STORE, &s->answers[0]);
}

static void settle_with_notice(struct scene *s)
{
	struct queue_outcome o = { .verdict = QUEUE_BOUNCED, .recipient = { .n = 0 } };
	struct queue_notice n = { .envelope = s->notice,
		                  .prepended = TEXT("A: b\r\n"),
		                  .content = text_of(s->content, 500),
		                  .keys = three_keys };

	queue_settle(
		s->rig.queue,
		&(struct queue_settlement){
			.id = s->old, .outcomes = &o, .outcome_count = 1, .notices = &n, .notice_count = 1 },
		rig_on_settled, &s->answers[0]);
	fake_io_run(&s->rig.io);
}

static void claim_and_defer(struct scene *s)
{
	const uint32_t ns[] = { 0, 1 };

	queue_claim(s->rig.queue, s->old, ns, 2, rig_on_settled, &s->answers[0]);
	fake_io_run(&s->rig.io);
	rig_settle(&s->rig, s->old, 0, QUEUE_DEFERRED, FAKE_IO_START_TIME + 5, &s->answers[1]);
	fake_io_run(&s->rig.io);
}

static void on_loaded(void *owner, enum err err, struct queue_work *work)
{
	struct scene *s = owner;

	s->answers[0].told++;
	s->answers[0].err = err;
	s->work = work;
}

static void load_and_read(struct scene *s)
{
	struct body_source *b = NULL;
	struct text span;
	const uint32_t ns[] = { 0, 1, 2 };

	queue_load(s->rig.queue, s->old, TEXT("b.example"), ns, 3, on_loaded, s);
	fake_io_run(&s->rig.io);
	if (!s->work || queue_message_body(s->rig.queue, s->work->message, &b))
		return;
	body_source_listen(b, rig_ignore, NULL);
	do {
		s->err = body_source_next(b, &span);
		if (s->err == ERR_MORE)
			fake_io_run(&s->rig.io);
		else if (!s->err)
			s->got += span.len;
	} while (s->err == ERR_MORE || (!s->err && span.len > 0));
	body_source_release(&b);
	fake_io_run(&s->rig.io);
}

static void on_rows(void *owner, enum err err, const struct queue_row *rows, size_t count, int64_t next)
{
	struct scene *s = owner;

	(void)rows, (void)next;
	s->answers[0].told++;
	s->answers[0].err = err;
	s->rows = (unsigned)count;
}

static bool on_entry(void *owner, const struct queue_entry *entry)
{
	(void)owner, (void)entry;
	return true;
}

static void scan_and_list(struct scene *s)
{
	queue_scan(s->rig.queue, TEXT("b.example"), &(struct queue_cursor){ 0 }, INT64_MAX, 100, on_rows, s);
	fake_io_run(&s->rig.io);
	queue_each_message(s->rig.queue, (struct id){ { 0 } }, on_entry, rig_on_settled, &s->answers[1]);
	fake_io_run(&s->rig.io);
}

static void on_found(void *owner, const struct queue_found *found)
{
	struct scene *s = owner;

	s->answers[0].told++;
	s->answers[0].err = found->err;
	s->rows = (unsigned)found->count;
}

static void search_and_release(struct scene *s)
{
	const struct queue_share shares[] = { { .sender = 1, .room = 5 }, { .sender = 2 } };
	const struct queue_wish wish = { .classes = 7,
		                         .until_time = INT64_MAX,
		                         .shares = shares,
		                         .share_count = 2,
		                         .leader = SIZE_MAX,
		                         .others = true,
		                         .max_rows = 100,
		                         .max_looks = 100 };

	queue_search(s->rig.queue, TEXT("b.example"), &wish, on_found, s);
	fake_io_run(&s->rig.io);
	queue_release(s->rig.queue, s->old, (const uint32_t[]){ 0, 1 }, 2);
	fake_io_run(&s->rig.io);
}

static void pass_through(struct scene *s)
{
	submit(s, s->many, 1000, QUEUE_THROUGH_OR_STORE, &s->answers[0]);
	rig_settle(&s->rig, s->many->id, 0, QUEUE_DELIVERED, 0, &s->answers[1]);
	rig_settle(&s->rig, s->many->id, 1, QUEUE_DEFERRED, FAKE_IO_START_TIME + 5, &s->answers[2]);
	fake_io_run(&s->rig.io);
	fake_io_advance(&s->rig.io, 6000);
}

static void close_again(struct scene *s)
{
	rig_close(&s->rig);
	s->opened = false;
}

static const struct {
	const char *name;
	void (*run)(struct scene *s);
	unsigned answers;
	bool closed_before;
} phases[] = {
	{ "open", open_again, 0, true },
	{ "accept a small one", accept_small, 1, false },
	{ "accept a large one", accept_large, 1, false },
	{ "accept for several", accept_many, 1, false },
	{ "settle with a notice", settle_with_notice, 1, false },
	{ "claim and defer", claim_and_defer, 2, false },
	{ "load and read", load_and_read, 1, false },
	{ "scan and list", scan_and_list, 2, false },
	{ "search and release", search_and_release, 1, false },
	{ "pass through", pass_through, 3, false },
	{ "close", close_again, 0, false },
};

/* ---------------------------------------------------------------- one run */

static void begin(struct scene *s, bool closed)
{
	struct rig *r = &s->rig;

	rig_init(r, RIG_MEMORY);
	assert_int_equal(rig_open(r), ERR_OK);
	s->opened = true;
	s->content = rig_octets(LARGE, 1);
	s->old = rig_accepted(r, &(struct rig_mail){ .recipients = 3,
	                                             .keys = three_keys,
	                                             .content = text_of(s->content, LARGE) });
	rig_drop_works(r);
	s->small = rig_envelope(r, 1);
	s->large = rig_envelope(r, 1);
	s->many = rig_envelope(r, 3);
	s->notice = rig_envelope(r, 1);
	if (closed)
		close_again(s);
}

static void finish(struct scene *s, const char *name)
{
	struct rig *r = &s->rig;

	queue_work_free(r->queue, &s->work);
	if (s->opened)
		rig_close(r);
	CHECK_INT(name, rig_open(r), ERR_OK);
	/* Files and records agree, and the queue goes on. */
	CHECK_INT(name, fake_disk_files(r->disk, "/spool/bodies"), queue_space(r->queue).files);
	rig_accepted(r, &(struct rig_mail){ .content = TEXT("afterwards") });
	rig_drop_works(r);
	rig_fini(r);
	envelope_free(&s->small);
	envelope_free(&s->large);
	envelope_free(&s->many);
	envelope_free(&s->notice);
	free(s->content);
	free(s);
}

static bool run_phase(size_t p, unsigned nth)
{
	struct scene *s = calloc(1, sizeof(*s));
	const char *name = phases[p].name;

	begin(s, phases[p].closed_before);
	uint64_t before = s->opened ? queue_space(s->rig.queue).messages : 0;

	alloc_fail_nth(nth);
	phases[p].run(s);
	bool failed = alloc_has_failed();

	alloc_fail_nth(0);
	for (unsigned i = 0; i < phases[p].answers; i++)
		CHECK_INT(name, s->answers[i].told, 1);
	if (!failed) {
		for (unsigned i = 0; i < phases[p].answers; i++)
			CHECK_INT(name, s->answers[i].err, ERR_OK);
	}
	/* What was answered with an error is not there; what with none, is. */
	if (strncmp(name, "accept", 6) == 0)
		CHECK_INT(name, queue_space(s->rig.queue).messages - before, s->answers[0].err == ERR_OK);
	if (strncmp(name, "settle", 6) == 0)
		CHECK_INT(name, queue_space(s->rig.queue).messages - before, s->answers[0].err == ERR_OK);
	finish(s, name);
	return failed;
}

static void each_allocation_may_fail(void **state)
{
	(void)state;
	for (size_t p = 0; p < ARRAY_LEN(phases); p++) {
		unsigned nth = 1;

		while (run_phase(p, nth))
			nth++;
		assert_true(nth > 1 || p == ARRAY_LEN(phases) - 1);
	}
}

/* ---------------------------------------------------------------- history */

static bool take_line(void *owner, struct id id, struct text line)
{
	(void)id, (void)line;
	++*(unsigned *)owner;
	return true;
}

static void on_done(void *owner, enum err err)
{
	(void)err;
	*(unsigned *)owner += 1000;
}

static void history_lives_through_it_too(void **state)
{
	(void)state;
	for (unsigned nth = 1;; nth++) {
		struct fake_io io;
		struct history *h = NULL;
		unsigned seen = 0;
		struct id id = { { 1 } };
		bool closed = false;

		fake_io_init(&io);
		alloc_fail_nth(nth);
		enum err err = history_open(&(struct history_options){ .io = &io.base,
		                                                       .path = TEXT("h"),
		                                                       .keep_ms = 1000000000,
		                                                       .max_bytes = 1 << 20,
		                                                       .in_memory = true },
		                            &h);

		if (!err) {
			history_add(h, id, 1, TEXT("one"));
			history_add(h, id, 2, TEXT("two"));
			history_read(h, id, id, take_line, on_done, &seen);
			fake_io_run(&io);
		}
		bool failed = alloc_has_failed();

		alloc_fail_nth(0);
		if (!err) {
			assert_true(seen >= 1000 && seen <= 1002);
			if (!failed)
				assert_int_equal(seen, 1002);
			history_close(&h, NULL, &closed);
			fake_io_run(&io);
		}
		fake_io_fini(&io);
		if (!failed)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_allocation_may_fail),
		cmocka_unit_test(history_lives_through_it_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
