#include "connection.h"

#include <postrider/mail/body_source.h>

#include "hints.h"

#define V4_FIRST_MS (10 * MINUTE_MS)

static bool is_direct(const struct deliver_connection *c)
{
	return c->upstream == NULL;
}

static const struct config_timeouts *timeouts(const struct deliver_connection *c)
{
	return is_direct(c) ? &c->config->direct.timeouts : &c->upstream->timeouts;
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
	addresses_leave(&c->d->addresses, &c->place);
	io_later_cancel(c->d->o.io, &c->step);
	list_remove(&c->link);
	if (failed && !c->search.failure.is_set)
		search_note(&c->search, DELIVER_TRANSIENT, REASON_OTHER, "4.3.0",
		            "there was no memory to find a host");
	login_ended(&c->login);
	events->on_closed(owner, c, failed ? failure_result(&c->search.failure) : NULL);
	login_fini(&c->login);
	buf_fini(&c->hint);
	config_unref(&c->config);
	search_fini(&c->search);
	free(c);
}

/* ---------------------------------------------------------------- what the client says */

static void add_times(const struct deliver_connection *c, struct deliver_result *r)
{
	const int32_t parts[] = {
		r->ms.dns, r->ms.connect, r->ms.tls, r->ms.auth, r->ms.envelope, r->ms.data
	};

	(void)c;
	r->ms.total = 0;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		r->ms.total += MAX(parts[i], 0);
}

void connection_describe(const struct deliver_connection *c, struct deliver_result *r)
{
	r->mx = search_host(&c->search)->name;
	if (!r->reused) {
		r->ms.dns = (int32_t)c->search.dns_ms;
		r->ms.connect = client_connect_ms(c->client);
		r->ms.tls = client_tls_ms(c->client);
		r->ms.auth = client_auth_ms(c->client);
	}
	r->tls.by = proof_by(&c->proof, r->tls.by);
	add_times(c, r);
}

static bool is_tls_demanded(const struct deliver_connection *c)
{
	return tls_is_demanded(c->proof.demand.tls);
}

static bool requires_tls(const struct deliver_connection *c)
{
	return c->needs.keywords & EHLO_REQUIRETLS;
}

/* Where IPv6 leads nowhere, every new host would cost a time-out. IPv4 worked where IPv6 did not: then
 * IPv4 goes first for a while, everywhere. A connection over IPv6 ends that. */
static void learn_family(struct deliver_connection *c)
{
	if (connection_address(c)->ip.family == IP_V6)
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
	login_succeeded(&c->login);
	learn_family(c);
	hosts_heal(&d->hosts, connection_address(c));
	if (c->no_tls)
		hosts_mark(&d->hosts, connection_address(c), HOST_NO_TLS, now);
	if (c->no_ehlo)
		hosts_mark(&d->hosts, connection_address(c), HOST_NO_EHLO, now);
	if (d->counters && client_tls(c->client)->by)
		d->counters->tls_sessions_out[proof_by(&c->proof, client_tls(c->client)->by) - 1]++;
	proof_tell_up(&c->proof, &c->search, c->client,
	              c->no_tls || (hosts_marks(&d->hosts, connection_address(c), now) & HOST_NO_TLS));
}

static void on_ready(void *owner)
{
	struct deliver_connection *c = owner;

	c->events->on_ready(c->owner, c);
}

static void on_result(void *owner, struct deliver_job *job, size_t index, struct deliver_result *r)
{
	struct deliver_connection *c = owner;
	char enhanced[REPLY_ENHANCED_MAX];

	connection_describe(c, r);
	login_defer(&c->login, r, enhanced);
	hint_add(&c->hint,
	         &(struct hint_place){ c->upstream, connection_address(c)->port, c->tls,
	                               c->login.session.login },
	         r);
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

	static const enum host_mark marks[] = {
		[SESSION_KEEPS] = HOST_KEEPS, [SESSION_CUTS] = HOST_CUTS, [SESSION_NO_CHUNKS] = HOST_NO_CHUNKS
	};

	hosts_mark(&c->d->hosts, connection_address(c), marks[lesson], io_now_at(c->d->o.io));
}

static void on_gate(void *owner, struct deliver_job *job)
{
	struct deliver_connection *c = owner;

	c->events->on_gate(c->owner, c, job);
}

/* Whether the same address deserves another connection, without what failed. */
static bool may_do_without(struct deliver_connection *c, enum session_fault fault,
                           const struct deliver_result *r)
{
	c->once_more = true;
	if (fault == SESSION_LOGIN_AGAIN)
		return true;
	if (fault == SESSION_TLS && !is_tls_demanded(c) && !c->no_tls)
		c->no_tls = true;
	else if (fault == SESSION_CUT && r->stage == STAGE_EHLO && r->reason == REASON_CONNECT &&
	         r->tls.version.len == 0 && !is_tls_demanded(c) && !c->no_ehlo)
		c->no_ehlo = true;
	else
		c->once_more = false;
	return c->once_more;
}

static void on_failed(void *owner, enum session_fault fault, struct deliver_result *r)
{
	struct deliver_connection *c = owner;
	AUTO(buf_fini) struct buf words = BUF(FAILURE_REPLY_BYTES);

	if (c->aborting)
		return;
	connection_describe(c, r);
	if (fault == SESSION_TLS || fault == SESSION_NO_TLS) {
		proof_tell_failed(&c->proof, &c->search, fault, client_tls_fault(c->client), r);
		proof_explain(&c->proof, &c->search, r, &words);
	}
	hint_add(&c->hint,
	         &(struct hint_place){ c->upstream, connection_address(c)->port, c->tls,
	                               c->login.session.login },
	         r);
	login_drop_question(&c->login);
	failure_note(&c->search.failure, r);
	if (fault == SESSION_LOGIN && c->login.session.refused >= SESSION_REFUSALS_MAX)
		search_give_up(&c->search); /* the next host would be one try too many */
	c->v6_failed |= r->stage == STAGE_CONNECT && connection_address(c)->ip.family == IP_V6;
	if (!may_do_without(c, fault, r)) {
		/* what it does not do for this message it may do for others */
		if (!r->lacking && r->reason != REASON_AUTH)
			hosts_mark(&c->d->hosts, connection_address(c), HOST_FAILING, io_now_at(c->d->o.io));
		c->no_tls = c->no_ehlo = false;
	}
	c->client_failed = true;
	connection_step_later(c);
}

static void on_closed(void *owner)
{
	struct deliver_connection *c = owner;

	c->client = NULL;
	login_drop_question(&c->login);
	if (c->client_failed)
		c->client_failed = false; /* the next step is on its way */
	else
		end(c);
}

static void on_permit(void *owner, const struct session_permit *permit)
{
	session_permitted(client_session(((struct deliver_connection *)owner)->client), permit);
}

static void on_ask_login(void *owner, bool needs_token)
{
	struct deliver_connection *c = owner;

	login_ask(&c->login, needs_token, on_permit, c);
}

static const struct client_events client_events = {
	.ask_login = on_ask_login,
	.up = on_up,
	.ready = on_ready,
	.result = on_result,
	.done = on_done,
	.failed = on_failed,
	.learned = on_learned,
	.gate = on_gate,
	.closed = on_closed,
};

/* ---------------------------------------------------------------- one address */

static bool is_spared(const struct deliver_connection *c, struct ip source)
{
	for (unsigned i = 0; i < c->spared_source_count; i++)
		if (ip_eq(c->spared_sources[i], source))
			return true;
	return false;
}

/* One of the way's own addresses of the family, by chance. */
static struct ip source_for(struct deliver_connection *c, enum ip_family family)
{
	const struct config_ips *sources = &c->way->source;
	struct ip chosen = { .family = IP_NONE };
	uint64_t seen = 0;

	for (size_t i = 0; i < sources->count; i++)
		if (sources->items[i].family == family && !is_spared(c, sources->items[i]) &&
		    random_below(&c->d->random, ++seen) == 0)
			chosen = sources->items[i];
	for (size_t i = 0; chosen.family == IP_NONE && i < sources->count; i++)
		if (sources->items[i].family == family)
			chosen = sources->items[i]; /* it has no other */
	return chosen;
}

static struct session_options session_options(struct deliver_connection *c)
{
	unsigned marks = hosts_marks(&c->d->hosts, connection_address(c), io_now_at(c->d->o.io));

	return (struct session_options){
		.helo = c->way->helo,
		.timeouts = timeouts(c),
		.tls = c->proof.demand.tls,
		.no_tls = c->no_tls || (marks & HOST_NO_TLS),
		.no_ehlo = c->no_ehlo || ((marks & HOST_NO_EHLO) && !is_tls_demanded(c)),
		.joins = (marks & HOST_KEEPS) && !(marks & HOST_CUTS),
		.never_joins = marks & HOST_CUTS,
		.lmtp = c->upstream && c->upstream->protocol == CONFIG_LMTP,
		.no_chunks = marks & HOST_NO_CHUNKS,
		.verifies = c->verifies || c->proof.demand.proves,
		.needs = c->needs,
		.login = c->login.session.login ? &c->login.session : NULL,
		.outbox = &c->d->outbox,
	};
}

/* Whose certificate it has to be. */
static struct text server_name(const struct deliver_connection *c)
{
	struct text host = search_host(&c->search)->name;

	if (c->upstream && c->upstream->server_name.len)
		return c->upstream->server_name;
	return host.len && host.at[0] == '[' ? TEXT_EMPTY : host;
}

/* What policy demands; else what is known of an upstream, or nothing. */
static const struct tls_expectation *expectation(const struct deliver_connection *c)
{
	const struct policy_demand *demand = &c->proof.demand;

	return demand->expect.proof != TLS_PROOF_CONTEXT
	               ? &demand->expect
	               : tls_choice_expects(&c->d->tls, c->upstream, demand->tls);
}

static void connect_to(struct deliver_connection *c)
{
	const struct target_host *host = search_host(&c->search);
	struct client_options o = {
		.io = c->d->o.io,
		.to = *connection_address(c),
		.unix_path = host->unix_path,
		.source = source_for(c, connection_address(c)->ip.family),
		.server_name = c->proof.demand.server_name,
		.tls = tls_choose(&c->d->tls, c->upstream, c->proof.demand.tls, c->verifies),
		.expect = expectation(c),
		.shows_login = c->upstream && c->upstream->auth_plaintext,
		.session = session_options(c),
		.events = &client_events,
		.owner = c,
	};
	AUTO(buf_fini) struct buf where = BUF(128);
	enum err err;

	login_at_host(&c->login, host->name, host->port);
	err = client_open(&o, &c->client);
	c->once_more = false;
	if (!err) {
		if (c->d->counters)
			c->d->counters->delivery_connections++;
		return;
	}
	if (host->unix_path.len)
		buf_add(&where, text_head(host->unix_path, 108));
	else
		ip_port_add(&where, *connection_address(c));
	c->v6_failed |= connection_address(c)->ip.family == IP_V6;
	if (err == ERR_BUSY || err == ERR_NOMEM)
		search_give_up(&c->search); /* it is us: the next one would fail alike */
	search_note(&c->search, DELIVER_TRANSIENT,
	            err == ERR_BUSY || err == ERR_NOMEM ? REASON_OTHER : REASON_CONNECT,
	            err == ERR_BUSY ? "4.3.2" : "4.4.1", "%.*s (%.*s): %s", TEXT_ARGS(host->name),
	            TEXT_ARGS(buf_text(&where)), err_text(err));
	connection_step_later(c);
}

static void on_turn(void *owner)
{
	struct deliver_connection *c = owner;

	c->once_more = true;
	connection_step_later(c);
}

/* Connects when there is a place at the address. */
static void take_place(struct deliver_connection *c)
{
	const struct ip_port *to = connection_address(c);
	enum address_answer answer = ADDRESS_TAKEN;

	if (to->ip.family != IP_NONE)
		answer = addresses_take(&c->d->addresses, to->ip, &c->place);
	if (answer == ADDRESS_TAKEN) {
		connect_to(c);
	} else if (answer == ADDRESS_WAITS) {
		c->events->on_waits(c->owner, c);
	} else {
		search_note(&c->search, DELIVER_TRANSIENT, REASON_RATE_LIMITED, "4.4.5",
		            "the address of %.*s has as many connections as it may have",
		            TEXT_ARGS(search_host(&c->search)->name));
		c->search.failure.result.crowded = true;
		end(c);
	}
}

/* ---------------------------------------------------------------- the next step */

/* Another host may have the message already, or this one turned it away. */
static bool passes_over(struct deliver_connection *c)
{
	struct text host = search_host(&c->search)->name;

	if (!needs_except_meets(&c->needs.except, *connection_address(c))) {
		search_note(&c->search, DELIVER_TRANSIENT, REASON_OTHER, "4.4.4",
		            "there is no other host: a rule on replies passes over %.*s", TEXT_ARGS(host));
		return true;
	}
	if (needs_only_meets(&c->needs.only, host, *connection_address(c)))
		return false;
	search_skip_host(&c->search);
	search_note(
		&c->search, DELIVER_TRANSIENT, REASON_UNKNOWN_OUTCOME, "4.4.0",
		"%.*s is passed over: another host may have the message already, and its route wants no other (unknown: same-host)",
		TEXT_ARGS(host));
	return true;
}

static void on_next(void *owner, bool found)
{
	struct deliver_connection *c = owner;

	if (c->aborting || !found)
		end(c);
	else if (passes_over(c))
		connection_step_later(c);
	else if (proof_find(&c->proof, &c->search, c->tls, requires_tls(c), server_name(c)))
		take_place(c);
	else
		connection_step_later(c);
}

/* Nobody is asked what is known: this login failed lately. */
static bool is_shut_out(struct deliver_connection *c)
{
	AUTO(buf_fini) struct buf words = BUF(FAILURE_REPLY_BYTES);
	struct deliver_result r;

	if (c->search.started || !login_is_shut_out(&c->login, &r, &words))
		return false;
	hint_add(&c->hint, &(struct hint_place){ c->upstream, 0, c->tls, c->login.session.login }, &r);
	failure_note(&c->search.failure, &r);
	return true;
}

static void search_further(struct deliver_connection *c)
{
	addresses_leave(&c->d->addresses, &c->place);
	search_next(&c->search, on_next, c);
}

static void on_step(void *owner)
{
	struct deliver_connection *c = owner;

	if (c->client_failed) {
		client_forget(c->client);
		c->client = NULL;
		c->client_failed = false;
	}
	if (c->client && c->aborting)
		client_abort(c->client);
	else if (c->client)
		fail_orphan(c);
	else if (c->aborting || is_shut_out(c))
		end(c);
	else if (c->once_more)
		connect_to(c);
	else if (!c->place.waits)
		search_further(c);
}

void connection_step_later(struct deliver_connection *c)
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

enum err deliver_open(struct deliver *d, const struct deliver_target *target,
                      const struct deliver_events *events, void *owner, struct deliver_connection **out)
{
	struct deliver_connection *c = calloc(1, sizeof(*c));
	enum err err;

	if (!c)
		return ERR_NOMEM;
	err = search_init(&c->search, d, d->config, target->way, target->domain);
	if (err) {
		search_fini(&c->search);
		free(c);
		return err;
	}
	c->d = d;
	c->config = config_ref(d->config);
	c->way = target->way;
	c->upstream = target->way->upstream;
	login_init(&c->login, d, c->way);
	c->tls = target->way->tls;
	c->needs = target->needs;
	memcpy(c->spared_sources, target->spared_sources, sizeof(c->spared_sources));
	c->spared_source_count = target->spared_source_count;
	c->proof.relaxed = c->needs.tls_optional && !requires_tls(c);
	proof_prepare(&c->proof, &c->search, c->tls, requires_tls(c));
	if (requires_tls(c))
		c->tls = c->tls == CONFIG_TLS_IMPLICIT ? c->tls : CONFIG_TLS_REQUIRE;
	c->verifies = c->upstream && (requires_tls(c) || tls_choice_verifies(c->upstream, c->tls));
	c->events = events;
	c->owner = owner;
	c->search.per_address = target->per_address;
	c->place = (struct address_place){ .group = c->upstream ? c->upstream->name : c->search.domain,
		                           .limit = target->per_address,
		                           .on_turn = on_turn,
		                           .owner = c };
	list_append(&d->connections, &c->link);
	connection_step_later(c);
	*out = c;
	return ERR_OK;
}
