/* Presets: what is the same for everybody who sends by a provider. Written as a user would write it, so that the schema reads
 * both alike; what the user writes wins, key by key. */
#ifndef CONFIG_PROVIDERS_PRIVATE_H
#define CONFIG_PROVIDERS_PRIVATE_H

#include "load.h"

struct preset {
	const char *key; /* of an upstream; NULL: the end */
	const char *value;
};

struct provider_region {
	const char *name; /* NULL: the end */
	const char *host;
};

#define PRESETS_MAX 8

struct provider {
	const char *name;
	const char *title;
	const char *host;       /* with its port; with any_region `%` stands for the region */
	const char *any_region; /* an example: the region must be written, and is part of the host; or NULL */
	const struct provider_region *regions; /* the first when nothing is written; NULL: there are none */
	const char *username,
		*password;         /* what they are there; username NULL: always the same, and a preset */
	bool username_is_password; /* where no username is written */
	bool open;                 /* some clients are known by their address: a login may be missing */
	struct preset presets[PRESETS_MAX];
};

/* Up to a NULL name. */
const struct provider *providers(void);
const struct provider *provider_find(struct text name); /* NULL: unknown */

/* Adds what the presets say to the upstreams that name a provider. */
void providers_apply(struct load *load, struct node *root);

#endif
