#include "logins.h"

#include <assert.h>
#include <stdlib.h>

#include <postrider/auth/client.h>

#define NAME_MAX 256

struct login_record {
	struct map_item by_key;
	struct list by_use;
	struct list seated, waiting; /* of struct login_seat */
	unsigned failures;           /* in a row */
	int64_t failed_at, until_at; /* with failures: not tried before */
	int64_t good_at;             /* the last success; 0: none since the last failure */
	unsigned passed;
	int code;
	char enhanced[16];
	char words[LOGINS_WORDS_MAX];
	size_t words_len;
	char key[NAME_MAX + AUTH_CLIENT_ID_BYTES];
};

static const int64_t waits_ms[] = { MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, 4 * HOUR_MS };

void logins_init(struct logins *l, uint64_t seed)
{
	map_init(&l->by_key, false, seed);
	list_init(&l->by_use);
}

static void forget(struct logins *l, struct login_record *r)
{
	assert(list_is_empty(&r->seated) && list_is_empty(&r->waiting));
	map_remove(&l->by_key, &r->by_key);
	list_remove(&r->by_use);
	free(r);
}

void logins_fini(struct logins *l)
{
	if (!l->by_use.next)
		return;
	for (LIST_EACH_SAFE(it, &l->by_use))
		forget(l, LIST_ITEM(it, struct login_record, by_use));
	map_fini(&l->by_key);
}

/* ---------------------------------------------------------------- records */

/* The upstream's name and what stands for the credential. */
static struct text key_of(const struct config_way *way, char room[NAME_MAX + AUTH_CLIENT_ID_BYTES])
{
	struct text name = text_head(way->upstream->name, NAME_MAX);

	auth_client_id(way->login, (unsigned char *)room);
	memcpy(room + AUTH_CLIENT_ID_BYTES, name.at, name.len);
	return text_of(room, AUTH_CLIENT_ID_BYTES + name.len);
}

static struct login_record *find(const struct logins *l, const struct config_way *way)
{
	char room[NAME_MAX + AUTH_CLIENT_ID_BYTES];
	struct map_item *item = map_find(&l->by_key, key_of(way, room));

	return item ? CONTAINER_OF(item, struct login_record, by_key) : NULL;
}

/* The one that was not used for longest, and that nobody needs now. */
static void make_room(struct logins *l)
{
	for (struct list *it = l->by_use.prev; l->by_key.count >= LOGINS_MAX && it != &l->by_use;) {
		struct login_record *r = LIST_ITEM(it, struct login_record, by_use);

		it = it->prev;
		if (list_is_empty(&r->seated) && list_is_empty(&r->waiting))
			forget(l, r);
	}
}

static struct login_record *get(struct logins *l, const struct config_way *way)
{
	struct login_record *r = find(l, way);

	if (!r) {
		make_room(l);
		r = calloc(1, sizeof(*r));
		if (!r)
			return NULL;
		if (map_add(&l->by_key, &r->by_key, key_of(way, r->key))) {
			free(r);
			return NULL;
		}
		list_init(&r->seated);
		list_init(&r->waiting);
		list_init(&r->by_use);
	}
	list_remove(&r->by_use);
	list_prepend(&l->by_use, &r->by_use);
	return r;
}

/* ---------------------------------------------------------------- seats */

static bool is_refused(const struct login_record *r, int64_t now_at)
{
	return r->failures && now_at < r->until_at;
}

static bool has_seat(const struct login_record *r, int64_t now_at)
{
	return list_is_empty(&r->seated) || (r->good_at && now_at < r->good_at + LOGINS_CALM_MS);
}

static void let_wait(struct login_record *r, struct login_seat *seat)
{
	list_append(&r->waiting, &seat->link);
	seat->waits = true;
}

static void seat_in(struct login_record *r, struct login_seat *seat, int64_t now_at)
{
	list_remove(&seat->link);
	list_append(&r->seated, &seat->link);
	seat->since_at = now_at;
	seat->waits = false;
}

enum login_answer logins_take_seat(struct logins *l, const struct config_way *way, int64_t now_at,
                                   struct login_seat *seat)
{
	struct login_record *r = get(l, way);

	assert(!seat->record);
	if (!r)
		return LOGIN_GO;
	if (is_refused(r, now_at))
		return LOGIN_REFUSED;
	seat->record = r;
	list_init(&seat->link);
	if (!has_seat(r, now_at)) {
		let_wait(r, seat);
		return LOGIN_WAITS;
	}
	seat_in(r, seat, now_at);
	return LOGIN_GO;
}

bool logins_jump(struct login_seat *seat, int64_t now_at)
{
	if (!seat->record || !seat->waits)
		return false;
	for (LIST_EACH(it, &seat->record->seated))
		if (now_at - LIST_ITEM(it, struct login_seat, link)->since_at < LOGINS_PATIENCE_MS)
			return false;
	seat_in(seat->record, seat, now_at);
	return true;
}

static void vacate(struct login_seat *seat)
{
	list_remove(&seat->link);
	seat->record = NULL;
	seat->waits = false;
}

/* Those who wait hear what became of it: refused, all of them; or as many go as there are seats now. */
static void call_next(struct login_record *r, int64_t now_at)
{
	while (!list_is_empty(&r->waiting)) {
		struct login_seat *next = LIST_FIRST(&r->waiting, struct login_seat, link);

		if (is_refused(r, now_at)) {
			vacate(next);
			next->fn(next, LOGIN_REFUSED);
		} else if (has_seat(r, now_at)) {
			seat_in(r, next, now_at);
			next->fn(next, LOGIN_GO);
		} else {
			return;
		}
	}
}

void logins_leave(struct logins *l, struct login_seat *seat, int64_t now_at)
{
	struct login_record *r = seat->record;

	(void)l;
	if (!r)
		return;
	vacate(seat);
	call_next(r, now_at);
}

void logins_succeeded(struct logins *l, struct login_seat *seat, unsigned passed, int64_t now_at)
{
	if (seat->record) {
		seat->record->failures = 0;
		seat->record->good_at = now_at;
		seat->record->passed = passed;
	}
	logins_leave(l, seat, now_at);
}

void logins_failed(struct logins *l, struct login_seat *seat, const struct deliver_result *result,
                   int64_t now_at)
{
	struct login_record *r = seat->record;

	if (r) {
		struct text words = text_head(result->reply, sizeof(r->words)),
			    enhanced = text_head(result->enhanced, sizeof(r->enhanced) - 1);

		r->until_at = now_at + waits_ms[MIN((size_t)r->failures, ARRAY_LEN(waits_ms) - 1)];
		r->failures++;
		r->failed_at = now_at;
		r->good_at = 0;
		r->passed = 0;
		r->code = result->code;
		memcpy(r->words, words.at, words.len);
		r->words_len = words.len;
		memcpy(r->enhanced, enhanced.at, enhanced.len);
		r->enhanced[enhanced.len] = 0;
	}
	logins_leave(l, seat, now_at);
}

/* ---------------------------------------------------------------- what is known */

bool logins_refusal(struct logins *l, const struct config_way *way, int64_t now_at, struct login_refusal *out)
{
	const struct login_record *r = find(l, way);

	if (!r || !is_refused(r, now_at))
		return false;
	*out = (struct login_refusal){ r->code, r->enhanced, text_of(r->words, r->words_len), r->until_at };
	return true;
}

unsigned logins_passed(struct logins *l, const struct config_way *way)
{
	const struct login_record *r = find(l, way);

	return r ? r->passed : 0;
}

void logins_forgive(struct logins *l, int64_t now_at)
{
	for (LIST_EACH(it, &l->by_use)) {
		struct login_record *r = LIST_ITEM(it, struct login_record, by_use);

		if (now_at - r->failed_at >= LOGINS_MOMENT_MS)
			r->until_at = now_at;
	}
}
