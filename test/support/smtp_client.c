#include "support/smtp_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define IN_BYTES (1024 * 1024)

static void go_on(struct smtp_client *c);

static void blame(struct smtp_client *c, const char *what, struct text line)
{
	print_message("%.*s", TEXT_ARGS(buf_text(&c->transcript)));
	print_message("%s: %.*s\nwaiting: %.*s\n", what, TEXT_ARGS(line), TEXT_ARGS(buf_text(&c->in)));
	fail();
}

static void finish(struct smtp_client *c)
{
	if (c->done || c->stream)
		return;
	c->done = true;
	if (c->on_done)
		c->on_done(c->owner);
}

static void on_timer(void *owner)
{
	struct smtp_client *c = owner;

	c->waits = false;
	go_on(c);
}

static void wait_ms(struct smtp_client *c, struct text line)
{
	uint64_t number;
	struct text rest = text_skip(line, 6);

	assert_int_equal(text_to_u64(text_cut(&rest, ' '), 1000000000, &number), ERR_OK);
	if (text_eq(rest, TEXT("s")))
		number *= 1000;
	else
		assert_true(text_eq(rest, TEXT("ms")));
	c->waits = true;
	assert_int_equal(io_timer_start(c->io, &c->timer, io_now_at(c->io) + (int64_t)number, on_timer, c),
	                 ERR_OK);
}

static void on_tls(void *owner, enum err err, const struct tls_info *info)
{
	struct smtp_client *c = owner;

	(void)info;
	assert_int_equal(err, ERR_OK);
	c->waits = false;
	go_on(c);
}

static void start_tls(struct smtp_client *c)
{
	assert_non_null(c->tls);
	assert_int_equal(c->in.len, 0);
	io_stream_discard_kept(c->stream);
	c->waits = true;
	assert_int_equal(tls_start(c->stream, c->tls, TEXT("sink.example"), on_tls, c), ERR_OK);
}

/* True: it was there. */
static bool expect_line(struct smtp_client *c, struct text wanted)
{
	struct text in = buf_text(&c->in);
	size_t end = text_find(in, TEXT("\r\n"));
	struct text line = text_head(in, end);

	if (end == in.len) {
		if (c->server_closed)
			blame(c, "closed, and expected was", wanted);
		return false;
	}
	buf_add_format(&c->transcript, "S: %.*s\n", TEXT_ARGS(line));
	if (!text_starts(line, wanted))
		blame(c, "not as expected", wanted);
	buf_drop_head(&c->in, end + 2);
	return true;
}

static char unescape(char c)
{
	switch (c) {
	case 'r':
		return '\r';
	case 'n':
		return '\n';
	case '0':
		return '\0';
	default:
		return c;
	}
}

static void add_raw(struct buf *out, struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		buf_add_octet(out, t.at[i] == '\\' && i + 1 < t.len ? unescape(t.at[++i]) : t.at[i]);
}

static bool is_a(struct text line, const char *kind)
{
	return text_eq(line, text_from(kind)) || (text_starts(line, text_from(kind)) && line.at[2] == ' ');
}

static bool is_said(struct text line)
{
	return is_a(line, "C:") || is_a(line, "R:");
}

static struct text peek(const struct smtp_client *c)
{
	struct text rest = c->script;

	return text_trim(text_cut(&rest, '\n'));
}

/* All lines of ours up to the next of another kind, in one write. */
static void speak(struct smtp_client *c)
{
	struct buf out = BUF(16 * 1024 * 1024);

	while (c->script.len > 0 && is_said(peek(c))) {
		struct text line = text_trim(text_cut(&c->script, '\n'));

		buf_add_format(&c->transcript, "%.*s\n", TEXT_ARGS(text_head(line, 200)));
		if (line.at[0] == 'R') {
			add_raw(&out, text_skip(line, 3));
		} else {
			buf_add(&out, text_skip(line, 3));
			buf_add_string(&out, "\r\n");
		}
	}
	assert_int_equal(buf_err(&out), ERR_OK);
	struct text all = buf_text(&out);

	if (c->stream)
		io_stream_write(c->stream, &all, 1);
	buf_fini(&out);
}

static void hang_up(struct smtp_client *c)
{
	if (c->stream)
		io_stream_close(c->stream);
}

/* One line of the script. False: it has to wait. */
static bool step(struct smtp_client *c)
{
	struct text line = peek(c);

	if (is_said(line)) {
		speak(c);
		return true;
	}
	bool is_reply = is_a(line, "S:"), is_close = text_eq(line, TEXT("closed"));

	if (is_reply && !expect_line(c, text_skip(line, 3)))
		return false;
	if (is_close && !c->server_closed)
		return false;
	if (is_close && c->in.len > 0)
		blame(c, "said more before it closed", line);
	text_cut(&c->script, '\n');
	if (text_starts(line, TEXT("after ")))
		wait_ms(c, line);
	else if (text_eq(line, TEXT("tls")))
		start_tls(c);
	else if (text_eq(line, TEXT("drops")))
		hang_up(c);
	else if (!is_reply && !is_close)
		blame(c, "no such thing in a script", line);
	return true;
}

static void go_on(struct smtp_client *c)
{
	while (c->is_connected && !c->waits && c->script.len > 0)
		if (!step(c))
			return;
	if (c->script.len > 0 || c->waits)
		return;
	hang_up(c);
	finish(c);
}

static void on_connected(void *owner)
{
	struct smtp_client *c = owner;

	c->is_connected = true;
	go_on(c);
}

static size_t on_data(void *owner, struct text octets)
{
	struct smtp_client *c = owner;

	buf_add(&c->in, octets);
	assert_int_equal(buf_err(&c->in), ERR_OK);
	go_on(c);
	return octets.len;
}

static void on_eof(void *owner)
{
	struct smtp_client *c = owner;

	c->server_closed = true;
	go_on(c);
}

static void on_drained(void *owner)
{
	(void)owner;
}

static void on_closed(void *owner, enum err why)
{
	struct smtp_client *c = owner;

	(void)why;
	c->stream = NULL;
	c->server_closed = true;
	go_on(c);
	finish(c);
}

static const struct io_stream_events events = {
	.on_connected = on_connected,
	.on_data = on_data,
	.on_eof = on_eof,
	.on_drained = on_drained,
	.on_closed = on_closed,
};

void smtp_client_start(struct smtp_client *c, struct io *io, const struct io_address *to, const char *script,
                       struct tls_context *tls)
{
	*c = (struct smtp_client){
		.io = io, .script = text_from(script), .tls = tls, .on_done = c->on_done, .owner = c->owner
	};
	c->in = BUF(IN_BYTES);
	c->transcript = BUF(IN_BYTES);
	assert_int_equal(io_connect(io, to, NULL, &events, c, &c->stream), ERR_OK);
}

void smtp_client_fini(struct smtp_client *c)
{
	if (!c->done || c->script.len > 0)
		blame(c, "the script is not through", text_head(c->script, 60));
	buf_fini(&c->in);
	buf_fini(&c->transcript);
}
