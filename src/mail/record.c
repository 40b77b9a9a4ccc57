#include <postrider/mail/record.h>

#define VARINT_MAX 10 /* octets of a 64-bit number */

static size_t encode_number(unsigned char octets[VARINT_MAX], uint64_t value)
{
	size_t len = 0;

	for (; value >= 0x80; value >>= 7)
		octets[len++] = (unsigned char)(value | 0x80);
	octets[len++] = (unsigned char)value;
	return len;
}

static void add_number(struct buf *b, uint64_t value)
{
	unsigned char octets[VARINT_MAX];

	buf_add_bytes(b, octets, encode_number(octets, value));
}

void record_begin(struct buf *b, unsigned format)
{
	add_number(b, format);
}

void record_add_text(struct buf *b, unsigned tag, struct text value)
{
	add_number(b, tag);
	add_number(b, value.len);
	buf_add(b, value);
}

void record_add_u64(struct buf *b, unsigned tag, uint64_t value)
{
	unsigned char octets[VARINT_MAX];
	size_t len = encode_number(octets, value);

	add_number(b, tag);
	add_number(b, len);
	buf_add_bytes(b, octets, len);
}

/* 0, -1, 1, -2, ... as 0, 1, 2, 3, ... */
void record_add_i64(struct buf *b, unsigned tag, int64_t value)
{
	record_add_u64(b, tag, (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0));
}

size_t record_open_field(struct buf *b, unsigned tag)
{
	add_number(b, tag);
	return b->len;
}

/* The length is known only now: the inner fields are moved behind it. */
void record_close_field(struct buf *b, size_t mark)
{
	unsigned char octets[VARINT_MAX];
	size_t inner = b->len - mark, len = encode_number(octets, inner);

	if (!buf_reserve(b, len))
		return;
	memmove(b->at + mark + len, b->at + mark, inner);
	memcpy(b->at + mark, octets, len);
	buf_grew(b, len);
}

static void fail(struct record_reader *r, enum err err)
{
	if (!r->err)
		r->err = err;
	r->rest = text_skip(r->rest, r->rest.len);
}

/* Takes a number from the front of *rest. Numbers over 64 bits are refused. */
static bool take_number(struct text *rest, uint64_t *out)
{
	uint64_t value = 0;

	for (size_t i = 0; i < rest->len && i < VARINT_MAX; i++) {
		unsigned char octet = (unsigned char)rest->at[i];

		if (i == VARINT_MAX - 1 && octet > 1)
			return false;
		value |= (uint64_t)(octet & 0x7f) << (7 * i);
		if (octet < 0x80) {
			*rest = text_skip(*rest, i + 1);
			*out = value;
			return true;
		}
	}
	return false;
}

void record_open_inner(struct record_reader *r, struct text fields)
{
	*r = (struct record_reader){ .rest = fields };
}

void record_open(struct record_reader *r, struct text record, unsigned newest_format)
{
	uint64_t format;

	record_open_inner(r, record);
	if (!take_number(&r->rest, &format) || format == 0)
		fail(r, ERR_DAMAGED);
	else if (format > newest_format)
		fail(r, ERR_UNSUPPORTED);
	else
		r->format = (unsigned)format;
}

bool record_next(struct record_reader *r, struct record_field *out)
{
	uint64_t tag, len;

	if (r->rest.len == 0)
		return false;
	if (!take_number(&r->rest, &tag) || !take_number(&r->rest, &len) || tag > UINT32_MAX ||
	    len > r->rest.len) {
		fail(r, ERR_DAMAGED);
		return false;
	}
	out->tag = (unsigned)tag;
	out->value = text_head(r->rest, (size_t)len);
	r->rest = text_skip(r->rest, (size_t)len);
	return true;
}

uint64_t record_u64(struct record_reader *r, const struct record_field *f, uint64_t max)
{
	struct text rest = f->value;
	uint64_t value;

	if (!take_number(&rest, &value) || rest.len || value > max) {
		fail(r, ERR_DAMAGED);
		return 0;
	}
	return value;
}

int64_t record_i64(struct record_reader *r, const struct record_field *f)
{
	uint64_t value = record_u64(r, f, UINT64_MAX);

	return (int64_t)(value >> 1 ^ (value & 1 ? UINT64_MAX : 0));
}
