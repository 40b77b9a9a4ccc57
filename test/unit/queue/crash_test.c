/* The power fails at every numbered place, and a ledger is compared with what a restart finds: accepted means
 * there, settled means gone, a notice is there exactly when its settle is, and nothing is half there.
 *
 * With the memory twin and the disk in memory what was not synced is lost, or is there all the same. With
 * LMDB the process dies at the place: a child runs, its parent looks. */
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <postrider/base/random.h>
#include <postrider/queue.h>

#include "fault.h"
#include "support/queue_rig.h"

#define MESSAGES_MAX 60
#define RECIPIENTS_MAX 3
#define INLINE_MAX 1500

struct delivery {
	bool settle_sent, settle_told;
	enum queue_verdict verdict;
	struct id notice;
	bool has_notice;
};

struct message_entry {
	struct ledger *ledger;
	struct id id;
	size_t recipients, len;
	unsigned seed;
	bool told, refused;
	struct delivery deliveries[RECIPIENTS_MAX];
};

struct ledger {
	struct message_entry messages[MESSAGES_MAX];
	size_t count;
	enum fault_point point;
	unsigned nth; /* the power fails at the nth time at that place */
	unsigned passed;
	bool crashed;
	bool die; /* end the process there */
	unsigned choice;
	struct rig *rig;
	struct queue *queue;
};

static enum err at_place(void *owner, unsigned point)
{
	struct ledger *l = owner;

	if (l->crashed || point != l->point || ++l->passed != l->nth)
		return ERR_OK;
	l->crashed = true;
	if (l->die)
		_exit(0);
	queue_memory_power_off(l->rig->memory);
	fake_disk_power_off(l->rig->disk, l->choice);
	return ERR_OK;
}

/* ---------------------------------------------------------------- load */

struct settle_note {
	struct ledger *ledger;
	struct delivery *delivery;
};

static void on_decided(void *owner, const struct queue_decision *d)
{
	struct message_entry *m = owner;

	if (m->ledger->crashed)
		return;
	m->told = d->err == ERR_OK;
	m->refused = d->err != ERR_OK;
}

static void on_settled(void *owner, enum err err)
{
	struct settle_note *note = owner;

	if (!note->ledger->crashed)
		note->delivery->settle_told = err == ERR_OK;
	free(note);
}

static void on_room(void *owner)
{
	*(bool *)owner = true;
}

static struct envelope *make_envelope(struct rig *r, size_t recipients)
{
	struct envelope *e = rig_envelope(r, recipients);

	assert_non_null(e);
	return e;
}

static void accept_one(struct ledger *l, struct rig *r, struct random *random)
{
	static const struct text keys[RECIPIENTS_MAX] = { LIT("a.example"), LIT("b.example"),
		                                          LIT("a.example") };
	struct message_entry *m = &l->messages[l->count];
	struct queue_draft *d = NULL;
	bool room = false;

	m->ledger = l;
	m->recipients = 1 + random_below(random, RECIPIENTS_MAX);
	m->len = random_below(random, 4 * INLINE_MAX);
	m->seed = (unsigned)l->count;
	if (queue_draft_open(r->queue, random_below(random, 2) ? m->len : 0, on_room, &room, &d))
		return;
	l->count++;
	struct envelope *e = make_envelope(r, m->recipients);
	char *content = rig_octets(m->len, m->seed);

	m->id = e->id;
	for (size_t at = 0; at < m->len; at += 700) {
		enum err err = queue_draft_write(d, text_of(content + at, MIN(m->len - at, 700)));

		assert_int_equal(err, ERR_OK);
	}
	queue_accept(r->queue, &d,
	             &(struct queue_submission){ .envelope = e, .prepended = TEXT_EMPTY, .keys = keys },
	             on_decided, m);
	free(content);
	envelope_free(&e);
}

static void settle_one(struct ledger *l, struct rig *r, struct random *random)
{
	static const enum queue_verdict verdicts[] = { QUEUE_DELIVERED, QUEUE_BOUNCED, QUEUE_DEFERRED,
		                                       QUEUE_ON_HOLD };
	const struct text key = TEXT("origin.example");
	struct message_entry *m = &l->messages[random_below(random, l->count)];
	size_t n = random_below(random, m->recipients);
	struct delivery *d = &m->deliveries[n];

	if (!m->told || (d->settle_sent && d->verdict != QUEUE_DEFERRED))
		return;
	d->settle_sent = true;
	d->settle_told = false;
	d->verdict = verdicts[random_below(random, ARRAY_LEN(verdicts))];
	struct queue_outcome o = { .verdict = d->verdict,
		                   .recipient = { .n = (uint32_t)n, .due_time = FAKE_IO_START_TIME + 99 } };
	struct envelope *e = make_envelope(r, 1);
	struct queue_notice notice = {
		.envelope = e, .prepended = TEXT_EMPTY, .content = TEXT("sorry\r\n"), .keys = &key
	};
	struct settle_note *note = malloc(sizeof(*note));

	d->has_notice = d->verdict == QUEUE_BOUNCED;
	d->notice = e->id;
	*note = (struct settle_note){ l, d };
	queue_settle(r->queue,
	             &(struct queue_settlement){ .id = m->id,
	                                         .outcomes = &o,
	                                         .outcome_count = 1,
	                                         .notices = &notice,
	                                         .notice_count = d->has_notice },
	             on_settled, note);
	envelope_free(&e);
}

static void some_progress(struct rig *r, struct random *random)
{
	switch (random_below(random, 4)) {
	case 0:
		fake_io_run(&r->io);
		break;
	case 1:
		fake_io_turn(&r->io);
		break;
	default:
		fake_io_turn(&r->io);
		fake_io_run_job(&r->io, random_below(random, 2) ? IO_LANE_WRITER : IO_LANE_DISK);
		break;
	}
}

static void work(struct ledger *l, struct rig *r, uint64_t seed)
{
	struct random random;

	random_init(&random, seed);
	for (unsigned step = 0; step < 150 && !l->crashed; step++) {
		if (l->count < MESSAGES_MAX && random_below(&random, 2))
			accept_one(l, r, &random);
		else if (l->count > 0)
			settle_one(l, r, &random);
		some_progress(r, &random);
	}
	fake_io_run(&r->io);
}

/* ---------------------------------------------------------------- what a restart finds */

struct found {
	struct ledger *ledger;
	struct id id;
	bool is;
	size_t recipients;
	bool there[RECIPIENTS_MAX];
	struct queue_recipient states[RECIPIENTS_MAX];
};

static bool note_found(void *owner, const struct queue_entry *entry)
{
	struct found *f = owner;

	assert_false(entry->damaged);
	f->is = true;
	f->recipients = entry->recipient_count;
	for (size_t i = 0; i < entry->recipient_count; i++) {
		uint32_t n = entry->recipients[i].n;

		assert_true(n < RECIPIENTS_MAX);
		f->there[n] = true;
		f->states[n] = entry->recipients[i];
		f->states[n].key = f->states[n].reply = f->states[n].remote = TEXT_EMPTY;
	}
	return true;
}

static void nothing(void *owner, enum err err)
{
	(void)owner;
	assert_int_equal(err, ERR_OK);
}

static struct found look(struct rig *r, struct id id)
{
	struct found f = { .id = id };

	queue_find(r->queue, id, id, note_found, nothing, &f);
	fake_io_run(&r->io);
	return f;
}

static void check_body(struct rig *r, const struct message_entry *m, const struct found *f)
{
	static const char *const keys[RECIPIENTS_MAX] = { "a.example", "b.example", "a.example" };

	for (uint32_t n = 0; n < m->recipients; n++) {
		enum err err;
		size_t len;

		if (!f->there[n] || f->states[n].state == QUEUE_HELD)
			continue;
		struct queue_work *w = rig_load(r, m->id, keys[n], n, &err);

		assert_int_equal(err, ERR_OK);
		char *body = rig_read_body(r, w->message, &len, &err),
		     *expected = rig_octets(m->len, m->seed);

		assert_int_equal(err, ERR_OK);
		assert_int_equal(len, m->len);
		assert_memory_equal(body, expected, len);
		free(expected);
		free(body);
		queue_work_free(r->queue, &w);
	}
}

static bool is_final(enum queue_verdict v)
{
	return v == QUEUE_DELIVERED || v == QUEUE_BOUNCED;
}

static void check_delivery(struct rig *r, const struct delivery *d, bool there,
                           const struct queue_recipient *state)
{
	bool applied;

	if (!d->settle_sent) {
		assert_true(there);
		assert_int_equal(state->state, QUEUE_WAITING);
		assert_true(state->unknown_outcome); /* it was claimed when the power failed */
		return;
	}
	if (is_final(d->verdict))
		applied = !there;
	else
		applied = there && (state->due_time == FAKE_IO_START_TIME + 99 || state->state == QUEUE_HELD);
	if (d->settle_told)
		assert_true(applied);
	if (!is_final(d->verdict))
		assert_true(there);
	if (d->has_notice)
		assert_int_equal(look(r, d->notice).is, applied);
}

static void check_message(struct rig *r, const struct message_entry *m)
{
	struct found f = look(r, m->id);

	if (m->refused)
		assert_false(f.is);
	if (m->refused || (!m->told && !f.is))
		return;
	for (size_t n = 0; n < m->recipients; n++)
		check_delivery(r, &m->deliveries[n], f.there[n], &f.states[n]);
	assert_int_equal(f.is, f.recipients > 0);
	check_body(r, m, &f);
}

struct sum {
	uint64_t recipients;
};

static void add_key(void *owner, struct text key, uint64_t recipients, int64_t earliest)
{
	(void)key, (void)earliest;
	((struct sum *)owner)->recipients += recipients;
}

static void check_everything(struct rig *r, struct ledger *l, const char *where)
{
	struct sum sum = { 0 };
	struct queue_space space = queue_space(r->queue);

	(void)where;
	assert_true(queue_was_unclean(r->queue));
	for (size_t i = 0; i < l->count; i++)
		check_message(r, &l->messages[i]);
	assert_int_equal(queue_each_key(r->queue, add_key, &sum), ERR_OK);
	assert_int_equal(sum.recipients, space.recipients - space.held_recipients);
	assert_int_equal(r->asides, 0);
	if (r->disk)
		assert_int_equal(fake_disk_files(r->disk, "/spool/bodies"), space.files);
	/* And it works. */
	struct id id = rig_accepted(r, &(struct rig_mail){ .content = TEXT("afterwards") });

	assert_true(look(r, id).is);
}

/* ---------------------------------------------------------------- with the twin */

static bool run_with_twin(enum fault_point point, unsigned nth, unsigned choice, uint64_t seed)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct ledger *l = calloc(1, sizeof(*l));

	rig_init(r, RIG_MEMORY);
	*l = (struct ledger){ .point = point, .nth = nth, .choice = choice, .rig = r };
	r->options.fault = at_place;
	r->options.fault_owner = l;
	r->options.inline_max_bytes = INLINE_MAX;
	assert_int_equal(rig_open(r), ERR_OK);
	work(l, r, seed);
	if (!l->crashed && point != FAULT_CLOSE_MARK) { /* the place was not reached so often */
		rig_fini(r);
		free(r);
		free(l);
		return false;
	}
	rig_close(r);
	bool crashed = l->crashed;

	fake_disk_power_on(r->disk);
	if (crashed) {
		r->options.fault = NULL;
		if (rig_open(r))
			fail_msg("place %u, time %u: %s", point, nth, r->problem);
		check_everything(r, l, "twin");
	}
	rig_fini(r);
	free(r);
	free(l);
	return crashed;
}

static void the_ledger_holds_when_the_power_fails_at_any_place(void **state)
{
	static const enum fault_point places[] = {
		FAULT_FILE_CREATE, FAULT_FILE_WRITE,    FAULT_FILE_SYNC,    FAULT_FILE_SYNCED,
		FAULT_GROUP_BEGIN, FAULT_GROUP_APPLIED, FAULT_GROUP_COMMIT, FAULT_GROUP_COMMITTED,
		FAULT_FILE_REMOVE, FAULT_CLOSE_MARK,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		unsigned reached = 0;

		for (unsigned nth = 1; nth <= 12; nth++) {
			for (unsigned choice = 0; choice < 2; choice++)
				reached += run_with_twin(places[i], nth, choice, 1000 * i + nth);
		}
		if (reached == 0)
			fail_msg("place %u was never reached", places[i]);
	}
}

/* A crash that leaves strays, then another while they are swept. */
static void the_ledger_holds_when_the_power_fails_in_the_sweep(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct ledger *l = calloc(1, sizeof(*l));
	unsigned crashes = 0;

	(void)state;
	rig_init(r, RIG_MEMORY);
	*l = (struct ledger){ .point = FAULT_GROUP_APPLIED, .nth = 9, .choice = 1, .rig = r };
	r->options.fault = at_place;
	r->options.fault_owner = l;
	r->options.inline_max_bytes = 100;
	assert_int_equal(rig_open(r), ERR_OK);
	work(l, r, 5);
	assert_true(l->crashed);
	rig_close(r);
	for (unsigned nth = 1; nth < 10; nth++) {
		fake_disk_power_on(r->disk);
		l->point = nth % 2 ? FAULT_SWEEP_REMOVE : FAULT_OPEN_MARK;
		l->nth = 1;
		l->passed = 0;
		l->crashed = false;
		l->choice = nth / 2 % 2;
		assert_int_equal(rig_open(r), ERR_OK);
		crashes += l->crashed;
		if (!l->crashed)
			break;
		rig_close(r);
	}
	assert_true(crashes >= 2);
	if (!r->queue) {
		fake_disk_power_on(r->disk);
		r->options.fault = NULL;
		assert_int_equal(rig_open(r), ERR_OK);
	}
	check_everything(r, l, "sweep");
	rig_fini(r);
	free(r);
	free(l);
}

/* ---------------------------------------------------------------- with LMDB */

static void run_child(struct rig *r, struct ledger *l, uint64_t seed)
{
	if (rig_open(r))
		_exit(2);
	work(l, r, seed);
	rig_close(r);
	_exit(1); /* it lived to the end */
}

static bool run_with_lmdb(enum fault_point point, unsigned nth, uint64_t seed)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct ledger *l = mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0;

	assert_true(l != MAP_FAILED);
	rig_init(r, RIG_LMDB);
	*l = (struct ledger){ .point = point, .nth = nth, .die = true, .rig = r };
	r->options.fault = at_place;
	r->options.fault_owner = l;
	r->options.inline_max_bytes = INLINE_MAX;
	pid_t child = fork();

	if (child == 0)
		run_child(r, l, seed);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
	if (WEXITSTATUS(status) == 0) {
		r->options.fault = NULL;
		/* Ids of the parent must go on behind the child's. */
		id_source_init(&r->ids, 43, FAKE_IO_START_TIME + 60000);
		if (rig_open(r))
			fail_msg("place %u, time %u: %s", point, nth, r->problem);
		check_everything(r, l, "LMDB");
	}
	rig_fini(r);
	free(r);
	munmap(l, sizeof(*l));
	return WEXITSTATUS(status) == 0;
}

static void the_ledger_holds_when_the_process_dies_at_any_place(void **state)
{
	static const enum fault_point places[] = {
		FAULT_FILE_CREATE, FAULT_FILE_WRITE,    FAULT_FILE_SYNC,    FAULT_FILE_SYNCED,
		FAULT_GROUP_BEGIN, FAULT_GROUP_APPLIED, FAULT_GROUP_COMMIT, FAULT_GROUP_COMMITTED,
		FAULT_FILE_REMOVE, FAULT_CLOSE_MARK,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		unsigned reached = 0;

		for (unsigned nth = 1; nth <= 7; nth += 3)
			reached += run_with_lmdb(places[i], nth, 77 * i + nth);
		if (reached == 0)
			fail_msg("place %u was never reached", places[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_ledger_holds_when_the_power_fails_at_any_place),
		cmocka_unit_test(the_ledger_holds_when_the_power_fails_in_the_sweep),
		cmocka_unit_test(the_ledger_holds_when_the_process_dies_at_any_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
