/* auth/known.h - digests that are known for a while: a bounded table, the oldest makes room. */
#ifndef AUTH_KNOWN_H
#define AUTH_KNOWN_H

#include <postrider/base/list.h>
#include <postrider/base/map.h>
#include <postrider/crypto.h>

struct known {
	struct map map;
	struct list oldest_first;
	size_t max;
};

void known_init(struct known *k, size_t max, uint64_t seed);
void known_fini(struct known *k);

/* Whether key was noted and its time is not over. */
bool known_has(struct known *k, const struct crypto_sha256 *key, int64_t now_at);
/* Without memory it is not noted, and nobody minds. */
void known_note(struct known *k, const struct crypto_sha256 *key, int64_t until_at);

#endif
