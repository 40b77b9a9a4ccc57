#include <postrider/mail/sender.h>

#define HASH_PRIME UINT64_C(0x100000001b3)

/* "prvs=" and "msprvs1=": the tag is new every day, and everybody of a domain has one. */
static struct text without_tag(struct text local_part)
{
	struct text rest = local_part, kind = text_cut(&rest, '='), digits;
	size_t at = text_find(kind, TEXT("prvs"));

	if (rest.len == 0 || (at != 0 && at != 2))
		return local_part;
	digits = text_skip(kind, at + 4);
	for (size_t i = 0; i < digits.len; i++)
		if (!ascii_is_digit(digits.at[i]))
			return local_part;
	(void)text_cut(&rest, '=');
	return rest.len ? rest : local_part;
}

static bool ends_name(struct text t, size_t i)
{
	return t.at[i] == '+' || t.at[i] == '=' ||
	       (t.at[i] == '-' && i + 1 < t.len && ascii_is_digit(t.at[i + 1]));
}

struct text sender_name(struct text local_part)
{
	struct text name = without_tag(local_part);

	for (size_t i = 1; i < name.len; i++)
		if (ends_name(name, i))
			return text_head(name, i);
	return name;
}

static uint64_t mixed(uint64_t hash, uint64_t with)
{
	return (hash ^ with) * HASH_PRIME;
}

uint64_t sender_hash(const struct envelope *e)
{
	size_t at = text_find_last_octet(e->reverse_path, '@');

	if (e->user.len)
		return mixed(text_hash(e->user), 'u');
	return mixed(text_hash_nocase(sender_name(text_head(e->reverse_path, at))),
	             text_hash_nocase(text_skip(e->reverse_path, at)));
}
