/* postrider/mail/record.h - tagged fields, for what is stored: a format number, then fields.
 *
 *   record = format *field     field = tag length *OCTET
 *
 * All numbers are LEB128 (7 bits an octet, lowest first), also those that are the value of a field. Unknown
 * tags are passed over, so a later version can add fields; the format number rises only when old readers must
 * keep out. A tag may come more than once (lists). No checksum: the store has it. */
#ifndef POSTRIDER_MAIL_RECORD_H
#define POSTRIDER_MAIL_RECORD_H

#include <postrider/base/buf.h>

void record_begin(struct buf *b, unsigned format);
void record_add_text(struct buf *b, unsigned tag, struct text value);
void record_add_u64(struct buf *b, unsigned tag, uint64_t value);
void record_add_i64(struct buf *b, unsigned tag, int64_t value); /* small negative ones stay short */

/* A record as the value of a field. Write it to a buf of its own and add that as text, or: */
size_t record_open_field(struct buf *b, unsigned tag); /* fields of the inner record follow; returns a mark */
void record_close_field(struct buf *b, size_t mark);

struct record_reader {
	struct text rest;
	unsigned format;
	enum err err; /* the first failure; later calls give nothing */
};

struct record_field {
	unsigned tag;
	struct text value; /* points into the record */
};

/* ERR_UNSUPPORTED is kept when the format is above newest_format, ERR_DAMAGED when there is none. */
void record_open(struct record_reader *r, struct text record, unsigned newest_format);
/* The fields of an inner record (it has no format number). */
void record_open_inner(struct record_reader *r, struct text fields);
/* False at the end and after a failure. */
bool record_next(struct record_reader *r, struct record_field *out);
/* The number in a field; 0 and ERR_DAMAGED kept when there is none, or it is over max. */
uint64_t record_u64(struct record_reader *r, const struct record_field *f, uint64_t max);
int64_t record_i64(struct record_reader *r, const struct record_field *f);

#endif
