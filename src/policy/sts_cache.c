#include "sts_cache.h"

#include <assert.h>
#include <stdlib.h>

#include <postrider/base/auto.h>
#include <postrider/mail/record.h>

#define FORMAT 1
#define DECODE_BYTES (2 * STS_FILE_MAX)

enum { TAG_POLICY = 1 };
enum {
	TAG_DOMAIN = 1,
	TAG_ID = 2,
	TAG_MODE = 3,
	TAG_MAX_AGE_MS = 4,
	TAG_MX = 5,
	TAG_FETCHED_TIME = 6,
	TAG_USED_TIME = 7,
};

/* ---------------------------------------------------------------- the table */

void sts_cache_init(struct sts_cache *c, uint64_t seed, void (*on_leave)(void *owner, struct sts_entry *e),
                    void *owner)
{
	*c = (struct sts_cache){ .on_leave = on_leave, .owner = owner };
	map_init(&c->map, true, seed);
	list_init(&c->used);
	list_init(&c->others);
}

void sts_cache_remove(struct sts_cache *c, struct sts_entry *e)
{
	if (c->on_leave)
		c->on_leave(c->owner, e);
	map_remove(&c->map, &e->by_name);
	list_remove(&e->by_use);
	if (e->policy) {
		c->policies--;
		c->bytes -= policy_domain_bytes(e->policy);
	} else {
		c->others_count--;
	}
	policy_domain_unref(&e->policy);
	free(e);
}

void sts_cache_fini(struct sts_cache *c)
{
	while (!list_is_empty(&c->used))
		sts_cache_remove(c, LIST_FIRST(&c->used, struct sts_entry, by_use));
	while (!list_is_empty(&c->others))
		sts_cache_remove(c, LIST_FIRST(&c->others, struct sts_entry, by_use));
	map_fini(&c->map);
}

struct sts_entry *sts_cache_find(const struct sts_cache *c, struct text domain)
{
	struct map_item *found = map_find(&c->map, domain);

	return found ? CONTAINER_OF(found, struct sts_entry, by_name) : NULL;
}

void sts_cache_used(struct sts_cache *c, struct sts_entry *e, int64_t now_time)
{
	e->used_time = now_time;
	list_remove(&e->by_use);
	list_append(e->policy ? &c->used : &c->others, &e->by_use);
}

static bool is_busy(const struct sts_entry *e)
{
	return e->fetch || e->txt || !list_is_empty(&e->waiters) || !list_is_empty(&e->queued);
}

/* False: all are busy. */
static bool drop_other(struct sts_cache *c)
{
	for (LIST_EACH(it, &c->others)) {
		struct sts_entry *e = LIST_ITEM(it, struct sts_entry, by_use);

		if (is_busy(e))
			continue;
		sts_cache_remove(c, e);
		return true;
	}
	return false;
}

static struct sts_entry *add(struct sts_cache *c, struct text domain)
{
	struct sts_entry *e = calloc(1, sizeof(*e) + domain.len);
	char *name = (char *)(e + 1);

	if (!e)
		return NULL;
	for (size_t i = 0; i < domain.len; i++)
		name[i] = ascii_lower(domain.at[i]);
	list_init(&e->waiters);
	list_init(&e->queued);
	list_init(&e->by_use);
	if (map_add(&c->map, &e->by_name, text_of(name, domain.len))) {
		free(e);
		return NULL;
	}
	c->others_count++;
	return e;
}

struct sts_entry *sts_cache_get(struct sts_cache *c, struct text domain, int64_t now_time)
{
	struct sts_entry *e = sts_cache_find(c, domain);

	if (!e && c->others_count >= STS_OTHERS_MAX && !drop_other(c))
		return NULL;
	if (!e)
		e = add(c, domain);
	if (e)
		sts_cache_used(c, e, now_time);
	return e;
}

/* Policies beyond the bounds leave, never the one at hand. */
static void make_room(struct sts_cache *c, const struct sts_entry *keep)
{
	for (LIST_EACH_SAFE(it, &c->used)) {
		struct sts_entry *e = LIST_ITEM(it, struct sts_entry, by_use);

		if (c->policies <= STS_POLICIES_MAX && c->bytes <= STS_POLICY_BYTES_MAX)
			return;
		if (e != keep && !is_busy(e))
			sts_cache_remove(c, e);
	}
}

/* One that is fetched again is not used by that. */
void sts_cache_set(struct sts_cache *c, struct sts_entry *e, struct policy_domain *policy, int64_t now_time)
{
	if (e->policy) {
		c->bytes -= policy_domain_bytes(e->policy);
	} else {
		c->others_count--;
		c->policies++;
		list_remove(&e->by_use);
		list_append(&c->used, &e->by_use);
	}
	policy_domain_unref(&e->policy);
	e->policy = policy;
	e->fetched_time = now_time;
	c->bytes += policy_domain_bytes(policy);
	make_room(c, e);
}

/* ---------------------------------------------------------------- times */

static int64_t life_ms(const struct sts_entry *e)
{
	return MAX(e->policy->max_age_ms, (int64_t)STS_LEAST_AGE_MS);
}

int64_t sts_entry_end_time(const struct sts_entry *e)
{
	return e->policy ? e->fetched_time + life_ms(e) : 0;
}

/* A clock that was set back makes no policy live longer. */
struct policy_domain *sts_entry_policy(const struct sts_entry *e, int64_t now_time)
{
	if (!e->policy || now_time >= sts_entry_end_time(e) || now_time < e->fetched_time - DAY_MS)
		return NULL;
	return e->policy;
}

int64_t sts_entry_next_time(const struct sts_entry *e, int64_t now_time, unsigned random)
{
	int64_t end = sts_entry_end_time(e), half = life_ms(e) / 2;
	int64_t after = MIN(half, (int64_t)STS_REFRESH_MS);
	int64_t at = e->fetched_time + after - after / 10 * (int64_t)random / 1000;

	if (half < STS_REFRESH_LEAST_MS || at - e->used_time > STS_USED_MS ||
	    e->policy->mode == POLICY_MODE_NONE)
		return end;
	if (at <= now_time) /* we were away: all that is due is not asked at once */
		at = now_time + MIN((int64_t)random * HOUR_MS / 1000, (end - now_time) / 2);
	return MIN(at, end);
}

/* ---------------------------------------------------------------- on disk */

static void encode(const struct sts_entry *e, struct buf *out)
{
	const struct policy_domain *p = e->policy;
	size_t mark = record_open_field(out, TAG_POLICY);

	record_add_text(out, TAG_DOMAIN, p->domain);
	record_add_text(out, TAG_ID, p->id);
	record_add_u64(out, TAG_MODE, p->mode);
	record_add_i64(out, TAG_MAX_AGE_MS, p->max_age_ms);
	for (size_t i = 0; i < p->mx_count; i++)
		record_add_text(out, TAG_MX, p->mx[i]);
	record_add_i64(out, TAG_FETCHED_TIME, e->fetched_time);
	record_add_i64(out, TAG_USED_TIME, e->used_time);
	record_close_field(out, mark);
}

void sts_cache_encode(const struct sts_cache *c, int64_t now_time, struct buf *out)
{
	record_begin(out, FORMAT);
	for (LIST_EACH(it, &c->used)) {
		const struct sts_entry *e = LIST_ITEM(it, const struct sts_entry, by_use);

		if (sts_entry_policy(e, now_time))
			encode(e, out);
	}
}

struct kept {
	struct text domain, id;
	struct sts_file file;
	struct text mx[STS_MX_MAX];
	int64_t fetched_time, used_time;
};

static void read_kept(struct record_reader *r, struct kept *k)
{
	struct record_field f;

	while (record_next(r, &f)) {
		switch (f.tag) {
		case TAG_DOMAIN:
			k->domain = f.value;
			break;
		case TAG_ID:
			k->id = f.value;
			break;
		case TAG_MODE:
			k->file.mode = (enum policy_mode)record_u64(r, &f, POLICY_MODE_ENFORCE);
			break;
		case TAG_MAX_AGE_MS:
			k->file.max_age_ms = record_i64(r, &f);
			break;
		case TAG_MX:
			if (k->file.mx_count < STS_MX_MAX)
				k->mx[k->file.mx_count++] = f.value;
			break;
		case TAG_FETCHED_TIME:
			k->fetched_time = record_i64(r, &f);
			break;
		case TAG_USED_TIME:
			k->used_time = record_i64(r, &f);
			break;
		}
	}
}

static bool makes_sense(const struct kept *k)
{
	for (size_t i = 0; i < k->file.mx_count; i++)
		if (!sts_is_name(text_skip(k->mx[i], text_starts(k->mx[i], TEXT("*.")) ? 2 : 0)))
			return false;
	return sts_is_name(k->domain) && k->id.len <= STS_ID_MAX && k->file.max_age_ms >= 0 &&
	       k->file.max_age_ms <= STS_MAX_AGE_S * SECOND_MS && k->fetched_time > 0 && k->used_time > 0 &&
	       (k->file.mx_count > 0 || k->file.mode == POLICY_MODE_NONE);
}

static enum err adopt(struct sts_cache *c, struct kept *k, int64_t now_time)
{
	struct policy_domain *policy;
	struct sts_entry *e;

	k->file.mx = k->mx;
	if (now_time >= k->fetched_time + MAX(k->file.max_age_ms, (int64_t)STS_LEAST_AGE_MS))
		return ERR_OK;
	e = sts_cache_get(c, k->domain, k->used_time);
	policy = e ? policy_domain_new(sts_entry_name(e), k->id, &k->file) : NULL;
	if (!policy)
		return ERR_NOMEM;
	sts_cache_set(c, e, policy, k->fetched_time);
	return ERR_OK;
}

enum err sts_cache_decode(struct sts_cache *c, struct text record, int64_t now_time)
{
	AUTO(free_memory) struct kept *k = malloc(sizeof(*k));
	struct record_reader all, one;
	struct record_field f;
	enum err err = ERR_OK;

	if (!k)
		return ERR_NOMEM;
	record_open(&all, record, FORMAT);
	while (!err && record_next(&all, &f)) {
		if (f.tag != TAG_POLICY)
			continue;
		*k = (struct kept){ 0 };
		record_open_inner(&one, f.value);
		read_kept(&one, k);
		if (one.err || !makes_sense(k))
			all.err = ERR_DAMAGED;
		else
			err = adopt(c, k, now_time);
	}
	return err ? err : all.err;
}
