/* Another refresh token: a server that gives one takes the old one no more, so it must outlive us. */
#include "token_source.h"

#include <stdlib.h>

void token_job_free(struct token_job *j)
{
	for (unsigned i = 0; i < TOKEN_FILES; i++) {
		free(j->paths[i]);
		buf_wipe(&j->contents[i]);
	}
	free(j);
}

struct token_job *token_job_new(struct token_source *s)
{
	struct token_job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->source = s;
	j->disk = s->tokens->options.disk;
	for (unsigned i = 0; i < TOKEN_FILES; i++)
		buf_init(&j->contents[i], TOKEN_BODY_MAX);
	return j;
}

static struct text directory_of(struct text path)
{
	size_t slash = text_find_last_octet(path, '/');

	return slash == path.len ? TEXT(".") : slash == 0 ? TEXT("/") : text_head(path, slash);
}

/* The old one or the new one is there at any time, also when the power goes. */
static enum err write_file(struct io_disk *disk, const char *path, struct text content)
{
	AUTO(buf_fini) struct buf names = BUF(8192);
	struct text directory = directory_of(text_from(path));
	struct io_file *file = NULL;

	buf_add_format(&names, "%s.new%c%.*s%c", path, 0, TEXT_ARGS(directory), 0);
	if (buf_err(&names))
		return buf_err(&names);
	const char *other = names.at, *folder = names.at + strlen(path) + 5;
	enum err err = disk->ops->remove(disk, other);

	if (!err || err == ERR_NOT_FOUND)
		err = disk->ops->open(disk, other, IO_FILE_CREATE, &file);
	if (!err)
		err = disk->ops->write_at(file, 0, content.at, content.len);
	if (!err)
		err = disk->ops->sync(file);
	if (file)
		disk->ops->close(&file);
	if (!err)
		err = disk->ops->rename(disk, other, path);
	return err ? err : disk->ops->sync_directory(disk, folder);
}

static void run_writing(struct io_job *job)
{
	struct token_job *j = CONTAINER_OF(job, struct token_job, job);

	j->errs[TOKEN_FILE_REFRESH] =
		write_file(j->disk, j->paths[TOKEN_FILE_REFRESH], buf_text(&j->contents[TOKEN_FILE_REFRESH]));
}

static void tell_unwritten(struct token_source *s, struct text path, const char *why)
{
	AUTO(buf_fini) struct buf words = BUF(TOKEN_WORDS_MAX);

	if (s->told_rotation)
		return;
	s->told_rotation = true;
	buf_add_format(
		&words,
		"gave another refresh token, which is kept in memory only and lost at a restart: %.*s%s%s",
		TEXT_ARGS(path), path.len ? ": " : "", why);
	token_source_tell(s, true, buf_text(&words));
}

static void begin_writing(struct token_source *s);

static void done_writing(struct io_job *job)
{
	struct token_job *j = CONTAINER_OF(job, struct token_job, job);
	struct text written = buf_text(&j->contents[TOKEN_FILE_REFRESH]);
	struct token_source *s = j->source;
	enum err err = j->errs[TOKEN_FILE_REFRESH];

	if (s) {
		s->writing = NULL;
		written.len--; /* without its line end, as it is read */
		if (err)
			tell_unwritten(s, s->config.refresh_token_file,
			               err == ERR_DENIED ? "its directory must be writable for the relay"
			                                 : err_text(err));
		else
			s->refresh_file = crypto_sha256(&written, 1);
		if (!text_eq(written, buf_text(&s->refresh)) && s->refresh.len)
			begin_writing(s);
	}
	token_job_free(j);
}

static struct token_job *new_writing(struct token_source *s)
{
	struct token_job *j = token_job_new(s);
	struct buf *content = j ? &j->contents[TOKEN_FILE_REFRESH] : NULL;

	if (!j)
		return NULL;
	j->paths[TOKEN_FILE_REFRESH] = text_dup(s->config.refresh_token_file);
	buf_reserve(content, s->refresh.len + 1);
	buf_add(content, buf_text(&s->refresh));
	buf_add_octet(content, '\n');
	if (j->paths[TOKEN_FILE_REFRESH] && !buf_err(content))
		return j;
	token_job_free(j);
	return NULL;
}

/* One at a time: the next begins when it has ended. */
static void begin_writing(struct token_source *s)
{
	if (s->writing)
		return;
	s->writing = new_writing(s);
	if (!s->writing) {
		tell_unwritten(s, s->config.refresh_token_file, err_text(ERR_NOMEM));
		return;
	}
	s->writing->job.run = run_writing;
	s->writing->job.done = done_writing;
	io_job_submit(s->tokens->options.io, IO_LANE_DISK, &s->writing->job);
}

void token_source_rotate(struct token_source *s, struct text refresh_token)
{
	if (text_eq(refresh_token, buf_text(&s->fetch.refresh_token)))
		return;
	buf_wipe(&s->refresh);
	buf_reserve(&s->refresh, refresh_token.len);
	buf_add(&s->refresh, refresh_token);
	if (buf_err(&s->refresh)) {
		buf_wipe(&s->refresh);
		tell_unwritten(s, s->config.refresh_token_file, err_text(ERR_NOMEM));
	} else if (s->config.refresh_token_file.len) {
		begin_writing(s);
	} else {
		tell_unwritten(s, TEXT_EMPTY, "give it a place: refresh_token_file");
	}
}

void token_source_drop_jobs(struct token_source *s)
{
	if (s->writing)
		s->writing->source = NULL;
	s->writing = NULL;
}
