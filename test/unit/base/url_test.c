#include <postrider/base/url.h>

#include "support/check.h"

static const struct {
	const char *name;
	struct text url;
	bool is_https;
	const char *host; /* NULL: refused */
	enum ip_family family;
	uint16_t port;
	const char *target, *authority;
} urls[] = {
	{ "a name", LIT("https://example.com/a/b"), true, "example.com", 0, 443, "/a/b", "example.com" },
	{ "without TLS", LIT("http://example.com/"), false, "example.com", 0, 80, "/", "example.com" },
	{ "the scheme in capitals", LIT("HTTPS://example.com/"), true, "example.com", 0, 443, "/",
	  "example.com" },
	{ "a port", LIT("https://example.com:8443/t"), true, "example.com", 0, 8443, "/t",
	  "example.com:8443" },
	{ "its own port", LIT("https://example.com:443/"), true, "example.com", 0, 443, "/", "example.com" },
	{ "the other's port", LIT("http://example.com:443/"), false, "example.com", 0, 443, "/",
	  "example.com:443" },
	{ "no port behind the colon", LIT("https://example.com:/"), true, "example.com", 0, 443, "/",
	  "example.com" },
	{ "the greatest port", LIT("http://a.example:65535"), false, "a.example", 0, 65535, "",
	  "a.example:65535" },
	{ "leading zeros", LIT("http://a.example:0080/"), false, "a.example", 0, 80, "/", "a.example" },
	{ "nothing behind the host", LIT("https://example.com"), true, "example.com", 0, 443, "",
	  "example.com" },
	{ "a query at once", LIT("https://example.com?a=b"), true, "example.com", 0, 443, "?a=b",
	  "example.com" },
	{ "a query", LIT("https://example.com/a?b=c&d"), true, "example.com", 0, 443, "/a?b=c&d",
	  "example.com" },
	{ "what looks like a user, later", LIT("https://a.example/@b:1"), true, "a.example", 0, 443, "/@b:1",
	  "a.example" },
	{ "a user in the query", LIT("https://a.example?u@b"), true, "a.example", 0, 443, "?u@b",
	  "a.example" },
	{ "escapes", LIT("https://a.example/%20%c3%A4"), true, "a.example", 0, 443, "/%20%c3%A4",
	  "a.example" },
	{ "one label", LIT("http://localhost:9000/t"), false, "localhost", 0, 9000, "/t", "localhost:9000" },
	{ "a final dot", LIT("https://example.com./a"), true, "example.com", 0, 443, "/a", "example.com" },
	{ "an A-label", LIT("https://xn--mller-kva.example/"), true, "xn--mller-kva.example", 0, 443, "/",
	  "xn--mller-kva.example" },
	{ "an underscore", LIT("https://a_b.example/"), true, "a_b.example", 0, 443, "/", "a_b.example" },
	{ "digits before a name", LIT("https://1.2.3.4.example/"), true, "1.2.3.4.example", 0, 443, "/",
	  "1.2.3.4.example" },
	{ "IPv4", LIT("https://192.0.2.1/"), true, "192.0.2.1", IP_V4, 443, "/", "192.0.2.1" },
	{ "IPv4 and a port", LIT("http://127.0.0.1:80/x"), false, "127.0.0.1", IP_V4, 80, "/x", "127.0.0.1" },
	{ "IPv6", LIT("https://[2001:db8::1]/"), true, "2001:db8::1", IP_V6, 443, "/", "[2001:db8::1]" },
	{ "IPv6 and a port", LIT("https://[2001:DB8::1]:8443/a"), true, "2001:DB8::1", IP_V6, 8443, "/a",
	  "[2001:db8::1]:8443" },
	{ "IPv6, no path", LIT("http://[::1]"), false, "::1", IP_V6, 80, "", "[::1]" },

	{ .name = "nothing", .url = LIT("") },
	{ .name = "no scheme", .url = LIT("example.com/token") },
	{ .name = "another scheme", .url = LIT("ftp://example.com/") },
	{ .name = "one slash", .url = LIT("https:/example.com/") },
	{ .name = "no host", .url = LIT("https://") },
	{ .name = "no host but a path", .url = LIT("https:///a") },
	{ .name = "no host but a port", .url = LIT("https://:443/") },
	{ .name = "a user", .url = LIT("https://user@example.com/") },
	{ .name = "a user and a password", .url = LIT("https://user:secret@example.com/") },
	{ .name = "an empty user", .url = LIT("https://@example.com/") },
	{ .name = "a user before IPv6", .url = LIT("https://u@[::1]/") },
	{ .name = "a host that hides behind a user", .url = LIT("https://example.com:443@evil.example/") },
	{ .name = "a fragment", .url = LIT("https://example.com/a#b") },
	{ .name = "a fragment at once", .url = LIT("https://example.com#b") },
	{ .name = "port 0", .url = LIT("https://example.com:0/") },
	{ .name = "port 65536", .url = LIT("https://example.com:65536/") },
	{ .name = "a port that is none", .url = LIT("https://example.com:https/") },
	{ .name = "a signed port", .url = LIT("https://example.com:+443/") },
	{ .name = "two ports", .url = LIT("https://example.com:1:2/") },
	{ .name = "IPv6 without brackets", .url = LIT("https://::1/") },
	{ .name = "IPv6 without an end", .url = LIT("https://[::1/") },
	{ .name = "brackets around nothing", .url = LIT("https://[]/") },
	{ .name = "brackets around IPv4", .url = LIT("https://[192.0.2.1]/") },
	{ .name = "brackets around a name", .url = LIT("https://[example.com]/") },
	{ .name = "a zone", .url = LIT("https://[fe80::1%25eth0]/") },
	{ .name = "something behind the brackets", .url = LIT("https://[::1]a/") },
	{ .name = "a future address", .url = LIT("https://[v1.a]/") },
	{ .name = "half an IPv4 address", .url = LIT("https://127.1/") },
	{ .name = "an address as one number", .url = LIT("https://2130706433/") },
	{ .name = "an address in hexadecimal", .url = LIT("https://0x7f000001/") },
	{ .name = "an address with leading zeros", .url = LIT("https://127.0.0.01/") },
	{ .name = "IPv4 with a final dot twice", .url = LIT("https://127.0.0.1../") },
	{ .name = "a name in UTF-8", .url = LIT("https://m\xc3\xbcller.example/") },
	{ .name = "an escape in the host", .url = LIT("https://exa%6dple.com/") },
	{ .name = "two dots", .url = LIT("https://a..example/") },
	{ .name = "two final dots", .url = LIT("https://a.example../") },
	{ .name = "a dot in front", .url = LIT("https://.example/") },
	{ .name = "only a dot", .url = LIT("https://./") },
	{ .name = "a hyphen in front", .url = LIT("https://-a.example/") },
	{ .name = "a hyphen behind", .url = LIT("https://a-.example/") },
	{ .name = "a label of 64",
	  .url = LIT("https://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example/") },
	{ .name = "a space in the host", .url = LIT("https://exam ple.com/") },
	{ .name = "a backslash for a slash", .url = LIT("https://example.com\\@evil.example/") },
	{ .name = "a space in the path", .url = LIT("https://example.com/a b") },
	{ .name = "a line end in the path", .url = LIT("https://example.com/a\r\nHost: b") },
	{ .name = "a NUL in the path", .url = LIT("https://example.com/a\0b") },
	{ .name = "a NUL in the host", .url = LIT("https://example.com\0.evil.example/") },
	{ .name = "UTF-8 in the path", .url = LIT("https://example.com/\xc3\xa4") },
	{ .name = "a percent sign alone", .url = LIT("https://example.com/%") },
	{ .name = "half an escape", .url = LIT("https://example.com/%2") },
	{ .name = "an escape that is none", .url = LIT("https://example.com/%zz") },
	{ .name = "a space in front", .url = LIT(" https://example.com/") },
};

static void what_is_a_url_and_what_is_none(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		AUTO(free_memory) char *copy = alone(urls[i].url);
		AUTO(buf_fini) struct buf authority = BUF(400);
		const char *row = urls[i].name, *why = NULL;
		struct url u = { .port = 7 };
		enum err err = url_parse(text_of(copy, urls[i].url.len), &u, &why);

		if (!urls[i].host) {
			CHECK_INT(row, err, ERR_SYNTAX);
			CHECK(row, why);
			CHECK_INT(row, u.port, 7);
			continue;
		}
		if (err)
			fail_msg("%s: it %s", row, why);
		url_add_authority(&authority, &u);
		CHECK_INT(row, u.is_https, urls[i].is_https);
		CHECK_TEXT(row, u.host, text_from(urls[i].host));
		CHECK_INT(row, u.ip.family, urls[i].family);
		CHECK_INT(row, u.port, urls[i].port);
		CHECK_TEXT(row, u.target, text_from(urls[i].target));
		CHECK_TEXT(row, buf_text(&authority), text_from(urls[i].authority));
	}
}

static void a_long_one_is_refused(void **state)
{
	AUTO(buf_fini) struct buf b = BUF(URL_MAX_BYTES + 1);
	struct url u;

	(void)state;
	buf_add_string(&b, "https://example.com/");
	while (b.len < URL_MAX_BYTES)
		buf_add_octet(&b, 'a');
	assert_int_equal(url_parse(buf_text(&b), &u, NULL), ERR_OK);
	buf_add_octet(&b, 'a');
	assert_int_equal(url_parse(buf_text(&b), &u, NULL), ERR_SYNTAX);
}

static void a_name_of_254_is_refused(void **state)
{
	AUTO(buf_fini) struct buf b = BUF(URL_MAX_BYTES);
	struct url u;

	(void)state;
	buf_add_string(&b, "http://");
	for (unsigned i = 0; i < 126; i++)
		buf_add_string(&b, "a.");
	buf_add_octet(&b, 'b');
	assert_int_equal(url_parse(buf_text(&b), &u, NULL), ERR_OK);
	assert_int_equal(u.host.len, 253);
	buf_add_octet(&b, 'b');
	assert_int_equal(url_parse(buf_text(&b), &u, NULL), ERR_SYNTAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_a_url_and_what_is_none),
		cmocka_unit_test(a_long_one_is_refused),
		cmocka_unit_test(a_name_of_254_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
