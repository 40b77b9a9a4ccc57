#include "report_txt.h"

#include <postrider/base/auto.h>
#include <postrider/base/url.h>
#include <postrider/smtp/path.h>

#include "sts_parse.h"

#define URI_MAX 2048
#define HTTPS_PORT 443 /* no stranger has us knock at another door */

static int hex_value(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3986 section 2.1. ERR_SYNTAX: a % without two digits. */
static enum err decode(struct text t, struct arena *arena, struct text *out)
{
	char *octets = arena_alloc(arena, t.len + 1);
	size_t len = 0;

	if (!octets)
		return ERR_NOMEM;
	for (size_t i = 0; i < t.len; i++) {
		int high, low;

		if (t.at[i] != '%') {
			octets[len++] = t.at[i];
			continue;
		}
		high = i + 2 < t.len ? hex_value(t.at[i + 1]) : -1;
		low = i + 2 < t.len ? hex_value(t.at[i + 2]) : -1;
		if (high < 0 || low < 0)
			return ERR_SYNTAX;
		octets[len++] = (char)(high << 4 | low);
		i += 2;
	}
	*out = text_of(octets, len);
	return ERR_OK;
}

/* mailto: (RFC 6068) with one address; header fields behind a "?" are not for us to take from strangers. */
static enum err read_mailto(struct text uri, struct arena *arena, struct report_place *out)
{
	struct text address = text_head(uri, text_find_octet(uri, '?'));
	struct smtp_path path;
	enum err err = decode(address, arena, &out->to);

	out->is_mail = true;
	return err ? err : smtp_mailbox_parse(out->to, &path);
}

static enum err read_https(struct text uri, struct arena *arena, struct report_place *out)
{
	struct url url;
	enum err err = url_parse(uri, &url, NULL);

	out->is_mail = false;
	if (!err && url.port != HTTPS_PORT)
		return ERR_UNSUPPORTED;
	return err ? err : arena_text(arena, uri, &out->to);
}

static enum err read_uri(struct text uri, struct arena *arena, struct report_place *out)
{
	if (uri.len > URI_MAX)
		return ERR_SYNTAX;
	if (text_starts_nocase(uri, TEXT("mailto:")))
		return read_mailto(text_skip(uri, 7), arena, out);
	if (text_starts_nocase(uri, TEXT("https:")))
		return read_https(uri, arena, out);
	return ERR_UNSUPPORTED;
}

static bool is_known(const struct report_places *places, struct text to)
{
	for (size_t i = 0; i < places->count; i++)
		if (text_eq(places->items[i].to, to))
			return true;
	return false;
}

/* rua: URIs with commas between. One that is of no use does not spoil the others. */
static enum err read_rua(struct text value, struct arena *arena, struct report_places *out)
{
	while (value.len && out->count < REPORT_PLACES_MAX) {
		struct report_place place;
		enum err err = read_uri(text_trim(text_cut(&value, ',')), arena, &place);

		if (err == ERR_NOMEM)
			return err;
		if (!err && !is_known(out, place.to))
			out->items[out->count++] = place;
	}
	return ERR_OK;
}

/* A field of a kind that we do not know is passed over; of two rua the first counts. */
static enum err parse_record(struct text rest, struct arena *arena, struct report_places *out)
{
	struct text key, value, rua = TEXT_EMPTY;
	enum err err = ERR_OK;

	while (sts_next_field(&rest, &key, &value, &err))
		if (text_eq(key, TEXT("rua")) && rua.len == 0)
			rua = value;
	return err ? ERR_NOT_FOUND : read_rua(rua, arena, out);
}

enum err report_txt_parse(const struct text *records, size_t count, struct arena *arena,
                          struct report_places *out)
{
	struct text rest, one = TEXT_EMPTY;
	size_t found = 0;
	enum err err;

	out->count = 0;
	for (size_t i = 0; i < count; i++)
		if (sts_has_version(records[i], TEXT("v=TLSRPTv1"), &rest)) {
			one = rest;
			found++;
		}
	if (found != 1)
		return ERR_NOT_FOUND;
	err = parse_record(one, arena, out);
	return err || out->count ? err : ERR_NOT_FOUND;
}
