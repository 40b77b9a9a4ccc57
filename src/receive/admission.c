/* What a client may still do: sessions, rates, quotas, and what the relay itself can bear. */
#include "connection.h"

#include <postrider/route.h>

enum { COUNT_CONNECTIONS = 1, COUNT_MESSAGES, COUNT_RECIPIENTS, COUNT_QUOTA };

static bool say_no(struct receive_limit_answer *why, struct receive_limit_answer no)
{
	*why = no;
	return false;
}

/* ---------------------------------------------------------------- at the door */

bool admission_of_connection(struct receive *r, const struct listener *l, struct ip client,
                             struct receive_limit_answer *why)
{
	if (route_is_denied(r->config, client))
		return say_no(why, (struct receive_limit_answer){ 554, "5.7.1", "does not speak to you",
		                                                  "access.deny", 0, REASON_POLICY });
	if (r->stopping)
		return say_no(why, (struct receive_limit_answer){ 421, "4.3.2", "is stopping, come back soon",
		                                                  NULL, 0, REASON_ADMIN });
	if (r->pressure != RECEIVE_AT_EASE)
		return say_no(why, (struct receive_limit_answer){
					   421, "4.3.2", "is short of memory, come back later",
					   "access.max_memory", 0, REASON_RATE_LIMITED });
	if (r->counts.sessions >= r->options.max_sessions || l->sessions >= l->config->max_sessions)
		return say_no(why, (struct receive_limit_answer){
					   421, "4.7.0", "has too many sessions, come back later",
					   "listen.max_sessions", 0, REASON_RATE_LIMITED });
	return true;
}

/* The last of the places are for those who have few: a stranger may not hold more of them than are left. */
#define KEPT_SHARE 16

static bool takes_more_than_its_share(const struct receive *r, const struct listener *l,
                                      const struct config_listener *settings, const struct client *client)
{
	uint64_t most = MIN((uint64_t)r->options.max_sessions, settings->max_sessions);
	uint64_t left = MIN(r->options.max_sessions - MIN(r->counts.sessions, r->options.max_sessions),
	                    settings->max_sessions - MIN((uint64_t)l->sessions, settings->max_sessions));

	return left < most / KEPT_SHARE && client->sessions > left;
}

bool admission_of_client(const struct connection *c, const struct config_listener *settings,
                         struct client *client, struct ip ip, struct receive_limit_answer *why)
{
	const struct config_rate *rate = &settings->per_client.connections;
	struct receive *r = c->receive;
	struct limit_window *window;
	int64_t wait_ms;

	if (ip.family == IP_NONE)
		return true;
	if ((settings->per_client.sessions && client->sessions > settings->per_client.sessions) ||
	    (!route_may_relay(settings, ip) && takes_more_than_its_share(r, c->listener, settings, client)))
		return say_no(why, (struct receive_limit_answer){
					   421, "4.7.0", "has too many sessions from you, come back later",
					   "listen.per_client.sessions", 0, REASON_RATE_LIMITED });
	if (rate->count == 0)
		return true;
	window = client_window(client, COUNT_CONNECTIONS, rate->window_ms);
	wait_ms = window ? limit_take(window, rate, io_now_at(r->io), 1) : 0;
	if (wait_ms)
		return say_no(why, (struct receive_limit_answer){
					   421, "4.7.0", "has had too many connections from you",
					   "listen.per_client.connections", wait_ms, REASON_RATE_LIMITED });
	return true;
}

/* ---------------------------------------------------------------- mail */

static bool take_message(struct connection *c, struct receive_limit_answer *why)
{
	struct receive *r = c->receive;
	const struct config_rate *rate = &c->session.listener->per_client.messages;
	uint64_t most = r->config->spool.max_messages;
	struct limit_window *window;
	int64_t wait_ms;

	if (r->pressure != RECEIVE_AT_EASE)
		return say_no(why,
		              (struct receive_limit_answer){ 452, "4.3.1", "Short of memory, come back later",
		                                             "access.max_memory", 0, REASON_RATE_LIMITED });
	if (most && queue_space(r->queue).messages >= most)
		return say_no(why, (struct receive_limit_answer){ 452, "4.3.1",
		                                                  "Too many messages wait here already",
		                                                  "spool.max_messages", 0, REASON_SPOOL });
	if (rate->count == 0 || !c->client || c->session.client.family == IP_NONE)
		return true;
	window = client_window(c->client, COUNT_MESSAGES, rate->window_ms);
	wait_ms = window ? limit_take(window, rate, io_now_at(r->io), 1) : 0;
	if (wait_ms)
		return say_no(why, (struct receive_limit_answer){ 450, "4.7.1", "Too much mail from you",
		                                                  "listen.per_client.messages", wait_ms,
		                                                  REASON_RATE_LIMITED });
	return true;
}

/* One thing that recipients are counted for, with all its rates. */
struct quota {
	struct clients *table;
	struct text key;
	const struct config_rates *rates;
	const char *words, *rule;
};

#define QUOTAS 3

/* Those that concern this transaction; network_key is room for one of the keys. */
static size_t quotas_of(struct connection *c, struct quota out[QUOTAS], char network_key[CLIENT_NETWORK_KEY])
{
	struct receive *r = c->receive;
	const struct receive_session *s = &c->session;
	const struct config_quotas *q = &s->config->access.quotas;
	struct text user = receive_session_user(s);
	size_t count = 0;

	if (q->per_user.count && user.len)
		out[count++] = (struct quota){ &r->users, user, &q->per_user,
			                       "is one recipient too many for your login",
			                       "access.quotas.per_user" };
	if (q->per_sender.count)
		out[count++] = (struct quota){ &r->senders, s->transaction->envelope->reverse_path,
			                       &q->per_sender, "is one recipient too many for this sender",
			                       "access.quotas.per_sender" };
	if (q->per_network.count && s->client.family != IP_NONE)
		out[count++] = (struct quota){ &r->networks, client_network_key(network_key, s->client, 24),
			                       &q->per_network, "is one recipient too many for your network",
			                       "access.quotas.per_network" };
	return count;
}

/* 0: there is room for one more everywhere. */
static int64_t ask_quota(const struct quota *q, int64_t now_at)
{
	struct client *entry = clients_find(q->table, q->key);
	int64_t longest_ms = 0;

	for (size_t i = 0; entry && i < q->rates->count; i++) {
		const struct config_rate *rate = &q->rates->items[i];
		struct limit_window *window = client_window(entry, COUNT_QUOTA, rate->window_ms);
		int64_t wait_ms = window ? limit_ask(window, rate, now_at, 1) : 0;

		longest_ms = MAX(longest_ms, wait_ms);
	}
	return longest_ms;
}

static void take_quota(const struct quota *q, int64_t now_at)
{
	struct client *entry = clients_get(q->table, q->key);

	for (size_t i = 0; entry && i < q->rates->count; i++) {
		const struct config_rate *rate = &q->rates->items[i];
		struct limit_window *window = client_window(entry, COUNT_QUOTA, rate->window_ms);

		if (window)
			(void)limit_take(window, rate, now_at, 1);
	}
}

/* Counted only when all have room. */
static bool take_recipient(struct connection *c, struct receive_limit_answer *why)
{
	const struct config_rate *rate = &c->session.listener->per_client.recipients;
	int64_t now_at = io_now_at(c->receive->io), wait_ms = 0;
	char network_key[CLIENT_NETWORK_KEY];
	struct quota quotas[QUOTAS];
	size_t count = quotas_of(c, quotas, network_key);

	if (rate->count && c->client && c->session.client.family != IP_NONE) {
		struct limit_window *window = client_window(c->client, COUNT_RECIPIENTS, rate->window_ms);

		wait_ms = window ? limit_take(window, rate, now_at, 1) : 0;
	}
	if (wait_ms)
		return say_no(why, (struct receive_limit_answer){
					   450, "4.7.1", "is one recipient too many from you",
					   "listen.per_client.recipients", wait_ms, REASON_RATE_LIMITED });
	for (size_t i = 0; i < count; i++) {
		wait_ms = ask_quota(&quotas[i], now_at);
		if (wait_ms)
			return say_no(why, (struct receive_limit_answer){ 452, "4.7.1", quotas[i].words,
			                                                  quotas[i].rule, wait_ms,
			                                                  REASON_RATE_LIMITED });
	}
	for (size_t i = 0; i < count; i++)
		take_quota(&quotas[i], now_at);
	receive_sweep_later(c->receive);
	return true;
}

/* What a client did per minute it did; quotas are for mail. */
void admission_give_back(struct connection *c, uint64_t recipients)
{
	int64_t now_at = io_now_at(c->receive->io);
	char network_key[CLIENT_NETWORK_KEY];
	struct quota quotas[QUOTAS];
	size_t count = quotas_of(c, quotas, network_key);

	for (size_t i = 0; i < count; i++) {
		struct client *entry = clients_find(quotas[i].table, quotas[i].key);

		for (unsigned n = 0; entry && n < entry->window_count; n++)
			limit_give_back(&entry->windows[n], now_at, recipients);
	}
}

bool admission_take(struct connection *c, enum receive_limit what, struct receive_limit_answer *why)
{
	switch (what) {
	case RECEIVE_LIMIT_TLS:
		if (c->receive->pressure == RECEIVE_AT_EASE)
			return true;
		return say_no(why,
		              (struct receive_limit_answer){ 454, "4.3.1", "Short of memory, TLS has to wait",
		                                             "access.max_memory", 0, REASON_RATE_LIMITED });
	case RECEIVE_LIMIT_MESSAGE:
		return take_message(c, why);
	case RECEIVE_LIMIT_RECIPIENT:
		return take_recipient(c, why);
	}
	return true;
}
