/* postrider/queue.h - the durable queue: takes responsibility for messages, and gives it up only by a settle.
 *
 * One directory, one daemon. One job at a time in the writer lane commits everything that waited while the
 * one before was syncing (group commit), so an idle relay commits at once and a busy one in large groups; no
 * timer is involved. Nothing here is decided before a sync: callbacks run from the end of the commit and from
 * nowhere else.
 *
 * On disk every time is UTC milliseconds. All calls on the loop's thread; all callbacks in a later turn. */
#ifndef POSTRIDER_QUEUE_H
#define POSTRIDER_QUEUE_H

#include <postrider/base/id.h>
#include <postrider/config.h>
#include <postrider/io/disk.h>
#include <postrider/io/io.h>
#include <postrider/mail/body_source.h>
#include <postrider/mail/envelope.h>
#include <postrider/observe/reason.h>

struct queue;
struct queue_memory;

/* ---------------------------------------------------------------- opening */

struct queue_options {
	struct io *io;
	struct io_disk *disk;
	struct text path;                /* the spool directory; made if it is not there (its parent must be) */
	uint64_t max_bytes;              /* map and spool files together */
	uint64_t reserve_bytes;          /* preallocated, given up when a settle finds no space */
	size_t inline_max_bytes;         /* larger bodies get a spool file; 0: 128 KiB */
	size_t memory_budget_bytes;      /* for all bodies in memory; 0: 32 MiB */
	int64_t settle_wait_ms;          /* how long a settle waits for new mail to share its sync with; 0: not at all */
	bool durable;                    /* false: nothing is synced */
	bool in_memory;                  /* the store's memory twin (the simulated world, tests) */
	struct queue_memory *memory;     /* with in_memory: what outlives the queue (postrider/queue/memory.h); NULL: nothing */
	uint64_t seed;
	/* Numbered places in writer and sweep where a test may stop or fail; NULL in the daemon. Called on
	 * the lane's thread. An err other than ERR_OK is what the step there comes to. */
	enum err (*fault)(void *owner, unsigned point);
	void *fault_owner;
	struct buf *problem;             /* for people, when queue_open fails; borrowed for the call */
};

/* Blocks: called before the loop runs. ERR_BUSY: another daemon has this spool. ERR_DAMAGED, ERR_IO,
 * ERR_DENIED, ERR_FULL, ERR_UNSUPPORTED (a format that is newer than we are). Runs the sweep. */
MUST_USE enum err queue_open(const struct queue_options *options, struct queue **out);
/* Commits what waits, marks the stop as clean and frees; on_closed in a later turn. No other call
 * afterwards. */
void queue_close(struct queue **q, void (*on_closed)(void *owner), void *owner);

/* What the last stop was: after an unclean one, what was claimed then comes back with unknown_outcome set. */
bool queue_was_unclean(const struct queue *q);
/* No id that was ever accepted here is newer: where the source of ids goes on (id_source_init). UTC
 * milliseconds, 0: none. */
int64_t queue_newest_time(const struct queue *q);

struct queue_space {
	uint64_t used_bytes, limit_bytes, disk_free_bytes;
	uint64_t messages, recipients, held_recipients;
	uint64_t files, file_bytes;      /* bodies in spool files; counted in used_bytes */
	size_t body_memory_bytes;
	uint64_t commits, committed_operations, commit_us;       /* since the start; us: from the beginning of a group to its end */
	bool full;                       /* new mail is refused: 452 4.3.1 */
	bool failed;                     /* the disk failed: stop taking mail and exit */
};
struct queue_space queue_space(const struct queue *q);
/* Whether a draft of so many octets would be admitted now; queue_draft_open has the last word. */
bool queue_has_room(struct queue *q, uint64_t bytes);

/* ---------------------------------------------------------------- a message in memory */

/* Immutable and counted. content is there for a fresh message within the memory budget, or once it was
 * loaded; otherwise the body is read through queue_message_body. */
struct queue_message {
	const struct envelope *envelope;         /* owned; recipients are all that were accepted, also those done since */
	struct text prepended;                   /* fields that we put on top */
	uint64_t content_bytes;
	struct text content;                     /* at NULL: not in memory */
	unsigned references;
};

struct queue_message *queue_message_ref(struct queue_message *m);
void queue_message_unref(struct queue *q, struct queue_message **m);
/* The octets of the message, prepended fields first; from memory or by pieces through the disk lane, each
 * block checked. Must be released before queue_close. Several may read at once. */
MUST_USE enum err queue_message_body(struct queue *q, struct queue_message *m, struct body_source **out);

/* The small, changing part of a recipient. */
enum queue_state { QUEUE_WAITING = 1, QUEUE_CLAIMED = 2, QUEUE_HELD = 3 };

struct queue_recipient {
	uint32_t n;                      /* its place in envelope->recipients */
	enum queue_state state;
	int64_t due_time;
	uint32_t attempts;
	int64_t last_attempt_time;       /* 0: none */
	enum reason reason;              /* of the last attempt, or of the hold */
	enum stage stage;
	struct text reply;               /* the last one, "450 4.2.1 busy", or our own words; bounded to 1 KiB */
	struct text remote;              /* who said so: "mx1.example.net [192.0.2.1]:25" */
	struct text key;                 /* delivery key */
	struct text via;                 /* the upstream that a rule on replies sent it to; empty: as the routes say */
	enum config_class class;         /* how soon it goes among those of its key, as far as was known when its row was written */
	bool unknown_outcome;            /* the last attempt may have delivered it */
	/* Of fresh mail, not kept on disk: its row is not claimed, since queue_mark notes each attempt before it can deliver. */
	bool unclaimed;
	bool warned;                     /* a delay warning went out */
	bool late_told;                  /* that the sender's time is over (DELIVERBY with N) was told */
	bool released;                   /* a person let it go: neither a route nor a release time holds it again */
};

/* Some recipients of one message that wait under one delivery key: what one delivery is given. */
struct queue_work {
	struct id id;
	struct text key;
	struct id about;                         /* of a report: the message whose settle brought it; else zero */
	bool through;                            /* it began as an entry of the THROUGH modes: a client waits for its settle */
	int64_t through_until_at;                /* and no longer than this; monotonic, 0: without end */
	struct queue_message *message;           /* a reference, or NULL: not loaded yet */
	struct queue_recipient *recipients;
	size_t recipient_count;
	int64_t due_time;                        /* the earliest of its recipients */
	uint64_t sender;                         /* sender_hash of the envelope (postrider/mail/sender.h): for fairness */
};
/* Frees all of it and drops its reference. */
void queue_work_free(struct queue *q, struct queue_work **w);

/* ---------------------------------------------------------------- taking in */

/* A message on its way in. Small ones stay in memory; a larger one, or one that finds the memory budget used
 * up, goes to a spool file as it comes. */
struct queue_draft;

/* declared_bytes: from SIZE, 0 unknown. ERR_FULL: no space for it (452 4.3.1). on_room runs when a busy draft
 * can take more; never from inside queue_draft_write. */
MUST_USE enum err queue_draft_open(struct queue *q, uint64_t declared_bytes, void (*on_room)(void *owner), void *owner,
                                   struct queue_draft **out);
/* For a THROUGH entry: nothing of it need go to the disk, so a full one is no hindrance as long as the memory budget lasts. */
MUST_USE enum err queue_draft_open_through(struct queue *q, uint64_t declared_bytes, void (*on_room)(void *owner),
                                           void *owner, struct queue_draft **out);
/* Takes a copy of all octets. A failure (ERR_FULL, ERR_IO, ERR_NOMEM) is kept and also met in
 * queue_accept. */
MUST_USE enum err queue_draft_write(struct queue_draft *d, struct text bytes);
/* Too much is on its way to the disk: stop reading until on_room. */
bool queue_draft_is_busy(const struct queue_draft *d);
uint64_t queue_draft_bytes(const struct queue_draft *d);
void queue_draft_abort(struct queue_draft **d);      /* NULL is fine; removes its file */

enum queue_mode {
	QUEUE_STORE,             /* decided by the commit */
	QUEUE_THROUGH,           /* decided by the settle of all its recipients; nothing is written */
	/* As THROUGH, and stored when budget_ms has passed without a settle, or when it defers. Where nothing is synced
	 * (options.durable) there is no place to store it: it is THROUGH. */
	QUEUE_THROUGH_OR_STORE,
};
/* One answer covers all recipients of a THROUGH entry. With none delivered the client is told, and nobody else: notices that
 * came with its settles are dropped. With some delivered (or dropped by a route) the client must not send again: what is
 * deferred is stored in either mode, from the reserve if need be, and notices are committed before on_decided. What is held
 * for a person or waits for its release is stored at once. A client that is refused keeps the message: what is still on
 * its way then is called off (on_call_off), and settles that come later change nothing and write nothing. */

struct queue_submission {
	const struct envelope *envelope;         /* copied; its id names the message */
	struct text prepended;                   /* copied */
	const struct text *keys;                 /* delivery key of each recipient, in order; copied */
	const bool *held;                        /* NULL: none; else those that begin held */
	const enum config_class *classes;        /* NULL: all normal; else of each recipient */
	const bool *strict;                      /* NULL: none; else those whose attempts are noted by queue_mark */
	enum queue_mode mode;
	int64_t budget_ms;                       /* of the THROUGH modes; 0: without end */
};

struct queue_decision {
	/* ERR_OK: ours now (or settled already). ERR_FULL: 452 4.3.1. ERR_IO, ERR_NOMEM: 451 4.3.0. ERR_TIMEOUT: the budget of
	 * THROUGH ended; ERR_CANCELLED: queue_accept_hurry ended it. ERR_SYNTAX: a delivery key that is empty, over 400
	 * octets, or holds NUL. ERR_EXISTS: the id is taken. */
	enum err err;
	bool stored;                             /* THROUGH modes: it is in the queue rather than settled already */
	/* THROUGH modes: one for each recipient, in order; else NULL. One that was not settled yet is QUEUE_DEFERRED with
	 * empty texts. In a refusal recipient.unknown_outcome says that it may be delivered all the same. */
	const struct queue_outcome *outcomes;
	size_t outcome_count;
	int32_t disk_ms;                         /* from queue_accept to the end of the sync */
};
typedef void queue_decided_fn(void *owner, const struct queue_decision *decision);

/* Takes the draft over (also when it fails: *draft is NULL afterwards). on_decided runs once, in a later
 * turn; owner may say with queue_accept_forget that it is gone: the message is accepted all the same (the
 * peer may have gone after the dot; RFC 5321 section 4.1.1.4 lets us keep it). The returned ticket is valid
 * until on_decided. */
struct queue_ticket;
struct queue_ticket *queue_accept(struct queue *q, struct queue_draft **draft, const struct queue_submission *s,
                                  queue_decided_fn *on_decided, void *owner);
void queue_accept_forget(struct queue_ticket *ticket);
/* The budget of a THROUGH entry ends now; on_decided comes soon, at the earliest in a later turn. For others nothing. */
void queue_accept_hurry(struct queue_ticket *ticket);
/* Of a THROUGH entry: a client waits, or has been told that it keeps the message. False once it is on its way to the disk. */
bool queue_has_client(const struct queue *q, struct id id);

/* ---------------------------------------------------------------- giving up */

enum queue_verdict {
	QUEUE_DELIVERED = 1,     /* gone */
	QUEUE_BOUNCED,           /* gone, with a report where one is due */
	QUEUE_EXPIRED,           /* gone, likewise */
	QUEUE_DROPPED,           /* gone by a person's will, without a report */
	QUEUE_DEFERRED,          /* waits until due_time under key; an empty key: under the one it had */
	QUEUE_ON_HOLD,           /* waits for a person */
};

struct queue_outcome {
	enum queue_verdict verdict;
	struct queue_recipient recipient;        /* its new state (n names it); for those gone only n, reason, stage, reply */
	/* For the client of a THROUGH entry; never written. */
	int code;                                /* of the next hop's reply; 0: recipient.reply is in our own words */
	struct text enhanced;                    /* "4.7.1"; may be empty */
};

/* A notice (bounce, warning): a small message of ours that enters in the same transaction. */
struct queue_notice {
	const struct envelope *envelope;
	struct text prepended;
	struct text content;
	const struct text *keys;
	const enum config_class *classes;        /* as in queue_submission */
};

struct queue_settlement {
	struct id id;
	const struct queue_outcome *outcomes;
	size_t outcome_count;
	const struct queue_notice *notices;
	size_t notice_count;
};

/* Writes outcomes, next times and notices in one transaction; everything is copied. on_settled: ERR_OK, or
 * what the disk came to after the reserve was tried (the recipients are as before then, and claimed). A
 * message whose last recipient is gone is removed with its spool file. An outcome for a recipient that is
 * gone already is passed over. */
typedef void queue_settled_fn(void *owner, enum err err);
void queue_settle(struct queue *q, const struct queue_settlement *s, queue_settled_fn *on_settled, void *owner);

/* The mark that an attempt begins: joins the next commit, nobody waits for it (on_settled may be NULL). */
void queue_claim(struct queue *q, struct id id, const uint32_t *ns, size_t count, queue_settled_fn *on_settled, void *owner);

/* Takes such a mark back, also that of fresh mail, when nothing was begun: joins some later commit. */
void queue_release(struct queue *q, struct id id, const uint32_t *ns, size_t count);

/* The line of the ledger: from here on this attempt may have delivered. The recipients are claimed, with the attempt counted,
 * its time and its host in their rows; on_marked says when that is on disk, or why not. It asks for a commit. For a THROUGH
 * entry nothing is written. After an unclean stop they come back with unknown_outcome, and those that were never marked
 * without. */
struct queue_mark {
	struct id id;
	const uint32_t *ns;
	size_t count;
	struct text remote;                      /* as in queue_recipient */
	int64_t time;
};
void queue_mark(struct queue *q, const struct queue_mark *m, queue_settled_fn *on_marked, void *owner);

/* ---------------------------------------------------------------- what waits */

/* The queue's news for the scheduler. */
struct queue_events {
	/* New mail and notices, after their commit (or at once in the THROUGH modes), already claimed; one
	 * call for each delivery key of a message. Takes *work over (set it to NULL) or leaves it: then it
	 * waits on disk and is found by queue_scan. Held recipients are not announced. */
	void (*on_fresh)(void *owner, struct queue_work **work);
	/* Something under this key is due at due_time that was not announced by on_fresh: after the commit of its deferral or
	 * release, once for each key of a settlement. */
	void (*on_due)(void *owner, struct text key, int64_t due_time);
	/* Something of a message was found damaged and set aside, never to be sent: for the log. May be
	 * NULL. */
	void (*on_aside)(void *owner, struct id id, struct text what);
	/* The client of a THROUGH entry is told that it keeps the message: from here on no attempt for those under this key
	 * may end in a delivery. unsure has a place for each recipient of the message: set where that cannot be helped, since
	 * the final dot is out or more. Settles of what is called off still come, from inside or later. May be NULL. */
	void (*on_call_off)(void *owner, struct id id, struct text key, bool *unsure);
};
void queue_listen(struct queue *q, const struct queue_events *events, void *owner);

/* The directory of delivery keys as it was at the start, with the earliest due time of each. Blocks shortly;
 * for start. */
typedef void queue_key_fn(void *owner, struct text key, uint64_t recipients, int64_t earliest_due_time);
MUST_USE enum err queue_each_key(struct queue *q, queue_key_fn *each, void *owner);

/* One row of the due table. */
struct queue_row {
	struct id id;
	uint32_t n;
	int64_t due_time;
	uint64_t sender;                         /* of queue_work; a row of an earlier version may have another */
	enum config_class class;                 /* of queue_recipient; a row of an earlier version: normal */
};

struct queue_cursor {                            /* where a scan goes on; zeroed: from the first row of the key */
	int64_t due_time;
	struct id id;
	uint32_t n;
	bool set;
};

/* Rows of one key in order, behind *after, due until until_time, max_rows at most; read in the disk lane.
 * next_due_time: of the first row not given (INT64_MAX: none). Rows that somebody holds in memory are given
 * too. */
typedef void queue_rows_fn(void *owner, enum err err, const struct queue_row *rows, size_t count, int64_t next_due_time);
void queue_scan(struct queue *q, struct text key, const struct queue_cursor *after, int64_t until_time, size_t max_rows,
                queue_rows_fn *on_rows, void *owner);

/* The order of rows, and of the places between them. A cursor that is not set lies before all rows. */
int queue_cursor_compare(const struct queue_cursor *a, const struct queue_cursor *b);
/* The place just before a row. */
struct queue_cursor queue_cursor_before(int64_t due_time, struct id id, uint32_t n);

/* What is wanted of the rows of one key. Messages of one sender and class, of which so many have room: */
struct queue_share {
	uint64_t sender;
	enum config_class class;
	struct queue_cursor after;       /* rows before it are passed over */
	size_t room;                     /* messages */
	/* filled in: the place before the first row that was passed over for want of room */
	bool left_some;
	struct queue_cursor left;
};
#define QUEUE_CLASSES 3
struct queue_wish {
	unsigned classes;                                /* BIT of each that is looked for; rows of others are passed over */
	struct queue_cursor after[QUEUE_CLASSES];        /* of each class: rows before it are passed over */
	int64_t until_time;
	const struct queue_share *shares;                /* copied; each sender of a class once */
	size_t share_count;
	size_t leader;                                   /* the search ends when shares[leader] has its room; SIZE_MAX: none */
	bool others;                                     /* also rows of those that shares does not name */
	size_t max_rows, max_looks;                      /* rows given, and rows looked at */
};
struct queue_found {
	enum err err;                            /* then nothing else is told */
	const struct queue_row *rows;
	size_t count;
	const struct queue_share *shares;        /* as in the wish, filled in */
	size_t share_count;
	struct queue_cursor end;                 /* the last row that was looked at; not set: none */
	bool is_end;                             /* all that is due was looked at */
	int64_t next_due_time;                   /* of the row behind it (INT64_MAX: none) */
};
/* Looks for rows of one key in order, passing over those that nobody has room for: a bounded number of looks, read in the disk
 * lane. The caller goes on behind found->end. Rows that somebody holds in memory are given too. */
typedef void queue_found_fn(void *owner, const struct queue_found *found);
void queue_search(struct queue *q, struct text key, const struct queue_wish *wish, queue_found_fn *on_found, void *owner);

/* Loads recipients of a message as a work (those that are gone, held or under another key are left out; with
 * none left ERR_NOT_FOUND). ERR_DAMAGED: the message was set aside, never to be sent; the recipients left the
 * due table. */
typedef void queue_loaded_fn(void *owner, enum err err, struct queue_work *work /* taken over */);
void queue_load(struct queue *q, struct id id, struct text key, const uint32_t *ns, size_t count, queue_loaded_fn *on_loaded,
                void *owner);

/* ---------------------------------------------------------------- for people */

struct queue_entry {
	const struct envelope *envelope;
	uint64_t content_bytes;
	const struct queue_recipient *recipients;        /* only those still living */
	size_t recipient_count;
	bool damaged;
};
/* All messages in the order of their ids (age), behind after (zeroed: from the start), in slices read in the
 * disk lane. each returns false to end; it runs on the loop. on_done gets the last id seen, ERR_OK at the end
 * or after a false. */
typedef bool queue_entry_fn(void *owner, const struct queue_entry *entry);
void queue_each_message(struct queue *q, struct id after, queue_entry_fn *each, queue_settled_fn *on_done, void *owner);
/* The living messages whose ids lie in a range (a prefix): up to two are enough to know that it is unique. */
void queue_find(struct queue *q, struct id first, struct id last, queue_entry_fn *each, queue_settled_fn *on_done,
                void *owner);

/* ---------------------------------------------------------------- checking (also beside a running daemon) */

struct queue_verify_report {
	uint64_t messages, recipients, due_rows, keys, spool_files, body_bytes;
	uint64_t damaged_messages, damaged_recipients, lost_due_rows, wrong_counts, missing_files, stray_files, set_aside;
	uint64_t unreadable_tables;      /* LMDB's own pages are damaged: what stood behind is not counted */
};
/* Reads everything, slice by slice, each in a read transaction of its own (one that stays open would make a
 * running daemon's file grow for good); blocks; writes nothing. Problem lines go to `each`. ERR_NOT_FOUND:
 * there is no spool. */
typedef void queue_problem_fn(void *owner, struct text line);
MUST_USE enum err queue_verify(struct io_disk *disk, struct text path, queue_problem_fn *each, void *owner,
                               struct queue_verify_report *out);

#endif
