/* The pick-up directory: whole messages in files *.eml. A file is complete when nothing has happened to it for a second; it
 * is claimed by another name, which also shows that we may remove it. The envelope is X-Sender and X-Receiver, else what the
 * address fields say.
 *
 * Names: X.eml as it came, X.eml.taken while it is on its way in, X.eml.bad and X.eml.bad.txt when it cannot be taken. */
#include "folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <postrider/base/time.h>
#include <postrider/mail/header.h>
#include <postrider/mail/local_text.h>

#define COMPLETE_MS SECOND_MS
#define TAKEN ".taken"
#define BAD ".bad"
#define SUFFIX_ROOM 16
#define FRONT_MAX HEADER_SCAN_MAX

static bool is_claimed(struct text name)
{
	return text_ends(name, TEXT(".eml" TAKEN));
}

/* ctime moves with every write and with a new name, and cannot be set. */
static enum folder_look look(const char *name, const struct stat *st, int64_t now_time)
{
	struct text t = text_from(name);

	if (is_claimed(t))
		return FOLDER_TAKE;
	if (!text_ends_nocase(t, TEXT(".eml")) || t.at[0] == '.' || S_ISDIR(st->st_mode) ||
	    t.len > FOLDER_NAME_MAX - SUFFIX_ROOM)
		return FOLDER_LEAVE;
	if (!S_ISREG(st->st_mode))
		return FOLDER_STRANGE;
	return folder_ms(st->st_ctim) + COMPLETE_MS <= now_time ? FOLDER_TAKE : FOLDER_LEAVE;
}

static enum err claim(struct folder_file *f, int directory)
{
	char name[FOLDER_NAME_MAX + 1];

	if (is_claimed(text_from(f->name)))
		return ERR_OK;
	snprintf(name, sizeof(name), "%.*s" TAKEN, FOLDER_NAME_MAX - SUFFIX_ROOM, f->name);
	if (renameat2(directory, f->name, directory, name, RENAME_NOREPLACE) != 0)
		return err_from_errno(errno);
	memcpy(f->name, name, sizeof(f->name));
	return ERR_OK;
}

/* ---------------------------------------------------------------- the message */

/* The front with CR LF, its header section changed. What is behind the front follows as it is read. */
static enum err change_header(struct folder_file *f, struct text front)
{
	const struct submission_wanted wanted = { .recipients = true, .sender = true, .x_fields = true };
	size_t section = header_section_bytes(front);
	enum err err = submission_read(text_head(front, section), &wanted, &f->submission, &f->problem);
	struct text body = text_skip(front, section);

	if (err)
		return err == ERR_TOO_BIG ? ERR_SYNTAX : err;
	if (f->submission.recipient_count == 0)
		buf_add(&f->problem,
		        TEXT("it names no recipient: neither X-Receiver nor To, Cc or Bcc has one"));
	else if (!f->submission.has_sender)
		buf_add(&f->problem, TEXT("it names no sender: neither X-Sender nor Sender or From has one"));
	if (f->problem.len > 0)
		return ERR_SYNTAX;
	/* A line that is no field ends the section without the blank line that mail has there. */
	if (!text_starts(body, TEXT("\r\n")))
		buf_add(&f->submission.header, TEXT("\r\n"));
	return buf_err(&f->submission.header);
}

static enum err parse(struct folder_file *f)
{
	struct local_text lines = { .dot_ends = false };
	struct buf front = BUF(2 * FRONT_MAX + 16);
	bool ends_in_cr = f->head.len > 0 && f->head.at[f->head.len - 1] == '\r';

	local_text_add(&lines, buf_text(&f->head), &front);
	if (f->at_end)
		local_text_finish(&lines, &front);
	if (buf_err(&front)) {
		buf_fini(&front);
		return ERR_NOMEM;
	}
	/* The CR that the filter keeps back, as its LF may be still to come. */
	if (!f->at_end && ends_in_cr)
		buf_add_octet(&front, '\r');
	buf_fini(&f->head);
	f->head = front;
	size_t section = header_section_bytes(buf_text(&f->head));

	struct text rest = text_skip(buf_text(&f->head), section);

	/* The front may end inside a line. */
	if (!f->at_end && text_find_octet(rest, '\n') == rest.len) {
		buf_add(&f->problem, TEXT("its header section does not end within 1 MiB"));
		return ERR_SYNTAX;
	}
	if (lines.has_bare_cr && lines.bare_cr_at <= section + 1)
		buf_add(&f->problem,
		        TEXT("a CR stands alone in its header section: lines end in LF or CR LF"));
	if (f->problem.len > 0)
		return ERR_SYNTAX;
	f->content = text_skip(buf_text(&f->head), section);
	return change_header(f, buf_text(&f->head));
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	return text_hash(text_of((const char *)(uint64_t[]){ hash, value }, 2 * sizeof(uint64_t)));
}

/* As sure to come out the same after a crash: name, inode and times do not change while we hold the file. */
static struct id make_id(const struct folder_file *f, const struct stat *st)
{
	uint64_t time = (uint64_t)MAX(folder_ms(st->st_ctim), INT64_C(0));
	uint64_t hash = mix(mix(text_hash(text_from(f->name)), st->st_ino), (uint64_t)st->st_ctim.tv_nsec);
	uint64_t more = mix(hash, (uint64_t)st->st_size);
	struct id id;

	for (unsigned i = 0; i < 6; i++)
		id.bytes[i] = (unsigned char)(time >> (8 * (5 - i)));
	for (unsigned i = 0; i < 8; i++)
		id.bytes[6 + i] = (unsigned char)(hash >> (8 * i));
	id.bytes[14] = (unsigned char)more;
	id.bytes[15] = (unsigned char)(more >> 8);
	return id;
}

/* ---------------------------------------------------------------- what cannot be taken */

static void write_reason(struct folder_file *f, int directory, const char *bad)
{
	char name[FOLDER_NAME_MAX + 1];

	snprintf(name, sizeof(name), "%.*s.txt", FOLDER_NAME_MAX - 4, bad);
	unlinkat(directory, name, 0);
	int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);

	if (fd < 0)
		return; /* the event says it too */
	buf_add(&f->problem, TEXT("\n"));
	if (write(fd, f->problem.at, f->problem.len) < 0)
		unlinkat(directory, name, 0);
	close(fd);
}

static enum err put_aside(struct folder_file *f, int directory)
{
	char name[FOLDER_NAME_MAX + 1];
	struct text base = text_from(f->name);

	if (is_claimed(base))
		base.len -= TEXT(TAKEN).len;
	snprintf(name, sizeof(name), "%.*s" BAD, (int)MIN(base.len, (size_t)FOLDER_NAME_MAX - SUFFIX_ROOM),
	         base.at);
	if (renameat(directory, f->name, directory, name) != 0)
		return errno == ENOENT ? ERR_OK : err_from_errno(errno);
	write_reason(f, directory, name);
	return ERR_OK;
}

static struct text from(const struct folder_file *f)
{
	return f->submission.sender;
}

static const struct text *to(const struct folder_file *f, size_t *count)
{
	*count = f->submission.recipient_count;
	return f->submission.recipients;
}

const struct folder_kind folder_pickup = {
	.listener = LIT("pickup"),
	.protocol = LIT("local"),
	.look = look,
	.claim = claim,
	.parse = parse,
	.front_bytes = FRONT_MAX,
	.make_id = make_id,
	.put_aside = put_aside,
	.from = from,
	.to = to,
	.tells_sender = false,
};
