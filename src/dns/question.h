/* question.h - one question on its way: which server is asked now, how long it is waited for, and what an answer
 * means. All times and sockets come from io.
 *
 *   WAITING -> ASKING (over UDP; every server asked keeps its socket open until the end, so late answers count)
 *   ASKING -> TCP (a truncated answer, or too many wrong ones) -> ASKING (that failed: the next server)
 *   ASKING -> ASKING from the start (the CNAME chain left the answer: its end is asked for)
 *   any -> over, through resolver_finish */
#ifndef POSTRIDER_SRC_DNS_QUESTION_H
#define POSTRIDER_SRC_DNS_QUESTION_H

#include "exchange.h"
#include "key.h"
#include "resolver.h"
#include "wire.h"

#include <postrider/io/datagram.h>

/* What one server has been asked. */
struct attempt {
	struct question *question;
	struct io_datagram *socket; /* NULL: not asked, or its socket failed */
	uint16_t id;
	bool edns;      /* as it was asked last */
	bool refused;   /* it said that it will not help: not asked again */
	unsigned wrong; /* octets that were no answer */
};

struct question {
	struct list link; /* running or waiting */
	struct map_item by_key;
	bool is_shared; /* in the map: others may join */
	struct list waiters;
	struct resolver *resolver;
	struct servers *servers;
	struct question_key key;
	struct name name; /* as asked by us */
	uint16_t type;

	struct name end; /* as asked of servers: the end of the chain so far */
	unsigned aliases;
	uint32_t ttl_s; /* the least of the chain so far */
	bool secure;    /* all of the chain so far */

	bool runs;
	int64_t deadline_at;
	struct io_timer timer;
	size_t first;                /* the server asked first */
	unsigned turn;               /* whose turn is next: first + turn, round the list */
	struct attempt *tcp_attempt; /* NULL: not over TCP */
	struct exchange *tcp;
	char trouble[256];         /* the last thing that went wrong, for people */
	bool was_refused;          /* somebody answered, and did not help */
	struct attempt attempts[]; /* for each server */
};

MUST_USE enum err question_new(struct resolver *r, const struct name *name, uint16_t type,
                               struct question **out);
void question_start(struct question *q); /* may end it at once */
void question_free(struct question **q); /* sockets and timer too; from whichever list it is in */

#endif
