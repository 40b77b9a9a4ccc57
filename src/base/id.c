#include <postrider/base/id.h>

#define TIME_MAX ((INT64_C(1) << 48) - 1)
#define COUNTER_MAX 0xffffffu

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void id_source_init(struct id_source *s, uint64_t seed, int64_t last_time)
{
	random_init(&s->random, seed);
	s->last_time = last_time;
	/* The counter that the newest id of that millisecond had is not known: none is left for it. */
	s->counter = COUNTER_MAX;
}

/* The next (time, counter), above all given out before. */
static void step(struct id_source *s, int64_t now_time)
{
	if (now_time > s->last_time) {
		s->last_time = now_time;
		s->counter = 0;
	} else if (s->counter < COUNTER_MAX) {
		s->counter++;
	} else {
		s->last_time++;
		s->counter = 0;
	}
}

static void put(unsigned char *at, uint64_t value, int octets)
{
	for (int i = octets; i-- > 0; value >>= 8)
		at[i] = (unsigned char)value;
}

struct id id_next(struct id_source *s, int64_t now_time)
{
	struct id id;

	step(s, now_time < TIME_MAX ? now_time : TIME_MAX);
	put(id.bytes, (uint64_t)s->last_time, 6);
	put(id.bytes + 6, s->counter, 3);
	put(id.bytes + 9, random_u64(&s->random), 7);
	return id;
}

/* 26 characters hold 130 bits: the first has only three of ours, so it is at most 7. */
struct id_text id_to_text(struct id id)
{
	struct id_text text;
	unsigned waiting = 0; /* bits not written yet, on the right */
	int bits = 2;         /* how many; two of zero before the first octet */
	size_t used = 0;

	for (size_t i = 0; i < ID_BYTES; i++) {
		waiting = waiting << 8 | id.bytes[i];
		bits += 8;
		for (; bits >= 5; bits -= 5)
			text.at[used++] = alphabet[waiting >> (bits - 5) & 31];
	}
	text.at[used] = '\0';
	return text;
}

/* -1: not of the alphabet. */
static int value_of(char c)
{
	c = ascii_lower(c);
	if (c == 'i' || c == 'l')
		return 1;
	if (c == 'o')
		return 0;
	for (int i = 0; i < 32; i++)
		if (c == ascii_lower(alphabet[i]))
			return i;
	return -1;
}

/* Characters past the end of t count as `filler`. */
static enum err decode(struct text t, int filler, struct id *out)
{
	struct id id;
	unsigned waiting = 0;
	int bits = -2;
	size_t used = 0;

	for (size_t i = 0; i < ID_CHARS; i++) {
		int value = i < t.len ? value_of(t.at[i]) : filler;

		if (value < 0 || (i == 0 && value > 7))
			return ERR_SYNTAX;
		waiting = waiting << 5 | (unsigned)value;
		bits += 5;
		if (bits >= 8) {
			bits -= 8;
			id.bytes[used++] = (unsigned char)(waiting >> bits);
		}
	}
	*out = id;
	return ERR_OK;
}

enum err id_from_text(struct text t, struct id *out)
{
	return t.len == ID_CHARS ? decode(t, 0, out) : ERR_SYNTAX;
}

enum err id_prefix_range(struct text prefix, struct id *first, struct id *last)
{
	struct id low, high;

	if (prefix.len == 0 || prefix.len > ID_CHARS || decode(prefix, 0, &low) || decode(prefix, 31, &high))
		return ERR_SYNTAX;
	*first = low;
	*last = high;
	return ERR_OK;
}

int64_t id_time(struct id id)
{
	int64_t time = 0;

	for (int i = 0; i < 6; i++)
		time = time << 8 | id.bytes[i];
	return time;
}
