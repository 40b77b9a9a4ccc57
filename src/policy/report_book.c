#include "report_book.h"

#include <stdlib.h>

#include <postrider/base/auto.h>

#include "report_inside.h"
#include "report_policy.h"

/* ---------------------------------------------------------------- life */

void report_book_init(struct report_book *b, uint64_t seed)
{
	*b = (struct report_book){ 0 };
	random_init(&b->random, seed);
	map_init(&b->names, true, seed);
	list_init(&b->open);
	list_init(&b->closed);
}

static void drop_policy(struct report_policy *p)
{
	for (LIST_EACH_SAFE(it, &p->details))
		free(LIST_ITEM(it, struct report_detail, link));
	free(p);
}

static bool is_open(const struct report_book *b, const struct report_domain *d)
{
	return map_find(&b->names, d->by_name.key) == &d->by_name;
}

void report_book_drop(struct report_book *b, struct report_domain *d)
{
	if (is_open(b, d))
		map_remove(&b->names, &d->by_name);
	list_remove(&d->link);
	b->domains--;
	b->bytes -= d->bytes;
	for (LIST_EACH_SAFE(it, &d->policies))
		drop_policy(LIST_ITEM(it, struct report_policy, link));
	free(d);
}

void report_book_fini(struct report_book *b)
{
	while (!list_is_empty(&b->open))
		report_book_drop(b, LIST_FIRST(&b->open, struct report_domain, link));
	while (!list_is_empty(&b->closed))
		report_book_drop(b, LIST_FIRST(&b->closed, struct report_domain, link));
	map_fini(&b->names);
}

bool report_book_turn(struct report_book *b, int64_t day)
{
	bool closes = b->day != day && !list_is_empty(&b->open);

	if (b->day == day)
		return false;
	for (LIST_EACH(it, &b->open))
		map_remove(&b->names, &LIST_ITEM(it, struct report_domain, link)->by_name);
	list_append_all(&b->closed, &b->open);
	b->day = day;
	b->overflow = 0;
	return closes;
}

/* ---------------------------------------------------------------- making */

static bool has_room(const struct report_book *b, size_t bytes)
{
	return b->bytes + bytes <= REPORT_BYTES_MAX;
}

static struct text put(char **at, struct text t)
{
	struct text kept = { *at, t.len };

	if (t.len)
		memcpy(*at, t.at, t.len);
	*at += t.len;
	return kept;
}

static struct report_domain *domain_new(struct report_book *b, struct text name, int64_t day)
{
	size_t bytes = sizeof(struct report_domain) + name.len;
	struct report_domain *d =
		has_room(b, bytes) && b->domains < REPORT_DOMAINS_MAX ? calloc(1, bytes) : NULL;

	if (!d)
		return NULL;
	for (size_t i = 0; i < name.len; i++)
		d->name[i] = ascii_lower(name.at[i]);
	d->by_name.key = text_of(d->name, name.len);
	d->day = day;
	d->nonce = random_u64(&b->random);
	d->bytes = bytes;
	list_init(&d->link);
	list_init(&d->policies);
	list_init(&d->queued);
	b->domains++;
	b->bytes += bytes;
	return d;
}

static struct report_domain *find_open(const struct report_book *b, struct text name)
{
	struct map_item *found = map_find(&b->names, name);

	return found ? CONTAINER_OF(found, struct report_domain, by_name) : NULL;
}

struct report_domain *report_domain_of(struct report_book *b, struct text name, int64_t day)
{
	struct report_domain *d = day == b->day ? find_open(b, name) : NULL;

	if (d)
		return d;
	d = domain_new(b, name, day);
	if (!d)
		return NULL;
	if (day == b->day && map_add(&b->names, &d->by_name, d->by_name.key)) {
		report_book_drop(b, d);
		return NULL;
	}
	list_append(day == b->day ? &b->open : &b->closed, &d->link);
	return d;
}

static void charge(struct report_book *b, struct report_domain *d, size_t bytes)
{
	d->bytes += bytes;
	b->bytes += bytes;
}

static struct report_policy *make_policy(struct report_book *b, struct report_domain *d,
                                         enum report_type type, struct text domain, struct text lines)
{
	size_t bytes = sizeof(struct report_policy) + domain.len + lines.len;
	struct report_policy *p =
		has_room(b, bytes) && d->policy_count < REPORT_POLICIES_MAX ? calloc(1, bytes) : NULL;
	char *at;

	if (!p)
		return NULL;
	at = p->octets;
	p->type = type;
	p->domain = put(&at, domain);
	p->lines = put(&at, lines);
	list_init(&p->details);
	list_append(&d->policies, &p->link);
	d->policy_count++;
	charge(b, d, bytes);
	return p;
}

struct report_policy *report_policy_of(struct report_book *b, struct report_domain *d, enum report_type type,
                                       struct text domain, struct text lines)
{
	for (LIST_EACH(it, &d->policies)) {
		struct report_policy *p = LIST_ITEM(it, struct report_policy, link);

		if (p->type == type && text_eq(p->lines, lines) && text_eq_nocase(p->domain, domain))
			return p;
	}
	return make_policy(b, d, type, domain, lines);
}

static struct report_detail *detail_new(struct report_book *b, struct report_domain *d,
                                        struct report_policy *p, const struct report_detail *like)
{
	size_t bytes = sizeof(*like) + like->mx.len + like->reason.len;
	struct report_detail *made = has_room(b, bytes) ? malloc(bytes) : NULL;
	char *at;

	if (!made)
		return NULL;
	*made = *like;
	at = made->octets;
	made->mx = put(&at, like->mx);
	made->reason = put(&at, like->reason);
	made->count = 0;
	list_append(&p->details, &made->link);
	p->detail_count++;
	charge(b, d, bytes);
	return made;
}

static struct report_detail *find_detail(const struct report_policy *p, const struct report_detail *like)
{
	for (LIST_EACH(it, &p->details)) {
		struct report_detail *d = LIST_ITEM(it, struct report_detail, link);

		if (d->failure == like->failure && ip_eq(d->local, like->local) &&
		    ip_eq(d->remote, like->remote) && text_eq_nocase(d->mx, like->mx) &&
		    text_eq(d->reason, like->reason))
			return d;
	}
	return NULL;
}

struct report_detail *report_detail_of(struct report_book *b, struct report_domain *d,
                                       struct report_policy *p, const struct report_detail *like)
{
	struct report_detail others = { .failure = like->failure };
	struct report_detail *found = find_detail(p, like);

	if (!found && p->detail_count >= REPORT_DETAILS_MAX) {
		like = &others;
		found = find_detail(p, like);
	}
	return found ? found : detail_new(b, d, p, like);
}

/* ---------------------------------------------------------------- counting */

static bool count(struct report_book *b, struct report_domain *d, struct report_policy *p,
                  const struct report_detail *like)
{
	struct report_detail *detail;

	if (!p) {
		if (d)
			d->overflow++;
		b->overflow++;
		return false;
	}
	if (like->failure == POLICY_SUCCEEDED) {
		p->successes++;
		return true;
	}
	p->failures++; /* also without a row that says which */
	detail = report_detail_of(b, d, p, like);
	if (detail)
		detail->count++;
	return true;
}

/* A peer may have said anything: no controls. */
static struct text clean(struct text t, char room[REPORT_REASON_MAX])
{
	t = text_head(t, REPORT_REASON_MAX);
	for (size_t i = 0; i < t.len; i++)
		room[i] = (unsigned char)t.at[i] < ' ' || t.at[i] == 0x7f ? ' ' : t.at[i];
	return text_of(room, t.len);
}

bool report_book_note(struct report_book *b, const struct policy_report *note)
{
	char reason[REPORT_REASON_MAX];
	struct report_domain *d = report_domain_of(b, note->domain, b->day);
	struct report_policy *p = NULL;
	struct report_detail like = { .failure = note->failure,
		                      .local = note->local,
		                      .remote = note->remote,
		                      .mx = note->mx,
		                      .reason = clean(note->problem, reason) };
	struct report_words words;

	if (d) {
		report_words_of(&words, note);
		if (!buf_err(&words.lines))
			p = report_policy_of(b, d, words.type, words.domain, buf_text(&words.lines));
		report_words_fini(&words);
	}
	return count(b, d, p, &like);
}

bool report_book_note_fetch(struct report_book *b, struct text domain, enum policy_failure failure,
                            struct text problem)
{
	char reason[REPORT_REASON_MAX];
	struct report_domain *d = report_domain_of(b, domain, b->day);
	struct report_policy *p = d ? report_policy_of(b, d, REPORT_STS, domain, TEXT_EMPTY) : NULL;
	struct report_detail like = { .failure = failure, .reason = clean(problem, reason) };

	return count(b, d, p, &like);
}
