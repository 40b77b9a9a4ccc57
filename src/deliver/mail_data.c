#include "mail_data.h"

#include <postrider/base/auto.h>

void mail_data_init(struct mail_data *m, struct body_source *source, bool is_binary)
{
	*m = (struct mail_data){ .source = source, .is_binary = is_binary };
	data_encoder_init(&m->encoder);
}

uint64_t mail_data_left(const struct mail_data *m)
{
	return body_source_bytes(m->source) - m->given_bytes + m->span.len;
}

/* ERR_DAMAGED: the source gave less than it said, or more. */
static enum err next_span(struct mail_data *m)
{
	enum err err = body_source_next(m->source, &m->span);

	if (err) {
		m->span = TEXT_EMPTY;
		return err;
	}
	m->given_bytes += m->span.len;
	return m->span.len == 0 || m->given_bytes > body_source_bytes(m->source) ? ERR_DAMAGED : ERR_OK;
}

static enum err add_slice(struct mail_data *m, struct outbox *o)
{
	struct text slice = text_head(m->span, MAIL_DATA_SLICE_BYTES), piece;
	bool copied = m->span.len <= MAIL_DATA_COPIED_BYTES;
	size_t len = slice.len;
	enum err err;

	while (!(err = data_encode(&m->encoder, &slice, &piece))) {
		if (copied)
			outbox_copy(o, piece);
		else
			outbox_add(o, piece);
	}
	m->span = text_skip(m->span, len);
	return err == ERR_MORE ? ERR_OK : err;
}

/* ERR_OK: something of the source is at hand, and the outbox takes it. */
static enum err make_ready(struct mail_data *m, struct outbox *o, size_t (*unsent)(void *owner), void *owner)
{
	/* what the last span gave must be out before the source takes it back */
	if (o->bytes >= MAIL_DATA_SLICE_BYTES || (m->span.len == 0 && o->borrows))
		outbox_flush(o);
	/* short spans are copied, and leave by themselves whenever the outbox is full of them */
	if (unsent(owner) > MAIL_DATA_UNSENT_MAX)
		return ERR_BUSY;
	return m->span.len ? ERR_OK : next_span(m);
}

enum err mail_data_send(struct mail_data *m, struct outbox *o, size_t (*unsent)(void *owner), void *owner)
{
	enum err err = ERR_OK;

	while (!err && mail_data_left(m) > 0) {
		err = make_ready(m, o, unsent, owner);
		if (!err)
			err = add_slice(m, o);
	}
	return err;
}

enum err mail_data_end(struct mail_data *m, struct outbox *o)
{
	struct text end;
	enum err err = data_encode_end(&m->encoder, &end);

	if (!err)
		outbox_copy(o, end);
	return err;
}

/* ---------------------------------------------------------------- in chunks */

size_t mail_data_chunks(const struct mail_data *m)
{
	uint64_t bytes = body_source_bytes(m->source);

	return (size_t)MAX((bytes + MAIL_DATA_CHUNK_BYTES - 1) / MAIL_DATA_CHUNK_BYTES, UINT64_C(1));
}

void mail_data_open_chunk(struct mail_data *m, struct outbox *o)
{
	uint64_t left = mail_data_left(m);

	m->chunk_left = MIN(left, (uint64_t)MAIL_DATA_CHUNK_BYTES);
	outbox_copy(o, TEXT("BDAT "));
	outbox_copy_u64(o, m->chunk_left);
	outbox_copy(o, m->chunk_left == left ? TEXT(" LAST\r\n") : TEXT("\r\n"));
}

static enum err add_raw(struct mail_data *m, struct outbox *o)
{
	struct text piece = text_head(m->span, (size_t)MIN(m->chunk_left, (uint64_t)MAIL_DATA_SLICE_BYTES));

	if (!m->is_binary &&
	    (data_check(&m->checker, piece) || (m->checker.after_cr && mail_data_left(m) == piece.len)))
		return ERR_SYNTAX;
	if (m->span.len <= MAIL_DATA_COPIED_BYTES)
		outbox_copy(o, piece);
	else
		outbox_add(o, piece);
	m->span = text_skip(m->span, piece.len);
	m->chunk_left -= piece.len;
	return ERR_OK;
}

enum err mail_data_send_chunk(struct mail_data *m, struct outbox *o, size_t (*unsent)(void *owner),
                              void *owner)
{
	enum err err = ERR_OK;

	while (!err && m->chunk_left > 0) {
		err = make_ready(m, o, unsent, owner);
		if (!err)
			err = add_raw(m, o);
	}
	return err;
}
