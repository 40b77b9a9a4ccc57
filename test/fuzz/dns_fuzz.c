/* Octets as a name server, or somebody who passes for one, may send them in answer to one question: the first octet
 * chooses the type asked for and how many CNAMEs led here. What is believed of them must be whole: names that are
 * names, sorted hosts, a TTL in range, not more records than the limit. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include <postrider/base/auto.h>
#include <postrider/dns/message.h>

#include "dns/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_mx(const struct wire_reply *r)
{
	struct name name;
	struct ip ip;

	for (size_t i = 0; i < r->count; i++) {
		assert(name_from_text(r->mx[i].host, &name) == ERR_OK);
		assert(text_eq(name_text(&name), r->mx[i].host));
		assert(ip_parse(r->mx[i].host, &ip) != ERR_OK);
		assert(i == 0 || r->mx[i - 1].preference <= r->mx[i].preference);
	}
}

static void check_addresses(const struct wire_reply *r, uint16_t type)
{
	for (size_t i = 0; i < r->count; i++)
		assert(r->addresses[i].family == IP_V4 ||
		       (type == WIRE_AAAA && r->addresses[i].family == IP_V6));
}

/* Every octet of a record is inside what was read, and aliases are names. */
static void check_records(const struct wire_reply *r, uint16_t type)
{
	unsigned sum = 0;
	struct name name;

	for (size_t i = 0; i < r->count; i++) {
		struct text octets = type == WIRE_TLSA ? r->tlsa[i].data : r->texts[i];

		for (size_t n = 0; n < octets.len; n++)
			sum += (unsigned char)octets.at[n];
		assert(octets.len < 65536 && sum < UINT32_MAX);
		assert(type != WIRE_CNAME ||
		       (name_from_text(octets, &name) == ERR_OK && text_eq(name_text(&name), octets)));
	}
}

/* A stranger's words are shown to people. */
static void check_reason(const struct wire_reply *r)
{
	assert(r->why.len <= 160);
	for (size_t i = 0; i < r->why.len; i++)
		assert(r->why.at[i] >= ' ' && r->why.at[i] < 0x7f);
	assert(r->why.len == 0 || r->said == WIRE_SAYS_RCODE);
}

static void check(const struct wire_reply *r, uint16_t type, unsigned aliases)
{
	bool has_records = r->said == WIRE_SAYS_RECORDS;

	assert(has_records == (r->count > 0));
	assert(r->count <= WIRE_MAX_RECORDS);
	assert(r->ttl_s <= INT32_MAX);
	assert(r->said == WIRE_SAYS_BAD_CHAIN || aliases + r->aliases <= WIRE_MAX_ALIASES);
	assert(r->said != WIRE_SAYS_ALIAS || r->aliases > 0);
	assert(r->said != WIRE_SAYS_NULL_MX || type == WIRE_MX);
	check_reason(r);
	if (type == WIRE_MX)
		check_mx(r);
	else if (type == WIRE_A || type == WIRE_AAAA)
		check_addresses(r, type);
	else
		check_records(r, type);
}

/* The server's side of the same octets: read as a question, answered. */
static void play_server(struct text octets)
{
	static const struct dns_record record = { LIT("example.com"), LIT("MX"), 60,
		                                  LIT("10 mx.example.com."), 0 };
	struct dns_message_query query;
	struct buf reply = BUF(65535);

	if (dns_message_read_query(octets, &query) == ERR_OK) {
		struct dns_message_reply plan = { .records = &record,
			                          .count = 1,
			                          .limit_bytes = query.udp_bytes };

		assert(query.name_len < DNS_MESSAGE_NAME);
		(void)!dns_message_build_reply(octets, &plan, &reply);
	}
	buf_fini(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t types[] = { WIRE_MX, WIRE_A, WIRE_AAAA, WIRE_TLSA, WIRE_TXT, WIRE_CNAME };
	struct name name;
	struct wire_reply reply;

	if (size == 0)
		return 0;
	uint16_t type = types[(data[0] & 0x0f) % ARRAY_LEN(types)];
	unsigned aliases = MIN(data[0] >> 4u, WIRE_MAX_ALIASES);
	struct text octets = { (const char *)data + 1, size - 1 };

	if (name_from_text(TEXT("example.com"), &name))
		return 0;
	if (wire_read(octets, &(struct wire_question){ .id = 0x4242, .name = &name, .type = type }, aliases,
	              &reply) == ERR_OK) {
		check(&reply, type, aliases);
		wire_reply_fini(&reply);
	}
	play_server(octets);
	return 0;
}
