/* support/policy_world.h - names, a web site under TLS and a clock for tests of the policy room, in the simulated world. */
#ifndef POSTRIDER_TEST_SUPPORT_POLICY_WORLD_H
#define POSTRIDER_TEST_SUPPORT_POLICY_WORLD_H

#include <postrider/config.h>
#include <postrider/dns.h>
#include <postrider/observe/observe.h>
#include <postrider/sim.h>

#include "support/service_peer.h"

/* Where the web site is. */
#define POLICY_WORLD_SITE "192.0.2.80:443"

struct policy_world {
	struct sim *sim;
	struct io *io;
	struct sim_names *names;
	struct dns *dns;
	const struct config *config;
	struct observe *observe;
	struct observe_consumer consumer;
	struct buf events; /* all lines, with LF */
	unsigned warnings;
	struct sim_tls_script client_tls, server_tls; /* looked at when a context or connection is made */
	struct service_peer site;
	const char *response; /* the whole of it; NULL: silence */
	int64_t delay_ms;     /* before it */
	bool closes;          /* behind it */
	unsigned requests;    /* that were whole */
	struct buf request;   /* the last one */
	struct buf kept;      /* responses made by policy_world_serve */
	struct list answers;
};

/* yaml: besides hostname and listen. */
void policy_world_open(struct policy_world *w, const char *yaml, const char *zone);
void policy_world_close(struct policy_world *w);
void policy_world_configure(struct policy_world *w, const char *yaml); /* w->config is another one then */
/* The site answers 200 with this text/plain. */
void policy_world_serve(struct policy_world *w, const char *policy);
bool policy_world_said(const struct policy_world *w, const char *words);

/* For options: owner is the world. */
enum err policy_world_client_context(void *owner, const struct tls_client_options *o,
                                     struct tls_context **out, struct buf *problem);

#endif
