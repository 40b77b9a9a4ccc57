/* postrider/smtp/line.h - lines from a stream of octets that may be cut anywhere. The only line end is CR LF
 * (RFC 5321 section 2.3.8). A line with a fault is taken out of the stream like any other, so that both sides
 * stay in step, and is never acted on. */
#ifndef POSTRIDER_SMTP_LINE_H
#define POSTRIDER_SMTP_LINE_H

#include <postrider/base/text.h>

/* Without CR LF. RFC 5321 asks for 510 at least; the extensions add to MAIL: SIZE 26, BODY 16, SMTPUTF8 10, RET and ENVID 115, AUTH
 * 500, BY 17, MT-PRIORITY 15, HOLDUNTIL 34, REQUIRETLS 11; to RCPT: NOTIFY 28, ORCPT 500. */
#define SMTP_COMMAND_LINE_MAX 2048
#define SMTP_AUTH_LINE_MAX 12288 /* RFC 4954 section 4 */

enum line_fault {
	LINE_FINE = 0,
	LINE_TOO_LONG, /* its octets were dropped as they came */
	/* LF without CR before it, also behind too many octets: ended here, so that nobody waits for a CR LF in vain. What
	 * stands behind it was perhaps not meant as a line: better to end the dialogue. */
	LINE_BARE_LF,
	LINE_BARE_CR, /* CR without LF behind it */
	LINE_NUL,
};

struct line_reader {
	size_t max_bytes; /* may be changed between lines */
	bool dropping;    /* inside a line that is too long */
	bool after_cr;    /* ... whose last octet so far was CR */
};

struct line {
	enum line_fault fault;
	struct text text; /* without its end, points into the input; empty when too long */
};

static inline struct line_reader line_reader(size_t max_bytes)
{
	return (struct line_reader){ .max_bytes = max_bytes };
}

/* Takes one line from the front of *input. ERR_MORE: there is no whole line. What is left in *input then
 * (max_bytes + 1 octets at most) must come again with more behind it. */
MUST_USE enum err line_read(struct line_reader *r, struct text *input, struct line *out);

#endif
