/* UDP towards one peer. The socket is connected: the kernel drops what others send, and says when nobody listens. */
#include "uv_world.h"

#include <stdlib.h>

struct uv_datagram {
	struct io_datagram base;
	struct list link;            /* in the world's datagrams; out of it when closing */
	uv_udp_t udp;
};

static struct uv_datagram *datagram_of(struct io_datagram *d)
{
	return CONTAINER_OF(d, struct uv_datagram, base);
}

static void on_closed(uv_handle_t *handle)
{
	struct uv_datagram *d = handle->data;

	world_of(d->base.io)->descriptors--;
	free(d);
}

static void close_now(struct uv_datagram *d)
{
	list_remove(&d->link);
	uv_close((uv_handle_t *)&d->udp, on_closed);
}

void uv_world_datagram_close(struct io_datagram *base)
{
	struct uv_datagram *d = datagram_of(base);

	if (!uv_is_closing((uv_handle_t *)&d->udp))
		close_now(d);
}

void uv_world_close_datagrams(struct uv_world *w)
{
	for (LIST_EACH_SAFE(it, &w->datagrams))
		close_now(LIST_ITEM(it, struct uv_datagram, link));
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
	struct uv_datagram *d = handle->data;

	(void)suggested;
	*out = uv_buf_init(io_world_read_room(d->base.io), IO_READ_BYTES);
}

/* A datagram of no octets has an address; without one there was nothing to read. */
static void on_received(uv_udp_t *udp, ssize_t got, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
	struct uv_datagram *d = udp->data;

	(void)flags;
	if (got < 0)
		d->base.on_datagram(d->base.owner, err_from_uv((int)got), TEXT_EMPTY);
	else if (got > 0 || from)
		d->base.on_datagram(d->base.owner, ERR_OK, text_of(buf->base, (size_t)got));
}

static int start(struct uv_datagram *d, const struct ip_port *peer)
{
	struct io_address to = { .ip = *peer };
	struct sockaddr_storage name;

	(void)address_to_sockaddr(&to, &name);
	int status = uv_udp_connect(&d->udp, (struct sockaddr *)&name);

	return status ? status : uv_udp_recv_start(&d->udp, on_room, on_received);
}

enum err uv_world_datagram_open(struct io *io, const struct ip_port *peer, struct io_datagram **out)
{
	struct uv_world *w = world_of(io);

	if (w->ending)
		return ERR_CANCELLED;
	if (!world_has_descriptors(w))
		return ERR_BUSY;
	struct uv_datagram *d = calloc(1, sizeof(*d));

	if (!d)
		return ERR_NOMEM;
	int status = uv_udp_init(&w->loop, &d->udp);

	if (status) {
		free(d);
		return err_from_uv(status);
	}
	d->base.io = io;
	d->base.peer = *peer;
	d->udp.data = d;
	list_append(&w->datagrams, &d->link);
	w->descriptors++;
	status = start(d, peer);
	if (status) {
		close_now(d);
		return err_from_uv(status);
	}
	*out = &d->base;
	return ERR_OK;
}

enum err uv_world_datagram_send(struct io_datagram *base, struct text bytes)
{
	uv_buf_t buf = uv_buf_init((char *)bytes.at, (unsigned)bytes.len);
	int status = uv_udp_try_send(&datagram_of(base)->udp, &buf, 1, NULL);

	return status < 0 ? err_from_uv(status) : ERR_OK;
}
