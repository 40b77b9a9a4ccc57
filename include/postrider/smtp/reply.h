/* postrider/smtp/reply.h - what an SMTP server says: ours to clients, and peers' to us.
 * RFC 5321 section 4.2, RFC 2034, RFC 3463. */
#ifndef POSTRIDER_SMTP_REPLY_H
#define POSTRIDER_SMTP_REPLY_H

#include <postrider/base/buf.h>
#include <postrider/smtp/line.h>

/* A reply counts by its first digit, also when the code is not known. */
enum reply_class {
	REPLY_POSITIVE = 2,
	REPLY_INTERMEDIATE = 3,
	REPLY_TRANSIENT = 4,
	REPLY_PERMANENT = 5,
};

#define REPLY_ENHANCED_MAX 12

/* (struct reply){ 503, "5.5.1", TEXT("Bad sequence of commands") } */
struct reply {
	int code;                          /* 200 to 599 */
	char enhanced[REPLY_ENHANCED_MAX]; /* "5.7.1" with a final NUL; "": none (greeting, EHLO, 3xx) */
	/* Without code and enhanced code: lines with LF between them and none at the end. No other control
	 * octet in one that was read. */
	struct text text;
	bool utf8; /* ours: what is well-formed UTF-8 in text leaves as it is (RFC 6531 section 3.7.4) */
};

static inline enum reply_class reply_class(const struct reply *r)
{
	return (enum reply_class)(r->code / 100);
}

static inline bool reply_is_positive(const struct reply *r)
{
	return r->code / 100 == REPLY_POSITIVE;
}

static inline bool reply_is_intermediate(const struct reply *r)
{
	return r->code / 100 == REPLY_INTERMEDIATE;
}

static inline bool reply_is_transient(const struct reply *r)
{
	return r->code / 100 == REPLY_TRANSIENT;
}

static inline bool reply_is_permanent(const struct reply *r)
{
	return r->code / 100 == REPLY_PERMANENT;
}

/* The enhanced code, or that of the class alone when there is none: "5.0.0". Lives as long as *r. */
struct text reply_status(const struct reply *r);

/* Whether t is an enhanced status code: 2, 4 or 5, then two details of 1 to 3 digits. */
bool reply_is_enhanced(struct text t);

/* ---------------------------------------------------------------- ours */

/* As it goes out: all lines with their ends, the enhanced code on each. Lines longer than 512 octets go on in
 * the next. CR, NUL and other controls and octets above 126 (but with utf8) leave as "?": text of peers and addresses
 * may stand in a reply. */
void reply_add(struct buf *b, const struct reply *r);

/* For people and logs: one line without an end, "550 5.1.1 no such user", the lines of the text with a space
 * between. Octets above 127 stay. */
void reply_add_line(struct buf *b, const struct reply *r);

/* ---------------------------------------------------------------- peers' */

#define REPLY_LINE_MAX 4096 /* RFC 5321 asks for 512 with its end; some servers pass it far */
#define REPLY_LINES_MAX 256
#define REPLY_TEXT_MAX 16384 /* more than that is read and forgotten */

struct reply_reader {
	struct line_reader lines;
	struct reply reply; /* being read */
	unsigned line_count;
	struct buf text;
};

void reply_reader_init(struct reply_reader *r);
void reply_reader_fini(struct reply_reader *r);
/* Forgets a half-read reply, as is needed at STARTTLS. */
void reply_reader_reset(struct reply_reader *r);

/* Takes lines from the front of *input until a reply is whole; its text lives until the next call. ERR_MORE:
 * not whole; what is left in *input must come again with more behind it. An unfinished reply is known by
 * reply_reader_is_inside. ERR_SYNTAX: no reply (a code outside 200 to 599, codes that differ between lines, a
 * bare LF): the connection is of no more use. ERR_TOO_BIG: too many lines, or one too long. ERR_NOMEM. */
MUST_USE enum err reply_read(struct reply_reader *r, struct text *input, struct reply *out);

static inline bool reply_reader_is_inside(const struct reply_reader *r)
{
	return r->line_count > 0;
}

#endif
