#include <postrider/base/time.h>
#include <postrider/observe/json_text.h>
#include <postrider/observe/observe.h>

/* ,"name": for every member but the first; `key` is given with all of that. */
#define KEY(name) TEXT(",\"" name "\":")
#define FIRST(name) TEXT("\"" name "\":")

static void add_text(struct buf *out, struct text key, struct text value)
{
	if (value.len == 0)
		return;
	buf_add(out, key);
	observe_add_json_text(out, value, EVENT_TEXT_MAX);
}

/* For words of ours, which need no escape. */
static void add_word(struct buf *out, struct text key, struct text word)
{
	if (word.len == 0)
		return;
	buf_add(out, key);
	buf_add_octet(out, '"');
	buf_add(out, word);
	buf_add_octet(out, '"');
}

static void add_number(struct buf *out, struct text key, int64_t value)
{
	if (value < 0)
		return;
	buf_add(out, key);
	buf_add_u64(out, (uint64_t)value);
}

static void add_time(struct buf *out, struct text key, int64_t time_ms)
{
	if (time_ms <= 0)
		return;
	buf_add(out, key);
	buf_add_octet(out, '"');
	time_add_rfc3339(out, time_ms * 1000);
	buf_add_octet(out, '"');
}

static void add_ip_port(struct buf *out, struct text key, struct ip_port address)
{
	if (address.ip.family == IP_NONE)
		return;
	buf_add(out, key);
	buf_add_octet(out, '"');
	ip_port_add(out, address);
	buf_add_octet(out, '"');
}

static void add_bool(struct buf *out, struct text key, bool value)
{
	buf_add(out, key);
	buf_add(out, value ? TEXT("true") : TEXT("false"));
}

/* An object inside: opens with `key{`, and the members behind begin with a comma that close_object takes away. */
static size_t open_object(struct buf *out, struct text key)
{
	buf_add(out, key);
	buf_add_octet(out, '{');
	return out->len;
}

static void close_object(struct buf *out, struct text key, size_t start)
{
	if (buf_err(out))
		return;
	if (out->len == start) {
		buf_cut(out, start - key.len - 1);
		return;
	}
	memmove(out->at + start, out->at + start + 1, out->len - start - 1);
	buf_cut(out, out->len - 1);
	buf_add_octet(out, '}');
}

static void add_tls(struct buf *out, const struct event_tls *tls)
{
	if (tls->version.len == 0)
		return;
	size_t start = open_object(out, KEY("tls"));

	add_text(out, KEY("version"), tls->version);
	add_text(out, KEY("cipher"), tls->cipher);
	add_bool(out, KEY("verified"), tls->verified);
	if (tls->by)
		add_text(out, KEY("by"), event_proof_text(tls->by));
	close_object(out, KEY("tls"), start);
}

static void add_ms(struct buf *out, const struct event_ms *ms)
{
	size_t start = open_object(out, KEY("ms"));

	add_number(out, KEY("total"), ms->total);
	add_number(out, KEY("wait"), ms->wait);
	add_number(out, KEY("queue"), ms->queue);
	add_number(out, KEY("dns"), ms->dns);
	add_number(out, KEY("connect"), ms->connect);
	add_number(out, KEY("tls"), ms->tls);
	add_number(out, KEY("auth"), ms->auth);
	add_number(out, KEY("envelope"), ms->envelope);
	add_number(out, KEY("data"), ms->data);
	close_object(out, KEY("ms"), start);
}

static void add_client(struct buf *out, const struct event *e)
{
	size_t start = open_object(out, KEY("client"));

	add_text(out, KEY("ip"), e->client_ip);
	add_text(out, KEY("helo"), e->client_helo);
	add_text(out, KEY("user"), e->client_user);
	add_text(out, KEY("listener"), e->client_listener);
	add_text(out, KEY("protocol"), e->client_protocol);
	add_text(out, KEY("via"), e->client_via);
	add_text(out, KEY("mechanism"), e->mechanism);
	close_object(out, KEY("client"), start);
}

static void add_login(struct buf *out, const struct event *e)
{
	size_t start = open_object(out, KEY("login"));

	add_text(out, KEY("user"), e->login_user);
	add_text(out, KEY("mechanism"), e->login_mechanism);
	close_object(out, KEY("login"), start);
}

static void add_headers(struct buf *out, const struct event *e)
{
	if (e->subject.len == 0)
		return;
	size_t start = open_object(out, KEY("headers"));

	add_text(out, KEY("Subject"), e->subject);
	close_object(out, KEY("headers"), start);
}

static void add_envelope(struct buf *out, const struct event *e)
{
	if (e->has_id) {
		struct id_text id = id_to_text(e->id);

		add_word(out, KEY("id"), text_of(id.at, ID_CHARS));
	}
	add_number(out, KEY("rcpt"), e->rcpt);
	add_number(out, KEY("recipients"), e->recipients);
	add_text(out, KEY("message_id"), e->message_id);
	if (e->from.at && e->from.len == 0)
		buf_add(out, TEXT(",\"from\":\"\""));
	add_text(out, KEY("from"), e->from);
	add_text(out, KEY("to"), e->to);
	add_text(out, KEY("orig_to"), e->orig_to);
	add_number(out, KEY("size"), e->size);
	add_time(out, KEY("created"), e->created_time);
	add_time(out, KEY("expires"), e->expires_time);
	add_time(out, KEY("next_attempt"), e->next_attempt_time);
	add_number(out, KEY("attempt"), e->attempt);
}

static void add_outcome(struct buf *out, const struct event *e)
{
	add_text(out, KEY("action"), e->action);
	if (e->code > 0)
		add_number(out, KEY("code"), e->code);
	add_text(out, KEY("enhanced"), e->enhanced);
	add_text(out, KEY("response"), e->response);
	add_word(out, KEY("stage"), stage_text(e->stage));
	add_word(out, KEY("reason"), reason_text(e->reason));
	add_text(out, KEY("rule"), e->rule);
	add_text(out, KEY("at"), e->at);
	add_text(out, KEY("route"), e->route);
	add_text(out, KEY("upstream"), e->upstream);
	add_text(out, KEY("mx"), e->mx);
	add_ip_port(out, KEY("remote"), e->remote);
	add_ip_port(out, KEY("local"), e->local);
}

void observe_event_line(struct text node, const struct event *e, int64_t time_us, struct buf *out)
{
	buf_add_octet(out, '{');
	buf_add(out, FIRST("time"));
	buf_add_octet(out, '"');
	time_add_rfc3339(out, time_us);
	buf_add_octet(out, '"');
	add_word(out, KEY("event"), event_kind_text(e->kind));
	add_word(out, KEY("level"), event_level_text(e->level));
	add_text(out, KEY("node"), node);
	add_envelope(out, e);
	add_outcome(out, e);
	add_tls(out, &e->tls);
	add_login(out, e);
	add_ms(out, &e->ms);
	add_client(out, e);
	add_headers(out, e);
	add_text(out, KEY("serial"), e->serial);
	add_time(out, KEY("not_after"), e->not_after_time);
	add_text(out, KEY("detail"), e->detail);
	add_number(out, KEY("dropped"), e->dropped);
	buf_add_octet(out, '}');
}
