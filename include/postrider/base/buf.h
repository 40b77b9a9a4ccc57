/* postrider/base/buf.h - octets being built; grows up to the maximum it was made with. The first failure
 * (ERR_TOO_BIG, ERR_NOMEM) is kept and later calls do nothing: check buf_err once, at the end. */
#ifndef POSTRIDER_BASE_BUF_H
#define POSTRIDER_BASE_BUF_H

#include <stdarg.h>

#include <postrider/base/text.h>

struct buf {
	char *at;
	size_t len;
	size_t room;  /* allocated */
	size_t max;   /* len never passes it */
	enum err err; /* the first failure */
};

/* A zeroed buf has max 0 and takes nothing: make it with BUF(max) or buf_init. Nothing is allocated yet. */
#define BUF(max_bytes) ((struct buf){ .max = (max_bytes) })
void buf_init(struct buf *b, size_t max_bytes);
void buf_fini(struct buf *b);  /* frees; a zeroed buf is fine; max stays, so that it can be used again */
void buf_wipe(struct buf *b);  /* the same, and clears the memory: it held a secret. Where it grew before, a copy may lie */
void buf_reset(struct buf *b); /* empty again, memory and maximum kept, failure forgotten */

void buf_add(struct buf *b, struct text t);
void buf_add_bytes(struct buf *b, const void *bytes, size_t len);
void buf_add_octet(struct buf *b, char octet);
void buf_add_string(struct buf *b, const char *string);
void buf_add_format(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_add_format_v(struct buf *b, const char *format, va_list args) PRINTF_LIKE(2, 0);
void buf_add_u64(struct buf *b, uint64_t value); /* decimal */

/* Room for `len` more octets, to be filled by the caller and counted by buf_grew. NULL after a failure. */
char *buf_reserve(struct buf *b, size_t len);
void buf_grew(struct buf *b, size_t len);
void buf_drop_head(struct buf *b, size_t len); /* forgets the first octets, moves the rest */
void buf_cut(struct buf *b, size_t len);       /* shortens to len */

static inline struct text buf_text(const struct buf *b)
{
	return (struct text){ b->at ? b->at : "", b->len };
}

static inline enum err buf_err(const struct buf *b)
{
	return b->err;
}

/* Hands the octets over to the caller (free), with a final NUL behind them; the buf is empty afterwards.
 * NULL after a failure; what was built is freed then. */
char *buf_take(struct buf *b, size_t *len);

#endif
