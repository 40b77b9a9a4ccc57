/* queue/records.h - what stands in the rows of the store, and how their keys are ordered.
 *
 *   message    id                  -> envelope, prepended fields, and the content or the name of its spool file
 *   recipient  id n                -> state: small and changing
 *   due        key NUL due id n    -> hash of the sender, class
 *   key        key                 -> how many due rows there are
 *   file       file id             -> id of its message, octets
 *   aside      id n table          -> what was damaged, as it was found
 *   meta       "queue"             -> run, clean stop, newest id
 *
 * Numbers in keys are big-endian, so that octet order is numeric order. Every value is a record of tagged fields
 * (postrider/mail/record.h) with a seal: a CRC-32C over the row's key and the record, so that a row read in the wrong place
 * is as damaged as one with a wrong octet. Fields of unknown tags live on in a recipient's record when it is written again. */
#ifndef POSTRIDER_QUEUE_RECORDS_H
#define POSTRIDER_QUEUE_RECORDS_H

#include <postrider/mail/envelope.h>
#include <postrider/queue.h>

#include "store.h"

enum table {
	TABLE_META,
	TABLE_MESSAGE,
	TABLE_RECIPIENT,
	TABLE_DUE,
	TABLE_KEY,
	TABLE_FILE,
	TABLE_ASIDE,
	TABLE_COUNT
};
extern const char *const table_names[TABLE_COUNT];

/* LMDB's longest key less what the due table puts behind it. */
#define DELIVERY_KEY_MAX_BYTES 400
#define REPLY_MAX_BYTES 1024
#define RECIPIENT_RECORD_MAX_BYTES 8192

struct row_key {
	size_t len;
	unsigned char bytes[STORE_KEY_MAX_BYTES + 1];
};

static inline struct text row_key_text(const struct row_key *k)
{
	return (struct text){ (const char *)k->bytes, k->len };
}

void recipient_key(struct row_key *k, struct id id, uint32_t n);
void due_key(struct row_key *k, struct text key, int64_t due_time, struct id id, uint32_t n);
void due_key_first(struct row_key *k, struct text key); /* below every row of this delivery key */
void aside_key(struct row_key *k, struct id id, uint32_t n, enum table table);
/* False for octets that are no such key. */
bool recipient_key_read(struct text key, struct id *id, uint32_t *n);
bool due_key_read(struct text row, struct text *key, int64_t *due_time, struct id *id, uint32_t *n);
bool id_read(struct text key, struct id *id);
/* 1 to DELIVERY_KEY_MAX_BYTES octets without NUL. */
bool delivery_key_is_good(struct text key);

/* ---------------------------------------------------------------- seals */

/* b holds a record and nothing else; the seal is put behind it. */
void record_seal(struct buf *b, struct text row_key);
/* Takes the seal off. ERR_DAMAGED. */
MUST_USE enum err record_unseal(struct text row_key, struct text value, struct text *record);

/* ---------------------------------------------------------------- recipient */

/* What the row has beyond the public part. */
struct recipient_row {
	struct queue_recipient public; /* n is not in the record; texts point into it */
	uint64_t run;                  /* of the claim: which run of the daemon made it */
	bool marked;                   /* by queue_mark: this very attempt may have delivered */
	uint64_t sender;
	struct text unknown_fields; /* of later versions, as they stand; for the next writing */
};

/* Bounds reply and remote. b must be empty; keeps its error. */
void recipient_encode(struct buf *b, struct text row_key, const struct recipient_row *r);
/* unknown_fields may be NULL; else the fields of unknown tags are put there and r->unknown_fields points into
 * it. */
MUST_USE enum err recipient_decode(struct text row_key, struct text value, struct recipient_row *r,
                                   struct buf *unknown_fields);

/* ---------------------------------------------------------------- small ones */

struct due_row {
	uint64_t sender;
	enum config_class class; /* one that a later version added is normal to this one */
};
void due_encode(struct buf *b, struct text row_key, const struct due_row *d);
MUST_USE enum err due_decode(struct text row_key, struct text value, struct due_row *d);

void count_encode(struct buf *b, struct text row_key, uint64_t count);
MUST_USE enum err count_decode(struct text row_key, struct text value, uint64_t *count);

struct file_row {
	struct id message_id;
	uint64_t file_bytes;
};
void file_encode(struct buf *b, struct text row_key, const struct file_row *f);
MUST_USE enum err file_decode(struct text row_key, struct text value, struct file_row *f);

struct aside_row {
	int64_t time;
	struct text what;  /* for people */
	struct text value; /* as it was found */
};
void aside_encode(struct buf *b, struct text row_key, const struct aside_row *a);
MUST_USE enum err aside_decode(struct text row_key, struct text value, struct aside_row *a);

/* Runs of the daemon that did not end well, as ranges; when there are too many the oldest two become one. */
#define META_RANGES_MAX 64
struct run_range {
	uint64_t first, last;
};
struct meta_row {
	bool clean;
	uint64_t run;        /* of the daemon that wrote this */
	int64_t newest_time; /* no id that was given out is newer */
	struct run_range unclean[META_RANGES_MAX];
	size_t unclean_count;
};
extern const struct text meta_key;
void meta_encode(struct buf *b, const struct meta_row *m);
MUST_USE enum err meta_decode(struct text value, struct meta_row *m);
void meta_add_unclean(struct meta_row *m, uint64_t run);
bool meta_was_unclean(const struct meta_row *m, uint64_t run);

/* ---------------------------------------------------------------- message */

/* A body is cut into blocks that are checked one by one; 64 KiB each with the checksum behind them. */
#define BLOCK_DATA_BYTES 65532u
#define BLOCK_CRC_BYTES 4u
#define BLOCK_BYTES (BLOCK_DATA_BYTES + BLOCK_CRC_BYTES)

/* owner: the message's id for a body in the store, the file's for one in a file. */
uint32_t block_crc_begin(struct id owner, uint64_t number);
uint32_t block_crc(struct id owner, uint64_t number, const void *data, size_t len);
static inline uint64_t blocks_of(uint64_t bytes)
{
	return (bytes + BLOCK_DATA_BYTES - 1) / BLOCK_DATA_BYTES;
}
static inline uint64_t bytes_with_blocks(uint64_t bytes)
{
	return bytes + blocks_of(bytes) * BLOCK_CRC_BYTES;
}
void crc_write(void *at, uint32_t crc);
uint32_t crc_read(const void *at);

struct message_head {
	struct text envelope; /* a record */
	struct text prepended;
	uint64_t content_bytes;
	bool in_file;
	struct id file;
};

/* The row is: in_file (an octet), length of the head (4 octets), the sealed head, then the blocks of a body
 * that is not in a file. head is left in b; the row's length is message_row_bytes. */
void message_head_encode(struct buf *b, struct id id, const struct message_head *m);
size_t message_row_bytes(const struct buf *head, const struct message_head *m);
/* Fills the row's room. content: all of it for a body that is not in a file. */
void message_row_write(char *room, const struct buf *head, struct id id, const struct message_head *m,
                       struct text content);
/* *blocks: what stands behind the head, of the right length (checked), not yet looked at. */
MUST_USE enum err message_row_read(struct id id, struct text row, struct message_head *m,
                                   struct text *blocks);
/* One octet of the row says it, so that nothing need be decoded to remove an ordinary message. */
bool message_row_is_in_file(struct text row);
/* Copies block `number` out, checked. at has BLOCK_DATA_BYTES. */
MUST_USE enum err message_block_read(struct id id, struct text blocks, uint64_t content_bytes,
                                     uint64_t number, char *at, size_t *len);
/* All blocks, to a place of content_bytes octets; NULL: only checks. */
MUST_USE enum err message_content_read(struct id id, struct text blocks, uint64_t content_bytes, char *at);

#endif
