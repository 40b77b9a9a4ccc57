/* Rows for those that have room, past those of others; and what a row says of sender and class; on both stores. */
#include "support/check.h"

#include <postrider/mail/sender.h>
#include <postrider/queue.h>

#include "support/queue_damage.h"
#include "support/queue_rig.h"

#define KEY TEXT("next.example")
#define ROWS_MAX 256
#define ALL_CLASSES 7u

/* A row of a test: who it is from, and its class. */
struct mail {
	char sender;
	enum config_class class;
	size_t recipients; /* 0: 1 */
};
#define N(sender)                              \
	{                                      \
		sender, CONFIG_CLASS_NORMAL, 1 \
	}
#define U(sender)                              \
	{                                      \
		sender, CONFIG_CLASS_URGENT, 1 \
	}
#define B(sender)                            \
	{                                    \
		sender, CONFIG_CLASS_BULK, 1 \
	}

static uint64_t hash_of(char sender)
{
	char path[] = { sender, '@', 'x', '.', 't', 'e', 's', 't', '\0' };

	return sender_hash(&(struct envelope){ .reverse_path = text_from(path) });
}

/* Each a millisecond after the one before. */
static struct id put(struct rig *r, const struct mail *m)
{
	struct envelope *e = rig_envelope(r, MAX(m->recipients, 1));
	struct text keys[8] = { KEY, KEY, KEY, KEY, KEY, KEY, KEY, KEY };
	enum config_class classes[8];
	struct rig_answer answer = { 0 };
	struct queue_draft *d;
	struct id id = e->id;
	char path[] = { m->sender, '@', 'x', '.', 't', 'e', 's', 't', '\0' };

	for (size_t i = 0; i < ARRAY_LEN(classes); i++)
		classes[i] = m->class;
	assert_int_equal(envelope_set(e, &e->reverse_path, text_from(path)), ERR_OK);
	assert_int_equal(queue_draft_open(r->queue, 0, NULL, NULL, &d), ERR_OK);
	assert_int_equal(queue_draft_write(d, TEXT("x\r\n")), ERR_OK);
	queue_accept(r->queue, &d,
	             &(struct queue_submission){ .envelope = e, .keys = keys, .classes = classes },
	             rig_on_decided, &answer);
	fake_io_run(&r->io);
	assert_int_equal(answer.err, ERR_OK);
	envelope_free(&e);
	fake_io_advance(&r->io, 1);
	return id;
}

static void put_all(struct rig *r, const struct mail *mails, size_t count)
{
	r->leave_fresh = true;
	for (size_t i = 0; i < count; i++)
		put(r, &mails[i]);
}

/* ---------------------------------------------------------------- asking */

struct answer {
	unsigned told;
	enum err err;
	struct queue_row rows[ROWS_MAX];
	size_t count;
	struct queue_share shares[16];
	struct queue_cursor end;
	bool is_end;
	int64_t next_due_time;
};

static void on_found(void *owner, const struct queue_found *found)
{
	struct answer *a = owner;

	a->told++;
	a->err = found->err;
	a->count = found->count;
	assert_true(found->count <= ROWS_MAX);
	for (size_t i = 0; i < found->count; i++)
		a->rows[i] = found->rows[i];
	for (size_t i = 0; i < found->share_count; i++)
		a->shares[i] = found->shares[i];
	a->end = found->end;
	a->is_end = found->is_end;
	a->next_due_time = found->next_due_time;
}

static void ask(struct rig *r, const struct queue_wish *wish, struct answer *a)
{
	*a = (struct answer){ 0 };
	queue_search(r->queue, KEY, wish, on_found, a);
	assert_int_equal(a->told, 0);
	fake_io_run(&r->io);
	assert_int_equal(a->told, 1);
	assert_int_equal(a->err, ERR_OK);
}

static struct queue_wish wish_of(const struct queue_share *shares, size_t count)
{
	return (struct queue_wish){ .classes = ALL_CLASSES,
		                    .until_time = INT64_MAX,
		                    .shares = shares,
		                    .share_count = count,
		                    .leader = SIZE_MAX,
		                    .max_rows = ROWS_MAX,
		                    .max_looks = 20000 };
}

/* The senders of the rows that came, in order, as letters. */
static void check_senders(const char *name, const struct answer *a, const char *expected)
{
	char got[ROWS_MAX + 1] = "";

	for (size_t i = 0; i < a->count; i++)
		for (char c = 'a'; c <= 'z'; c++)
			if (hash_of(c) == a->rows[i].sender)
				got[i] = c;
	CHECK_TEXT(name, text_from(got), text_from(expected));
}

/* ---------------------------------------------------------------- whose rows come */

static const struct mail mixed[] = { N('a'), N('a'), N('a'), N('b'), N('a'),
	                             U('c'), N('a'), B('b'), N('b'), N('a') };

static void rows_are_given_to_those_that_have_room(void **state)
{
	static const struct {
		const char *name;
		struct queue_share shares[3];
		size_t count;
		bool others;
		unsigned classes;
		const char *expected;
	} rows[] = {
		{ "nobody", { { 0 } }, 0, false, 7, "" },
		{ "whoever", { { 0 } }, 0, true, 7, "aaabacabba" },
		{ "the urgent", { { 0 } }, 0, true, BIT(CONFIG_CLASS_URGENT), "c" },
		{ "all but bulk",
		  { { 0 } },
		  0,
		  true,
		  BIT(CONFIG_CLASS_URGENT) | BIT(CONFIG_CLASS_NORMAL),
		  "aaabacaba" },
		{ "no class at all", { { 0 } }, 0, true, 0, "" },
		{ "two of a", { { .sender = 'a', .room = 2 } }, 1, false, 7, "aa" },
		{ "two of a and all others", { { .sender = 'a', .room = 2 } }, 1, true, 7, "aabcbb" },
		{ "none of a", { { .sender = 'a' } }, 1, true, 7, "bcbb" },
		{ "b is two: its bulk is another's",
		  { { .sender = 'b', .class = CONFIG_CLASS_BULK, .room = 5 } },
		  1,
		  false,
		  7,
		  "b" },
		{ "one each",
		  { { .sender = 'b', .room = 1 },
		    { .sender = 'c', .class = CONFIG_CLASS_URGENT, .room = 1 },
		    { .sender = 'a', .room = 1 } },
		  3,
		  false,
		  7,
		  "abc" },
		{ "somebody who has none", { { .sender = 'z', .room = 9 } }, 1, false, 7, "" },
	};
	struct rig *r = *state;

	put_all(r, mixed, ARRAY_LEN(mixed));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct queue_share shares[3];
		struct queue_wish wish = wish_of(shares, rows[i].count);
		static struct answer a;

		memcpy(shares, rows[i].shares, sizeof(shares));
		for (size_t s = 0; s < rows[i].count; s++)
			shares[s].sender = hash_of((char)shares[s].sender);
		wish.others = rows[i].others;
		wish.classes = rows[i].classes;
		ask(r, &wish, &a);
		check_senders(rows[i].name, &a, rows[i].expected);
		CHECK(rows[i].name, a.is_end);
		CHECK(rows[i].name, a.next_due_time == INT64_MAX);
	}
}

/* Whose room is used up learns where to go on: nothing of it is missed, nothing comes twice. */
static void who_has_no_room_learns_where_more_lies(void **state)
{
	struct rig *r = *state;
	struct queue_share a_share = { .sender = hash_of('a'), .room = 2 };
	static struct answer a;
	size_t had = 0;

	put_all(r, mixed, ARRAY_LEN(mixed));
	for (unsigned round = 0; round < 3; round++) {
		struct queue_wish wish = wish_of(&a_share, 1);

		ask(r, &wish, &a);
		check_senders("a", &a, "aa");
		had += a.count;
		assert_true(a.shares[0].left_some == (round < 2));
		a_share.after = a.shares[0].left;
	}
	assert_int_equal(had, 6);
	a_share.after = a.end;
	ask(r,
	    &(struct queue_wish){ .classes = ALL_CLASSES,
	                          .after = { a.end, a.end, a.end },
	                          .until_time = INT64_MAX,
	                          .shares = &a_share,
	                          .share_count = 1,
	                          .max_rows = 9,
	                          .max_looks = 9 },
	    &a);
	assert_int_equal(a.count, 0);
	assert_false(a.end.set);
	assert_true(a.is_end);
}

static void each_class_begins_at_its_own_place(void **state)
{
	struct rig *r = *state;
	struct queue_wish wish = wish_of(NULL, 0);
	int64_t begin_time = io_now_time(&r->io.base);
	static struct answer a;

	put_all(r, mixed, ARRAY_LEN(mixed));
	wish.others = true;
	wish.max_looks = 5;
	wish.classes = BIT(CONFIG_CLASS_NORMAL);
	ask(r, &wish, &a);
	check_senders("the first five", &a, "aaaba");
	assert_false(a.is_end);
	assert_int_equal(a.next_due_time, begin_time + 5);
	wish.after[CONFIG_CLASS_NORMAL] = a.end;
	wish.classes = ALL_CLASSES;
	wish.max_looks = 20000;
	ask(r, &wish, &a);
	check_senders("the normal behind them, and all others", &a, "cabba");
}

static void the_search_ends_with_its_leader(void **state)
{
	struct rig *r = *state;
	struct queue_share shares[] = { { .sender = hash_of('b'), .room = 5 },
		                        { .sender = hash_of('a'), .room = 4 } };
	struct queue_wish wish = wish_of(shares, 2);
	int64_t begin_time = io_now_time(&r->io.base);
	static struct answer a;

	put_all(r, mixed, ARRAY_LEN(mixed));
	wish.leader = 1;
	ask(r, &wish, &a);
	check_senders("until a has its four", &a, "aaaba");
	assert_false(a.is_end);
	assert_false(a.shares[1].left_some); /* not looked for: it goes on behind the end */
	assert_int_equal(a.end.due_time, begin_time + 4);
}

/* However few rows a job may look at, and however few it may give, all come, each once. */
static void any_bounds_come_to_the_same(void **state)
{
	struct rig *r = *state;

	put_all(r, mixed, ARRAY_LEN(mixed));
	for (size_t looks = 1; looks < 12; looks++) {
		for (size_t max_rows = 1; max_rows < 12; max_rows += 3) {
			struct queue_wish wish = wish_of(NULL, 0);
			static struct answer a;
			size_t had = 0;
			unsigned jobs = 0;

			wish.others = true;
			wish.max_looks = looks;
			wish.max_rows = max_rows;
			do {
				ask(r, &wish, &a);
				had += a.count;
				assert_true(a.count <= max_rows && a.count <= looks);
				for (unsigned c = 0; c < QUEUE_CLASSES; c++)
					wish.after[c] = a.end.set ? a.end : wish.after[c];
			} while (!a.is_end && ++jobs < 30);
			assert_int_equal(had, ARRAY_LEN(mixed));
		}
	}
}

static void what_is_not_due_is_not_looked_at(void **state)
{
	struct rig *r = *state;
	struct queue_wish wish = wish_of(NULL, 0);
	int64_t begin_time = io_now_time(&r->io.base);
	static struct answer a;

	put_all(r, mixed, ARRAY_LEN(mixed));
	wish.others = true;
	wish.until_time = begin_time + 2;
	ask(r, &wish, &a);
	check_senders("due", &a, "aaa");
	assert_true(a.is_end);
	assert_int_equal(a.next_due_time, begin_time + 3);
}

/* Room is for messages: what has several recipients takes one place. */
static void rows_of_one_message_go_together(void **state)
{
	static const struct mail mails[] = { { 'a', CONFIG_CLASS_NORMAL, 3 },
		                             { 'a', CONFIG_CLASS_NORMAL, 2 } };
	struct rig *r = *state;
	struct queue_share share = { .sender = hash_of('a'), .room = 1 };
	struct queue_wish wish = wish_of(&share, 1);
	static struct answer a;

	put_all(r, mails, ARRAY_LEN(mails));
	wish.leader = 0;
	ask(r, &wish, &a);
	check_senders("the first message", &a, "aaa");
	share.after = a.end;
	for (unsigned c = 0; c < QUEUE_CLASSES; c++)
		wish.after[c] = a.end;
	ask(r, &wish, &a);
	check_senders("the second", &a, "aa");
	assert_true(a.is_end);
}

static void a_place_lies_just_before_its_row(void **state)
{
	struct id id = { { 1 } }, zeros = { { 2 } };

	(void)state;
	for (uint32_t n = 0; n < 3; n++) {
		struct queue_cursor row = { 5, id, n, true }, before = queue_cursor_before(5, id, n);

		assert_int_equal(queue_cursor_compare(&before, &row), -1);
		assert_int_equal(queue_cursor_compare(&row, &before), 1);
		if (n > 0)
			row.n--;
		assert_int_equal(queue_cursor_compare(&before, &row), n > 0 ? 0 : -1);
	}
	struct queue_cursor before = queue_cursor_before(5, zeros, 0);

	assert_int_equal(before.id.bytes[0], 1);
	for (unsigned i = 1; i < ID_BYTES; i++)
		assert_int_equal(before.id.bytes[i], 255);
	assert_int_equal(before.n, UINT32_MAX);
	assert_int_equal(queue_cursor_compare(&(struct queue_cursor){ 0 }, &before), -1);
	assert_int_equal(queue_cursor_compare(&(struct queue_cursor){ 0 }, &(struct queue_cursor){ .n = 7 }),
	                 0);
}

static void an_impossible_key_is_answered(void **state)
{
	struct rig *r = *state;
	struct queue_wish wish = wish_of(NULL, 0);
	static struct answer a;

	a = (struct answer){ 0 };
	queue_search(r->queue, TEXT(""), &wish, on_found, &a);
	fake_io_run(&r->io);
	assert_int_equal(a.told, 1);
	assert_int_equal(a.err, ERR_SYNTAX);
}

/* A row that is passed over is not read further; one that is wanted and damaged is mended, and told of again. */
static void a_damaged_row_is_mended_and_told_of(void **state)
{
	static const struct mail mail = B('a');
	struct rig *r = *state;
	struct queue_wish wish = wish_of(NULL, 0);
	struct queue_row row;
	struct row_key key;
	struct damage d;
	static struct answer a;

	put_all(r, &mail, 1);
	assert_int_equal(rig_scan(r, "next.example", &row, 1, NULL), 1);
	due_key(&key, KEY, row.due_time, row.id, row.n);
	damage_begin(&d, r);
	damage_flip(&d, TABLE_DUE, row_key_text(&key), 2);
	damage_end(&d);
	r->dues = 0;
	wish.others = true;
	ask(r, &wish, &a);
	assert_int_equal(a.count, 0);
	fake_io_run(&r->io);
	assert_int_equal(r->dues, 1);
	ask(r, &wish, &a);
	check_senders("mended", &a, "a");
	assert_int_equal(a.rows[0].class, CONFIG_CLASS_BULK);
}

/* ---------------------------------------------------------------- classes and claims */

static void a_class_lives_as_long_as_its_recipient(void **state)
{
	static const struct mail mail = U('a');
	struct rig *r = *state;
	struct queue_outcome o = { .verdict = QUEUE_DEFERRED };
	struct rig_answer answer = { 0 };
	struct queue_row row;
	enum err err;
	struct id id = put(r, &mail);
	struct queue_work *w = rig_work(r, id);

	assert_int_equal(w->recipients[0].class, CONFIG_CLASS_URGENT);
	o.recipient = w->recipients[0];
	o.recipient.due_time += 1000;
	queue_settle(r->queue, &(struct queue_settlement){ .id = id, .outcomes = &o, .outcome_count = 1 },
	             rig_on_settled, &answer);
	fake_io_run(&r->io);
	assert_int_equal(answer.err, ERR_OK);
	rig_drop_works(r);
	rig_close(r);
	assert_int_equal(rig_open(r), ERR_OK);
	assert_int_equal(rig_scan(r, "next.example", &row, 1, NULL), 1);
	assert_int_equal(row.class, CONFIG_CLASS_URGENT);
	assert_true(row.sender == hash_of('a'));
	w = rig_load(r, id, "next.example", 0, &err);
	assert_int_equal(err, ERR_OK);
	assert_int_equal(w->recipients[0].class, CONFIG_CLASS_URGENT);
	assert_true(w->sender == row.sender);
	queue_work_free(r->queue, &w);
}

static void a_released_claim_is_none(void **state)
{
	static const struct mail mail = N('a');
	struct rig *r = *state;
	enum err err;
	struct id id = put(r, &mail);
	struct queue_work *w;

	rig_drop_works(r);
	w = rig_load(r, id, "next.example", 0, &err);
	assert_int_equal(w->recipients[0].state, QUEUE_CLAIMED);
	queue_work_free(r->queue, &w);
	queue_release(r->queue, id, &(uint32_t){ 0 }, 1);
	put(r, &mail); /* it joins a commit */
	w = rig_load(r, id, "next.example", 0, &err);
	assert_int_equal(err, ERR_OK);
	assert_int_equal(w->recipients[0].state, QUEUE_WAITING);
	queue_work_free(r->queue, &w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_BOTH(rows_are_given_to_those_that_have_room),
		RIG_BOTH(who_has_no_room_learns_where_more_lies),
		RIG_BOTH(each_class_begins_at_its_own_place),
		RIG_BOTH(the_search_ends_with_its_leader),
		RIG_BOTH(any_bounds_come_to_the_same),
		RIG_BOTH(what_is_not_due_is_not_looked_at),
		RIG_BOTH(rows_of_one_message_go_together),
		cmocka_unit_test(a_place_lies_just_before_its_row),
		RIG_BOTH(an_impossible_key_is_answered),
		RIG_BOTH(a_damaged_row_is_mended_and_told_of),
		RIG_BOTH(a_class_lives_as_long_as_its_recipient),
		RIG_BOTH(a_released_claim_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
