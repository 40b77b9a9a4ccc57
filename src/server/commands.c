#include "commands.h"

#include <stdlib.h>

#include <postrider/base/auto.h>
#include <postrider/io/uv.h>

#define IN_MAX (IO_READ_BYTES + sizeof(struct runner_report) + RUNNER_OUTPUT_MAX + RUNNER_ERROR_MAX)

struct commands {
	struct io *io;
	const struct runner *runner;
	struct io_stream *stream; /* NULL: there is no runner, or none any more */
	bool is_freed;
	struct list calls;
	uint32_t number; /* of the last one */
	struct buf in;
};

struct auth_command {
	struct list link;
	struct commands *commands;
	uint32_t number;
	auth_command_fn *on_done;
	void *owner;
};

/* ---------------------------------------------------------------- reports */

static struct auth_command *find(struct commands *c, uint32_t number)
{
	for (LIST_EACH(it, &c->calls)) {
		struct auth_command *call = LIST_ITEM(it, struct auth_command, link);

		if (call->number == number)
			return call;
	}
	return NULL;
}

static void finish(struct auth_command *call, enum err err, int exit_code, struct text output,
                   struct text error)
{
	auth_command_fn *on_done = call->on_done;
	void *owner = call->owner;

	list_remove(&call->link);
	free(call);
	on_done(owner, err, exit_code, output, error);
}

/* Those of a run that was cancelled when it had just ended find nobody. */
static void take_report(struct commands *c, const struct runner_report *r, struct text rest)
{
	struct auth_command *call = find(c, r->number);

	if (call)
		finish(call, r->err < ERR_COUNT ? (enum err)r->err : ERR_IO, r->exit_code,
		       text_head(rest, r->output_bytes),
		       text_head(text_skip(rest, r->output_bytes), r->error_bytes));
}

/* False: it has not come whole, or it is none. */
static bool take_one(struct commands *c)
{
	struct runner_report r;
	struct text rest = text_skip(buf_text(&c->in), sizeof(r));

	if (c->in.len < sizeof(r) || c->is_freed)
		return false;
	memcpy(&r, c->in.at, sizeof(r));
	if (r.output_bytes > RUNNER_OUTPUT_MAX || r.error_bytes > RUNNER_ERROR_MAX) {
		io_stream_close(c->stream); /* whoever says that is not our runner any more */
		return false;
	}
	if (rest.len < r.output_bytes + r.error_bytes)
		return false;
	take_report(c, &r, rest);
	buf_drop_head(&c->in, sizeof(r) + r.output_bytes + r.error_bytes);
	return true;
}

static size_t on_data(void *owner, struct text octets)
{
	struct commands *c = owner;

	buf_reserve(&c->in, IN_MAX - c->in.len);
	buf_add(&c->in, octets);
	if (buf_err(&c->in)) {
		io_stream_close(c->stream);
		return octets.len;
	}
	while (take_one(c))
		;
	if (c->in.len == 0)
		buf_wipe(&c->in); /* a token was there */
	return octets.len;
}

static void on_eof(void *owner)
{
	io_stream_close(((struct commands *)owner)->stream);
}

static void on_drained(void *owner)
{
	(void)owner;
}

static void on_closed(void *owner, enum err why)
{
	struct commands *c = owner;
	struct list calls;

	(void)why;
	c->stream = NULL;
	buf_wipe(&c->in);
	if (c->is_freed) {
		free(c);
		return;
	}
	list_init(&calls);
	list_append_all(&calls, &c->calls);
	while (!list_is_empty(&calls))
		finish(LIST_FIRST(&calls, struct auth_command, link), ERR_CLOSED, 0, TEXT_EMPTY, TEXT_EMPTY);
}

static const struct io_stream_events events = {
	.on_data = on_data,
	.on_eof = on_eof,
	.on_drained = on_drained,
	.on_closed = on_closed,
};

/* ---------------------------------------------------------------- orders */

static void order(struct commands *c, uint32_t number, uint32_t command)
{
	const struct runner_order o = { .number = number, .command = command };
	struct text octets = text_of((const char *)&o, sizeof(o));

	if (c->stream)
		io_stream_write(c->stream, &octets, 1);
}

static enum err run(void *owner, struct text command, struct auth_command **out, auth_command_fn *on_done,
                    void *done_owner)
{
	struct commands *c = owner;
	size_t found = runner_find(c->runner, command);

	if (found == c->runner->count)
		return ERR_DENIED;
	if (!c->stream)
		return ERR_CLOSED;
	struct auth_command *call = calloc(1, sizeof(*call));

	if (!call)
		return ERR_NOMEM;
	*call = (struct auth_command){
		.commands = c, .number = ++c->number, .on_done = on_done, .owner = done_owner
	};
	list_append(&c->calls, &call->link);
	order(c, call->number, (uint32_t)found);
	*out = call;
	return ERR_OK;
}

static void cancel(void *owner, struct auth_command **command)
{
	struct auth_command *call = *command;

	*command = NULL;
	order(owner, call->number, RUNNER_CANCEL);
	list_remove(&call->link);
	free(call);
}

struct auth_commands commands_face(struct commands *c)
{
	return (struct auth_commands){ .run = run, .cancel = cancel, .owner = c };
}

/* ---------------------------------------------------------------- life */

enum err commands_new(struct io *io, struct runner *runner, struct commands **out)
{
	struct commands *c = calloc(1, sizeof(*c));
	int fd = runner->fd;
	enum err err = ERR_OK;

	if (!c)
		return ERR_NOMEM;
	c->io = io;
	c->runner = runner;
	list_init(&c->calls);
	buf_init(&c->in, IN_MAX);
	runner->fd = -1;
	if (fd >= 0)
		err = io_uv_stream_open(io, fd, &events, c, &c->stream);
	if (err)
		free(c);
	else
		*out = c;
	return err;
}

void commands_free(struct commands **slot)
{
	struct commands *c = *slot;

	*slot = NULL;
	if (!c)
		return;
	while (!list_is_empty(&c->calls))
		free(LIST_ITEM(list_shift(&c->calls), struct auth_command, link));
	c->is_freed = true;
	if (c->stream)
		io_stream_close(c->stream);
	else
		free(c);
}
