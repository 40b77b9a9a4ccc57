/* The content of a message, by DATA or by BDAT, and what the message comes to: refused, or taken at once, later, behind a
 * write, or without a word. */
#include "session.h"

#include <stdlib.h>

#include <postrider/smtp/parameter.h>

#include "fate.h"

#define HEADER_BYTES (64 * 1024) /* as much is looked at for the ledger's field */

static const struct reply too_big = { 552, "5.3.4", LIT("Message too big") };
static const struct reply no_memory = { 451, "4.3.0", LIT("Out of memory") };
static const struct reply not_written = { 452, "4.3.1", LIT("The message could not be written") };
static const struct reply no_recipients = { 503, "5.5.1", LIT("No valid recipients") };

/* ---------------------------------------------------------------- what the message comes to */

/* The session is done with the message and goes on. */
static void end_message(struct session *s)
{
	sink_transaction_reset(s);
	s->phase = PHASE_READY;
}

static void refuse_message(struct session *s, const struct reply *why)
{
	sink_transaction_refuse(s, why);
	end_message(s);
}

static void count_message(struct session *s)
{
	struct sink_counts *counts = &s->sink->counts;

	s->messages++;
	counts->messages++;
	counts->recipients += s->recipient_count;
	counts->content_bytes += s->data.content_bytes;
}

/* It is ours: says so, or does what the recipient's fate is. */
static void accept_message(struct session *s)
{
	const struct fate *fate = s->fate;

	if (sink_record_tell(s)) {
		refuse_message(s, &no_memory);
		return;
	}
	count_message(s);
	end_message(s);
	if (!fate) {
		SAY(s, 250, "2.0.0", "Ok, it ends here");
		return;
	}
	s->phase = PHASE_DEAF;
	if (fate->kind == FATE_DROPPED) {
		sink_session_flush(s);
		io_stream_close(s->stream);
	}
}

static void on_kept(void *owner, enum err err)
{
	struct session *s = owner;
	struct keeper_item *item = TAKE(s->item);

	s->content = item->content;
	item->content = BUF(0);
	if (err)
		refuse_message(s, &not_written);
	else
		accept_message(s);
	sink_session_go_on(s);
}

/* The keeper has the content until on_kept: it outlives a session that ends meanwhile. */
static void write_message(struct session *s)
{
	struct keeper_item *item = calloc(1, sizeof(*item));

	if (!item || sink_record_fill(s, item)) {
		keeper_item_free(&item);
		refuse_message(s, &no_memory);
		return;
	}
	item->content = s->content;
	s->content = BUF(0);
	item->on_kept = on_kept;
	item->owner = s;
	s->item = item;
	s->phase = PHASE_ANSWER;
	keeper_add(s->sink->keeper, item);
}

static void answer_message(struct session *s)
{
	if (s->sink->keeper)
		write_message(s);
	else
		accept_message(s);
}

static void on_slow(void *owner)
{
	struct session *s = owner;

	answer_message(s);
	if (!s->item)
		sink_session_go_on(s);
}

static void answer_later(struct session *s)
{
	struct io *io = s->sink->o.io;

	s->phase = PHASE_ANSWER;
	if (io_timer_start(io, &s->timer, io_now_at(io) + s->sink->o.slow_ms, on_slow, s))
		refuse_message(s, &no_memory);
}

/* NULL: nothing is against the message, which is all there. */
static const struct reply *why_not(const struct session *s)
{
	if (s->data.content_bytes > s->sink->o.max_bytes)
		return &too_big;
	if (buf_err(&s->content))
		return &no_memory;
	return s->fate && s->fate->kind == FATE_REFUSED_AT_DOT ? &s->fate->reply : NULL;
}

static void end_content(struct session *s)
{
	const struct reply *no = why_not(s);

	s->sink->counts.bare_line_ends += s->data.bare_lf_count + s->data.bare_cr_count;
	if (no)
		refuse_message(s, no);
	else if (s->sink->o.slow_ms > 0)
		answer_later(s);
	else
		answer_message(s);
}

/* ---------------------------------------------------------------- what is kept */

bool sink_content_is_wanted(const struct sink *s)
{
	return (s->o.want_content && s->o.on_message) || keeper_has_directory(s->keeper);
}

/* How much of the content has to be in memory. */
static size_t wanted_bytes(const struct sink *s)
{
	if (sink_content_is_wanted(s))
		return s->o.max_bytes;
	return keeper_has_ledger(s->keeper) && s->o.ledger_field.len > 0 ? HEADER_BYTES : 0;
}

static void begin_content(struct session *s)
{
	data_decoder_init(&s->data);
	s->content_wanted = wanted_bytes(s->sink);
	s->content = BUF(s->content_wanted);
}

static void keep(struct session *s, struct text span)
{
	size_t room = s->content_wanted - s->content.len;

	if (room > 0 && !buf_err(&s->content))
		buf_add(&s->content, text_head(span, room));
}

/* ---------------------------------------------------------------- DATA */

void sink_content_data(struct session *s)
{
	if (s->phase != PHASE_RCPT) {
		sink_session_say(s, no_recipients);
		return;
	}
	begin_content(s);
	s->phase = PHASE_DATA;
	SAY(s, 354, "", "Go ahead");
}

void sink_content_take(struct session *s, struct text *input)
{
	struct text span;

	for (;;) {
		switch (data_decode(&s->data, input, &span)) {
		case DATA_SPAN:
			keep(s, span);
			break;
		case DATA_MORE:
			return;
		case DATA_END:
			end_content(s);
			return;
		}
	}
}

/* ---------------------------------------------------------------- BDAT (RFC 3030) */

static void end_chunk(struct session *s)
{
	if (s->is_chunk_lost) {
		sink_session_say(s, no_recipients);
		s->phase = s->recipient_count ? PHASE_RCPT : PHASE_READY;
	} else if (s->is_last_chunk) {
		end_content(s);
	} else {
		SAY(s, 250, "2.0.0", "Go on");
		s->phase = PHASE_CHUNKS;
	}
}

void sink_content_bdat(struct session *s, struct text args)
{
	struct smtp_chunk chunk;

	if (!(sink_offered(s) & EHLO_CHUNKING) || smtp_chunk_parse(args, &chunk) ||
	    chunk.bytes == UINT64_MAX) {
		/* nobody knows what comes: it must not be read as commands */
		SAY(s, 501, "5.5.4", "BDAT is not understood here");
		sink_session_close(s);
		return;
	}
	s->is_chunk_lost = s->phase != PHASE_RCPT && s->phase != PHASE_CHUNKS;
	if (s->phase == PHASE_RCPT)
		begin_content(s);
	s->chunk_left = chunk.bytes;
	s->is_last_chunk = chunk.last;
	s->phase = PHASE_CHUNK;
	if (s->chunk_left == 0)
		end_chunk(s);
}

void sink_content_take_chunk(struct session *s, struct text *input)
{
	struct text span = text_head(*input, (size_t)MIN(s->chunk_left, (uint64_t)input->len));

	*input = text_skip(*input, span.len);
	s->chunk_left -= span.len;
	if (!s->is_chunk_lost) {
		keep(s, span);
		s->data.content_bytes += span.len;
	}
	if (s->chunk_left == 0)
		end_chunk(s);
}
