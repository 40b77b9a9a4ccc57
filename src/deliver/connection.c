/* A deliver_connection: addresses are searched for and tried until a client comes up; then it carries jobs.
 * All steps run from step_later: nothing is called back from inside deliver_open. */
#include "internal.h"

#include <assert.h>

#include <postrider/mail/body_source.h>

#include "client.h"
#include "search.h"

#define V4_FIRST_MS (10 * MINUTE_MS)

struct deliver_connection {
	struct list link; /* in deliver->connections */
	struct deliver *d;
	const struct config *config; /* referenced: target, way and time-outs are of it */
	const struct config_way *way;
	const struct config_upstream *upstream;
	enum config_tls tls;
	bool verifies; /* hosts have to prove their names */
	struct deliver_needs needs;
	const struct deliver_events *events;
	void *owner;

	struct search search; /* its place is being tried, or in use */
	bool no_tls, no_ehlo; /* what that is to be tried without */
	bool once_more;       /* it is to be tried again */
	struct io_later step;
	struct client *client;
	unsigned sent_count;
	bool client_failed; /* it has said so, and ends by itself */
	bool v6_failed;     /* no connection to an IPv6 address */
	bool was_up, aborting, outdated;
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

static const struct ip_port *address(const struct deliver_connection *c)
{
	return &c->search.at.address;
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
	io_later_cancel(c->d->o.io, &c->step);
	list_remove(&c->link);
	if (failed && !c->search.failure.is_set)
		search_note(&c->search, DELIVER_TRANSIENT, REASON_OTHER, "4.3.0",
		            "there was no memory to find a host");
	events->on_closed(owner, c, failed ? failure_result(&c->search.failure) : NULL);
	config_unref(&c->config);
	search_fini(&c->search);
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
	r->mx = search_host(&c->search)->name;
	if (!r->reused) {
		r->ms.dns = (int32_t)c->search.dns_ms;
		r->ms.connect = client_connect_ms(c->client);
		r->ms.tls = client_tls_ms(c->client);
	}
	add_times(c, r);
}

/* Where IPv6 leads nowhere, every new host would cost a time-out. IPv4 worked where IPv6 did not: then
 * IPv4 goes first for a while, everywhere. A connection over IPv6 ends that. */
static void learn_family(struct deliver_connection *c)
{
	if (address(c)->ip.family == IP_V6)
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
	hosts_heal(&d->hosts, address(c));
	if (c->no_tls)
		hosts_mark(&d->hosts, address(c), HOST_NO_TLS, now);
	if (c->no_ehlo)
		hosts_mark(&d->hosts, address(c), HOST_NO_EHLO, now);
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

	static const enum host_mark marks[] = { [SESSION_KEEPS] = HOST_KEEPS,
		                                [SESSION_CUTS] = HOST_CUTS,
		                                [SESSION_NO_CHUNKS] = HOST_NO_CHUNKS };

	hosts_mark(&c->d->hosts, address(c), marks[lesson], io_now_at(c->d->o.io));
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
	failure_note(&c->search.failure, r);
	c->v6_failed |= r->stage == STAGE_CONNECT && address(c)->ip.family == IP_V6;
	if (!may_do_without(c, fault, r)) {
		/* what it does not do for this message it may do for others */
		if (!r->lacking)
			hosts_mark(&c->d->hosts, address(c), HOST_FAILING, io_now_at(c->d->o.io));
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

/* One of the way's own addresses of the family, by chance. */
static struct ip source_for(struct deliver_connection *c, enum ip_family family)
{
	const struct config_ips *sources = &c->way->source;
	struct ip chosen = { .family = IP_NONE };
	uint64_t seen = 0;

	for (size_t i = 0; i < sources->count; i++)
		if (sources->items[i].family == family && random_below(&c->d->random, ++seen) == 0)
			chosen = sources->items[i];
	return chosen;
}

static struct session_options session_options(struct deliver_connection *c)
{
	unsigned marks = hosts_marks(&c->d->hosts, address(c), io_now_at(c->d->o.io));

	return (struct session_options){
		.helo = c->way->helo,
		.timeouts = timeouts(c),
		.tls = c->tls,
		.no_tls = c->no_tls || (marks & HOST_NO_TLS),
		.no_ehlo = c->no_ehlo || ((marks & HOST_NO_EHLO) && !tls_is_demanded(c->tls)),
		.joins = (marks & HOST_KEEPS) && !(marks & HOST_CUTS),
		.never_joins = marks & HOST_CUTS,
		.lmtp = c->upstream && c->upstream->protocol == CONFIG_LMTP,
		.no_chunks = marks & HOST_NO_CHUNKS,
		.verifies = c->verifies,
		.needs = c->needs,
		.outbox = &c->d->outbox,
	};
}

static void connect_to(struct deliver_connection *c)
{
	const struct target_host *host = search_host(&c->search);
	struct client_options o = {
		.io = c->d->o.io,
		.to = *address(c),
		.unix_path = host->unix_path,
		.source = source_for(c, address(c)->ip.family),
		.server_name = host->name.len && host->name.at[0] == '[' ? TEXT_EMPTY : host->name,
		.tls = tls_choose(&c->d->tls, c->upstream, c->tls, c->verifies),
		.session = session_options(c),
		.events = &client_events,
		.owner = c,
	};
	AUTO(buf_fini) struct buf where = BUF(128);
	enum err err = client_open(&o, &c->client);

	c->once_more = false;
	if (!err) {
		if (c->d->counters)
			c->d->counters->delivery_connections++;
		return;
	}
	if (host->unix_path.len)
		buf_add(&where, text_head(host->unix_path, 108));
	else
		ip_port_add(&where, *address(c));
	c->v6_failed |= address(c)->ip.family == IP_V6;
	if (err == ERR_BUSY || err == ERR_NOMEM)
		search_give_up(&c->search); /* it is us: the next one would fail alike */
	search_note(&c->search, DELIVER_TRANSIENT,
	            err == ERR_BUSY || err == ERR_NOMEM ? REASON_OTHER : REASON_CONNECT,
	            err == ERR_BUSY ? "4.3.2" : "4.4.1", "%.*s (%.*s): %s", TEXT_ARGS(host->name),
	            TEXT_ARGS(buf_text(&where)), err_text(err));
	step_later(c);
}

/* ---------------------------------------------------------------- the next step */

static void on_next(void *owner, bool found)
{
	struct deliver_connection *c = owner;

	if (c->aborting || !found)
		end(c);
	else
		connect_to(c);
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
	else if (c->aborting)
		end(c);
	else if (c->once_more)
		connect_to(c);
	else
		search_next(&c->search, on_next, c);
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
	c->tls = target->way->tls;
	c->needs = target->needs;
	if (c->needs.keywords & EHLO_REQUIRETLS) {
		c->search.proves = true;
		c->tls = c->tls == CONFIG_TLS_IMPLICIT ? c->tls : CONFIG_TLS_REQUIRE;
	}
	c->verifies = c->search.proves || tls_choice_verifies(c->upstream, c->tls);
	c->events = events;
	c->owner = owner;
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
		assert(c->was_up && !c->orphan);
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

bool deliver_meets(const struct deliver_connection *c, const struct deliver_needs *needs)
{
	return c->client && c->was_up && session_meets(client_session(c->client), needs);
}

struct deliver_limits deliver_limits(const struct deliver_connection *c)
{
	if (!c->client || !c->was_up)
		return (struct deliver_limits){ SIZE_MAX, SIZE_MAX, SIZE_MAX };
	return client_session(c->client)->limits;
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
