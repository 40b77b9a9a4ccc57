/* Which service extensions a client is offered, and when. */
#include "session.h"

static bool is_stranger_to_tls(const struct receive_session *s)
{
	return s->tls_offered && !s->tls_running;
}

static bool is_inside_tls(const struct receive_session *s)
{
	return s->tls_running;
}

static bool may_relay(const struct receive_session *s)
{
	return s->may_relay;
}

static bool may_hold(const struct receive_session *s)
{
	return s->may_relay && s->config->access.max_hold_ms >= SECOND_MS;
}

/* RCPTMAX: what a transaction takes at most, 6 digits (RFC 9422 section 4). */
static void add_limits(const struct receive_session *s, struct buf *b)
{
	buf_add_string(b, "RCPTMAX=");
	buf_add_u64(b, MIN(s->config->access.max_recipients, 999999));
}

/* max-future-release-interval SP max-future-release-date-time (RFC 4865 section 3) */
static void add_future_release(const struct receive_session *s, struct buf *b)
{
	int64_t seconds = MIN(s->config->access.max_hold_ms / SECOND_MS, 999999999);
	int64_t until = s->ops->now_time(s->owner) / SECOND_MS + seconds;
	struct calendar c = calendar_from_time(until * SECOND_MS);

	buf_add_format(b, "%lld %04d-%02d-%02dT%02d:%02d:%02dZ", (long long)seconds, c.year, c.month, c.day,
	               c.hour, c.minute, c.second);
}

/* Hidden keywords apart. */
static const struct {
	enum ehlo_keyword keyword;
	bool (*is_offered)(const struct receive_session *s);              /* NULL: always */
	void (*add_args)(const struct receive_session *s, struct buf *b); /* NULL: none */
	unsigned needs;                                                   /* cannot be had without these */
} extensions[] = {
	{ EHLO_PIPELINING, NULL, NULL, 0 },
	{ EHLO_SIZE, NULL, NULL, 0 },
	{ EHLO_8BITMIME, NULL, NULL, 0 },
	{ EHLO_ENHANCEDSTATUSCODES, NULL, NULL, 0 },
	{ EHLO_STARTTLS, is_stranger_to_tls, NULL, 0 },
	{ EHLO_CHUNKING, NULL, NULL, 0 },
	{ EHLO_BINARYMIME, NULL, NULL, EHLO_CHUNKING | EHLO_8BITMIME },
	{ EHLO_SMTPUTF8, NULL, NULL, EHLO_8BITMIME },
	{ EHLO_DSN, NULL, NULL, 0 },
	{ EHLO_LIMITS, NULL, add_limits, 0 },
	{ EHLO_REQUIRETLS, is_inside_tls, NULL, 0 },
	{ EHLO_DELIVERBY, NULL, NULL, 0 },
	{ EHLO_FUTURERELEASE, may_hold, add_future_release, 0 },
	{ EHLO_MT_PRIORITY, may_relay, NULL, 0 },
	{ EHLO_AUTH, receive_auth_is_offered, receive_auth_add_mechanisms, 0 },
	{ EHLO_XCLIENT, receive_xclient_is_offered, receive_xclient_add_attributes, 0 },
	{ EHLO_XFORWARD, receive_xclient_is_offered, receive_xforward_add_attributes, 0 },
};

unsigned receive_extensions_hidden(const struct receive_session *s)
{
	const struct config_texts *hide = &s->listener->hide;
	unsigned hidden = 0;

	for (size_t i = 0; i < hide->count; i++)
		hidden |= ehlo_keyword_of(hide->items[i]);
	for (size_t i = 0; i < ARRAY_LEN(extensions) && hidden; i++)
		if (extensions[i].needs & hidden)
			hidden |= extensions[i].keyword;
	return hidden;
}

unsigned receive_extensions_offered(const struct receive_session *s)
{
	unsigned offered = 0;

	if (!s->extended)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(extensions); i++)
		if (!extensions[i].is_offered || extensions[i].is_offered(s))
			offered |= extensions[i].keyword;
	return offered & ~receive_extensions_hidden(s);
}

/* Only this one is asked for: whether there is AUTH costs a little. */
bool receive_extension_is_offered(const struct receive_session *s, enum ehlo_keyword keyword)
{
	for (size_t i = 0; i < ARRAY_LEN(extensions) && s->extended; i++)
		if (extensions[i].keyword == keyword)
			return (!extensions[i].is_offered || extensions[i].is_offered(s)) &&
			       !(receive_extensions_hidden(s) & keyword);
	return false;
}

#define ARGS_MAX 2048

void receive_extensions_say(struct receive_session *s)
{
	struct ehlo ours = { .keywords = receive_extensions_offered(s),
		             .domain = s->config->hostname,
		             .size_limit_bytes = s->config->access.max_message_size_bytes };
	struct buf args = BUF(ARGS_MAX);
	size_t before = s->out.len;

	/* its octets must not move any more */
	bool has_room = buf_reserve(&args, ARGS_MAX);

	for (size_t i = 0; i < ARRAY_LEN(extensions) && has_room; i++) {
		size_t from = args.len;

		if (!extensions[i].add_args || !(ours.keywords & extensions[i].keyword))
			continue;
		extensions[i].add_args(s, &args);
		*ehlo_args(&ours, extensions[i].keyword) = text_skip(buf_text(&args), from);
	}
	if (buf_err(&args))
		receive_session_reply(s, 451, "4.3.0", "Out of memory, try again");
	else
		ehlo_add(&s->out, &ours, TEXT_EMPTY);
	receive_session_check_out(s, before);
	buf_fini(&args);
}
