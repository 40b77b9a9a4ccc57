/* admin/line_ends.h - a message as files and programs have it, with the line ends that mail has: every LF alone and every
 * CR alone becomes CR LF, and the last line gets its end. */
#ifndef ADMIN_LINE_ENDS_H
#define ADMIN_LINE_ENDS_H

#include <postrider/base/text.h>

/* Zeroed: at the start. */
struct line_ends {
	bool after_cr;           /* the last octet was a CR, for which CR LF was given already */
	bool in_line;            /* the last line has no end yet */
	bool has_8bit;
};

typedef enum err line_ends_fn(void *owner, struct text span);

/* Hands the spans of the next octets, cut anywhere, to fn; ends with its first failure. */
MUST_USE enum err line_ends_feed(struct line_ends *l, struct text octets, line_ends_fn *fn, void *owner);
MUST_USE enum err line_ends_finish(struct line_ends *l, line_ends_fn *fn, void *owner);

#endif
