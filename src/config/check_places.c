#include "check_places.h"

#include <postrider/base/auto.h>

const struct origin *check_good_origin(const struct origin *origin)
{
	return origin && !origin->bad ? origin : NULL;
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
