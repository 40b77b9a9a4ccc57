/* XCLIENT and XFORWARD: a peer that is trusted to says whom it speaks for. XCLIENT changes who the client is, with all rights that
 * come with it, and goes back to the greeting; XFORWARD changes what the log says, for one transaction.
 *
 *   attribute = name "=" xtext;  [UNAVAILABLE]: it is not known;  [TEMPUNAVAIL]: nor for now;  IPV6:addr, or an IPv4 address */
#include "session.h"

#include <postrider/route.h>
#include <postrider/smtp/parameter.h>

#define VALUE_MAX 255

enum attribute { NAME, ADDR, PORT, PROTO, HELO, LOGIN, DESTADDR, DESTPORT, IDENT, SOURCE, ATTRIBUTE_COUNT };

static const struct {
	struct text name;
	bool in_xclient, in_xforward;
} attributes[ATTRIBUTE_COUNT] = {
	[NAME] = { LIT("NAME"), true, true },          [ADDR] = { LIT("ADDR"), true, true },
	[PORT] = { LIT("PORT"), true, true },          [PROTO] = { LIT("PROTO"), true, true },
	[HELO] = { LIT("HELO"), true, true },          [LOGIN] = { LIT("LOGIN"), true, false },
	[DESTADDR] = { LIT("DESTADDR"), true, false }, [DESTPORT] = { LIT("DESTPORT"), true, false },
	[IDENT] = { LIT("IDENT"), false, true },       [SOURCE] = { LIT("SOURCE"), false, true },
};

/* What a command said. */
struct said {
	bool has[ATTRIBUTE_COUNT];
	struct text values[ATTRIBUTE_COUNT]; /* empty: it is not known */
	struct ip addr;                      /* IP_NONE: not known */
	uint16_t port;
	struct buf room;
};

/* ---------------------------------------------------------------- reading */

static bool is_plain(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if ((unsigned char)t.at[i] <= ' ' || t.at[i] == 0x7f)
			return false;
	return true;
}

static bool take_address(struct text value, struct ip *out)
{
	const struct text prefix = LIT("IPV6:");
	bool is_v6 = text_starts_nocase(value, prefix);

	return !ip_parse(text_skip(value, is_v6 ? prefix.len : 0), out);
}

static bool take_port(struct text value, uint16_t *out)
{
	uint64_t port;

	if (text_to_u64(value, UINT16_MAX, &port))
		return false;
	*out = (uint16_t)port;
	return true;
}

/* NULL: it is well. */
static const char *check(enum attribute a, struct text value, struct said *said)
{
	struct ip ignored;
	uint16_t ignored_port;

	if (value.len > VALUE_MAX || !is_plain(value))
		return "has octets that cannot be in it, or too many";
	switch (a) {
	case NAME:
		return smtp_domain_check(value) ? "is no host name" : NULL;
	case ADDR:
		return take_address(value, &said->addr) ? NULL : "is no address";
	case DESTADDR:
		return take_address(value, &ignored) ? NULL : "is no address";
	case PORT:
		return take_port(value, &said->port) ? NULL : "is no port";
	case DESTPORT:
		return take_port(value, &ignored_port) ? NULL : "is no port";
	case PROTO:
		return text_eq_nocase(value, TEXT("SMTP")) || text_eq_nocase(value, TEXT("ESMTP"))
		               ? NULL
		               : "is neither SMTP nor ESMTP";
	case SOURCE:
		return text_eq_nocase(value, TEXT("LOCAL")) || text_eq_nocase(value, TEXT("REMOTE"))
		               ? NULL
		               : "is neither LOCAL nor REMOTE";
	default:
		return value.len ? NULL : "is empty";
	}
}

static bool is_unavailable(struct text value)
{
	return text_eq_nocase(value, TEXT("[UNAVAILABLE]")) || text_eq_nocase(value, TEXT("[TEMPUNAVAIL]"));
}

static int find(struct text name, bool xclient)
{
	for (int i = 0; i < ATTRIBUTE_COUNT; i++)
		if (text_eq_nocase(name, attributes[i].name))
			return (xclient ? attributes[i].in_xclient : attributes[i].in_xforward) ? i : -1;
	return -1;
}

static bool refuse(struct receive_session *s, struct text name, const char *words)
{
	receive_session_reply_format(s, 501, "5.5.4", "%.*s %s", TEXT_ARGS(name), words);
	receive_session_count_error(s);
	return false;
}

/* The octets of a value that was decoded stand in said->room, which never moves: its room is made at once. */
static bool take_one(struct receive_session *s, struct text word, bool xclient, struct said *said)
{
	struct text value = word, name = text_cut(&value, '=');
	int a = find(name, xclient);
	size_t before = said->room.len;
	const char *problem;

	if (a < 0)
		return refuse(s, name, "is no attribute that is known here");
	if (name.len == word.len)
		return refuse(s, name, "has no value");
	said->has[a] = true;
	said->values[a] = TEXT_EMPTY;
	if (a == ADDR)
		said->addr = (struct ip){ .family = IP_NONE };
	if (a == PORT)
		said->port = 0;
	if (is_unavailable(value))
		return true;
	if (smtp_xtext_decode(value, &said->room) || buf_err(&said->room))
		return refuse(s, name, "is not written as xtext");
	said->values[a] = text_skip(buf_text(&said->room), before);
	problem = check((enum attribute)a, said->values[a], said);
	return problem ? refuse(s, name, problem) : true;
}

static bool take_all(struct receive_session *s, struct text args, bool xclient, struct said *said)
{
	said->room = BUF(SMTP_COMMAND_LINE_MAX);
	if (args.len == 0) {
		receive_session_reply(s, 501, "5.5.4", "Say at least one attribute: ADDR=192.0.2.1");
		receive_session_count_error(s);
		return false;
	}
	if (!buf_reserve(&said->room, args.len)) {
		receive_session_reply(s, 451, "4.3.0", "Out of memory, try again");
		return false;
	}
	while (args.len) {
		struct text word = text_cut(&args, ' ');

		args = text_trim(args);
		if (!take_one(s, word, xclient, said))
			return false;
	}
	return true;
}

/* ---------------------------------------------------------------- XCLIENT */

bool receive_xclient_is_offered(const struct receive_session *s)
{
	return s->may_xclient;
}

static void add_attributes(struct buf *b, bool xclient)
{
	const char *separator = "";

	for (int i = 0; i < ATTRIBUTE_COUNT; i++) {
		if (xclient ? !attributes[i].in_xclient : !attributes[i].in_xforward)
			continue;
		buf_add_string(b, separator);
		buf_add(b, attributes[i].name);
		separator = " ";
	}
}

void receive_xclient_add_attributes(const struct receive_session *s, struct buf *b)
{
	(void)s;
	add_attributes(b, true);
}

void receive_xforward_add_attributes(const struct receive_session *s, struct buf *b)
{
	(void)s;
	add_attributes(b, false);
}

static bool may_use(struct receive_session *s, const char *verb)
{
	if (s->may_xclient)
		return true;
	receive_session_reply_format(s, 550, "5.7.0", "%s is not for you", verb);
	receive_session_count_error(s);
	return false;
}

/* Replaces *place by a copy of value; an empty one by nothing. */
static enum err keep(char **place, struct text value)
{
	char *copy = value.len ? text_dup(value) : NULL;

	if (value.len && !copy)
		return ERR_NOMEM;
	free(*place);
	*place = copy;
	return ERR_OK;
}

static enum err become(struct receive_session *s, const struct said *said)
{
	struct session_more *more = receive_session_more(s);
	enum err err = more ? ERR_OK : ERR_NOMEM;

	if (err)
		return err;
	/* Everything that the client before had, it takes with it. */
	receive_auth_forget(s);
	/* another address has another name */
	if (said->has[NAME] || said->has[ADDR])
		err = keep(&more->client_name, said->values[NAME]);
	if (!err && said->values[LOGIN].len)
		err = receive_auth_vouch(s, &more->user_name, said->values[LOGIN]);
	if (!err)
		err = keep(&s->helo, said->values[HELO]);
	s->is_named = true;
	if (said->has[ADDR])
		s->client = said->addr;
	if (said->has[PORT])
		s->client_port = said->port;
	return err;
}

static void start_again(struct receive_session *s, bool is_shut_out)
{
	struct receive_limit_answer why = { 554, "5.7.1", "No service for this user", "access.users_file", 0,
		                            REASON_POLICY };

	s->extended = false;
	s->hasty = false;
	s->errors = 0;
	s->junk = 0;
	if (s->phase != PHASE_START)
		receive_session_enter(s, PHASE_START);
	if (is_shut_out || !s->ops->client_changed(s->owner, &why)) {
		receive_session_refuse_limit(s, &why, TEXT_EMPTY, STAGE_CONNECT);
		receive_session_close(s);
		return;
	}
	receive_session_renew_rights(s);
	receive_session_greet(s);
}

void receive_xclient_command(struct receive_session *s, struct text args)
{
	struct said said = { 0 };

	if (!may_use(s, "XCLIENT"))
		return;
	if (take_all(s, args, true, &said)) {
		enum err err = become(s, &said);

		if (err == ERR_OK || err == ERR_DENIED) {
			start_again(s, err == ERR_DENIED);
		} else {
			receive_session_reply(s, 421, "4.3.0", "Out of memory, closing");
			receive_session_close(s);
		}
	}
	buf_fini(&said.room);
}

/* ---------------------------------------------------------------- XFORWARD */

static enum err keep_forwarded(struct session_more *more, const struct said *said)
{
	char **places[ATTRIBUTE_COUNT] = {
		[NAME] = &more->forwarded_name,    [ADDR] = &more->forwarded_addr,
		[PORT] = &more->forwarded_port,    [PROTO] = &more->forwarded_proto,
		[HELO] = &more->forwarded_helo,    [IDENT] = &more->forwarded_ident,
		[SOURCE] = &more->forwarded_source
	};
	enum err err = ERR_OK;

	for (int i = 0; i < ATTRIBUTE_COUNT && !err; i++)
		if (places[i] && said->has[i])
			err = keep(places[i], said->values[i]);
	return err;
}

void receive_xforward_forget(struct receive_session *s)
{
	struct said nothing = { 0 };

	if (!s->more)
		return;
	for (int i = 0; i < ATTRIBUTE_COUNT; i++)
		nothing.has[i] = true;
	(void)keep_forwarded(s->more, &nothing); /* copies nothing: cannot fail */
}

void receive_xforward_command(struct receive_session *s, struct text args)
{
	struct said said = { 0 };
	struct session_more *more;

	if (!may_use(s, "XFORWARD"))
		return;
	if (take_all(s, args, false, &said)) {
		more = receive_session_more(s);
		if (!more || keep_forwarded(more, &said))
			receive_session_reply(s, 451, "4.3.0", "Out of memory, try again");
		else
			receive_session_reply(s, 250, "2.0.0", "Ok");
	}
	buf_fini(&said.room);
}
