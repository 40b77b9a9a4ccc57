#include "policy_protocol.h"

/* ---------------------------------------------------------------- the question */

static const char *const stage_names[POLICY_STAGE_COUNT] = {
	[POLICY_AT_CONNECT] = "CONNECT", [POLICY_AT_EHLO] = "EHLO",
	[POLICY_AT_MAIL] = "MAIL",       [POLICY_AT_RCPT] = "RCPT",
	[POLICY_AT_DATA] = "DATA",       [POLICY_AT_END_OF_MESSAGE] = "END-OF-MESSAGE",
};

static bool is_control(char c)
{
	return (unsigned char)c < ' ' || c == 0x7f;
}

static void put_text(struct buf *out, const char *name, struct text value)
{
	buf_add_string(out, name);
	buf_add_octet(out, '=');
	value = text_head(value, POLICY_VALUE_MAX);
	for (size_t i = 0; i < value.len; i++)
		buf_add_octet(out, is_control(value.at[i]) ? '?' : value.at[i]);
	buf_add_octet(out, '\n');
}

static void put_number(struct buf *out, const char *name, uint64_t value)
{
	buf_add_format(out, "%s=%llu\n", name, (unsigned long long)value);
}

static void put_address(struct buf *out, const char *address, const char *port, struct ip_port a)
{
	buf_add_format(out, "%s=", address);
	if (a.ip.family != IP_NONE)
		ip_add(out, a.ip);
	else
		buf_add_string(out, "127.0.0.1"); /* a Unix socket: services expect an address */
	buf_add_octet(out, '\n');
	put_number(out, port, a.port);
}

static char ascii_upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - ('a' - 'A')) : c;
}

static void put_fingerprint(struct buf *out, const char *name, struct text digits)
{
	AUTO(buf_fini) struct buf b = BUF(POLICY_VALUE_MAX);

	digits = text_head(digits, POLICY_VALUE_MAX / 3 * 2);
	for (size_t i = 0; i < digits.len; i++) {
		if (i > 0 && i % 2 == 0)
			buf_add_octet(&b, ':');
		buf_add_octet(&b, ascii_upper(digits.at[i]));
	}
	put_text(out, name, buf_text(&b));
	if (buf_err(&b))
		out->err = buf_err(&b);
}

/* Bits, from the name of a suite: AES-128 and AES_256 alike. */
static unsigned keysize_of(struct text cipher)
{
	if (text_find(cipher, TEXT("CHACHA20")) < cipher.len)
		return 256;
	struct text aes = text_skip(cipher, text_find(cipher, TEXT("AES")) + 4);

	return text_starts(aes, TEXT("256")) ? 256 : text_starts(aes, TEXT("128")) ? 128 : 0;
}

static struct text client_name(const struct policy_question *q)
{
	if (q->client_name.len)
		return q->client_name;
	return q->client.ip.family == IP_NONE ? TEXT("localhost") : TEXT("unknown");
}

void policy_question_write(struct buf *out, const struct policy_question *q)
{
	buf_add_string(out, "request=smtpd_access_policy\n");
	put_text(out, "protocol_state", text_from(stage_names[q->stage]));
	put_text(out, "protocol_name", q->protocol_name);
	put_address(out, "client_address", "client_port", q->client);
	put_text(out, "client_name", client_name(q));
	put_text(out, "reverse_client_name", client_name(q));
	put_address(out, "server_address", "server_port", q->server);
	put_text(out, "helo_name", q->helo_name);
	put_text(out, "queue_id", q->queue_id);
	put_text(out, "sender", q->sender);
	put_text(out, "recipient", q->recipient);
	put_number(out, "recipient_count", q->recipient_count);
	put_number(out, "size", q->size);
	put_text(out, "instance", q->instance);
	put_text(out, "etrn_domain", TEXT_EMPTY);
	put_text(out, "stress", q->stress ? TEXT("yes") : TEXT_EMPTY);
	put_text(out, "sasl_method", q->sasl_method);
	put_text(out, "sasl_username", q->sasl_username);
	put_text(out, "sasl_sender", q->sasl_sender);
	put_text(out, "ccert_subject", q->ccert_subject);
	put_text(out, "ccert_issuer", q->ccert_issuer);
	put_fingerprint(out, "ccert_fingerprint", q->ccert_fingerprint);
	put_text(out, "ccert_pubkey_fingerprint", TEXT_EMPTY);
	put_text(out, "encryption_protocol", q->encryption_protocol);
	put_text(out, "encryption_cipher", q->encryption_cipher);
	put_number(out, "encryption_keysize",
	           q->encryption_keysize ? q->encryption_keysize : keysize_of(q->encryption_cipher));
	put_text(out, "policy_context", TEXT_EMPTY);
	buf_add_octet(out, '\n');
}

/* ---------------------------------------------------------------- finding an answer */

static struct text without_cr(struct text line)
{
	return line.len && line.at[line.len - 1] == '\r' ? text_head(line, line.len - 1) : line;
}

static enum err take_attribute(struct text line, struct text *action)
{
	struct text value = line, name = text_cut(&value, '=');

	if (name.len == 0 || name.len == line.len)
		return ERR_SYNTAX;
	if (!action->at && text_eq_nocase(text_trim(name), TEXT("action")))
		*action = text_trim(value);
	return ERR_OK;
}

enum err policy_answer_find(struct text bytes, struct text *action, size_t *taken)
{
	struct text rest = text_head(bytes, POLICY_ANSWER_MAX), found = { 0 };

	while (text_find_octet(rest, '\n') < rest.len) {
		struct text line = without_cr(text_cut(&rest, '\n'));

		if (line.len == 0) {
			if (!found.at)
				return ERR_SYNTAX;
			*action = found;
			*taken = (size_t)(rest.at - bytes.at);
			return ERR_OK;
		}
		enum err err = take_attribute(line, &found);

		if (err)
			return err;
	}
	return bytes.len >= POLICY_ANSWER_MAX ? ERR_TOO_BIG : ERR_MORE;
}

/* ---------------------------------------------------------------- what it means */

/* A word from the front of *rest, and the white space behind it. */
static struct text take_word(struct text *rest)
{
	struct text t = text_trim(*rest);
	size_t len = 0;

	while (len < t.len && t.at[len] != ' ' && t.at[len] != '\t')
		len++;
	*rest = text_trim(text_skip(t, len));
	return text_head(t, len);
}

/* Into words, with what is no plain ASCII as "?"; what it returns is there to stay, for words is reserved once. */
static struct text keep_plain(struct buf *words, struct text t, size_t max)
{
	size_t from = words->len;

	t = text_head(t, max);
	for (size_t i = 0; i < t.len; i++)
		buf_add_octet(words, t.at[i] >= ' ' && t.at[i] <= '~' ? t.at[i] : '?');
	return text_skip(buf_text(words), from);
}

/* RFC 3463: the code's class is the reply's, whatever the service wrote. */
static void set_enhanced(struct reply *reply, struct text enhanced)
{
	memcpy(reply->enhanced, enhanced.at, enhanced.len);
	reply->enhanced[enhanced.len] = '\0';
	reply->enhanced[0] = (char)('0' + reply->code / 100);
}

static void refuse(struct policy_answer *out, struct buf *words, int code, struct text text)
{
	struct text rest = text, first = take_word(&rest);
	bool is_permanent = code / 100 == REPLY_PERMANENT;

	out->verdict = POLICY_REFUSE;
	out->reply.code = code;
	if (first.len < REPLY_ENHANCED_MAX && reply_is_enhanced(first)) {
		set_enhanced(&out->reply, first);
		text = rest;
	} else {
		set_enhanced(&out->reply, is_permanent ? TEXT("5.7.1") : TEXT("4.7.1"));
	}
	if (text.len)
		out->reply.text = keep_plain(words, text, POLICY_REPLY_TEXT_MAX);
	else
		out->reply.text = is_permanent ? TEXT("Refused by a policy service")
		                               : TEXT("Deferred by a policy service, try again later");
}

static void note(struct policy_answer *out, struct buf *words, struct text text)
{
	out->note = keep_plain(words, text, POLICY_VALUE_MAX);
}

static bool is_field_name(struct text name)
{
	for (size_t i = 0; i < name.len; i++) {
		if (name.at[i] <= ' ' || name.at[i] > '~') /* ftext, RFC 5322 section 3.6.8 */
			return false;
	}
	return name.len > 0;
}

/* One unfolded line: no CR, LF or NUL may begin another field or the body, and only ASCII fits every next hop. */
static bool is_field_value(struct text value)
{
	for (size_t i = 0; i < value.len; i++) {
		if ((value.at[i] < ' ' || value.at[i] > '~') && value.at[i] != '\t')
			return false;
	}
	return true;
}

static enum err prepend(struct policy_answer *out, struct buf *words, struct text text)
{
	struct text value = text, name = text_cut(&value, ':');
	size_t from = words->len;

	value = text_trim(value);
	if (name.len == text.len || !is_field_name(name) || !is_field_value(value) ||
	    name.len + 2 + value.len > POLICY_FIELD_MAX)
		return ERR_SYNTAX;
	buf_add(words, name);
	buf_add(words, TEXT(": "));
	buf_add(words, value);
	out->verdict = POLICY_PREPEND;
	out->field = text_skip(buf_text(words), from);
	return ERR_OK;
}

enum action {
	ACTION_PASS,
	ACTION_REJECT,
	ACTION_DEFER,
	ACTION_PREPEND,
	ACTION_HOLD,
	ACTION_DISCARD,
	ACTION_WARN,
	ACTION_INFO
};

static const struct {
	struct text word;
	enum action action;
} actions[] = {
	{ LIT("DUNNO"), ACTION_PASS },
	{ LIT("OK"), ACTION_PASS },
	{ LIT("PERMIT"), ACTION_PASS },
	{ LIT("DEFER_IF_REJECT"), ACTION_PASS },
	{ LIT("REJECT"), ACTION_REJECT },
	{ LIT("DEFER"), ACTION_DEFER },
	{ LIT("DEFER_IF_PERMIT"), ACTION_DEFER },
	{ LIT("PREPEND"), ACTION_PREPEND },
	{ LIT("HOLD"), ACTION_HOLD },
	{ LIT("DISCARD"), ACTION_DISCARD },
	{ LIT("WARN"), ACTION_WARN },
	{ LIT("INFO"), ACTION_INFO },
};

static enum err act(enum action action, struct text text, struct buf *words, struct policy_answer *out)
{
	switch (action) {
	case ACTION_PASS:
		break;
	case ACTION_REJECT:
		refuse(out, words, 554, text);
		break;
	case ACTION_DEFER:
		refuse(out, words, 450, text);
		break;
	case ACTION_PREPEND:
		return prepend(out, words, text);
	case ACTION_HOLD:
		out->verdict = POLICY_HOLD;
		note(out, words, text);
		break;
	case ACTION_DISCARD:
		out->verdict = POLICY_DISCARD;
		note(out, words, text);
		break;
	case ACTION_WARN:
		out->level = LEVEL_WARN;
		note(out, words, text);
		break;
	case ACTION_INFO:
		note(out, words, text);
		break;
	}
	return ERR_OK;
}

static bool is_number(struct text t)
{
	for (size_t i = 0; i < t.len; i++) {
		if (!ascii_is_digit(t.at[i]))
			return false;
	}
	return t.len > 0;
}

static enum err understand(struct text verb, struct text text, struct buf *words, struct policy_answer *out)
{
	for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
		if (text_eq_nocase(verb, actions[i].word))
			return act(actions[i].action, text, words, out);
	}
	if (!is_number(verb))
		return ERR_UNSUPPORTED;
	if (verb.len == 3 && (verb.at[0] == '4' || verb.at[0] == '5')) {
		refuse(out, words, (verb.at[0] - '0') * 100 + (verb.at[1] - '0') * 10 + (verb.at[2] - '0'),
		       text);
		return ERR_OK;
	}
	return text.len ? ERR_UNSUPPORTED : ERR_OK;
}

static void say_problem(enum err err, struct text verb, struct buf *words, struct policy_answer *out)
{
	size_t from = words->len;

	buf_add_string(words, "its action ");
	keep_plain(words, verb, 64);
	if (err == ERR_SYNTAX)
		buf_add_string(words, " needs a header field behind it (Name: value, plain ASCII, one line)");
	else
		buf_add_string(words, verb.len ? " is not one of those that work here" : "is empty");
	out->problem = text_skip(buf_text(words), from);
}

enum err policy_answer_read(struct text action, struct buf *words, struct policy_answer *out)
{
	struct text text = action, verb = take_word(&text);

	*out = (struct policy_answer){ .level = LEVEL_INFO };
	buf_reset(words);
	/* All of it once, so that views of it stay where they are. */
	if (!buf_reserve(words, POLICY_VALUE_MAX + 256))
		return ERR_NOMEM;
	enum err err = understand(verb, text, words, out);

	if (err)
		say_problem(err, verb, words, out);
	return buf_err(words) ? buf_err(words) : err;
}
