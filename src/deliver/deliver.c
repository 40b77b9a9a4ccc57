#include "internal.h"

#include <assert.h>

#define HOSTS_REMEMBERED 8192
#define PROBLEM_MAX_BYTES 1024

static size_t own_from_config(const struct config *config, struct ip *out)
{
	size_t count = 0;

	for (size_t i = 0; i < config->listen.count; i++)
		if (config->listen.items[i].address.ip.family != IP_NONE)
			out[count++] = config->listen.items[i].address.ip;
	for (size_t i = 0; i < config->direct.source.count; i++)
		out[count++] = config->direct.source.items[i];
	return count;
}

/* Listeners on all addresses ("0.0.0.0") name none: what they come to is in options.own. */
static enum err gather_own(const struct deliver *d, const struct config *config, struct ip **out,
                           size_t *out_count)
{
	size_t room = config->listen.count + config->direct.source.count + d->own_given_count;
	struct ip *own = calloc(room + 1, sizeof(*own));
	size_t count;

	if (!own)
		return ERR_NOMEM;
	count = own_from_config(config, own);
	for (size_t i = 0; i < d->own_given_count; i++)
		own[count++] = d->own_given[i];
	*out = own;
	*out_count = count;
	return ERR_OK;
}

enum err deliver_configure(struct deliver *d, const struct config *config)
{
	struct tls_choices tls = { 0 };
	struct ip *own = NULL;
	size_t own_count = 0;
	enum err err;

	buf_reset(&d->problem);
	err = gather_own(d, config, &own, &own_count);
	if (!err)
		err = tls_choices_make(&d->o, config, &d->problem, &tls);
	if (err) {
		free(own);
		return err;
	}
	for (LIST_EACH_SAFE(it, &d->connections))
		connection_outdate(connection_of_link(it));
	tls_choices_fini(&d->tls);
	d->tls = tls;
	free(d->own);
	d->own = own;
	d->own_ips = (struct config_ips){ own, own_count };
	config_ref(config);
	config_unref(&d->config);
	d->config = config;
	return ERR_OK;
}

void deliver_forgive_logins(struct deliver *d)
{
	logins_forgive(&d->logins, io_now_at(d->o.io));
}

struct text deliver_problem(const struct deliver *d)
{
	return buf_text(&d->problem);
}

static enum err copy_own(struct deliver *d, const struct deliver_options *options)
{
	d->own_given = calloc(options->own_count + 1, sizeof(*d->own_given));
	if (!d->own_given)
		return ERR_NOMEM;
	if (options->own_count)
		memcpy(d->own_given, options->own, options->own_count * sizeof(*d->own_given));
	d->own_given_count = options->own_count;
	return ERR_OK;
}

enum err deliver_new(const struct deliver_options *options, struct deliver **out)
{
	AUTO(deliver_free) struct deliver *d = calloc(1, sizeof(*d));
	enum err err;

	if (!d)
		return ERR_NOMEM;
	d->o = *options;
	list_init(&d->connections);
	hosts_init(&d->hosts, HOSTS_REMEMBERED, options->seed);
	addresses_init(&d->addresses, options->seed);
	logins_init(&d->logins, options->seed);
	random_init(&d->random, options->seed);
	buf_init(&d->problem, PROBLEM_MAX_BYTES);
	d->counters = options->observe ? observe_counters(options->observe) : NULL;
	err = copy_own(d, options);
	if (!err)
		err = deliver_configure(d, options->config);
	if (err && options->problem)
		buf_add(options->problem, buf_text(&d->problem));
	d->o.own = NULL;
	d->o.problem = NULL;
	if (err)
		return err;
	*out = TAKE(d);
	return ERR_OK;
}

void deliver_free(struct deliver **d)
{
	struct deliver *it = *d;

	if (!it)
		return;
	assert(list_is_empty(&it->connections));
	tls_choices_fini(&it->tls);
	hosts_fini(&it->hosts);
	addresses_fini(&it->addresses);
	logins_fini(&it->logins);
	buf_fini(&it->problem);
	free(it->own);
	free(it->own_given);
	config_unref(&it->config);
	free(it);
	*d = NULL;
}
