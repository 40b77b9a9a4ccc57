/* postrider/route.h - who may send what to whom, and which way it goes. Functions of their arguments.
 * A mailbox is what stands between < and > of a path without its source route: "ann@example.com",
 * "ann@[192.0.2.1]", "postmaster", "" for the null reverse-path. */
#ifndef POSTRIDER_ROUTE_H
#define POSTRIDER_ROUTE_H

#include <postrider/config.h>

/* ---------------------------------------------------------------- who may send */

/* Whether a client of this listener may send to recipients elsewhere: it is in `allow`, or came through a Unix
 * socket (client.family IP_NONE; whoever may open the socket was allowed by its permissions). */
bool route_may_relay(const struct config_listener *listener, struct ip client);

/* access.deny: who is never spoken to. */
bool route_is_denied(const struct config *config, struct ip client);
/* Who has to begin with a PROXY header, and who may say by XCLIENT or XFORWARD whom it speaks for. A Unix socket's client has no
 * address and is in no such list. */
bool route_is_proxy(const struct config_listener *listener, struct ip client);
bool route_may_xclient(const struct config_listener *listener, struct ip client);

/* access.senders; the null reverse-path is always allowed (RFC 5321 section 4.5.5). */
bool route_sender_allowed(const struct config *config, struct text reverse_path);

enum route_admission {
	ROUTE_ADMITTED,
	ROUTE_RELAY_DENIED,     /* a stranger, and not one of accept_for: 550 5.7.1 */
	ROUTE_RECIPIENT_DENIED, /* not in access.recipients: 550 5.7.1 */
};

/* Before rewriting. may_relay: what route_may_relay said of the client. A stranger reaches `accept_for`, and
 * postmaster (RFC 5321 section 4.5.1) where rewrite.recipients gives it a destination; never a local part that holds
 * another address (% ! @). */
enum route_admission route_admit_recipient(const struct config *config,
                                           const struct config_listener *listener, bool may_relay,
                                           struct text forward_path);

/* rewrite.recipients, once (a result is not rewritten again): an exact address before its domain, that before
 * subdomains (the longest first), those before `any`. "postmaster" without a domain becomes
 * postmaster@<hostname> when no rule says otherwise. Adds the mailbox to use to out and returns the rule that made
 * it; NULL: none did. */
const struct config_rewrite_rule *route_rewrite_recipient(const struct config *config,
                                                          struct text forward_path, struct buf *out);

/* ---------------------------------------------------------------- which way */

/* A delivery key names the destination in whose order a recipient waits: "upstream:ses", "example.com",
 * "[192.0.2.1]"; a domain never has a colon outside brackets, so the two cannot meet. hold, discard and reject:
 * "route:hold" and so on. */
#define ROUTE_KEY_MAX 320

struct route_choice {
	enum config_via via;
	const struct config_route *route; /* place says file:line */
	size_t route_number;              /* from 1; 0: no route matched */
	const struct config_way *way;     /* with CONFIG_VIA_UPSTREAM and _DIRECT, else NULL */
	bool provisional;                 /* the content is not known yet, and another route may match then */
	size_t key_len;
	char key_octets[ROUTE_KEY_MAX];
};

static inline struct text route_key(const struct route_choice *choice)
{
	return (struct text){ choice->key_octets, choice->key_len };
}

/* What routes are chosen by, besides the recipient. Borrowed. */
struct route_message {
	struct text listener;     /* the name kept with the message; one that is no longer configured matches only routes
	                           * that name no listener */
	struct text user;         /* who logged in; empty: nobody */
	struct text reverse_path; /* empty: the null reverse-path */
	struct text fields; /* as struct header_pick has them; those that no line names are not there */
	uint64_t content_bytes;
	bool is_received; /* false: the content is not known yet, and routes that ask for header fields or sizes are passed over */
	bool released;    /* by a person: routes that hold are passed over, unless nothing else matches */
};

/* The first route that matches; forward_path after rewriting. Without a match: CONFIG_VIA_REJECT and route_number 0.
 * ERR_SYNTAX: a forward-path without a domain, or longer than RFC 5321 allows. */
MUST_USE enum err route_find(const struct config *config, const struct route_message *message,
                             struct text forward_path, struct route_choice *out);

/* How soon a message goes among those for the same destination: its route's class (route may be NULL), and one step more or less
 * urgent by the sender's MT-PRIORITY (RFC 6710): from 4 up, below 0 down. */
enum config_class route_class(const struct config_route *route, int priority);

/* Whether an attempt is noted on disk before it can deliver; route may be NULL. */
static inline bool route_is_strict(const struct config_route *route)
{
	return route && route->ledger == CONFIG_LEDGER_STRICT;
}

/* The limits of a domain: of the longest that matches, else `any`. Never NULL. */
const struct config_limit *route_limit(const struct config *config, struct text domain);
/* The upstream that a delivery key names; NULL: a domain's or an address's key, or of one that is configured no more. */
const struct config_upstream *route_upstream(const struct config *config, struct text key);
/* How long a message can come to wait between two attempts, and how long one for this destination waits at least after so many
 * of them failed (0: the first). Both without jitter. */
int64_t route_longest_step_ms(const struct config *config);
int64_t route_shortest_step_ms(const struct config *config, struct text key, size_t failures);
/* What the destination of a delivery key is given: its upstream's, or its domain's. Never NULL. */
const struct config_pace *route_pace(const struct config *config, struct text key);

/* ---------------------------------------------------------------- where direct delivery may connect */

/* Whether direct delivery may connect there: not to a private address (ip_is_private), nor to one of our own, unless
 * direct.allow_private lists it. why: set to a phrase when the answer is no; may be NULL. */
bool route_target_allowed(const struct config *config, struct ip ip, const struct config_ips *own,
                          const char **why);

#endif
