/* postrider/mail/header.h - the header section of a message (RFC 5322 section 2.2), read but never
 * changed. */
#ifndef POSTRIDER_MAIL_HEADER_H
#define POSTRIDER_MAIL_HEADER_H

#include <postrider/base/buf.h>

/* ---------------------------------------------------------------- a header section in memory */

struct header_field {
	struct text name;  /* "Subject"; white space before the colon (obsolete syntax) is cut */
	struct text value; /* behind the colon, still folded, without the last line end */
	struct text all;   /* the whole field with its line end */
};

/* Takes the next field from the front of *rest. False at the end of the header section: *rest then begins
 * with the blank line, with the first line that is no field, or is empty. */
bool header_next(struct text *rest, struct header_field *out);

/* The first field of that name, any case. */
bool header_find(struct text content, struct text name, struct header_field *out);

/* How many octets at the front of content are fields; the blank line is not among them. */
size_t header_section_bytes(struct text content);

/* The value on one line: line ends of the folding taken out, white space at both ends cut, control octets as
 * spaces. */
void header_unfold_add(struct buf *b, struct text value);

/* ---------------------------------------------------------------- fields that somebody asks for */

#define HEADER_PICK_VALUE_MAX 500 /* of a value; the rest is cut */
#define HEADER_PICK_MAX 4096      /* of all values; fields beyond it are as if they were not there */

/* Fields of some names, kept as lines: "X-Stream: bulk\n", unfolded and trimmed, one for each field; and "X-Stream\n" when there
 * is none, so that what was asked for can be told from what was not. */
struct header_pick {
	const struct text *names; /* borrowed */
	size_t count;
	struct buf lines;
	size_t value_at; /* of the value at hand; 0: none is */
	size_t values_bytes;
};

void header_pick_init(struct header_pick *p, const struct text *names, size_t count);
void header_pick_fini(struct header_pick *p); /* a zeroed one is fine */
/* From a header section in memory, which may be cut; then header_pick_finish. */
void header_pick_all(struct header_pick *p, struct text content);
/* Says what was not there. ERR_NOMEM. */
MUST_USE enum err header_pick_finish(struct header_pick *p);
/* Whether lines tell of a field, that it is there or that it is not. */
bool header_pick_knows(struct text lines, struct text name);
/* Takes the next field off the front: its name and value; false: no more. Names without a field are passed over. */
bool header_pick_next(struct text *lines, struct text *name, struct text *value);

/* ---------------------------------------------------------------- as it arrives */

enum header_end {
	HEADER_OPEN = 0,   /* not at its end yet */
	HEADER_BLANK_LINE, /* as it should be; or the message ended with its header section */
	HEADER_BROKEN,     /* a line that is no field came before a blank line */
	HEADER_TOO_BIG,    /* over HEADER_SCAN_MAX octets without an end: only those were looked at */
};

enum header_wanted {
	HEADER_FROM,
	HEADER_DATE,
	HEADER_MESSAGE_ID,
	HEADER_SUBJECT,
	HEADER_SENDER,
	HEADER_TO,
	HEADER_CC,
	HEADER_BCC,
	HEADER_RECEIVED,
	HEADER_RETURN_PATH,
	HEADER_AUTO_SUBMITTED,
	HEADER_TLS_REQUIRED,
	HEADER_WANTED_COUNT
};

#define HEADER_SCAN_MAX (1024 * 1024)
#define HEADER_VALUE_MAX 998 /* of a value that is kept; the rest is cut */

/* What a session wants to know of a message that it does not keep: hops, identity, missing fields. */
struct header_scan {
	enum header_end end;
	uint64_t bytes;                       /* of the header section so far */
	bool is_8bit;                         /* some value has octets above 127 */
	unsigned counts[HEADER_WANTED_COUNT]; /* how many fields of each name */
	/* Of the first of each; only From, Sender, Date, Message-ID, Subject and TLS-Required are kept. */
	struct buf values[HEADER_WANTED_COUNT];

	struct header_pick *pick; /* borrowed; may be NULL */

	/* of the line at hand */
	unsigned char phase;
	int wanted; /* -1: another field */
	bool keeping;
	size_t name_len;
	bool after_name_space;
	char name[78]; /* what does not fit is longer than a line may be */
};

void header_scan_init(struct header_scan *s);
void header_scan_fini(struct header_scan *s);
/* The next span of content, cut anywhere. Does nothing once the end is known, so it may be given the whole
 * content. ERR_NOMEM. */
MUST_USE enum err header_scan_feed(struct header_scan *s, struct text span);
/* The content is over. */
void header_scan_finish(struct header_scan *s);

/* On one line, without white space at both ends; empty: no such field, or an empty one. Lives until
 * header_scan_fini. */
struct text header_scan_value(const struct header_scan *s, enum header_wanted wanted);
/* "TLS-Required: No", once (RFC 8689 section 5): rather without TLS than not at all. */
bool header_scan_wants_no_tls(const struct header_scan *s);

#endif
