/* support/wild_peer.h - an SMTP server in the simulated world that has moods: by a seed it takes, defers, refuses, cuts or goes
 * silent, at any stage. It keeps a book of what it took, recipient by recipient. */
#ifndef TEST_SUPPORT_WILD_PEER_H
#define TEST_SUPPORT_WILD_PEER_H

#include <postrider/base/random.h>
#include <postrider/sim.h>

struct wild_peer;

/* One recipient of one message that it took. */
struct wild_delivery {
	int64_t at;          /* when it took responsibility */
	bool answer_is_lost; /* it never said so */
};

/* Called for each recipient of a message that was taken; content as it came. */
typedef void wild_taken_fn(void *owner, struct text forward_path, struct text content,
                           const struct wild_delivery *d);

MUST_USE enum err wild_peer_new(struct sim *s, struct ip_port at, uint64_t seed, wild_taken_fn *on_taken,
                                void *owner, struct wild_peer **out);
/* Of 1,000 decisions so many go wrong. 0: it is good from now on. */
void wild_peer_set_malice(struct wild_peer *p, unsigned permille);
void wild_peer_free(struct wild_peer **p); /* sim_settle afterwards */

#endif
