/* postrider/smtp/data.h - mail data on the wire: the dots, and the end (RFC 5321 section 4.5.2).
 *
 * Both ways work on spans that point into what they were given, so that nobody copies. They stop and go on at
 * any octet. The only line end is CR LF and the only end is CR LF "." CR LF; a bare CR or LF ends nothing on
 * the way in and never leaves on the way out. */
#ifndef POSTRIDER_SMTP_DATA_H
#define POSTRIDER_SMTP_DATA_H

#include <postrider/base/text.h>

#define DATA_LINE_MAX 998 /* octets of a text line without its end (RFC 5322 section 2.1.1) */

/* ---------------------------------------------------------------- in */

enum data_phase { DATA_LINE_START, DATA_INSIDE_LINE, DATA_AFTER_DOT, DATA_AFTER_DOT_CR, DATA_AT_END };

/* The counts are of the content as given out so far; what is refused for them is for the session to say. */
struct data_decoder {
	enum data_phase phase;
	bool after_cr;
	bool at_break;     /* the last octet was a CR or LF, or there was none yet */
	bool at_first_dot; /* it was a dot behind one */
	bool has_8bit;     /* an octet above 127 */
	uint64_t content_bytes;
	uint64_t bare_lf_count;
	uint64_t bare_cr_count;
	uint64_t nul_count;
	/* NULs at the start of a line or behind a dot there, whatever ended the line before. Whoever leaves out NULs sees what
	 * follows at the start of the line, and a dot there is not doubled. */
	uint64_t nul_first_count;
	uint64_t long_line_count; /* lines over DATA_LINE_MAX */
	uint64_t line_bytes;      /* of the line at hand so far, CR included */
};

enum data_event {
	DATA_SPAN, /* *span is the next content, not empty; it points into the input or at constant memory */
	DATA_MORE, /* the input is used up */
	DATA_END,  /* the end of data was taken; *input begins with what the client says next */
};

void data_decoder_init(struct data_decoder *d);
/* Takes octets from the front of *input. Call until it says DATA_MORE or DATA_END; not again after
 * DATA_END. */
enum data_event data_decode(struct data_decoder *d, struct text *input, struct text *span);

/* Content that comes in chunks (RFC 3030): all octets are what they are, and are counted the same. */
void data_decoder_count(struct data_decoder *d, struct text content);
/* The last chunk is over: a CR at its end has no LF. */
void data_decoder_count_end(struct data_decoder *d);

/* ---------------------------------------------------------------- repair
 *
 * For content of senders that end lines as their system does. A bare LF becomes CR LF, and so does a bare CR, but of a row of
 * CRs in front of a LF, which makes one line end. Behind a line end of that kind a dot is taken out, as the decoder does
 * behind CR LF: whoever thinks that it ended a line has doubled the dot too. What comes out has CR LF and no other. */

struct data_repairer {
	bool has_dots;     /* the content came behind DATA */
	bool at_repaired;  /* the last octets were a repaired line end */
	uint64_t held_crs; /* at the end of what was given so far */
	uint64_t repaired_count;
};

void data_repairer_init(struct data_repairer *r, bool has_dots);
/* Takes content from the front of *content and gives the next span (not empty), which points into it or at constant memory.
 * ERR_MORE: it is used up. */
MUST_USE enum err data_repair(struct data_repairer *r, struct text *content, struct text *span);
/* Call at the end until it says ERR_MORE. */
MUST_USE enum err data_repair_end(struct data_repairer *r, struct text *span);

/* ---------------------------------------------------------------- out */

struct data_encoder {
	bool inside_line;
	bool after_cr; /* a CR was taken and is held back until its LF comes */
	bool dot_sent; /* the dot that doubles the first of this line is out */
	bool failed;
};

void data_encoder_init(struct data_encoder *e);
/* Takes content from the front of *content and gives what to send next in *span (not empty). ERR_MORE: the
 * content is used up. ERR_SYNTAX: a bare CR or LF is next: nothing more is given, and the caller must cut the
 * connection (the end of data must not be sent). */
MUST_USE enum err data_encode(struct data_encoder *e, struct text *content, struct text *span);
/* What ends the data: CR LF first where the content did not end with it. ERR_SYNTAX: after a failure, or a
 * bare CR was last. */
MUST_USE enum err data_encode_end(struct data_encoder *e, struct text *span);

/* Whether content may leave as it is: no bare CR or LF. */
bool data_is_clean(struct text content);

/* The same for content that comes in pieces; zeroed to begin with. ERR_SYNTAX: it may not. At the end after_cr must be
 * false. */
struct data_checker {
	bool after_cr;
};
MUST_USE enum err data_check(struct data_checker *c, struct text piece);

#endif
