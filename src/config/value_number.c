/* Truth, numbers, words of an enum, and numbers with a unit. */
#include <postrider/base/auto.h>

#include "suggest.h"
#include "value.h"

/* ---------------------------------------------------------------- truth, numbers, words */

static bool parse_bool(struct parsing *p, struct text t, void *place)
{
	static const struct {
		struct text word;
		bool value;
	} words[] = { { LIT("true"), true }, { LIT("false"), false }, { LIT("yes"), true },
		      { LIT("no"), false },  { LIT("on"), true },     { LIT("off"), false } };

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (text_eq_nocase(t, words[i].word)) {
			*(bool *)place = words[i].value;
			return true;
		}
	}
	value_refuse(p, t);
	return false;
}

static void print_bool(const struct key *key, const void *place, struct buf *out)
{
	(void)key;
	buf_add_string(out, *(const bool *)place ? "true" : "false");
}

const struct type type_bool = { .name = "true or false",
	                        .size = sizeof(bool),
	                        .expected = "true or false",
	                        .parse = parse_bool,
	                        .print = print_bool,
	                        .json = "\"type\": \"boolean\"" };

static bool parse_number(struct parsing *p, struct text t, void *place)
{
	uint64_t value;
	enum err err = text_to_u64(t, UINT64_MAX, &value);

	if (err == ERR_SYNTAX) {
		value_refuse(p, t);
		return false;
	}
	if (err || value < p->key->min || value > p->key->max)
		return value_refuse_range(p, t);
	*(uint64_t *)place = value;
	return true;
}

static void print_number(const struct key *key, const void *place, struct buf *out)
{
	(void)key;
	buf_add_u64(out, *(const uint64_t *)place);
}

const struct type type_number = { .name = "number",
	                          .size = sizeof(uint64_t),
	                          .expected = "a whole number",
	                          .parse = parse_number,
	                          .print = print_number };

static bool parse_port(struct parsing *p, struct text t, void *place)
{
	uint64_t value = 0;

	if (!parse_number(p, t, &value))
		return false;
	*(uint16_t *)place = (uint16_t)value;
	return true;
}

static void print_port(const struct key *key, const void *place, struct buf *out)
{
	/* the limits in the table are wider than the value */
	bool limit = key && (place == &key->min || place == &key->max);

	buf_add_u64(out, limit ? *(const uint64_t *)place : *(const uint16_t *)place);
}

const struct type type_port = { .name = "port",
	                        .size = sizeof(uint16_t),
	                        .expected = "a port number",
	                        .parse = parse_port,
	                        .print = print_port };

static bool parse_choice(struct parsing *p, struct text t, void *place)
{
	struct suggestion nearest = suggestion_for(t);

	for (const struct choice *c = p->key->choices; c->name; c++) {
		if (!text_eq(t, text_from(c->name))) {
			suggestion_try(&nearest, text_from(c->name));
			continue;
		}
		if (!c->not_built) {
			*(unsigned *)place = c->value;
			return true;
		}
		AUTO(buf_fini) struct buf expected = BUF(1000);

		value_expected(p->key, &expected);
		load_expected(p->load,
		              load_error(p->load, &p->spot, "%s: %s is not built yet in this version",
		                         p->key->name, c->name),
		              "%.*s", TEXT_ARGS(buf_text(&expected)));
		return false;
	}
	struct config_finding *f = value_refuse(p, t);

	if (nearest.best.len)
		load_hint(p->load, f, "did you mean \"%.*s\"?", TEXT_ARGS(nearest.best));
	return false;
}

static void print_choice(const struct key *key, const void *place, struct buf *out)
{
	for (const struct choice *c = key->choices; c->name; c++)
		if (c->value == *(const unsigned *)place) {
			buf_add_string(out, c->name);
			return;
		}
}

const struct type type_choice = { .name = "word",
	                          .size = sizeof(unsigned),
	                          .expected = "a word",
	                          .parse = parse_choice,
	                          .print = print_choice };

/* ---------------------------------------------------------------- numbers with a unit */

struct unit {
	struct text name;
	uint64_t factor;
};

static const struct unit time_units[] = { { LIT("d"), (uint64_t)DAY_MS },
	                                  { LIT("h"), (uint64_t)HOUR_MS },
	                                  { LIT("m"), (uint64_t)MINUTE_MS },
	                                  { LIT("s"), (uint64_t)SECOND_MS },
	                                  { LIT("ms"), 1 } };

static const struct unit size_units[] = { { LIT("TB"), UINT64_C(1000000000000) },
	                                  { LIT("TiB"), UINT64_C(1) << 40 },
	                                  { LIT("GB"), UINT64_C(1000000000) },
	                                  { LIT("GiB"), UINT64_C(1) << 30 },
	                                  { LIT("MB"), UINT64_C(1000000) },
	                                  { LIT("MiB"), UINT64_C(1) << 20 },
	                                  { LIT("KB"), UINT64_C(1000) },
	                                  { LIT("KiB"), UINT64_C(1) << 10 },
	                                  { LIT("B"), 1 } };

/* Digits and a unit. usual: the unit that a bare number probably meant. */
static bool parse_with_unit(struct parsing *p, struct text t, const struct unit *units, size_t unit_count,
                            const char *usual, uint64_t *out)
{
	size_t digits = value_count_digits(t);
	struct text unit = text_skip(t, digits);
	uint64_t number = 0, factor = 0;

	if (digits > 0 && unit.len == 0) {
		struct config_finding *f =
			load_error(p->load, &p->spot, "%s needs a unit: \"%.*s\"", p->key->name, SHOWN(t));
		AUTO(buf_fini) struct buf expected = BUF(1000);

		value_expected(p->key, &expected);
		load_expected(p->load, f, "%.*s", TEXT_ARGS(buf_text(&expected)));
		load_hint(p->load, f, "did you mean \"%.*s%s\"?", SHOWN(t), usual);
		return false;
	}
	for (size_t i = 0; i < unit_count; i++)
		if (text_eq_nocase(unit, units[i].name))
			factor = units[i].factor;
	if (digits == 0 || factor == 0) {
		value_refuse(p, t);
		return false;
	}
	uint64_t max = MIN(p->key->max, (uint64_t)CONFIG_NEVER);

	if (text_to_u64(text_head(t, digits), UINT64_MAX, &number) || number > max / factor ||
	    number * factor < p->key->min)
		return value_refuse_range(p, t);
	*out = number * factor;
	return true;
}

static void print_with_unit(uint64_t value, const struct unit *units, size_t unit_count, const char *zero,
                            struct buf *out)
{
	if (value == 0) {
		buf_add_string(out, zero);
		return;
	}
	for (size_t i = 0; i < unit_count; i++) {
		if (value % units[i].factor == 0) {
			buf_add_u64(out, value / units[i].factor);
			buf_add(out, units[i].name);
			return;
		}
	}
}

static bool parse_duration(struct parsing *p, struct text t, void *place)
{
	uint64_t value;

	if (p->key->flags & KEY_NEVER && text_eq(t, TEXT("never"))) {
		*(int64_t *)place = CONFIG_NEVER;
		return true;
	}
	if (!parse_with_unit(p, t, time_units, ARRAY_LEN(time_units), "s", &value))
		return false;
	*(int64_t *)place = (int64_t)value;
	return true;
}

static void print_duration(const struct key *key, const void *place, struct buf *out)
{
	int64_t value = *(const int64_t *)place;

	(void)key;
	if (value >= CONFIG_NEVER)
		buf_add_string(out, "never");
	else
		print_with_unit((uint64_t)value, time_units, ARRAY_LEN(time_units), "0s", out);
}

const struct type type_duration = {
	.name = "duration",
	.size = sizeof(int64_t),
	.expected = "a duration such as 30s, 5m, 4h or 5d",
	.parse = parse_duration,
	.print = print_duration,
	.json = "\"type\": \"string\", \"pattern\": \"^([0-9]+(ms|s|m|h|d)|never)$\""
};

static bool parse_size(struct parsing *p, struct text t, void *place)
{
	return parse_with_unit(p, t, size_units, ARRAY_LEN(size_units), "MB", place);
}

static void print_size(const struct key *key, const void *place, struct buf *out)
{
	(void)key;
	print_with_unit(*(const uint64_t *)place, size_units, ARRAY_LEN(size_units), "0B", out);
}

const struct type type_size = {
	.name = "size",
	.size = sizeof(uint64_t),
	.expected = "a size such as 512B, 64KiB, 25MB or 2GB",
	.parse = parse_size,
	.print = print_size,
	.json = "\"type\": \"string\", \"pattern\": \"^[0-9]+([KkMmGgTt][Ii]?)?[Bb]$\""
};

/* A bound that may be missing: 0 is none, and shown as nothing. */
static void print_bound(const struct key *key, const void *place, struct buf *out)
{
	if (*(const uint64_t *)place)
		print_size(key, place, out);
}

const struct type type_bound = {
	.name = "size",
	.size = sizeof(uint64_t),
	.expected = "a size such as 512B, 64KiB, 25MB or 2GB",
	.parse = parse_size,
	.print = print_bound,
	.json = "\"type\": \"string\", \"pattern\": \"^[0-9]+([KkMmGgTt][Ii]?)?[Bb]$\""
};

/* "5%", "0.25%": hundredths of a percent. */
static bool parse_share(struct parsing *p, struct text t, void *place)
{
	struct text rest = t;
	struct text number = text_cut(&rest, '%');
	uint64_t whole, part = 0;

	if (number.len == t.len && value_count_digits(t) == t.len && t.len > 0) {
		load_hint(p->load, value_refuse(p, t), "did you mean \"%.*s%%\"?", SHOWN(t));
		return false;
	}
	struct text fraction = number;
	struct text before = text_cut(&fraction, '.');
	bool has_point = before.len < number.len;

	if (number.len + 1 != t.len || text_to_u64(before, 1000000, &whole) ||
	    (has_point && (fraction.len > 2 || text_to_u64(fraction, 99, &part)))) {
		value_refuse(p, t);
		return false;
	}
	uint64_t value = whole * 100 + (fraction.len == 1 ? part * 10 : part);

	if (value < p->key->min || value > p->key->max)
		return value_refuse_range(p, t);
	*(uint64_t *)place = value;
	return true;
}

static void print_share(const struct key *key, const void *place, struct buf *out)
{
	uint64_t value = *(const uint64_t *)place;

	(void)key;
	buf_add_u64(out, value / 100);
	if (value % 100)
		buf_add_format(out, value % 10 ? ".%02u" : ".%u",
		               (unsigned)(value % 10 ? value % 100 : value % 100 / 10));
	buf_add_octet(out, '%');
}

const struct type type_share = { .name = "share",
	                         .size = sizeof(uint64_t),
	                         .expected = "a share such as 5%",
	                         .parse = parse_share,
	                         .print = print_share,
	                         .json = "\"type\": \"string\", \"pattern\": \"^[0-9]+([.][0-9]{1,2})?%$\"" };

/* ---------------------------------------------------------------- rates */

static const struct {
	struct text name;
	int64_t ms;
} windows[] = {
	{ LIT("s"), SECOND_MS }, { LIT("min"), MINUTE_MS }, { LIT("h"), HOUR_MS }, { LIT("d"), DAY_MS }
};

/* The time behind the slash; 0: none of ours. */
static int64_t window_of(struct text unit)
{
	for (size_t i = 0; i < ARRAY_LEN(windows); i++)
		if (text_eq(unit, windows[i].name))
			return windows[i].ms;
	return 0;
}

static void print_window(int64_t ms, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_LEN(windows); i++)
		if (windows[i].ms == ms)
			buf_add_format(out, "/%.*s", TEXT_ARGS(windows[i].name));
}

/* "0": no limit. False: it was refused. */
static bool parse_per(struct parsing *p, struct text t, bool good, struct config_rate rate, void *place)
{
	struct text unit = t, number = text_cut(&unit, '/');

	if (text_eq(t, TEXT("0"))) {
		*(struct config_rate *)place = (struct config_rate){ 0, SECOND_MS };
		return true;
	}
	if (good && rate.count && rate.window_ms) {
		*(struct config_rate *)place = rate;
		return true;
	}
	struct config_finding *f = value_refuse(p, t);

	if (text_eq(unit, TEXT("m")))
		load_hint(p->load, f, "did you mean \"%.*s/min\"?", SHOWN(number));
	return false;
}

/* "600/min": a number and what it is counted over. */
static bool parse_rate(struct parsing *p, struct text t, void *place)
{
	struct config_rate rate = { 0 };
	struct text unit = t, number = text_cut(&unit, '/');
	bool good = text_to_u64(number, UINT32_MAX, &rate.count) == ERR_OK;

	rate.window_ms = window_of(unit);
	return parse_per(p, t, good, rate, place);
}

static void print_rate(const struct key *key, const void *place, struct buf *out)
{
	const struct config_rate *rate = place;

	(void)key;
	buf_add_u64(out, rate->count);
	if (rate->count)
		print_window(rate->window_ms, out);
}

/* "100MB/h" */
static bool parse_byte_rate(struct parsing *p, struct text t, void *place)
{
	struct config_rate rate = { 0 };
	struct text unit = t, size = text_cut(&unit, '/');
	size_t digits = value_count_digits(size);
	bool good = false;

	for (size_t i = 0; i < ARRAY_LEN(size_units) && !good; i++) {
		if (!text_eq_nocase(text_skip(size, digits), size_units[i].name))
			continue;
		good = text_to_u64(text_head(size, digits), (UINT64_C(1) << 46) / size_units[i].factor,
		                   &rate.count) == ERR_OK;
		rate.count *= size_units[i].factor;
	}
	rate.window_ms = window_of(unit);
	return parse_per(p, t, good, rate, place);
}

static void print_byte_rate(const struct key *key, const void *place, struct buf *out)
{
	const struct config_rate *rate = place;

	(void)key;
	print_with_unit(rate->count, size_units, ARRAY_LEN(size_units), "0", out);
	if (rate->count)
		print_window(rate->window_ms, out);
}

const struct type type_byte_rate = {
	.name = "byte rate",
	.size = sizeof(struct config_rate),
	.expected = "octets in a time such as 100MB/h or 5MB/s; 0 for no limit",
	.parse = parse_byte_rate,
	.print = print_byte_rate,
	.json = "\"type\": \"string\", \"pattern\": \"^(0|[0-9]+([KkMmGgTt][Ii]?)?[Bb]/(s|min|h|d))$\""
};

const struct type type_rate = { .name = "rate",
	                        .size = sizeof(struct config_rate),
	                        .expected = "a rate such as 14/s, 600/min, 5000/h or 20000/d; 0 for no limit",
	                        .parse = parse_rate,
	                        .print = print_rate,
	                        .json = "\"type\": \"string\", \"pattern\": \"^(0|[0-9]+/(s|min|h|d))$\"" };
