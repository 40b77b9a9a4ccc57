/* admin/line_ends.h - a message as files and programs have it, with the line ends that mail has: every LF alone and every
 * CR alone becomes CR LF, and the last line gets its end. */
#ifndef ADMIN_LINE_ENDS_H
#define ADMIN_LINE_ENDS_H

#include <postrider/base/buf.h>

/* Zeroed: at the start. */
struct line_ends {
	bool after_cr; /* the last octet was a CR, for which CR LF was given already */
	bool in_line;  /* the last line has no end yet */
	bool has_8bit;
};

/* Adds what the next octets, cut anywhere, come to: twice as many at the most. */
void line_ends_add(struct line_ends *l, struct text octets, struct buf *out);
void line_ends_finish(struct line_ends *l, struct buf *out);

#endif
