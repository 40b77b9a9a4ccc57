/* postrider/mail/body_source.h - where the octets of a message come from: memory, or a file read elsewhere.
 * Whoever delivers a message reads this and knows no queue.
 *
 * One reader. It takes span after span, as fast as it can use them:
 *
 *	while (!(err = body_source_next(s, &span)) && span.len > 0)
 *		use(span);                 ends with ERR_OK and an empty span: that was all
 *	if (err == ERR_MORE)               on_ready will run: come again then
 */
#ifndef POSTRIDER_MAIL_BODY_SOURCE_H
#define POSTRIDER_MAIL_BODY_SOURCE_H

#include <postrider/base/text.h>

struct body_source;

/* For whoever makes a source; others use the functions below. */
struct body_source_ops {
	enum err (*next)(struct body_source *s, struct text *span);
	void (*rewind)(struct body_source *s);
	void (*release)(struct body_source *s); /* frees; work under way is cancelled or ends unheard */
};

struct body_source {
	const struct body_source_ops *ops;
	uint64_t bytes;                /* all that it gives from the start to the end */
	void (*on_ready)(void *owner); /* set by body_source_listen; may be NULL */
	void *owner;
};

/* on_ready runs once for each ERR_MORE, in a later turn of the loop, never from inside a call of ours and not
 * after body_source_release. */
void body_source_listen(struct body_source *s, void (*on_ready)(void *owner), void *owner);

/* The next octets; the span lives until the next call on the source. ERR_OK with an empty span: the end.
 * ERR_MORE: on_ready will run. ERR_IO, ERR_DAMAGED, ERR_NOMEM: there will be no more, and what was given must
 * not be taken for a message. */
MUST_USE enum err body_source_next(struct body_source *s, struct text *span);

/* From the start again, at any time (also while on_ready is awaited: it will not run for that any more). */
void body_source_rewind(struct body_source *s);

/* At any time; sets *s to NULL. NULL is fine. */
void body_source_release(struct body_source **s);

static inline uint64_t body_source_bytes(const struct body_source *s)
{
	return s->bytes;
}

/* ---------------------------------------------------------------- in memory */

/* Gives prepended, then content, each as one span and never ERR_MORE. Both are borrowed: on_release (may be
 * NULL) runs when they are no longer needed. ERR_NOMEM: on_release does not run. */
MUST_USE enum err body_source_memory(struct text prepended, struct text content,
                                     void (*on_release)(void *owner), void *owner, struct body_source **out);

/* Gives prepended (copied), then what *content gives. Takes *content over (NULL afterwards), also when it
 * fails. */
MUST_USE enum err body_source_prepend(struct text prepended, struct body_source **content,
                                      struct body_source **out);

#endif
