/* A name server from the text of a zone. */
#include "internal.h"

#include <postrider/dns/message.h>

#include <stdlib.h>

#define RECORDS_MAX 256

struct sim_names {
	struct sim *sim;
	const char *zone; /* the caller's */
	unsigned queries;
};

struct zone_line {
	struct text name, ttl, type, data;
};

static bool next_line(struct text *rest, struct zone_line *out)
{
	while (rest->len) {
		struct text line = text_trim(text_cut(rest, '\n'));

		if (line.len == 0 || line.at[0] == '#')
			continue;
		out->name = text_cut(&line, ' ');
		line = text_trim(line);
		out->ttl = text_cut(&line, ' ');
		line = text_trim(line);
		out->type = text_cut(&line, ' ');
		out->data = text_trim(line);
		return true;
	}
	return false;
}

static struct text without_dot(struct text name)
{
	return text_ends(name, TEXT(".")) ? text_head(name, name.len - 1) : name;
}

struct answer_parts {
	struct dns_record records[RECORDS_MAX];
	size_t count;
	bool name_exists;
	unsigned rcode;
	bool silent;
	bool insecure; /* a name on the way is in no signed zone */
};

#define SERVFAIL 2
#define NXDOMAIN 3
#define REFUSED 5

static void add_record(struct answer_parts *parts, const struct zone_line *line, uint32_t ttl)
{
	if (parts->count < RECORDS_MAX)
		parts->records[parts->count++] =
			(struct dns_record){ line->name, line->type, ttl, line->data, DNS_SECTION_ANSWER };
}

static bool is_under(struct text name, struct text zone)
{
	if (name.len <= zone.len)
		return text_eq_nocase(name, zone);
	return text_ends_nocase(name, zone) && name.at[name.len - zone.len - 1] == '.';
}

/* The nearest line above a name says whether its zone is signed. */
static bool is_signed(struct text zone, struct text name)
{
	struct text rest = zone;
	struct zone_line line;
	size_t nearest = 0;
	bool found = false;

	while (next_line(&rest, &line)) {
		struct text owner = without_dot(line.name);
		bool says = text_eq(line.ttl, TEXT("SECURE")) || text_eq(line.ttl, TEXT("INSECURE"));

		if (!says || !is_under(name, owner) || owner.len < nearest)
			continue;
		nearest = owner.len;
		found = text_eq(line.ttl, TEXT("SECURE"));
	}
	return found;
}

/* Of one type, or of all. */
static bool is_for(const struct zone_line *line, struct text type)
{
	return line->type.len == 0 || text_eq_nocase(line->type, type);
}

static void collect(struct text zone, struct text name, struct text type, unsigned depth,
                    struct answer_parts *parts)
{
	struct text rest = zone;
	struct zone_line line;
	uint64_t ttl;

	parts->insecure |= !is_signed(zone, name);
	while (depth < 8 && next_line(&rest, &line)) {
		if (!text_eq_nocase(without_dot(line.name), name))
			continue;
		parts->name_exists = true;
		if (text_eq(line.ttl, TEXT("SERVFAIL")))
			parts->rcode = is_for(&line, type) ? SERVFAIL : parts->rcode;
		else if (text_eq(line.ttl, TEXT("REFUSED")))
			parts->rcode = is_for(&line, type) ? REFUSED : parts->rcode;
		else if (text_eq(line.ttl, TEXT("SILENCE")))
			parts->silent |= is_for(&line, type);
		else if (text_to_u64(line.ttl, UINT32_MAX, &ttl))
			continue;
		else if (text_eq_nocase(line.type, type))
			add_record(parts, &line, (uint32_t)ttl);
		else if (text_eq_nocase(line.type, TEXT("CNAME"))) {
			add_record(parts, &line, (uint32_t)ttl);
			collect(zone, without_dot(line.data), type, depth + 1, parts);
		}
	}
}

static void answer(void *owner, struct text query, struct buf *out)
{
	struct sim_names *n = owner;
	struct answer_parts parts = { 0 };
	struct dns_message_query q;
	struct dns_message_reply reply = { .records = parts.records };

	n->queries++;
	if (dns_message_read_query(query, &q))
		return;
	collect(text_from(n->zone), dns_message_query_name(&q), text_from(q.type_text), 0, &parts);
	if (parts.silent)
		return;
	reply.rcode = parts.rcode ? parts.rcode : parts.name_exists ? 0 : NXDOMAIN;
	reply.count = reply.rcode ? 0 : parts.count;
	reply.limit_bytes = q.udp_bytes;
	reply.authentic =
		q.authentic_wanted && !parts.insecure && reply.rcode != SERVFAIL && reply.rcode != REFUSED;
	if (dns_message_build_reply(query, &reply, out))
		buf_reset(out);
}

enum err sim_names_new(struct sim *s, struct ip_port at, const char *zone, struct sim_names **out)
{
	struct sim_names *n = sim_alloc(sizeof(*n));
	enum err err;

	n->sim = s;
	n->zone = zone;
	err = sim_answer_datagrams(s, at, answer, n);
	if (err)
		free(n);
	else
		*out = n;
	return err;
}

void sim_names_change(struct sim_names *n, const char *zone)
{
	n->zone = zone;
}

unsigned sim_names_queries(const struct sim_names *n)
{
	return n->queries;
}

void sim_names_free(struct sim_names **slot)
{
	if (*slot)
		sim_forget_answerer((*slot)->sim, *slot);
	free(*slot);
	*slot = NULL;
}
