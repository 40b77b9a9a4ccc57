#include "proof.h"

static bool is_direct(const struct search *s)
{
	return s->upstream == NULL;
}

/* ---------------------------------------------------------------- what is demanded */

/* As with all that an upstream can prove itself by: it counts where TLS is demanded. */
static bool upstream_by_dane(const struct search *s, enum config_tls tls, bool requires_tls)
{
	return !is_direct(s) && s->upstream->dane && (tls_is_demanded(tls) || requires_tls);
}

void proof_prepare(const struct proof *p, struct search *s, enum config_tls tls, bool requires_tls)
{
	bool any = s->d->o.policy && (tls != CONFIG_TLS_NONE || requires_tls);

	if (is_direct(s)) {
		s->wants_dane = any && !p->relaxed && s->config->direct.dane;
		s->wants_sts = any && !p->relaxed && s->config->direct.mta_sts;
	} else {
		s->wants_dane = any && upstream_by_dane(s, tls, requires_tls);
	}
}

/* What it does not do for this message it may do for others. */
static void note_refusal(const struct proof *p, struct search *s, bool requires_tls)
{
	struct deliver_result r = {
		.kind = p->demand.is_permanent ? DELIVER_PERMANENT : DELIVER_TRANSIENT,
		.reason = REASON_TLS_POLICY,
		.stage = STAGE_CONNECT,
		.enhanced = requires_tls ? TEXT("5.7.30") : TEXT("4.7.5"),
		.reply = p->demand.refusal,
		.mx = search_host(s)->name,
		.ms = EVENT_MS_NONE,
		.lacking = requires_tls,
	};

	if (requires_tls && !p->demand.is_permanent)
		r.enhanced = TEXT("4.7.30");
	r.ms.dns = (int32_t)s->dns_ms;
	failure_note(&s->failure, &r);
	if (p->demand.by == POLICY_BY_MTA_STS)
		search_report(s, search_host(s)->name, POLICY_VALIDATION_FAILURE, p->demand.refusal);
}

bool proof_find(struct proof *p, struct search *s, enum config_tls tls, bool requires_tls,
                struct text server_name)
{
	const struct target_host *host = search_host(s);
	bool by_dane = upstream_by_dane(s, tls, requires_tls), by_policy = is_direct(s) || by_dane;
	struct policy_facts q = {
		.tls = tls,
		.requires_tls = requires_tls &&
		                by_policy, /* else an upstream's name is, as the configuration has it */
		.tls_optional = p->relaxed,
		.wants_dane = by_dane,
		.mx_secure = host->is_named,
		.domain = s->domain_policy,
		.host = host->proof,
		.domain_name = is_direct(s) ? s->domain : TEXT_EMPTY,
		.host_name = server_name,
		.domain_canonical = s->canonical,
	};

	p->told = false;
	policy_demand_of(&q, &p->demand);
	if (p->demand.refusal.len == 0)
		return true;
	note_refusal(p, s, requires_tls);
	search_skip_host(s);
	return false;
}

enum event_proof proof_by(const struct proof *p, enum event_proof by)
{
	return by == EVENT_PROOF_CA && p->demand.by == POLICY_BY_MTA_STS ? EVENT_PROOF_MTA_STS : by;
}

/* ---------------------------------------------------------------- what is said */

void proof_explain(const struct proof *p, const struct search *s, struct deliver_result *r, struct buf *words)
{
	const struct target_host *host = search_host(s);

	if (p->demand.by == POLICY_BY_DANE)
		buf_add_format(words, "DANE demands TLS (_%u._tcp.%.*s): ", host->port,
		               TEXT_ARGS(policy_host_base(host->proof)));
	else if (p->demand.by == POLICY_BY_MTA_STS)
		buf_add_format(words, "the MTA-STS policy of %.*s demands TLS: ", TEXT_ARGS(s->domain));
	else
		return;
	buf_add(words, r->reply);
	r->reply = buf_text(words);
	r->reason = REASON_TLS_POLICY;
}

/* ---------------------------------------------------------------- what is told */

static void tell(struct proof *p, const struct search *s, enum policy_failure failure, struct ip local,
                 struct text problem)
{
	struct policy_report report = { .domain = s->domain,
		                        .policy = s->domain_policy,
		                        .host = search_host(s)->proof,
		                        .mx = search_host(s)->name,
		                        .remote = s->at.address.ip,
		                        .local = local,
		                        .failure = failure,
		                        .problem = problem };

	/* mail that may go without TLS says nothing of it, and is the reports themselves (RFC 8460 section 5) */
	if (p->told || p->relaxed || !s->d->o.policy || !is_direct(s) || p->demand.tls == CONFIG_TLS_NONE)
		return;
	p->told = true;
	policy_note(s->d->o.policy, &report);
}

/* Nobody demands anything of a host without a policy, so nothing of it can be wrong but the want of TLS. */
static enum policy_failure judge(const struct search *s, enum tls_fault fault)
{
	const struct policy_host *proof = search_host(s)->proof;

	if (proof)
		return policy_host_is_usable(proof) ? POLICY_SUCCEEDED : POLICY_TLSA_INVALID;
	if (policy_domain_mode(s->domain_policy) == POLICY_MODE_NONE)
		return POLICY_SUCCEEDED;
	if (!policy_domain_allows(s->domain_policy, search_host(s)->name))
		return POLICY_VALIDATION_FAILURE;
	return policy_failure_of(fault);
}

void proof_tell_up(struct proof *p, const struct search *s, const struct client *c, bool tried_without)
{
	if (client_tls(c)->version.len > 0)
		tell(p, s, judge(s, client_tls_fault(c)), client_local_ip(c), TEXT_EMPTY);
	else if (!tried_without)
		tell(p, s, POLICY_STARTTLS_NOT_SUPPORTED, client_local_ip(c), TEXT_EMPTY);
}

void proof_tell_failed(struct proof *p, const struct search *s, enum session_fault fault,
                       enum tls_fault tls_fault, const struct deliver_result *r)
{
	if (fault == SESSION_NO_TLS)
		tell(p, s, POLICY_STARTTLS_NOT_SUPPORTED, r->local.ip, r->reply);
	else if (fault == SESSION_TLS)
		tell(p, s, policy_failure_of(tls_fault), r->local.ip, r->reply);
}
