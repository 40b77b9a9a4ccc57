/* The drop directory: what `sendmail` leaves, also while the daemon is down. Mode 1733: anybody may put a file in, nobody but
 * the daemon can see which there are, and the names cannot be guessed; that is what makes a readable file private there.
 * The sticky bit keeps users from removing or renaming each other's files.
 *
 * Names: tmp.ID while it is written, ID when it is whole, bad.ID when it can never be taken. */
#include "folder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <postrider/base/time.h>

#define TMP_LIFE_MS DAY_MS
#define BAD_LIFE_MS (7 * DAY_MS)
#define STRAY_LIFE_MS HOUR_MS

static bool is_id(const char *name)
{
	struct id id;

	return id_from_text(text_from(name), &id) == ERR_OK;
}

static enum folder_look look_after(const struct stat *st, int64_t now_time, int64_t life_ms)
{
	return folder_ms(st->st_ctim) + life_ms < now_time ? FOLDER_REMOVE : FOLDER_LEAVE;
}

static enum folder_look look(const char *name, const struct stat *st, int64_t now_time)
{
	struct text t = text_from(name);

	if (is_id(name))
		return S_ISREG(st->st_mode) ? FOLDER_TAKE : FOLDER_REMOVE;
	if (text_starts(t, TEXT("tmp.")) && S_ISREG(st->st_mode))
		return look_after(st, now_time, TMP_LIFE_MS);
	if (text_starts(t, TEXT("bad.")) && S_ISREG(st->st_mode))
		return look_after(st, now_time, BAD_LIFE_MS);
	return look_after(st, now_time, STRAY_LIFE_MS);
}

static enum err parse(struct folder_file *f)
{
	struct text rest = buf_text(&f->head);
	enum err err = drop_parse(&rest, &f->drop, &f->problem);

	if (err == ERR_MORE)
		buf_add(&f->problem, TEXT("it ends before the message begins"));
	else if (err == ERR_TOO_BIG)
		buf_add(&f->problem, TEXT("its envelope is too large"));
	f->content = rest;
	return err == ERR_MORE || err == ERR_TOO_BIG ? ERR_SYNTAX : err;
}

/* The time is the kernel's, which no user can set; the rest is the name. So nobody makes an id of another time, and a user
 * who takes a name twice meets only himself. */
static struct id make_id(const struct folder_file *f, const struct stat *st)
{
	struct id id = { { 0 } };
	uint64_t time = (uint64_t)MAX(folder_ms(st->st_ctim), INT64_C(0));

	if (id_from_text(text_from(f->name), &id))
		return id; /* look() has let no such name through */
	for (unsigned i = 0; i < 6; i++)
		id.bytes[i] = (unsigned char)(time >> (8 * (5 - i)));
	return id;
}

static enum err put_aside(struct folder_file *f, int directory)
{
	char name[FOLDER_NAME_MAX + 8];

	snprintf(name, sizeof(name), "bad.%s", f->name);
	return renameat(directory, f->name, directory, name) == 0 || errno == ENOENT ? ERR_OK
	                                                                             : err_from_errno(errno);
}

static struct text from(const struct folder_file *f)
{
	return f->drop.from;
}

static const struct text *to(const struct folder_file *f, size_t *count)
{
	*count = f->drop.to_count;
	return f->drop.to;
}

const struct folder_kind folder_drop = {
	.listener = LIT("drop"),
	.protocol = LIT("local"),
	.look = look,
	.parse = parse,
	.front_bytes = DROP_HEAD_MAX,
	.make_id = make_id,
	.put_aside = put_aside,
	.from = from,
	.to = to,
	.tells_sender = true,
};
