/* Listening sockets. We accept ourselves (libuv only says when): the peer's address comes with the call, a flood of
 * connections is taken in portions, and when descriptors run out the waiting ones stay in the kernel's queue. */
#include "uv_world.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ACCEPT_AT_ONCE 64
#define WAITING_AT_MOST 65536
#define REST_MS 100
#define BACKLOG 65535      /* the kernel cuts it to net.core.somaxconn */

struct uv_listener {
	struct io_listener base;
	struct list link;            /* in the world's listeners; out of it when closing */
	uv_poll_t poll;
	int fd;
	struct io_timer rest;
	bool paused;
	bool shared;                 /* closes when another one has taken its place */
	bool any_address;            /* bound to no address of its own: each stream has another local one */
	dev_t path_device;           /* of the Unix socket we made, so that we remove no other */
	ino_t path_inode;
};

static struct uv_listener *listener_of(struct io_listener *l)
{
	return CONTAINER_OF(l, struct uv_listener, base);
}

/* ---------------------------------------------------------------- accepting */

static void update_polling(struct uv_listener *l);

static void on_rested(void *owner)
{
	update_polling(owner);
}

static void rest(struct uv_listener *l)
{
	struct io *io = l->base.io;

	uv_poll_stop(&l->poll);
	/* Without memory for a timer: go on at once, there is nothing better. */
	if (io_timer_start(io, &l->rest, io_now_at(io) + REST_MS, on_rested, l))
		update_polling(l);
}

static void local_address(const struct uv_listener *l, int fd, struct io_address *out)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);

	*out = l->base.address;
	if (l->any_address && getsockname(fd, (struct sockaddr *)&name, &len) == 0)
		address_from_sockaddr(&name, len, out);
}

static void hand_on(struct uv_listener *l, int fd, const struct sockaddr_storage *name, socklen_t len)
{
	struct io_address peer, local;
	struct io_stream *s;

	address_from_sockaddr(name, len, &peer);
	if (peer.ip.ip.family == IP_NONE)
		address_peer_credentials(fd, &peer);
	local_address(l, fd, &local);
	if (uv_world_adopt(l->base.io, fd, &peer, &local, &s))
		return;
	l->base.on_accept(l->base.owner, s);
	if (!s->events)
		io_stream_close(s);
}

/* False: there is none to accept now. */
static bool accept_one(struct uv_listener *l)
{
	struct sockaddr_storage name = { 0 };
	socklen_t len = sizeof(name);

	if (!world_has_descriptors(world_of(l->base.io))) {
		rest(l);
		return false;
	}
	int fd = accept4(l->fd, (struct sockaddr *)&name, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		hand_on(l, fd, &name, len);
		return true;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
		rest(l);
	/* All else is the fault of one connection (accept(2) names them); the next may be well. */
	return errno != EAGAIN && errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
}

static bool may_accept(const struct uv_listener *l)
{
	return !l->paused && !io_timer_runs(&l->rest) && !uv_is_closing((const uv_handle_t *)&l->poll);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct uv_listener *l = poll->data;

	(void)events;
	if (status) {
		rest(l);
		return;
	}
	for (unsigned i = 0; i < ACCEPT_AT_ONCE && may_accept(l); i++) {
		if (!accept_one(l))
			return;
	}
}

static void update_polling(struct uv_listener *l)
{
	if (may_accept(l))
		uv_poll_start(&l->poll, UV_READABLE, on_readable);
	else
		uv_poll_stop(&l->poll);
}

void uv_world_listener_pause(struct io_listener *base, bool paused)
{
	struct uv_listener *l = listener_of(base);

	l->paused = paused;
	update_polling(l);
}

/* The kernel lets sockets of one user stand on the same address when both say so. Said only for the moment of a change, or a
 * second daemon that is started by mistake would get half of the connections instead of an error. */
static void share(int fd, bool shared)
{
	int on = shared;

	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

void uv_world_listener_share(struct io_listener *base)
{
	listener_of(base)->shared = true;
	share(listener_of(base)->fd, true);
}

/* Whoever waits at a door that moves has been let in by the kernel: it is not sent away. */
static void let_in_who_waits(struct uv_listener *l)
{
	for (unsigned i = 0; i < WAITING_AT_MOST && may_accept(l); i++) {
		if (!accept_one(l))
			return;
	}
}

/* ---------------------------------------------------------------- the end */

static void remove_path(const struct uv_listener *l)
{
	struct stat now;
	const char *path = l->base.address.unix_path;

	if (l->path_inode == 0 || lstat(path, &now) != 0)
		return;
	if (now.st_dev == l->path_device && now.st_ino == l->path_inode)
		unlink(path);
}

static void on_closed(uv_handle_t *handle)
{
	struct uv_listener *l = handle->data;

	world_of(l->base.io)->descriptors--;
	free(l);
}

void uv_world_listener_close(struct io_listener *base)
{
	struct uv_listener *l = listener_of(base);

	if (uv_is_closing((uv_handle_t *)&l->poll))
		return;
	if (l->shared)
		let_in_who_waits(l);
	list_remove(&l->link);
	io_timer_stop(base->io, &l->rest);
	remove_path(l);
	uv_close((uv_handle_t *)&l->poll, on_closed);
	close(l->fd);      /* uv_close has taken it out of the poll */
	l->fd = -1;
}

void uv_world_close_listeners(struct uv_world *w)
{
	for (LIST_EACH_SAFE(it, &w->listeners))
		uv_world_listener_close(&LIST_ITEM(it, struct uv_listener, link)->base);
}

/* ---------------------------------------------------------------- beginning */

/* A path is stale when it is a socket and nobody takes a connection there. */
static bool path_is_stale(const struct sockaddr_storage *name, socklen_t len)
{
	struct stat now;

	if (lstat(((const struct sockaddr_un *)name)->sun_path, &now) != 0 || !S_ISSOCK(now.st_mode))
		return false;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	bool refused = connect(fd, (const struct sockaddr *)name, len) != 0 && errno == ECONNREFUSED;

	close(fd);
	return refused;
}

/* The mode is set before anybody can connect: only listen(2) opens the door. */
static int bind_unix(struct uv_listener *l, const struct sockaddr_storage *name, socklen_t len, unsigned mode)
{
	const char *path = l->base.address.unix_path;
	struct stat made;

	if (bind(l->fd, (const struct sockaddr *)name, len) != 0) {
		if (errno != EADDRINUSE)
			return errno;
		if (!path_is_stale(name, len))
			return EADDRINUSE;
		if (unlink(path) != 0 && errno != ENOENT)
			return errno;
		if (bind(l->fd, (const struct sockaddr *)name, len) != 0)
			return errno;
	}
	if (lstat(path, &made) != 0)
		return errno;
	l->path_device = made.st_dev;
	l->path_inode = made.st_ino;
	return mode == 0 || chmod(path, mode) == 0 ? 0 : errno;
}

static bool is_zero(const unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i])
			return false;
	}
	return true;
}

/* "::" takes IPv4 too, any other IPv6 address does not. What is set here accepted sockets inherit. */
static int bind_ip(int fd, const struct ip *ip, const struct sockaddr_storage *name, socklen_t len)
{
	int on = 1, only6 = !is_zero(ip->bytes, 16);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (ip->family == IP_V6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof(only6)) != 0)
		return errno;
	return bind(fd, (const struct sockaddr *)name, len) == 0 ? 0 : errno;
}

enum err io_uv_bind(const struct ip_port *address, int *fd)
{
	struct io_address whole = { .ip = *address };
	struct sockaddr_storage name;
	socklen_t len = address_to_sockaddr(&whole, &name);
	int made = socket(name.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (made < 0)
		return err_from_errno(errno);
	int errno_value = bind_ip(made, &address->ip, &name, len);

	if (errno_value) {
		close(made);
		return err_from_errno(errno_value);
	}
	*fd = made;
	return ERR_OK;
}

static void know_address(struct uv_listener *l)
{
	const struct ip *ip = &l->base.address.ip.ip;

	l->any_address = ip->family != IP_NONE && is_zero(ip->bytes, ip->family == IP_V6 ? 16 : 4);
}

/* The port that the kernel chose. */
static int find_port(struct uv_listener *l)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	struct io_address found;

	if (getsockname(l->fd, (struct sockaddr *)&name, &len) != 0)
		return errno;
	address_from_sockaddr(&name, len, &found);
	l->base.address.ip.port = found.ip.port;
	return 0;
}

static int open_socket(struct uv_listener *l, unsigned mode)
{
	struct sockaddr_storage name;
	socklen_t len = address_to_sockaddr(&l->base.address, &name);
	bool is_unix = name.ss_family == AF_UNIX;
	int errno_value;

	l->fd = socket(name.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return errno;
	if (mode & IO_LISTEN_BESIDE)
		share(l->fd, true);
	errno_value = is_unix ? bind_unix(l, &name, len, mode & 07777)
	                      : bind_ip(l->fd, &l->base.address.ip.ip, &name, len);
	if (errno_value)
		return errno_value;
	know_address(l);
	if (listen(l->fd, BACKLOG) != 0)
		return errno;
	if (mode & IO_LISTEN_BESIDE)
		share(l->fd, false);
	return is_unix ? 0 : find_port(l);
}

static enum err give_up(struct uv_listener *l, enum err err)
{
	remove_path(l);
	if (l->fd >= 0)
		close(l->fd);
	free(l);
	return err;
}

static enum err start(struct uv_world *w, struct uv_listener *l, struct io_listener **out)
{
	int status = uv_poll_init(&w->loop, &l->poll, l->fd);

	if (status)
		return give_up(l, err_from_uv(status));
	l->poll.data = l;
	list_append(&w->listeners, &l->link);
	w->descriptors++;
	update_polling(l);
	*out = &l->base;
	return ERR_OK;
}

enum err uv_world_listen(struct io *io, const struct io_address *a, unsigned mode, struct io_listener **out)
{
	struct uv_world *w = world_of(io);

	if (w->ending)
		return ERR_CANCELLED;
	if (!world_has_descriptors(w))
		return ERR_BUSY;
	struct uv_listener *l = calloc(1, sizeof(*l));

	if (!l)
		return ERR_NOMEM;
	l->base.io = io;
	l->base.address = *a;
	l->base.address.peer_uid = l->base.address.peer_gid = UINT32_MAX;
	int errno_value = open_socket(l, mode);

	return errno_value ? give_up(l, err_from_errno(errno_value)) : start(w, l, out);
}

/* ---------------------------------------------------------------- sockets made by others */

static bool is_listening_stream(int fd)
{
	int type = 0, listens = 0;
	socklen_t type_len = sizeof(type), listens_len = sizeof(listens);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) == 0 && type == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_len) == 0 && listens;
}

/* We poll and close a descriptor of our own; the one that we were given stays as it is for as long as we live, so that a
 * reload can take the listener away and give it back. O_NONBLOCK belongs to the open file, which both share with whoever
 * started us. It is set all the same: when somebody else takes the connection that woke us, a blocking accept would halt the
 * whole relay, and nobody but a server waits in accept on such a socket (service managers poll it). */
static int share_inherited(struct uv_listener *l, int fd)
{
	if (!is_listening_stream(fd))
		return EINVAL;
	l->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (l->fd < 0)
		return errno;
	int flags = fcntl(l->fd, F_GETFL);

	if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(l->fd, F_SETFL, flags | O_NONBLOCK) != 0))
		return errno;
	return 0;
}

static int read_address(struct uv_listener *l)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	int on = 1;

	if (getsockname(l->fd, (struct sockaddr *)&name, &len) != 0)
		return errno;
	address_from_sockaddr(&name, len, &l->base.address);
	if (name.ss_family == AF_INET || name.ss_family == AF_INET6)
		setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	else if (name.ss_family != AF_UNIX)
		return EINVAL;
	know_address(l);
	return 0;
}

enum err uv_world_listen_on(struct io *io, int fd, bool inherited, struct io_listener **out)
{
	struct uv_world *w = world_of(io);
	struct uv_listener *l = w->ending || !world_has_descriptors(w) ? NULL : calloc(1, sizeof(*l));

	if (!l) {
		if (!inherited)
			close(fd);
		return w->ending ? ERR_CANCELLED : !world_has_descriptors(w) ? ERR_BUSY : ERR_NOMEM;
	}
	l->base.io = io;
	l->fd = inherited ? -1 : fd;
	int errno_value = inherited ? share_inherited(l, fd) : 0;

	if (!errno_value)
		errno_value = read_address(l);
	if (!errno_value && !inherited && listen(l->fd, BACKLOG) != 0)
		errno_value = errno;
	if (errno_value)
		return give_up(l, errno_value == EINVAL || errno_value == ENOTSOCK ? ERR_SYNTAX
		                                                                   : err_from_errno(errno_value));
	return start(w, l, out);
}
