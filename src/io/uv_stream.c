/* Streams over TCP and Unix sockets. An idle stream is this struct and no buffer. */
#include "uv_world.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#define BUFS_AT_ONCE 64

/* Octets the kernel did not take. One chunk is with libuv, one gathers what is written meanwhile. */
struct chunk {
	uv_write_t request;
	size_t len, room;
	char bytes[];
};

struct uv_stream {
	struct io_stream base;
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} uv;
	struct list link;              /* in the world's streams */
	struct chunk *gathering;
	uv_connect_t *connecting;
};

static struct uv_stream *stream_of(struct io_stream *s)
{
	return CONTAINER_OF(s, struct uv_stream, base);
}

/* ---------------------------------------------------------------- beginning and end */

static void on_closed(uv_handle_t *handle)
{
	struct uv_stream *s = handle->data;

	world_of(s->base.io)->descriptors--;
	list_remove(&s->link);
	free(TAKE(s->gathering));
	free(TAKE(s->connecting));
	io_stream_world_closed(&s->base);
	free(s);
}

void uv_world_close(struct io_stream *base)
{
	struct uv_stream *s = stream_of(base);

	uv_close(&s->uv.handle, on_closed);
}

void uv_world_cancel_streams(struct uv_world *w)
{
	for (LIST_EACH_SAFE(it, &w->streams)) {
		struct uv_stream *s = LIST_ITEM(it, struct uv_stream, link);

		io_stream_world_failed(&s->base, ERR_CANCELLED);
	}
}

/* From here on a stream leaves only through uv_world_close. */
static struct uv_stream *stream_new(struct io *io, bool is_unix)
{
	struct uv_world *w = world_of(io);
	struct uv_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	io_stream_world_init(&s->base, io);
	int status = is_unix ? uv_pipe_init(&w->loop, &s->uv.pipe, 0) : uv_tcp_init(&w->loop, &s->uv.tcp);

	assert(status == 0);      /* neither makes a socket yet */
	(void)status;
	s->uv.handle.data = s;
	list_append(&w->streams, &s->link);
	w->descriptors++;
	return s;
}

enum err uv_world_adopt(struct io *io, int fd, const struct io_address *peer, const struct io_address *local,
                        struct io_stream **out)
{
	bool is_unix = peer->ip.ip.family == IP_NONE;
	struct uv_stream *s = stream_new(io, is_unix);

	if (!s) {
		close(fd);
		return ERR_NOMEM;
	}
	int status = is_unix ? uv_pipe_open(&s->uv.pipe, fd) : uv_tcp_open(&s->uv.tcp, fd);

	if (status) {
		close(fd);
		io_stream_close(&s->base);
		return err_from_uv(status);
	}
	s->base.peer = *peer;
	s->base.local = *local;
	*out = &s->base;
	return ERR_OK;
}

enum err io_uv_stream_open(struct io *io, int fd, const struct io_stream_events *events, void *owner,
                           struct io_stream **out)
{
	const struct io_address nameless = { .peer_uid = UINT32_MAX, .peer_gid = UINT32_MAX };
	enum err err = uv_world_adopt(io, fd, &nameless, &nameless, out);

	if (!err)
		io_stream_attach(*out, events, owner);
	return err;
}

/* ---------------------------------------------------------------- connecting */

static void on_connected(uv_connect_t *request, int status)
{
	struct uv_stream *s = request->data;
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	int fd;

	free(TAKE(s->connecting));
	if (s->base.closing)
		return;
	if (status == 0)
		status = uv_fileno(&s->uv.handle, &fd);
	if (status) {
		io_stream_world_failed(&s->base, err_from_uv(status));
		return;
	}
	if (getsockname(fd, (struct sockaddr *)&name, &len) == 0)
		address_from_sockaddr(&name, len, &s->base.local);
	if (s->uv.handle.type == UV_NAMED_PIPE)
		address_peer_credentials(fd, &s->base.peer);
	io_stream_world_connected(&s->base);
}

/* A socket bound to an address but not yet to a port may share ports between different peers. */
static int bind_source(int fd, const struct ip *source)
{
	struct io_address from = { .ip = { .ip = *source } };
	struct sockaddr_storage name;
	socklen_t len = address_to_sockaddr(&from, &name);
	int on = 1;

	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	return bind(fd, (struct sockaddr *)&name, len) == 0 ? 0 : -errno;
}

/* A peer whose machine is gone says nothing, and the reply to a final dot is waited for ten minutes: whether somebody is
 * there at all is known after a minute and a half. One that is there and slow answers the probes. */
static void notice_death(int fd)
{
	static const struct {
		int level, option, value;
	} options[] = { { SOL_SOCKET, SO_KEEPALIVE, 1 },
		        { IPPROTO_TCP, TCP_KEEPIDLE, 30 },
		        { IPPROTO_TCP, TCP_KEEPINTVL, 15 },
		        { IPPROTO_TCP, TCP_KEEPCNT, 4 } };

	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		setsockopt(fd, options[i].level, options[i].option, &options[i].value, sizeof(options[i].value));
}

static int connect_tcp(struct uv_stream *s, const struct io_address *to, const struct ip *source)
{
	struct sockaddr_storage name;
	int family = to->ip.ip.family == IP_V6 ? AF_INET6 : AF_INET, on = 1;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	int status = source && source->family != IP_NONE ? bind_source(fd, source) : 0;

	if (!status)
		status = uv_tcp_open(&s->uv.tcp, fd);
	if (status) {
		close(fd);
		return status;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	notice_death(fd);
	(void)address_to_sockaddr(to, &name);
	return uv_tcp_connect(s->connecting, &s->uv.tcp, (struct sockaddr *)&name, on_connected);
}

enum err uv_world_connect(struct io *io, const struct io_address *to, const struct ip *source, struct io_stream **out)
{
	struct uv_world *w = world_of(io);
	bool is_unix = to->ip.ip.family == IP_NONE;

	if (w->ending)
		return ERR_CANCELLED;
	if (!world_has_descriptors(w))
		return ERR_BUSY;
	struct uv_stream *s = stream_new(io, is_unix);

	if (!s)
		return ERR_NOMEM;
	s->base.peer = *to;
	s->base.peer.peer_uid = s->base.peer.peer_gid = UINT32_MAX;
	s->connecting = calloc(1, sizeof(*s->connecting));
	if (!s->connecting) {
		io_stream_close(&s->base);
		return ERR_NOMEM;
	}
	s->connecting->data = s;
	int status = 0;

	if (is_unix)
		uv_pipe_connect(s->connecting, &s->uv.pipe, to->unix_path, on_connected);
	else
		status = connect_tcp(s, to, source);
	if (status) {
		io_stream_close(&s->base);
		return err_from_uv(status);
	}
	*out = &s->base;
	return ERR_OK;
}

/* ---------------------------------------------------------------- reading */

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
	struct uv_stream *s = handle->data;

	(void)suggested;
	*out = uv_buf_init(io_world_read_room(s->base.io), (unsigned)io_stream_world_room(&s->base));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
	struct uv_stream *s = stream->data;

	if (got > 0)
		io_stream_world_data(&s->base, text_of(buf->base, (size_t)got));
	else if (got == UV_EOF)
		io_stream_world_eof(&s->base);
	else if (got < 0)
		io_stream_world_failed(&s->base, got == UV_ENOBUFS ? ERR_NOMEM : err_from_uv((int)got));
}

void uv_world_read(struct io_stream *base, bool on)
{
	struct uv_stream *s = stream_of(base);

	if (!on) {
		uv_read_stop(&s->uv.stream);
		return;
	}
	int status = uv_read_start(&s->uv.stream, on_room, on_read);

	if (status)
		io_stream_world_send_failed(base, err_from_uv(status));
}

/* ---------------------------------------------------------------- writing */

static size_t unsent(const struct uv_stream *s)
{
	return uv_stream_get_write_queue_size(&s->uv.stream) + (s->gathering ? s->gathering->len : 0);
}

static void send_chunk(struct uv_stream *s);

static void on_written(uv_write_t *request, int status)
{
	struct chunk *chunk = CONTAINER_OF(request, struct chunk, request);
	struct uv_stream *s = request->data;

	free(chunk);
	if (s->base.closing)
		return;
	if (status) {
		io_stream_world_send_failed(&s->base, err_from_uv(status));
		return;
	}
	if (s->gathering)
		send_chunk(s);
	io_stream_world_sent(&s->base, unsent(s));
}

static void send_chunk(struct uv_stream *s)
{
	struct chunk *chunk = TAKE(s->gathering);
	uv_buf_t buf = uv_buf_init(chunk->bytes, (unsigned)chunk->len);

	chunk->request.data = s;
	int status = uv_write(&chunk->request, &s->uv.stream, &buf, 1, on_written);

	if (status) {
		free(chunk);
		io_stream_world_send_failed(&s->base, err_from_uv(status));
	}
}

/* Room for more octets in the gathering chunk. */
static bool gather_room(struct uv_stream *s, size_t more)
{
	size_t have = s->gathering ? s->gathering->len : 0;

	if (s->gathering && s->gathering->room - have >= more)
		return true;
	size_t room = MAX(have + more, s->gathering ? s->gathering->room * 2 : (size_t)0);
	struct chunk *chunk = realloc(s->gathering, sizeof(*chunk) + room);

	if (!chunk)
		return false;
	if (!s->gathering)
		chunk->len = 0;
	chunk->room = room;
	s->gathering = chunk;
	return true;
}

/* Keeps the pieces without their first `skip` octets. */
static bool gather(struct uv_stream *s, const struct text *pieces, size_t count, size_t skip)
{
	size_t total = 0;

	for (size_t i = 0; i < count; i++)
		total += pieces[i].len;
	assert(skip <= total);
	if (skip == total)
		return true;
	if (!gather_room(s, total - skip))
		return false;
	for (size_t i = 0; i < count; i++) {
		struct text left = text_skip(pieces[i], skip);

		skip -= pieces[i].len - left.len;
		memcpy(s->gathering->bytes + s->gathering->len, left.at, left.len);
		s->gathering->len += left.len;
	}
	return true;
}

/* Tries to write the first pieces; how many octets went out in *sent, how many pieces were tried in *tried. */
static int try_some(struct uv_stream *s, const struct text *pieces, size_t count, size_t *tried, size_t *sent)
{
	uv_buf_t bufs[BUFS_AT_ONCE];
	unsigned used = 0;
	size_t total = 0;

	for (*tried = 0; *tried < count && used < BUFS_AT_ONCE; ++*tried) {
		if (pieces[*tried].len == 0)
			continue;
		bufs[used++] = uv_buf_init((char *)pieces[*tried].at, (unsigned)pieces[*tried].len);
		total += pieces[*tried].len;
	}
	*sent = 0;
	int status = used ? uv_try_write(&s->uv.stream, bufs, used) : 0;

	if (status == UV_EAGAIN)
		return UV_EAGAIN;
	if (status < 0)
		return status;
	*sent = (size_t)status;
	return *sent < total ? UV_EAGAIN : 0;
}

void uv_world_send(struct io_stream *base, const struct text *pieces, size_t count)
{
	struct uv_stream *s = stream_of(base);
	bool queued = s->gathering || uv_stream_get_write_queue_size(&s->uv.stream) > 0;
	size_t tried = 0, sent = 0;
	int status = queued ? UV_EAGAIN : 0;

	while (count > 0 && status == 0) {
		status = try_some(s, pieces, count, &tried, &sent);
		if (status == 0) {
			pieces += tried;
			count -= tried;
		}
	}
	if (status == 0)
		return;
	if (status != UV_EAGAIN) {
		io_stream_world_send_failed(base, err_from_uv(status));
		return;
	}
	if (!gather(s, pieces, count, sent)) {
		io_stream_world_send_failed(base, ERR_NOMEM);
		return;
	}
	if (!queued && s->gathering)
		send_chunk(s);
	if (!base->send_failed)
		io_stream_world_sent(base, unsent(s));
}

void uv_world_shutdown(struct io_stream *base)
{
	struct uv_stream *s = stream_of(base);
	int fd;

	if (uv_fileno(&s->uv.handle, &fd) == 0)
		shutdown(fd, SHUT_WR);
}
