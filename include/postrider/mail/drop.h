/* postrider/mail/drop.h - a file of the drop directory: lines for the envelope, a blank line, the message with CR LF.
 *
 *   postrider-drop 1            the format
 *   from ann@example.com        nothing behind the word: the null reverse-path
 *   to bob@example.net          one or more
 *   notify success,failure      with never and delay: RFC 3461; may be missing, as the next two
 *   ret full                    or hdrs
 *   envid XTEXT
 *
 * Whoever may write into the directory may write anything into a file: what is read here is a stranger's. */
#ifndef POSTRIDER_MAIL_DROP_H
#define POSTRIDER_MAIL_DROP_H

#include <postrider/mail/envelope.h>

#define DROP_RECIPIENTS_MAX 10000
#define DROP_HEAD_MAX (3u << 20) /* all lines and the blank one */

struct drop {
	struct text from;
	struct text *to;
	size_t to_count;
	unsigned notify; /* of enum envelope_notify, for all recipients */
	enum envelope_ret ret;
	struct text envid; /* xtext */
};

/* The lines and the blank one. */
void drop_add(struct buf *b, const struct drop *d);

/* Takes the lines and the blank one from the front of *rest; texts point into it, drop_fini frees the list. ERR_MORE: it
 * ends before the blank line does (over DROP_HEAD_MAX that is ERR_TOO_BIG). ERR_SYNTAX, ERR_UNSUPPORTED (written by a
 * later version): problem is a phrase. *rest is as it was then. */
MUST_USE enum err drop_parse(struct text *rest, struct drop *out, struct buf *problem);
void drop_fini(struct drop *d);

/* "success,failure,delay" or "never", any case (RFC 3461 section 4.1). */
MUST_USE enum err drop_notify_parse(struct text t, unsigned *out);
/* xtext (RFC 3461 section 4): printable without "+" and "=", those and all others as +HH. */
void drop_add_xtext(struct buf *b, struct text t);

#endif
