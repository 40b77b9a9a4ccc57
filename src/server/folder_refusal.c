/* What the relay will not take: who is told, and what stays for people to look at. */
#include "folder_inside.h"

#include <stdlib.h>

#include <postrider/base/auto.h>
#include <postrider/mail/dsn.h>

#define NOTICE_MAX (16u << 20)

static void on_notice_decided(void *owner, const struct queue_decision *decision)
{
	struct folder_file *file = owner;

	if (decision->err && decision->err != ERR_EXISTS)
		folder_file_put_off(file, err_text(decision->err));
	else
		folder_file_remove(file);
}

static struct text original_of(const struct folder_file *file)
{
	return text_head(file->content, 64u << 10);
}

static void write_notice(struct folder_file *file, struct buf *out)
{
	struct folder *f = file->folder;
	struct dsn_result result;
	const struct dsn dsn = {
		.id = handed_in_envelope(file->notice)->id,
		.random = random_u64(&f->random),
		.now_time = io_now_time(f->options.io),
		.hostname = f->config->hostname,
		.from = f->config->bounce.from,
		.to = f->kind->from(file),
		.original_id = file->id,
		.arrival_time = io_now_time(f->options.io),
		.recipients = file->refused,
		.recipient_count = file->refused_count,
		.returned = DSN_RETURN_HEADERS,
		.original = original_of(file),
		.original_bytes = file->bytes,
		.returned_max_bytes = f->config->bounce.max_size_bytes,
	};

	dsn_add(out, &dsn, &result);
}

static enum err build_notice(struct folder_file *file)
{
	struct folder *f = file->folder;
	AUTO(buf_fini) struct buf content = BUF(NOTICE_MAX), unused = BUF(1000);
	struct id id = file->id;

	id.bytes[ID_BYTES - 1] ^= 1; /* as sure to be the same as the message's own */
	enum err err = handed_in_new(&(struct handed_in_options){ .io = f->options.io,
	                                                          .queue = f->options.queue,
	                                                          .config = f->config,
	                                                          .id = id,
	                                                          .listener = f->kind->listener,
	                                                          .protocol = LIT("LOCAL"),
	                                                          .client = LIT("local") },
	                             &file->notice);

	if (!err)
		err = handed_in_from(file->notice, TEXT_EMPTY, &unused);
	if (!err)
		err = handed_in_to(file->notice, f->kind->from(file), &unused);
	if (!err)
		write_notice(file, &content);
	if (!err)
		err = buf_err(&content);
	if (!err)
		err = handed_in_open(file->notice, content.len);
	if (!err)
		err = handed_in_write(file->notice, buf_text(&content));
	if (!err)
		err = handed_in_finish(file->notice, &unused);
	return err ? err
	           : handed_in_commit(file->notice, TEXT_EMPTY, f->options.observe, 0, on_notice_decided,
	                              file);
}

static void put_refused_aside(struct folder_file *file)
{
	for (size_t i = 0; i < file->refused_count && file->problem.len == 0; i++)
		buf_add(&file->problem, file->refused[i].reply);
	folder_file_put_aside(file);
}

/* Whom the message goes to is settled. The sender hears of the others, if there is one and wants to. */
void folder_file_tell_sender(struct folder_file *file)
{
	struct folder *f = file->folder;
	bool may_tell = f->kind->tells_sender && f->kind->from(file).len > 0 &&
	                !(file->drop.notify & ENVELOPE_NOTIFY_NEVER);
	enum err err = file->refused_count == 0 ? ERR_OK : may_tell ? build_notice(file) : ERR_SYNTAX;

	if (file->refused_count == 0)
		folder_file_remove(file);
	else if (err == ERR_SYNTAX || err == ERR_DENIED)
		put_refused_aside(file); /* nobody can be told: the file stays for people */
	else if (err)
		folder_file_put_off(file, err_text(err));
}

enum err folder_file_keep_refusal(struct folder_file *file, struct text to, struct text why, size_t room)
{
	if (!file->refused)
		file->refused = calloc(room, sizeof(*file->refused));
	if (!file->refused)
		return ERR_NOMEM;
	struct dsn_recipient *r = &file->refused[file->refused_count];

	*r = (struct dsn_recipient){ .forward_path = to, .action = DSN_FAILED, .status = TEXT("5.7.1") };
	if (arena_text(&file->arena, why, &r->reply))
		return ERR_NOMEM;
	file->refused_count++;
	folder_say_rejected(file, to, r->reply);
	return ERR_OK;
}
