/* What a Dovecot may say, and what our requests make of octets from clients. */
#include <assert.h>

#include <postrider/base/auto.h>
#include <postrider/base/base64.h>

#include "auth/dovecot_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RELAYED (AUTH_PLAIN | AUTH_SCRAM_SHA_256 | AUTH_OAUTHBEARER | AUTH_XOAUTH2)

static bool is_inside(struct text part, struct text whole)
{
	return part.len == 0 || (part.at >= whole.at && part.at + part.len <= whole.at + whole.len);
}

/* Each escape becomes one octet, and nothing else changes. */
static void check_escapes(struct text escaped)
{
	struct buf plain = BUF(1u << 20);
	size_t escapes = 0;

	if (dovecot_unescape(escaped, &plain) == ERR_OK) {
		for (size_t i = 0, out = 0; i < escaped.len; i++, out++) {
			if (escaped.at[i] == '\001')
				i++, escapes++;
			else
				assert(plain.at[out] == escaped.at[i]);
		}
		assert(plain.len + escapes == escaped.len);
	}
	buf_fini(&plain);
}

static void check_line(const struct dovecot_handshake *h, struct text line, const struct dovecot_line *said)
{
	assert(is_inside(said->data, line) && is_inside(said->user, line) && is_inside(said->reason, line));
	assert((h->mechanisms & ~(unsigned)RELAYED) == 0);
	assert(!h->is_done || h->has_version);
	if (said->kind == DOVECOT_CONT || said->kind == DOVECOT_OK || said->kind == DOVECOT_FAIL)
		assert(h->is_done);
	if (said->data.len) {
		struct buf octets = BUF(1u << 20);

		(void)!base64_decode(said->data, &octets);
		buf_fini(&octets);
	}
	check_escapes(said->user);
	check_escapes(said->reason);
}

static void read_all(struct text t, bool greeted)
{
	struct dovecot_handshake h = { .has_version = greeted, .is_done = greeted };
	struct text rest = t;

	while (rest.len) {
		struct text line = text_cut(&rest, '\n');
		struct dovecot_line said;
		bool was_done = h.is_done;

		if (dovecot_read(&h, line, &said)) {
			assert(said.kind == DOVECOT_NOTHING);
			return;
		}
		assert((said.kind == DOVECOT_READY) == (h.is_done && !was_done));
		check_line(&h, line, &said);
	}
}

/* A request stays one line of so many fields, whatever a client said. */
static void check_requests(struct text t)
{
	struct buf b = BUF(1u << 20);

	dovecot_write_auth(
		&b, 7, &(struct auth_request){ .mechanism = AUTH_PLAIN, .has_initial = true, .initial = t });
	dovecot_write_cont(&b, 7, t);
	assert(!buf_err(&b));
	struct text rest = buf_text(&b), line = text_cut(&rest, '\n');
	static const char *const fields[] = { "AUTH", "7", "PLAIN", "service=smtp", "nologin", "no-penalty" };

	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		assert(text_eq(text_cut(&line, '\t'), text_from(fields[i])));
	assert(text_starts(line, TEXT("resp=")) && text_find_octet(line, '\t') == line.len);
	struct buf octets = BUF(1u << 20);

	assert(base64_decode(text_skip(line, 5), &octets) == ERR_OK && text_eq(buf_text(&octets), t));
	line = text_cut(&rest, '\n');
	assert(text_starts(line, TEXT("CONT\t7\t")) && rest.len == 0);
	buf_fini(&octets);
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text t = text_of((const char *)data, size);

	read_all(t, false);
	read_all(t, true);
	check_escapes(t);
	check_requests(t);
	return 0;
}
