#include <postrider/base/buf.h>

#include <stdio.h>
#include <stdlib.h>

#include <postrider/base/auto.h>

#define FIRST_ROOM 64

void buf_init(struct buf *b, size_t max_bytes)
{
	*b = BUF(max_bytes);
}

void buf_fini(struct buf *b)
{
	free(b->at);
	*b = BUF(b->max);
}

void buf_wipe(struct buf *b)
{
	if (b->at)
		explicit_bzero(b->at, b->room);
	buf_fini(b);
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->err = ERR_OK;
}

static void fail(struct buf *b, enum err err)
{
	if (!b->err)
		b->err = err;
}

/* Makes room for exactly `room` octets or more; room is not over max. */
static bool grow(struct buf *b, size_t room)
{
	size_t doubled = b->room > b->max / 2 ? b->max : b->room * 2;
	size_t wanted = MIN(MAX(MAX(room, doubled), FIRST_ROOM), b->max);
	char *moved = realloc(b->at, MAX(wanted, 1));

	if (!moved) {
		fail(b, ERR_NOMEM);
		return false;
	}
	b->at = moved;
	b->room = wanted;
	return true;
}

/* A message costs hundreds of additions, and nearly all of them find room. There is none without memory. */
static inline bool has_room(const struct buf *b, size_t len)
{
	return !b->err && len <= b->room - b->len;
}

char *buf_reserve(struct buf *b, size_t len)
{
	if (b->err)
		return NULL;
	if (len > b->max - b->len) {
		fail(b, ERR_TOO_BIG);
		return NULL;
	}
	/* Asking for nothing of a buf without memory must not look like a failure. */
	if ((!has_room(b, len) || !b->at) && !grow(b, b->len + len))
		return NULL;
	return b->at + b->len;
}

void buf_grew(struct buf *b, size_t len)
{
	if (b->err)
		return;
	b->len += len;
}

void buf_add_bytes(struct buf *b, const void *bytes, size_t len)
{
	if (len == 0 || (!has_room(b, len) && !buf_reserve(b, len)))
		return;
	memcpy(b->at + b->len, bytes, len);
	b->len += len;
}

void buf_add(struct buf *b, struct text t)
{
	buf_add_bytes(b, t.at, t.len);
}

void buf_add_octet(struct buf *b, char octet)
{
	if (!has_room(b, 1) && !buf_reserve(b, 1))
		return;
	b->at[b->len++] = octet;
}

void buf_add_string(struct buf *b, const char *string)
{
	buf_add(b, text_from(string));
}

void buf_add_format(struct buf *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	buf_add_format_v(b, format, args);
	va_end(args);
}

void buf_add_format_v(struct buf *b, const char *format, va_list args)
{
	char small[256];
	va_list again;

	if (b->err)
		return;
	va_copy(again, args);
	int len = vsnprintf(small, sizeof(small), format, args);

	if (len < 0) {
		fail(b, ERR_SYNTAX);
	} else if ((size_t)len < sizeof(small)) {
		buf_add_bytes(b, small, (size_t)len);
	} else {
		/* vsnprintf writes a final NUL, for which the buf may have no room: format aside. */
		AUTO(free_memory) char *large = malloc((size_t)len + 1);

		if (!large) {
			fail(b, ERR_NOMEM);
		} else {
			vsnprintf(large, (size_t)len + 1, format, again);
			buf_add_bytes(b, large, (size_t)len);
		}
	}
	va_end(again);
}

void buf_add_u64(struct buf *b, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	buf_add_bytes(b, digits + at, sizeof(digits) - at);
}

void buf_drop_head(struct buf *b, size_t len)
{
	len = MIN(len, b->len);
	if (len == 0)
		return;
	b->len -= len;
	memmove(b->at, b->at + len, b->len);
}

void buf_cut(struct buf *b, size_t len)
{
	b->len = MIN(len, b->len);
}

char *buf_take(struct buf *b, size_t *len)
{
	/* The final NUL is not content, so it may stand past the maximum. */
	char *taken = b->err ? NULL : realloc(b->at, b->len + 1);

	if (!taken) {
		fail(b, ERR_NOMEM);
		enum err err = b->err;

		buf_fini(b);
		b->err = err;
		return NULL;
	}
	taken[b->len] = '\0';
	*len = b->len;
	*b = BUF(b->max);
	return taken;
}
