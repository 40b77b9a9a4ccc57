#include <postrider/dns/message.h>

#include <ldns/ldns.h>

#include <postrider/base/auto.h>

#define LINE_MAX_BYTES (64 * 1024)
#define LIMIT_DEFAULT 65535

static void free_packet(ldns_pkt **p)
{
	ldns_pkt_free(*p);
}

static enum err read_query(struct text octets, ldns_pkt **out)
{
	AUTO(free_packet) ldns_pkt *packet = NULL;

	if (ldns_wire2pkt(&packet, (const uint8_t *)octets.at, octets.len) != LDNS_STATUS_OK)
		return ERR_SYNTAX;
	if (ldns_pkt_qr(packet) || ldns_rr_list_rr_count(ldns_pkt_question(packet)) != 1)
		return ERR_SYNTAX;
	*out = TAKE(packet);
	return ERR_OK;
}

static void copy_lower(const char *string, char *out, size_t room, size_t *len)
{
	size_t i = 0;

	for (; string[i] && i + 1 < room; i++)
		out[i] = ascii_lower(string[i]);
	if (i > 1 && out[i - 1] == '.')
		i--;
	out[i] = '\0';
	*len = i;
}

static enum err take_question(const ldns_rr *question, struct dns_message_query *out)
{
	AUTO(free_memory) char *name = ldns_rdf2str(ldns_rr_owner(question));
	AUTO(free_memory) char *type = ldns_rr_type2str(ldns_rr_get_type(question));

	if (!name || !type)
		return ERR_NOMEM;
	copy_lower(name, out->name_at, sizeof(out->name_at), &out->name_len);
	out->type = (uint16_t)ldns_rr_get_type(question);
	size_t len = MIN(strlen(type), sizeof(out->type_text) - 1);

	memcpy(out->type_text, type, len);
	out->type_text[len] = '\0';
	return ERR_OK;
}

enum err dns_message_read_query(struct text octets, struct dns_message_query *out)
{
	AUTO(free_packet) ldns_pkt *packet = NULL;
	enum err err = read_query(octets, &packet);

	if (err)
		return err;
	struct dns_message_query query = {
		.id = ldns_pkt_id(packet),
		.recursion_desired = ldns_pkt_rd(packet),
		.authentic_wanted = ldns_pkt_ad(packet) || ldns_pkt_edns_do(packet),
		.edns = ldns_pkt_edns(packet),
		.udp_bytes = MAX(ldns_pkt_edns_udp_size(packet), 512),
	};

	err = take_question(ldns_rr_list_rr(ldns_pkt_question(packet), 0), &query);
	if (!err)
		*out = query;
	return err;
}

static void add_absolute(struct buf *line, struct text name)
{
	buf_add(line, name);
	if (name.len == 0 || name.at[name.len - 1] != '.')
		buf_add_octet(line, '.');
}

static enum err make_record(const struct dns_record *from, ldns_rr **out)
{
	struct buf line = BUF(LINE_MAX_BYTES);

	add_absolute(&line, from->name);
	buf_add_octet(&line, ' ');
	buf_add_u64(&line, from->ttl);
	buf_add_string(&line, " IN ");
	buf_add(&line, from->type);
	buf_add_octet(&line, ' ');
	buf_add(&line, from->data);
	size_t len;
	AUTO(free_memory) char *string = buf_take(&line, &len);

	if (!string)
		return ERR_NOMEM;
	ldns_status status = ldns_rr_new_frm_str(out, string, 0, NULL, NULL);

	if (status == LDNS_STATUS_MEM_ERR)
		return ERR_NOMEM;
	return status == LDNS_STATUS_OK ? ERR_OK : ERR_SYNTAX;
}

static enum err add_record(ldns_pkt *packet, const struct dns_record *from)
{
	static const ldns_pkt_section sections[] = {
		[DNS_SECTION_ANSWER] = LDNS_SECTION_ANSWER,
		[DNS_SECTION_AUTHORITY] = LDNS_SECTION_AUTHORITY,
		[DNS_SECTION_ADDITIONAL] = LDNS_SECTION_ADDITIONAL,
	};
	ldns_rr *rr = NULL;
	enum err err = make_record(from, &rr);

	if (err)
		return err;
	if (!ldns_pkt_push_rr(packet, sections[from->section], rr)) {
		ldns_rr_free(rr);
		return ERR_NOMEM;
	}
	return ERR_OK;
}

static void set_header(ldns_pkt *packet, const ldns_pkt *query, const struct dns_message_reply *reply)
{
	ldns_pkt_set_id(packet, ldns_pkt_id(query));
	ldns_pkt_set_qr(packet, true);
	ldns_pkt_set_opcode(packet, ldns_pkt_get_opcode(query));
	ldns_pkt_set_rd(packet, ldns_pkt_rd(query));
	ldns_pkt_set_ra(packet, !reply->no_recursion);
	ldns_pkt_set_aa(packet, reply->authoritative);
	ldns_pkt_set_ad(packet, reply->authentic);
	ldns_pkt_set_tc(packet, reply->truncated);
	ldns_pkt_set_rcode(packet, (uint8_t)(reply->rcode & 0xf));
	if (!ldns_pkt_edns(query) || reply->no_edns)
		return;
	ldns_pkt_set_edns_udp_size(packet, 1232);
	ldns_pkt_set_edns_extended_rcode(packet, (uint8_t)(reply->rcode >> 4));
}

static enum err build(const ldns_pkt *query, const struct dns_message_reply *reply, size_t count,
                      uint8_t **octets, size_t *len)
{
	AUTO(free_packet) ldns_pkt *packet = ldns_pkt_new();
	ldns_rr *question = ldns_rr_clone(ldns_rr_list_rr(ldns_pkt_question(query), 0));

	if (!packet || !question || !ldns_pkt_push_rr(packet, LDNS_SECTION_QUESTION, question)) {
		ldns_rr_free(question);
		return ERR_NOMEM;
	}
	set_header(packet, query, reply);
	for (size_t i = 0; i < count; i++) {
		enum err err = add_record(packet, &reply->records[i]);

		if (err)
			return err;
	}
	return ldns_pkt2wire(octets, packet, len) == LDNS_STATUS_OK ? ERR_OK : ERR_NOMEM;
}

enum err dns_message_build_reply(struct text query, const struct dns_message_reply *reply, struct buf *out)
{
	AUTO(free_packet) ldns_pkt *asked = NULL;
	AUTO(free_memory) uint8_t *octets = NULL;
	size_t len = 0, limit = reply->limit_bytes ? reply->limit_bytes : LIMIT_DEFAULT;
	enum err err = read_query(query, &asked);

	if (!err)
		err = build(asked, reply, reply->count, &octets, &len);
	if (!err && len > limit) {
		struct dns_message_reply cut = *reply;

		cut.truncated = true;
		free_memory(&octets);
		err = build(asked, &cut, 0, &octets, &len);
	}
	if (err)
		return err;
	buf_add_bytes(out, octets, len);
	return buf_err(out);
}
