/* A connection that is up: jobs, and what may be asked of it. */
#include "connection.h"

#include <assert.h>

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
		connection_step_later(c);
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
	return c->client && c->was_up && (!c->proof.relaxed || needs->tls_optional) &&
	       needs_except_meets(&needs->except, *connection_address(c)) &&
	       needs_only_meets(&needs->only, search_host(&c->search)->name, *connection_address(c)) &&
	       session_meets(client_session(c->client), needs);
}

bool deliver_waits(const struct deliver_connection *c, struct ip *ip, unsigned *count)
{
	if (!c->place.waits)
		return false;
	*ip = connection_address(c)->ip;
	*count = addresses_count(&c->place);
	return true;
}

bool deliver_others_wait(const struct deliver_connection *c)
{
	return addresses_others_wait(&c->place);
}

struct deliver_limits deliver_limits(const struct deliver_connection *c)
{
	if (!c->client || !c->was_up)
		return (struct deliver_limits){ SIZE_MAX, SIZE_MAX, SIZE_MAX };
	return client_session(c->client)->limits;
}

size_t deliver_hosts(const struct deliver_connection *c, struct text *out, size_t max)
{
	size_t count = MIN(c->search.hosts.count, max);

	for (size_t i = 0; i < count; i++)
		out[i] = c->search.hosts.items[i].name;
	return count;
}

size_t deliver_in_flight(const struct deliver_connection *c)
{
	size_t orphans = c->orphan ? 1 : 0;

	return orphans + (c->client && c->was_up ? transactions_in_hand(client_session(c->client)) : 0);
}

void deliver_describe(const struct deliver_connection *c, struct deliver_result *out)
{
	*out = (struct deliver_result){ .ms = EVENT_MS_NONE };
	client_describe(c->client, out);
	connection_describe(c, out);
}

unsigned deliver_sent_count(const struct deliver_connection *c)
{
	return c->sent_count;
}

struct ip_port deliver_remote(const struct deliver_connection *c, struct text *host)
{
	*host = search_host(&c->search)->name;
	return *connection_address(c);
}

void deliver_open_gate(struct deliver_connection *c, struct deliver_job *job, bool may)
{
	if (c->client && c->was_up)
		session_open_gate(client_session(c->client), job, may);
}

bool deliver_call_off(struct deliver_connection *c, struct deliver_job *job)
{
	return c->orphan == job || !c->client || session_call_off(client_session(c->client), job);
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
	connection_step_later(c);
}
