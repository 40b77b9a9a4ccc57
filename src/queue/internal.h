/* queue/internal.h - how the parts of the queue hang together.
 *
 *   draft.c    a message on its way in: memory, or a spool file
 *   accept.c   from a draft to an operation, and from its commit to on_decided and on_fresh
 *   through.c  entries that are decided by their settle, before or without a commit; through_store.c when they need one
 *   settle.c   outcomes, claims: operations
 *   writer.c   groups of operations as jobs of the writer lane; what a full or failed disk does to a group
 *   group.c    one transaction of the writer
 *   apply.c    operations as changes of rows in it
 *   aside.c    what is damaged, out of the way of the rest
 *   reader.c   jobs of the disk lane, many requests in one read transaction: load.c, scan.c, search.c, each.c
 *   body.c     the octets of a message from memory, from its row, from its file
 *   memory.c   messages in memory, and the budget for their bodies
 *   space.c    how much may still be taken in; the reserve
 *   files.c    spool files: names, the sweep, removal
 *   keys.c     the directory of delivery keys
 *   open.c     start; close.c stop
 *
 * Threads: all of struct queue belongs to the loop, except `shared`, which is constant between open and close, and what
 * stands in a job, which is its lane's between submit and done. */
#ifndef POSTRIDER_QUEUE_INTERNAL_H
#define POSTRIDER_QUEUE_INTERNAL_H

#include <postrider/base/arena.h>
#include <postrider/base/map.h>
#include <postrider/io/lane.h>
#include <postrider/queue.h>

#include "fault.h"
#include "records.h"
#include "store.h"

#define DEFAULT_INLINE_MAX_BYTES ((size_t)128 << 10)
#define DEFAULT_MEMORY_BUDGET_BYTES ((size_t)32 << 20)
#define PATH_MAX_BYTES 1024

/* ---------------------------------------------------------------- what every thread may read */

struct shared {
	struct queue_options options; /* path, problem: not to be used after open */
	struct store *store;
	char path[PATH_MAX_BYTES];
	char bodies_path[PATH_MAX_BYTES];
	char reserve_path[PATH_MAX_BYTES];
	struct meta_row meta; /* as noted at the start of this run */
};

/* The name of a spool file: the file's id and ".body". */
#define FILE_NAME_BYTES (ID_CHARS + 6)
#define FILE_PATH_BYTES (PATH_MAX_BYTES + FILE_NAME_BYTES + 1)
MUST_USE enum err shared_name_paths(struct shared *s); /* from options.path */
void file_path(const struct shared *s, struct id file, char path[FILE_PATH_BYTES]);
bool file_name_read(struct text name, struct id *file);

/* ---------------------------------------------------------------- messages in memory: memory.c */

struct message {
	struct queue_message public;
	struct envelope *envelope;
	char *prepended;
	char *content;         /* NULL: not in memory */
	size_t content_room;   /* charged to the budget */
	struct list evictable; /* among those whose content may be forgotten, oldest first */
	unsigned pins;         /* body sources that read from content */
	bool stored;           /* committed: the content can be had again from disk */
	bool in_file;
	struct id file;
};

struct body_memory {
	size_t limit_bytes, used_bytes;
	struct list evictable;
};

/* May forget contents that are on disk. False: the budget does not allow it, nothing was taken. */
bool body_memory_take(struct queue *q, size_t bytes);
void body_memory_force(struct queue *q, size_t bytes); /* what must be had: counted all the same */
void body_memory_give(struct queue *q, size_t bytes);

MUST_USE enum err message_new(const struct envelope *envelope, struct text prepended, struct message **out);
/* Takes the envelope over, also when it fails. */
MUST_USE enum err message_take(struct envelope *envelope, struct text prepended, struct message **out);
/* Takes content over: room octets, charged already. */
void message_set_content(struct message *m, char *content, size_t len, size_t room);
void message_unref(struct queue *q, struct message **m);
void message_was_stored(struct queue *q, struct message *m);
void message_pin(struct message *m);
void message_unpin(struct queue *q, struct message *m);
void message_forget_content(struct queue *q, struct message *m);

static inline struct message *message_of(struct queue_message *m)
{
	return CONTAINER_OF(m, struct message, public);
}

/* Deep copies of recipients in one block of memory: the array, then its texts. NULL: no memory. */
struct queue_recipient *recipients_copy(const struct queue_recipient *from, size_t count);
/* A work in one block; takes over the reference to message (which may be NULL). */
struct queue_work *work_new(struct id id, struct text key, const struct queue_recipient *recipients,
                            size_t count, uint64_t sender, struct message *message);

/* ---------------------------------------------------------------- operations */

enum op_kind { OP_ACCEPT, OP_SETTLE, OP_CLAIM, OP_RELEASE, OP_MARK, OP_ASIDE, OP_MEND };

/* One wish for a transaction. The writer lane's from the start of its group until the group is done. */
struct op {
	struct list link;
	enum op_kind kind;
	enum err err;        /* what became of it */
	bool lazy;           /* nobody waits: it joins a commit and does not ask for one */
	bool patient;        /* it asks for one only if none comes by itself in a moment */
	size_t weight_bytes; /* about what it writes */
	/* On the loop, first for all of a group: whoever waits is told. */
	void (*decide)(struct queue *q, struct op *op);
	/* Then, for all: news for the scheduler; frees the op. */
	void (*announce)(struct queue *q, struct op *op);
};

/* A message that enters with a transaction. */
struct newcomer {
	struct message *message;
	struct queue_recipient *recipients; /* as they begin; one block */
	size_t recipient_count;
	uint64_t sender;
	struct id about; /* of a notice: whose settle brought it */
	int64_t until_at; /* of a THROUGH entry with a budget: its end, monotonic */
};
MUST_USE enum err newcomer_init(struct newcomer *in, struct message *message, const struct text *keys,
                                const bool *held, const enum config_class *classes, int64_t now_time);
void newcomer_fini(struct queue *q, struct newcomer *in);
void newcomer_announce(struct queue *q, struct newcomer *in); /* on_fresh for each delivery key */
size_t newcomer_bytes(const struct newcomer *in);

struct accept_op {
	struct op op;
	struct newcomer in;
	struct newcomer *notices; /* of recipients of a volatile entry that are gone already */
	size_t notice_count;
	bool owed; /* it may have the reserve: some of its recipients are delivered */
};
void newcomers_free(struct queue *q, struct newcomer **list, size_t *count);
/* Copies; appends to a list of newcomers. */
MUST_USE enum err notices_add(struct queue *q, struct newcomer **list, size_t *count,
                              const struct queue_settlement *s);

struct settle_op {
	struct op op;
	struct id id;
	enum queue_verdict *verdicts;
	struct queue_recipient *recipients; /* their outcomes, one for each verdict */
	struct arena keys; /* delivery keys that an outcome left as they were, for the news of it */
	size_t count;
	struct newcomer *notices;
	size_t notice_count;
	queue_settled_fn *on_settled;
	void *owner;
	bool ours; /* on_settled is the queue's own: told also while it closes */
};

struct claim_op { /* also OP_RELEASE and OP_MARK */
	struct op op;
	struct id id;
	queue_settled_fn *on_settled;
	void *owner;
	char *remote; /* of a mark: to whom, and when */
	size_t remote_len;
	int64_t time;
	size_t count;
	uint32_t ns[];
};

struct aside_op { /* also OP_MEND: a recipient whose due row is damaged gets a new one */
	struct op op;
	struct id id;
	uint32_t n;
	bool whole; /* the message with all its recipients, else only recipient n */
	bool found; /* there was something to set aside */
	int64_t time;
	char what[120];
	char row_key[STORE_KEY_MAX_BYTES]; /* OP_MEND: the damaged due row */
	size_t row_key_len;
	void (*then)(void *owner, enum err err);
	void *owner;
};

/* ---------------------------------------------------------------- files: files.c */

struct file_list {
	struct id *files;
	size_t count, room;
};

void file_list_fini(struct file_list *l);
MUST_USE enum err file_list_add(struct file_list *l, struct id file);

/* Removes what a stop left behind. */
MUST_USE enum err files_sweep(const struct shared *s, struct store_txn *t);
MUST_USE enum err files_count_bytes(struct store_txn *t, uint64_t *bytes);
/* Removes the files, in the disk lane; takes the list over. */
void queue_remove_files(struct queue *q, struct file_list *files);

/* Counts that do not add up to the rows there are, by damage, are made anew: keys.c. */
MUST_USE enum err keys_mend(struct store_txn *t);

/* ---------------------------------------------------------------- a transaction: group.c, apply.c */

/* What a group changes besides rows; all of it the job's. */
struct group {
	const struct shared *shared;
	struct store_txn *txn;
	struct buf envelope, record, value, unknown; /* scratch */
	struct map deltas;                           /* delivery key -> change of its count */
	struct file_list forgotten; /* files whose messages are gone: removed after the commit */
	int64_t file_bytes_delta;
	bool new_files;         /* the directory of bodies must be synced before the commit */
	struct id last_message; /* the highest in the store, for appending */
	struct id last_recipient;
	int64_t newest_time; /* of the ids put */
	int64_t noted_time;  /* what it wrote into meta; 0: nothing */
};

void group_init(struct group *g, const struct shared *shared, uint64_t seed);
void group_fini(struct group *g);
MUST_USE enum err group_begin(struct group *g);
/* The rows of one operation. After an error the transaction can only be given up: group_abort. */
MUST_USE enum err group_apply(struct group *g, struct op *op);
/* Writes what is written once a group: counts of the delivery keys. */
MUST_USE enum err group_finish(struct group *g);
MUST_USE enum err group_commit(struct group *g, struct store_usage *usage);
void group_abort(struct group *g);

/* For aside.c and open.c. */
MUST_USE enum err group_put_recipient(struct group *g, struct id id, const struct recipient_row *r);
MUST_USE enum err group_put_due(struct group *g, const struct queue_recipient *r, struct id id, uint64_t sender);
/* ERR_OK also when there is none. */
MUST_USE enum err group_remove_due(struct group *g, struct text key, int64_t due_time, struct id id,
                                   uint32_t n);
/* Walks the whole table: for recipients whose own record does not say any more where their row is. */
MUST_USE enum err group_find_and_remove_due(struct group *g, struct id id, uint32_t n, bool whole);
MUST_USE enum err group_count(struct group *g, struct text key, int64_t delta);
MUST_USE enum err group_remove_message(struct group *g, struct id id);
MUST_USE enum err group_apply_aside(struct group *g, struct aside_op *op);
MUST_USE enum err group_apply_mend(struct group *g, const struct aside_op *op);

/* What is read of a recipient: a claim of an earlier run that ended badly is an unknown outcome. */
void recipient_row_join_run(const struct shared *s, struct recipient_row *r);

/* ---------------------------------------------------------------- the writer: writer.c */

struct writer_result {
	struct store_usage usage;
	bool usage_known;
	bool found_full;
	bool reserve_given_up;
	bool failed; /* the disk failed: nothing is committed any more */
	struct file_list forgotten;
	int64_t file_bytes_delta;
};

struct writer {
	struct list waiting;
	size_t eager; /* of those, how many somebody waits for */
	size_t patient;
	struct io_timer patience;
	bool running;
	struct io_later kick;
	struct io_job job;
	uint64_t began_us;
	uint64_t commits, committed_ops, commit_us;
	/* the job's */
	struct list group;
	struct writer_result result;
	bool failed;
	int64_t newest_time_mark; /* as it stands in meta */
};

void writer_add(struct queue *q, struct op *op);
bool writer_is_idle(const struct queue *q);
void writer_flush(struct queue *q); /* also what is lazy */

/* ---------------------------------------------------------------- the reader: reader.c */

struct reading { /* what a request has while it runs, in the disk lane */
	const struct shared *shared;
	struct store_txn *txn;
	size_t content_allowance; /* bytes of bodies that may be copied into memory */
};

struct read_request {
	struct list link;
	enum err err;
	void (*run)(struct read_request *r, struct reading *reading); /* in the lane; err is ERR_OK before */
	void (*done)(struct queue *q, struct read_request *r);        /* on the loop; frees it */
};

struct reader {
	struct list waiting;
	bool running;
	struct io_job job;
	/* the job's */
	struct list batch;
	size_t content_allowance;
};

void reader_add(struct queue *q, struct read_request *r);

/* A due row and its recipient, of which damaged is also one that is not there. scan.c */
MUST_USE enum err due_row_read(struct reading *reading, const struct store_row *from, struct queue_row *row);

/* ---------------------------------------------------------------- space: space.c */

struct space {
	struct store_usage usage;    /* as of the last commit */
	uint64_t file_bytes;         /* of all spool files named by records */
	uint64_t pending_bytes;      /* on the way to the store */
	uint64_t pending_file_bytes; /* in files that no record names yet */
	uint64_t limit_bytes;
	uint64_t disk_free_bytes;
	uint64_t reserve_bytes; /* how large the reserve is to be; 0: none */
	bool reserve_held;
	bool failed;
	bool disk_full; /* a commit found no space; until a probe finds some */
	int64_t probed_at;
	struct io_timer timer;
	struct io_job probe;
	bool probing;
	/* the probe job's */
	bool make_reserve, reserve_made;
	uint64_t found_free_bytes;
	enum err probe_err;
};

/* Whether `bytes` more may be taken in. ERR_FULL, ERR_IO (failed). Asks the disk anew now and then, in the
 * lane. */
MUST_USE enum err space_admit(struct queue *q, uint64_t bytes);
/* On the way to the store: counted until the next commit says what is used. */
void space_take(struct queue *q, uint64_t bytes);
void space_give(struct queue *q, uint64_t bytes);
/* In a file that no record names yet; `written`: just now, so the disk has less room than when it was asked. */
void space_take_file(struct queue *q, uint64_t bytes, bool written);
void space_give_file(struct queue *q, uint64_t bytes);
/* In a lane: whether a failure means that the disk is full, although it says EIO (as LMDB and some file systems do). With
 * less than this free nothing else is believed. */
#define FULL_DISK_BYTES (UINT64_C(1) << 20)
bool space_is_full(const struct shared *s, enum err err, uint64_t wanted_bytes);
/* A sync failed: new mail is refused from now on. */
void space_disk_failed(struct queue *q);
/* Something of ours has left the disk. */
void space_look_again(struct queue *q);
void space_after_group(struct queue *q, const struct writer_result *r);
void space_stop(struct queue *q);
MUST_USE enum err space_make_reserve(const struct shared *s, uint64_t bytes);

/* ---------------------------------------------------------------- the queue */

/* Answers that are due in a later turn and have no operation to carry them; there when memory is not. */
#define SPARE_ANSWERS 16
struct answer {
	struct io_later later;
	struct queue *queue;
	queue_settled_fn *on_settled; /* one of the four */
	queue_loaded_fn *on_loaded;
	queue_rows_fn *on_rows;
	queue_found_fn *on_found;
	void *owner;
	enum err err;
	bool spare, used;
};

struct queue {
	struct shared shared;
	struct io *io;
	const struct queue_events *events;
	void *events_owner;
	struct body_memory memory;
	struct writer writer;
	struct reader reader;
	struct space space;
	struct map volatiles; /* entries of the THROUGH modes, by id */
	struct id_source file_ids;
	bool was_unclean;
	struct answer spare_answers[SPARE_ANSWERS];
	unsigned jobs; /* others in the lanes that end in queue_job_ended */
	bool closing;
	void (*on_closed)(void *owner);
	void *closed_owner;
	struct io_job close_job;
	struct io_later closed_later;
};

void queue_answer_later(struct queue *q, const struct answer *answer);
/* on_settled(owner, err) in a later turn; NULL is fine. */
void queue_tell_later(struct queue *q, queue_settled_fn *on_settled, void *owner, enum err err);
/* on_due, once for each delivery key, for the recipients whose verdict is QUEUE_DEFERRED. */
void announce_due(struct queue *q, const enum queue_verdict *verdicts,
                  const struct queue_recipient *recipients, size_t count);
/* A settlement with nothing but notices, copied already: takes the list over. */
void settle_submit_notices(struct queue *q, struct id id, struct newcomer **notices, size_t *count,
                           queue_settled_fn *on_settled, void *owner);
void settle_submit(struct queue *q, const struct queue_settlement *s, queue_settled_fn *on_settled,
                   void *owner);
/* A copy that is handed in later, or never. NULL: no memory, and on_settled is told so. */
struct settle_op *settle_make(struct queue *q, const struct queue_settlement *s, queue_settled_fn *on_settled,
                              void *owner);
void settle_hand_in(struct queue *q, struct settle_op *op);
void settle_free(struct queue *q, struct settle_op *op);

/* For jobs that stand alone (files, probes): the queue is not freed before they have ended. */
void queue_job_begun(struct queue *q);
void queue_job_ended(struct queue *q);
/* open.c */
MUST_USE enum err meta_write(struct store_txn *t, const struct meta_row *meta);
void queue_free(struct queue *q);
/* To be called whenever something that a stop waits for has ended. */
void queue_go_on_closing(struct queue *q);

/* aside.c: hands the operation to the writer; then(owner, err) after its commit (NULL is fine). */
void aside_submit(struct queue *q, struct id id, uint32_t n, bool whole, const char *what,
                  void (*then)(void *owner, enum err err), void *owner);
void mend_submit(struct queue *q, struct text due_row_key);

/* through.c */
struct through;
/* True: the id is a volatile entry's and the settlement is dealt with. */
bool through_settle(struct queue *q, const struct queue_settlement *s, queue_settled_fn *on_settled,
                    void *owner);
bool through_has(struct queue *q, struct id id);
/* on_fresh left these recipients of a volatile entry. */
void through_left(struct queue *q, struct id id, const struct queue_recipient *r, size_t count);
void through_begin(struct queue_ticket *ticket);
void through_hurry(struct through *t);
void through_stop_all(struct queue *q);

/* accept.c */
struct queue_ticket {
	struct accept_op accept;
	struct queue *queue;
	queue_decided_fn *on_decided; /* NULL: forgotten, or told already */
	void *owner;
	enum queue_mode mode;
	int64_t budget_ms;
	uint64_t began_us;
	enum err early; /* failed before it came to the writer */
	struct io_later later;
	bool unannounced; /* stored before on_fresh ran for it */
	bool hurry;
	struct through *through; /* NULL: none yet, or none any more */
};
void ticket_decide(struct queue_ticket *t, const struct queue_decision *decision);
/* Hands the operation to the writer; its space counts as taken until ticket_give_space. */
void ticket_store(struct queue_ticket *t, void (*decide)(struct queue *q, struct op *op),
                  void (*announce)(struct queue *q, struct op *op));
void ticket_give_space(struct queue_ticket *t);
void ticket_remove_file(struct queue_ticket *t);
void ticket_stored_or_not(struct queue_ticket *t); /* after the commit: the file of a refused one goes */
void ticket_refuse(struct queue_ticket *t, enum err err); /* in a later turn; frees it */
void ticket_free(struct queue_ticket *t);

/* draft.c: what accept.c takes from a draft. */
/* Made with the draft: accepting cannot fail for it. */
struct queue_ticket *draft_take_ticket(struct queue_draft *d);
size_t draft_memory_bytes(const struct queue_draft *d); /* what still lies in memory of it */
/* Ends the draft: for a file, writes the rest, and syncs it when `sync`. then(owner, err) runs when that is
 * done: at once for what is in memory, in a later turn with a file and for any error. The draft is gone by
 * then, and its content or file is m's (unless err). */
void draft_finish(struct queue_draft *d, bool sync, struct message *m,
                  void (*then)(void *owner, enum err err), void *owner);

#endif
