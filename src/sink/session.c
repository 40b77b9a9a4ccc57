/* An inbound session of the sink.
 *   HELLO -> READY -> MAIL -> RCPT -> DATA -> READY, RCPT -> CHUNK -> CHUNKS -> CHUNK -> READY (BDAT), or DATA -> ANSWER -> READY when the answer to the final dot takes time
 *   (slow, or written to a file); STARTTLS: READY -> HANDSHAKE -> HELLO; DEAF: says nothing more, whatever comes
 * Replies gather in sink->out and leave in one write at the end of each call from io. While an answer is owed nothing more
 * is read. */
#include "inside.h"

#include <assert.h>
#include <stdlib.h>

#include <postrider/mail/header.h>
#include <postrider/observe/json_text.h>
#include <postrider/smtp/command.h>
#include <postrider/smtp/data.h>
#include <postrider/smtp/line.h>
#include <postrider/smtp/parameter.h>

#include "fate.h"

#define PATHS_BYTES (1024 * 1024)
#define HEADER_BYTES (64 * 1024)  /* as much is looked at for the ledger's field */
#define UNSENT_BYTES (256 * 1024) /* of replies that the peer does not take: then we do not read from it */
#define ONE_MILLION 1000000

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
	struct list link;  /* of sink->sessions */
	struct sink *sink; /* NULL: abandoned, waits for on_closed */
	struct io_stream *stream;
	uint64_t number, messages;
	enum phase phase;
	bool is_tls, is_blocked;
	struct line_reader lines;
	struct data_decoder data;
	struct buf helo;
	struct buf
		paths; /* reverse-path HTAB parameters LF forward-path HTAB parameters LF ..., those accepted */
	size_t recipient_count;
	const struct fate *fate; /* of the first recipient that has one */
	struct buf content;      /* what is kept of it */
	size_t content_wanted;
	uint64_t chunk_left;
	bool is_last_chunk, is_chunk_lost; /* lost: it is read and forgotten */
	struct io_timer timer;             /* slow */
	struct keeper_item *item;          /* being written: the keeper owns it */
};

/* ---------------------------------------------------------------- replies */

static void say(struct session *s, struct reply reply)
{
	if (!(s->sink->o.keywords & EHLO_ENHANCEDSTATUSCODES) || s->sink->o.no_ehlo)
		reply.enhanced[0] = '\0';
	reply_add(&s->sink->out, &reply);
}

/* Enough for a reply of one line. */
#define SAY(s, code, enhanced, text) say(s, (struct reply){ code, enhanced, TEXT(text) })

static void flush(struct session *s)
{
	struct buf *out = &s->sink->out;
	struct text replies = buf_text(out);

	if (buf_err(out)) {
		io_stream_close(s->stream);
	} else if (replies.len > 0) {
		io_stream_write(s->stream, &replies, 1);
		if (!s->is_blocked && io_stream_unsent(s->stream) > UNSENT_BYTES) {
			s->is_blocked = true;
			io_stream_pause(s->stream);
		}
	}
	buf_reset(out);
}

static void close_politely(struct session *s)
{
	s->phase = PHASE_DEAF;
	flush(s);
	io_stream_finish(s->stream);
}

/* ---------------------------------------------------------------- a transaction */

static void reset_transaction(struct session *s)
{
	buf_reset(&s->paths);
	buf_fini(&s->content);
	s->recipient_count = 0;
	s->fate = NULL;
}

static struct text reverse_path_of(const struct session *s)
{
	struct text paths = buf_text(&s->paths), line = text_cut(&paths, '\n');

	return text_cut(&line, '\t');
}

static unsigned offered(const struct session *s)
{
	return s->sink->o.keywords & ~(s->is_tls ? 0u : (unsigned)EHLO_REQUIRETLS);
}

/* A path, and the parameters as they stand behind it in args. */
static void add_path(struct session *s, const struct smtp_path *path, struct text args)
{
	struct text behind = text_skip(args, text_find(args, path->mailbox) + path->mailbox.len);

	buf_add(&s->paths, path->mailbox);
	buf_add_octet(&s->paths, '\t');
	buf_add(&s->paths, text_trim(text_skip(behind, text_find_octet(behind, '>') + 1)));
}

static bool wants_all(const struct sink *s)
{
	return (s->o.want_content && s->o.on_message) || keeper_has_directory(s->keeper);
}

/* How much of the content has to be in memory. */
static size_t wanted_bytes(const struct sink *s)
{
	if (wants_all(s))
		return s->o.max_bytes;
	return keeper_has_ledger(s->keeper) && s->o.ledger_field.len > 0 ? HEADER_BYTES : 0;
}

struct parameter {
	struct text keyword;
	unsigned ehlo;
};

static bool are_known(const struct session *s, const struct smtp_param *params, size_t count)
{
	static const struct parameter known[] = {
		{ LIT("RET"), EHLO_DSN },
		{ LIT("ENVID"), EHLO_DSN },
		{ LIT("NOTIFY"), EHLO_DSN },
		{ LIT("ORCPT"), EHLO_DSN },
		{ LIT("SMTPUTF8"), EHLO_SMTPUTF8 },
		{ LIT("REQUIRETLS"), EHLO_REQUIRETLS },
		{ LIT("MT-PRIORITY"), EHLO_MT_PRIORITY },
		{ LIT("BY"), EHLO_DELIVERBY },
	};

	for (size_t i = 0; i < count; i++) {
		size_t k = 0;

		while (k < ARRAY_LEN(known) && !text_eq_nocase(known[k].keyword, params[i].keyword))
			k++;
		if (k == ARRAY_LEN(known) || !(offered(s) & known[k].ehlo))
			return false;
	}
	return true;
}

/* False: refused already. Whoever is offered SMTPUTF8 is not held to saying it. */
static bool may_be_utf8(struct session *s, const struct smtp_path *path)
{
	if (!path->is_utf8 || (s->sink->o.keywords & EHLO_SMTPUTF8))
		return true;
	SAY(s, 553, "5.6.7", "Addresses are ASCII here");
	return false;
}

static bool is_body_offered(const struct session *s, enum smtp_body body)
{
	if (body == SMTP_BODY_NONE)
		return true;
	return offered(s) & (body == SMTP_BODY_BINARYMIME ? EHLO_BINARYMIME : EHLO_8BITMIME);
}

static void on_mail(struct session *s, struct text args)
{
	struct smtp_mail mail;
	struct reply refusal;

	if (s->phase != PHASE_READY) {
		SAY(s, 503, "5.5.1", "Bad sequence of commands");
		return;
	}
	if (smtp_mail_parse(args, &mail, &refusal)) {
		say(s, refusal);
		return;
	}
	if (!are_known(s, mail.others, mail.other_count) || !is_body_offered(s, mail.body)) {
		SAY(s, 555, "5.5.4", "Parameter not recognized");
		return;
	}
	if (!may_be_utf8(s, &mail.reverse_path))
		return;
	if (mail.has_size && mail.size_bytes > s->sink->o.max_bytes) {
		SAY(s, 552, "5.3.4", "Message too big");
		return;
	}
	reset_transaction(s);
	add_path(s, &mail.reverse_path, args);
	s->phase = PHASE_MAIL;
	SAY(s, 250, "2.1.0", "Ok");
}

/* NULL: taken. */
static const struct reply *judge(struct session *s, const struct smtp_path *path)
{
	static const struct reply full = { 452, "4.5.3", LIT("Too many recipients") };
	static const struct reply grey = { 451, "4.7.1", LIT("Greylisted, please try again later") };
	static const struct reply failed = { 550, "5.1.1", LIT("No such user here (by chance)") };
	static const struct reply deferred = { 451, "4.3.0", LIT("Try again later (by chance)") };
	struct sink *sink = s->sink;
	const struct fate *fate = fate_of(path->local_part);

	if (s->recipient_count >= sink->o.max_recipients)
		return &full;
	if (fate && (fate->kind == FATE_REFUSED || fate->kind == FATE_CLOSED))
		return &fate->reply;
	if (sink->o.fail_ppm && random_below(&sink->random, ONE_MILLION) < sink->o.fail_ppm)
		return &failed;
	if (sink->o.defer_ppm && random_below(&sink->random, ONE_MILLION) < sink->o.defer_ppm)
		return &deferred;
	if ((sink->o.greylist || (fate && fate->kind == FATE_GREYLISTED)) &&
	    !greylist_passes(&sink->greylist, reverse_path_of(s), path->mailbox, io_now_at(sink->o.io),
	                     sink->o.greylist_ms)) {
		sink->counts.greylisted++;
		return &grey;
	}
	if (fate && !s->fate && fate->kind != FATE_GREYLISTED)
		s->fate = fate;
	return NULL;
}

static void count_refusal(struct session *s, const struct reply *reply)
{
	if (reply_is_permanent(reply))
		s->sink->counts.refused++;
	else
		s->sink->counts.deferred++;
}

static void on_rcpt(struct session *s, struct text args)
{
	struct smtp_rcpt rcpt;
	struct reply refusal;

	if (s->phase != PHASE_MAIL && s->phase != PHASE_RCPT) {
		SAY(s, 503, "5.5.1", "Bad sequence of commands");
		return;
	}
	if (smtp_rcpt_parse(args, &rcpt, &refusal)) {
		say(s, refusal);
		return;
	}
	if (!are_known(s, rcpt.others, rcpt.other_count)) {
		SAY(s, 555, "5.5.4", "Parameter not recognized");
		return;
	}
	if (!may_be_utf8(s, &rcpt.forward_path))
		return;
	const struct reply *no = judge(s, &rcpt.forward_path);

	if (no) {
		count_refusal(s, no);
		say(s, *no);
		if (no->code == 421)
			close_politely(s);
		return;
	}
	buf_add_octet(&s->paths, '\n');
	add_path(s, &rcpt.forward_path, args);
	if (buf_err(&s->paths)) {
		SAY(s, 452, "4.3.1", "Out of memory for recipients");
		return;
	}
	s->recipient_count++;
	s->phase = PHASE_RCPT;
	SAY(s, 250, "2.1.5", "Ok");
}

/* ---------------------------------------------------------------- the message is there */

static void add_client(struct buf *b, const struct session *s)
{
	const struct io_address *peer = io_stream_peer(s->stream);

	if (peer->ip.ip.family == IP_NONE)
		buf_add_string(b, "unix");
	else
		ip_port_add(b, peer->ip);
}

/* recipients has room for all, and as much again for their parameters. */
static void describe(const struct session *s, struct text client, struct text *recipients,
                     struct sink_message *m)
{
	struct text paths = buf_text(&s->paths), line = text_cut(&paths, '\n'),
		    reverse_path = text_cut(&line, '\t');

	*m = (struct sink_message){
		.session = s->number,
		.number = s->messages + 1,
		.time = io_now_time(s->sink->o.io),
		.client = client,
		.helo = buf_text(&s->helo),
		.is_tls = s->is_tls,
		.reverse_path = reverse_path,
		.parameters = line,
		.recipients = recipients,
		.recipient_parameters = recipients + s->recipient_count,
		.recipient_count = s->recipient_count,
		.content = wants_all(s->sink) ? buf_text(&s->content) : TEXT_EMPTY,
		.content_bytes = s->data.content_bytes,
	};
	for (size_t i = 0; i < s->recipient_count; i++) {
		line = text_cut(&paths, '\n');
		recipients[i] = text_cut(&line, '\t');
		recipients[s->recipient_count + i] = line;
	}
}

/* The session is done with the message and goes on. */
static void end_message(struct session *s)
{
	reset_transaction(s);
	s->phase = PHASE_READY;
}

static void refuse_message(struct session *s, const struct reply *reply)
{
	count_refusal(s, reply);
	say(s, *reply);
	end_message(s);
}

static enum err tell(struct session *s)
{
	struct sink *sink = s->sink;
	struct buf client = BUF(256);
	struct sink_message message;
	struct text *recipients;

	if (!sink->o.on_message)
		return ERR_OK;
	recipients = calloc(2 * s->recipient_count, sizeof(*recipients));
	if (!recipients)
		return ERR_NOMEM;
	add_client(&client, s);
	describe(s, buf_text(&client), recipients, &message);
	sink->o.on_message(sink->o.owner, &message);
	buf_fini(&client);
	free(recipients);
	return ERR_OK;
}

/* It is ours: says so, or does what the recipient's fate is. */
static void accept_message(struct session *s)
{
	static const struct reply no_memory = { 451, "4.3.0", LIT("Out of memory") };
	struct sink_counts *counts = &s->sink->counts;
	const struct fate *fate = s->fate;

	if (tell(s)) {
		refuse_message(s, &no_memory);
		return;
	}
	s->messages++;
	counts->messages++;
	counts->recipients += s->recipient_count;
	counts->content_bytes += s->data.content_bytes;
	end_message(s);
	if (!fate) {
		SAY(s, 250, "2.0.0", "Ok, it ends here");
		return;
	}
	s->phase = PHASE_DEAF;
	if (fate->kind == FATE_DROPPED) {
		flush(s);
		io_stream_close(s->stream);
	}
}

/* The answer was owed, and is said now. */
static void go_on(struct session *s)
{
	flush(s);
	if (!s->is_blocked)
		io_stream_resume(s->stream);
}

static void on_kept(void *owner, enum err err)
{
	static const struct reply full = { 452, "4.3.1", LIT("The message could not be written") };
	struct session *s = owner;
	struct keeper_item *item = TAKE(s->item);

	s->content = item->content;
	item->content = BUF(0);
	if (err)
		refuse_message(s, &full);
	else
		accept_message(s);
	go_on(s);
}

void sink_ledger_line(struct buf *b, const struct sink_message *m, struct text field_value)
{
	size_t from = b->len;

	buf_add_format(b, "%lld\t%llu\t%llu\t", (long long)m->time, (unsigned long long)m->session,
	               (unsigned long long)m->number);
	buf_add(b, m->reverse_path.len ? m->reverse_path : TEXT("<>"));
	for (size_t i = 0; i < m->recipient_count; i++) {
		buf_add_octet(b, i ? ',' : '\t');
		buf_add(b, m->recipients[i]);
	}
	buf_add_format(b, "\t%llu\t", (unsigned long long)m->content_bytes);
	size_t value = b->len;

	if (field_value.len)
		header_unfold_add(b, field_value);
	if (b->len == value)
		buf_add_octet(b, '-');
	for (size_t i = from; i < b->len; i++)
		if ((unsigned char)b->at[i] < ' ' && (b->at[i] != '\t' || i >= value))
			b->at[i] = '?';
}

static void add_ledger_line(const struct session *s, const struct sink_message *m, struct buf *line)
{
	struct header_field field = { .value = TEXT_EMPTY };

	if (s->sink->o.ledger_field.len)
		(void)header_find(buf_text(&s->content), s->sink->o.ledger_field, &field);
	sink_ledger_line(line, m, field.value);
	buf_add_octet(line, '\n');
}

static void add_string(struct buf *b, const char *name, struct text value)
{
	buf_add_format(b, ",\"%s\":", name);
	observe_add_json_text(b, value, PATHS_BYTES);
}

static void add_strings(struct buf *b, const char *name, const struct text *values, size_t count)
{
	buf_add_format(b, ",\"%s\":", name);
	for (size_t i = 0; i < count; i++) {
		buf_add_octet(b, i ? ',' : '[');
		observe_add_json_text(b, values[i], PATHS_BYTES);
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

static enum err make_item(struct session *s, struct keeper_item *item)
{
	AUTO(free_memory) struct text *recipients = calloc(2 * s->recipient_count, sizeof(*recipients));
	struct buf client = BUF(256), name = BUF(sizeof(item->name) - 1);
	struct sink_message message;

	if (!recipients)
		return ERR_NOMEM;
	add_client(&client, s);
	describe(s, buf_text(&client), recipients, &message);
	item->line = item->envelope = BUF(8 * PATHS_BYTES);
	if (keeper_has_ledger(s->sink->keeper))
		add_ledger_line(s, &message, &item->line);
	if (keeper_has_directory(s->sink->keeper))
		add_envelope(&message, &item->envelope);
	buf_add_format(&name, "%013lld-%06llu-%04llu", (long long)message.time,
	               (unsigned long long)message.session, (unsigned long long)message.number);
	memcpy(item->name, name.at, name.len);
	buf_fini(&name);
	buf_fini(&client);
	return buf_err(&item->line) ? buf_err(&item->line) : buf_err(&item->envelope);
}

/* The keeper has the content until on_kept: it outlives a session that ends meanwhile. */
static void write_message(struct session *s)
{
	static const struct reply no_memory = { 451, "4.3.0", LIT("Out of memory") };
	struct keeper_item *item = calloc(1, sizeof(*item));

	if (!item || make_item(s, item)) {
		keeper_item_free(&item);
		refuse_message(s, &no_memory);
		return;
	}
	item->content = s->content;
	s->content = BUF(0);
	item->on_kept = on_kept;
	item->owner = s;
	s->item = item;
	keeper_add(s->sink->keeper, item);
}

/* ---------------------------------------------------------------- data */

/* True: the answer is said. False: it is owed. */
static bool answer_message(struct session *s)
{
	if (s->sink->keeper) {
		s->phase = PHASE_ANSWER;
		write_message(s);
	} else {
		accept_message(s);
	}
	return s->phase != PHASE_ANSWER;
}

static void on_slow(void *owner)
{
	struct session *s = owner;

	if (answer_message(s))
		go_on(s);
}

static void end_of_data(struct session *s)
{
	static const struct reply too_big = { 552, "5.3.4", LIT("Message too big") };
	static const struct reply no_memory = { 451, "4.3.0", LIT("Out of memory") };
	struct sink *sink = s->sink;

	sink->counts.bare_line_ends += s->data.bare_lf_count + s->data.bare_cr_count;
	if (s->data.content_bytes > sink->o.max_bytes) {
		refuse_message(s, &too_big);
	} else if (buf_err(&s->content)) {
		refuse_message(s, &no_memory);
	} else if (s->fate && s->fate->kind == FATE_REFUSED_AT_DOT) {
		refuse_message(s, &s->fate->reply);
	} else if (sink->o.slow_ms > 0) {
		s->phase = PHASE_ANSWER;
		if (io_timer_start(sink->o.io, &s->timer, io_now_at(sink->o.io) + sink->o.slow_ms, on_slow,
		                   s))
			refuse_message(s, &no_memory);
	} else {
		(void)answer_message(s);
	}
}

static void keep(struct session *s, struct text span)
{
	size_t room = s->content_wanted - s->content.len;

	if (room > 0 && !buf_err(&s->content))
		buf_add(&s->content, text_head(span, room));
}

static void take_data(struct session *s, struct text *input)
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
			end_of_data(s);
			return;
		}
	}
}

/* ---------------------------------------------------------------- commands */

static void begin_content(struct session *s)
{
	data_decoder_init(&s->data);
	s->content_wanted = wanted_bytes(s->sink);
	s->content = BUF(s->content_wanted);
}

static void on_data_command(struct session *s, struct text args)
{
	(void)args;
	if (s->phase != PHASE_RCPT) {
		SAY(s, 503, "5.5.1", "No valid recipients");
		return;
	}
	begin_content(s);
	s->phase = PHASE_DATA;
	SAY(s, 354, "", "Go ahead");
}

/* ---------------------------------------------------------------- BDAT (RFC 3030) */

static void end_chunk(struct session *s)
{
	if (s->is_chunk_lost) {
		SAY(s, 503, "5.5.1", "No valid recipients");
		s->phase = s->recipient_count ? PHASE_RCPT : PHASE_READY;
	} else if (s->is_last_chunk) {
		end_of_data(s);
	} else {
		SAY(s, 250, "2.0.0", "Go on");
		s->phase = PHASE_CHUNKS;
	}
}

static void on_bdat(struct session *s, struct text args)
{
	struct smtp_chunk chunk;

	if (!(offered(s) & EHLO_CHUNKING) || smtp_chunk_parse(args, &chunk) || chunk.bytes == UINT64_MAX) {
		/* nobody knows what comes: it must not be read as commands */
		SAY(s, 501, "5.5.4", "BDAT is not understood here");
		close_politely(s);
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

static void take_chunk(struct session *s, struct text *input)
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

static void take_helo(struct session *s, struct text args)
{
	buf_reset(&s->helo);
	buf_add(&s->helo, args);
	reset_transaction(s);
	s->phase = PHASE_READY;
}

static void on_helo(struct session *s, struct text args)
{
	take_helo(s, args);
	say(s, (struct reply){ 250, "", s->sink->o.hostname });
}

static void on_ehlo(struct session *s, struct text args)
{
	struct sink *sink = s->sink;
	struct ehlo ehlo = { .keywords = offered(s),
		             .domain = sink->o.hostname,
		             .size_limit_bytes = sink->o.max_bytes };

	if (sink->o.no_ehlo) {
		SAY(s, 502, "5.5.1", "Command not implemented");
		return;
	}
	take_helo(s, args);
	if (sink->o.tls && !s->is_tls)
		ehlo.keywords |= EHLO_STARTTLS;
	ehlo_add(&sink->out, &ehlo, TEXT_EMPTY);
}

static void on_rset(struct session *s, struct text args)
{
	(void)args;
	reset_transaction(s);
	if (s->phase != PHASE_HELLO)
		s->phase = PHASE_READY;
	SAY(s, 250, "2.0.0", "Ok");
}

static void on_noop(struct session *s, struct text args)
{
	(void)args;
	SAY(s, 250, "2.0.0", "Ok");
}

static void on_vrfy(struct session *s, struct text args)
{
	(void)args;
	SAY(s, 252, "2.1.5", "Send it and see");
}

static void on_help(struct session *s, struct text args)
{
	(void)args;
	SAY(s, 214, "2.0.0",
	    "Everything is accepted and nothing delivered. Recipients that begin with refuse, defer, full,\n"
	    "block, content, tempdot, grey, busy, drop or silent get what they ask for");
}

static void on_quit(struct session *s, struct text args)
{
	(void)args;
	SAY(s, 221, "2.0.0", "Bye");
	close_politely(s);
}

static void on_tls(void *owner, enum err err, const struct tls_info *info)
{
	struct session *s = owner;

	(void)info;
	if (err)
		return; /* the stream closes by itself */
	s->sink->counts.tls_sessions++;
	s->is_tls = true;
	s->phase = PHASE_HELLO;
}

static void on_starttls(struct session *s, struct text args)
{
	if (!s->sink->o.tls || s->is_tls || s->phase != PHASE_READY) {
		SAY(s, 503, "5.5.1", "Not here");
		return;
	}
	if (args.len) {
		SAY(s, 501, "5.5.4", "No parameters, please");
		return;
	}
	SAY(s, 220, "2.0.0", "Ready");
	flush(s);
	/* RFC 3207 section 6: what came in plain text behind it is forgotten */
	io_stream_discard_kept(s->stream);
	s->phase = PHASE_HANDSHAKE;
	if (tls_start(s->stream, s->sink->o.tls, TEXT_EMPTY, on_tls, s))
		io_stream_close(s->stream);
}

static void on_browser(struct session *s, struct text args)
{
	(void)args;
	SAY(s, 421, "4.7.0", "This is no web server");
	close_politely(s);
}

static const struct command {
	enum smtp_verb verb;
	bool before_hello;
	void (*run)(struct session *s, struct text args);
} commands[] = {
	{ SMTP_MAIL, false, on_mail },         { SMTP_RCPT, false, on_rcpt },
	{ SMTP_DATA, false, on_data_command }, { SMTP_RSET, true, on_rset },
	{ SMTP_QUIT, true, on_quit },          { SMTP_EHLO, true, on_ehlo },
	{ SMTP_HELO, true, on_helo },          { SMTP_NOOP, true, on_noop },
	{ SMTP_VRFY, true, on_vrfy },          { SMTP_STARTTLS, false, on_starttls },
	{ SMTP_HELP, true, on_help },          { SMTP_HTTP, true, on_browser },
	{ SMTP_BDAT, false, on_bdat },
};

static void run_command(struct session *s, const struct smtp_command *c)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (commands[i].verb != c->verb)
			continue;
		if (s->phase == PHASE_HELLO && !commands[i].before_hello)
			SAY(s, 503, "5.5.1", "Say EHLO first");
		else
			commands[i].run(s, c->args);
		return;
	}
	SAY(s, 502, "5.5.1", "Command not implemented");
}

/* False: no whole line is there. */
static bool take_command(struct session *s, struct text *input)
{
	struct line line;
	struct smtp_command command;

	if (line_read(&s->lines, input, &line))
		return false;
	if (line.fault != LINE_FINE || smtp_command_parse(line.text, &command))
		SAY(s, 500, "5.5.2", "Syntax error");
	else
		run_command(s, &command);
	return true;
}

/* ---------------------------------------------------------------- the stream */

static size_t on_data(void *owner, struct text octets)
{
	struct session *s = owner;
	struct text input = octets;

	for (bool goes_on = true; goes_on && input.len > 0;) {
		switch (s->phase) {
		case PHASE_DATA:
			take_data(s, &input);
			break;
		case PHASE_CHUNK:
			take_chunk(s, &input);
			break;
		case PHASE_ANSWER:
			io_stream_pause(s->stream);
			goes_on = false;
			break;
		case PHASE_DEAF:
		case PHASE_HANDSHAKE:
			input = TEXT_EMPTY;
			break;
		default:
			goes_on = take_command(s, &input);
		}
	}
	flush(s);
	return octets.len - input.len;
}

static void on_connected(void *owner)
{
	(void)owner;
}

/* Half-open clients are not served further; what they are owed is sent. */
static void on_eof(void *owner)
{
	struct session *s = owner;

	s->phase = PHASE_DEAF;
	io_stream_finish(s->stream);
}

static void on_drained(void *owner)
{
	struct session *s = owner;

	if (!s->is_blocked)
		return;
	s->is_blocked = false;
	if (s->phase != PHASE_ANSWER)
		io_stream_resume(s->stream);
}

/* What is under way forgets the session. */
static void let_go(struct session *s)
{
	io_timer_stop(s->sink->o.io, &s->timer);
	if (s->item)
		s->item->on_kept = NULL;
	s->item = NULL;
	s->sink->counts.open_sessions--;
	list_remove(&s->link);
	s->sink = NULL;
}

static void on_closed(void *owner, enum err why)
{
	struct session *s = owner;

	(void)why;
	if (s->sink)
		let_go(s);
	buf_fini(&s->helo);
	buf_fini(&s->paths);
	buf_fini(&s->content);
	free(s);
}

static const struct io_stream_events events = {
	.on_connected = on_connected,
	.on_data = on_data,
	.on_eof = on_eof,
	.on_drained = on_drained,
	.on_closed = on_closed,
};

void session_begin(struct sink *sink, struct io_stream *stream)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s) {
		io_stream_close(stream);
		return;
	}
	s->sink = sink;
	s->stream = stream;
	s->number = ++sink->counts.sessions;
	s->lines = line_reader(SMTP_COMMAND_LINE_MAX);
	s->helo = BUF(SMTP_COMMAND_LINE_MAX);
	s->paths = BUF(PATHS_BYTES);
	list_append(&sink->sessions, &s->link);
	io_stream_attach(stream, &events, s);
	if (sink->counts.open_sessions++ >= sink->o.max_sessions && sink->o.max_sessions) {
		SAY(s, 421, "4.3.2", "Too many sessions");
		close_politely(s);
		return;
	}
	buf_add_string(&sink->out, "220 ");
	buf_add(&sink->out, sink->o.hostname);
	buf_add_string(&sink->out, " ESMTP sink\r\n");
	flush(s);
}

void session_abandon(struct list *link)
{
	struct session *s = LIST_ITEM(link, struct session, link);

	let_go(s);
	io_stream_close(s->stream);
}
