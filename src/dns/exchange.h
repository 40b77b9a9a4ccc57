/* exchange.h - one question over TCP: connects, asks, hands on what comes back (RFC 7766). */
#ifndef POSTRIDER_SRC_DNS_EXCHANGE_H
#define POSTRIDER_SRC_DNS_EXCHANGE_H

#include <postrider/io/stream.h>

struct exchange;

/* A message, without its length octets, borrowed; or why there will be none: then the exchange is over and only
 * waits for exchange_close. */
typedef void exchange_fn(void *owner, enum err err, struct text message);

/* query is copied. The deadline is the caller's. An error here means that nothing was started. */
MUST_USE enum err exchange_open(struct io *io, const struct ip_port *server, struct text query,
                                exchange_fn *fn, void *owner, struct exchange **out);
void exchange_close(struct exchange **e); /* also from inside fn; no fn afterwards; NULL is fine */

#endif
