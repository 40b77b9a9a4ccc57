/* PROXY headers of both versions: whole, in pieces, and wrong in every way we could think of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <postrider/base/auto.h>
#include <postrider/base/crc32c.h>

#include "../../../src/receive/proxy.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xc0\x00\x02\x01\xcb\x00\x71\x05\x12\x67\x00\x19" /* 192.0.2.1:4711 to 203.0.113.5:25 */
#define V6                                                                                     \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02" \
	"\x12\x67\x00\x19"

static const struct {
	const char *name;
	struct text header;
	enum err err;
	const char *client; /* NULL: the connection's own */
} headers[] = {
	{ "TCP4", LIT("PROXY TCP4 192.0.2.1 203.0.113.5 4711 25\r\n"), ERR_OK, "192.0.2.1:4711" },
	{ "TCP6", LIT("PROXY TCP6 2001:db8::1 2001:db8::2 4711 25\r\n"), ERR_OK, "[2001:db8::1]:4711" },
	{ "IPv4 within IPv6", LIT("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:203.0.113.5 4711 25\r\n"), ERR_OK,
	  "192.0.2.1:4711" },
	{ "UNKNOWN", LIT("PROXY UNKNOWN\r\n"), ERR_OK, NULL },
	{ "UNKNOWN with addresses that do not count", LIT("PROXY UNKNOWN 192.0.2.1 x y z\r\n"), ERR_OK,
	  NULL },
	{ "ports at their ends", LIT("PROXY TCP4 192.0.2.1 203.0.113.5 0 65535\r\n"), ERR_OK, "192.0.2.1:0" },
	{ "an address of the other family", LIT("PROXY TCP4 2001:db8::1 2001:db8::2 4711 25\r\n"), ERR_SYNTAX,
	  NULL },
	{ "the other way round", LIT("PROXY TCP6 192.0.2.1 203.0.113.5 4711 25\r\n"), ERR_SYNTAX, NULL },
	{ "a port too large", LIT("PROXY TCP4 192.0.2.1 203.0.113.5 65536 25\r\n"), ERR_SYNTAX, NULL },
	{ "a port with a zero in front", LIT("PROXY TCP4 192.0.2.1 203.0.113.5 04711 25\r\n"), ERR_SYNTAX,
	  NULL },
	{ "a port with a sign", LIT("PROXY TCP4 192.0.2.1 203.0.113.5 +1 25\r\n"), ERR_SYNTAX, NULL },
	{ "a part too many", LIT("PROXY TCP4 192.0.2.1 203.0.113.5 4711 25 x\r\n"), ERR_SYNTAX, NULL },
	{ "a part too few", LIT("PROXY TCP4 192.0.2.1 203.0.113.5 4711\r\n"), ERR_SYNTAX, NULL },
	{ "two spaces", LIT("PROXY TCP4  192.0.2.1 203.0.113.5 4711 25\r\n"), ERR_SYNTAX, NULL },
	{ "a leading zero in an address", LIT("PROXY TCP4 192.0.02.1 203.0.113.5 4711 25\r\n"), ERR_SYNTAX,
	  NULL },
	{ "another protocol", LIT("PROXY UDP4 192.0.2.1 203.0.113.5 4711 25\r\n"), ERR_SYNTAX, NULL },
	{ "nothing behind PROXY", LIT("PROXY \r\n"), ERR_SYNTAX, NULL },
	{ "a bare LF", LIT("PROXY TCP4 192.0.2.1 203.0.113.5 4711 25\n"), ERR_SYNTAX, NULL },
	{ "lower case", LIT("proxy TCP4 192.0.2.1 203.0.113.5 4711 25\r\n"), ERR_SYNTAX, NULL },
	{ "SMTP", LIT("EHLO client.example\r\n"), ERR_SYNTAX, NULL },
	{ "TLS", LIT("\x16\x03\x01\x02\x00\x01"), ERR_SYNTAX, NULL },
	{ "a line without an end",
	  LIT("PROXY UNKNOWN xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
	  ERR_TOO_BIG, NULL },

	{ "version 2, IPv4", LIT(SIGNATURE "\x21\x11\x00\x0c" V4), ERR_OK, "192.0.2.1:4711" },
	{ "version 2, IPv6", LIT(SIGNATURE "\x21\x21\x00\x24" V6), ERR_OK, "[2001:db8::1]:4711" },
	{ "LOCAL without anything", LIT(SIGNATURE "\x20\x00\x00\x00"), ERR_OK, NULL },
	{ "LOCAL with addresses that do not count", LIT(SIGNATURE "\x20\x11\x00\x0c" V4), ERR_OK, NULL },
	{ "LOCAL with what would be wrong elsewhere", LIT(SIGNATURE "\x20\x11\x00\x02xx"), ERR_OK, NULL },
	{ "an unspecified family", LIT(SIGNATURE "\x21\x00\x00\x00"), ERR_OK, NULL },
	{ "additions that we do not know", LIT(SIGNATURE "\x21\x11\x00\x14" V4 "\x02\x00\x02hi\x04\x00\x00"),
	  ERR_OK, "192.0.2.1:4711" },
	{ "an addition cut off", LIT(SIGNATURE "\x21\x11\x00\x10" V4 "\x02\x00\x02h"), ERR_SYNTAX, NULL },
	{ "an addition's head cut off", LIT(SIGNATURE "\x21\x11\x00\x0e" V4 "\x02\x00"), ERR_SYNTAX, NULL },
	{ "a wrong checksum", LIT(SIGNATURE "\x21\x11\x00\x13" V4 "\x03\x00\x04\x01\x02\x03\x04"),
	  ERR_DAMAGED, NULL },
	{ "a checksum of three octets", LIT(SIGNATURE "\x21\x11\x00\x12" V4 "\x03\x00\x03\x01\x02\x03"),
	  ERR_DAMAGED, NULL },
	{ "too short for its addresses",
	  LIT(SIGNATURE "\x21\x11\x00\x0b"
	                "xxxxxxxxxxx"),
	  ERR_SYNTAX, NULL },
	{ "version 3", LIT(SIGNATURE "\x31\x11\x00\x0c" V4), ERR_UNSUPPORTED, NULL },
	{ "version 1 in the shape of 2", LIT(SIGNATURE "\x11\x11\x00\x0c" V4), ERR_UNSUPPORTED, NULL },
	{ "another command", LIT(SIGNATURE "\x22\x11\x00\x0c" V4), ERR_SYNTAX, NULL },
	{ "another family", LIT(SIGNATURE "\x21\x41\x00\x0c" V4), ERR_SYNTAX, NULL },
	{ "another transport", LIT(SIGNATURE "\x21\x13\x00\x0c" V4), ERR_SYNTAX, NULL },
	{ "datagrams", LIT(SIGNATURE "\x21\x12\x00\x0c" V4), ERR_UNSUPPORTED, NULL },
	{ "too long", LIT(SIGNATURE "\x21\x11\x10\x01"), ERR_TOO_BIG, NULL },
	{ "a signature that breaks off", LIT("\r\n\r\n\0\r\nQUIX"), ERR_SYNTAX, NULL },
};

static void check(const char *name, enum err err, enum err wanted, const struct proxy_header *h, size_t bytes,
                  const char *client, const char *why)
{
	struct buf b = BUF(100);

	if (err != wanted)
		fail_msg("%s: %s", name, err_text(err));
	if (err) {
		if (!why[0])
			fail_msg("%s: nobody is told why", name);
		return;
	}
	assert_int_equal(h->bytes, bytes);
	assert_int_equal(h->is_local, client == NULL);
	if (client) {
		ip_port_add(&b, h->client);
		if (!text_eq(buf_text(&b), text_from(client)))
			fail_msg("%s: %.*s", name, TEXT_ARGS(buf_text(&b)));
	}
	buf_fini(&b);
}

static void headers_are_what_they_are(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		struct proxy_header h = { 0 };
		const char *why = "";
		enum err err = proxy_header_parse(headers[i].header, &h, &why);

		check(headers[i].name, err, headers[i].err, &h, headers[i].header.len, headers[i].client,
		      why);
	}
}

/* Cut anywhere a good one is unfinished, and what follows it is not looked at. */
static void pieces_and_what_follows_change_nothing(void **state)
{
	char room[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		struct text t = headers[i].header;
		struct proxy_header h = { 0 };
		const char *why = "";

		for (size_t len = 1; len < t.len && !headers[i].err; len++)
			if (proxy_header_parse(text_head(t, len), &h, &why) != ERR_MORE)
				fail_msg("%s: at %zu", headers[i].name, len);
		if (headers[i].err)
			continue;
		memcpy(room, t.at, t.len);
		memcpy(room + t.len, "EHLO x\r\n", 8);
		check(headers[i].name, proxy_header_parse(text_of(room, t.len + 8), &h, &why), ERR_OK, &h,
		      t.len, headers[i].client, why);
	}
}

static void a_right_checksum_is_taken_and_every_other_is_not(void **state)
{
	static const char head[] = SIGNATURE "\x21\x11\x00\x13" V4 "\x03\x00\x04\0\0\0\0";
	unsigned char header[sizeof(head) - 1];
	struct proxy_header h;
	const char *why = "";
	uint32_t crc;

	(void)state;
	memcpy(header, head, sizeof(header));
	crc = crc32c(0, header, sizeof(header));
	for (int i = 0; i < 4; i++)
		header[sizeof(header) - 4 + (size_t)i] = (unsigned char)(crc >> (24 - 8 * i));
	assert_int_equal(proxy_header_parse(text_of((char *)header, sizeof(header)), &h, &why), ERR_OK);
	for (size_t at = PROXY_V2_HEAD; at < sizeof(header); at++) {
		if (at == PROXY_V2_HEAD + 12)
			continue; /* another type: no checksum at all */
		header[at] ^= 1;
		assert_true(proxy_header_parse(text_of((char *)header, sizeof(header)), &h, &why));
		header[at] ^= 1;
	}
}

static void the_longest_line_of_version_1_fits(void **state)
{
	static const char line[] =
		"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		"65535 65535\r\n";
	struct proxy_header h;
	const char *why = "";

	(void)state;
	assert_in_range(sizeof(line) - 1, 100, PROXY_V1_MAX);
	assert_int_equal(proxy_header_parse(text_from(line), &h, &why), ERR_OK);
	assert_int_equal(h.bytes, sizeof(line) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_are_what_they_are),
		cmocka_unit_test(pieces_and_what_follows_change_nothing),
		cmocka_unit_test(a_right_checksum_is_taken_and_every_other_is_not),
		cmocka_unit_test(the_longest_line_of_version_1_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
