#include "support/queue_rig.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "support/check.h"

static void keep_fresh(void *owner, struct queue_work **work)
{
	struct rig *r = owner;

	r->fresh++;
	if (r->leave_fresh || r->work_count == RIG_WORKS_MAX)
		return;
	r->works[r->work_count++] = TAKE(*work);
}

static void count_due(void *owner, struct text key, int64_t due_time)
{
	struct rig *r = owner;

	(void)key;
	r->dues++;
	r->last_due_time = due_time;
}

static void count_aside(void *owner, struct id id, struct text what)
{
	(void)id, (void)what;
	((struct rig *)owner)->asides++;
}

static const struct queue_events rig_events = { .on_fresh = keep_fresh,
	                                        .on_due = count_due,
	                                        .on_aside = count_aside };

/* In memory where there is such a file system: nothing here needs a disk that really syncs. */
static const char *directory_for_tests(void)
{
	const char *tmp = getenv("TMPDIR");
	struct statvfs fs;

	if (tmp)
		return tmp;
	bool roomy = statvfs("/dev/shm", &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize > UINT64_C(1) << 30;

	return roomy && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

void rig_init(struct rig *r, enum rig_store store)
{
	memset(r, 0, sizeof(*r));
	fake_io_init(&r->io);
	if (store == RIG_MEMORY) {
		r->disk = fake_disk_new(UINT64_C(1) << 30);
		r->memory = queue_memory_new();
		snprintf(r->path, sizeof(r->path), "/spool");
	} else {
		snprintf(r->path, sizeof(r->path), "%.150s/postrider-queue-XXXXXX", directory_for_tests());
		assert_non_null(mkdtemp(r->path));
	}
	r->options = (struct queue_options){
		.io = &r->io.base,
		.disk = r->disk ? fake_disk_io(r->disk) : io_disk_real(),
		.path = text_from(r->path),
		.max_bytes = UINT64_C(1) << 30,
		.durable = true,
		.in_memory = store == RIG_MEMORY,
		.memory = r->memory,
		.seed = 7,
	};
	id_source_init(&r->ids, 42, 0);
}

static int remove_entry(const char *path, const struct stat *s, int kind, struct FTW *where)
{
	(void)s, (void)kind, (void)where;
	return remove(path);
}

void rig_fini(struct rig *r)
{
	if (r->queue)
		rig_close(r);
	if (!r->disk)
		nftw(r->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	fake_disk_free(&r->disk);
	queue_memory_free(&r->memory);
	fake_io_fini(&r->io);
}

enum err rig_open(struct rig *r)
{
	struct buf problem = BUF(sizeof(r->problem) - 1);

	r->options.problem = &problem;
	r->closed = false;
	enum err err = queue_open(&r->options, &r->queue);

	snprintf(r->problem, sizeof(r->problem), "%.*s", TEXT_ARGS(buf_text(&problem)));
	buf_fini(&problem);
	if (!err)
		queue_listen(r->queue, &rig_events, r);
	return err;
}

static void on_closed(void *owner)
{
	((struct rig *)owner)->closed = true;
}

void rig_close(struct rig *r)
{
	rig_drop_works(r);
	queue_close(&r->queue, on_closed, r);
	fake_io_run(&r->io);
	assert_true(r->closed);
}

void rig_drop_works(struct rig *r)
{
	for (size_t i = 0; i < r->work_count; i++)
		queue_work_free(r->queue, &r->works[i]);
	r->work_count = 0;
}

struct queue_work *rig_work(struct rig *r, struct id id)
{
	for (size_t i = 0; i < r->work_count; i++) {
		if (id_eq(r->works[i]->id, id))
			return r->works[i];
	}
	return NULL;
}

struct envelope *rig_envelope(struct rig *r, size_t recipients)
{
	struct envelope *e = envelope_new(64 << 20);
	char path[80];

	assert_non_null(e);
	e->id = id_next(&r->ids, io_now_time(&r->io.base));
	e->received_time = io_now_time(&r->io.base);
	assert_int_equal(envelope_set(e, &e->reverse_path, TEXT("sender@example.org")), ERR_OK);
	for (size_t i = 0; i < recipients; i++) {
		snprintf(path, sizeof(path), "rcpt%zu@d%zu.example", i, i);
		assert_int_equal(envelope_add_recipient(e, text_from(path), TEXT_EMPTY), ERR_OK);
	}
	return e;
}

void rig_on_decided(void *owner, const struct queue_decision *d)
{
	struct rig_answer *a = owner;

	a->told++;
	a->err = d->err;
	a->stored = d->stored;
	a->outcome_count = d->outcome_count;
	for (size_t i = 0; i < d->outcome_count && i < ARRAY_LEN(a->verdicts); i++)
		a->verdicts[i] = d->outcomes[i].verdict;
}

void rig_on_settled(void *owner, enum err err)
{
	struct rig_answer *a = owner;

	a->told++;
	a->err = err;
}

static void run_on_room(void *owner)
{
	*(bool *)owner = true;
}

/* As a session does: stops while the draft is busy. */
static void write_content(struct rig *r, struct queue_draft *d, struct text content, const bool *room)
{
	while (content.len > 0) {
		size_t len = MIN(content.len, 50000);
		enum err err = queue_draft_write(d, text_head(content, len));

		content = text_skip(content, len);
		if (err)
			return;
		if (queue_draft_is_busy(d)) {
			*(bool *)room = false;
			fake_io_run(&r->io);
			assert_true(*room);
		}
	}
}

struct id rig_accept(struct rig *r, const struct rig_mail *mail, struct rig_answer *answer)
{
	size_t count = MAX(mail->recipients, 1);
	struct envelope *e = rig_envelope(r, count);
	struct queue_draft *d = NULL;
	struct text *keys = calloc(count, sizeof(*keys));
	struct id id = e->id;
	char(*names)[32] = calloc(count, sizeof(*names));
	bool room = true;

	e->release_time = mail->release_time;
	assert_non_null(keys);
	assert_non_null(names);
	for (size_t i = 0; i < count; i++) {
		snprintf(names[i], sizeof(names[i]), "d%zu.example", i);
		keys[i] = mail->keys ? mail->keys[i] : text_from(names[i]);
	}
	enum err err = queue_draft_open(r->queue, mail->declared_bytes, run_on_room, &room, &d);

	if (err) {
		assert_non_null(answer);
		*answer = (struct rig_answer){ .told = 1, .err = err };
	} else {
		write_content(r, d, mail->content, &room);
		queue_accept(r->queue, &d,
		             &(struct queue_submission){ .envelope = e,
		                                         .prepended = TEXT("Received: from nowhere\r\n"),
		                                         .keys = keys,
		                                         .held = mail->held,
		                                         .mode = mail->mode,
		                                         .budget_ms = mail->budget_ms },
		             answer ? rig_on_decided : NULL, answer);
		assert_null(d);
	}
	free(names);
	free(keys);
	envelope_free(&e);
	return id;
}

struct id rig_accepted(struct rig *r, const struct rig_mail *mail)
{
	struct rig_answer answer = { 0 };
	struct id id = rig_accept(r, mail, &answer);

	fake_io_run(&r->io);
	assert_int_equal(answer.told, 1);
	assert_int_equal(answer.err, ERR_OK);
	assert_true(answer.stored);
	return id;
}

void rig_settle(struct rig *r, struct id id, uint32_t n, enum queue_verdict verdict, int64_t due_time,
                struct rig_answer *answer)
{
	struct queue_outcome o = {
		.verdict = verdict,
		.recipient = { .n = n,
		               .due_time = due_time,
		               .reply = TEXT_EMPTY,
		               .remote = TEXT_EMPTY,
		               .key = TEXT_EMPTY },
	};

	queue_settle(r->queue, &(struct queue_settlement){ .id = id, .outcomes = &o, .outcome_count = 1 },
	             answer ? rig_on_settled : NULL, answer);
}

void rig_settle_with_notice(struct rig *r, struct id id, size_t notice_bytes, struct rig_answer *answer)
{
	struct envelope *e = rig_envelope(r, 1);
	char *content = rig_octets(notice_bytes, 9);
	const struct text key = TEXT("origin.example");
	struct queue_outcome o = { .verdict = QUEUE_BOUNCED, .recipient = { .n = 0 } };
	struct queue_notice n = { .envelope = e,
		                  .prepended = TEXT_EMPTY,
		                  .content = text_of(content, notice_bytes),
		                  .keys = &key };

	queue_settle(r->queue,
	             &(struct queue_settlement){
			     .id = id, .outcomes = &o, .outcome_count = 1, .notices = &n, .notice_count = 1 },
	             answer ? rig_on_settled : NULL, answer);
	free(content);
	envelope_free(&e);
}

void rig_ignore(void *owner)
{
	(void)owner;
}

char *rig_read_body(struct rig *r, struct queue_message *m, size_t *len, enum err *err)
{
	struct body_source *s = NULL;
	struct buf all = BUF(SIZE_MAX);
	struct text span;

	*err = queue_message_body(r->queue, m, &s);
	assert_int_equal(*err, ERR_OK);
	body_source_listen(s, rig_ignore, NULL);
	for (;;) {
		*err = body_source_next(s, &span);
		if (*err == ERR_MORE) {
			fake_io_run(&r->io);
			continue;
		}
		if (*err || span.len == 0)
			break;
		buf_add(&all, span);
	}
	body_source_release(&s);
	fake_io_run(&r->io);
	buf_add_octet(&all, '\0');
	char *taken = buf_take(&all, len);

	(*len)--;
	return taken;
}

struct loaded {
	unsigned told;
	enum err err;
	struct queue_work *work;
};

static void on_loaded(void *owner, enum err err, struct queue_work *work)
{
	struct loaded *l = owner;

	l->told++;
	l->err = err;
	l->work = work;
}

struct queue_work *rig_load_many(struct rig *r, struct id id, const char *key, const uint32_t *ns,
                                 size_t count, enum err *err)
{
	struct loaded l = { 0 };

	queue_load(r->queue, id, text_from(key), ns, count, on_loaded, &l);
	assert_int_equal(l.told, 0);
	fake_io_run(&r->io);
	assert_int_equal(l.told, 1);
	*err = l.err;
	return l.work;
}

struct queue_work *rig_load(struct rig *r, struct id id, const char *key, uint32_t n, enum err *err)
{
	return rig_load_many(r, id, key, &n, 1, err);
}

size_t rig_load_all(struct rig *r, const struct id *ids, size_t count, const char *key)
{
	struct loaded *l = calloc(count, sizeof(*l));
	size_t came = 0;

	assert_non_null(l);
	for (size_t i = 0; i < count; i++)
		queue_load(r->queue, ids[i], text_from(key), &(uint32_t){ 0 }, 1, on_loaded, &l[i]);
	fake_io_run(&r->io);
	for (size_t i = 0; i < count; i++) {
		came += l[i].work != NULL;
		queue_work_free(r->queue, &l[i].work);
	}
	free(l);
	return came;
}

struct scanned {
	struct queue_row *rows;
	size_t max, count;
	int64_t next_due_time;
	unsigned told;
	enum err err;
};

static void on_rows(void *owner, enum err err, const struct queue_row *rows, size_t count,
                    int64_t next_due_time)
{
	struct scanned *s = owner;

	s->told++;
	s->err = err;
	s->count = count;
	s->next_due_time = next_due_time;
	if (count > 0)
		memcpy(s->rows, rows, MIN(count, s->max) * sizeof(*rows));
}

static size_t scan(struct rig *r, const char *key, const struct queue_cursor *after, int64_t until_time,
                   struct queue_row *rows, size_t max, int64_t *next_due_time)
{
	struct scanned s = { .rows = rows, .max = max };

	queue_scan(r->queue, text_from(key), after, until_time, max, on_rows, &s);
	assert_int_equal(s.told, 0);
	fake_io_run(&r->io);
	assert_int_equal(s.told, 1);
	assert_int_equal(s.err, ERR_OK);
	if (next_due_time)
		*next_due_time = s.next_due_time;
	return s.count;
}

size_t rig_scan(struct rig *r, const char *key, struct queue_row *rows, size_t max, int64_t *next_due_time)
{
	return scan(r, key, &(struct queue_cursor){ 0 }, INT64_MAX, rows, max, next_due_time);
}

size_t rig_scan_from(struct rig *r, const char *key, const struct queue_row *after, int64_t until_time,
                     struct queue_row *rows, size_t max, int64_t *next_due_time)
{
	return scan(r, key, &(struct queue_cursor){ after->due_time, after->id, after->n, true }, until_time,
	            rows, max, next_due_time);
}

char *rig_octets(size_t n, unsigned seed)
{
	char *octets = malloc(n + 1);
	uint32_t x = seed * 2654435761u + 1;

	assert_non_null(octets);
	for (size_t i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		octets[i] = (char)(x >> 24);
	}
	return octets;
}

static int setup(void **state, enum rig_store store)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	rig_init(r, store);
	if (rig_open(r))
		fail_msg("%s", r->problem);
	*state = r;
	return 0;
}

int rig_setup_memory(void **state)
{
	return setup(state, RIG_MEMORY);
}

int rig_setup_lmdb(void **state)
{
	return setup(state, RIG_LMDB);
}

int rig_teardown(void **state)
{
	struct rig *r = *state;

	rig_fini(r);
	free(r);
	return 0;
}
