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
	TAG_SMTPUTF8 = 16, /* from here on: only when there is something to say */
	TAG_TLS_WISH = 17,
	TAG_RET = 18,
	TAG_ENVID = 19,
	TAG_SUBMITTER = 20,
	TAG_PRIORITY = 21, /* a zero is one that was said */
	TAG_RELEASE_TIME = 22,
	TAG_BY = 23,
	TAG_BY_TIME = 24,
	TAG_BY_TRACE = 25,
	TAG_HEADER_8BIT = 26,
	TAG_FIELDS = 27,
};

enum recipient_tag {
	TAG_FORWARD_PATH = 1,
	TAG_ORIGINAL_PATH = 2,
	TAG_ORCPT = 3,
	TAG_NOTIFY = 4,
};

#define NOTIFY_ALL \
	(ENVELOPE_NOTIFY_NEVER | ENVELOPE_NOTIFY_SUCCESS | ENVELOPE_NOTIFY_FAILURE | ENVELOPE_NOTIFY_DELAY)
#define PRIORITY_MAX 9

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
	{ TAG_ENVID, offsetof(struct envelope, envid) },
	{ TAG_SUBMITTER, offsetof(struct envelope, submitter) },
	{ TAG_FIELDS, offsetof(struct envelope, fields) },
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
	struct envelope_recipient added = { .orcpt = TEXT_EMPTY };
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

enum err envelope_set_delivery_report(struct envelope *e, unsigned notify, struct text orcpt)
{
	struct envelope_recipient *last = &e->recipients[e->recipient_count - 1];

	last->notify = notify;
	return envelope_set(e, &last->orcpt, orcpt);
}

static enum err copy_recipient(const struct envelope_recipient *from, struct envelope *e)
{
	enum err err = envelope_add_recipient(e, from->forward_path, from->original_path);

	return err ? err : envelope_set_delivery_report(e, from->notify, from->orcpt);
}

static enum err copy_into(const struct envelope *from, struct envelope *e)
{
	enum err err = ERR_OK;

	e->id = from->id;
	e->received_time = from->received_time;
	e->body = from->body;
	e->declared_bytes = from->declared_bytes;
	e->content_bytes = from->content_bytes;
	e->smtputf8 = from->smtputf8;
	e->header_8bit = from->header_8bit;
	e->tls_wish = from->tls_wish;
	e->ret = from->ret;
	e->has_priority = from->has_priority;
	e->priority = from->priority;
	e->release_time = from->release_time;
	e->by = from->by;
	e->by_time = from->by_time;
	e->by_trace = from->by_trace;
	for (size_t i = 0; i < ARRAY_LEN(texts) && !err; i++)
		err = envelope_set(e, text_at(e, i), text_value(from, i));
	e->recipient_room = from->recipient_count;
	e->recipients = arena_alloc(&e->arena, from->recipient_count * sizeof(*e->recipients));
	if (!e->recipients)
		return ERR_NOMEM;
	for (size_t i = 0; i < from->recipient_count && !err; i++)
		err = copy_recipient(&from->recipients[i], e);
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
	if (r->orcpt.len)
		record_add_text(b, TAG_ORCPT, r->orcpt);
	if (r->notify)
		record_add_u64(b, TAG_NOTIFY, r->notify);
	record_close_field(b, mark);
}

/* What the client asked for by parameters of MAIL. */
static void encode_wishes(const struct envelope *e, struct buf *b)
{
	if (e->smtputf8)
		record_add_u64(b, TAG_SMTPUTF8, 1);
	if (e->header_8bit)
		record_add_u64(b, TAG_HEADER_8BIT, 1);
	if (e->tls_wish)
		record_add_u64(b, TAG_TLS_WISH, e->tls_wish);
	if (e->ret)
		record_add_u64(b, TAG_RET, e->ret);
	if (e->has_priority)
		record_add_i64(b, TAG_PRIORITY, e->priority);
	if (e->release_time)
		record_add_i64(b, TAG_RELEASE_TIME, e->release_time);
	if (!e->by)
		return;
	record_add_u64(b, TAG_BY, e->by);
	record_add_i64(b, TAG_BY_TIME, e->by_time);
	if (e->by_trace)
		record_add_u64(b, TAG_BY_TRACE, 1);
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
	encode_wishes(e, b);
	for (size_t i = 0; i < e->recipient_count; i++)
		encode_recipient(&e->recipients[i], b);
}

static enum err decode_recipient(struct text fields, struct envelope *e)
{
	struct record_reader r;
	struct record_field f;
	struct envelope_recipient read = { TEXT_EMPTY, TEXT_EMPTY, TEXT_EMPTY, 0 };

	record_open_inner(&r, fields);
	while (record_next(&r, &f)) {
		if (f.tag == TAG_FORWARD_PATH)
			read.forward_path = f.value;
		else if (f.tag == TAG_ORIGINAL_PATH)
			read.original_path = f.value;
		else if (f.tag == TAG_ORCPT)
			read.orcpt = f.value;
		else if (f.tag == TAG_NOTIFY)
			read.notify = (unsigned)record_u64(&r, &f, NOTIFY_ALL);
	}
	if (r.err)
		return r.err;
	return read.forward_path.len ? copy_recipient(&read, e) : ERR_DAMAGED;
}

static enum err decode_priority(struct record_reader *r, const struct record_field *f, struct envelope *e)
{
	int64_t priority = record_i64(r, f);

	if (r->err)
		return r->err;
	if (priority < -PRIORITY_MAX || priority > PRIORITY_MAX)
		return ERR_DAMAGED;
	e->priority = (int)priority;
	e->has_priority = true;
	return ERR_OK;
}

static enum err decode_text(const struct record_field *f, struct envelope *e)
{
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].tag == f->tag)
			return envelope_set(e, text_at(e, i), f->value);
	return ERR_OK; /* a tag of a later version */
}

static enum err decode_wish(struct record_reader *r, const struct record_field *f, struct envelope *e)
{
	switch (f->tag) {
	case TAG_SMTPUTF8:
		e->smtputf8 = record_u64(r, f, 1);
		return r->err;
	case TAG_HEADER_8BIT:
		e->header_8bit = record_u64(r, f, 1);
		return r->err;
	case TAG_TLS_WISH:
		e->tls_wish = (enum envelope_tls)record_u64(r, f, ENVELOPE_TLS_OPTIONAL);
		return r->err;
	case TAG_RET:
		e->ret = (enum envelope_ret)record_u64(r, f, ENVELOPE_RET_HDRS);
		return r->err;
	case TAG_PRIORITY:
		return decode_priority(r, f, e);
	case TAG_RELEASE_TIME:
		e->release_time = record_i64(r, f);
		return r->err;
	case TAG_BY:
		e->by = (enum envelope_by)record_u64(r, f, ENVELOPE_BY_RETURN);
		return r->err;
	case TAG_BY_TIME:
		e->by_time = record_i64(r, f);
		return r->err;
	case TAG_BY_TRACE:
		e->by_trace = record_u64(r, f, 1);
		return r->err;
	default:
		return decode_text(f, e);
	}
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
		e->body = (enum envelope_body)record_u64(r, f, ENVELOPE_BINARY);
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
		return decode_wish(r, f, e);
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
