#include "needs.h"

#include <postrider/base/utf8.h>

bool needs_utf8_for_all(const struct envelope *e)
{
	return e->smtputf8 && (e->header_8bit || !utf8_is_ascii(e->reverse_path));
}

struct deliver_needs deliver_needs_of(const struct envelope *e, uint64_t bytes)
{
	struct deliver_needs needs = { .bytes = bytes };

	if (e->body == ENVELOPE_BINARY)
		needs.keywords |= EHLO_BINARYMIME | EHLO_CHUNKING;
	if (needs_utf8_for_all(e))
		needs.keywords |= EHLO_SMTPUTF8;
	if (e->tls_wish == ENVELOPE_TLS_REQUIRED)
		needs.keywords |= EHLO_REQUIRETLS;
	needs.tls_optional = e->tls_wish == ENVELOPE_TLS_OPTIONAL;
	if (e->by == ENVELOPE_BY_RETURN) {
		needs.keywords |= EHLO_DELIVERBY;
		needs.by_time = e->by_time;
	}
	return needs;
}

void deliver_needs_add(struct deliver_needs *needs, const struct envelope *e, uint32_t recipient)
{
	if (e->smtputf8 && !utf8_is_ascii(e->recipients[recipient].forward_path))
		needs->keywords |= EHLO_SMTPUTF8;
}

static bool is_any(const struct deliver_only *o)
{
	return o->name == 0 && o->at.ip.family == IP_NONE;
}

bool needs_only_meets(const struct deliver_only *only, struct text host, struct ip_port at)
{
	if (is_any(only))
		return true;
	return only->name ? text_hash_nocase(host) == only->name
	                  : ip_eq(only->at.ip, at.ip) && only->at.port == at.port;
}

bool needs_except_meets(const struct deliver_except *except, struct ip_port at)
{
	for (unsigned i = 0; i < except->count; i++)
		if (ip_eq(except->at[i].ip, at.ip) && except->at[i].port == at.port)
			return false;
	return true;
}

static bool covers_except(const struct deliver_except *a, const struct deliver_except *b)
{
	for (unsigned i = 0; i < b->count; i++)
		if (needs_except_meets(a, b->at[i]))
			return false;
	return true;
}

struct deliver_only deliver_only_of(struct text remote)
{
	struct deliver_only only = { 0 };
	size_t bracket = text_find_octet(remote, '[');
	struct text host = text_trim(text_head(remote, bracket));

	if (host.len)
		only.name = text_hash_nocase(host);
	else if (ip_port_parse(remote, &only.at))
		only = (struct deliver_only){ 0 };
	return only;
}

static bool same_only(const struct deliver_only *a, const struct deliver_only *b)
{
	return a->name == b->name && ip_eq(a->at.ip, b->at.ip) && a->at.port == b->at.port;
}

bool deliver_needs_cover(const struct deliver_needs *a, const struct deliver_needs *b)
{
	return covers_except(&a->except, &b->except) && (is_any(&b->only) || same_only(&a->only, &b->only)) && (a->keywords & b->keywords) == b->keywords && a->bytes >= b->bytes &&
	       (!a->tls_optional || b->tls_optional) && (!(b->keywords & EHLO_DELIVERBY) || a->by_time <= b->by_time);
}

/* ---------------------------------------------------------------- what is not there */

/* clang-format off */
static const struct {
	unsigned keywords;
	struct needs_lack lack;
	const char *words;
} lacks[] = {
	{ EHLO_REQUIRETLS, { REASON_TLS_POLICY, "5.7.30" },
	  "the sender demands TLS all the way (REQUIRETLS), and the host does not offer REQUIRETLS" },
	{ EHLO_DELIVERBY, { REASON_EXTENSION, "5.3.3" },
	  "the message is to be delivered in time or returned (DELIVERBY), and the host does not offer DELIVERBY" },
	{ EHLO_SMTPUTF8, { REASON_EXTENSION, "5.6.7" },
	  "the message has an address or header that is not ASCII, and the host does not offer SMTPUTF8" },
	{ EHLO_BINARYMIME | EHLO_CHUNKING, { REASON_EXTENSION, "5.6.3" },
	  "the message is binary, and the host does not offer BINARYMIME with CHUNKING" },
};
/* clang-format on */

static bool lacks_time(const struct deliver_needs *needs, const struct needs_offer *offer)
{
	return (needs->keywords & EHLO_DELIVERBY) &&
	       needs->by_time - offer->now_time < (int64_t)offer->by_min_s * 1000;
}

bool needs_lack(const struct deliver_needs *needs, const struct needs_offer *offer, struct needs_lack *out,
                struct buf *words)
{
	unsigned missing = needs->keywords & ~offer->keywords;
	struct buf nowhere = BUF(0);

	words = words ? words : &nowhere;
	buf_reset(words);
	for (size_t i = 0; missing && i < ARRAY_LEN(lacks); i++) {
		if (!(missing & lacks[i].keywords))
			continue;
		*out = lacks[i].lack;
		buf_add_string(words, lacks[i].words);
		return true;
	}
	if ((needs->keywords & EHLO_REQUIRETLS) && !offer->is_proved) {
		*out = lacks[0].lack;
		buf_add_string(
			words,
			"the sender demands TLS all the way (REQUIRETLS), and this connection does not "
			"prove who the host is");
		return true;
	}
	if (lacks_time(needs, offer)) {
		*out = (struct needs_lack){ REASON_DEADLINE, "5.4.7" };
		buf_add_format(words, "the host wants %llu seconds at least for delivery (DELIVERBY)",
		               (unsigned long long)offer->by_min_s);
		return true;
	}
	if (offer->size_limit_bytes && needs->bytes > offer->size_limit_bytes) {
		*out = (struct needs_lack){ REASON_TOO_LARGE, "5.3.4" };
		buf_add_format(words, "the message has %llu octets, and the host takes %llu",
		               (unsigned long long)needs->bytes, (unsigned long long)offer->size_limit_bytes);
		return true;
	}
	return false;
}
