#include "internal.h"

#include "provider.h"

/* A limit that nobody uses is kept this long for its window, and longer while its rates hold anything. */
#define KEPT_MS (10 * MINUTE_MS)

/* ---------------------------------------------------------------- names */

/* The first letter says the level, so that names of different levels never meet. */
static const struct text prefixes[] = { [LIMIT_ACCOUNT] = LIT("a:"),
	                                [LIMIT_PROVIDER] = LIT("p:"),
	                                [LIMIT_DOMAIN] = LIT("d:"),
	                                [LIMIT_HOSTS] = LIT("h:") };

void limit_add_name(const struct limit *l, struct buf *out)
{
	struct text rest = text_skip(l->by_name.key, 2), name = text_cut(&rest, '\n');

	switch (l->level) {
	case LIMIT_ACCOUNT:
		buf_add(out, name);
		if (rest.len)
			buf_add_format(out, " as %.*s", TEXT_ARGS(rest));
		return;
	case LIMIT_PROVIDER:
		buf_add_format(out, "limits.%.*s", TEXT_ARGS(name));
		return;
	case LIMIT_HOSTS:
		buf_add_format(out, "mail hosts %.*s", TEXT_ARGS(name));
		return;
	case LIMIT_DOMAIN:
		buf_add(out, name);
		return;
	}
}

/* ---------------------------------------------------------------- rates */

static size_t count_rates(const struct config_pace *pace)
{
	return pace->rate.count + pace->recipient_rate.count + pace->byte_rate.count;
}

/* What the old one of this unit and window has taken goes on in the new one. */
static void take_over(struct limit *l, struct limit_rate *rate, const struct config_rate *wanted)
{
	for (size_t i = 0; i < l->rate_count; i++) {
		struct limit_rate *old = &l->rates[i];

		if (old->unit != rate->unit || old->bucket.window_ms != wanted->window_ms ||
		    old->bucket.most == 0)
			continue;
		rate->bucket = old->bucket;
		old->bucket = (struct bucket){ 0 };
		if (rate->bucket.most != wanted->count)
			bucket_change(&rate->bucket, wanted->count);
		return;
	}
	bucket_init(&rate->bucket, *wanted);
	if (l->schedule->rates.disk && bucket_is_long(&rate->bucket))
		rate->bucket.granted = 0;
}

static void add_rates(struct limit *l, struct limit_rate *out, size_t *count,
                      const struct config_rates *rates, size_t unit)
{
	for (size_t i = 0; i < rates->count; i++) {
		if (rates->items[i].count == 0)
			continue;
		out[*count].unit = unit;
		take_over(l, &out[(*count)++], &rates->items[i]);
	}
}

static void drop_rates(struct limit_rate *rates, size_t count)
{
	for (size_t i = 0; i < count; i++)
		bucket_fini(&rates[i].bucket);
	free(rates);
}

static bool rates_fit(const struct limit *l, const struct config_pace *pace)
{
	const struct config_rates *lists[] = { &pace->rate, &pace->recipient_rate, &pace->byte_rate };
	size_t n = 0;

	for (size_t k = 0; k < ARRAY_LEN(lists); k++)
		for (size_t i = 0; i < lists[k]->count; i++) {
			const struct config_rate *rate = &lists[k]->items[i];

			if (rate->count == 0)
				continue;
			if (n == l->rate_count || l->rates[n].unit != k * sizeof(uint64_t) ||
			    l->rates[n].bucket.most != rate->count ||
			    l->rates[n].bucket.window_ms != rate->window_ms)
				return false;
			n++;
		}
	return n == l->rate_count;
}

/* Without memory the old ones hold on. */
static void set_rates(struct limit *l, const struct config_pace *pace)
{
	size_t count = 0;
	struct limit_rate *rates;

	if (l->level == LIMIT_HOSTS || rates_fit(l, pace))
		return;
	rates = calloc(count_rates(pace) + 1, sizeof(*rates));
	if (!rates)
		return;
	add_rates(l, rates, &count, &pace->rate, offsetof(struct limit_cost, messages));
	add_rates(l, rates, &count, &pace->recipient_rate, offsetof(struct limit_cost, recipients));
	add_rates(l, rates, &count, &pace->byte_rate, offsetof(struct limit_cost, bytes));
	drop_rates(l->rates, l->rate_count);
	l->rates = rates;
	l->rate_count = count;
	io_timer_stop(l->schedule->io, &l->rate_timer); /* of the old numbers */
	limit_call_next(l);
}

/* ---------------------------------------------------------------- limits come and go */

struct limit *limit_find(struct schedule *s, struct text name)
{
	struct map_item *item = map_find(&s->limits, name);

	return item ? CONTAINER_OF(item, struct limit, by_name) : NULL;
}

struct limit *limit_new(struct schedule *s, enum limit_level level, struct text name)
{
	struct limit *l = calloc(1, sizeof(*l));
	char *copy = text_dup(name);

	if (!l || !copy || map_add(&s->limits, &l->by_name, text_of(copy, name.len))) {
		free(l);
		free(copy);
		return NULL;
	}
	l->schedule = s;
	l->level = level;
	list_init(&l->line);
	list_init(&l->hungry);
	list_append(&s->limits_all, &l->all);
	window_init(&l->window, io_now_at(s->io));
	l->unused_since_at = io_now_at(s->io);
	return l;
}

static void limit_free(struct limit *l)
{
	struct schedule *s = l->schedule;

	io_timer_stop(s->io, &l->rate_timer);
	io_timer_stop(s->io, &l->window_timer);
	io_timer_stop(s->io, &l->resume_timer);
	io_later_cancel(s->io, &l->turn);
	io_later_cancel(s->io, &l->check);
	drop_rates(l->rates, l->rate_count);
	limit_cause_fini(&l->slow_cause);
	limit_cause_fini(&l->suspend_cause);
	list_remove(&l->all);
	map_remove(&s->limits, &l->by_name);
	free((char *)l->by_name.key.at);
	free(l);
}

static struct limit *limit_get(struct schedule *s, enum limit_level level, struct text name, struct text user,
                               const struct config_pace *pace)
{
	AUTO(buf_fini) struct buf key = BUF(2000);
	struct limit *l;

	buf_add(&key, prefixes[level]);
	buf_add(&key, name);
	buf_add_octet(&key, '\n');
	buf_add(&key, user);
	if (buf_err(&key))
		return NULL;
	l = limit_find(s, buf_text(&key));
	if (!l)
		l = limit_new(s, level, buf_text(&key));
	if (!l)
		return NULL;
	l->level = level;
	l->pace = pace;
	set_rates(l, pace);
	return l;
}

static bool is_worth_nothing(struct limit *l, int64_t now)
{
	if (l->users || l->slow_until_at > now || l->suspended_until_at)
		return false;
	if (!window_is_fresh(&l->window) && now - l->unused_since_at < KEPT_MS)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(l->spared); i++)
		if (l->spared[i].until_at > now)
			return false;
	for (size_t i = 0; i < l->rate_count; i++)
		if (bucket_used(&l->rates[i].bucket, now))
			return false;
	return true;
}

void limits_sweep(struct schedule *s)
{
	for (LIST_EACH_SAFE(it, &s->limits_all)) {
		struct limit *l = LIST_ITEM(it, struct limit, all);

		if (is_worth_nothing(l, io_now_at(s->io)))
			limit_free(l);
		else if (l->users)
			limit_feed_hungry(l);
	}
}

void limits_init(struct schedule *s)
{
	map_init(&s->limits, false, random_u64(&s->random));
	list_init(&s->limits_all);
}

void limits_fini(struct schedule *s)
{
	for (LIST_EACH_SAFE(it, &s->limits_all))
		limit_free(LIST_ITEM(it, struct limit, all));
	map_fini(&s->limits);
}

/* ---------------------------------------------------------------- which limits a share has */

static void hold(struct share *h, struct limit *l)
{
	if (!l)
		return; /* no memory: what cannot be counted is not held back */
	l->users++;
	l->connections += h->connection_count;
	l->leaving += h->leaving_count;
	h->limits[h->limit_count++] = l;
}

static void let_go(struct share *h, struct limit *l)
{
	l->users--;
	l->connections -= h->connection_count;
	l->leaving -= h->leaving_count;
	l->unused_since_at = io_now_at(l->schedule->io);
	if (!l->users)
		l->pace = NULL;
	else
		limit_feed_hungry(l);
}

static void resolve_account(struct share *h)
{
	struct schedule *s = h->destination->schedule;
	struct text key = h->destination->by_key.key;

	hold(h, limit_get(s, LIMIT_ACCOUNT, key, text_of(h->user, h->user_len), route_pace(s->config, key)));
}

/* What `limits` says of a domain by its name counts, and what it says of its mail hosts as well. */
static void resolve_domain(struct share *h)
{
	struct destination *d = h->destination;
	struct schedule *s = d->schedule;
	struct text domain = d->by_key.key;
	const struct config_limit *own = provider_by_domain(s->config, domain),
				  *hosts = provider_by_hosts(s->config, d->mx, d->mx_count);
	AUTO(buf_fini) struct buf name = BUF(1500);

	if (own && own->match_mx.count)
		hold(h, limit_get(s, LIMIT_PROVIDER, own->domain.text, TEXT_EMPTY, &own->pace));
	else if (own || !hosts)
		hold(h, limit_get(s, LIMIT_DOMAIN, domain, TEXT_EMPTY, route_pace(s->config, domain)));
	if (hosts && hosts != own)
		hold(h, limit_get(s, LIMIT_PROVIDER, hosts->domain.text, TEXT_EMPTY, &hosts->pace));
	if (hosts || d->mx_count == 0 || (own && own->match_mx.count))
		return;
	provider_add_name(&name, d->mx, d->mx_count);
	if (!buf_err(&name))
		hold(h, limit_get(s, LIMIT_HOSTS, buf_text(&name), TEXT_EMPTY, &s->config->limits.any.pace));
}

void share_resolve(struct share *h)
{
	struct limit *old[LIMITS_PER_SHARE];
	unsigned old_count = h->limit_count;

	memcpy(old, h->limits, sizeof(old));
	line_leave(h);
	list_remove(&h->hungry_link);
	h->limit_count = 0;
	if (text_starts(h->destination->by_key.key, TEXT("upstream:")))
		resolve_account(h);
	else
		resolve_domain(h);
	/* behind that: what is in both is never without a user */
	for (unsigned i = 0; i < old_count; i++)
		let_go(h, old[i]);
	destination_pump_later(h->destination);
}

static struct text user_of(const struct config_way *way)
{
	return way->login ? way->login->shown_name : TEXT_EMPTY;
}

struct share *share_get(struct destination *d, const struct config_way *way)
{
	struct text user = user_of(way);
	struct share *h;

	for (LIST_EACH(it, &d->shares)) {
		h = LIST_ITEM(it, struct share, link);
		if (text_eq(text_of(h->user, h->user_len), user))
			return h;
	}
	h = calloc(1, sizeof(*h));
	if (!h || !(h->user = text_dup(user))) {
		free(h);
		return NULL;
	}
	h->user_len = user.len;
	h->destination = d;
	list_init(&h->line_link);
	list_init(&h->hungry_link);
	list_append(&d->shares, &h->link);
	share_resolve(h);
	return h;
}

void share_free(struct share *h)
{
	line_leave(h);
	list_remove(&h->hungry_link);
	for (unsigned i = 0; i < h->limit_count; i++)
		let_go(h, h->limits[i]);
	list_remove(&h->link);
	free(h->user);
	free(h);
}

void limits_configure(struct schedule *s)
{
	for (LIST_EACH(it, &s->all)) {
		struct destination *d = LIST_ITEM(it, struct destination, all);

		for (LIST_EACH(at, &d->shares))
			share_resolve(LIST_ITEM(at, struct share, link));
	}
}

void limit_pump_all(struct limit *l)
{
	for (LIST_EACH(it, &l->schedule->all)) {
		struct destination *d = LIST_ITEM(it, struct destination, all);

		for (LIST_EACH(at, &d->shares)) {
			const struct share *h = LIST_ITEM(at, const struct share, link);

			for (unsigned i = 0; i < h->limit_count; i++)
				if (h->limits[i] == l)
					destination_pump_later(d);
		}
	}
}

/* ---------------------------------------------------------------- for people */

static void add_rate(struct buf *out, const struct limit_rate *rate)
{
	buf_add_u64(out, rate->bucket.most);
	buf_add_string(out, rate->unit == offsetof(struct limit_cost, messages)     ? " messages"
	                    : rate->unit == offsetof(struct limit_cost, recipients) ? " recipients"
	                                                                            : " octets");
	buf_add_string(out, " in ");
	time_add_duration(out, rate->bucket.window_ms);
}

/* The rate that lets it wait longest. */
static const struct limit_rate *binding_rate(struct share *h, int64_t now, int64_t *at)
{
	const struct limit_rate *binding = NULL;

	*at = now;
	for (size_t i = 0; i < h->line->rate_count; i++) {
		struct limit_rate *rate = &h->line->rates[i];
		uint64_t cost = *(uint64_t *)(void *)((char *)&h->wants + rate->unit);
		int64_t when =
			bucket_allows_at(&rate->bucket, MAX(cost, UINT64_C(1)), limit_is_slow(h->line), now);

		if (when > *at || !binding) {
			binding = rate;
			*at = when;
		}
	}
	return binding;
}

static void add_cause(struct buf *out, const struct limit_cause *cause)
{
	buf_add_string(out, " by ");
	buf_add_string(out, cause->rule ? cause->rule : "a rule");
	if (cause->reply)
		buf_add_format(out, " on \"%s\"", cause->reply);
}

static bool is_suspended_by(const struct share *h, struct buf *out, int64_t *until_at)
{
	for (unsigned i = 0; i < h->limit_count; i++) {
		const struct limit *l = h->limits[i];

		if (!l->suspended_until_at)
			continue;
		limit_add_name(l, out);
		buf_add_string(out, " is suspended");
		add_cause(out, &l->suspend_cause);
		*until_at = l->suspended_until_at;
		return true;
	}
	return false;
}

static bool is_full(const struct share *h, struct buf *out, int64_t *until_at)
{
	for (unsigned i = 0; i < h->limit_count; i++) {
		const struct limit *l = h->limits[i];

		if (l->connections < limit_window(l) || list_is_empty(&h->hungry_link))
			continue;
		limit_add_name(l, out);
		buf_add_format(out, " has %u of %u connections", l->connections, limit_window(l));
		if (limit_is_slow(l)) {
			buf_add_string(out, ", slowed");
			add_cause(out, &l->slow_cause);
			*until_at = l->slow_until_at;
		}
		return true;
	}
	return false;
}

/* One of its connections stands in line for an address. */
static bool is_in_line(const struct share *h, struct buf *out)
{
	struct ip ip;
	unsigned count;

	for (LIST_EACH(it, &h->destination->connections)) {
		const struct connection *c = LIST_ITEM(it, const struct connection, link);

		if (c->share != h || !deliver_waits(c->wire, &ip, &count))
			continue;
		ip_add(out, ip);
		buf_add_format(out, " has %u connection%s, as many as connections_per_address allows", count,
		               count == 1 ? "" : "s");
		return true;
	}
	return false;
}

bool share_binding(struct share *h, struct buf *out, int64_t *until_at)
{
	const struct limit_rate *rate;

	*until_at = 0;
	if (is_suspended_by(h, out, until_at))
		return true;
	if (!h->line)
		return is_full(h, out, until_at) || is_in_line(h, out);
	rate = binding_rate(h, io_now_at(h->destination->schedule->io), until_at);
	limit_add_name(h->line, out);
	buf_add_string(out, " may have ");
	if (rate)
		add_rate(out, rate);
	if (limit_is_slow(h->line)) {
		buf_add_string(out, ", halved");
		add_cause(out, &h->line->slow_cause);
	}
	return true;
}
