#include "support/service_peer.h"

#include "support/check.h"

#define IN_MAX (1u << 20)

static size_t on_data(void *owner, struct text bytes)
{
	struct service_session *s = owner;

	buf_add(&s->in, bytes);
	assert_int_equal(buf_err(&s->in), ERR_OK);
	if (s->peer)
		s->peer->on_input(s);
	return bytes.len;
}

static void on_eof(void *owner)
{
	struct service_session *s = owner;

	s->eof = true;
	io_stream_close(s->stream);
}

static void on_closed(void *owner, enum err why)
{
	struct service_session *s = owner;

	(void)why;
	if (s->peer)
		s->peer->open--;
	list_remove(&s->link);
	buf_fini(&s->in);
	free(s);
}

static void on_drained(void *owner)
{
	(void)owner;
}

static const struct io_stream_events events = {
	.on_data = on_data,
	.on_eof = on_eof,
	.on_drained = on_drained,
	.on_closed = on_closed,
};

static void on_accept(void *owner, struct io_stream *stream)
{
	struct service_peer *p = owner;
	struct service_session *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->peer = p;
	s->stream = stream;
	s->number = p->accepted++;
	buf_init(&s->in, IN_MAX);
	list_append(&p->sessions, &s->link);
	p->open++;
	io_stream_attach(stream, &events, s);
	p->on_input(s);
}

void service_peer_begin(struct service_peer *p, struct io *io, const struct io_address *at,
                        void (*on_input)(struct service_session *s), void *owner)
{
	*p = (struct service_peer){ .io = io, .on_input = on_input, .owner = owner, .accepted = p->accepted };
	list_init(&p->sessions);
	assert_int_equal(io_listen(io, at, 0600, on_accept, p, &p->listener), ERR_OK);
}

void service_peer_hang_up(struct service_peer *p)
{
	for (LIST_EACH_SAFE(it, &p->sessions))
		service_close(LIST_ITEM(it, struct service_session, link));
}

void service_peer_end(struct service_peer *p)
{
	io_listener_close(&p->listener);
	while (!list_is_empty(&p->sessions)) {
		struct service_session *s = LIST_FIRST(&p->sessions, struct service_session, link);

		s->peer = NULL;
		list_remove(&s->link);
		io_stream_close(s->stream);
	}
	p->open = 0;
}

void service_say_text(struct service_session *s, struct text t)
{
	io_stream_write(s->stream, &t, 1);
}

void service_say(struct service_session *s, const char *string)
{
	service_say_text(s, text_from(string));
}

void service_close(struct service_session *s)
{
	io_stream_close(s->stream);
}

bool service_line(const struct service_session *s, struct text *line)
{
	struct text t = buf_text(&s->in);
	size_t end = text_find_octet(t, '\n');

	*line = text_head(t, end);
	return end < t.len;
}

void service_drop_line(struct service_session *s)
{
	buf_drop_head(&s->in, text_find_octet(buf_text(&s->in), '\n') + 1);
}

struct io_address service_address(const char *ip_and_port)
{
	struct io_address a = { .peer_uid = UINT32_MAX, .peer_gid = UINT32_MAX };

	assert_int_equal(ip_port_parse(text_from(ip_and_port), &a.ip), ERR_OK);
	return a;
}
