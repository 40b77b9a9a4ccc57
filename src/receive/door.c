/* What comes before a session: who may come in at all, the PROXY header, and TLS from the first octet. */
#include "connection.h"

#include <postrider/base/time.h>
#include <postrider/observe/observe.h>
#include <postrider/route.h>

#include "proxy.h"

#define PROXY_MS (5 * SECOND_MS)
#define HANDSHAKE_MS (30 * SECOND_MS)
#define TELL_AGAIN_MS (10 * SECOND_MS)

/* ---------------------------------------------------------------- saying no */

/* What a flood is refused for is said once in a while, or it would flood the log too. */
static bool is_told_already(struct connection *c)
{
	int64_t now_at = io_now_at(c->receive->io);

	if (!c->client)
		return false;
	if (c->client->told_at && now_at - c->client->told_at < TELL_AGAIN_MS)
		return true;
	c->client->told_at = MAX(now_at, (int64_t)1);
	return false;
}

static void say_refused(const struct receive *r, const struct config_listener *settings, struct ip client,
                        struct ip via, struct event *event)
{
	struct buf ip = BUF(IP_TEXT_MAX), by = BUF(IP_TEXT_MAX);

	if (client.family != IP_NONE)
		ip_add(&ip, client);
	else
		buf_add_string(&ip, via.family == IP_NONE ? "unix" : "unknown");
	if (via.family != IP_NONE)
		ip_add(&by, via);
	event->client_ip = buf_text(&ip);
	event->client_via = buf_text(&by);
	event->client_listener = settings->name;
	observe_emit(r->observe, event);
	buf_fini(&ip);
	buf_fini(&by);
}

void door_say_refused(struct connection *c, enum stage stage, enum reason reason,
                      const struct receive_limit_answer *why, struct text detail)
{
	struct event event = EVENT(EVENT_REJECTED);

	c->receive->counts.rejections++;
	if (is_told_already(c))
		return;
	event.stage = stage;
	event.reason = reason;
	event.detail = detail;
	if (why) {
		event.code = why->code;
		event.enhanced = text_from(why->enhanced);
		event.response = text_from(why->text);
		event.rule = text_from(why->rule);
	}
	/* before the last door there is no session that knows the client */
	if (c->session.config)
		c->session.ops->emit(c, &event);
	else
		say_refused(c->receive, c->settings, c->shown.ip,
		            c->more ? c->more->via.ip : (struct ip){ .family = IP_NONE }, &event);
}

/* "554 5.7.1 relay.example does not speak to you (access.deny)": the rule only for those that it may be told. */
static void write_refusal(struct io_stream *stream, const struct config *config, bool trusted,
                          const struct receive_limit_answer *why)
{
	struct buf b = BUF(1024);
	struct text reply;

	buf_add_format(&b, "%d %s %.*s %s", why->code, why->enhanced, TEXT_ARGS(config->hostname), why->text);
	if (why->wait_ms) {
		buf_add_string(&b, ", come back in ");
		time_add_duration(&b, why->wait_ms + SECOND_MS - 1 - (why->wait_ms - 1) % SECOND_MS);
	}
	if (why->rule && trusted)
		buf_add_format(&b, " (%s)", why->rule);
	buf_add_string(&b, "\r\n");
	reply = buf_text(&b);
	if (!buf_err(&b))
		io_stream_write(stream, &reply, 1);
	buf_fini(&b);
}

/* A connection that is there already. Under TLS from the first octet nothing can be said before the handshake. */
static void turn_away(struct connection *c, struct ip client, enum stage stage,
                      const struct receive_limit_answer *why, bool in_plain)
{
	c->door = DOOR_SHUT;
	c->receive->counts.refused_connections++;
	observe_counters(c->receive->observe)->smtp_connections_refused++;
	door_say_refused(c, stage, why->reason, why, TEXT_EMPTY);
	if (!in_plain) {
		io_stream_close(c->stream);
		return;
	}
	write_refusal(c->stream, c->receive->config, route_may_relay(c->settings, client), why);
	io_stream_finish(c->stream);
}

/* ---------------------------------------------------------------- TLS from the first octet */

static void on_handshake(void *owner, enum err err, const struct tls_info *info)
{
	struct connection *c = owner;
	struct ip_port client = c->shown;
	struct counters *counters = observe_counters(c->receive->observe);

	if (err) {
		counters->tls_failures_in++;
		door_say_refused(c, STAGE_STARTTLS, REASON_TLS, NULL, info->problem);
		return; /* the stream closes */
	}
	counters->tls_sessions_in++;
	counters->tls_resumed_in += info->resumed;
	connection_open_session(c, client, info);
}

static void begin_handshake(struct connection *c, struct text hello)
{
	struct io_layer *layer;

	c->door = DOOR_HANDSHAKE;
	if (tls_start(c->stream, c->tls, TEXT_EMPTY, on_handshake, c)) {
		io_stream_close(c->stream);
		return;
	}
	layer = io_stream_layer(c->stream);
	layer->ops->on_wire(layer, hello); /* it was for TLS, only nobody knew */
}

/* The client speaks first, so what it says tells whether it knows where it is. */
static size_t take_hello(struct connection *c, struct text bytes)
{
	static const struct receive_limit_answer plain = {
		554, "5.5.0", "speaks TLS from the first octet on this port", "listen.tls", 0, REASON_TLS
	};

	if (bytes.at[0] == 0x16)
		begin_handshake(c, bytes);
	else
		turn_away(c, c->shown.ip, STAGE_CONNECT, &plain, true);
	return bytes.len;
}

/* ---------------------------------------------------------------- the doors in their order */

static void open_for(struct connection *c)
{
	struct receive *r = c->receive;
	int64_t handshake_ms = MIN(HANDSHAKE_MS, c->settings->timeout_ms);

	if (c->settings->tls == CONFIG_TLS_IMPLICIT) {
		c->door = DOOR_HELLO;
		connection_set_limit(c, io_now_at(r->io) + handshake_ms);
	} else {
		connection_open_session(c, c->shown, NULL);
	}
}

/* Who it is is known now: whether that one may come in. False: it has been turned away. */
static bool admit_client(struct connection *c)
{
	struct receive *r = c->receive;
	bool in_plain = c->settings->tls != CONFIG_TLS_IMPLICIT;
	struct receive_limit_answer why = { 421,  "4.3.0", "is out of memory, come back later",
		                            NULL, 0,       REASON_OTHER };

	c->client = clients_enter(&r->clients, c->shown.ip);
	receive_sweep_later(r);
	if (c->client && admission_of_client(c, c->settings, c->client, c->shown.ip, &why))
		return true;
	turn_away(c, c->shown.ip, STAGE_CONNECT, &why, in_plain);
	return false;
}

static void shut_malformed(struct connection *c, const char *words)
{
	c->door = DOOR_SHUT;
	c->receive->counts.refused_connections++;
	observe_counters(c->receive->observe)->smtp_connections_refused++;
	door_say_refused(c, STAGE_CONNECT, REASON_PROTOCOL, NULL, text_from(words));
	io_stream_close(c->stream);
}

/* From here on the client is the one that the proxy names. */
static size_t take_proxy_header(struct connection *c, struct text bytes)
{
	struct receive_limit_answer denied;
	struct proxy_header header;
	struct connection_more *more;
	const char *words = "";
	enum err err = proxy_header_parse(bytes, &header, &words);
	struct text rest;

	if (err == ERR_MORE)
		return 0;
	if (err) {
		shut_malformed(c, words);
		return bytes.len;
	}
	if (!header.is_local) {
		more = connection_more(c);
		if (!more) {
			io_stream_close(c->stream);
			return bytes.len;
		}
		more->via = io_stream_peer(c->stream)->ip;
		c->shown = header.client;
	}
	if (route_is_denied(c->receive->config, c->shown.ip)) {
		denied = (struct receive_limit_answer){ 554,           "5.7.1", "does not speak to you",
			                                "access.deny", 0,       REASON_POLICY };
		turn_away(c, c->shown.ip, STAGE_CONNECT, &denied, c->settings->tls != CONFIG_TLS_IMPLICIT);
		return bytes.len;
	}
	if (!admit_client(c))
		return bytes.len;
	open_for(c);
	rest = text_skip(bytes, header.bytes);
	if (rest.len == 0 || io_stream_is_closing(c->stream))
		return bytes.len;
	return header.bytes + (c->door == DOOR_OPEN ? connection_talk(c, rest) : door_take(c, rest));
}

size_t door_take(struct connection *c, struct text bytes)
{
	switch (c->door) {
	case DOOR_PROXY:
		return take_proxy_header(c, bytes);
	case DOOR_HELLO:
		return take_hello(c, bytes);
	default:
		return bytes.len;
	}
}

void door_timed_out(struct connection *c)
{
	static const struct receive_limit_answer silent = {
		421,          "4.4.2", "waited for a TLS handshake, which begins this port's dialogue",
		"listen.tls", 0,       REASON_TIMEOUT
	};

	if (c->door == DOOR_PROXY) {
		shut_malformed(c, "no whole PROXY header came in time");
	} else if (c->door == DOOR_HELLO) {
		turn_away(c, c->shown.ip, STAGE_CONNECT, &silent, true);
	} else {
		if (c->door == DOOR_HANDSHAKE)
			door_say_refused(c, STAGE_STARTTLS, REASON_TIMEOUT, NULL,
			                 TEXT("the handshake took too long"));
		io_stream_close(c->stream);
	}
}

/* ---------------------------------------------------------------- coming in */

static void on_refused_closed(void *owner, enum err why)
{
	(void)owner;
	(void)why;
}

static size_t on_refused_data(void *owner, struct text bytes)
{
	(void)owner;
	return bytes.len;
}

static void on_refused_eof(void *owner)
{
	(void)owner;
}

/* Told and closed: nothing of ours hangs on it. */
static const struct io_stream_events refused_events = {
	.on_data = on_refused_data,
	.on_eof = on_refused_eof,
	.on_closed = on_refused_closed,
};

/* Nothing was made for this one yet, and nothing is. */
static void refuse_at_once(struct listener *l, struct io_stream *stream,
                           const struct receive_limit_answer *why)
{
	struct receive *r = l->receive;
	struct ip peer = io_stream_peer(stream)->ip.ip;
	struct event event = EVENT(EVENT_REJECTED);

	r->counts.refused_connections++;
	observe_counters(r->observe)->smtp_connections_refused++;
	io_stream_attach(stream, &refused_events, NULL);
	if (io_now_at(r->io) >= r->tell_again_at) {
		r->tell_again_at = io_now_at(r->io) + SECOND_MS;
		event.code = why->code;
		event.enhanced = text_from(why->enhanced);
		event.response = text_from(why->text);
		event.rule = text_from(why->rule);
		event.stage = STAGE_CONNECT;
		event.reason = why->reason;
		say_refused(r, l->config, peer, (struct ip){ .family = IP_NONE }, &event);
	}
	if (l->config->tls == CONFIG_TLS_IMPLICIT) {
		io_stream_close(stream);
		return;
	}
	write_refusal(stream, r->config, route_may_relay(l->config, peer), why);
	io_stream_finish(stream);
}

static void join(struct connection *c, struct listener *l, struct io_stream *stream)
{
	struct receive *r = l->receive;

	c->receive = r;
	c->listener = l;
	c->stream = stream;
	c->shown = io_stream_peer(stream)->ip;
	c->config = config_ref(r->config);
	c->settings = l->config;
	c->tls = l->tls ? tls_context_ref(l->tls) : NULL;
	l->references++;
	l->sessions++;
	r->counts.sessions++;
	observe_counters(r->observe)->smtp_sessions = r->counts.sessions;
	list_append(&r->connections, &c->link);
	io_stream_attach(stream, &connection_stream_events, c);
}

void receive_connection_accept(void *owner, struct io_stream *stream)
{
	struct receive_limit_answer why = { 421,  "4.3.0", "is out of memory, come back later",
		                            NULL, 0,       REASON_OTHER };
	struct listener *l = owner;
	struct receive *r = l->receive;
	struct ip peer = io_stream_peer(stream)->ip.ip;
	bool admitted = admission_of_connection(r, l, peer, &why);
	struct connection *c = admitted ? calloc(1, sizeof(*c)) : NULL;

	r->counts.connections++;
	observe_counters(r->observe)->smtp_connections++;
	if (!c) {
		refuse_at_once(l, stream, &why);
		return;
	}
	join(c, l, stream);
	if (route_is_proxy(l->config, peer)) {
		c->door = DOOR_PROXY;
		connection_set_limit(c, io_now_at(r->io) + MIN(PROXY_MS, l->config->timeout_ms));
	} else if (admit_client(c)) {
		open_for(c);
	}
}
