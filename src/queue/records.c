#include "records.h"

#include <postrider/base/crc32c.h>
#include <postrider/mail/record.h>

#define RECORD_FORMAT 1
#define SEAL_BYTES 4

const char *const table_names[TABLE_COUNT] = {
	[TABLE_META] = "meta",   [TABLE_MESSAGE] = "message", [TABLE_RECIPIENT] = "recipient",
	[TABLE_DUE] = "due",     [TABLE_KEY] = "key",         [TABLE_FILE] = "file",
	[TABLE_ASIDE] = "aside",
};

/* ---------------------------------------------------------------- keys */

static void put_u64(unsigned char *at, uint64_t value)
{
	for (int i = 7; i >= 0; i--) {
		at[i] = (unsigned char)value;
		value >>= 8;
	}
}

static uint64_t get_u64(const unsigned char *at)
{
	uint64_t value = 0;

	for (int i = 0; i < 8; i++)
		value = value << 8 | at[i];
	return value;
}

static void put_u32(unsigned char *at, uint32_t value)
{
	at[0] = (unsigned char)(value >> 24);
	at[1] = (unsigned char)(value >> 16);
	at[2] = (unsigned char)(value >> 8);
	at[3] = (unsigned char)value;
}

static uint32_t get_u32(const unsigned char *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

void recipient_key(struct row_key *k, struct id id, uint32_t n)
{
	memcpy(k->bytes, id.bytes, ID_BYTES);
	put_u32(k->bytes + ID_BYTES, n);
	k->len = ID_BYTES + 4;
}

bool recipient_key_read(struct text key, struct id *id, uint32_t *n)
{
	if (key.len != ID_BYTES + 4)
		return false;
	memcpy(id->bytes, key.at, ID_BYTES);
	*n = get_u32((const unsigned char *)key.at + ID_BYTES);
	return true;
}

void due_key_first(struct row_key *k, struct text key)
{
	memcpy(k->bytes, key.at, key.len);
	k->bytes[key.len] = 0;
	k->len = key.len + 1;
}

void due_key(struct row_key *k, struct text key, int64_t due_time, struct id id, uint32_t n)
{
	due_key_first(k, key);
	put_u64(k->bytes + k->len, (uint64_t)MAX(due_time, 0));
	memcpy(k->bytes + k->len + 8, id.bytes, ID_BYTES);
	put_u32(k->bytes + k->len + 8 + ID_BYTES, n);
	k->len += 8 + ID_BYTES + 4;
}

bool due_key_read(struct text row, struct text *key, int64_t *due_time, struct id *id, uint32_t *n)
{
	size_t len = text_find_octet(row, '\0');
	const unsigned char *rest = (const unsigned char *)row.at + len + 1;

	if (len == 0 || len > DELIVERY_KEY_MAX_BYTES || row.len != len + 1 + 8 + ID_BYTES + 4)
		return false;
	*key = text_head(row, len);
	uint64_t due = get_u64(rest);

	if (due > INT64_MAX)
		return false;
	*due_time = (int64_t)due;
	memcpy(id->bytes, rest + 8, ID_BYTES);
	*n = get_u32(rest + 8 + ID_BYTES);
	return true;
}

void aside_key(struct row_key *k, struct id id, uint32_t n, enum table table)
{
	recipient_key(k, id, n);
	k->bytes[k->len++] = (unsigned char)table;
}

bool id_read(struct text key, struct id *id)
{
	if (key.len != ID_BYTES)
		return false;
	memcpy(id->bytes, key.at, ID_BYTES);
	return true;
}

bool delivery_key_is_good(struct text key)
{
	return key.len > 0 && key.len <= DELIVERY_KEY_MAX_BYTES && text_find_octet(key, '\0') == key.len;
}

/* ---------------------------------------------------------------- seals */

void crc_write(void *at, uint32_t crc)
{
	unsigned char *octets = at;

	octets[0] = (unsigned char)crc;
	octets[1] = (unsigned char)(crc >> 8);
	octets[2] = (unsigned char)(crc >> 16);
	octets[3] = (unsigned char)(crc >> 24);
}

uint32_t crc_read(const void *at)
{
	const unsigned char *octets = at;

	return octets[0] | (uint32_t)octets[1] << 8 | (uint32_t)octets[2] << 16 | (uint32_t)octets[3] << 24;
}

static uint32_t seal_of(struct text row_key, struct text record)
{
	return crc32c(crc32c(0, row_key.at, row_key.len), record.at, record.len);
}

void record_seal(struct buf *b, struct text row_key)
{
	char *room = buf_reserve(b, SEAL_BYTES);

	if (!room)
		return;
	crc_write(room, seal_of(row_key, buf_text(b)));
	buf_grew(b, SEAL_BYTES);
}

enum err record_unseal(struct text row_key, struct text value, struct text *record)
{
	if (value.len <= SEAL_BYTES)
		return ERR_DAMAGED;
	struct text inside = text_head(value, value.len - SEAL_BYTES);

	if (crc_read(inside.at + inside.len) != seal_of(row_key, inside))
		return ERR_DAMAGED;
	*record = inside;
	return ERR_OK;
}

static enum err open_sealed(struct record_reader *r, struct text row_key, struct text value)
{
	struct text record;
	enum err err = record_unseal(row_key, value, &record);

	if (!err) {
		record_open(r, record, RECORD_FORMAT);
		err = r->err;
	}
	return err;
}

/* ---------------------------------------------------------------- recipient */

enum {
	RECIPIENT_STATE = 1,
	RECIPIENT_DUE = 2,
	RECIPIENT_ATTEMPTS = 3,
	RECIPIENT_LAST_ATTEMPT = 4,
	RECIPIENT_REASON = 5,
	RECIPIENT_STAGE = 6,
	RECIPIENT_REPLY = 7,
	RECIPIENT_REMOTE = 8,
	RECIPIENT_KEY = 9,
	RECIPIENT_FLAGS = 10,
	RECIPIENT_RUN = 11,
	RECIPIENT_SENDER = 12,
	RECIPIENT_CLASS = 13, /* not there: normal */
	RECIPIENT_VIA = 14,
};
#define FLAG_UNKNOWN_OUTCOME BIT(0)
#define FLAG_WARNED BIT(1)
#define FLAG_RELEASED BIT(2)
#define FLAG_LATE_TOLD BIT(3)
#define FLAG_MARKED BIT(4)

static void add_nonzero(struct buf *b, unsigned tag, uint64_t value)
{
	if (value)
		record_add_u64(b, tag, value);
}

static enum config_class read_class(struct record_reader *reader, const struct record_field *f)
{
	uint64_t class = record_u64(reader, f, UINT32_MAX);

	return class == CONFIG_CLASS_URGENT || class == CONFIG_CLASS_BULK ? (enum config_class)class
	                                                                   : CONFIG_CLASS_NORMAL;
}

static void add_nonempty(struct buf *b, unsigned tag, struct text value)
{
	if (value.len > 0)
		record_add_text(b, tag, value);
}

void recipient_encode(struct buf *b, struct text row_key, const struct recipient_row *r)
{
	const struct queue_recipient *p = &r->public;
	unsigned flags = (p->unknown_outcome ? FLAG_UNKNOWN_OUTCOME : 0) | (p->warned ? FLAG_WARNED : 0) |
	                 (p->released ? FLAG_RELEASED : 0) | (p->late_told ? FLAG_LATE_TOLD : 0) |
	                 (r->marked ? FLAG_MARKED : 0);

	record_begin(b, RECORD_FORMAT);
	record_add_u64(b, RECIPIENT_STATE, p->state);
	record_add_text(b, RECIPIENT_KEY, p->key);
	record_add_u64(b, RECIPIENT_DUE, (uint64_t)MAX(p->due_time, 0));
	add_nonzero(b, RECIPIENT_ATTEMPTS, p->attempts);
	add_nonzero(b, RECIPIENT_LAST_ATTEMPT, (uint64_t)MAX(p->last_attempt_time, 0));
	add_nonzero(b, RECIPIENT_REASON, p->reason);
	add_nonzero(b, RECIPIENT_STAGE, p->stage);
	add_nonempty(b, RECIPIENT_REPLY, text_head(p->reply, REPLY_MAX_BYTES));
	add_nonempty(b, RECIPIENT_REMOTE, text_head(p->remote, REPLY_MAX_BYTES));
	add_nonempty(b, RECIPIENT_VIA, text_head(p->via, REPLY_MAX_BYTES));
	add_nonzero(b, RECIPIENT_FLAGS, flags);
	add_nonzero(b, RECIPIENT_RUN, r->run);
	add_nonzero(b, RECIPIENT_SENDER, r->sender);
	add_nonzero(b, RECIPIENT_CLASS, p->class);
	buf_add(b, r->unknown_fields);
	record_seal(b, row_key);
}

static void read_recipient_field(struct record_reader *reader, const struct record_field *f,
                                 struct recipient_row *r, struct buf *unknown)
{
	struct queue_recipient *p = &r->public;
	uint64_t flags;

	switch (f->tag) {
	case RECIPIENT_STATE:
		p->state = (enum queue_state)record_u64(reader, f, QUEUE_HELD);
		break;
	case RECIPIENT_DUE:
		p->due_time = (int64_t)record_u64(reader, f, INT64_MAX);
		break;
	case RECIPIENT_ATTEMPTS:
		p->attempts = (uint32_t)record_u64(reader, f, UINT32_MAX);
		break;
	case RECIPIENT_LAST_ATTEMPT:
		p->last_attempt_time = (int64_t)record_u64(reader, f, INT64_MAX);
		break;
	/* Words that a later version added are told as "other" by this one. */
	case RECIPIENT_REASON:
		p->reason = (enum reason)record_u64(reader, f, UINT32_MAX);
		if (p->reason >= REASON_COUNT)
			p->reason = REASON_OTHER;
		break;
	case RECIPIENT_STAGE:
		p->stage = (enum stage)record_u64(reader, f, UINT32_MAX);
		if (p->stage >= STAGE_COUNT)
			p->stage = STAGE_NONE;
		break;
	case RECIPIENT_REPLY:
		p->reply = f->value;
		break;
	case RECIPIENT_REMOTE:
		p->remote = f->value;
		break;
	case RECIPIENT_KEY:
		p->key = f->value;
		break;
	case RECIPIENT_VIA:
		p->via = f->value;
		break;
	case RECIPIENT_FLAGS:
		flags = record_u64(reader, f, UINT32_MAX);
		p->unknown_outcome = flags & FLAG_UNKNOWN_OUTCOME;
		p->warned = flags & FLAG_WARNED;
		p->released = flags & FLAG_RELEASED;
		p->late_told = flags & FLAG_LATE_TOLD;
		r->marked = flags & FLAG_MARKED;
		break;
	case RECIPIENT_RUN:
		r->run = record_u64(reader, f, UINT64_MAX);
		break;
	case RECIPIENT_SENDER:
		r->sender = record_u64(reader, f, UINT64_MAX);
		break;
	case RECIPIENT_CLASS:
		p->class = read_class(reader, f);
		break;
	default:
		if (unknown)
			record_add_text(unknown, f->tag, f->value);
		break;
	}
}

enum err recipient_decode(struct text row_key, struct text value, struct recipient_row *r,
                          struct buf *unknown_fields)
{
	struct record_reader reader;
	struct record_field field;
	struct recipient_row row = { .public = {
					     .reply = TEXT_EMPTY, .remote = TEXT_EMPTY, .key = TEXT_EMPTY, .via = TEXT_EMPTY } };
	struct id id;
	enum err err = open_sealed(&reader, row_key, value);

	if (err)
		return err;
	if (!recipient_key_read(row_key, &id, &row.public.n))
		return ERR_DAMAGED;
	if (unknown_fields)
		buf_reset(unknown_fields);
	while (record_next(&reader, &field))
		read_recipient_field(&reader, &field, &row, unknown_fields);
	if (reader.err)
		return reader.err;
	if (row.public.state < QUEUE_WAITING || !delivery_key_is_good(row.public.key))
		return ERR_DAMAGED;
	if (unknown_fields) {
		if (buf_err(unknown_fields))
			return buf_err(unknown_fields);
		row.unknown_fields = buf_text(unknown_fields);
	}
	*r = row;
	return ERR_OK;
}

/* ---------------------------------------------------------------- small ones */

enum { SMALL_FIRST = 1, SMALL_SECOND = 2, SMALL_THIRD = 3 };

static void number_encode(struct buf *b, struct text row_key, uint64_t number)
{
	record_begin(b, RECORD_FORMAT);
	record_add_u64(b, SMALL_FIRST, number);
	record_seal(b, row_key);
}

static enum err number_decode(struct text row_key, struct text value, uint64_t *number)
{
	struct record_reader reader;
	struct record_field field;
	uint64_t found = 0;
	enum err err = open_sealed(&reader, row_key, value);

	if (err)
		return err;
	while (record_next(&reader, &field)) {
		if (field.tag == SMALL_FIRST)
			found = record_u64(&reader, &field, UINT64_MAX);
	}
	if (!reader.err)
		*number = found;
	return reader.err;
}

void due_encode(struct buf *b, struct text row_key, const struct due_row *d)
{
	record_begin(b, RECORD_FORMAT);
	record_add_u64(b, SMALL_FIRST, d->sender);
	add_nonzero(b, SMALL_SECOND, d->class);
	record_seal(b, row_key);
}

enum err due_decode(struct text row_key, struct text value, struct due_row *d)
{
	struct record_reader reader;
	struct record_field field;
	struct due_row row = { .class = CONFIG_CLASS_NORMAL };
	enum err err = open_sealed(&reader, row_key, value);

	if (err)
		return err;
	while (record_next(&reader, &field)) {
		if (field.tag == SMALL_FIRST)
			row.sender = record_u64(&reader, &field, UINT64_MAX);
		else if (field.tag == SMALL_SECOND)
			row.class = read_class(&reader, &field);
	}
	if (!reader.err)
		*d = row;
	return reader.err;
}

void count_encode(struct buf *b, struct text row_key, uint64_t count)
{
	number_encode(b, row_key, count);
}

enum err count_decode(struct text row_key, struct text value, uint64_t *count)
{
	return number_decode(row_key, value, count);
}

void file_encode(struct buf *b, struct text row_key, const struct file_row *f)
{
	record_begin(b, RECORD_FORMAT);
	record_add_text(b, SMALL_FIRST, id_key(&f->message_id));
	record_add_u64(b, SMALL_SECOND, f->file_bytes);
	record_seal(b, row_key);
}

enum err file_decode(struct text row_key, struct text value, struct file_row *f)
{
	struct record_reader reader;
	struct record_field field;
	struct file_row row = { 0 };
	bool named = false;
	enum err err = open_sealed(&reader, row_key, value);

	if (err)
		return err;
	while (record_next(&reader, &field)) {
		if (field.tag == SMALL_FIRST)
			named = id_read(field.value, &row.message_id);
		else if (field.tag == SMALL_SECOND)
			row.file_bytes = record_u64(&reader, &field, UINT64_MAX);
	}
	if (reader.err)
		return reader.err;
	if (!named)
		return ERR_DAMAGED;
	*f = row;
	return ERR_OK;
}

void aside_encode(struct buf *b, struct text row_key, const struct aside_row *a)
{
	record_begin(b, RECORD_FORMAT);
	record_add_u64(b, SMALL_FIRST, (uint64_t)MAX(a->time, 0));
	record_add_text(b, SMALL_SECOND, a->what);
	record_add_text(b, SMALL_THIRD, a->value);
	record_seal(b, row_key);
}

enum err aside_decode(struct text row_key, struct text value, struct aside_row *a)
{
	struct record_reader reader;
	struct record_field field;
	struct aside_row row = { .what = TEXT_EMPTY, .value = TEXT_EMPTY };
	enum err err = open_sealed(&reader, row_key, value);

	if (err)
		return err;
	while (record_next(&reader, &field)) {
		if (field.tag == SMALL_FIRST)
			row.time = (int64_t)record_u64(&reader, &field, INT64_MAX);
		else if (field.tag == SMALL_SECOND)
			row.what = field.value;
		else if (field.tag == SMALL_THIRD)
			row.value = field.value;
	}
	if (!reader.err)
		*a = row;
	return reader.err;
}

/* ---------------------------------------------------------------- meta */

enum { META_CLEAN = 1, META_RUN = 2, META_NEWEST = 3, META_UNCLEAN_FIRST = 4, META_UNCLEAN_LAST = 5 };

const struct text meta_key = LIT("queue");

void meta_encode(struct buf *b, const struct meta_row *m)
{
	record_begin(b, RECORD_FORMAT);
	record_add_u64(b, META_CLEAN, m->clean);
	record_add_u64(b, META_RUN, m->run);
	record_add_u64(b, META_NEWEST, (uint64_t)MAX(m->newest_time, 0));
	for (size_t i = 0; i < m->unclean_count; i++) {
		record_add_u64(b, META_UNCLEAN_FIRST, m->unclean[i].first);
		record_add_u64(b, META_UNCLEAN_LAST, m->unclean[i].last);
	}
	record_seal(b, meta_key);
}

enum err meta_decode(struct text value, struct meta_row *m)
{
	struct record_reader reader;
	struct record_field field;
	struct meta_row row = { 0 };
	uint64_t first = 0;
	enum err err = open_sealed(&reader, meta_key, value);

	if (err)
		return err;
	while (record_next(&reader, &field)) {
		if (field.tag == META_CLEAN) {
			row.clean = record_u64(&reader, &field, 1);
		} else if (field.tag == META_RUN) {
			row.run = record_u64(&reader, &field, UINT64_MAX);
		} else if (field.tag == META_NEWEST) {
			row.newest_time = (int64_t)record_u64(&reader, &field, INT64_MAX);
		} else if (field.tag == META_UNCLEAN_FIRST) {
			first = record_u64(&reader, &field, UINT64_MAX);
		} else if (field.tag == META_UNCLEAN_LAST) {
			uint64_t last = record_u64(&reader, &field, UINT64_MAX);

			if (row.unclean_count == META_RANGES_MAX)
				return ERR_DAMAGED;
			row.unclean[row.unclean_count++] = (struct run_range){ first, last };
		}
	}
	if (!reader.err)
		*m = row;
	return reader.err;
}

void meta_add_unclean(struct meta_row *m, uint64_t run)
{
	struct run_range *newest = m->unclean_count ? &m->unclean[m->unclean_count - 1] : NULL;

	if (newest && newest->last + 1 >= run) {
		newest->last = MAX(newest->last, run);
		return;
	}
	if (m->unclean_count == META_RANGES_MAX) {
		m->unclean[1].first = m->unclean[0].first;
		memmove(m->unclean, m->unclean + 1, sizeof(m->unclean[0]) * --m->unclean_count);
	}
	m->unclean[m->unclean_count++] = (struct run_range){ run, run };
}

bool meta_was_unclean(const struct meta_row *m, uint64_t run)
{
	for (size_t i = 0; i < m->unclean_count; i++) {
		if (run >= m->unclean[i].first && run <= m->unclean[i].last)
			return true;
	}
	return false;
}
