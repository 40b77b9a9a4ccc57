#include "check_places.h"

#include <postrider/base/auto.h>

const struct origin *check_good_origin(const struct origin *origin)
{
	return origin && !origin->bad && !origin->inherited ? origin : NULL;
}

const struct spot *check_spot(const struct load *load, const char *item, const char *key)
{
	const struct origin *origin = origin_find_format(load->snapshot, "%s.%s", item, key);

	if (!origin)
		origin = origin_find(load->snapshot, text_from(item));
	return origin ? &origin->spot : NULL;
}

struct item_path check_item_path(const char *list, size_t number)
{
	struct item_path path = { { 0 } };
	AUTO(buf_fini) struct buf b = BUF(sizeof(path.at) - 1);

	buf_add_format(&b, "%s[%zu]", list, number);
	memcpy(path.at, buf_text(&b).at, b.len);
	return path;
}

bool check_is_unspecified(struct ip ip)
{
	static const struct ip zero;

	return memcmp(ip.bytes, zero.bytes, sizeof(zero.bytes)) == 0;
}

bool check_covers_texts(const struct config_texts *wide, const struct config_texts *narrow)
{
	if (wide->count == 0)
		return true;
	for (size_t n = 0; n < narrow->count; n++) {
		bool covered = false;

		for (size_t w = 0; w < wide->count; w++)
			covered |= text_eq(wide->items[w], narrow->items[n]);
		if (!covered)
			return false;
	}
	return narrow->count > 0;
}

bool check_covers_patterns(const struct config_patterns *wide, const struct config_patterns *narrow,
                           size_t *budget)
{
	if (wide->count == 1 && wide->items[0].kind == CONFIG_PATTERN_ANY)
		return true;
	for (size_t n = 0; n < narrow->count; n++) {
		bool covered = false;

		for (size_t w = 0; w < wide->count && !covered && *budget > 0; w++, --*budget)
			covered = config_pattern_covers(&wide->items[w], &narrow->items[n]);
		if (!covered)
			return false;
	}
	return true;
}
