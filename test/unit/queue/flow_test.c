/* The way of a message: accepted, announced, settled; on both stores. */
#include "support/check.h"

#include <postrider/mail/record.h>
#include <postrider/queue.h>

#include "support/queue_rig.h"

static int with_memory(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	rig_init(r, RIG_MEMORY);
	assert_int_equal(rig_open(r), ERR_OK);
	*state = r;
	return 0;
}

static int with_lmdb(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	rig_init(r, RIG_LMDB);
	if (rig_open(r))
		fail_msg("%s", r->problem);
	*state = r;
	return 0;
}

static int end(void **state)
{
	struct rig *r = *state;

	rig_fini(r);
	free(r);
	return 0;
}

static void an_accepted_message_is_announced_and_gone_after_its_settle(void **state)
{
	struct rig *r = *state;
	struct rig_answer answer = { 0 };
	struct id id = rig_accepted(r, &(struct rig_mail){ .content = TEXT("Subject: a\r\n\r\nhello\r\n") });
	struct queue_work *w = rig_work(r, id);

	assert_non_null(w);
	assert_int_equal(w->recipient_count, 1);
	assert_int_equal(w->recipients[0].state, QUEUE_CLAIMED);
	CHECK_TEXT("key", w->key, TEXT("d0.example"));
	CHECK_TEXT("content", w->message->content, TEXT("Subject: a\r\n\r\nhello\r\n"));
	assert_int_equal(queue_space(r->queue).messages, 1);
	rig_settle(r, id, 0, QUEUE_DELIVERED, 0, &answer);
	assert_int_equal(answer.told, 0);
	fake_io_run(&r->io);
	assert_int_equal(answer.told, 1);
	assert_int_equal(answer.err, ERR_OK);
	assert_int_equal(queue_space(r->queue).messages, 0);
	assert_int_equal(queue_space(r->queue).recipients, 0);
}

static void what_was_accepted_is_there_after_a_restart(void **state)
{
	struct rig *r = *state;
	enum err err;
	struct queue_row rows[4];
	size_t len;
	struct id id = rig_accepted(r, &(struct rig_mail){ .content = TEXT("body\r\n"), .recipients = 3 });

	rig_close(r);
	assert_int_equal(rig_open(r), ERR_OK);
	assert_false(queue_was_unclean(r->queue));
	assert_int_equal(queue_space(r->queue).recipients, 3);
	assert_int_equal(rig_scan(r, "d1.example", rows, 4, NULL), 1);
	assert_true(id_eq(rows[0].id, id));
	assert_int_equal(rows[0].n, 1);
	struct queue_work *w = rig_load(r, id, "d1.example", 1, &err);

	assert_int_equal(err, ERR_OK);
	assert_int_equal(w->recipients[0].state, QUEUE_WAITING);
	assert_false(w->recipients[0].unknown_outcome);
	char *all = rig_read_body(r, w->message, &len, &err);

	assert_int_equal(err, ERR_OK);
	assert_string_equal(all, "Received: from nowhere\r\nbody\r\n");
	free(all);
	queue_work_free(r->queue, &w);
}

#define ON_BOTH(test)                                                                    \
	{ #test " (memory)", test, with_memory, end, NULL }, { #test " (LMDB)", test, with_lmdb, end, NULL }

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(an_accepted_message_is_announced_and_gone_after_its_settle),
		ON_BOTH(what_was_accepted_is_there_after_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
