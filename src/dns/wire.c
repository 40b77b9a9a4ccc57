#include "wire.h"

#include "wire_records.h"

/* ---------------------------------------------------------------- asking */

const char *wire_type_text(uint16_t type)
{
	switch (type) {
	case WIRE_A:
		return "A";
	case WIRE_AAAA:
		return "AAAA";
	case WIRE_MX:
		return "MX";
	case WIRE_CNAME:
		return "CNAME";
	case WIRE_TXT:
		return "TXT";
	case WIRE_TLSA:
		return "TLSA";
	default:
		return "?";
	}
}

const char *wire_rcode_text(unsigned rcode)
{
	const ldns_lookup_table *known = ldns_lookup_by_id(ldns_rcodes, (int)rcode);

	if (rcode == WIRE_BADVERS)
		return "BADVERS";
	return known ? known->name : "an unknown code";
}

static void free_packet(ldns_pkt **p)
{
	ldns_pkt_free(*p);
}

enum err wire_build_query(const struct wire_question *q, struct wire_query *out)
{
	AUTO(free_packet) ldns_pkt *packet = NULL;
	AUTO(free_memory) uint8_t *octets = NULL;
	size_t len = 0;
	ldns_rdf *name = ldns_dname_new_frm_str(q->name->at);

	if (!name)
		return ERR_NOMEM;
	packet = ldns_pkt_query_new(name, (ldns_rr_type)q->type, LDNS_RR_CLASS_IN, LDNS_RD);
	if (!packet) {
		ldns_rdf_deep_free(name);
		return ERR_NOMEM;
	}
	ldns_pkt_set_id(packet, q->id);
	ldns_pkt_set_ad(packet, q->want_authentic);
	if (q->edns)
		ldns_pkt_set_edns_udp_size(packet, WIRE_UDP_BYTES);
	if (ldns_pkt2wire(&octets, packet, &len) != LDNS_STATUS_OK || len > sizeof(out->at))
		return ERR_NOMEM;
	memcpy(out->at, octets, len);
	out->len = len;
	return ERR_OK;
}

/* ---------------------------------------------------------------- is it an answer to our question? */

#define HEADER_BYTES 12

struct header {
	unsigned id, flags, questions;
};

enum {
	FLAG_QR = 0x8000,
	FLAGS_OPCODE = 0x7800,
	FLAG_AA = 0x0400,
	FLAG_TC = 0x0200,
	FLAG_AD = 0x0020,
	FLAGS_RCODE = 0xf
};

static unsigned get_u16(const char *at)
{
	return (unsigned)(unsigned char)at[0] << 8 | (unsigned char)at[1];
}

/* The question section, read by hand: before anything is believed, and without ldns, because servers cut
 * truncated answers anywhere. Nothing stands before the first name, so it cannot be compressed. */
static bool repeats_question(struct text t, const struct wire_question *q)
{
	struct name name;
	size_t len = 0;

	while (len < t.len && t.at[len] != 0)
		len += 1u + (unsigned char)t.at[len];
	if (len >= t.len || t.len - len - 1 < 4)
		return false;
	if (name_from_wire(text_head(t, len + 1), &name) || !name_eq(&name, q->name))
		return false;
	t = text_skip(t, len + 1);
	return get_u16(t.at) == q->type && get_u16(t.at + 2) == LDNS_RR_CLASS_IN;
}

static bool is_answer_to(struct text octets, const struct wire_question *q, struct header *out)
{
	if (octets.len < HEADER_BYTES)
		return false;
	struct header h = { get_u16(octets.at), get_u16(octets.at + 2), get_u16(octets.at + 4) };
	unsigned rcode = h.flags & FLAGS_RCODE;

	if (h.id != q->id || (h.flags & (FLAG_QR | FLAGS_OPCODE)) != FLAG_QR)
		return false;
	*out = h;
	/* a server that could not read the question, or would not, may leave it out */
	if (h.questions == 0)
		return rcode != WIRE_NOERROR && rcode != WIRE_NXDOMAIN;
	return h.questions == 1 && repeats_question(text_skip(octets, HEADER_BYTES), q);
}

/* ---------------------------------------------------------------- what it says */

static const ldns_rr *find_record(const ldns_rr_list *list, const struct name *owner, ldns_rr_type type,
                                  size_t fields)
{
	for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(list, i);

		if (ldns_rr_get_type(rr) == type && ldns_rr_rd_count(rr) >= fields &&
		    wire_is_record_at(rr, owner))
			return rr;
	}
	return NULL;
}

/* Goes along the CNAMEs inside the answer. False: a loop, too long, or no name. */
static bool follow_chain(const ldns_rr_list *answers, unsigned aliases_before, ldns_rr_type type,
                         struct wire_reply *r)
{
	for (;;) {
		if (find_record(answers, &r->end, type, 1))
			return true;
		const ldns_rr *cname = find_record(answers, &r->end, LDNS_RR_TYPE_CNAME, 1);

		if (!cname)
			return true;
		if (aliases_before + ++r->aliases > WIRE_MAX_ALIASES)
			return false;
		wire_lower_ttl(r, cname);
		if (name_from_wire(wire_rdf_octets(ldns_rr_rdf(cname, 0)), &r->end) || r->end.len == 0)
			return false;
	}
}

/* RFC 2308 section 5: the SOA of the zone says how long an absence holds. Without one it does not hold at all. */
static bool take_negative_ttl(const ldns_rr_list *authority, struct wire_reply *r)
{
	for (size_t i = 0; i < ldns_rr_list_rr_count(authority); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(authority, i);
		struct name zone;

		if (ldns_rr_get_type(rr) != LDNS_RR_TYPE_SOA || ldns_rr_rd_count(rr) < 7 ||
		    ldns_rdf_size(ldns_rr_rdf(rr, 6)) != 4 || !ldns_rr_owner(rr))
			continue;
		if (name_from_wire(wire_rdf_octets(ldns_rr_owner(rr)), &zone) ||
		    !name_is_under(&r->end, &zone))
			continue;
		uint32_t minimum = ldns_rdf2native_int32(ldns_rr_rdf(rr, 6));

		wire_lower_ttl(r, rr);
		r->ttl_s = MIN(r->ttl_s, minimum > INT32_MAX ? 0 : minimum);
		return true;
	}
	r->ttl_s = 0;
	return false;
}

static bool has_type(const ldns_rr_list *list, ldns_rr_type type)
{
	for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++)
		if (ldns_rr_get_type(ldns_rr_list_rr(list, i)) == type)
			return true;
	return false;
}

/* Nothing of the wanted type at the end of the chain. */
static enum wire_said judge_absence(const ldns_pkt *packet, struct wire_reply *r)
{
	const ldns_rr_list *authority = ldns_pkt_authority(packet);

	if (r->rcode == WIRE_NXDOMAIN) {
		take_negative_ttl(authority, r);
		return WIRE_SAYS_NO_NAME;
	}
	uint32_t chain_ttl_s = r->ttl_s;

	if (take_negative_ttl(authority, r))
		return WIRE_SAYS_NO_DATA;
	if (r->aliases > 0) {
		r->ttl_s = chain_ttl_s;
		return WIRE_SAYS_ALIAS;
	}
	/* RFC 2308 section 2.2: name servers and no SOA. From an answer that is not authoritative: ask them. */
	if (!ldns_pkt_aa(packet) && has_type(authority, LDNS_RR_TYPE_NS))
		return WIRE_SAYS_REFERRAL;
	return WIRE_SAYS_NO_DATA;
}

static enum err judge(const ldns_pkt *packet, const struct wire_question *q, unsigned aliases,
                      struct wire_reply *r)
{
	const ldns_rr_list *answers = ldns_pkt_answer(packet);
	ldns_rr_type type = (ldns_rr_type)q->type;

	r->rcode |= (unsigned)ldns_pkt_edns_extended_rcode(packet) << 4;
	if (r->rcode != WIRE_NOERROR && r->rcode != WIRE_NXDOMAIN) {
		r->said = WIRE_SAYS_RCODE;
		return wire_take_reason(packet, r);
	}
	if (!follow_chain(answers, aliases, type, r)) {
		r->said = WIRE_SAYS_BAD_CHAIN;
		return ERR_OK;
	}
	if (r->rcode == WIRE_NXDOMAIN || !find_record(answers, &r->end, type, 1)) {
		r->said = judge_absence(packet, r);
		return ERR_OK;
	}
	return wire_take_records(answers, type, r);
}

static enum err read_body(struct text octets, const struct wire_question *q, unsigned aliases,
                          struct wire_reply *r)
{
	AUTO(free_packet) ldns_pkt *packet = NULL;
	ldns_status status = ldns_wire2pkt(&packet, (const uint8_t *)octets.at, octets.len);

	if (status == LDNS_STATUS_MEM_ERR)
		return ERR_NOMEM;
	if (status != LDNS_STATUS_OK)
		return ERR_SYNTAX;
	return judge(packet, q, aliases, r);
}

enum err wire_read(struct text octets, const struct wire_question *q, unsigned aliases,
                   struct wire_reply *out)
{
	struct header h;

	if (!is_answer_to(octets, q, &h))
		return ERR_SYNTAX;
	struct wire_reply r = { .rcode = h.flags & FLAGS_RCODE,
		                .authentic = h.flags & FLAG_AD,
		                .ttl_s = INT32_MAX,
		                .end = *q->name };

	/* an answer has 64 KiB at most, and a record in it 11 octets at least */
	arena_init(&r.arena, 1024 * 1024);
	if (h.flags & FLAG_TC) {
		r.said = WIRE_SAYS_TRUNCATED;
	} else {
		bool is_refusal = r.rcode != WIRE_NOERROR && r.rcode != WIRE_NXDOMAIN;
		enum err err = read_body(octets, q, aliases, &r);

		/* what a server says that will not help need not be readable */
		if (err && is_refusal) {
			r.said = WIRE_SAYS_RCODE;
		} else if (err) {
			arena_fini(&r.arena);
			return err;
		}
	}
	*out = r;
	return ERR_OK;
}

void wire_reply_fini(struct wire_reply *r)
{
	arena_fini(&r->arena);
}
