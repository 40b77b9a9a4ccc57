/* One struct policy for the process: who is asked for what. */
#include "internal.h"

#include <stdlib.h>

static enum err sts_begin(struct policy *p, const struct policy_options *o)
{
	struct sts_options options = {
		.io = o->io,
		.dns = o->dns,
		.config = o->config,
		.observe = o->observe,
		.disk = o->disk,
		.directory = o->directory,
		.seed = o->seed,
		.client_context = o->client_context,
		.client_context_owner = o->client_context_owner,
		.reports = p->reports,
	};

	return sts_new(&options, &p->sts);
}

static enum err reports_begin(struct policy *p, const struct policy_options *o)
{
	struct reports_options options = {
		.io = o->io,
		.dns = o->dns,
		.config = o->config,
		.observe = o->observe,
		.queue = o->queue,
		.disk = o->disk,
		.directory = o->directory,
		.seed = o->seed,
		.newest_id_time = o->newest_id_time,
		.client_context = o->client_context,
		.client_context_owner = o->client_context_owner,
	};

	return reports_new(&options, &p->reports);
}

enum err policy_new(const struct policy_options *options, struct policy **out)
{
	AUTO(policy_free) struct policy *p = calloc(1, sizeof(*p));

	if (!p)
		return ERR_NOMEM;
	p->io = options->io;
	p->dns = options->dns;
	list_init(&p->hosts);
	enum err err = reports_begin(p, options);

	if (!err)
		err = sts_begin(p, options);
	if (!err)
		*out = TAKE(p);
	return err;
}

void policy_configure(struct policy *p, const struct config *config)
{
	reports_configure(p->reports, config);
	sts_configure(p->sts, config);
}

void policy_free(struct policy **pointer)
{
	struct policy *p = TAKE(*pointer);

	if (!p)
		return;
	dane_cancel_all(p);
	sts_free(&p->sts);
	reports_free(&p->reports);
	free(p);
}

enum err policy_find_domain(struct policy *p, struct text domain, struct policy_lookup **slot,
                            policy_domain_fn *on_done, void *owner)
{
	return sts_find(p->sts, domain, slot, on_done, owner);
}

void policy_cancel(struct policy_lookup **slot)
{
	struct policy_lookup *l = TAKE(*slot);

	if (l)
		l->cancel(l);
}

void policy_note(struct policy *p, const struct policy_report *report)
{
	report_note(p->reports, report);
}
