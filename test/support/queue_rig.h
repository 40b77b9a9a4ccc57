/* support/queue_rig.h - a queue in a fake world with a scheduler that remembers: for tests of the queue
 * room. */
#ifndef TEST_SUPPORT_QUEUE_RIG_H
#define TEST_SUPPORT_QUEUE_RIG_H

#include <postrider/queue.h>
#include <postrider/queue/memory.h>

#include "support/fake_disk.h"
#include "support/fake_io.h"

#define RIG_WORKS_MAX 4096

struct rig {
	struct fake_io io;
	struct fake_disk *disk;      /* NULL: the real one */
	struct queue_memory *memory; /* NULL: LMDB */
	char path[200];
	struct queue *queue;
	struct queue_options options; /* may be changed before rig_open */
	struct id_source ids;
	bool leave_fresh; /* on_fresh takes nothing */
	struct queue_work *works[RIG_WORKS_MAX];
	size_t work_count;
	unsigned dues, asides, fresh;
	int64_t last_due_time;
	bool closed;
	char problem[300];
};

enum rig_store { RIG_MEMORY, RIG_LMDB };

/* RIG_LMDB: in a new directory under TMPDIR with the real disk. */
void rig_init(struct rig *r, enum rig_store store);
void rig_fini(struct rig *r); /* closes, removes everything */
MUST_USE enum err rig_open(struct rig *r);
void rig_close(struct rig *r);

/* An envelope from "sender@example.org" to rcpt0@d0.example, rcpt1@d1.example ...: to be freed. */
struct envelope *rig_envelope(struct rig *r, size_t recipients);

struct rig_answer {
	unsigned told;
	enum err err;
	bool stored;
	size_t outcome_count;
	enum queue_verdict verdicts[16];
};
void rig_on_decided(void *answer, const struct queue_decision *d);
void rig_on_settled(void *answer, enum err err);

struct rig_mail {
	size_t recipients;       /* 0: 1 */
	const struct text *keys; /* NULL: "d0.example", ... */
	const bool *held;
	struct text content;
	uint64_t declared_bytes;
	int64_t release_time;
	enum queue_mode mode;
	int64_t budget_ms;
};
/* Begins to accept; nothing runs yet. answer may be NULL. The id is returned. */
struct id rig_accept(struct rig *r, const struct rig_mail *mail, struct rig_answer *answer);
/* accept, run, and the answer is ERR_OK and stored. */
struct id rig_accepted(struct rig *r, const struct rig_mail *mail);

void rig_settle(struct rig *r, struct id id, uint32_t n, enum queue_verdict verdict, int64_t due_time,
                struct rig_answer *answer);
/* Bounces recipient 0 with a notice of so many octets. */
void rig_settle_with_notice(struct rig *r, struct id id, size_t notice_bytes, struct rig_answer *answer);
/* Everything that body gives; to be freed; *err says how it ended. */
char *rig_read_body(struct rig *r, struct queue_message *m, size_t *len, enum err *err);
void rig_drop_works(struct rig *r);
void rig_ignore(void *owner); /* a callback that does nothing */
/* The work of a message that on_fresh gave, or NULL. */
struct queue_work *rig_work(struct rig *r, struct id id);
/* Loads recipient n; NULL with *err. To be freed with queue_work_free. */
struct queue_work *rig_load(struct rig *r, struct id id, const char *key, uint32_t n, enum err *err);
/* Rows of a key. */
size_t rig_scan(struct rig *r, const char *key, struct queue_row *rows, size_t max, int64_t *next_due_time);
/* Behind a row, due until until_time. */
size_t rig_scan_from(struct rig *r, const char *key, const struct queue_row *after, int64_t until_time,
                     struct queue_row *rows, size_t max, int64_t *next_due_time);
struct queue_work *rig_load_many(struct rig *r, struct id id, const char *key, const uint32_t *ns,
                                 size_t count, enum err *err);
/* Loads recipient 0 of each, all at once, and frees them: how many came. */
size_t rig_load_all(struct rig *r, const struct id *ids, size_t count, const char *key);
/* n octets that depend on the seed; to be freed. */
char *rig_octets(size_t n, unsigned seed);

/* Fixtures: *state is an open rig. RIG_BOTH(test) is two rows of a cmocka table. */
int rig_setup_memory(void **state);
int rig_setup_lmdb(void **state);
int rig_teardown(void **state);

#define RIG_MEMORY_ONLY(test)                                     \
	{                                                         \
#		test, test, rig_setup_memory, rig_teardown, NULL \
	}
#define RIG_LMDB_ONLY(test)                                     \
	{                                                       \
#		test, test, rig_setup_lmdb, rig_teardown, NULL \
	}
#define RIG_BOTH(test)                                                     \
	{ #test " (memory)", test, rig_setup_memory, rig_teardown, NULL }, \
	{                                                                  \
#		test " (LMDB)", test, rig_setup_lmdb, rig_teardown, NULL  \
	}

#endif
