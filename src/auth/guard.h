/* auth/guard.h - guessing is slow: how many failures a client and a network may have, and how long a failure is kept waiting.
 *
 * Two counts stand in the way of an attempt: that of the client's address (/64 of IPv6), and that of the name it wants to be,
 * from its network (/24, /48). Nothing is counted for a name alone: a stranger cannot lock somebody out everywhere. A count
 * fills by one a failure and drains by the rate; above it attempts are refused without a look at them.
 *
 * An attempt takes a ticket before anything is compared, and brings it back with what came of it. No more tickets are out than
 * failures are allowed, others wait: so a burst of guesses on many connections is no way around, and a burst of right passwords
 * is not taken for one. */
#ifndef AUTH_GUARD_H
#define AUTH_GUARD_H

#include <postrider/base/ip.h>
#include <postrider/base/list.h>
#include <postrider/config.h>
#include <postrider/io/io.h>

#define GUARD_ENTRIES_MAX 32768 /* with failures in them; the oldest makes room */

struct guard;
struct guard_entry;

enum guard_answer {
	GUARD_GRANTED,
	GUARD_WAITS,  /* fn will be called: granted, or locked */
	GUARD_LOCKED, /* too many failures */
	GUARD_FAILED, /* no memory */
};

/* Zeroed: none. */
struct guard_ticket {
	struct list link; /* while it waits */
	struct guard *guard;
	struct guard_entry *client, *name; /* NULL: not counted */
	struct config_rate rate;
	bool granted;
	void (*fn)(struct guard_ticket *ticket, enum guard_answer answer);
};

MUST_USE enum err guard_new(struct io *io, struct guard **out);
void guard_free(struct guard **g); /* no ticket is out */

/* rate.count 0: always granted, nothing is counted. name may be empty: only the client counts then. fn runs in a later
 * part of the turn. */
enum guard_answer guard_ask(struct guard *g, struct config_rate rate, struct ip client, struct text name,
                            struct guard_ticket *ticket);
/* After GRANTED; or while it waits, with failed false. A zeroed one is fine. */
void guard_return(struct guard_ticket *ticket, bool failed);

/* How long a failure of this client is to be kept waiting, in milliseconds since its last line: longer for each one. */
int64_t guard_delay(struct guard *g, struct config_rate rate, struct ip client);

size_t guard_entries(const struct guard *g);

#endif
