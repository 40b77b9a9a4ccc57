/* What a session asks others for: who may log in, what a service outside says, what limits say, and where events go. */
#include "connection.h"

#include <postrider/observe/observe.h>
#include <postrider/route.h>

/* ---------------------------------------------------------------- events */

static void add_client(struct buf *b, const struct connection *c, struct ip ip)
{
	if (ip.family != IP_NONE)
		ip_add(b, ip);
	else
		buf_add_string(b, c->session.is_named ? "unknown" : "unix");
}

/* XFORWARD: whom the peer speaks for is the client, and the peer is where it came by. */
static void name_forwarded(const struct session_more *more, struct event *event)
{
	event->client_via = event->client_ip;
	event->client_ip = text_from(more->forwarded_addr);
	if (more->forwarded_helo)
		event->client_helo = text_from(more->forwarded_helo);
}

void asks_emit(void *owner, struct event *event)
{
	struct connection *c = owner;
	const struct session_more *more = c->session.more;
	struct buf ip = BUF(IP_TEXT_MAX), via = BUF(IP_TEXT_MAX);

	if (event->kind == EVENT_REJECTED)
		c->receive->counts.rejections++;
	add_client(&ip, c, c->session.client);
	event->client_ip = buf_text(&ip);
	event->client_helo = text_from(c->session.helo);
	event->client_listener = c->session.listener->name;
	if (event->client_user.len == 0)
		event->client_user = receive_session_user(&c->session);
	if (c->more && c->more->via.ip.family != IP_NONE)
		ip_add(&via, c->more->via.ip);
	event->client_via = buf_text(&via);
	if (more && more->forwarded_addr)
		name_forwarded(more, event);
	if (c->session.transaction)
		event->client_protocol = c->session.transaction->envelope->protocol;
	if (c->session.tls_running) {
		event->tls.version = text_from(tls_version_text(c->session.tls.version));
		event->tls.cipher = c->session.tls.cipher;
	}
	observe_emit(c->receive->observe, event);
	buf_fini(&ip);
	buf_fini(&via);
}

/* ---------------------------------------------------------------- limits */

bool asks_take(void *owner, enum receive_limit what, struct receive_limit_answer *why)
{
	return admission_take(owner, what, why);
}

void asks_give_back(void *owner, uint64_t recipients)
{
	admission_give_back(owner, recipients);
}

/* ---------------------------------------------------------------- who it is */

/* What the mechanisms want to know of the connection; binding is room for what its channel is known by. */
static struct auth_peer auth_peer_of(const struct connection *c, struct buf *binding)
{
	const struct session_more *more = c->session.more;

	if (c->session.tls_running && tls_channel_binding(c->stream, TLS_BINDING_EXPORTER, binding))
		buf_reset(binding);
	return (struct auth_peer){ .listener = c->session.listener,
		                   .client = c->session.client,
		                   .tls = c->session.tls_running,
		                   .certificate_user = more ? text_from(more->certificate_user) : TEXT_EMPTY,
		                   .channel_binding = buf_text(binding) };
}

unsigned asks_auth_offered(void *owner)
{
	struct connection *c = owner;
	struct buf binding = BUF(TLS_BINDING_BYTES);
	struct auth_peer peer;
	unsigned offered;

	if (!c->receive->options.auth || c->session.listener->auth == CONFIG_AUTH_NONE)
		return 0;
	peer = auth_peer_of(c, &binding);
	offered = auth_offered(c->receive->options.auth, &peer);
	buf_fini(&binding);
	return offered;
}

static void on_auth_step(void *owner, const struct auth_step *step)
{
	struct connection *c = owner;
	struct counters *counters = observe_counters(c->receive->observe);

	if (step->kind == AUTH_DONE)
		counters->auth_attempts[COUNTER_AUTH_SUCCEEDED]++;
	else if (step->kind == AUTH_WRONG || step->kind == AUTH_LOCKED)
		counters->auth_attempts[COUNTER_AUTH_FAILED]++;
	else if (step->kind != AUTH_CHALLENGE)
		counters->auth_attempts[COUNTER_AUTH_OTHER]++;
	receive_session_auth_step(&c->session, step);
	connection_go_on(c);
}

enum err asks_auth_begin(void *owner, struct text mechanism, bool has_initial, struct text initial)
{
	struct connection *c = owner;
	struct connection_more *more = connection_more(c);
	struct buf binding = BUF(TLS_BINDING_BYTES);
	struct auth_peer peer;
	enum err err;

	if (!more)
		return ERR_NOMEM;
	peer = auth_peer_of(c, &binding);
	err = auth_begin(c->receive->options.auth,
	                 &(struct auth_start){ .peer = &peer,
	                                       .mechanism = mechanism,
	                                       .has_initial = has_initial,
	                                       .initial = initial,
	                                       .on_step = on_auth_step,
	                                       .owner = c },
	                 &more->auth);
	buf_fini(&binding);
	return err;
}

void asks_auth_answer(void *owner, struct text line)
{
	struct connection *c = owner;

	auth_answer(c->more->auth, line);
}

void asks_auth_cancel(void *owner)
{
	struct connection *c = owner;

	if (c->more)
		auth_cancel(&c->more->auth);
}

/* Without anybody who knows users, the name is all there is. */
enum err asks_auth_find(void *owner, struct text name, struct auth_user **out)
{
	struct connection *c = owner;

	return c->receive->options.auth ? auth_user_new(c->receive->options.auth, name, out) : ERR_OK;
}

bool asks_client_changed(void *owner, struct receive_limit_answer *why)
{
	struct connection *c = owner;
	struct receive *r = c->receive;
	struct connection_more *more = connection_more(c);
	struct client *client = clients_enter(&r->clients, c->session.client);

	if (!client || !more) {
		clients_leave(client);
		*why = (struct receive_limit_answer){ 421, "4.3.0", "Out of memory", NULL, 0, REASON_OTHER };
		return false;
	}
	if (more->via.ip.family == IP_NONE)
		more->via = io_stream_peer(c->stream)->ip;
	clients_leave(c->client);
	c->client = client;
	if (route_is_denied(r->config, c->session.client)) {
		*why = (struct receive_limit_answer){ 554,           "5.7.1", "No service for this client",
			                              "access.deny", 0,       REASON_POLICY };
		return false;
	}
	return admission_of_client(c, c->session.listener, client, c->session.client, why);
}

/* ---------------------------------------------------------------- the service outside */

static void on_policy_answer(void *owner, const struct policy_answer *answer)
{
	struct connection *c = owner;

	receive_session_policy_answered(&c->session, answer);
	connection_go_on(c);
}

bool asks_policy(void *owner, const struct policy_question *asked)
{
	struct connection *c = owner;
	struct connection_more *more = c->receive->policy ? connection_more(c) : NULL;
	struct policy_question question = *asked;
	struct tls_info tls = tls_info_of(c->stream);

	if (!more)
		return false;
	question.server = io_stream_local(c->stream)->ip;
	question.ccert_fingerprint = tls.peer_fingerprint;
	question.ccert_subject = tls.peer_verified ? tls.peer_name : TEXT_EMPTY;
	question.stress = c->receive->pressure != RECEIVE_AT_EASE;
	return !policy_service_ask(c->receive->policy, &question, &more->policy, on_policy_answer, c);
}
