/* Where the values that checks speak of were written, and the checks that have a file of their own. */
#ifndef CONFIG_CHECK_PLACES_PRIVATE_H
#define CONFIG_CHECK_PLACES_PRIVATE_H

#include "bind.h"

/* The origin of a path that was bound without errors; NULL otherwise, or when it is the default. */
#define WRITTEN(load, ...) check_good_origin(origin_find_format((load)->snapshot, __VA_ARGS__))

const struct origin *check_good_origin(const struct origin *origin);
/* The spot of a path, or of the item it would stand in. */
const struct spot *check_spot(const struct load *load, const char *item, const char *key);

struct item_path {
	char at[64];
};

struct item_path check_item_path(const char *list, size_t number); /* "listen[0]" */

bool check_is_unspecified(struct ip ip); /* 0.0.0.0, :: */

/* Whether whatever is in narrow is in wide; an empty wide list is everything. */
bool check_covers_texts(const struct config_texts *wide, const struct config_texts *narrow);
/* The same for addresses; budget is what comparisons are left, and with none left nothing is covered. */
bool check_covers_patterns(const struct config_patterns *wide, const struct config_patterns *narrow,
                           size_t *budget);

/* Whether TLS is required there, by the upstream or by a route: without that no certificate is looked at. check_out.c */
bool check_requires_tls(const struct config *config, const struct config_upstream *upstream);

void check_listeners(struct load *load); /* check_listen.c */
void check_out(struct load *load);       /* check_out.c */
void check_pace(struct load *load);      /* check_pace.c */

#endif
