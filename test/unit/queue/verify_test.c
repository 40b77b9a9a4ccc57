/* Verify finds each kind of damage and calls nothing damaged that is sound; also beside a running daemon. */
#include "support/check.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <postrider/queue.h>

#include "support/queue_damage.h"
#include "support/queue_rig.h"

static void count_line(void *owner, struct text line)
{
	(void)line;
	++*(unsigned *)owner;
}

static struct queue_verify_report verify(struct rig *r, unsigned *lines)
{
	struct queue_verify_report report = { 0 };

	*lines = 0;
	assert_int_equal(queue_verify(r->options.disk, text_from(r->path), count_line, lines, &report),
	                 ERR_OK);
	return report;
}

static uint64_t faults(const struct queue_verify_report *v)
{
	return v->damaged_messages + v->damaged_recipients + v->lost_due_rows + v->wrong_counts +
	       v->missing_files + v->stray_files;
}

/* Some of everything: small, large, several recipients, held, deferred. */
static void fill(struct rig *r, struct id *small, struct id *large)
{
	char *content = rig_octets(300000, 1);
	const bool held[] = { false, true, false };

	*small = rig_accepted(r, &(struct rig_mail){ .content = TEXT("small\r\n") });
	*large = rig_accepted(
		r, &(struct rig_mail){ .content = text_of(content, 300000), .recipients = 3, .held = held });
	for (unsigned i = 0; i < 600; i++)
		rig_accept(r, &(struct rig_mail){ .content = TEXT("one of many\r\n") }, NULL);
	fake_io_run(&r->io);
	rig_settle(r, *large, 2, QUEUE_DEFERRED, FAKE_IO_START_TIME + 5000, NULL);
	fake_io_run(&r->io);
	free(content);
}

static void a_sound_spool_has_no_faults(void **state)
{
	struct rig *r = *state;
	struct id small, large;
	unsigned lines;

	fill(r, &small, &large);
	rig_close(r);
	struct queue_verify_report v = verify(r, &lines);

	assert_int_equal(v.messages, 602);
	assert_int_equal(v.recipients, 604);
	assert_int_equal(v.due_rows, 603);
	assert_int_equal(v.keys, 2);
	assert_int_equal(v.spool_files, 1);
	assert_int_equal(v.body_bytes, 300000 + 7 + 600 * 13);
	assert_int_equal(faults(&v), 0);
	assert_int_equal(lines, 0);
}

static void an_empty_spool_has_none_and_a_missing_one_is_said(void **state)
{
	struct rig *r = *state;
	struct queue_verify_report report;
	unsigned lines;

	rig_close(r);
	struct queue_verify_report v = verify(r, &lines);

	assert_int_equal(v.messages + faults(&v), 0);
	assert_int_equal(queue_verify(r->options.disk, TEXT("/nonexistent/spool"), NULL, NULL, &report),
	                 ERR_NOT_FOUND);
}

/* ---------------------------------------------------------------- each kind */

enum kind {
	ENVELOPE,
	BODY,
	NO_RECIPIENTS,
	RECIPIENT,
	NO_MESSAGE,
	DUE_VALUE,
	DUE_LOST,
	DUE_EXTRA,
	DUE_WRONG,
	COUNT,
	COUNT_LOST,
	FILE_OCTET,
	FILE_SHORT,
	FILE_GONE,
	FILE_STRAY,
};

static void make_stray(struct rig *r)
{
	struct io_file *f = NULL;
	struct id id = id_next(&r->ids, FAKE_IO_START_TIME);
	char path[300];

	snprintf(path, sizeof(path), "%s/bodies/%s.body", r->path, id_to_text(id).at);
	assert_int_equal(r->options.disk->ops->open(r->options.disk, path, IO_FILE_CREATE, &f), ERR_OK);
	r->options.disk->ops->close(&f);
}

static void remove_due(struct damage *d, struct id id)
{
	struct row_key key, recipient;
	struct recipient_row row;
	struct text value;

	recipient_key(&recipient, id, 0);
	assert_int_equal(store_get(d->txn, TABLE_RECIPIENT, row_key_text(&recipient), &value), ERR_OK);
	assert_int_equal(recipient_decode(row_key_text(&recipient), value, &row, NULL), ERR_OK);
	due_key(&key, row.public.key, row.public.due_time, id, 0);
	damage_remove(d, TABLE_DUE, row_key_text(&key));
}

static void put_due(struct damage *d, struct id id, uint32_t n)
{
	struct row_key key;
	struct buf b = BUF(100);

	due_key(&key, TEXT("d0.example"), 1, id, n);
	due_encode(&b, row_key_text(&key), &(struct due_row){ .sender = 1 });
	damage_put(d, TABLE_DUE, row_key_text(&key), buf_text(&b));
	buf_fini(&b);
}

static void damage_one(struct rig *r, enum kind kind, struct id small)
{
	struct damage d;
	struct row_key key;
	char room[STORE_KEY_MAX_BYTES];

	damage_begin(&d, r);
	recipient_key(&key, small, 0);
	switch (kind) {
	case ENVELOPE:
		damage_flip(&d, TABLE_MESSAGE, id_key(&small), 20);
		break;
	case BODY:
		damage_flip(&d, TABLE_MESSAGE, id_key(&small), -5);
		break;
	case NO_RECIPIENTS:
		remove_due(&d, small);
		damage_remove(&d, TABLE_RECIPIENT, row_key_text(&key));
		break;
	case RECIPIENT:
		damage_flip(&d, TABLE_RECIPIENT, row_key_text(&key), 4);
		break;
	case NO_MESSAGE:
		damage_remove(&d, TABLE_MESSAGE, id_key(&small));
		break;
	case DUE_VALUE:
		due_key(&key, TEXT("d0.example"), FAKE_IO_START_TIME + r->io.at_ms, small, 0);
		damage_flip(&d, TABLE_DUE, row_key_text(&key), 2);
		break;
	case DUE_LOST:
		remove_due(&d, small);
		break;
	case DUE_EXTRA:
		put_due(&d, small, 17);
		break;
	case DUE_WRONG:
		remove_due(&d, small);
		put_due(&d, small, 0);
		break;
	case COUNT:
		damage_flip(&d, TABLE_KEY, TEXT("d0.example"), 2);
		break;
	case COUNT_LOST:
		put_due(&d, small, 18);
		break;
	case FILE_GONE:
		damage_only_key(&d, TABLE_FILE, room);
		break;
	default:
		break;
	}
	damage_end_closed(&d);
	if (kind == FILE_OCTET)
		damage_file(r, 100000, false);
	else if (kind == FILE_SHORT)
		damage_file(r, 100000, true);
	else if (kind == FILE_STRAY)
		make_stray(r);
	else if (kind == FILE_GONE) {
		struct id file;
		char path[300];

		assert_true(id_read(text_of(room, ID_BYTES), &file));
		snprintf(path, sizeof(path), "%s/bodies/%s.body", r->path, id_to_text(file).at);
		assert_int_equal(r->options.disk->ops->remove(r->options.disk, path), ERR_OK);
	}
}

static void every_kind_of_damage_is_found_and_told(void **state)
{
	static const struct {
		const char *name;
		enum kind kind;
		uint64_t messages, recipients, due, counts, missing, stray;
	} rows[] = {
		{ "an envelope", ENVELOPE, 1, 0, 0, 0, 0, 0 },
		{ "a body", BODY, 1, 0, 0, 0, 0, 0 },
		{ "a message without recipients", NO_RECIPIENTS, 1, 0, 0, 1, 0, 0 },
		{ "a recipient", RECIPIENT, 0, 1, 0, 0, 0, 0 },
		{ "a recipient without its message", NO_MESSAGE, 0, 1, 0, 0, 0, 0 },
		{ "a due row's value", DUE_VALUE, 0, 0, 1, 0, 0, 0 },
		{ "a due row that is lost", DUE_LOST, 0, 0, 1, 1, 0, 0 },
		{ "a due row for nobody", DUE_EXTRA, 0, 0, 1, 1, 0, 0 },
		{ "a due row at the wrong time", DUE_WRONG, 0, 0, 2, 0, 0, 0 },
		{ "a count", COUNT, 0, 0, 0, 1, 0, 0 },
		{ "a count that is too small", COUNT_LOST, 0, 0, 1, 1, 0, 0 },
		{ "an octet of a file", FILE_OCTET, 1, 0, 0, 0, 0, 0 },
		{ "the end of a file", FILE_SHORT, 1, 0, 0, 0, 0, 0 },
		{ "a file that is gone", FILE_GONE, 1, 0, 0, 0, 1, 0 },
		{ "a file that nobody names", FILE_STRAY, 0, 0, 0, 0, 0, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rig *r = calloc(1, sizeof(*r));
		struct id small, large;
		unsigned lines;

		rig_init(r, RIG_LMDB);
		assert_int_equal(rig_open(r), ERR_OK);
		fill(r, &small, &large);
		damage_one(r, rows[i].kind, small);
		struct queue_verify_report v = verify(r, &lines);

		CHECK_INT(rows[i].name, v.damaged_messages, rows[i].messages);
		CHECK_INT(rows[i].name, v.damaged_recipients, rows[i].recipients);
		CHECK_INT(rows[i].name, v.lost_due_rows, rows[i].due);
		CHECK_INT(rows[i].name, v.wrong_counts, rows[i].counts);
		CHECK_INT(rows[i].name, v.missing_files, rows[i].missing);
		CHECK_INT(rows[i].name, v.stray_files, rows[i].stray);
		CHECK(rows[i].name, lines > 0);
		rig_fini(r);
		free(r);
	}
}

static void what_was_set_aside_is_counted_and_no_fault(void **state)
{
	struct rig *r = *state;
	struct id small, large;
	unsigned lines;
	enum err err;

	fill(r, &small, &large);
	damage_one(r, BODY, small);
	assert_int_equal(rig_open(r), ERR_OK);
	assert_null(rig_load(r, small, "d0.example", 0, &err));
	rig_close(r);
	struct queue_verify_report v = verify(r, &lines);

	assert_int_equal(faults(&v), 0);
	assert_int_equal(v.set_aside, 2); /* the message, and its recipient */
	assert_int_equal(lines, 2);
}

/* ---------------------------------------------------------------- beside a daemon */

static void another_process_verifies_while_the_queue_works(void **state)
{
	struct rig *r = *state;
	struct id small, large;
	int status = 0;

	fill(r, &small, &large);
	pid_t child = fork();

	if (child == 0) {
		for (unsigned i = 0; i < 30; i++) {
			struct queue_verify_report v = { 0 };
			unsigned lines = 0;

			if (queue_verify(io_disk_real(), text_from(r->path), count_line, &lines, &v))
				_exit(1);
			/* What changes between two slices may look like a count that is wrong, and nothing
			 * else. */
			if (faults(&v) != v.stray_files)
				_exit(2);
		}
		_exit(0);
	}
	/* Meanwhile mail comes and goes. */
	char *content = rig_octets(200000, 3);

	for (unsigned i = 0; waitpid(child, &status, WNOHANG) == 0; i++) {
		struct text body = i % 3 ? TEXT("passing\r\n") : text_of(content, 200000);
		struct id id = rig_accepted(r, &(struct rig_mail){ .content = body });

		rig_settle(r, id, 0, QUEUE_DELIVERED, 0, NULL);
		fake_io_run(&r->io);
		rig_drop_works(r);
	}
	free(content);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_LMDB_ONLY(a_sound_spool_has_no_faults),
		RIG_LMDB_ONLY(an_empty_spool_has_none_and_a_missing_one_is_said),
		cmocka_unit_test(every_kind_of_damage_is_found_and_told),
		RIG_LMDB_ONLY(what_was_set_aside_is_counted_and_no_fault),
		RIG_LMDB_ONLY(another_process_verifies_while_the_queue_works),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
