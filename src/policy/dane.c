/* DANE (RFC 6698, RFC 7671, RFC 7672): from a mail host to its TLSA records, by the AD bit of a resolver that is trusted. */
#include "internal.h"

#include <stdlib.h>

#define CANDIDATES_MAX 2
#define USAGE_ISSUER 2
#define USAGE_SERVER 3
#define DIGEST_NONE 0
#define DIGEST_SHA256 1
#define DIGEST_SHA512 2
#define NAME_ROOM 300 /* longer than any name can be */

/* One policy_find_host. */
struct lookup {
	struct policy_lookup base; /* first */
	struct list link;          /* of policy->hosts */
	struct policy *policy;
	policy_host_fn *on_done;
	void *owner;
	struct dns_lookup *question;
	struct io_later later;
	uint16_t port;
	bool asks_alias;
	char host[NAME_ROOM], canonical[NAME_ROOM];
	struct text
		candidates[CANDIDATES_MAX]; /* TLSA base domains, the better first; into host and canonical */
	size_t candidate_count, next;
};

/* ---------------------------------------------------------------- records */

struct policy_host *policy_host_ref(struct policy_host *h)
{
	if (h)
		h->references++;
	return h;
}

void policy_host_unref(struct policy_host **h)
{
	struct policy_host *old = TAKE(*h);

	if (old && --old->references == 0)
		free(old);
}

bool policy_host_is_usable(const struct policy_host *h)
{
	return h->usable_count > 0;
}

struct text policy_host_base(const struct policy_host *h)
{
	return h->base;
}

size_t policy_host_records(const struct policy_host *h, const struct tls_tlsa **out)
{
	*out = h->records;
	return h->count;
}

/* RFC 7672 section 3.1.3: usages 0 and 1 are nothing for SMTP; what is unknown, or of a wrong length, is for nobody. */
static bool is_usable(const struct dns_tlsa *r)
{
	size_t len = r->matching == DIGEST_SHA256 ? 32 : r->matching == DIGEST_SHA512 ? 64 : r->data.len;

	return (r->usage == USAGE_ISSUER || r->usage == USAGE_SERVER) && r->selector <= 1 &&
	       r->matching <= DIGEST_SHA512 && r->data.len == len && len > 0;
}

/* RFC 7671 section 9: beside a SHA-512 of the same kind a SHA-256 does not count. */
static bool is_surpassed(const struct dns_tlsa *r, const struct dns_tlsa_list *all)
{
	for (size_t i = 0; r->matching == DIGEST_SHA256 && i < all->count; i++) {
		const struct dns_tlsa *other = &all->records[i];

		if (other->usage == r->usage && other->selector == r->selector &&
		    other->matching == DIGEST_SHA512 && is_usable(other))
			return true;
	}
	return false;
}

static char *keep(char *end, struct text t, struct text *out)
{
	if (t.len > 0)
		memcpy(end, t.at, t.len);
	*out = text_of(end, t.len);
	return end + t.len;
}

static char *add_records(struct policy_host *h, const struct dns_tlsa_list *from, bool usable, char *end)
{
	for (size_t i = 0; i < from->count && h->count < TLS_TLSA_MAX; i++) {
		const struct dns_tlsa *r = &from->records[i];

		if ((is_usable(r) && !is_surpassed(r, from)) != usable)
			continue;
		h->records[h->count] = (struct tls_tlsa){ r->usage, r->selector, r->matching, TEXT_EMPTY };
		end = keep(end, r->data, &h->records[h->count++].data);
	}
	return end;
}

static struct policy_host *host_new(struct text base, const struct dns_tlsa_list *from)
{
	size_t bytes = base.len;

	for (size_t i = 0; i < from->count; i++)
		bytes += from->records[i].data.len;
	struct policy_host *h =
		malloc(sizeof(*h) + MIN(from->count, (size_t)TLS_TLSA_MAX) * sizeof(h->records[0]) + bytes);

	if (!h)
		return NULL;
	*h = (struct policy_host){ .references = 1 };
	char *end = (char *)&h->records[MIN(from->count, (size_t)TLS_TLSA_MAX)];

	end = keep(end, base, &h->base);
	end = add_records(h, from, true, end);
	h->usable_count = h->count;
	add_records(h, from, false, end);
	return h;
}

/* ---------------------------------------------------------------- the end of a lookup */

static void let_go(struct lookup *l)
{
	dns_cancel(&l->question);
	io_later_cancel(l->policy->io, &l->later);
	list_remove(&l->link);
	free(l);
}

static void cancel(struct policy_lookup *base)
{
	let_go(CONTAINER_OF(base, struct lookup, base));
}

void dane_cancel_all(struct policy *p)
{
	while (!list_is_empty(&p->hosts)) {
		struct lookup *l = LIST_ITEM(p->hosts.next, struct lookup, link);

		*l->base.slot = NULL;
		let_go(l);
	}
}

/* The callback may do anything: the lookup is gone before. */
static void finish(struct lookup *l, enum err err, struct policy_host *host, struct text problem)
{
	policy_host_fn *on_done = l->on_done;
	void *owner = l->owner;

	*l->base.slot = NULL;
	let_go(l);
	on_done(owner, err, host, problem);
	policy_host_unref(&host);
}

/* ---------------------------------------------------------------- questions */

static void ask_next(struct lookup *l);

static void fail(struct lookup *l, const char *what, struct text name, enum err err, struct text problem)
{
	AUTO(buf_fini) struct buf words = BUF(1024);

	buf_add_format(&words, "whether %.*s has %s cannot be found out: %.*s", TEXT_ARGS(name), what,
	               TEXT_ARGS(problem.len ? problem : text_from(err_text(err))));
	finish(l, err == ERR_NOMEM ? ERR_NOMEM : ERR_TEMPORARY, NULL, buf_text(&words));
}

/* What is not proved is not there: whoever can forge an answer could forge the absence as well. */
static void on_tlsa(void *owner, enum err err, const struct dns_tlsa_list *found, struct text problem)
{
	struct lookup *l = owner;
	struct text base = l->candidates[l->next - 1];

	if (err && err != ERR_NOT_FOUND) {
		fail(l, "TLSA records", base, err, problem);
		return;
	}
	if (err || !found->secure) {
		ask_next(l);
		return;
	}
	struct policy_host *host = host_new(base, found);

	finish(l, host ? ERR_OK : ERR_NOMEM, host, TEXT_EMPTY);
}

/* A name too long for the prefix has no records. */
static void ask_tlsa(struct lookup *l)
{
	AUTO(buf_fini) struct buf name = BUF(NAME_ROOM + 16);
	struct text base = l->candidates[l->next++];

	buf_add_format(&name, "_%u._tcp.%.*s", l->port, TEXT_ARGS(base));
	enum err err = dns_find_tlsa(l->policy->dns, buf_text(&name), &l->question, on_tlsa, l);

	if (err == ERR_NOMEM)
		finish(l, err, NULL, TEXT_EMPTY);
	else if (err)
		ask_next(l);
}

static void on_alias(void *owner, enum err err, const struct dns_text_list *found, struct text problem)
{
	struct lookup *l = owner;

	l->asks_alias = false;
	if (err && err != ERR_NOT_FOUND) {
		fail(l, "a CNAME that DNSSEC proves", text_from(l->host), err, problem);
		return;
	}
	if (err || !found->secure)
		l->candidate_count = 0;
	ask_next(l);
}

static void ask_alias(struct lookup *l)
{
	enum err err = dns_find_alias(l->policy->dns, text_from(l->host), &l->question, on_alias, l);

	if (err)
		finish(l, err == ERR_NOMEM ? err : ERR_OK, NULL, TEXT_EMPTY);
}

static void ask_next(struct lookup *l)
{
	if (l->asks_alias)
		ask_alias(l);
	else if (l->next < l->candidate_count)
		ask_tlsa(l);
	else
		finish(l, ERR_OK, NULL, TEXT_EMPTY);
}

static void on_later(void *owner)
{
	ask_next(owner);
}

/* ---------------------------------------------------------------- the face */

static void note_name(char room[NAME_ROOM], struct text name)
{
	if (text_ends(name, TEXT(".")))
		name = text_head(name, name.len - 1);
	name = text_head(name, NAME_ROOM - 1);
	for (size_t i = 0; i < name.len; i++)
		room[i] = ascii_lower(name.at[i]);
	room[name.len] = '\0';
}

/* RFC 7672 section 2.2.2: what DNSSEC proves to the end of the chain is looked for there first; where it proves only the
 * alias, that is where records can be. */
static void choose_candidates(struct lookup *l, bool address_secure)
{
	struct text host = text_from(l->host), canonical = text_from(l->canonical);
	bool is_alias = canonical.len > 0 && !text_eq(host, canonical);
	struct ip ip;

	if (ip_parse(host, &ip) == ERR_OK || text_starts(host, TEXT("[")))
		return;
	if (address_secure && is_alias)
		l->candidates[l->candidate_count++] = canonical;
	if (address_secure || is_alias)
		l->candidates[l->candidate_count++] = host;
	l->asks_alias = is_alias && !address_secure;
}

enum err policy_find_host(struct policy *p, struct text host, struct text canonical, uint16_t port,
                          bool mx_secure, bool address_secure, struct policy_lookup **slot,
                          policy_host_fn *on_done, void *owner)
{
	struct lookup *l = calloc(1, sizeof(*l));

	if (!l)
		return ERR_NOMEM;
	l->base = (struct policy_lookup){ slot, cancel };
	l->policy = p;
	l->port = port;
	l->on_done = on_done;
	l->owner = owner;
	note_name(l->host, host);
	note_name(l->canonical, canonical);
	if (mx_secure)
		choose_candidates(l, address_secure);
	list_append(&p->hosts, &l->link);
	io_later_run(p->io, &l->later, on_later, l);
	*slot = &l->base;
	return ERR_OK;
}
