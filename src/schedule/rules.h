/* schedule/rules.h - what to do on a peer's reply: the configuration's rules, then a short table of our own. Functions of
 * their arguments. */
#ifndef SCHEDULE_RULES_H
#define SCHEDULE_RULES_H

#include <postrider/config.h>
#include <postrider/deliver.h>

/* What a reply came to. */
struct rule_match {
	const struct config_rule *rule; /* NULL: one of our own */
	enum config_rule_action action;
	int64_t for_ms;
	bool is_general; /* it speaks of the peer, not of some recipients */
	bool escalates;  /* slow is not enough when it comes again */
};

/* "421", "4*", "550 5.7.*", "* 4.7.*": code and, behind a space, enhanced code. */
bool rule_reply_matches(struct text pattern, int code, struct text enhanced);

/* The first that matches. Only what a peer said is looked at: a time-out or our own words match nothing. forward_path: the
 * recipient's; empty: of a connection that never carried mail, domain: whose it was (empty: an upstream's). */
bool rules_find(const struct config *config, const struct deliver_result *r, struct text forward_path,
                struct text domain, const struct config_upstream *upstream, struct rule_match *out);

#endif
