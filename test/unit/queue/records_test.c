/* What stands in the rows: written and read back, and every damaged octet found. */
#include "support/check.h"

#include <postrider/base/crc32c.h>
#include <postrider/mail/record.h>

#include "records.h"

static const struct id some_id = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } };
static const struct id other_id = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17 } };

/* ---------------------------------------------------------------- keys */

static void keys_are_ordered_as_what_they_hold(void **state)
{
	static const struct {
		const char *name;
		const char *key;
		int64_t due_time;
		struct id id;
		uint32_t n;
	} rows[] = {
		{ "nothing", "a", 0, { { 0 } }, 0 },
		{ "a number", "a", 0, { { 0 } }, 1 },
		{ "a large number", "a", 0, { { 0 } }, 0x80000000u },
		{ "an id", "a", 0, { { 1 } }, 0 },
		{ "a time", "a", 1, { { 0 } }, 0 },
		{ "a time of two octets", "a", 256, { { 0 } }, 0 },
		{ "a real time", "a", INT64_C(1767225600000), { { 0 } }, 0 },
		{ "the last time", "a", INT64_MAX, { { 0xff } }, UINT32_MAX },
		{ "a key that begins with the other", "a.example", 0, { { 0 } }, 0 },
		{ "the next letter", "b", 0, { { 0 } }, 0 },
	};
	struct row_key last = { .len = 0 }, key;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct text found;
		struct id id;
		int64_t due_time;
		uint32_t n;

		due_key(&key, text_from(rows[i].key), rows[i].due_time, rows[i].id, rows[i].n);
		CHECK(rows[i].name, text_compare(row_key_text(&last), row_key_text(&key)) < 0);
		CHECK(rows[i].name, due_key_read(row_key_text(&key), &found, &due_time, &id, &n));
		CHECK_TEXT(rows[i].name, found, text_from(rows[i].key));
		CHECK(rows[i].name, due_time == rows[i].due_time && id_eq(id, rows[i].id) && n == rows[i].n);
		last = key;
	}
}

static void the_longest_delivery_key_fits(void **state)
{
	char longest[DELIVERY_KEY_MAX_BYTES + 1];
	struct row_key key;

	(void)state;
	memset(longest, 'k', sizeof(longest));
	assert_true(delivery_key_is_good(text_of(longest, DELIVERY_KEY_MAX_BYTES)));
	assert_false(delivery_key_is_good(text_of(longest, DELIVERY_KEY_MAX_BYTES + 1)));
	assert_false(delivery_key_is_good(TEXT_EMPTY));
	assert_false(delivery_key_is_good(TEXT("a\0b")));
	due_key(&key, text_of(longest, DELIVERY_KEY_MAX_BYTES), INT64_MAX, some_id, UINT32_MAX);
	assert_true(key.len <= STORE_KEY_MAX_BYTES);
}

static void octets_that_are_no_key_are_told(void **state)
{
	struct row_key key;
	struct text found;
	struct id id;
	int64_t due_time;
	uint32_t n;

	(void)state;
	due_key(&key, TEXT("a.example"), 5, some_id, 1);
	for (size_t len = 0; len < key.len; len++)
		assert_false(due_key_read(text_of((char *)key.bytes, len), &found, &due_time, &id, &n));
	key.bytes[sizeof("a.example")] = 0x80; /* before 1970 */
	assert_false(due_key_read(row_key_text(&key), &found, &due_time, &id, &n));
	recipient_key(&key, some_id, 7);
	assert_true(recipient_key_read(row_key_text(&key), &id, &n));
	assert_int_equal(n, 7);
	assert_false(recipient_key_read(text_of((char *)key.bytes, key.len - 1), &id, &n));
}

/* ---------------------------------------------------------------- recipients */

static const struct recipient_row full_row = {
	.public = {
		.n = 3,
		.state = QUEUE_CLAIMED,
		.due_time = INT64_C(1767225600123),
		.attempts = 17,
		.last_attempt_time = INT64_C(1767225500000),
		.reason = REASON_GREYLISTED,
		.stage = STAGE_RCPT,
		.reply = LIT("450 4.2.0 come back later"),
		.remote = LIT("mx1.example.net [192.0.2.1]:25"),
		.key = LIT("example.net"),
		.unknown_outcome = true,
		.warned = true,
		.released = true,
		.class = CONFIG_CLASS_URGENT,
	},
	.run = 9,
	.sender = UINT64_C(0xfedcba9876543210),
};

static void check_recipient(const char *name, const struct recipient_row *a, const struct recipient_row *b)
{
	CHECK_INT(name, a->public.n, b->public.n);
	CHECK_INT(name, a->public.state, b->public.state);
	CHECK_INT(name, a->public.due_time, b->public.due_time);
	CHECK_INT(name, a->public.attempts, b->public.attempts);
	CHECK_INT(name, a->public.last_attempt_time, b->public.last_attempt_time);
	CHECK_INT(name, a->public.reason, b->public.reason);
	CHECK_INT(name, a->public.stage, b->public.stage);
	CHECK_TEXT(name, a->public.reply, b->public.reply);
	CHECK_TEXT(name, a->public.remote, b->public.remote);
	CHECK_TEXT(name, a->public.key, b->public.key);
	CHECK_INT(name, a->public.unknown_outcome, b->public.unknown_outcome);
	CHECK_INT(name, a->public.warned, b->public.warned);
	CHECK_INT(name, a->public.released, b->public.released);
	CHECK_INT(name, a->public.class, b->public.class);
	CHECK_INT(name, a->run, b->run);
	CHECK(name, a->sender == b->sender);
}

static void a_recipient_is_read_as_it_was_written(void **state)
{
	static const struct {
		const char *name;
		struct recipient_row row;
	} rows[] = {
		{ "waiting and fresh",
		  { .public = { .n = 3,
		                .state = QUEUE_WAITING,
		                .key = LIT("a"),
		                .reply = LIT(""),
		                .remote = LIT("") } } },
		{ "held",
		  { .public = { .n = 3,
		                .state = QUEUE_HELD,
		                .key = LIT("a"),
		                .reason = REASON_ADMIN,
		                .reply = LIT(""),
		                .remote = LIT("") } } },
		{ "all numbers at their ends",
		  { .public = { .n = 3,
		                .state = QUEUE_CLAIMED,
		                .key = LIT("a"),
		                .due_time = INT64_MAX,
		                .attempts = UINT32_MAX,
		                .last_attempt_time = INT64_MAX,
		                .reason = REASON_OTHER,
		                .stage = STAGE_QUIT,
		                .reply = LIT(""),
		                .remote = LIT("") },
		    .run = UINT64_MAX,
		    .sender = UINT64_MAX } },
	};
	struct row_key key;
	struct buf b = BUF(RECIPIENT_RECORD_MAX_BYTES);

	(void)state;
	recipient_key(&key, some_id, 3);
	for (size_t i = 0; i <= ARRAY_LEN(rows); i++) {
		const struct recipient_row *row = i < ARRAY_LEN(rows) ? &rows[i].row : &full_row;
		const char *name = i < ARRAY_LEN(rows) ? rows[i].name : "everything";
		struct recipient_row got;

		buf_reset(&b);
		recipient_encode(&b, row_key_text(&key), row);
		CHECK_INT(name, buf_err(&b), ERR_OK);
		CHECK_INT(name, recipient_decode(row_key_text(&key), buf_text(&b), &got, NULL), ERR_OK);
		check_recipient(name, &got, row);
	}
	buf_fini(&b);
}

static void fields_of_later_versions_live_on(void **state)
{
	struct row_key key;
	struct buf b = BUF(4096), unknown = BUF(4096), again = BUF(4096);
	struct recipient_row got;

	(void)state;
	recipient_key(&key, some_id, 3);
	struct recipient_row row = full_row;
	struct buf later = BUF(100);

	record_add_text(&later, 99, TEXT("NOTIFY=NEVER"));
	record_add_u64(&later, 100, 5);
	row.unknown_fields = buf_text(&later);
	recipient_encode(&b, row_key_text(&key), &row);
	assert_int_equal(recipient_decode(row_key_text(&key), buf_text(&b), &got, &unknown), ERR_OK);
	check_recipient("read", &got, &full_row);
	CHECK_TEXT("kept", got.unknown_fields, row.unknown_fields);
	recipient_encode(&again, row_key_text(&key), &got);
	CHECK_TEXT("written again", buf_text(&again), buf_text(&b));
	buf_fini(&later);
	buf_fini(&b);
	buf_fini(&again);
	buf_fini(&unknown);
}

static void a_word_that_a_later_version_added_is_other(void **state)
{
	struct row_key key;
	struct buf b = BUF(4096);
	struct recipient_row row = full_row, got;

	(void)state;
	recipient_key(&key, some_id, 3);
	row.public.reason = (enum reason)200;
	row.public.stage = (enum stage)200;
	recipient_encode(&b, row_key_text(&key), &row);
	assert_int_equal(recipient_decode(row_key_text(&key), buf_text(&b), &got, NULL), ERR_OK);
	assert_int_equal(got.public.reason, REASON_OTHER);
	assert_int_equal(got.public.stage, STAGE_NONE);
	buf_fini(&b);
}

static void a_long_reply_is_bounded(void **state)
{
	struct row_key key;
	char *reply = calloc(1, 100000);
	struct buf b = BUF(RECIPIENT_RECORD_MAX_BYTES);
	struct recipient_row row = full_row, got;

	(void)state;
	recipient_key(&key, some_id, 3);
	row.public.reply = row.public.remote = text_of(reply, 100000);
	recipient_encode(&b, row_key_text(&key), &row);
	assert_int_equal(buf_err(&b), ERR_OK);
	assert_int_equal(recipient_decode(row_key_text(&key), buf_text(&b), &got, NULL), ERR_OK);
	assert_int_equal(got.public.reply.len, REPLY_MAX_BYTES);
	buf_fini(&b);
	free(reply);
}

/* ---------------------------------------------------------------- damage */

/* Every octet of the value changed, and the value cut at every place. */
static void check_damage(const char *name, struct text key, struct text value,
                         enum err (*decode)(struct text key, struct text value))
{
	struct text wrong_key;
	char other[STORE_KEY_MAX_BYTES];

	CHECK_INT(name, decode(key, value), ERR_OK);
	for (size_t i = 0; i < value.len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			char *copy = alone(value);

			copy[i] = (char)(copy[i] ^ 1 << bit);
			CHECK(name, decode(key, text_of(copy, value.len)) == ERR_DAMAGED);
			free(copy);
		}
	}
	for (size_t len = 0; len < value.len; len++) {
		char *copy = alone(text_head(value, len));

		CHECK(name, decode(key, text_of(copy, len)) == ERR_DAMAGED);
		free(copy);
	}
	memcpy(other, key.at, key.len);
	other[key.len - 1] ^= 1;
	wrong_key = text_of(other, key.len);
	CHECK(name, decode(wrong_key, value) == ERR_DAMAGED);
}

static enum err decode_recipient(struct text key, struct text value)
{
	struct recipient_row row;

	return recipient_decode(key, value, &row, NULL);
}

static enum err decode_due(struct text key, struct text value)
{
	struct due_row row;

	return due_decode(key, value, &row);
}

static enum err decode_count(struct text key, struct text value)
{
	return count_decode(key, value, &(uint64_t){ 0 });
}

static enum err decode_file(struct text key, struct text value)
{
	struct file_row row;

	return file_decode(key, value, &row);
}

static enum err decode_aside(struct text key, struct text value)
{
	struct aside_row row;

	return aside_decode(key, value, &row);
}

static enum err decode_meta(struct text key, struct text value)
{
	struct meta_row row;

	return text_eq(key, meta_key) ? meta_decode(value, &row) : ERR_DAMAGED;
}

/* Versions before classes wrote the sender alone, one to come may know more of them. */
static void a_due_row_without_a_known_class_is_normal(void **state)
{
	static const uint64_t classes[] = { 0, 3, 77, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
		struct buf b = BUF(200);
		struct row_key key;
		struct due_row due = { 0, CONFIG_CLASS_BULK };
		enum err err;

		due_key(&key, TEXT("example.net"), 5, some_id, 3);
		record_begin(&b, 1);
		record_add_u64(&b, 1, 12345);
		if (classes[i] && classes[i] < UINT64_MAX)
			record_add_u64(&b, 2, classes[i]);
		else if (classes[i])
			record_add_text(&b, 9, TEXT("what a later version says"));
		record_seal(&b, row_key_text(&key));
		err = due_decode(row_key_text(&key), buf_text(&b), &due);
		assert_int_equal(err, ERR_OK);
		assert_int_equal(due.sender, 12345);
		assert_int_equal(due.class, CONFIG_CLASS_NORMAL);
		buf_fini(&b);
	}
}

static void every_damaged_octet_is_found(void **state)
{
	struct row_key key;
	struct buf b = BUF(8192);
	struct due_row due;
	struct file_row file = { other_id, 123456 };
	struct aside_row aside = { 5, LIT("its record is damaged"), LIT("\0\1\2") };
	struct meta_row meta = {
		.run = 3, .newest_time = 77, .unclean = { { 1, 1 }, { 3, 4 } }, .unclean_count = 2
	};

	(void)state;
	recipient_key(&key, some_id, 3);
	recipient_encode(&b, row_key_text(&key), &full_row);
	check_damage("recipient", row_key_text(&key), buf_text(&b), decode_recipient);

	due_key(&key, TEXT("example.net"), 5, some_id, 3);
	buf_reset(&b);
	due_encode(&b, row_key_text(&key), &(struct due_row){ 12345, CONFIG_CLASS_BULK });
	assert_int_equal(due_decode(row_key_text(&key), buf_text(&b), &due), ERR_OK);
	assert_int_equal(due.sender, 12345);
	assert_int_equal(due.class, CONFIG_CLASS_BULK);
	check_damage("due", row_key_text(&key), buf_text(&b), decode_due);

	buf_reset(&b);
	count_encode(&b, TEXT("example.net"), UINT64_MAX);
	check_damage("count", TEXT("example.net"), buf_text(&b), decode_count);

	buf_reset(&b);
	file_encode(&b, id_key(&some_id), &file);
	check_damage("file", id_key(&some_id), buf_text(&b), decode_file);

	aside_key(&key, some_id, 3, TABLE_RECIPIENT);
	buf_reset(&b);
	aside_encode(&b, row_key_text(&key), &aside);
	check_damage("aside", row_key_text(&key), buf_text(&b), decode_aside);

	buf_reset(&b);
	meta_encode(&b, &meta);
	check_damage("meta", meta_key, buf_text(&b), decode_meta);
	buf_fini(&b);
}

static void a_record_of_a_later_format_is_not_read_and_not_called_damaged(void **state)
{
	struct buf b = BUF(100);
	struct meta_row meta;

	(void)state;
	record_begin(&b, 2);
	record_seal(&b, meta_key);
	assert_int_equal(meta_decode(buf_text(&b), &meta), ERR_UNSUPPORTED);
	buf_fini(&b);
}

/* ---------------------------------------------------------------- runs */

static void unclean_runs_are_remembered_as_ranges(void **state)
{
	struct meta_row meta = { 0 }, got;
	struct buf b = BUF(4096);

	(void)state;
	meta_add_unclean(&meta, 2);
	meta_add_unclean(&meta, 3);
	meta_add_unclean(&meta, 7);
	assert_int_equal(meta.unclean_count, 2);
	meta_encode(&b, &meta);
	assert_int_equal(meta_decode(buf_text(&b), &got), ERR_OK);
	assert_true(meta_was_unclean(&got, 2) && meta_was_unclean(&got, 3) && meta_was_unclean(&got, 7));
	assert_false(meta_was_unclean(&got, 1) || meta_was_unclean(&got, 4) || meta_was_unclean(&got, 8));
	buf_fini(&b);
}

static void too_many_ranges_become_one_that_says_too_much(void **state)
{
	struct meta_row meta = { 0 };
	struct buf b = BUF(4096);

	(void)state;
	for (uint64_t run = 1; run <= 1000; run += 2)
		meta_add_unclean(&meta, run);
	assert_int_equal(meta.unclean_count, META_RANGES_MAX);
	for (uint64_t run = 1; run <= 1000; run += 2)
		assert_true(meta_was_unclean(&meta, run));
	assert_false(meta_was_unclean(&meta, 998));
	meta_encode(&b, &meta);
	assert_int_equal(meta_decode(buf_text(&b), &meta), ERR_OK);
	buf_fini(&b);
}

/* ---------------------------------------------------------------- messages */

static char *make_row(const char *content, size_t len, bool in_file, size_t *row_len)
{
	struct buf head = BUF(4096);
	struct message_head m = {
		.envelope = TEXT("the envelope"),
		.prepended = TEXT("Received: x\r\n"),
		.content_bytes = len,
		.in_file = in_file,
		.file = other_id,
	};

	message_head_encode(&head, some_id, &m);
	assert_int_equal(buf_err(&head), ERR_OK);
	*row_len = message_row_bytes(&head, &m);
	char *row = malloc(*row_len);

	message_row_write(row, &head, some_id, &m, text_of(content, in_file ? 0 : len));
	buf_fini(&head);
	return row;
}

static enum err read_all(struct text row)
{
	struct message_head m;
	struct text blocks;
	enum err err = message_row_read(some_id, row, &m, &blocks);

	return err ? err : m.in_file ? ERR_OK : message_content_read(some_id, blocks, m.content_bytes, NULL);
}

static void a_message_is_read_as_it_was_written(void **state)
{
	static const size_t sizes[] = { 0,
		                        1,
		                        1000,
		                        BLOCK_DATA_BYTES - 1,
		                        BLOCK_DATA_BYTES,
		                        BLOCK_DATA_BYTES + 1,
		                        3 * BLOCK_DATA_BYTES,
		                        200000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		size_t row_len, block_len, len = sizes[i];
		char *content = malloc(len + 1), *got = malloc(len + 1), *block = malloc(BLOCK_DATA_BYTES);
		struct message_head m;
		struct text blocks;

		for (size_t j = 0; j < len; j++)
			content[j] = (char)(j * 7 + (j >> 8));
		char *row = make_row(content, len, false, &row_len);

		assert_int_equal(message_row_read(some_id, text_of(row, row_len), &m, &blocks), ERR_OK);
		assert_int_equal(m.content_bytes, len);
		assert_false(m.in_file || message_row_is_in_file(text_of(row, row_len)));
		CHECK_TEXT("envelope", m.envelope, TEXT("the envelope"));
		CHECK_TEXT("prepended", m.prepended, TEXT("Received: x\r\n"));
		assert_int_equal(message_content_read(some_id, blocks, len, got), ERR_OK);
		assert_memory_equal(got, content, len);
		for (uint64_t number = 0; number < blocks_of(len); number++) {
			assert_int_equal(message_block_read(some_id, blocks, len, number, block, &block_len),
			                 ERR_OK);
			assert_memory_equal(block, content + number * BLOCK_DATA_BYTES, block_len);
		}
		assert_int_equal(message_block_read(some_id, blocks, len, blocks_of(len), block, &block_len),
		                 ERR_NOT_FOUND);
		free(row);
		free(block);
		free(got);
		free(content);
	}
}

static void a_message_in_a_file_names_it(void **state)
{
	size_t row_len;
	char *row = make_row("", 5000000, true, &row_len);
	struct message_head m;
	struct text blocks;

	(void)state;
	assert_true(row_len < 200);
	assert_true(message_row_is_in_file(text_of(row, row_len)));
	assert_int_equal(message_row_read(some_id, text_of(row, row_len), &m, &blocks), ERR_OK);
	assert_true(m.in_file && id_eq(m.file, other_id));
	assert_int_equal(m.content_bytes, 5000000);
	free(row);
}

static void every_damaged_octet_of_a_message_is_found(void **state)
{
	size_t row_len;

	(void)state;
	for (unsigned in_file = 0; in_file < 2; in_file++) {
		char *row = make_row("Subject: x\r\n\r\nbody\r\n", 20, in_file, &row_len);

		assert_int_equal(read_all(text_of(row, row_len)), ERR_OK);
		for (size_t i = 0; i < row_len * 8; i++) {
			row[i / 8] = (char)(row[i / 8] ^ 1 << i % 8);
			if (read_all(text_of(row, row_len)) != ERR_DAMAGED)
				fail_msg("bit %zu of octet %zu", i % 8, i / 8);
			row[i / 8] = (char)(row[i / 8] ^ 1 << i % 8);
		}
		for (size_t len = 0; len < row_len; len++) {
			char *copy = alone(text_of(row, len));

			assert_int_equal(read_all(text_of(copy, len)), ERR_DAMAGED);
			free(copy);
		}
		free(row);
	}
}

static void a_block_in_the_place_of_another_is_damaged(void **state)
{
	char *content = calloc(1, 2 * BLOCK_DATA_BYTES), *at = malloc(2 * BLOCK_DATA_BYTES);
	size_t row_len;
	struct message_head m;
	struct text blocks;

	(void)state;
	memset(content + BLOCK_DATA_BYTES, 'b', BLOCK_DATA_BYTES);
	char *row = make_row(content, 2 * BLOCK_DATA_BYTES, false, &row_len);

	assert_int_equal(message_row_read(some_id, text_of(row, row_len), &m, &blocks), ERR_OK);
	char *first = row + (blocks.at - row), *swap = malloc(BLOCK_BYTES);

	memcpy(swap, first, BLOCK_BYTES);
	memcpy(first, first + BLOCK_BYTES, BLOCK_BYTES);
	memcpy(first + BLOCK_BYTES, swap, BLOCK_BYTES);
	assert_int_equal(message_content_read(some_id, blocks, m.content_bytes, at), ERR_DAMAGED);
	assert_int_equal(message_content_read(other_id, blocks, m.content_bytes, at), ERR_DAMAGED);
	free(swap);
	free(row);
	free(at);
	free(content);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_ordered_as_what_they_hold),
		cmocka_unit_test(the_longest_delivery_key_fits),
		cmocka_unit_test(octets_that_are_no_key_are_told),
		cmocka_unit_test(a_recipient_is_read_as_it_was_written),
		cmocka_unit_test(fields_of_later_versions_live_on),
		cmocka_unit_test(a_word_that_a_later_version_added_is_other),
		cmocka_unit_test(a_long_reply_is_bounded),
		cmocka_unit_test(a_due_row_without_a_known_class_is_normal),
		cmocka_unit_test(every_damaged_octet_is_found),
		cmocka_unit_test(a_record_of_a_later_format_is_not_read_and_not_called_damaged),
		cmocka_unit_test(unclean_runs_are_remembered_as_ranges),
		cmocka_unit_test(too_many_ranges_become_one_that_says_too_much),
		cmocka_unit_test(a_message_is_read_as_it_was_written),
		cmocka_unit_test(a_message_in_a_file_names_it),
		cmocka_unit_test(every_damaged_octet_of_a_message_is_found),
		cmocka_unit_test(a_block_in_the_place_of_another_is_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
