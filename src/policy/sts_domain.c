#include "sts_domain.h"

#include <stdlib.h>

#include <postrider/base/auto.h>
#include <postrider/base/time.h>

static struct text put(char **at, struct text t)
{
	struct text kept = { *at, t.len };

	if (t.len)
		memcpy(*at, t.at, t.len);
	*at += t.len;
	return kept;
}

static size_t octets_of(struct text domain, struct text id, const struct text *mx, size_t mx_count)
{
	size_t octets = domain.len + id.len;

	for (size_t i = 0; i < mx_count; i++)
		octets += mx[i].len + sizeof(*mx);
	return octets;
}

/* The struct, its patterns, then all octets. */
struct policy_domain *policy_domain_new(struct text domain, struct text id, const struct sts_file *file)
{
	struct policy_domain *d = malloc(sizeof(*d) + octets_of(domain, id, file->mx, file->mx_count));
	struct text *mx;
	char *at;

	if (!d)
		return NULL;
	mx = (struct text *)(void *)(d + 1);
	at = (char *)(mx + file->mx_count);
	*d = (struct policy_domain){ .references = 1,
		                     .mode = file->mode,
		                     .max_age_ms = file->max_age_ms,
		                     .mx = mx,
		                     .mx_count = file->mx_count };
	d->domain = put(&at, domain);
	d->id = put(&at, id);
	for (size_t i = 0; i < file->mx_count; i++)
		mx[i] = put(&at, file->mx[i]);
	return d;
}

size_t policy_domain_bytes(const struct policy_domain *d)
{
	return sizeof(*d) + octets_of(d->domain, d->id, d->mx, d->mx_count);
}

struct policy_domain *policy_domain_ref(struct policy_domain *d)
{
	d->references++;
	return d;
}

void policy_domain_unref(struct policy_domain **slot)
{
	struct policy_domain *d = TAKE(*slot);

	if (d && --d->references == 0)
		free(d);
}

enum policy_mode policy_domain_mode(const struct policy_domain *d)
{
	return d ? d->mode : POLICY_MODE_NONE;
}

bool policy_domain_allows(const struct policy_domain *d, struct text host)
{
	if (policy_domain_mode(d) == POLICY_MODE_NONE)
		return true;
	for (size_t i = 0; i < d->mx_count; i++)
		if (sts_mx_fits(d->mx[i], host))
			return true;
	return false;
}

bool policy_domain_same(const struct policy_domain *a, const struct policy_domain *b)
{
	if (a->mode != b->mode || a->mx_count != b->mx_count)
		return false;
	for (size_t i = 0; i < a->mx_count; i++)
		if (!text_eq(a->mx[i], b->mx[i]))
			return false;
	return true;
}

void policy_domain_each_line(const struct policy_domain *d, policy_line_fn *each, void *owner)
{
	static const char *const modes[] = { [POLICY_MODE_NONE] = "none",
		                             [POLICY_MODE_TESTING] = "testing",
		                             [POLICY_MODE_ENFORCE] = "enforce" };
	struct buf line = BUF(512);

	each(owner, TEXT("version: STSv1"));
	buf_add_format(&line, "mode: %s", modes[d->mode]);
	each(owner, buf_text(&line));
	for (size_t i = 0; i < d->mx_count; i++) {
		buf_reset(&line);
		buf_add_format(&line, "mx: %.*s", TEXT_ARGS(d->mx[i]));
		each(owner, buf_text(&line));
	}
	buf_reset(&line);
	buf_add_format(&line, "max_age: %lld", (long long)(d->max_age_ms / SECOND_MS));
	each(owner, buf_text(&line));
	buf_fini(&line);
}
