/* sendmail -bs: a dialogue on standard input and output, which is one with a listener of the relay. */
#include "cli.h"
#include "sendmail.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CHUNK (16u << 10)
#define CONNECT_MS 10000

struct pump {
	int in, out, socket;
	char chunk[CHUNK]; /* on its way to the socket; begins at `at` */
	size_t at, len;
	bool in_ended, said_end;
};

/* ---------------------------------------------------------------- whom to */

/* One that speaks SMTP from its first octet, and that we know how to reach. */
static const struct config_listener *find_listener(const struct config *config)
{
	for (size_t i = 0; i < config->listen.count; i++) {
		const struct config_listener *l = &config->listen.items[i];

		if (!l->address.is_fd && l->tls != CONFIG_TLS_IMPLICIT && l->proxy_protocol.count == 0 &&
		    (l->address.is_unix || l->address.port > 0))
			return l;
	}
	return NULL;
}

static socklen_t address_of(const struct config_endpoint *e, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (e->is_unix) {
		struct sockaddr_un *un = (struct sockaddr_un *)out;

		un->sun_family = AF_UNIX;
		memcpy(un->sun_path, e->host.at, MIN(e->host.len, sizeof(un->sun_path) - 1));
		return sizeof(*un);
	}
	if (e->ip.family == IP_V6) {
		struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;

		six->sin6_family = AF_INET6;
		six->sin6_port = htons(e->port);
		memcpy(&six->sin6_addr, e->ip.bytes, 16);
		if (IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr))
			six->sin6_addr = in6addr_loopback;
		return sizeof(*six);
	}
	struct sockaddr_in *four = (struct sockaddr_in *)out;

	four->sin_family = AF_INET;
	four->sin_port = htons(e->port);
	memcpy(&four->sin_addr, e->ip.bytes, 4);
	if (four->sin_addr.s_addr == htonl(INADDR_ANY))
		four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return sizeof(*four);
}

static int connect_to(const struct config_endpoint *e)
{
	struct sockaddr_storage name;
	socklen_t len = address_of(e, &name);
	int fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct timeval limit = { .tv_sec = CONNECT_MS / 1000 };

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&name, len) == 0)
		return fd;
	int why = errno;

	close(fd);
	errno = why;
	return -1;
}

/* ---------------------------------------------------------------- octets both ways */

/* Standard input and output may be shared with others (a terminal, a shell's pipe): they are never made non-blocking. The
 * socket is ours, and asked not to block call by call. False: the dialogue is over. */
static bool from_socket(struct pump *p)
{
	char octets[CHUNK];
	ssize_t n = recv(p->socket, octets, sizeof(octets), MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	for (ssize_t at = 0; at < n;) {
		ssize_t written = write(p->out, octets + at, (size_t)(n - at));

		if (written < 0 && errno != EINTR)
			return false;
		at += MAX(written, (ssize_t)0);
	}
	return n > 0;
}

static void from_input(struct pump *p)
{
	ssize_t n = read(p->in, p->chunk, sizeof(p->chunk));

	if (n < 0 && errno == EINTR)
		return;
	p->in_ended = n <= 0;
	p->at = 0;
	p->len = n > 0 ? (size_t)n : 0;
}

static bool to_socket(struct pump *p)
{
	ssize_t n = send(p->socket, p->chunk + p->at, p->len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ||
		       errno == EPIPE; /* what it said before is still read */
	p->at += (size_t)n;
	p->len -= (size_t)n;
	return true;
}

static int pump(struct pump *p)
{
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = p->socket, .events = (short)(POLLIN | (p->len > 0 ? POLLOUT : 0)) },
			{ .fd = p->in_ended || p->len > 0 ? -1 : p->in, .events = POLLIN },
		};

		if (p->in_ended && p->len == 0 && !p->said_end) {
			shutdown(p->socket, SHUT_WR);
			p->said_end = true;
		}
		if (poll(fds, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return SYSEXIT_IOERR;
		}
		if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) && !from_socket(p))
			return SYSEXIT_OK;
		if ((fds[0].revents & POLLOUT) && !to_socket(p))
			return SYSEXIT_IOERR;
		if (fds[1].revents)
			from_input(p);
	}
}

int sendmail_smtp(struct sendmail *s)
{
	const struct config *config = s->cli->config;
	const struct config_listener *l = config ? find_listener(config) : NULL;
	struct pump p = { .in = fileno(s->world->in), .out = s->world->out_descriptor, .socket = -1 };

	if (l)
		p.socket = connect_to(&l->address);
	if (p.socket < 0) {
		/* A greeting like any other: whoever speaks SMTP knows what to do. */
		fprintf(s->world->out, "421 4.3.2 %.*s %s\r\n", TEXT_ARGS(buf_text(&s->hostname)),
		        l ? "the relay does not answer, try again later" : "no listener here to speak with");
		return l ? sendmail_fail(s, SYSEXIT_TEMPFAIL, "the relay does not answer on %.*s: %s",
		                         TEXT_ARGS(l->address.text), err_text(err_from_errno(errno)))
		         : sendmail_fail(s, SYSEXIT_CONFIG,
		                         "no listener of the configuration speaks plain SMTP here");
	}
	int code = pump(&p);

	close(p.socket);
	return code;
}
