#include <postrider/mail/envelope.h>

#include <stddef.h>
#include <stdlib.h>

#include <postrider/base/auto.h>
#include <postrider/mail/record.h>

#define FORMAT 1

/* On disk: a number keeps its meaning for ever. */
enum tag {
	TAG_ID = 1,
	TAG_RECEIVED_TIME = 2,
	TAG_REVERSE_PATH = 3,
	TAG_RECIPIENT = 4, /* one each, in order: an inner record */
	TAG_BODY = 5,
	TAG_DECLARED_BYTES = 6,
	TAG_CONTENT_BYTES = 7,
	TAG_HELO = 8,
	TAG_CLIENT = 9,
	TAG_USER = 10,
	TAG_LISTENER = 11,
	TAG_PROTOCOL = 12,
	TAG_TLS = 13,
	TAG_MESSAGE_ID = 14,
	TAG_SUBJECT = 15,
};

enum recipient_tag {
	TAG_FORWARD_PATH = 1,
	TAG_ORIGINAL_PATH = 2,
};

static const struct {
	enum tag tag;
	size_t offset;
} texts[] = {
	{ TAG_REVERSE_PATH, offsetof(struct envelope, reverse_path) },
	{ TAG_HELO, offsetof(struct envelope, helo) },
	{ TAG_CLIENT, offsetof(struct envelope, client) },
	{ TAG_USER, offsetof(struct envelope, user) },
	{ TAG_LISTENER, offsetof(struct envelope, listener) },
	{ TAG_PROTOCOL, offsetof(struct envelope, protocol) },
	{ TAG_TLS, offsetof(struct envelope, tls) },
	{ TAG_MESSAGE_ID, offsetof(struct envelope, message_id) },
	{ TAG_SUBJECT, offsetof(struct envelope, subject) },
};

static struct text *text_at(struct envelope *e, size_t i)
{
	return (struct text *)(void *)((char *)e + texts[i].offset);
}

static struct text text_value(const struct envelope *e, size_t i)
{
	return *(const struct text *)(const void *)((const char *)e + texts[i].offset);
}

/* ---------------------------------------------------------------- life */

struct envelope *envelope_new(size_t budget_bytes)
{
	struct envelope *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	arena_init(&e->arena, budget_bytes);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		*text_at(e, i) = TEXT_EMPTY;
	return e;
}

void envelope_free(struct envelope **e)
{
	if (!*e)
		return;
	arena_fini(&(*e)->arena);
	free(*e);
	*e = NULL;
}

enum err envelope_set(struct envelope *e, struct text *field, struct text value)
{
	if (value.len == 0) {
		*field = TEXT_EMPTY;
		return ERR_OK;
	}
	return arena_text(&e->arena, value, field);
}

/* The old array stays in the arena unused: doubling keeps that below the size of the new one. */
static enum err grow_recipients(struct envelope *e)
{
	size_t room = e->recipient_room ? e->recipient_room * 2 : 1;
	struct envelope_recipient *grown = arena_alloc(&e->arena, room * sizeof(*grown));

	if (!grown)
		return ERR_NOMEM;
	if (e->recipient_count)
		memcpy(grown, e->recipients, e->recipient_count * sizeof(*grown));
	e->recipients = grown;
	e->recipient_room = room;
	return ERR_OK;
}

enum err envelope_add_recipient(struct envelope *e, struct text forward_path, struct text original_path)
{
	struct envelope_recipient added;
	enum err err = ERR_OK;

	if (e->recipient_count == e->recipient_room)
		err = grow_recipients(e);
	if (!err)
		err = envelope_set(e, &added.forward_path, forward_path);
	if (!err)
		err = envelope_set(e, &added.original_path, original_path);
	if (!err)
		e->recipients[e->recipient_count++] = added;
	return err;
}

static enum err copy_into(const struct envelope *from, struct envelope *e)
{
	enum err err = ERR_OK;

	e->id = from->id;
	e->received_time = from->received_time;
	e->body = from->body;
	e->declared_bytes = from->declared_bytes;
	e->content_bytes = from->content_bytes;
	for (size_t i = 0; i < ARRAY_LEN(texts) && !err; i++)
		err = envelope_set(e, text_at(e, i), text_value(from, i));
	e->recipient_room = from->recipient_count;
	e->recipients = arena_alloc(&e->arena, from->recipient_count * sizeof(*e->recipients));
	if (!e->recipients)
		return ERR_NOMEM;
	for (size_t i = 0; i < from->recipient_count && !err; i++)
		err = envelope_add_recipient(e, from->recipients[i].forward_path,
		                             from->recipients[i].original_path);
	return err;
}

enum err envelope_copy(const struct envelope *from, struct envelope **out)
{
	/* What is copied bounds itself: the budget counts again for what the copy gets later. */
	AUTO(envelope_free) struct envelope *e = envelope_new(SIZE_MAX);

	if (!e)
		return ERR_NOMEM;
	enum err err = copy_into(from, e);

	if (err)
		return err;
	e->arena.budget_bytes = MAX(from->arena.budget_bytes, e->arena.used_bytes);
	*out = TAKE(e);
	return ERR_OK;
}

/* ---------------------------------------------------------------- as a record */

static void encode_recipient(const struct envelope_recipient *r, struct buf *b)
{
	size_t mark = record_open_field(b, TAG_RECIPIENT);

	record_add_text(b, TAG_FORWARD_PATH, r->forward_path);
	if (r->original_path.len)
		record_add_text(b, TAG_ORIGINAL_PATH, r->original_path);
	record_close_field(b, mark);
}

void envelope_encode(const struct envelope *e, struct buf *b)
{
	record_begin(b, FORMAT);
	record_add_text(b, TAG_ID, id_key(&e->id));
	record_add_i64(b, TAG_RECEIVED_TIME, e->received_time);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (text_value(e, i).len)
			record_add_text(b, texts[i].tag, text_value(e, i));
	record_add_u64(b, TAG_BODY, e->body);
	record_add_u64(b, TAG_DECLARED_BYTES, e->declared_bytes);
	record_add_u64(b, TAG_CONTENT_BYTES, e->content_bytes);
	for (size_t i = 0; i < e->recipient_count; i++)
		encode_recipient(&e->recipients[i], b);
}

static enum err decode_recipient(struct text fields, struct envelope *e)
{
	struct record_reader r;
	struct record_field f;
	struct text forward_path = TEXT_EMPTY, original_path = TEXT_EMPTY;

	record_open_inner(&r, fields);
	while (record_next(&r, &f)) {
		if (f.tag == TAG_FORWARD_PATH)
			forward_path = f.value;
		else if (f.tag == TAG_ORIGINAL_PATH)
			original_path = f.value;
	}
	if (r.err)
		return r.err;
	return forward_path.len ? envelope_add_recipient(e, forward_path, original_path) : ERR_DAMAGED;
}

static enum err decode_text(const struct record_field *f, struct envelope *e)
{
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].tag == f->tag)
			return envelope_set(e, text_at(e, i), f->value);
	return ERR_OK; /* a tag of a later version */
}

static enum err decode_field(struct record_reader *r, const struct record_field *f, struct envelope *e)
{
	switch (f->tag) {
	case TAG_ID:
		if (f->value.len != ID_BYTES)
			return ERR_DAMAGED;
		memcpy(e->id.bytes, f->value.at, ID_BYTES);
		return ERR_OK;
	case TAG_RECEIVED_TIME:
		e->received_time = record_i64(r, f);
		return r->err;
	case TAG_BODY:
		e->body = (enum envelope_body)record_u64(r, f, ENVELOPE_8BIT);
		return r->err;
	case TAG_DECLARED_BYTES:
		e->declared_bytes = record_u64(r, f, UINT64_MAX);
		return r->err;
	case TAG_CONTENT_BYTES:
		e->content_bytes = record_u64(r, f, UINT64_MAX);
		return r->err;
	case TAG_RECIPIENT:
		return decode_recipient(f->value, e);
	default:
		return decode_text(f, e);
	}
}

/* What a record of this length can come to at the most: a recipient of five octets costs two places in an
 * array that doubles, and a text of one octet an aligned one. */
static size_t budget_for(size_t record_bytes)
{
	const size_t each = 4 * sizeof(struct envelope_recipient);

	return record_bytes > (SIZE_MAX - 4096) / each ? SIZE_MAX : record_bytes * each + 4096;
}

enum err envelope_decode(struct text record, struct envelope **out)
{
	AUTO(envelope_free) struct envelope *e = envelope_new(budget_for(record.len));
	struct record_reader r;
	struct record_field f;
	bool has_id = false;
	enum err err = ERR_OK;

	if (!e)
		return ERR_NOMEM;
	record_open(&r, record, FORMAT);
	while (!err && record_next(&r, &f)) {
		err = decode_field(&r, &f, e);
		has_id |= f.tag == TAG_ID;
	}
	if (!err)
		err = r.err;
	if (!err && (!has_id || e->recipient_count == 0))
		err = ERR_DAMAGED;
	if (!err)
		*out = TAKE(e);
	return err;
}
