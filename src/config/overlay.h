/* Settings from variables and arguments, laid over what the files say. */
#ifndef CONFIG_OVERLAY_PRIVATE_H
#define CONFIG_OVERLAY_PRIVATE_H

#include "schema.h"

#define STEPS_MAX 16

/* The way to a setting, apart: "listen", "apps", "address". */
struct steps {
	struct text at[STEPS_MAX];
	size_t count;
	bool loose; /* from a variable: any case, _ for - and . in names of the user's */
};

/* Puts value (its octets at value_spot) at the way into root, making what is not there. An error is added when there
 * is no such setting; name_spot is where the way is written. */
void overlay_set(struct load *load, struct node *root, const struct steps *steps, struct spot name_spot,
                 struct text value, struct spot value_spot);

void overlay_environment(struct load *load, struct node *root);
void overlay_arguments(struct load *load, struct node *root);

/* The variables of this version and of later ones: name without POSTRIDER_, what it sets ("upstreams.default.tls"),
 * key NULL for the ones that are more than one key. */
struct variable {
	const char *name;
	const char *what;
	const char *doc;
	const struct key *key;
	bool built;
};
typedef void variable_visit_fn(void *owner, const struct variable *variable);
void variables_visit(variable_visit_fn *visit, void *owner);
/* The names of other images, and the variable of ours that each is taken as. */
typedef void foreign_visit_fn(void *owner, const char *name, const char *ours);
void foreign_visit(foreign_visit_fn *visit, void *owner);

#endif
