/* schedule/limits.h - who shares what: a limit has a window of connections and rates, and all destinations that share it draw
 * on the same.
 *
 *   an account    a login at an upstream: what the provider counts
 *   a provider    an entry of `limits` with match_mx: all domains whose MX hosts fit, or the domain that it names
 *   a domain      what `limits` says of it, each domain by itself
 *   hosts         domains with the same MX hosts share what their answers teach: the window, being slow, being suspended; no rates
 *
 * A share is the part that a destination has in limits, one for each login it uses. It holds one limit or two: the domain's and
 * that of its hosts. Both must allow what goes. Until the MX hosts of a domain are known its own limit alone counts.
 *
 * Who may not send now stands in the limit's line, and is called by destination_pump_later when its turn has come: nobody
 * polls, and no task counts as tried. Only the first in line may take, so what costs much is not passed for ever by what
 * costs little; one that has no use for its turn leaves the line.
 *
 * A limit lives as long as somebody has a share in it, and then until nothing is worth remembering. */
#ifndef SCHEDULE_LIMITS_H
#define SCHEDULE_LIMITS_H

#include <postrider/base/list.h>
#include <postrider/base/map.h>
#include <postrider/deliver.h>
#include <postrider/io/io.h>

#include "bucket.h"
#include "rules.h"
#include "window.h"

struct destination;
struct schedule;

/* What one transaction takes. */
struct limit_cost {
	uint64_t messages, recipients, bytes;
};

struct limit_rate {
	struct bucket bucket;
	size_t unit; /* offset in struct limit_cost */
};

/* Why it is slow or suspended: a reply, and the rule that it came to. Texts are owned. */
struct limit_cause {
	char *reply, *rule;
	enum reason reason;
};

enum limit_level { LIMIT_ACCOUNT, LIMIT_PROVIDER, LIMIT_DOMAIN, LIMIT_HOSTS };

struct limit {
	struct map_item by_name; /* in schedule->limits */
	struct list all;
	struct schedule *schedule;
	enum limit_level level;
	const struct config_pace *pace; /* of schedule->config */
	struct limit_rate *rates;
	size_t rate_count;
	size_t users; /* shares */
	int64_t unused_since_at;
	unsigned connections, leaving; /* of all shares; leaving: of those, given nothing any more */
	struct window window;
	struct list line;   /* shares that wait for a rate */
	struct list hungry; /* shares that wait for a connection */
	struct io_timer rate_timer, window_timer, resume_timer;
	struct io_later turn, check;
	struct share *called; /* whose turn it is */
	bool answered;        /* it has asked, and must wait on */

	int64_t slow_until_at, slow_since_at; /* 0: not */
	int64_t suspended_until_at;           /* 0: not */
	struct limit_cause slow_cause, suspend_cause;
	struct {
		struct ip ip;
		int64_t until_at;
	} spared[4]; /* our own addresses that a rule wants not to be used */
};

#define LIMITS_PER_SHARE 2

struct share {
	struct list link; /* in destination->shares */
	struct destination *destination;
	char *user; /* of the login; owned; "" */
	size_t user_len;
	struct limit *limits[LIMITS_PER_SHARE];
	unsigned limit_count;
	unsigned connection_count, leaving_count;
	struct list line_link, hungry_link;
	struct limit *line;      /* where it stands */
	struct limit_cost wants; /* with that */
};

/* ---------------------------------------------------------------- shares */

/* The destination's share by this way; made when it is the first. NULL: no memory. */
struct share *share_get(struct destination *d, const struct config_way *way);
void share_free(struct share *h); /* no connection may be left */
/* A new snapshot, or news of its MX hosts: finds its limits anew. What was learnt of the MX hosts is in the destination. */
void share_resolve(struct share *h);

/* Whether cost may be taken now; if not, it stands in line and its destination is called when it may ask again. */
bool share_allows(struct share *h, const struct limit_cost *cost);
void share_take(struct share *h, const struct limit_cost *cost);
/* No more of it goes together than this; 1 or more. */
uint64_t share_recipients_max(const struct share *h);

bool share_is_suspended(const struct share *h);
int64_t share_slow_until_at(const struct share *h); /* 0: it is not slow */
/* How many connections its limits allow, whoever has them. */
unsigned share_window(const struct share *h);
/* There are more than that: one that has nothing in hand should go. */
bool share_is_over(const struct share *h);
/* Whether it may open one more; if not, its destination is called when there may be room. */
bool share_may_open(struct share *h);
/* Somebody else waits for a connection that this one's share has. */
bool share_others_hungry(const struct share *h);
void share_connected(struct share *h); /* one more is being opened */
void share_leaves(struct share *h);    /* one is given nothing any more */
void share_disconnected(struct share *h, bool was_leaving);

/* ---------------------------------------------------------------- what answers teach */

void share_succeeded(struct share *h); /* a message was taken */
/* What came of a connection, or of a recipient on it, brought trouble. */
void share_trouble(struct share *h, int64_t opened_at);
/* A connection was refused at the door, while others are there. */
void share_refused(struct share *h, int64_t opened_at);
void share_restart(struct share *h); /* after an outage */
/* A rule says slow or suspend. */
void share_slow(struct share *h, const struct rule_match *m, const struct deliver_result *r);
void share_suspend(struct share *h, const struct rule_match *m, const struct deliver_result *r);
void share_spare_source(struct share *h, struct ip source, int64_t for_ms);
unsigned share_spared_sources(const struct share *h, struct ip *out /* 4 */);
void share_try_now(struct share *h); /* a person says so */

/* ---------------------------------------------------------------- inside: limits.c, line.c, places.c, suspension.c */

struct limit *limit_find(struct schedule *s, struct text name);
/* It has no pace until somebody shares it. NULL: no memory. */
struct limit *limit_new(struct schedule *s, enum limit_level level, struct text name);
bool limit_is_slow(const struct limit *l);
unsigned limit_window(const struct limit *l);
/* What people call it: "account ses as app", "limits.gmail.com", "example.com". */
void limit_add_name(const struct limit *l, struct buf *out);
void limit_call_next(struct limit *l); /* in its line */
void limit_feed_hungry(struct limit *l);
void limit_pump_all(struct limit *l); /* all destinations that have a share in it */
void line_leave(struct share *h);
void limit_resume(struct limit *l);
/* As an earlier run left it; cause is taken over. */
void limit_restore_slow(struct limit *l, int64_t until_at, struct limit_cause *cause);
void limit_restore_suspension(struct limit *l, int64_t until_at, struct limit_cause *cause);
void limit_cause_fini(struct limit_cause *cause);

/* ---------------------------------------------------------------- the whole */

void limits_init(struct schedule *s);
void limits_fini(struct schedule *s);
void limits_configure(struct schedule *s); /* behind the change of schedule->config */
void limits_sweep(struct schedule *s);     /* now and then: forgets what is worth nothing */
/* The state is on disk again: what waited for it goes on. */
void limits_granted(struct schedule *s);

/* For people: which limit binds it now, as a sentence; false: none. *until_at: when that is over, 0: not known. */
bool share_binding(struct share *h, struct buf *out, int64_t *until_at);

#endif
