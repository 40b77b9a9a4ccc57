/* postrider/base/id.h - the name of a message: 128 bits, 26 characters of Crockford's base 32. 48 bits of
 * time (ms), 24 bits of a counter of this generator, 56 bits of randomness: ids made by one generator rise,
 * also when the clock steps back, and are never used again. */
#ifndef POSTRIDER_BASE_ID_H
#define POSTRIDER_BASE_ID_H

#include <postrider/base/random.h>
#include <postrider/base/text.h>

#define ID_BYTES 16
#define ID_CHARS 26
#define ID_SHORT_CHARS 13 /* shown to people at the least */

struct id {
	unsigned char bytes[ID_BYTES];
};

struct id_text {
	char at[ID_CHARS + 1]; /* with a final NUL */
};

struct id_source {
	struct random random;
	int64_t last_time; /* the newest time given out: never goes back */
	uint32_t counter;
};

/* last_time: the time of the newest id known, 0 without one; so that a clock that stepped back over a restart
 * does not make an id twice. */
void id_source_init(struct id_source *s, uint64_t seed, int64_t last_time);
struct id id_next(struct id_source *s, int64_t now_time);

struct id_text id_to_text(struct id id);
/* Exactly 26 characters in any case; I, L and O are read as 1, 1 and 0. */
MUST_USE enum err id_from_text(struct text t, struct id *out);
/* The smallest and largest id that begin with a prefix of 1 to 26 characters. ERR_SYNTAX otherwise. */
MUST_USE enum err id_prefix_range(struct text prefix, struct id *first, struct id *last);
int64_t id_time(struct id id);

static inline bool id_eq(struct id a, struct id b)
{
	return memcmp(a.bytes, b.bytes, ID_BYTES) == 0;
}

static inline int id_compare(struct id a, struct id b)
{
	return memcmp(a.bytes, b.bytes, ID_BYTES);
}

static inline struct text id_key(const struct id *id)
{
	return (struct text){ (const char *)id->bytes, ID_BYTES };
}

#endif
