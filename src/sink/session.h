/* sink/session.h - one inbound session of the sink, as the files of this room share it.
 *
 *   HELLO -> READY -> MAIL -> RCPT -> DATA -> READY;  RSET, HELO, EHLO: back to READY
 *   BDAT: RCPT -> CHUNK -> CHUNKS -> CHUNK -> ... -> READY;  STARTTLS: READY -> HANDSHAKE -> HELLO
 *   an answer that takes time, as it is slow or behind a write: DATA or CHUNK -> ANSWER -> READY
 *   any -> DEAF: says nothing more, whatever comes
 *
 * Replies gather in sink->out and leave in one write at the end of each call from io; what answers at another time (a timer,
 * the keeper) ends with sink_session_go_on. While an answer is owed nothing more is read. */
#ifndef POSTRIDER_SRC_SINK_SESSION_H
#define POSTRIDER_SRC_SINK_SESSION_H

#include <postrider/smtp/data.h>
#include <postrider/smtp/line.h>
#include <postrider/smtp/reply.h>

#include "inside.h"

#define SESSION_PATHS_BYTES (1024 * 1024) /* of one transaction, with their parameters */

enum phase {
	PHASE_HELLO,
	PHASE_READY,
	PHASE_MAIL,
	PHASE_RCPT,
	PHASE_DATA,
	PHASE_CHUNK,  /* octets of a chunk are to come */
	PHASE_CHUNKS, /* between chunks */
	PHASE_ANSWER,
	PHASE_HANDSHAKE,
	PHASE_DEAF
};

struct session {
	struct list link;         /* of sink->sessions */
	struct sink *sink;        /* NULL: abandoned, waits for on_closed */
	struct io_stream *stream; /* its on_closed frees the session */
	uint64_t number, messages;
	enum phase phase;
	bool is_tls, is_blocked; /* blocked: the peer does not take its replies */
	struct line_reader lines;
	struct buf helo;

	/* a transaction */
	struct buf
		paths; /* reverse-path HTAB parameters LF forward-path HTAB parameters LF ..., those accepted */
	size_t recipient_count;
	const struct fate *fate; /* of the first recipient that has one; static */
	struct data_decoder data;
	struct buf content;    /* what is kept of it; the keeper's while item is set */
	size_t content_wanted; /* as much is kept */
	uint64_t chunk_left;
	bool is_last_chunk, is_chunk_lost; /* lost: it is read and forgotten */
	struct io_timer timer;             /* slow */
	struct keeper_item *item;          /* being written: the keeper owns it */
};

/* ---------------------------------------------------------------- session.c */

/* Adds a reply to sink->out. */
void sink_session_say(struct session *s, struct reply reply);
#define SAY(s, code, enhanced, text) sink_session_say(s, (struct reply){ code, enhanced, TEXT(text) })

/* Writes what gathered. The stream may be closing afterwards; the session is there until on_closed. */
void sink_session_flush(struct session *s);
/* The same behind an answer that was owed: and reads on. */
void sink_session_go_on(struct session *s);
/* The last reply is in sink->out: it leaves, and the session is DEAF. */
void sink_session_close(struct session *s);

/* ---------------------------------------------------------------- commands.c */

/* Takes the next line and answers it. False: no whole line is there. */
bool sink_command_take(struct session *s, struct text *input);
/* What may be used here and now: bits of enum ehlo_keyword. */
unsigned sink_offered(const struct session *s);

/* ---------------------------------------------------------------- transaction.c: MAIL and RCPT */

void sink_transaction_reset(struct session *s);
void sink_transaction_mail(struct session *s, struct text args);
void sink_transaction_rcpt(struct session *s, struct text args);
/* Counts and says why somebody, or a whole message, is not taken. */
void sink_transaction_refuse(struct session *s, const struct reply *why);

/* ---------------------------------------------------------------- content.c: DATA, BDAT, and what the message comes to */

void sink_content_data(struct session *s); /* the command */
void sink_content_bdat(struct session *s, struct text args);
void sink_content_take(struct session *s, struct text *input);       /* in DATA */
void sink_content_take_chunk(struct session *s, struct text *input); /* in CHUNK */
/* Whether somebody wants to see the content, so that all of it is in memory. */
bool sink_content_is_wanted(const struct sink *s);

/* ---------------------------------------------------------------- record.c: what is told and written of a message */

/* Tells on_message, if it is set. ERR_NOMEM: it was not told. */
MUST_USE enum err sink_record_tell(const struct session *s);
/* Fills a zeroed item, but for its content. After an error it is to be freed all the same. */
MUST_USE enum err sink_record_fill(const struct session *s, struct keeper_item *item);

#endif
