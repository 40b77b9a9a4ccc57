/* The power is cut while LMDB writes. Everything that it does to its file is noted, and played again up to
 * every place: what a sync has covered is there, of what came behind it each sector is there or not. From
 * each of these disks the queue must start, with all that was acknowledged before the cut and nothing that
 * was settled. */
#include "support/check.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <postrider/base/random.h>
#include <postrider/queue.h>

#include "support/queue_rig.h"

#define MESSAGES 24
#define SECTOR_BYTES 512
#define NOTES_MAX 4000

enum note_kind { NOTE_WRITE, NOTE_SYNC };

/* One thing that was done to data.mdb. */
struct note {
	enum note_kind kind;
	bool synced_itself; /* through a descriptor opened with O_DSYNC */
	off_t at;
	size_t len;
	char *octets;
};

/* The C library's functions are called by LMDB across the boundary of its library, so the ones below stand in
 * their way. They have no owner to ask, hence the one variable at file scope. */
static struct {
	bool on;
	struct note notes[NOTES_MAX];
	size_t count;
} record;

/* ---------------------------------------------------------------- in the way of the C library */

static bool is_data_file(int fd, bool *synced_itself)
{
	char link[64], path[300];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t len = readlink(link, path, sizeof(path) - 1);
	int flags = fcntl(fd, F_GETFL);

	*synced_itself = flags >= 0 && (flags & O_DSYNC);
	return len > 0 && text_ends(text_of(path, (size_t)len), TEXT("/data.mdb"));
}

static void note_write(int fd, const void *octets, size_t len, off_t at)
{
	bool synced_itself;

	if (!record.on || !is_data_file(fd, &synced_itself))
		return;
	if (record.count == NOTES_MAX)
		abort();
	struct note *n = &record.notes[record.count++];

	*n = (struct note){ NOTE_WRITE, synced_itself, at, len, malloc(len + 1) };
	if (len > 0)
		memcpy(n->octets, octets, len);
}

typedef ssize_t pwrite_fn(int fd, const void *octets, size_t len, off_t at);
typedef ssize_t writev_fn(int fd, const struct iovec *pieces, int count);
typedef int sync_fn(int fd);

ssize_t pwrite64(int fd, const void *octets, size_t len, off_t at)
{
	pwrite_fn *next = (pwrite_fn *)dlsym(RTLD_NEXT, "pwrite64");

	note_write(fd, octets, len, at);
	return next(fd, octets, len, at);
}

ssize_t pwrite(int fd, const void *octets, size_t len, off_t at)
{
	return pwrite64(fd, octets, len, at);
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
	writev_fn *next = (writev_fn *)dlsym(RTLD_NEXT, "writev");
	off_t at = record.on ? lseek(fd, 0, SEEK_CUR) : 0;

	for (int i = 0; i < count && record.on; i++) {
		note_write(fd, pieces[i].iov_base, pieces[i].iov_len, at);
		at += (off_t)pieces[i].iov_len;
	}
	return next(fd, pieces, count);
}

int fdatasync(int fd)
{
	sync_fn *next = (sync_fn *)dlsym(RTLD_NEXT, "fdatasync");
	bool synced_itself;

	if (record.on && is_data_file(fd, &synced_itself) && record.count < NOTES_MAX)
		record.notes[record.count++] = (struct note){ .kind = NOTE_SYNC };
	return next(fd);
}

int fsync(int fd)
{
	return fdatasync(fd);
}

/* ---------------------------------------------------------------- load, with the moments at which it was told */

struct story {
	struct id id;
	size_t len;
	size_t begun, told; /* places in the record; told 0: never */
	size_t settle_begun, settle_told;
	bool is_settled;
};

static void on_decided(void *owner, const struct queue_decision *d)
{
	struct story *s = owner;

	assert_int_equal(d->err, ERR_OK);
	s->told = record.count;
}

static void on_settled(void *owner, enum err err)
{
	struct story *s = owner;

	assert_int_equal(err, ERR_OK);
	s->settle_told = record.count;
}

static void accept_one(struct rig *r, struct story *s, unsigned number)
{
	struct envelope *e = rig_envelope(r, 1);
	struct queue_draft *d = NULL;
	const struct text key = TEXT("d0.example");

	s->id = e->id;
	s->len = 200 + number * 977 % 9000;
	s->begun = record.count;
	char *content = rig_octets(s->len, number);

	assert_int_equal(queue_draft_open(r->queue, 0, rig_ignore, NULL, &d), ERR_OK);
	assert_int_equal(queue_draft_write(d, text_of(content, s->len)), ERR_OK);
	queue_accept(r->queue, &d,
	             &(struct queue_submission){ .envelope = e, .prepended = TEXT_EMPTY, .keys = &key },
	             on_decided, s);
	free(content);
	envelope_free(&e);
}

static void settle_one(struct rig *r, struct story *s, unsigned number)
{
	struct queue_outcome o = { .verdict = number % 3 ? QUEUE_DELIVERED : QUEUE_DEFERRED,
		                   .recipient = { .n = 0, .due_time = FAKE_IO_START_TIME + 5 } };

	s->settle_begun = record.count;
	s->is_settled = o.verdict == QUEUE_DELIVERED;
	queue_settle(r->queue, &(struct queue_settlement){ .id = s->id, .outcomes = &o, .outcome_count = 1 },
	             on_settled, s);
}

static void put_load(struct rig *r, struct story *stories)
{
	for (unsigned i = 0; i < MESSAGES; i++) {
		accept_one(r, &stories[i], i);
		if (i >= 5 && i % 2)
			settle_one(r, &stories[i - 5], i);
		if (i % 3 != 1)
			fake_io_run(&r->io);
	}
	fake_io_run(&r->io);
}

/* ---------------------------------------------------------------- a disk after a cut */

static void apply(struct buf *image, const struct note *n, size_t from, size_t to)
{
	size_t end = (size_t)n->at + to;

	if (end > image->len) {
		size_t more = end - image->len;

		memset(buf_reserve(image, more), 0, more);
		buf_grew(image, more);
	}
	memcpy(image->at + n->at + from, n->octets + from, to - from);
}

/* Sector by sector, each there or not. */
static void apply_in_part(struct buf *image, const struct note *n, struct random *random, unsigned chance)
{
	for (size_t from = 0; from < n->len; from += SECTOR_BYTES) {
		if (random_below(random, 4) < chance)
			apply(image, n, from, MIN(from + SECTOR_BYTES, n->len));
	}
}

static void image_after_cut(const struct buf *start, size_t cut, struct random *random, unsigned chance,
                            struct buf *image)
{
	size_t synced = 0;

	buf_reset(image);
	buf_add(image, buf_text(start));
	for (size_t i = 0; i < cut; i++) {
		if (record.notes[i].kind == NOTE_SYNC)
			synced = i;
	}
	for (size_t i = 0; i < cut; i++) {
		const struct note *n = &record.notes[i];

		if (n->kind == NOTE_SYNC)
			continue;
		if (i < synced || n->synced_itself)
			apply(image, n, 0, n->len);
		else
			apply_in_part(image, n, random, chance);
	}
	/* The one that was under way. */
	if (cut < record.count && record.notes[cut].kind == NOTE_WRITE)
		apply_in_part(image, &record.notes[cut], random, chance);
	assert_int_equal(buf_err(image), ERR_OK);
}

static void write_file(const char *path, const struct buf *octets)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(octets->at, 1, octets->len, f), octets->len);
	fclose(f);
}

static void read_file(const char *path, struct buf *octets)
{
	FILE *f = fopen(path, "r");
	char piece[4096];
	size_t got;

	assert_non_null(f);
	while ((got = fread(piece, 1, sizeof(piece), f)) > 0)
		buf_add_bytes(octets, piece, got);
	fclose(f);
}

/* ---------------------------------------------------------------- what a start finds */

static void check_story(struct rig *r, const struct story *s, unsigned number, size_t cut)
{
	enum err err;
	size_t len;
	struct queue_work *w = rig_load(r, s->id, "d0.example", 0, &err);
	bool was_told = s->told && s->told <= cut, settle_was_told = s->settle_told && s->settle_told <= cut;

	assert_true(err == ERR_OK || err == ERR_NOT_FOUND);
	if (was_told && !(s->settle_begun && s->is_settled && s->settle_begun <= cut))
		assert_non_null(w);
	if (settle_was_told && s->is_settled)
		assert_null(w);
	if (s->begun > cut)
		assert_null(w);
	if (settle_was_told && !s->is_settled)
		assert_int_equal(w->recipients[0].due_time, FAKE_IO_START_TIME + 5);
	if (!w)
		return;
	char *body = rig_read_body(r, w->message, &len, &err), *expected = rig_octets(s->len, number);

	assert_int_equal(err, ERR_OK);
	assert_int_equal(len, s->len);
	assert_memory_equal(body, expected, len);
	free(expected);
	free(body);
	queue_work_free(r->queue, &w);
}

static void start_from(const struct buf *image, const struct story *stories, size_t cut)
{
	struct rig *r = calloc(1, sizeof(*r));
	char path[300];

	rig_init(r, RIG_LMDB);
	r->options.durable = false; /* only this start, not the one before it */
	snprintf(path, sizeof(path), "%.200s/queue", r->path);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%.200s/queue/data.mdb", r->path);
	write_file(path, image);
	if (rig_open(r))
		fail_msg("cut at %zu of %zu: %s", cut, record.count, r->problem);
	assert_true(queue_was_unclean(r->queue));
	for (unsigned i = 0; i < MESSAGES; i++)
		check_story(r, &stories[i], i, cut);
	assert_int_equal(r->asides, 0);
	rig_fini(r);
	free(r);
}

static void every_cut_leaves_a_queue_that_starts_with_all_that_was_acknowledged(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct story *stories = calloc(MESSAGES, sizeof(*stories));
	struct buf start = BUF(SIZE_MAX), image = BUF(SIZE_MAX);
	struct random random;
	char path[300];
	unsigned syncs = 0;

	(void)state;
	rig_init(r, RIG_LMDB);
	assert_int_equal(rig_open(r), ERR_OK);
	snprintf(path, sizeof(path), "%.200s/queue/data.mdb", r->path);
	read_file(path, &start);
	record.on = true;
	put_load(r, stories);
	record.on = false;
	for (size_t i = 0; i < record.count; i++)
		syncs += record.notes[i].kind == NOTE_SYNC;
	assert_true(syncs >= 16); /* else the record does not see what LMDB does */
	random_init(&random, 11);
	for (size_t cut = 0; cut <= record.count; cut++) {
		image_after_cut(&start, cut, &random, (unsigned)(cut % 4) + (cut % 4 == 0 ? 4 : 0), &image);
		start_from(&image, stories, cut);
		image_after_cut(&start, cut, &random, 2, &image);
		start_from(&image, stories, cut);
	}
	for (size_t i = 0; i < record.count; i++)
		free(record.notes[i].octets);
	record.count = 0;
	buf_fini(&start);
	buf_fini(&image);
	rig_fini(r);
	free(stories);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cut_leaves_a_queue_that_starts_with_all_that_was_acknowledged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
