/* URLs: what is taken must be what it looks like, and mean the same when it is written again. */
#include <assert.h>
#include <stdlib.h>

#include <postrider/base/url.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_in(struct text part, const uint8_t *data, size_t size)
{
	return part.len == 0 ||
	       (part.at >= (const char *)data && part.at + part.len <= (const char *)data + size);
}

static void check_octets(struct text t, const char *forbidden)
{
	for (size_t i = 0; i < t.len; i++)
		assert(t.at[i] > ' ' && t.at[i] < 0x7f && !strchr(forbidden, t.at[i]));
}

static void check_again(const struct url *u)
{
	struct buf again = BUF(2 * URL_MAX_BYTES);
	struct url other;

	buf_add_string(&again, u->is_https ? "https://" : "http://");
	url_add_authority(&again, u);
	buf_add(&again, u->target);
	assert(!buf_err(&again));
	/* an IPv6 address may be longer in the way we write it */
	if (again.len <= URL_MAX_BYTES) {
		assert(url_parse(buf_text(&again), &other, NULL) == ERR_OK);
		assert(other.is_https == u->is_https && other.port == u->port && ip_eq(other.ip, u->ip));
		assert(text_eq(other.target, u->target) &&
		       (u->ip.family != IP_NONE || text_eq(other.host, u->host)));
	}
	buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *why = NULL;
	struct url u;

	if (url_parse(text_of((const char *)data, size), &u, &why)) {
		assert(why);
		return 0;
	}
	assert(size <= URL_MAX_BYTES && u.port > 0 && u.host.len > 0 && u.host.len <= 253);
	assert(lies_in(u.host, data, size) && lies_in(u.target, data, size));
	assert(u.target.len == 0 || u.target.at[0] == '/' || u.target.at[0] == '?');
	check_octets(u.host, u.ip.family != IP_NONE ? "@/?#[]%\\" : "@/?#[]%\\:");
	check_octets(u.target, "#\"<>\\^`{|}");
	check_again(&u);
	return 0;
}
