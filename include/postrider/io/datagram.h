/* postrider/io/datagram.h - one UDP socket towards one peer, on a random port of ours. */
#ifndef POSTRIDER_IO_DATAGRAM_H
#define POSTRIDER_IO_DATAGRAM_H

#include <postrider/io/stream.h>

struct io_datagram;

/* Only datagrams from the peer (address and port) are handed on. err: the socket failed (ERR_REFUSED when nobody
 * listens there), bytes is empty then. */
typedef void io_datagram_fn(void *owner, enum err err, struct text bytes);

MUST_USE enum err io_datagram_open(struct io *io, const struct ip_port *peer, io_datagram_fn *on_datagram, void *owner,
                                   struct io_datagram **out);
MUST_USE enum err io_datagram_send(struct io_datagram *d, struct text bytes);
void io_datagram_close(struct io_datagram **d);      /* no callback afterwards; NULL is fine */

#endif
