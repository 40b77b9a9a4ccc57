/* postrider/mail/local_text.h - a message as local programs write it, made into one as SMTP carries it: LF alone ends a
 * line as CR LF does, the last line gets its end, and a line that holds a dot alone may end it. */
#ifndef POSTRIDER_MAIL_LOCAL_TEXT_H
#define POSTRIDER_MAIL_LOCAL_TEXT_H

#include <postrider/base/buf.h>

/* Zeroed but for dot_ends: at the start. */
struct local_text {
	bool dot_ends; /* a line "." is the end: what follows is not looked at */

	bool ended;       /* that line has come */
	bool has_nul;     /* such content cannot be sent; the octets are left as they are */
	bool has_bare_cr; /* a CR that stood alone: became a line end, as it is one for some reader on the way */
	bool has_8bit;
	size_t bare_cr_at; /* out->len where the first such line end begins */

	unsigned char phase;
};

/* Adds what the next octets, cut anywhere, come to: at most twice as many and four. */
void local_text_add(struct local_text *l, struct text octets, struct buf *out);
/* The input is over. */
void local_text_finish(struct local_text *l, struct buf *out);

#endif
