#include "check.h"

#include <postrider/base/auto.h>

#include "bind.h"
#include "suggest.h"

static const struct {
	struct text name;
	enum config_via via;
} ways[] = { { LIT("direct"), CONFIG_VIA_DIRECT },
	     { LIT("discard"), CONFIG_VIA_DISCARD },
	     { LIT("hold"), CONFIG_VIA_HOLD },
	     { LIT("reject"), CONFIG_VIA_REJECT } };

static void complete_hostname(struct load *load)
{
	struct config *config = &load->snapshot->config;
	struct text machine = load->sources->machine_name;

	if (config->hostname.len)
		return;
	if (!domain_is_valid(machine))
		machine = TEXT("localhost.localdomain");
	char *lower = load_keep(load, machine.len + 1);

	if (!lower)
		return;
	for (size_t i = 0; i < machine.len; i++)
		lower[i] = ascii_lower(machine.at[i]);
	config->hostname = text_of(lower, machine.len);
}

/* A mailbox without a domain is at this machine. */
static void complete_mailbox(struct load *load, struct text *mailbox)
{
	AUTO(buf_fini) struct buf whole = BUF(1000);

	if (text_find_octet(*mailbox, '@') < mailbox->len || !mailbox->len)
		return;
	buf_add_format(&whole, "%.*s@%.*s", TEXT_ARGS(*mailbox), TEXT_ARGS(load->snapshot->config.hostname));
	load->nomem |= buf_err(&whole) != ERR_OK;
	*mailbox = load_keep_text(load, buf_text(&whole));
}

static void complete_mailboxes(struct load *load)
{
	struct config *config = &load->snapshot->config;

	complete_mailbox(load, &config->bounce.from);
	for (size_t i = 0; i < config->bounce.copy_to.count; i++)
		complete_mailbox(load, (struct text *)&config->bounce.copy_to.items[i]);
	complete_mailbox(load, &config->tls_reports.from);
	if (config->tls_reports.organization.len == 0)
		config->tls_reports.organization = config->hostname;
}

/* `through_or_store` has somewhere to go when it takes too long, `through` has not. */
#define THROUGH_OR_STORE_MS (2 * SECOND_MS)
#define THROUGH_MS (4 * MINUTE_MS)

static void complete_listeners(struct load *load)
{
	struct config_listeners *listen = &load->snapshot->config.listen;
	bool is_taken = false;

	for (size_t i = 0; i < listen->count; i++)
		is_taken |= text_eq(listen->items[i].name, TEXT("default"));
	for (size_t i = 0; i < listen->count; i++) {
		struct config_listener *listener = (struct config_listener *)&listen->items[i];

		if (listener->name.len == 0)
			listener->name = i == 0 && !is_taken ? TEXT("default") : listener->address.text;
		if (!listener->has_hand_over_timeout)
			listener->hand_over_timeout_ms =
				listener->hand_over == CONFIG_THROUGH ? THROUGH_MS : THROUGH_OR_STORE_MS;
	}
}

static void complete_drop(struct load *load)
{
	struct config *config = &load->snapshot->config;
	AUTO(buf_fini) struct buf path = BUF(8192);

	if (config->drop.path.len)
		return;
	buf_add(&path, config->spool.path);
	buf_add_string(&path, "/drop");
	load->nomem |= buf_err(&path) != ERR_OK;
	config->drop.path = load_keep_text(load, buf_text(&path));
}

static void refuse_via(struct load *load, const struct config_route *route, size_t number)
{
	const struct config *config = &load->snapshot->config;
	const struct origin *origin = origin_find_format(load->snapshot, "routes[%zu].via", number);
	struct suggestion nearest = suggestion_for(route->via_name);
	AUTO(buf_fini) struct buf expected = BUF(1000);

	/* what we made ourselves goes wrong only after another error */
	if (!origin || load->incomplete || origin->spot.source->kind == SOURCE_DEFAULT)
		return;
	struct config_finding *f = load_error(
		load, &origin->spot, "this route goes via \"%.*s\", but there is no upstream \"%.*s\"",
		SHOWN(route->via_name), SHOWN(route->via_name));

	buf_add_string(&expected, "one of ");
	for (size_t i = 0; i < config->upstreams.count && i < 20; i++) {
		if (config->upstreams.items[i].name.len == 0)
			continue; /* it has an error of its own */
		buf_add_format(&expected, "%.*s, ", TEXT_ARGS(config->upstreams.items[i].name));
		suggestion_try(&nearest, config->upstreams.items[i].name);
	}
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		buf_add_format(&expected, "%s%.*s", i ? ", " : "", TEXT_ARGS(ways[i].name));
		suggestion_try(&nearest, ways[i].name);
	}
	load_expected(load, f, "%.*s", TEXT_ARGS(buf_text(&expected)));
	if (nearest.best.len == 0)
		return;
	load_hint(load, f, "did you mean \"%.*s\"?", TEXT_ARGS(nearest.best));
	origin = origin_find_format(load->snapshot, "upstreams.%.*s", TEXT_ARGS(nearest.best));
	if (origin)
		load_see(load, f, &origin->spot);
}

static void complete_routes(struct load *load)
{
	const struct config *config = &load->snapshot->config;

	for (size_t i = 0; i < config->routes.count; i++) {
		struct config_route *route = (struct config_route *)&config->routes.items[i];
		bool found = route->via_name.len == 0;

		for (size_t w = 0; w < ARRAY_LEN(ways) && !found; w++) {
			found = text_eq(route->via_name, ways[w].name);
			route->via = ways[w].via;
		}
		for (size_t u = 0; u < config->upstreams.count && !found; u++) {
			found = text_eq(route->via_name, config->upstreams.items[u].name);
			route->via = CONFIG_VIA_UPSTREAM;
			route->upstream = found ? &config->upstreams.items[u] : NULL;
		}
		if (!found)
			refuse_via(load, route, i);
	}
}

void complete(struct load *load)
{
	struct config *config = &load->snapshot->config;

	complete_hostname(load);
	complete_mailboxes(load);
	complete_listeners(load);
	complete_upstreams(load);
	complete_direct(load);
	complete_routes(load);
	complete_ways(load);
	complete_fields(load);
	complete_rules(load);
	complete_drop(load);
	load->nomem |=
		route_index_make(&load->snapshot->arena, &config->routes, &load->snapshot->indexes) != ERR_OK;
	/* in this order nothing overflows: max_size is at most 2^46 */
	config->spool.reserve_bytes = config->spool.max_size_bytes / 10000 * config->spool.reserve_hundredths;
}
