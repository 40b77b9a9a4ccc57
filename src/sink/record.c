/* What is told of a message (on_message), and what is written of it: the ledger's line and the envelope in JSON. */
#include "session.h"

#include <stdio.h>
#include <stdlib.h>

#include <postrider/mail/header.h>
#include <postrider/observe/json_text.h>

/* ---------------------------------------------------------------- the message as others see it */

/* Borrows from the session: it is to be gone before the transaction is. */
struct description {
	struct sink_message message;
	struct buf client;
	struct text *recipients; /* and behind them as many parameters */
};

static void description_fini(struct description *d)
{
	buf_fini(&d->client);
	free(d->recipients);
}

static void add_client(struct buf *b, const struct session *s)
{
	const struct io_address *peer = io_stream_peer(s->stream);

	if (peer->ip.ip.family == IP_NONE)
		buf_add_string(b, "unix");
	else
		ip_port_add(b, peer->ip);
}

static void cut_paths(const struct session *s, struct description *d)
{
	struct text paths = buf_text(&s->paths), line = text_cut(&paths, '\n');

	d->message.reverse_path = text_cut(&line, '\t');
	d->message.parameters = line;
	for (size_t i = 0; i < s->recipient_count; i++) {
		line = text_cut(&paths, '\n');
		d->recipients[i] = text_cut(&line, '\t');
		d->recipients[s->recipient_count + i] = line;
	}
	d->message.recipients = d->recipients;
	d->message.recipient_parameters = d->recipients + s->recipient_count;
	d->message.recipient_count = s->recipient_count;
}

/* After an error too, description_fini. */
static enum err describe(const struct session *s, struct description *d)
{
	*d = (struct description){ .client = BUF(256) };
	d->recipients = calloc(2 * s->recipient_count, sizeof(*d->recipients));
	if (!d->recipients)
		return ERR_NOMEM;
	add_client(&d->client, s);
	d->message = (struct sink_message){
		.session = s->number,
		.number = s->messages + 1,
		.time = io_now_time(s->sink->o.io),
		.client = buf_text(&d->client),
		.helo = buf_text(&s->helo),
		.is_tls = s->is_tls,
		.content = sink_content_is_wanted(s->sink) ? buf_text(&s->content) : TEXT_EMPTY,
		.content_bytes = s->data.content_bytes,
	};
	cut_paths(s, d);
	return ERR_OK;
}

enum err sink_record_tell(const struct session *s)
{
	const struct sink_options *o = &s->sink->o;
	AUTO(description_fini) struct description d = { 0 };
	enum err err = o->on_message ? describe(s, &d) : ERR_OK;

	if (o->on_message && !err)
		o->on_message(o->owner, &d.message);
	return err;
}

/* ---------------------------------------------------------------- the ledger */

/* A control would end the line, or one of its fields: HTAB separates all but the last. */
static void hide_controls(struct buf *b, size_t from, size_t value)
{
	for (size_t i = from; i < b->len; i++)
		if ((unsigned char)b->at[i] < ' ' && (b->at[i] != '\t' || i >= value))
			b->at[i] = '?';
}

void sink_ledger_line(struct buf *b, const struct sink_message *m, struct text field_value)
{
	size_t from = b->len, value;

	buf_add_format(b, "%lld\t%llu\t%llu\t", (long long)m->time, (unsigned long long)m->session,
	               (unsigned long long)m->number);
	buf_add(b, m->reverse_path.len ? m->reverse_path : TEXT("<>"));
	for (size_t i = 0; i < m->recipient_count; i++) {
		buf_add_octet(b, i ? ',' : '\t');
		buf_add(b, m->recipients[i]);
	}
	buf_add_format(b, "\t%llu\t", (unsigned long long)m->content_bytes);
	value = b->len;
	if (field_value.len)
		header_unfold_add(b, field_value);
	if (b->len == value)
		buf_add_octet(b, '-');
	hide_controls(b, from, value);
}

static void add_ledger_line(const struct session *s, const struct sink_message *m, struct buf *line)
{
	struct header_field field = { .value = TEXT_EMPTY };

	if (s->sink->o.ledger_field.len)
		(void)header_find(buf_text(&s->content), s->sink->o.ledger_field, &field);
	sink_ledger_line(line, m, field.value);
	buf_add_octet(line, '\n');
}

/* ---------------------------------------------------------------- the envelope */

static void add_string(struct buf *b, const char *name, struct text value)
{
	buf_add_format(b, ",\"%s\":", name);
	observe_add_json_text(b, value, SESSION_PATHS_BYTES);
}

static void add_strings(struct buf *b, const char *name, const struct text *values, size_t count)
{
	buf_add_format(b, ",\"%s\":", name);
	for (size_t i = 0; i < count; i++) {
		buf_add_octet(b, i ? ',' : '[');
		observe_add_json_text(b, values[i], SESSION_PATHS_BYTES);
	}
	buf_add_octet(b, ']');
}

static void add_envelope(const struct sink_message *m, struct buf *b)
{
	buf_add_format(b, "{\"time\":%lld,\"session\":%llu,\"number\":%llu", (long long)m->time,
	               (unsigned long long)m->session, (unsigned long long)m->number);
	add_string(b, "client", m->client);
	add_string(b, "helo", m->helo);
	buf_add_format(b, ",\"tls\":%s", m->is_tls ? "true" : "false");
	add_string(b, "from", m->reverse_path);
	add_string(b, "parameters", m->parameters);
	add_strings(b, "to", m->recipients, m->recipient_count);
	add_strings(b, "to_parameters", m->recipient_parameters, m->recipient_count);
	buf_add_format(b, ",\"bytes\":%llu}\n", (unsigned long long)m->content_bytes);
}

/* ---------------------------------------------------------------- what the keeper writes */

/* In the order of arrival when sorted. Three numbers of 20 digits fit. */
static void add_name(const struct sink_message *m, char *name, size_t room)
{
	snprintf(name, room, "%013lld-%06llu-%04llu", (long long)m->time, (unsigned long long)m->session,
	         (unsigned long long)m->number);
}

enum err sink_record_fill(const struct session *s, struct keeper_item *item)
{
	AUTO(description_fini) struct description d = { 0 };
	enum err err = describe(s, &d);

	if (err)
		return err;
	item->line = item->envelope = BUF(8 * SESSION_PATHS_BYTES);
	if (keeper_has_ledger(s->sink->keeper))
		add_ledger_line(s, &d.message, &item->line);
	if (keeper_has_directory(s->sink->keeper))
		add_envelope(&d.message, &item->envelope);
	add_name(&d.message, item->name, sizeof(item->name));
	return buf_err(&item->line) ? buf_err(&item->line) : buf_err(&item->envelope);
}
