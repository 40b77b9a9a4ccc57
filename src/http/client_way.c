/* From a URL to a stream that a request can be sent on: names, addresses one by one, TLS. */
#include "client.h"

/* ---------------------------------------------------------------- what people hear */

static const char *const steps[] = {
	[HTTP_STEP_LOOKUP] = "looking its address up", [HTTP_STEP_CONNECT] = "connecting",
	[HTTP_STEP_TLS] = "the TLS handshake",         [HTTP_STEP_REQUEST] = "waiting for the response",
	[HTTP_STEP_BODY] = "reading the response",
};

static void add_peer(struct http_call *c, struct buf *out)
{
	bool has_name = c->url.host.len > 0 && c->url.ip.family == IP_NONE;

	if (has_name)
		buf_add(out, c->url.host);
	if (c->step == HTTP_STEP_LOOKUP)
		return;
	if (c->to.ip.ip.family == IP_NONE) {
		buf_add_format(out, "unix:%s", c->to.unix_path);
	} else if (has_name) {
		buf_add_string(out, " [");
		ip_add(out, c->to.ip.ip);
		buf_add_format(out, "]:%u", c->to.ip.port);
	} else {
		ip_port_add(out, c->to.ip);
	}
}

static void add_printable(struct buf *out, struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		buf_add_octet(out, (unsigned char)t.at[i] < ' ' || t.at[i] == 0x7f ? '?' : t.at[i]);
}

void http_call_describe(struct http_call *c, enum err err, struct text why)
{
	buf_reset(&c->problem);
	add_peer(c, &c->problem);
	buf_add_format(&c->problem, ": %s: ", steps[c->step]);
	add_printable(&c->problem, why.len > 0 ? why : text_from(err_text(err)));
	if (c->address_count > 1 && c->step < HTTP_STEP_REQUEST)
		buf_add_format(&c->problem, " (the last of %zu addresses)", c->address_count);
}

/* ---------------------------------------------------------------- one address */

static enum err connect_to(struct http_call *c)
{
	c->step = HTTP_STEP_CONNECT;
	c->left_because = ERR_OK;
	buf_reset(&c->problem);
	return io_connect(c->io, &c->to, NULL, &http_call_stream_events, c, &c->stream);
}

/* Nothing of it is on the loop now. Addresses that nothing can be started towards are passed over. */
static void connect_next(struct http_call *c)
{
	while (c->address_next < c->address_count) {
		c->to.ip = (struct ip_port){ c->addresses[c->address_next++], c->url.port };
		enum err err = connect_to(c);

		if (!err) {
			http_call_wait(c, c->connect_ms);
			return;
		}
		if (err == ERR_BUSY || err == ERR_NOMEM || c->address_next == c->address_count) {
			http_call_end(c, err, TEXT_EMPTY);
			return;
		}
	}
}

void http_call_leave_address(struct http_call *c, enum err why, struct text words)
{
	if (c->left_because)
		return;
	c->left_because = why;
	http_call_describe(c, why, words);
	io_timer_stop(c->io, &c->silence);
	io_stream_close(c->stream);
}

void http_call_next_address(struct http_call *c, enum err why)
{
	enum err err = c->left_because ? c->left_because : why ? why : ERR_CLOSED;

	io_timer_stop(c->io, &c->silence);
	if (c->address_next < c->address_count && err != ERR_NOMEM) {
		connect_next(c);
		return;
	}
	http_call_end(c, err, TEXT_EMPTY);
}

static void on_tls(void *owner, enum err err, const struct tls_info *info)
{
	struct http_call *c = owner;

	if (!err) {
		http_call_send(c);
		return;
	}
	/* The stream closes with it. */
	c->left_because = err;
	http_call_describe(c, err, info->problem);
}

void http_call_connected(void *owner)
{
	struct http_call *c = owner;

	if (!c->tls) {
		http_call_send(c);
		return;
	}
	c->step = HTTP_STEP_TLS;
	enum err err = tls_start(c->stream, c->tls, c->url.host, on_tls, c);

	if (err)
		http_call_leave_address(c, err, TEXT_EMPTY);
}

/* ---------------------------------------------------------------- all of them */

static bool may_connect(const struct http_call *c, struct ip ip)
{
	return !c->may_connect || c->may_connect(c->owner, ip);
}

/* The next that may be tried, from there on; the count: none. */
static size_t find_next(const struct http_call *c, const struct dns_address_list *found, size_t from,
                        enum ip_family family)
{
	while (from < found->count &&
	       (found->addresses[from].family != family || !may_connect(c, found->addresses[from])))
		from++;
	return from;
}

/* IPv6 and IPv4 in turn, so that a family that leads nowhere costs one time-out and not all of them. */
static void take_addresses(struct http_call *c, const struct dns_address_list *found)
{
	size_t v6 = find_next(c, found, 0, IP_V6), v4 = find_next(c, found, 0, IP_V4);

	while (c->address_count + 2 <= HTTP_ADDRESSES_MAX && (v6 < found->count || v4 < found->count)) {
		if (v6 < found->count)
			c->addresses[c->address_count++] = found->addresses[v6++];
		if (v4 < found->count)
			c->addresses[c->address_count++] = found->addresses[v4++];
		v6 = find_next(c, found, v6, IP_V6);
		v4 = find_next(c, found, v4, IP_V4);
	}
}

static void on_addresses(void *owner, enum err err, const struct dns_address_list *found, struct text problem)
{
	struct http_call *c = owner;

	if (err) {
		http_call_end(c, err, problem);
		return;
	}
	take_addresses(c, found);
	if (c->address_count == 0)
		http_call_end(c, ERR_DENIED, TEXT("none of its addresses may be connected to"));
	else
		connect_next(c);
}

enum err http_call_take_url(struct http_call *c, const struct http_call_options *o)
{
	buf_add(&c->url_text, o->url);
	if (buf_err(&c->url_text))
		return buf_err(&c->url_text) == ERR_TOO_BIG ? ERR_SYNTAX : buf_err(&c->url_text);
	enum err err = url_parse(buf_text(&c->url_text), &c->url, NULL);

	if (err)
		return err;
	if ((c->url.is_https && !o->tls) || (c->url.ip.family == IP_NONE && !o->dns))
		return ERR_UNSUPPORTED;
	if (c->url.ip.family != IP_NONE && !may_connect(c, c->url.ip))
		return ERR_DENIED;
	c->tls = c->url.is_https ? tls_context_ref(o->tls) : NULL;
	return ERR_OK;
}

enum err http_call_find(struct http_call *c, const struct io_address *to)
{
	if (c->url.host.len > 0 && c->url.ip.family == IP_NONE)
		return dns_find_addresses(c->dns, c->url.host, DNS_ANY, &c->lookup, on_addresses, c);
	if (c->url.host.len > 0)
		c->to.ip = (struct ip_port){ c->url.ip, c->url.port };
	else
		c->to = *to;
	enum err err = connect_to(c);

	if (!err)
		http_call_wait(c, c->connect_ms);
	return err;
}
