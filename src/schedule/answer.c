/* What a peer's answer comes to: the rules on replies, and what it teaches of how much the peer bears. */
#include "internal.h"

#include <stdio.h>

static struct text domain_of(const struct destination *d)
{
	return text_starts(d->by_key.key, TEXT("upstream:")) ? TEXT_EMPTY : d->by_key.key;
}

static bool find_rule(const struct connection *c, const struct deliver_result *r, struct text forward_path,
                      struct rule_match *out)
{
	const struct destination *d = c->destination;

	return rules_find(d->schedule->config, r, forward_path, domain_of(d), c->way->upstream, out);
}

/* 421, "too many", "too fast": the peer bears less than it gets. */
static bool is_trouble(const struct deliver_result *r)
{
	if (r->kind != DELIVER_TRANSIENT || !r->from_peer)
		return false;
	return r->code == 421 || (r->reason == REASON_RATE_LIMITED && r->stage != STAGE_RCPT);
}

static void act(struct connection *c, const struct rule_match *m, const struct deliver_result *r)
{
	if (m->action == CONFIG_RULE_SLOW)
		share_slow(c->share, m, r);
	else if (m->action == CONFIG_RULE_SUSPEND)
		share_suspend(c->share, m, r);
}

static void become(struct deliver_result *r, enum deliver_kind kind, const char *class, char *enhanced)
{
	r->kind = kind;
	snprintf(enhanced, 16, "%s%.*s", class, TEXT_ARGS(text_head(text_skip(r->enhanced, 1), 14)));
	r->enhanced = text_from(enhanced);
}

/* The next attempt comes from another of our addresses, if there is one: this one is spared for a while. */
static void become_other_source(struct connection *c, const struct rule_match *m, struct deliver_result *r,
                                char *enhanced)
{
	if (c->way->source.count < 2)
		return;
	share_spare_source(c->share, r->local.ip, m->for_ms);
	c->is_spared = true;
	become(r, DELIVER_TRANSIENT, "4", enhanced);
}

/* Once: who was sent there by a rule is not sent on by another. */
static bool goes_by_another(const struct connection *c, const struct task *t, size_t recipient,
                            const struct rule_match *m)
{
	return m->action == CONFIG_RULE_OTHER_ROUTE && m->rule->way && !task_is_through(t) &&
	       m->rule->upstream_to != c->way->upstream && t->work->recipients[recipient].via.len == 0;
}

void answer_take(struct connection *c, struct task *t, size_t index, const struct deliver_result *result)
{
	const struct envelope *e = t->work->message->envelope;
	uint32_t n = t->work->recipients[t->job_first + index].n;
	struct deliver_result r = *result;
	char enhanced[16];
	struct rule_match m;

	c->took = c->took || r.kind == DELIVER_DELIVERED;
	if (r.untouched || r.kind == DELIVER_DELIVERED) {
		outcome_add(t, t->job_first + index, &r);
		return;
	}
	if (is_trouble(&r))
		share_trouble(c->share, c->opened_at);
	if (find_rule(c, &r, e->recipients[n].forward_path, &m)) {
		act(c, &m, &r);
		if (m.action == CONFIG_RULE_RETRY)
			become(&r, DELIVER_TRANSIENT, "4", enhanced);
		else if (m.action == CONFIG_RULE_BOUNCE)
			become(&r, DELIVER_PERMANENT, "5", enhanced);
		else if (m.action == CONFIG_RULE_OTHER_HOST && elsewhere_put(t, index, &r))
			return;
		else if (m.action == CONFIG_RULE_OTHER_SOURCE)
			become_other_source(c, &m, &r, enhanced);
		else if (goes_by_another(c, t, t->job_first + index, &m)) {
			become(&r, DELIVER_TRANSIENT, "4", enhanced);
			outcome_reroute(t, t->job_first + index, &r, m.rule->upstream_to->name);
			return;
		}
	}
	outcome_add(t, t->job_first + index, &r);
}

bool answer_failure(struct connection *c, const struct deliver_result *failure, bool others_work)
{
	struct rule_match m;
	bool found = find_rule(c, failure, TEXT_EMPTY, &m);

	if (others_work)
		share_refused(c->share, c->opened_at);
	if (found)
		act(c, &m, failure);
	return found && m.rule && m.action == CONFIG_RULE_SUSPEND && share_is_suspended(c->share);
}
