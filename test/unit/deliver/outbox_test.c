/* What is gathered leaves in order, whole, and only pointed at where that is cheaper. */
#include "deliver/outbox.h"

#include <postrider/base/random.h>

#include "support/check.h"

struct seen {
	struct buf all;
	unsigned writes;
	size_t most_pieces;
};

static void on_send(void *owner, const struct text *pieces, size_t count)
{
	struct seen *s = owner;

	assert_true(count > 0 && count <= OUTBOX_PIECES);
	s->writes++;
	s->most_pieces = MAX(s->most_pieces, count);
	for (size_t i = 0; i < count; i++) {
		assert_true(pieces[i].len > 0);
		buf_add(&s->all, pieces[i]);
	}
}

static struct outbox *open_box(struct seen *s)
{
	struct outbox *o = calloc(1, sizeof(*o));

	*s = (struct seen){ .all = BUF(64u << 20) };
	outbox_begin(o, on_send, s);
	return o;
}

static void close_box(struct outbox **o, struct seen *s)
{
	buf_fini(&s->all);
	free(*o);
	*o = NULL;
}

static void short_pieces_become_one(void **state)
{
	struct seen s;
	struct outbox *o = open_box(&s);

	(void)state;
	outbox_copy(o, TEXT("MAIL FROM:<"));
	outbox_add(o, TEXT("a@example.org"));
	outbox_copy(o, TEXT("> SIZE="));
	outbox_copy_u64(o, 0);
	outbox_copy_u64(o, 18446744073709551615u);
	outbox_copy(o, TEXT_EMPTY);
	assert_int_equal(o->bytes, 52);
	assert_false(o->borrows);
	outbox_flush(o);
	CHECK_TEXT("all", buf_text(&s.all), TEXT("MAIL FROM:<a@example.org> SIZE=018446744073709551615"));
	assert_int_equal(s.writes, 1);
	assert_int_equal(s.most_pieces, 1);
	outbox_flush(o);
	assert_int_equal(s.writes, 1); /* nothing there, nothing sent */
	close_box(&o, &s);
}

static void long_pieces_are_pointed_at(void **state)
{
	static char long_piece[OUTBOX_SHORT_BYTES + 1];
	struct seen s;
	struct outbox *o = open_box(&s);

	(void)state;
	memset(long_piece, 'x', sizeof(long_piece));
	outbox_copy(o, TEXT("a"));
	outbox_add(o, text_of(long_piece, sizeof(long_piece)));
	outbox_copy(o, TEXT("b"));
	outbox_copy(o, TEXT("c"));
	assert_true(o->borrows);
	assert_int_equal(o->count, 3);
	assert_ptr_equal(o->pieces[1].at, long_piece);
	outbox_flush(o);
	assert_false(o->borrows);
	assert_int_equal(s.all.len, 3 + sizeof(long_piece));
	assert_int_equal(s.all.at[s.all.len - 1], 'c');
	close_box(&o, &s);
}

static void dropped_is_not_sent(void **state)
{
	struct seen s;
	struct outbox *o = open_box(&s);

	(void)state;
	outbox_copy(o, TEXT("a"));
	outbox_drop(o);
	outbox_flush(o);
	assert_int_equal(s.writes, 0);
	close_box(&o, &s);
}

/* Pieces of all lengths against one buffer: more of them than fit, longer ones than fit. */
static void any_pieces_come_out_as_they_went_in(void **state)
{
	static char source[100000];
	struct random random;

	(void)state;
	random_init(&random, 5);
	for (size_t i = 0; i < sizeof(source); i++)
		source[i] = (char)random_below(&random, 256);
	for (unsigned round = 0; round < 200; round++) {
		struct buf expected = BUF(64u << 20);
		struct seen s;
		struct outbox *o = open_box(&s);

		for (unsigned i = 0; i < 400; i++) {
			size_t most = round % 4 == 0   ? 3
			              : round % 4 == 1 ? 600
			              : round % 4 == 2 ? 2000
			                               : 60000;
			size_t len = (size_t)random_below(&random, most);
			struct text piece =
				text_of(source + random_below(&random, sizeof(source) - len), len);

			if (random_below(&random, 2))
				outbox_copy(o, piece);
			else
				outbox_add(o, piece);
			buf_add(&expected, piece);
			if (i % 97 == 96)
				outbox_flush(o);
		}
		outbox_flush(o);
		assert_int_equal(s.all.len, expected.len);
		assert_memory_equal(s.all.at, expected.at, expected.len);
		buf_fini(&expected);
		close_box(&o, &s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_pieces_become_one),
		cmocka_unit_test(long_pieces_are_pointed_at),
		cmocka_unit_test(dropped_is_not_sent),
		cmocka_unit_test(any_pieces_come_out_as_they_went_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
