/* A message from standard input: whom it is for and from, what its header lacks, and into the drop directory with it. */
#include "cli.h"
#include "sendmail.h"
#include "words.h"

#include <pwd.h>
#include <unistd.h>

#include <postrider/base/time.h>
#include <postrider/mail/drop.h>
#include <postrider/mail/header.h>
#include <postrider/mail/local_text.h>
#include <postrider/mail/submission.h>

#define PIECE_BYTES (64u << 10)
#define NAME_MAX_BYTES 400
#define HEAD_TOO_BIG "the header section does not end within 1 MiB"

struct message {
	struct sendmail *s;
	struct local_text lines;
	struct buf piece; /* as read */
	struct buf front; /* with CR LF, as far as it was needed for the header */
	bool at_end;
	struct buf from; /* the reverse-path */
	struct submission header;
	struct buf problem;
	uint64_t bytes;
	struct drop_file file;
};

/* ---------------------------------------------------------------- reading */

/* A line at a time where a dot may end it: whoever types it is not kept waiting. */
static enum err read_piece(struct message *m)
{
	FILE *in = m->s->world->in;
	int c;

	buf_reset(&m->piece);
	while (m->piece.len < PIECE_BYTES && (c = getc_unlocked(in)) != EOF) {
		buf_add_octet(&m->piece, (char)c);
		if (c == '\n' && m->lines.dot_ends)
			break;
	}
	m->at_end = feof(in) || m->lines.ended;
	return ferror(in) ? ERR_IO : buf_err(&m->piece);
}

/* Adds what was read to out, with the line ends of mail. */
static enum err read_more(struct message *m, struct buf *out)
{
	enum err err = read_piece(m);

	if (err)
		return err;
	local_text_add(&m->lines, buf_text(&m->piece), out);
	if (m->at_end || m->lines.ended) {
		local_text_finish(&m->lines, out);
		m->at_end = true;
	}
	return buf_err(out);
}

static bool has_blank_line(const struct buf *b, size_t from)
{
	struct text t = text_skip(buf_text(b), from > 3 ? from - 3 : 0);

	return text_starts(buf_text(b), TEXT("\r\n")) || text_find(t, TEXT("\r\n\r\n")) < t.len;
}

static enum err read_front(struct message *m)
{
	enum err err = ERR_OK;
	size_t before = 0;

	do {
		before = m->front.len;
		err = read_more(m, &m->front);
	} while (!err && !m->at_end && m->front.len < HEADER_SCAN_MAX && !has_blank_line(&m->front, before));
	return err;
}

/* ---------------------------------------------------------------- who */

static bool has_control(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if ((unsigned char)t.at[i] < ' ' || t.at[i] == 0x7f)
			return true;
	return false;
}

static void add_login(struct buf *out)
{
	struct passwd *entry = getpwuid(getuid());

	if (entry && entry->pw_name[0])
		buf_add_string(out, entry->pw_name);
	else
		buf_add_format(out, "uid%u", (unsigned)getuid());
}

/* The first part of the comment field; "&" stands for the login name there. */
static void add_system_name(struct buf *out)
{
	struct passwd *entry = getpwuid(getuid());
	struct text rest = text_from(entry ? entry->pw_gecos : ""), name = text_cut(&rest, ',');

	if (!has_control(name) && text_find_octet(name, '&') == name.len)
		buf_add(out, text_head(name, NAME_MAX_BYTES));
}

static int find_sender(struct message *m)
{
	const char *given = m->s->args.from;
	AUTO(buf_fini) struct buf login = BUF(1000);
	struct text sender = text_from(given);

	if (given && (sender.len == 0 || text_eq(sender, TEXT("<>"))))
		return SYSEXIT_OK;
	if (given && sender.len > 2 && sender.at[0] == '<' && text_ends(sender, TEXT(">")))
		sender = text_of(sender.at + 1, sender.len - 2);
	if (!given) {
		add_login(&login);
		sender = buf_text(&login);
	}
	if (submission_add_mailbox(sender, buf_text(&m->s->hostname), &m->from, &m->problem))
		return sendmail_fail(m->s, SYSEXIT_USAGE, "the sender %.*s",
		                     TEXT_ARGS(buf_text(&m->problem)));
	return SYSEXIT_OK;
}

/* ---------------------------------------------------------------- the header */

/* Where nothing in it needs encoding, a quoted string may hold all of it. */
static void add_name(struct buf *out, struct text name)
{
	bool is_ascii = true;

	for (size_t i = 0; i < name.len; i++)
		is_ascii = is_ascii && (unsigned char)name.at[i] < 128;
	if (!is_ascii) {
		words_add_encoded(out, name);
		return;
	}
	buf_add_octet(out, '"');
	for (size_t i = 0; i < name.len; i++) {
		if (name.at[i] == '"' || name.at[i] == '\\')
			buf_add_octet(out, '\\');
		buf_add_octet(out, name.at[i]);
	}
	buf_add_octet(out, '"');
}

static void add_from(struct message *m, struct buf *out)
{
	AUTO(buf_fini) struct buf name = BUF(1000);

	if (m->s->args.name)
		buf_add_string(&name, m->s->args.name);
	else if (!m->s->args.from)
		add_system_name(&name);
	buf_add(out, TEXT("From: "));
	if (name.len > 0) {
		add_name(out, buf_text(&name));
		buf_add_octet(out, ' ');
	}
	if (m->from.len > 0)
		buf_add_format(out, "<%.*s>\r\n", TEXT_ARGS(buf_text(&m->from)));
	else
		buf_add_format(out, "<MAILER-DAEMON@%.*s>\r\n", TEXT_ARGS(buf_text(&m->s->hostname)));
}

/* RFC 6409 section 8 */
static void add_missing(struct message *m, struct buf *out)
{
	if (m->header.froms == 0)
		add_from(m, out);
	if (m->header.dates == 0) {
		buf_add(out, TEXT("Date: "));
		time_add_rfc5322(out, io_now_time(m->s->cli->io));
		buf_add(out, TEXT("\r\n"));
	}
	if (m->header.message_ids == 0)
		buf_add_format(out, "Message-ID: <%.*s@%.*s>\r\n", ID_CHARS, m->file.id.at,
		               TEXT_ARGS(buf_text(&m->s->hostname)));
}

static int data_error(struct message *m, const char *words)
{
	return sendmail_fail(m->s, SYSEXIT_DATAERR, "%s", words);
}

static int read_header(struct message *m, size_t *section)
{
	/* A mailbox file's separator is not part of the message. */
	if (text_starts(buf_text(&m->front), TEXT("From ")))
		buf_drop_head(&m->front, MIN(text_find_octet(buf_text(&m->front), '\n') + 1, m->front.len));
	*section = header_section_bytes(buf_text(&m->front));
	struct text rest = text_skip(buf_text(&m->front), *section);

	/* What was read so far may end inside a line. */
	if (!m->at_end && !has_blank_line(&m->front, 0) && text_find_octet(rest, '\n') == rest.len)
		return data_error(m, HEAD_TOO_BIG);
	if (m->lines.has_nul)
		return data_error(m, "the message holds octets of zero, which mail cannot carry");
	if (m->lines.has_bare_cr && m->lines.bare_cr_at <= *section + 1)
		return data_error(m, "a CR stands alone in the header: lines end in LF or CR LF");
	const struct submission_wanted wanted = { .recipients = m->s->args.from_header,
		                                  .domain = buf_text(&m->s->hostname) };
	enum err err =
		submission_read(text_head(buf_text(&m->front), *section), &wanted, &m->header, &m->problem);

	if (err == ERR_NOMEM)
		return sendmail_fail(m->s, SYSEXIT_TEMPFAIL, "out of memory");
	return err ? sendmail_fail(m->s, SYSEXIT_DATAERR, "%.*s", TEXT_ARGS(buf_text(&m->problem)))
	           : SYSEXIT_OK;
}

/* ---------------------------------------------------------------- the file */

/* Arguments first, then what the header says; each one once. */
static int gather_recipients(struct message *m, struct buf *octets, struct text *to, size_t *count)
{
	const struct sendmail_args *args = &m->s->args;
	AUTO(free_memory) size_t *ends = calloc(args->recipient_count + 1, sizeof(*ends));

	if (!ends)
		return sendmail_fail(m->s, SYSEXIT_TEMPFAIL, "out of memory");
	for (size_t i = 0; i < args->recipient_count; i++) {
		if (submission_add_mailbox(text_from(args->recipients[i]), buf_text(&m->s->hostname), octets,
		                           &m->problem))
			return sendmail_fail(m->s, SYSEXIT_USAGE, "the recipient %.*s",
			                     TEXT_ARGS(buf_text(&m->problem)));
		ends[i] = octets->len;
	}
	*count = 0;
	for (size_t i = 0, start = 0; i < args->recipient_count; start = ends[i++])
		to[(*count)++] = text_of(octets->at + start, ends[i] - start);
	for (size_t i = 0; i < m->header.recipient_count; i++)
		to[(*count)++] = m->header.recipients[i];
	return SYSEXIT_OK;
}

static int write_envelope(struct message *m)
{
	const struct sendmail_args *args = &m->s->args;
	size_t room = args->recipient_count + m->header.recipient_count + 1, count = 0;
	AUTO(free_memory) struct text *to = calloc(room, sizeof(*to));
	AUTO(buf_fini) struct buf octets = BUF(DROP_HEAD_MAX), envid = BUF(100), lines = BUF(DROP_HEAD_MAX);

	if (!to)
		return sendmail_fail(m->s, SYSEXIT_TEMPFAIL, "out of memory");
	int code = gather_recipients(m, &octets, to, &count);

	if (code)
		return code;
	if (count == 0)
		return sendmail_fail(m->s, args->from_header ? SYSEXIT_DATAERR : SYSEXIT_USAGE,
		                     args->from_header ? "the header names no recipient (To, Cc, Bcc)"
		                                       : "no recipient is given: say whom, or -t");
	drop_add_xtext(&envid, text_from(args->envid));
	drop_add(&lines, &(struct drop){ .from = buf_text(&m->from),
	                                 .to = to,
	                                 .to_count = count,
	                                 .notify = args->notify,
	                                 .ret = args->ret,
	                                 .envid = buf_text(&envid) });
	if (buf_err(&lines) || count > DROP_RECIPIENTS_MAX)
		return sendmail_fail(m->s, SYSEXIT_DATAERR, "more than %u recipients", DROP_RECIPIENTS_MAX);
	return drop_file_write(&m->file, buf_text(&lines)) ? SYSEXIT_TEMPFAIL : SYSEXIT_OK;
}

static int storing_failed(struct message *m, enum err err)
{
	const struct text path = buf_text(&m->s->drop_path);

	if (err == ERR_NOT_FOUND)
		return sendmail_fail(
			m->s, SYSEXIT_TEMPFAIL,
			"there is no drop directory %.*s: the relay makes it when it starts; -C FILE or "
			"drop.path says where else it is",
			TEXT_ARGS(path));
	if (err == ERR_DENIED)
		return sendmail_fail(
			m->s, SYSEXIT_NOPERM,
			"this user may not write into the drop directory %.*s: it should have mode 1733, and "
			"the directories above it x for all",
			TEXT_ARGS(path));
	return sendmail_fail(m->s, SYSEXIT_TEMPFAIL, "the message cannot be stored in %.*s: %s",
	                     TEXT_ARGS(path), err_text(err));
}

static int write_piece(struct message *m, struct text octets)
{
	m->bytes += octets.len;
	if (m->s->max_bytes > 0 && m->bytes > m->s->max_bytes)
		return data_error(m, "the message is larger than the relay takes (access.max_message_size)");
	enum err err = drop_file_write(&m->file, octets);

	return err ? storing_failed(m, err) : SYSEXIT_OK;
}

static int write_header(struct message *m)
{
	AUTO(buf_fini) struct buf more = BUF(8192);

	add_missing(m, &more);
	if (buf_err(&more))
		return data_error(m, "the name of the sender is too long");
	buf_add(&more, TEXT("\r\n"));
	int code = write_piece(m, buf_text(&m->header.header));

	return code ? code : write_piece(m, buf_text(&more));
}

static int write_body(struct message *m, struct text begun)
{
	AUTO(buf_fini) struct buf out = BUF(4 * PIECE_BYTES);
	int code = write_piece(m, begun);

	while (!code && !m->at_end) {
		buf_reset(&out);
		enum err err = read_more(m, &out);

		code = err ? sendmail_fail(m->s, SYSEXIT_IOERR, "the message cannot be read: %s",
		                           err_text(err))
		           : write_piece(m, buf_text(&out));
	}
	if (!code && m->lines.has_nul)
		code = data_error(m, "the message holds octets of zero, which mail cannot carry");
	return code;
}

static int write_all(struct message *m, size_t section)
{
	struct text body = text_skip(buf_text(&m->front), section);
	int code = write_envelope(m);

	if (!code)
		code = write_header(m);
	if (!code) /* the blank line has been written */
		code = write_body(m, text_skip(body, text_starts(body, TEXT("\r\n")) ? 2 : 0));
	if (code)
		return code;
	enum err err = drop_file_finish(&m->file);

	return err ? storing_failed(m, err) : SYSEXIT_OK;
}

static struct id random_id(struct io *io)
{
	uint64_t halves[2] = { io_random_u64(io), io_random_u64(io) };
	struct id id;

	memcpy(id.bytes, halves, sizeof(id.bytes));
	return id;
}

static int take(struct message *m)
{
	size_t section = 0;
	struct text name = text_from(m->s->args.name);

	if (has_control(name) || name.len > NAME_MAX_BYTES)
		return sendmail_fail(m->s, SYSEXIT_USAGE,
		                     "the name behind -F has control characters, or is too long");
	int code = find_sender(m);
	enum err err = code ? ERR_OK : read_front(m);

	if (err)
		return sendmail_fail(m->s, SYSEXIT_IOERR, "the message cannot be read: %s", err_text(err));
	if (!code)
		code = read_header(m, &section);
	if (code)
		return code;
	err = drop_file_open(buf_text(&m->s->drop_path), random_id(m->s->cli->io), &m->file);
	return err ? storing_failed(m, err) : write_all(m, section);
}

int sendmail_deliver(struct sendmail *s)
{
	struct message m = { .s = s,
		             .lines = { .dot_ends = !s->args.ignore_dots },
		             .piece = BUF(PIECE_BYTES),
		             .front = BUF(HEADER_SCAN_MAX + 4 * PIECE_BYTES),
		             .from = BUF(1024),
		             .problem = BUF(4096),
		             .file = { .fd = -1 } };
	int code = take(&m);

	drop_file_fini(&m.file);
	submission_fini(&m.header);
	buf_fini(&m.piece);
	buf_fini(&m.front);
	buf_fini(&m.from);
	buf_fini(&m.problem);
	return code;
}
