/* What the system's files say: resolv.conf and hosts. Lines that make no sense are passed over, as the C library does. */
#include <postrider/dns.h>

#include "name.h"

#define DNS_PORT 53

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static struct text next_word(struct text *line)
{
	size_t start = 0, end;

	while (start < line->len && is_space(line->at[start]))
		start++;
	end = start;
	while (end < line->len && !is_space(line->at[end]))
		end++;
	struct text word = text_of(line->at + start, end - start);

	*line = text_skip(*line, end);
	return word;
}

enum err dns_parse_resolv_conf(struct text t, struct ip_port *out, size_t max, size_t *count)
{
	size_t found = 0;

	while (t.len > 0) {
		struct text line = text_cut(&t, '\n');
		struct ip ip;

		if (!text_eq(next_word(&line), TEXT("nameserver")) || ip_parse(next_word(&line), &ip))
			continue;
		if (found < max)
			out[found++] = (struct ip_port){ ip, DNS_PORT };
	}
	*count = found;
	return found ? ERR_OK : ERR_NOT_FOUND;
}

void dns_parse_hosts(struct text t, dns_hosts_fn *each, void *owner)
{
	struct name name;

	while (t.len > 0) {
		struct text line = text_cut(&t, '\n');
		struct ip ip;

		line = text_head(line, text_find_octet(line, '#'));
		if (ip_parse(next_word(&line), &ip))
			continue;
		for (struct text word = next_word(&line); word.len > 0; word = next_word(&line))
			if (name_from_text(word, &name) == ERR_OK)
				each(owner, word, ip);
	}
}
