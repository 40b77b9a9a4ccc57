#include "dovecot_protocol.h"

#include <postrider/base/base64.h>

#define MAJOR_VERSION 1
#define MINOR_VERSION 1

/* ---------------------------------------------------------------- what Dovecot says */

static enum err read_version(struct dovecot_handshake *h, struct text rest)
{
	uint64_t major;

	if (text_to_u64(text_cut(&rest, '\t'), UINT32_MAX, &major))
		return ERR_SYNTAX;
	if (major != MAJOR_VERSION)
		return ERR_UNSUPPORTED;
	h->has_version = true;
	return ERR_OK;
}

/* Those whose dialogue can be relayed: nothing in them depends on our side of the connection. */
static void read_mechanism(struct dovecot_handshake *h, struct text rest)
{
	static const struct {
		struct text name;
		enum auth_mechanism bit;
	} known[] = {
		{ LIT("PLAIN"), AUTH_PLAIN },
		{ LIT("SCRAM-SHA-256"), AUTH_SCRAM_SHA_256 },
		{ LIT("OAUTHBEARER"), AUTH_OAUTHBEARER },
		{ LIT("XOAUTH2"), AUTH_XOAUTH2 },
	};
	struct text name = text_cut(&rest, '\t');

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (text_eq_nocase(name, known[i].name))
			h->mechanisms |= known[i].bit;
	}
}

static enum err read_handshake(struct dovecot_handshake *h, struct text word, struct text rest,
                               struct dovecot_line *out)
{
	if (++h->lines > DOVECOT_HANDSHAKE_LINES_MAX)
		return ERR_TOO_BIG;
	if (text_eq(word, TEXT("VERSION")))
		return read_version(h, rest);
	if (!h->has_version)
		return ERR_SYNTAX; /* whatever it is, it is not Dovecot's auth socket */
	if (text_eq(word, TEXT("MECH")))
		read_mechanism(h, rest);
	if (!text_eq(word, TEXT("DONE")))
		return ERR_OK;
	h->is_done = true;
	out->kind = DOVECOT_READY;
	return ERR_OK;
}

/* NAME=value; false: another name. */
static bool take_value(struct text field, struct text name_and_sign, struct text *out)
{
	if (!text_starts(field, name_and_sign))
		return false;
	*out = text_skip(field, name_and_sign.len);
	return true;
}

static void read_field(struct text field, struct dovecot_line *out)
{
	if (take_value(field, TEXT("user="), &out->user) ||
	    take_value(field, TEXT("reason="), &out->reason) || take_value(field, TEXT("resp="), &out->data))
		return;
	if (text_eq(field, TEXT("temp")) || text_eq(field, TEXT("code=temp_fail")))
		out->temporary = true;
}

static enum err read_about_request(enum dovecot_kind kind, struct text rest, struct dovecot_line *out)
{
	uint64_t id;

	if (text_to_u64(text_cut(&rest, '\t'), UINT32_MAX, &id))
		return ERR_SYNTAX;
	out->kind = kind;
	out->id = (uint32_t)id;
	if (kind == DOVECOT_CONT) {
		out->data = text_cut(&rest, '\t');
		return ERR_OK;
	}
	while (rest.len)
		read_field(text_cut(&rest, '\t'), out);
	return ERR_OK;
}

enum err dovecot_read(struct dovecot_handshake *h, struct text line, struct dovecot_line *out)
{
	struct text rest = line, word = text_cut(&rest, '\t');

	*out = (struct dovecot_line){ .kind = DOVECOT_NOTHING };
	if (!h->is_done)
		return read_handshake(h, word, rest, out);
	if (text_eq(word, TEXT("OK")))
		return read_about_request(DOVECOT_OK, rest, out);
	if (text_eq(word, TEXT("CONT")))
		return read_about_request(DOVECOT_CONT, rest, out);
	if (text_eq(word, TEXT("FAIL")))
		return read_about_request(DOVECOT_FAIL, rest, out);
	return ERR_OK;
}

enum err dovecot_unescape(struct text value, struct buf *out)
{
	for (size_t i = 0; i < value.len; i++) {
		char c = value.at[i];

		if (c == '\001') {
			if (++i == value.len)
				return ERR_SYNTAX;
			switch (value.at[i]) {
			case '0':
				c = '\0';
				break;
			case '1':
				c = '\001';
				break;
			case 't':
				c = '\t';
				break;
			case 'r':
				c = '\r';
				break;
			case 'n':
				c = '\n';
				break;
			default:
				return ERR_SYNTAX;
			}
		}
		buf_add_octet(out, c);
	}
	return buf_err(out);
}

/* ---------------------------------------------------------------- what we say */

void dovecot_write_hello(struct buf *out, uint32_t client_id)
{
	buf_add_format(out, "VERSION\t%d\t%d\nCPID\t%lu\n", MAJOR_VERSION, MINOR_VERSION,
	               (unsigned long)client_id);
}

/* No `final-resp-ok`: what a mechanism says with success comes as a CONT of its own then, as SMTP needs it. `nologin`: nobody
 * will ask Dovecot's master side about this request. `no-penalty`: guessing is counted by us (guard.c); Dovecot would let
 * everybody at that address wait, for 15 s also with the right password, and many applications share one. resp= has to be the
 * last. */
void dovecot_write_auth(struct buf *out, uint32_t id, const struct auth_request *request)
{
	buf_add_format(out, "AUTH\t%lu\t%s\tservice=smtp\tnologin\tno-penalty", (unsigned long)id,
	               auth_mechanism_name(request->mechanism));
	if (request->client.family != IP_NONE) {
		buf_add_string(out, "\trip=");
		ip_add(out, request->client);
	}
	if (request->tls)
		buf_add_string(out, "\tsecured");
	if (request->has_initial) {
		buf_add_string(out, "\tresp=");
		base64_add(out, request->initial);
	}
	buf_add_octet(out, '\n');
}

void dovecot_write_cont(struct buf *out, uint32_t id, struct text octets)
{
	buf_add_format(out, "CONT\t%lu\t", (unsigned long)id);
	base64_add(out, octets);
	buf_add_octet(out, '\n');
}

void dovecot_write_cancel(struct buf *out, uint32_t id)
{
	buf_add_format(out, "CANCEL\t%lu\n", (unsigned long)id);
}
