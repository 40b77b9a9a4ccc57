/* postrider/dns/message.h - DNS messages for whoever plays a name server: the simulated world, tests. Octets in,
 * octets out; RFC 1035 section 4, RFC 6891. */
#ifndef POSTRIDER_DNS_MESSAGE_H
#define POSTRIDER_DNS_MESSAGE_H

#include <postrider/base/buf.h>

#define DNS_MESSAGE_NAME 256

struct dns_message_query {
	uint16_t id;
	char name_at[DNS_MESSAGE_NAME]; /* lower case, without final dot; see dns_message_query_name */
	size_t name_len;
	uint16_t type;
	char type_text[16]; /* "MX"; TYPE1234 when it has no name */
	bool recursion_desired, authentic_wanted, edns;
	uint16_t udp_bytes; /* the most the asker takes in a datagram: 512 without EDNS */
};

/* ERR_SYNTAX: not a query with one question. */
MUST_USE enum err dns_message_read_query(struct text octets, struct dns_message_query *out);

static inline struct text dns_message_query_name(const struct dns_message_query *q)
{
	return (struct text){ q->name_at, q->name_len };
}

enum dns_section { DNS_SECTION_ANSWER, DNS_SECTION_AUTHORITY, DNS_SECTION_ADDITIONAL };

struct dns_record {
	struct text name; /* absolute, with or without final dot */
	struct text type; /* "MX" */
	uint32_t ttl;     /* seconds */
	struct text data; /* as in a zone file, names absolute: "10 mx1.example.com." */
	enum dns_section section;
};

struct dns_message_reply {
	unsigned rcode; /* over 15 needs an asker with EDNS */
	bool truncated, authentic, authoritative, no_recursion;
	bool no_edns;       /* as a server from before EDNS answers */
	size_t limit_bytes; /* longer: sent truncated and empty. 0: 64 KiB */
	const struct dns_record *records;
	size_t count;
};

/* The answer to a query, with its id and question. ERR_SYNTAX: the query or a record cannot be read. */
MUST_USE enum err dns_message_build_reply(struct text query, const struct dns_message_reply *reply,
                                          struct buf *out);

#endif
