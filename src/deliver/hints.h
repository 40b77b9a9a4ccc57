/* deliver/hints.h - known troubles with upstreams, and what helps against them. A closed list: each one is tested. */
#ifndef DELIVER_HINTS_H
#define DELIVER_HINTS_H

#include <postrider/deliver.h>

struct hint_place {
	const struct config_upstream *upstream; /* NULL: direct: there is nothing to be set */
	uint16_t port;                          /* 0: nobody was connected to */
	enum config_tls tls;
	const struct config_login *login; /* NULL: none */
};

/* What may help, without its end; NULL: nothing is known. */
const char *hint_find(const struct hint_place *place, const struct deliver_result *r);
/* Puts the hint behind what r->reply says, into words, which r->reply then points at. */
void hint_add(struct buf *words, const struct hint_place *place, struct deliver_result *r);

#endif
