/* Addresses and errors between the kernel's words and ours. */
#include "uv_world.h"

#include <postrider/io/uv.h>

#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

enum err err_from_uv(int status)
{
	return status == UV_EOF ? ERR_CLOSED : err_from_errno(-status);      /* on Unix a code of libuv is -errno */
}

static socklen_t unix_to_sockaddr(const char *path, struct sockaddr_storage *out)
{
	struct sockaddr_un *un = (struct sockaddr_un *)out;

	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, MIN(sizeof(un->sun_path), (size_t)IO_UNIX_PATH_MAX));
	un->sun_path[sizeof(un->sun_path) - 1] = '\0';
	return sizeof(*un);
}

socklen_t address_to_sockaddr(const struct io_address *a, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (a->ip.ip.family == IP_V4) {
		struct sockaddr_in *in = (struct sockaddr_in *)out;

		in->sin_family = AF_INET;
		in->sin_port = htons(a->ip.port);
		memcpy(&in->sin_addr, a->ip.ip.bytes, 4);
		return sizeof(*in);
	}
	if (a->ip.ip.family == IP_V6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(a->ip.port);
		memcpy(&in6->sin6_addr, a->ip.ip.bytes, 16);
		return sizeof(*in6);
	}
	return unix_to_sockaddr(a->unix_path, out);
}

static void unix_from_sockaddr(const struct sockaddr_un *un, socklen_t len, struct io_address *out)
{
	size_t path_len = len > offsetof(struct sockaddr_un, sun_path) ? len - offsetof(struct sockaddr_un, sun_path) : 0;

	path_len = strnlen(un->sun_path, MIN(path_len, (size_t)IO_UNIX_PATH_MAX - 1));
	memcpy(out->unix_path, un->sun_path, path_len);
}

void address_from_sockaddr(const struct sockaddr_storage *from, socklen_t len, struct io_address *out)
{
	*out = (struct io_address){ .peer_uid = UINT32_MAX, .peer_gid = UINT32_MAX };
	if (from->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)from;

		out->ip.ip.family = IP_V4;
		out->ip.port = ntohs(in->sin_port);
		memcpy(out->ip.ip.bytes, &in->sin_addr, 4);
	} else if (from->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;

		out->ip.ip = ip_from_bytes16((const unsigned char *)&in6->sin6_addr);
		out->ip.port = ntohs(in6->sin6_port);
	} else if (from->ss_family == AF_UNIX) {
		unix_from_sockaddr((const struct sockaddr_un *)from, len, out);
	}
}

void address_peer_credentials(int fd, struct io_address *a)
{
	struct ucred credentials;
	socklen_t len = sizeof(credentials);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) != 0)
		return;
	a->peer_uid = credentials.uid;
	a->peer_gid = credentials.gid;
}

size_t io_uv_own_addresses(struct ip *out, size_t max)
{
	uv_interface_address_t *all;
	size_t count = 0;
	int found;

	if (uv_interface_addresses(&all, &found) != 0)
		return 0;
	for (int i = 0; i < found && count < max; i++) {
		const struct sockaddr_in6 *six = &all[i].address.address6;

		if (six->sin6_family == AF_INET6)
			out[count++] = ip_from_bytes16(six->sin6_addr.s6_addr);
		else if (six->sin6_family == AF_INET)
			out[count++] = ip_from_v4(ntohl(all[i].address.address4.sin_addr.s_addr));
	}
	uv_free_interface_addresses(all, found);
	return count;
}
