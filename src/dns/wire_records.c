#include "wire_records.h"

bool wire_is_record_at(const ldns_rr *rr, const struct name *owner)
{
	struct name name;

	return ldns_rr_get_class(rr) == LDNS_RR_CLASS_IN && ldns_rr_owner(rr) &&
	       name_from_wire(wire_rdf_octets(ldns_rr_owner(rr)), &name) == ERR_OK && name_eq(&name, owner);
}

void wire_lower_ttl(struct wire_reply *r, const ldns_rr *rr)
{
	uint32_t ttl = ldns_rr_ttl(rr);

	/* RFC 2181 section 8: the top bit makes it zero */
	if (ttl > INT32_MAX)
		ttl = 0;
	r->ttl_s = MIN(r->ttl_s, ttl);
}

/* ---------------------------------------------------------------- addresses, MX hosts */

static bool read_address(const ldns_rr *rr, struct ip *out)
{
	const ldns_rdf *rdf = ldns_rr_rd_count(rr) ? ldns_rr_rdf(rr, 0) : NULL;
	size_t size = ldns_rr_get_type(rr) == LDNS_RR_TYPE_A ? 4 : 16;

	if (!rdf || ldns_rdf_size(rdf) != size)
		return false;
	if (size == 16) {
		*out = ip_from_bytes16(ldns_rdf_data(rdf));
		return true;
	}
	*out = (struct ip){ .family = IP_V4 };
	memcpy(out->bytes, ldns_rdf_data(rdf), size);
	return true;
}

static enum err take_addresses(const ldns_rr_list *answers, ldns_rr_type type, struct wire_reply *r)
{
	size_t max = MIN(ldns_rr_list_rr_count(answers), (size_t)WIRE_MAX_RECORDS);
	struct ip *ips = arena_alloc(&r->arena, max * sizeof(*ips));

	if (!ips)
		return ERR_NOMEM;
	for (size_t i = 0; i < ldns_rr_list_rr_count(answers) && r->count < max; i++) {
		const ldns_rr *rr = ldns_rr_list_rr(answers, i);

		if (ldns_rr_get_type(rr) != type || !wire_is_record_at(rr, &r->end))
			continue;
		wire_lower_ttl(r, rr);
		if (read_address(rr, &ips[r->count]))
			r->count++;
	}
	r->addresses = ips;
	r->said = r->count ? WIRE_SAYS_RECORDS : WIRE_SAYS_UNUSABLE;
	return ERR_OK;
}

struct mx_record {
	const ldns_rr *rr;
	unsigned preference;
	size_t place; /* in the answer: keeps the order among equals */
};

static int compare_mx(const void *left, const void *right)
{
	const struct mx_record *a = left, *b = right;

	if (a->preference != b->preference)
		return a->preference < b->preference ? -1 : 1;
	return a->place < b->place ? -1 : 1;
}

static size_t collect_mx(const ldns_rr_list *answers, struct wire_reply *r, struct mx_record *out)
{
	size_t count = 0;

	for (size_t i = 0; i < ldns_rr_list_rr_count(answers); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(answers, i);

		if (ldns_rr_get_type(rr) != LDNS_RR_TYPE_MX || ldns_rr_rd_count(rr) < 2 ||
		    !wire_is_record_at(rr, &r->end))
			continue;
		wire_lower_ttl(r, rr);
		out[count] = (struct mx_record){ rr, ldns_rdf2native_int16(ldns_rr_rdf(rr, 0)), count };
		count++;
	}
	qsort(out, count, sizeof(*out), compare_mx);
	return count;
}

static bool is_listed(const struct dns_mx *mx, size_t count, struct text host)
{
	for (size_t i = 0; i < count; i++)
		if (text_eq(mx[i].host, host))
			return true;
	return false;
}

/* An MX names a host (RFC 5321 section 5.1, RFC 2181 section 10.3): the root and addresses are left out. */
static enum err add_mx(struct wire_reply *r, struct dns_mx *mx, const struct mx_record *record)
{
	struct name host;
	struct ip ip;

	if (name_from_wire(wire_rdf_octets(ldns_rr_rdf(record->rr, 1)), &host) || host.len == 0 ||
	    ip_parse(name_text(&host), &ip) == ERR_OK || is_listed(mx, r->count, name_text(&host)))
		return ERR_OK;
	mx[r->count].preference = (uint16_t)record->preference;
	if (arena_text(&r->arena, name_text(&host), &mx[r->count].host))
		return ERR_NOMEM;
	r->count++;
	return ERR_OK;
}

static bool is_root(const ldns_rdf *name)
{
	return ldns_rdf_size(name) == 1 && ldns_rdf_data(name)[0] == 0;
}

static enum err take_mx(const ldns_rr_list *answers, struct wire_reply *r)
{
	size_t max = ldns_rr_list_rr_count(answers);
	struct mx_record *records = arena_alloc(&r->arena, max * sizeof(*records));
	struct dns_mx *mx = arena_alloc(&r->arena, MIN(max, (size_t)WIRE_MAX_RECORDS) * sizeof(*mx));

	if (!records || !mx)
		return ERR_NOMEM;
	size_t count = collect_mx(answers, r, records);

	r->mx = mx;
	if (count == 1 && records[0].preference == 0 && is_root(ldns_rr_rdf(records[0].rr, 1))) {
		r->said = WIRE_SAYS_NULL_MX;
		return ERR_OK;
	}
	for (size_t i = 0; i < count && r->count < WIRE_MAX_RECORDS; i++)
		if (add_mx(r, mx, &records[i]))
			return ERR_NOMEM;
	r->said = r->count ? WIRE_SAYS_RECORDS : WIRE_SAYS_UNUSABLE;
	return ERR_OK;
}

/* ---------------------------------------------------------------- TLSA, TXT, CNAME */

/* The record's octets as they came, whatever fields ldns makes of them. False: cut short. */
static bool read_tlsa(const ldns_rr *rr, struct dns_tlsa *out)
{
	if (ldns_rr_rd_count(rr) != 4 || ldns_rdf_size(ldns_rr_rdf(rr, 0)) != 1 ||
	    ldns_rdf_size(ldns_rr_rdf(rr, 1)) != 1 || ldns_rdf_size(ldns_rr_rdf(rr, 2)) != 1)
		return false;
	out->usage = ldns_rdf_data(ldns_rr_rdf(rr, 0))[0];
	out->selector = ldns_rdf_data(ldns_rr_rdf(rr, 1))[0];
	out->matching = ldns_rdf_data(ldns_rr_rdf(rr, 2))[0];
	out->data = wire_rdf_octets(ldns_rr_rdf(rr, 3));
	return true;
}

static enum err take_tlsa(const ldns_rr_list *answers, struct wire_reply *r)
{
	size_t max = MIN(ldns_rr_list_rr_count(answers), (size_t)WIRE_MAX_RECORDS);
	struct dns_tlsa *records = arena_alloc(&r->arena, max * sizeof(*records));

	if (!records)
		return ERR_NOMEM;
	for (size_t i = 0; i < ldns_rr_list_rr_count(answers) && r->count < max; i++) {
		const ldns_rr *rr = ldns_rr_list_rr(answers, i);
		struct dns_tlsa *record = &records[r->count];

		if (ldns_rr_get_type(rr) != LDNS_RR_TYPE_TLSA || !wire_is_record_at(rr, &r->end))
			continue;
		wire_lower_ttl(r, rr);
		if (!read_tlsa(rr, record))
			continue;
		if (arena_text(&r->arena, record->data, &record->data))
			return ERR_NOMEM;
		r->count++;
	}
	r->tlsa = records;
	r->said = r->count ? WIRE_SAYS_RECORDS : WIRE_SAYS_UNUSABLE;
	return ERR_OK;
}

/* Strings behind their lengths, joined (RFC 8461 section 3.1 and others ask for that). */
static enum err join_strings(const ldns_rr *rr, struct arena *arena, struct text *out)
{
	size_t sum = 0;

	for (size_t i = 0; i < ldns_rr_rd_count(rr); i++)
		sum += ldns_rdf_size(ldns_rr_rdf(rr, i));
	char *at = arena_alloc(arena, sum + 1), *end = at;

	if (!at)
		return ERR_NOMEM;
	for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
		struct text string = wire_rdf_octets(ldns_rr_rdf(rr, i));

		if (string.len < 2)
			continue;
		memcpy(end, string.at + 1, string.len - 1);
		end += string.len - 1;
	}
	*out = text_of(at, (size_t)(end - at));
	return ERR_OK;
}

static enum err read_alias(const ldns_rr *rr, struct arena *arena, struct text *out)
{
	struct name name;

	if (ldns_rr_rd_count(rr) != 1 || name_from_wire(wire_rdf_octets(ldns_rr_rdf(rr, 0)), &name) ||
	    name.len == 0)
		return ERR_SYNTAX;
	return arena_text(arena, name_text(&name), out);
}

static enum err take_texts(const ldns_rr_list *answers, ldns_rr_type type, struct wire_reply *r)
{
	size_t max = MIN(ldns_rr_list_rr_count(answers), (size_t)WIRE_MAX_RECORDS);
	struct text *texts = arena_alloc(&r->arena, max * sizeof(*texts));

	if (!texts)
		return ERR_NOMEM;
	for (size_t i = 0; i < ldns_rr_list_rr_count(answers) && r->count < max; i++) {
		const ldns_rr *rr = ldns_rr_list_rr(answers, i);

		if (ldns_rr_get_type(rr) != type || !wire_is_record_at(rr, &r->end))
			continue;
		wire_lower_ttl(r, rr);
		enum err err = type == LDNS_RR_TYPE_TXT ? join_strings(rr, &r->arena, &texts[r->count])
		                                        : read_alias(rr, &r->arena, &texts[r->count]);

		if (err == ERR_NOMEM)
			return err;
		if (!err)
			r->count++;
	}
	r->texts = texts;
	r->said = r->count ? WIRE_SAYS_RECORDS : WIRE_SAYS_UNUSABLE;
	return ERR_OK;
}

enum err wire_take_records(const ldns_rr_list *answers, ldns_rr_type type, struct wire_reply *r)
{
	switch (type) {
	case LDNS_RR_TYPE_MX:
		return take_mx(answers, r);
	case LDNS_RR_TYPE_TLSA:
		return take_tlsa(answers, r);
	case LDNS_RR_TYPE_TXT:
	case LDNS_RR_TYPE_CNAME:
		return take_texts(answers, type, r);
	default:
		return take_addresses(answers, type, r);
	}
}

/* ---------------------------------------------------------------- reasons */

#define OPTION_REASON 15
#define REASON_MAX_BYTES 160

static const char *reason_text(unsigned code)
{
	static const struct {
		unsigned code;
		const char *text;
	} reasons[] = {
		{ 1, "DNSKEY algorithm not supported" },
		{ 2, "DS digest not supported" },
		{ 3, "stale answer" },
		{ 5, "DNSSEC indeterminate" },
		{ 6, "DNSSEC bogus" },
		{ 7, "DNSSEC signature expired" },
		{ 8, "DNSSEC signature not yet valid" },
		{ 9, "DNSKEY missing" },
		{ 10, "DNSSEC signatures missing" },
		{ 11, "no zone key" },
		{ 12, "NSEC missing" },
		{ 13, "cached error" },
		{ 14, "not ready" },
		{ 15, "blocked" },
		{ 16, "censored" },
		{ 17, "filtered" },
		{ 18, "prohibited" },
		{ 20, "not authoritative" },
		{ 22, "no reachable authority" },
		{ 23, "network error" },
		{ 24, "invalid data" },
	};

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		if (reasons[i].code == code)
			return reasons[i].text;
	}
	return NULL;
}

/* INFO-CODE, then words that a stranger wrote. */
static enum err add_reason(struct wire_reply *r, struct text option)
{
	struct buf b = BUF(REASON_MAX_BYTES);
	unsigned code = (unsigned)(unsigned char)option.at[0] << 8 | (unsigned char)option.at[1];
	const char *known = reason_text(code);

	if (known)
		buf_add_string(&b, known);
	else if (option.len == 2)
		buf_add_format(&b, "extended error %u", code);
	if (known && option.len > 2)
		buf_add_string(&b, ": ");
	option = text_head(text_skip(option, 2), REASON_MAX_BYTES - 64);
	for (size_t i = 0; i < option.len; i++)
		buf_add_octet(&b, option.at[i] >= ' ' && option.at[i] < 0x7f ? option.at[i] : '?');
	enum err err = arena_text(&r->arena, buf_text(&b), &r->why);

	buf_fini(&b);
	return err;
}

enum err wire_take_reason(const ldns_pkt *packet, struct wire_reply *r)
{
	const ldns_rdf *options = ldns_pkt_edns_data(packet);
	struct text rest = options ? wire_rdf_octets(options) : TEXT_EMPTY;

	while (rest.len >= 4) {
		const unsigned char *at = (const unsigned char *)rest.at;
		unsigned code = (unsigned)at[0] << 8 | at[1];
		size_t len = (size_t)at[2] << 8 | at[3];

		rest = text_skip(rest, 4);
		if (len > rest.len)
			break;
		if (code == OPTION_REASON && len >= 2)
			return add_reason(r, text_head(rest, len));
		rest = text_skip(rest, len);
	}
	return ERR_OK;
}
