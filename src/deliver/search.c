#include "search.h"

#include <postrider/base/crc32c.h>
#include <postrider/base/utf8.h>
#include <postrider/route.h>
#include <postrider/smtp/path.h>

#define ARENA_BYTES (64u * 1024)

static void step_later(struct search *s);

static bool is_direct(const struct search *s)
{
	return s->upstream == NULL;
}

void search_note(struct search *s, enum deliver_kind kind, enum reason reason, const char *enhanced,
                 const char *format, ...)
{
	AUTO(buf_fini) struct buf words = BUF(FAILURE_REPLY_BYTES);
	struct deliver_result r = { .kind = kind, .reason = reason, .enhanced = text_from(enhanced) };
	va_list args;

	va_start(args, format);
	buf_add_format_v(&words, format, args);
	va_end(args);
	r.reply = buf_text(&words);
	r.stage = STAGE_CONNECT;
	r.ms = EVENT_MS_NONE;
	r.ms.dns = (int32_t)s->dns_ms;
	failure_note(&s->failure, &r);
}

void search_report(const struct search *s, struct text host, enum policy_failure failure, struct text problem)
{
	struct policy_report report = { .domain = s->domain,
		                        .policy = s->domain_policy,
		                        .mx = host,
		                        .failure = failure,
		                        .problem = problem };

	if (s->d->o.policy && is_direct(s))
		policy_note(s->d->o.policy, &report);
}

/* ---------------------------------------------------------------- which addresses may be used */

/* With addresses of our own only their families are used: mail from another address would not be from where it is
 * meant to be. */
static unsigned usable_families(const struct search *s)
{
	const struct config_ips *sources = &s->way->source;
	unsigned families = 0;

	if (sources->count == 0)
		return DNS_ANY;
	for (size_t i = 0; i < sources->count; i++)
		families |= sources->items[i].family == IP_V4 ? DNS_V4 : DNS_V6;
	return families;
}

static enum config_ip_choice ip_choice(const struct search *s)
{
	enum config_ip_choice ip = s->way->ip;

	if (ip == CONFIG_IP_ANY && s->d->v4_first_until_at > io_now_at(s->d->o.io))
		return CONFIG_IP_PREFER_V4;
	return ip;
}

/* A loopback address leads everybody to himself, and says nothing of us. */
static bool is_own(const struct search *s, struct ip ip)
{
	for (size_t i = 0; i < s->d->own_ips.count; i++)
		if (ip_eq(s->d->own_ips.items[i], ip))
			return !ip_is_loopback(ip);
	return false;
}

/* We are this host: it and all that are not preferred to it are cut off, as their mail would come back. */
static void cut_hosts_from(struct search *s, size_t host)
{
	unsigned preference = s->hosts.items[host].preference;

	while (host > 0 && s->hosts.items[host - 1].preference == preference)
		host--;
	s->hosts.count = host;
}

/* Whether direct delivery may go there. */
static bool is_allowed(struct search *s, const struct search_place *a)
{
	const struct target_host *host = &s->hosts.items[a->host];
	AUTO(buf_fini) struct buf where = BUF(64);
	const char *why = NULL;
	bool own = is_own(s, a->address.ip);

	if (!is_direct(s) || route_target_allowed(s->config, a->address.ip, &s->d->own_ips, &why))
		return true;
	if (own)
		cut_hosts_from(s, a->host);
	ip_add(&where, a->address.ip);
	search_note(s, DELIVER_PERMANENT, REASON_POLICY, own ? "5.4.6" : "5.4.4",
	            "%.*s [%.*s] is not used: %s", TEXT_ARGS(host->name), TEXT_ARGS(buf_text(&where)),
	            why ? why : "direct.allow_private does not list it");
	return false;
}

/* ---------------------------------------------------------------- addresses of a host */

static void add_place(struct search *s, size_t host, struct ip ip)
{
	const struct target_host *h = &s->hosts.items[host];
	/* A socket is remembered by a number made of its path: no two of one configuration are likely to meet, and if they do,
	 * it costs a detour. */
	uint16_t port = h->unix_path.len ? (uint16_t)crc32c(0, h->unix_path.at, h->unix_path.len) : h->port;

	if (s->place_count == TARGET_TRIES_MAX)
		return;
	s->places[s->place_count++] = (struct search_place){ .address = { ip, port }, .host = host };
}

static void add_places(struct search *s, size_t host, const struct dns_address_list *found)
{
	struct ip *sorted = calloc(found->count, sizeof(*sorted));
	size_t count;

	if (!sorted)
		return;
	memcpy(sorted, found->addresses, found->count * sizeof(*sorted));
	count = target_order_addresses(sorted, found->count, ip_choice(s), usable_families(s));
	for (size_t i = 0; i < count; i++)
		add_place(s, host, sorted[i]);
	free(sorted);
	if (count == 0)
		search_note(s, DELIVER_TRANSIENT, REASON_CONNECT, "4.4.1",
		            "%.*s has no address of a family that we may use",
		            TEXT_ARGS(s->hosts.items[host].name));
}

static void count_dns_time(struct search *s)
{
	s->dns_ms = MAX(s->dns_ms, INT64_C(0)) + io_now_at(s->d->o.io) - s->dns_since_at;
}

/* A host that a person configured may be a slip of the pen or a broken resolver: its mail waits. An MX
 * host without an address is as the domain wants it. */
static void note_no_address(struct search *s, const struct target_host *host, enum err err,
                            struct text problem)
{
	bool absent = err == ERR_NOT_FOUND || err == ERR_SYNTAX;

	if (!absent)
		search_note(s, DELIVER_TRANSIENT, REASON_DNS, "4.4.3", "no address of %.*s: %.*s",
		            TEXT_ARGS(host->name),
		            TEXT_ARGS(problem.len ? problem : text_from(err_text(err))));
	else if (!is_direct(s))
		search_note(s, DELIVER_TRANSIENT, REASON_DNS, "4.4.4", "the host %.*s has no address",
		            TEXT_ARGS(host->name));
	else if (s->implicit_mx)
		search_note(s, DELIVER_PERMANENT, REASON_NO_MX, "5.1.2",
		            "the domain %.*s has neither a mail host nor an address", TEXT_ARGS(s->domain));
	else
		search_note(s, DELIVER_PERMANENT, REASON_NO_MX, "5.4.4",
		            "the mail host %.*s of %.*s has no address", TEXT_ARGS(host->name),
		            TEXT_ARGS(s->domain));
}

/* RFC 7672 section 2.1.3: where records may be and cannot be had, the host is not used. */
static void on_proof(void *owner, enum err err, struct policy_host *proof, struct text problem)
{
	struct search *s = owner;
	struct target_host *host = &s->hosts.items[s->next_host - 1];

	count_dns_time(s);
	host->proof = policy_host_ref(proof);
	s->proofs_end = MAX(s->proofs_end, s->next_host);
	if (err) {
		s->place_count = 0;
		search_note(s, DELIVER_TRANSIENT, REASON_DNS, "4.4.3", "the mail host %.*s is not used now: %.*s",
		            TEXT_ARGS(host->name),
		            TEXT_ARGS(problem.len ? problem : text_from(err_text(err))));
		search_report(s, host->name, POLICY_DNSSEC_INVALID, problem);
	}
	step_later(s);
}

/* False: there is nothing to ask. */
static bool ask_for_proof(struct search *s, struct target_host *host, const struct dns_address_list *found)
{
	if (!s->wants_dane || s->place_count == 0)
		return false;
	policy_host_unref(&host->proof);
	s->dns_since_at = io_now_at(s->d->o.io);
	enum err err = policy_find_host(s->d->o.policy, host->name, found->canonical, host->port, host->is_named,
	                                found->secure, &s->policy, on_proof, s);

	if (err)
		s->place_count = 0; /* no memory */
	return !err;
}

static void on_addresses(void *owner, enum err err, const struct dns_address_list *found, struct text problem)
{
	struct search *s = owner;
	size_t host = s->next_host - 1;

	count_dns_time(s);
	if (err) {
		note_no_address(s, &s->hosts.items[host], err, problem);
	} else {
		add_places(s, host, found);
		if (ask_for_proof(s, &s->hosts.items[host], found))
			return;
	}
	step_later(s);
}

static void find_addresses(struct search *s)
{
	size_t at = s->next_host++;
	const struct target_host *host = &s->hosts.items[at];
	enum err err;

	s->place_count = s->next_place = 0;
	if (host->unix_path.len || host->ip.family != IP_NONE) {
		add_place(s, at, host->ip);
		step_later(s);
		return;
	}
	s->dns_since_at = io_now_at(s->d->o.io);
	err = dns_find_addresses(s->d->o.dns, host->name, DNS_ANY, &s->lookup, on_addresses, s);
	if (!err)
		return;
	note_no_address(s, host, err, TEXT_EMPTY);
	step_later(s);
}

/* ---------------------------------------------------------------- hosts of a target */

/* A domain without an MX names itself. */
static void name_hosts(struct search *s, size_t from, const struct dns_mx_list *mx)
{
	for (size_t i = from; i < s->hosts.count; i++)
		s->hosts.items[i].is_named = mx->secure || mx->is_implicit;
	if (!mx->secure || arena_text(&s->arena, mx->canonical, &s->canonical))
		s->canonical = TEXT_EMPTY;
}

static void on_policy(void *owner, enum err err, struct policy_domain *domain)
{
	struct search *s = owner;

	count_dns_time(s);
	s->domain_policy = domain ? policy_domain_ref(domain) : NULL;
	if (err)
		s->hosts.count = 0; /* no memory */
	step_later(s);
}

/* False: there is nothing to ask. */
static bool ask_for_policy(struct search *s)
{
	if (!s->wants_sts)
		return false;
	s->dns_since_at = io_now_at(s->d->o.io);
	if (!policy_find_domain(s->d->o.policy, s->domain, &s->policy, on_policy, s))
		return true;
	s->hosts.count = 0; /* no memory */
	return false;
}

static void on_mx(void *owner, enum err err, const struct dns_mx_list *mx, struct text problem)
{
	struct search *s = owner;
	bool own = false;

	count_dns_time(s);
	s->implicit_mx = !err && mx->is_implicit;
	if (err == ERR_NOT_FOUND) {
		search_note(s, DELIVER_PERMANENT, REASON_NO_SUCH_DOMAIN, "5.1.2",
		            "the domain %.*s does not exist", TEXT_ARGS(s->domain));
	} else if (err) {
		search_note(s, DELIVER_TRANSIENT, REASON_DNS, "4.4.3", "no answer for the MX of %.*s: %.*s",
		            TEXT_ARGS(s->domain),
		            TEXT_ARGS(problem.len ? problem : text_from(err_text(err))));
	} else if (mx->is_null) {
		search_note(s, DELIVER_PERMANENT, REASON_NULL_MX, "5.1.10",
		            "the domain %.*s takes no mail (null MX)", TEXT_ARGS(s->domain));
	} else if (target_of_mx(mx, s->config->direct.port, s->config->hostname, &s->d->random, &s->arena,
	                        &s->hosts, &own)) {
		s->hosts.count = 0;
	} else if (s->hosts.count == 0) {
		search_note(s, DELIVER_PERMANENT, REASON_NO_MX, own ? "5.4.6" : "5.4.4",
		            own ? "mail for %.*s would come back to us: we are its best mail host"
		                : "%.*s has no usable mail host",
		            TEXT_ARGS(s->domain));
	} else {
		name_hosts(s, 0, mx);
		if (ask_for_policy(s))
			return;
	}
	step_later(s);
}

/* ---------------------------------------------------------------- domains of an upstream (mx: true) */

static bool find_next_domain(struct search *s);

/* What a person configured may be a slip of the pen or a broken resolver: the mail waits. */
static void note_no_mx(struct search *s, struct text domain, struct text problem)
{
	search_note(s, DELIVER_TRANSIENT, REASON_DNS, "4.4.4", "no mail host of %.*s: %.*s", TEXT_ARGS(domain),
	            TEXT_ARGS(problem));
}

static void on_domain_mx(void *owner, enum err err, const struct dns_mx_list *mx, struct text problem)
{
	struct search *s = owner;
	const struct config_endpoint *domain = &s->upstream->hosts.items[s->next_domain - 1];
	struct target_hosts found = { .count = 0 };
	size_t before = s->hosts.count;
	bool own = false;

	count_dns_time(s);
	if (err)
		note_no_mx(s, domain->host, problem.len ? problem : text_from(err_text(err)));
	else if (mx->is_null)
		note_no_mx(s, domain->host, TEXT("it takes no mail (null MX)"));
	else if (target_of_mx(mx, domain->port, s->config->hostname, &s->d->random, &s->arena, &found, &own) ||
	         target_append(&s->hosts, &found, &s->arena))
		note_no_mx(s, domain->host, TEXT("there was no memory"));
	else if (found.count == 0)
		note_no_mx(s, domain->host, own ? TEXT("we are the best one ourselves") : TEXT("it has none"));
	else
		name_hosts(s, before, mx);
	if (!find_next_domain(s))
		step_later(s);
}

/* False: they were all asked. */
static bool find_next_domain(struct search *s)
{
	while (s->next_domain < s->upstream->hosts.count) {
		struct text domain = s->upstream->hosts.items[s->next_domain++].host;
		enum err err;

		s->dns_since_at = io_now_at(s->d->o.io);
		err = dns_find_mx(s->d->o.dns, domain, &s->lookup, on_domain_mx, s);
		if (!err)
			return true;
		note_no_mx(s, domain, text_from(err_text(err)));
	}
	return false;
}

static void find_hosts(struct search *s)
{
	enum err err = ERR_OK;

	s->started = true;
	if (!is_direct(s) && s->upstream->mx) {
		if (find_next_domain(s))
			return;
	} else if (!is_direct(s)) {
		err = target_of_upstream(s->upstream, &s->d->random, &s->arena, &s->hosts);
		for (size_t i = 0; i < s->hosts.count; i++)
			s->hosts.items[i].is_named = true;
	} else if (text_starts(s->domain, TEXT("["))) {
		err = target_of_literal(s->domain, s->config->direct.port, &s->arena, &s->hosts);
	} else {
		s->dns_since_at = io_now_at(s->d->o.io);
		err = dns_find_mx(s->d->o.dns, s->domain, &s->lookup, on_mx, s);
		if (!err)
			return;
	}
	if (err == ERR_SYNTAX)
		search_note(s, DELIVER_PERMANENT, REASON_NO_SUCH_DOMAIN, "5.1.2",
		            "%.*s is not the name of a domain", TEXT_ARGS(s->domain));
	step_later(s);
}

/* ---------------------------------------------------------------- the next one */

static bool failed_lately(struct search *s, const struct search_place *a)
{
	return hosts_marks(&s->d->hosts, &a->address, io_now_at(s->d->o.io)) & HOST_FAILING;
}

static bool is_full(const struct search *s, const struct search_place *a)
{
	return a->address.ip.family != IP_NONE &&
	       addresses_are_full(&s->d->addresses, a->address.ip, s->per_address);
}

/* With none left that is as good, one waits where it is full: a host that is only the second choice is no way round a limit. */
static bool take_full(struct search *s)
{
	const struct target_host *hosts = s->hosts.items;

	if (!s->has_full || (s->next_host < s->hosts.count &&
	                     hosts[s->next_host].preference == hosts[s->full.host].preference))
		return false;
	s->at = s->full;
	s->has_full = false;
	return true;
}

/* The next address to be tried, into s->at. False: none is left of those known. */
static bool take_place(struct search *s)
{
	while (s->next_place < s->place_count) {
		struct search_place a = s->places[s->next_place++];

		if (!is_allowed(s, &a))
			continue;
		if (failed_lately(s, &a)) {
			if (s->aside_count < TARGET_TRIES_MAX)
				s->aside[s->aside_count++] = a;
			continue;
		}
		if (is_full(s, &a)) {
			if (!s->has_full)
				s->full = a;
			s->has_full = true;
			continue;
		}
		s->at = a;
		return true;
	}
	if (take_full(s))
		return true;
	if (s->next_host < s->hosts.count || s->next_aside == s->aside_count)
		return false;
	s->at = s->aside[s->next_aside++];
	return true;
}

static void on_step(void *owner)
{
	struct search *s = owner;
	bool found;

	if (!s->started) {
		find_hosts(s);
		return;
	}
	found = s->found_count < TARGET_TRIES_MAX && take_place(s);
	if (!found && s->found_count < TARGET_TRIES_MAX && s->next_host < s->hosts.count) {
		find_addresses(s);
		return;
	}
	if (found)
		s->found_count++;
	s->on_next(s->owner, found);
}

static void step_later(struct search *s)
{
	io_later_run(s->d->o.io, &s->step, on_step, s);
}

/* ---------------------------------------------------------------- the face */

/* As the DNS has it. What has no such form is kept, and is found to be no domain. */
static enum err keep_domain(struct search *s, struct text domain)
{
	AUTO(buf_fini) struct buf ascii = BUF(SMTP_DOMAIN_MAX + 1);

	if (!utf8_is_ascii(domain) && smtp_domain_to_ascii(domain, &ascii) == ERR_OK)
		domain = buf_text(&ascii);
	return arena_text(&s->arena, domain, &s->domain);
}

enum err search_init(struct search *s, struct deliver *d, const struct config *config,
                     const struct config_way *way, struct text domain)
{
	*s = (struct search){ .d = d, .config = config, .way = way, .upstream = way->upstream, .dns_ms = -1 };
	arena_init(&s->arena, ARENA_BYTES);
	return way->upstream ? ERR_OK : keep_domain(s, domain);
}

void search_fini(struct search *s)
{
	if (!s->d)
		return;
	dns_cancel(&s->lookup);
	policy_cancel(&s->policy);
	policy_domain_unref(&s->domain_policy);
	for (size_t i = 0; i < s->proofs_end; i++)
		policy_host_unref(&s->hosts.items[i].proof);
	io_later_cancel(s->d->o.io, &s->step);
	arena_fini(&s->arena);
}

void search_next(struct search *s, void (*on_next)(void *owner, bool found), void *owner)
{
	s->on_next = on_next;
	s->owner = owner;
	step_later(s);
}

void search_give_up(struct search *s)
{
	s->found_count = TARGET_TRIES_MAX;
}

/* What lies aside was of other hosts. */
void search_skip_host(struct search *s)
{
	s->found_count--;
	while (s->next_place < s->place_count && s->places[s->next_place].host == s->at.host)
		s->next_place++;
}
