/* A deliver_connection: from a target to hosts, to addresses, to a client that comes up; then the jobs.
 *
 *   hosts (configured, MX, literal) -> one after the other: addresses -> one after the other: client
 *
 * Addresses that failed lately are put aside and tried when the others are used up, so that a dead host
 * costs its connect time-out once in a while and not every time. All steps run from step_later: nothing is
 * called back from inside deliver_open. */
#include "internal.h"

#include <assert.h>

#include <postrider/dns.h>
#include <postrider/mail/body_source.h>
#include <postrider/route.h>

#include "client.h"
#include "failure.h"
#include "target.h"

#define ARENA_BYTES (64u * 1024)
#define V4_FIRST_MS (10 * MINUTE_MS)

struct candidate {
	struct ip_port address;
	size_t host; /* place in hosts */
};

struct deliver_connection {
	struct list link; /* in deliver->connections */
	struct deliver *d;
	const struct config *config; /* referenced: target, upstream and time-outs are of it */
	const struct config_upstream *upstream;
	struct text domain;
	enum config_tls tls;
	const struct deliver_events *events;
	void *owner;
	struct arena arena;

	struct target_hosts hosts;
	size_t next_host;
	struct candidate candidates[TARGET_TRIES_MAX]; /* of the host at hand, next first */
	size_t candidate_count, next_candidate;
	struct candidate aside[TARGET_TRIES_MAX]; /* failed lately */
	size_t aside_count, next_aside;
	bool last_round;     /* those put aside are being tried */
	struct candidate at; /* being tried, or in use */
	unsigned tries;
	bool no_tls, no_ehlo; /* what the address at hand is to be tried without */
	bool once_more;       /* it is to be tried again */
	struct failure failure;

	struct dns_lookup *lookup;
	struct io_later step;
	struct client *client;
	int64_t dns_since_at, dns_ms; /* -1: nothing was asked */
	unsigned sent_count;
	bool client_failed; /* it has said so, and ends by itself */
	bool v6_failed;     /* no connection to an IPv6 address */
	bool started, was_up, aborting, outdated;
	bool implicit_mx;
	struct deliver_job *orphan; /* given when the connection had just ended */
};

static void step_later(struct deliver_connection *c);

static bool is_direct(const struct deliver_connection *c)
{
	return c->upstream == NULL;
}

static const struct config_timeouts *timeouts(const struct deliver_connection *c)
{
	return is_direct(c) ? &c->config->direct.timeouts : &c->upstream->timeouts;
}

static const struct target_host *host_at(const struct deliver_connection *c)
{
	return &c->hosts.items[c->at.host];
}

/* ---------------------------------------------------------------- failures of our own words */

static void note(struct deliver_connection *c, enum deliver_kind kind, enum reason reason,
                 const char *enhanced, const char *format, ...) PRINTF_LIKE(5, 6);

static void note(struct deliver_connection *c, enum deliver_kind kind, enum reason reason,
                 const char *enhanced, const char *format, ...)
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
	r.ms.dns = (int32_t)c->dns_ms;
	failure_note(&c->failure, &r);
}

/* ---------------------------------------------------------------- the end */

static void fail_orphan(struct deliver_connection *c)
{
	struct deliver_job *job = c->orphan;
	struct deliver_result r = {
		.kind = DELIVER_TRANSIENT,
		.reason = REASON_CONNECT,
		.stage = STAGE_MAIL,
		.enhanced = TEXT("4.4.2"),
		.reply = TEXT("the connection had ended before the message was sent"),
		.ms = EVENT_MS_NONE,
		.reused = true,
		.untouched = true,
	};

	if (!job)
		return;
	c->orphan = NULL;
	body_source_release(&job->body);
	for (size_t i = 0; i < job->recipient_count; i++)
		c->events->on_result(c->owner, c, job, i, &r);
	c->events->on_done(c->owner, c, job);
}

static void end(struct deliver_connection *c)
{
	bool failed = !c->was_up && !c->aborting;
	const struct deliver_events *events = c->events;
	void *owner = c->owner;

	fail_orphan(c);
	dns_cancel(&c->lookup);
	io_later_cancel(c->d->o.io, &c->step);
	list_remove(&c->link);
	if (failed && !c->failure.is_set)
		note(c, DELIVER_TRANSIENT, REASON_OTHER, "4.3.0", "there was no memory to find a host");
	events->on_closed(owner, c, failed ? failure_result(&c->failure) : NULL);
	config_unref(&c->config);
	arena_fini(&c->arena);
	free(c);
}

/* ---------------------------------------------------------------- what the client says */

static void add_times(const struct deliver_connection *c, struct deliver_result *r)
{
	const int32_t parts[] = { r->ms.dns, r->ms.connect, r->ms.tls, r->ms.envelope, r->ms.data };

	(void)c;
	r->ms.total = 0;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		r->ms.total += MAX(parts[i], 0);
}

static void describe(const struct deliver_connection *c, struct deliver_result *r)
{
	r->mx = host_at(c)->name;
	if (!r->reused) {
		r->ms.dns = (int32_t)c->dns_ms;
		r->ms.connect = client_connect_ms(c->client);
		r->ms.tls = client_tls_ms(c->client);
	}
	add_times(c, r);
}

/* Where IPv6 leads nowhere, every new host would cost a time-out. IPv4 worked where IPv6 did not: then
 * IPv4 goes first for a while, everywhere. A connection over IPv6 ends that. */
static void learn_family(struct deliver_connection *c)
{
	if (c->at.address.ip.family == IP_V6)
		c->d->v4_first_until_at = 0;
	else if (c->v6_failed)
		c->d->v4_first_until_at = io_now_at(c->d->o.io) + V4_FIRST_MS;
}

/* A mark that is only put down now: without TLS, or by HELO, it did work. */
static void on_up(void *owner)
{
	struct deliver_connection *c = owner;
	struct deliver *d = c->d;
	int64_t now = io_now_at(d->o.io);

	c->was_up = true;
	learn_family(c);
	hosts_heal(&d->hosts, &c->at.address);
	if (c->no_tls)
		hosts_mark(&d->hosts, &c->at.address, HOST_NO_TLS, now);
	if (c->no_ehlo)
		hosts_mark(&d->hosts, &c->at.address, HOST_NO_EHLO, now);
	if (d->counters && client_tls_ms(c->client) >= 0 && session_is_secure(client_session(c->client)))
		d->counters->tls_sessions_out++;
}

static void on_ready(void *owner)
{
	struct deliver_connection *c = owner;

	c->events->on_ready(c->owner, c);
}

static void on_result(void *owner, struct deliver_job *job, size_t index, struct deliver_result *r)
{
	struct deliver_connection *c = owner;

	describe(c, r);
	c->events->on_result(c->owner, c, job, index, r);
}

static void on_done(void *owner, struct deliver_job *job)
{
	struct deliver_connection *c = owner;

	c->events->on_done(c->owner, c, job);
}

static void on_learned(void *owner, enum session_lesson lesson)
{
	struct deliver_connection *c = owner;

	hosts_mark(&c->d->hosts, &c->at.address, lesson == SESSION_KEEPS ? HOST_KEEPS : HOST_CUTS,
	           io_now_at(c->d->o.io));
}

/* Whether the same address deserves another connection, without what failed. */
static bool may_do_without(struct deliver_connection *c, enum session_fault fault,
                           const struct deliver_result *r)
{
	c->once_more = true;
	if (fault == SESSION_TLS && !tls_is_demanded(c->tls) && !c->no_tls)
		c->no_tls = true;
	else if (fault == SESSION_CUT && r->stage == STAGE_EHLO && r->reason == REASON_CONNECT &&
	         r->tls.version.len == 0 && !tls_is_demanded(c->tls) && !c->no_ehlo)
		c->no_ehlo = true;
	else
		c->once_more = false;
	return c->once_more;
}

static void on_failed(void *owner, enum session_fault fault, struct deliver_result *r)
{
	struct deliver_connection *c = owner;

	if (c->aborting)
		return;
	describe(c, r);
	failure_note(&c->failure, r);
	c->v6_failed |= r->stage == STAGE_CONNECT && c->at.address.ip.family == IP_V6;
	if (!may_do_without(c, fault, r)) {
		hosts_mark(&c->d->hosts, &c->at.address, HOST_FAILING, io_now_at(c->d->o.io));
		c->no_tls = c->no_ehlo = false;
	}
	c->client_failed = true;
	step_later(c);
}

static void on_closed(void *owner)
{
	struct deliver_connection *c = owner;

	c->client = NULL;
	if (c->client_failed)
		c->client_failed = false; /* the next step is on its way */
	else
		end(c);
}

static const struct client_events client_events = {
	.up = on_up,
	.ready = on_ready,
	.result = on_result,
	.done = on_done,
	.failed = on_failed,
	.learned = on_learned,
	.closed = on_closed,
};

/* ---------------------------------------------------------------- one address */

/* direct.source says from where; one of the family is chosen by chance. */
static struct ip source_for(struct deliver_connection *c, enum ip_family family)
{
	const struct config_ips *sources = &c->config->direct.source;
	struct ip chosen = { .family = IP_NONE };
	uint64_t seen = 0;

	if (!is_direct(c))
		return chosen;
	for (size_t i = 0; i < sources->count; i++)
		if (sources->items[i].family == family && random_below(&c->d->random, ++seen) == 0)
			chosen = sources->items[i];
	return chosen;
}

/* With direct.source only its families are used: mail from another address would not be from where it is
 * meant to be. */
static unsigned usable_families(const struct deliver_connection *c)
{
	const struct config_ips *sources = &c->config->direct.source;
	unsigned families = 0;

	if (!is_direct(c) || sources->count == 0)
		return DNS_ANY;
	for (size_t i = 0; i < sources->count; i++)
		families |= sources->items[i].family == IP_V4 ? DNS_V4 : DNS_V6;
	return families;
}

static enum config_ip_choice ip_choice(const struct deliver_connection *c)
{
	enum config_ip_choice ip = is_direct(c) ? c->config->direct.ip : c->upstream->ip;

	if (ip == CONFIG_IP_ANY && c->d->v4_first_until_at > io_now_at(c->d->o.io))
		return CONFIG_IP_PREFER_V4;
	return ip;
}

static struct session_options session_options(struct deliver_connection *c)
{
	unsigned marks = hosts_marks(&c->d->hosts, &c->at.address, io_now_at(c->d->o.io));

	return (struct session_options){
		.helo = is_direct(c) ? c->config->hostname : c->upstream->helo,
		.timeouts = timeouts(c),
		.tls = c->tls,
		.no_tls = c->no_tls || (marks & HOST_NO_TLS),
		.no_ehlo = c->no_ehlo || ((marks & HOST_NO_EHLO) && !tls_is_demanded(c->tls)),
		.joins = (marks & HOST_KEEPS) && !(marks & HOST_CUTS),
		.never_joins = marks & HOST_CUTS,
		.outbox = &c->d->outbox,
	};
}

static void connect_to(struct deliver_connection *c)
{
	const struct target_host *host = host_at(c);
	struct client_options o = {
		.io = c->d->o.io,
		.to = c->at.address,
		.source = source_for(c, c->at.address.ip.family),
		.server_name = host->name.len && host->name.at[0] == '[' ? TEXT_EMPTY : host->name,
		.tls = tls_choose(&c->d->tls, c->upstream, c->tls),
		.session = session_options(c),
		.events = &client_events,
		.owner = c,
	};
	AUTO(buf_fini) struct buf where = BUF(128);
	enum err err = client_open(&o, &c->client);

	c->once_more = false;
	c->tries++;
	if (!err) {
		if (c->d->counters)
			c->d->counters->delivery_connections++;
		return;
	}
	ip_port_add(&where, c->at.address);
	c->v6_failed |= c->at.address.ip.family == IP_V6;
	if (err == ERR_BUSY || err == ERR_NOMEM)
		c->tries = TARGET_TRIES_MAX; /* it is us: the next one would fail alike */
	note(c, DELIVER_TRANSIENT, err == ERR_BUSY || err == ERR_NOMEM ? REASON_OTHER : REASON_CONNECT,
	     err == ERR_BUSY ? "4.3.2" : "4.4.1", "%.*s (%.*s): %s", TEXT_ARGS(host->name),
	     TEXT_ARGS(buf_text(&where)), err_text(err));
	step_later(c);
}

/* Whether direct delivery may go there. An MX that leads back to us cuts off itself and all that is not
 * preferred to it. */
static bool is_allowed(struct deliver_connection *c, const struct candidate *a)
{
	const struct target_host *host = &c->hosts.items[a->host];
	AUTO(buf_fini) struct buf where = BUF(64);
	const char *why = NULL;
	bool own = false;

	if (!is_direct(c) || route_target_allowed(c->config, a->address.ip, &c->d->own_ips, &why))
		return true;
	for (size_t i = 0; i < c->d->own_ips.count; i++)
		own |= ip_eq(c->d->own_ips.items[i], a->address.ip);
	if (own)
		for (size_t i = a->host; i < c->hosts.count; i++)
			if (c->hosts.items[i].preference >= host->preference)
				c->hosts.count = i;
	ip_add(&where, a->address.ip);
	note(c, DELIVER_PERMANENT, REASON_POLICY, own ? "5.4.6" : "5.4.4", "%.*s [%.*s] is not used: %s",
	     TEXT_ARGS(host->name), TEXT_ARGS(buf_text(&where)),
	     why ? why : "direct.allow_private does not list it");
	return false;
}

/* ---------------------------------------------------------------- addresses of a host */

static void add_candidate(struct deliver_connection *c, size_t host, struct ip ip)
{
	if (c->candidate_count == TARGET_TRIES_MAX)
		return;
	c->candidates[c->candidate_count++] =
		(struct candidate){ .address = { ip, c->hosts.items[host].port }, .host = host };
}

static void add_candidates(struct deliver_connection *c, size_t host, const struct dns_address_list *found)
{
	struct ip *sorted = calloc(found->count, sizeof(*sorted));
	size_t count;

	if (!sorted)
		return;
	memcpy(sorted, found->addresses, found->count * sizeof(*sorted));
	count = target_order_addresses(sorted, found->count, ip_choice(c), usable_families(c));
	for (size_t i = 0; i < count; i++)
		add_candidate(c, host, sorted[i]);
	free(sorted);
	if (count == 0)
		note(c, DELIVER_TRANSIENT, REASON_CONNECT, "4.4.1",
		     "%.*s has no address of a family that we may use", TEXT_ARGS(c->hosts.items[host].name));
}

static void count_dns_time(struct deliver_connection *c)
{
	c->dns_ms = MAX(c->dns_ms, INT64_C(0)) + io_now_at(c->d->o.io) - c->dns_since_at;
}

/* A host that a person configured may be a slip of the pen or a broken resolver: its mail waits. An MX
 * host without an address is as the domain wants it. */
static void note_no_address(struct deliver_connection *c, const struct target_host *host, enum err err,
                            struct text problem)
{
	bool absent = err == ERR_NOT_FOUND || err == ERR_SYNTAX;

	if (!absent)
		note(c, DELIVER_TRANSIENT, REASON_DNS, "4.4.3", "no address of %.*s: %.*s",
		     TEXT_ARGS(host->name), TEXT_ARGS(problem.len ? problem : text_from(err_text(err))));
	else if (!is_direct(c))
		note(c, DELIVER_TRANSIENT, REASON_DNS, "4.4.4", "the host %.*s has no address",
		     TEXT_ARGS(host->name));
	else if (c->implicit_mx)
		note(c, DELIVER_PERMANENT, REASON_NO_MX, "5.1.2",
		     "the domain %.*s has neither a mail host nor an address", TEXT_ARGS(c->domain));
	else
		note(c, DELIVER_PERMANENT, REASON_NO_MX, "5.4.4", "the mail host %.*s of %.*s has no address",
		     TEXT_ARGS(host->name), TEXT_ARGS(c->domain));
}

static void on_addresses(void *owner, enum err err, const struct dns_address_list *found, struct text problem)
{
	struct deliver_connection *c = owner;
	size_t host = c->next_host - 1;

	count_dns_time(c);
	if (err)
		note_no_address(c, &c->hosts.items[host], err, problem);
	else
		add_candidates(c, host, found);
	step_later(c);
}

static void find_addresses(struct deliver_connection *c)
{
	size_t at = c->next_host++;
	const struct target_host *host = &c->hosts.items[at];
	enum err err;

	c->candidate_count = c->next_candidate = 0;
	if (host->ip.family != IP_NONE) {
		add_candidate(c, at, host->ip);
		step_later(c);
		return;
	}
	c->dns_since_at = io_now_at(c->d->o.io);
	err = dns_find_addresses(c->d->o.dns, host->name, DNS_ANY, &c->lookup, on_addresses, c);
	if (!err)
		return;
	note_no_address(c, host, err, TEXT_EMPTY);
	step_later(c);
}

/* ---------------------------------------------------------------- hosts of a target */

static void on_mx(void *owner, enum err err, const struct dns_mx_list *mx, struct text problem)
{
	struct deliver_connection *c = owner;
	bool own = false;

	count_dns_time(c);
	c->implicit_mx = !err && mx->is_implicit;
	if (err == ERR_NOT_FOUND) {
		note(c, DELIVER_PERMANENT, REASON_NO_SUCH_DOMAIN, "5.1.2", "the domain %.*s does not exist",
		     TEXT_ARGS(c->domain));
	} else if (err) {
		note(c, DELIVER_TRANSIENT, REASON_DNS, "4.4.3", "no answer for the MX of %.*s: %.*s",
		     TEXT_ARGS(c->domain), TEXT_ARGS(problem.len ? problem : text_from(err_text(err))));
	} else if (mx->is_null) {
		note(c, DELIVER_PERMANENT, REASON_NULL_MX, "5.1.10",
		     "the domain %.*s takes no mail (null MX)", TEXT_ARGS(c->domain));
	} else if (target_of_mx(mx, c->config->direct.port, c->config->hostname, &c->d->random, &c->arena,
	                        &c->hosts, &own)) {
		c->hosts.count = 0;
	} else if (c->hosts.count == 0) {
		note(c, DELIVER_PERMANENT, REASON_NO_MX, own ? "5.4.6" : "5.4.4",
		     own ? "mail for %.*s would come back to us: we are its best mail host"
		         : "%.*s has no usable mail host",
		     TEXT_ARGS(c->domain));
	}
	step_later(c);
}

static void find_hosts(struct deliver_connection *c)
{
	enum err err;

	c->started = true;
	if (!is_direct(c)) {
		err = target_of_upstream(c->upstream, &c->arena, &c->hosts);
	} else if (text_starts(c->domain, TEXT("["))) {
		err = target_of_literal(c->domain, c->config->direct.port, &c->arena, &c->hosts);
	} else {
		c->dns_since_at = io_now_at(c->d->o.io);
		err = dns_find_mx(c->d->o.dns, c->domain, &c->lookup, on_mx, c);
		if (!err)
			return;
	}
	if (err == ERR_SYNTAX)
		note(c, DELIVER_PERMANENT, REASON_NO_SUCH_DOMAIN, "5.1.2", "%.*s is not the name of a domain",
		     TEXT_ARGS(c->domain));
	step_later(c);
}

/* ---------------------------------------------------------------- the next step */

static bool failed_lately(struct deliver_connection *c, const struct candidate *a)
{
	return hosts_marks(&c->d->hosts, &a->address, io_now_at(c->d->o.io)) & HOST_FAILING;
}

/* The next address to be tried, into c->at. False: none is left of those known. */
static bool take_candidate(struct deliver_connection *c)
{
	while (c->next_candidate < c->candidate_count) {
		struct candidate a = c->candidates[c->next_candidate++];

		if (!is_allowed(c, &a))
			continue;
		if (failed_lately(c, &a)) {
			if (c->aside_count < TARGET_TRIES_MAX)
				c->aside[c->aside_count++] = a;
			continue;
		}
		c->at = a;
		return true;
	}
	if (!c->last_round || c->next_aside == c->aside_count)
		return false;
	c->at = c->aside[c->next_aside++];
	return true;
}

static void on_step(void *owner)
{
	struct deliver_connection *c = owner;

	if (c->client_failed) {
		client_forget(c->client);
		c->client = NULL;
		c->client_failed = false;
	}
	if (c->aborting) {
		if (c->client)
			client_abort(c->client);
		else
			end(c);
		return;
	}
	if (c->client) {
		fail_orphan(c);
		return;
	}
	if (!c->started)
		find_hosts(c);
	else if (c->tries >= TARGET_TRIES_MAX)
		end(c);
	else if (c->once_more || take_candidate(c))
		connect_to(c);
	else if (c->next_host < c->hosts.count)
		find_addresses(c);
	else if (!c->last_round && c->aside_count > 0) {
		c->last_round = true;
		step_later(c);
	} else
		end(c);
}

static void step_later(struct deliver_connection *c)
{
	io_later_run(c->d->o.io, &c->step, on_step, c);
}

/* ---------------------------------------------------------------- the face */

struct deliver_connection *connection_of_link(struct list *link)
{
	return LIST_ITEM(link, struct deliver_connection, link);
}

void connection_outdate(struct deliver_connection *c)
{
	c->outdated = true;
	if (c->was_up && c->client)
		session_finish(client_session(c->client));
}

static enum err copy_target(struct deliver_connection *c, const struct deliver_target *target)
{
	c->upstream = target->upstream;
	c->tls = target->tls;
	return target->upstream ? ERR_OK : arena_text(&c->arena, target->domain, &c->domain);
}

enum err deliver_open(struct deliver *d, const struct deliver_target *target,
                      const struct deliver_events *events, void *owner, struct deliver_connection **out)
{
	struct deliver_connection *c = calloc(1, sizeof(*c));
	enum err err;

	if (!c)
		return ERR_NOMEM;
	arena_init(&c->arena, ARENA_BYTES);
	err = copy_target(c, target);
	if (err) {
		arena_fini(&c->arena);
		free(c);
		return err;
	}
	c->d = d;
	c->config = config_ref(d->config);
	c->events = events;
	c->owner = owner;
	c->dns_ms = -1;
	list_append(&d->connections, &c->link);
	step_later(c);
	*out = c;
	return ERR_OK;
}

bool deliver_is_ready(const struct deliver_connection *c)
{
	return c->client && c->was_up && !c->aborting && session_is_ready(client_session(c->client));
}

void deliver_send(struct deliver_connection *c, struct deliver_job *job)
{
	struct session *s;

	c->sent_count++;
	if (!deliver_is_ready(c)) {
		assert(!c->orphan);
		c->orphan = job;
		step_later(c);
		return;
	}
	s = client_session(c->client);
	if (c->d->counters && c->sent_count > 1)
		c->d->counters->delivery_connections_reused++;
	session_send(s, job);
	if (c->outdated)
		session_finish(s);
}

size_t deliver_in_flight(const struct deliver_connection *c)
{
	size_t orphans = c->orphan ? 1 : 0;

	return orphans + (c->client && c->was_up ? transactions_in_hand(client_session(c->client)) : 0);
}

unsigned deliver_sent_count(const struct deliver_connection *c)
{
	return c->sent_count;
}

void deliver_finish(struct deliver_connection *c)
{
	if (c->was_up && c->client)
		session_finish(client_session(c->client));
	else if (!c->was_up)
		deliver_abort(c);
}

void deliver_abort(struct deliver_connection *c)
{
	c->aborting = true;
	step_later(c);
}
