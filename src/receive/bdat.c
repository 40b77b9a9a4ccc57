/* BDAT: content in chunks (RFC 3030). Whatever is wrong, the octets that a chunk announces are read, so that none of them is
 * ever taken for a command; the answer follows them. */
#include "session.h"

/* A chunk that cannot be taken and is larger than this is not waited for: the session ends. */
#define DISCARD_MAX_BYTES (UINT64_C(1) << 30)

static const struct reply not_here = { 502, "5.5.1", LIT("BDAT is not to be had here") };
static const struct reply tls_first = { 530, "5.7.0", LIT("STARTTLS first") };
static const struct reply mail_first = { 503, "5.5.1", LIT("MAIL and RCPT first") };
static const struct reply no_recipients = { 554, "5.5.1", LIT("No valid recipients") };
static const struct reply after_failure = { 503, "5.5.1",
	                                    LIT("A chunk before this one failed: RSET, or MAIL") };

/* Why the chunk is not content; NULL: it is. */
static const struct reply *why_not(const struct receive_session *s)
{
	if (receive_extensions_hidden(s) & EHLO_CHUNKING)
		return &not_here;
	switch (s->phase) {
	case PHASE_RCPT:
	case PHASE_CHUNKS:
		return NULL;
	case PHASE_MAIL:
		return &no_recipients;
	default:
		if (s->listener->tls == CONFIG_TLS_REQUIRE && !s->tls_running)
			return &tls_first;
		return s->chunk.failed ? &after_failure : &mail_first;
	}
}

static bool has_failed(const struct receive_session *s)
{
	return s->chunk.why || s->transaction->over_limit || s->transaction->err;
}

static void refuse(struct receive_session *s)
{
	const struct reply *why = s->chunk.why;

	if (why) {
		receive_session_reply_format(s, why->code, why->enhanced, "%.*s", TEXT_ARGS(why->text));
		/* the chunks that a client sent behind the one that failed, without waiting */
		if (why == &after_failure)
			receive_session_count_junk(s);
		else
			receive_session_count_error(s);
	} else {
		receive_content_refuse(s);
		s->chunk.failed = true;
	}
}

static void end_of_chunk(struct receive_session *s)
{
	uint64_t bytes = s->chunk.bytes;

	s->chunk.reading = false;
	if (has_failed(s)) {
		refuse(s);
	} else if (s->chunk.last) {
		receive_content_end(s);
	} else {
		receive_session_reply_format(s, 250, "2.0.0", "%llu octets taken", (unsigned long long)bytes);
		if (bytes == 0)
			receive_session_count_junk(s); /* allowed, and leads nowhere */
	}
}

/* With too much to come that nobody wants it is better to part. */
static bool give_up_if_endless(struct receive_session *s)
{
	if (s->chunk.left <= DISCARD_MAX_BYTES || !has_failed(s))
		return false;
	s->chunk.reading = false;
	refuse(s);
	receive_session_close(s);
	return true;
}

static void begin_content(struct receive_session *s)
{
	struct transaction *t = s->transaction;

	if (s->phase == PHASE_RCPT) {
		receive_session_enter(s, PHASE_CHUNKS);
		receive_content_open(s);
	}
	if (!t->err && t->limit_bytes &&
	    s->chunk.bytes > t->limit_bytes - MIN(t->content_bytes, t->limit_bytes))
		receive_content_too_large(s);
}

void receive_bdat_command(struct receive_session *s, struct text args)
{
	struct smtp_chunk chunk;

	if (smtp_chunk_parse(args, &chunk)) {
		/* Nobody knows where the next command begins. */
		receive_session_reply(s, 501, "5.5.4", "Syntax: BDAT octets [LAST]; closing");
		receive_session_close(s);
		return;
	}
	s->chunk.reading = true;
	s->chunk.left = s->chunk.bytes = chunk.bytes;
	s->chunk.last = chunk.last;
	s->chunk.why = why_not(s);
	if (!s->chunk.why)
		begin_content(s);
	if (!give_up_if_endless(s) && s->chunk.left == 0)
		end_of_chunk(s);
}

void receive_bdat_take(struct receive_session *s, struct text *bytes)
{
	struct text content = text_head(*bytes, (size_t)MIN(s->chunk.left, bytes->len));

	*bytes = text_skip(*bytes, content.len);
	s->chunk.left -= content.len;
	if (!s->chunk.why) {
		data_decoder_count(&s->transaction->decoder, content);
		receive_content_take(s, content);
	}
	if (!give_up_if_endless(s) && s->chunk.left == 0)
		end_of_chunk(s);
}
