/* From the octets of a scalar to a value of its type, and back. */
#include <postrider/base/auto.h>

#include "schema.h"
#include "suggest.h"

#define UNIX_PATH_MAX 107
#define NAME_MAX_OCTETS 64

/* ---------------------------------------------------------------- saying no */

void value_expected(const struct key *key, struct buf *out)
{
	const struct type *type = key->type;

	if (key->choices) {
		size_t said = 0, count = 0;

		for (const struct choice *c = key->choices; c->name; c++)
			count += !c->not_built;
		for (const struct choice *c = key->choices; c->name; c++) {
			if (c->not_built)
				continue;
			if (said++)
				buf_add_string(out, said == count ? " or " : ", ");
			buf_add_string(out, c->name);
		}
		return;
	}
	buf_add_string(out, type->expected);
	if (key->max == 0)
		return;
	buf_add_string(out, type == &type_number || type == &type_port ? " from " : ", from ");
	type->print(key, &key->min, out);
	if (key->flags & KEY_NEVER || key->max >= (uint64_t)CONFIG_NEVER) {
		buf_add_string(out, " on");
	} else {
		buf_add_string(out, " to ");
		type->print(key, &key->max, out);
	}
	if (key->flags & KEY_NEVER)
		buf_add_string(out, ", or never");
}

static struct config_finding *refuse(struct parsing *p, struct text t)
{
	AUTO(buf_fini) struct buf expected = BUF(1000);
	struct config_finding *f =
		load_error(p->load, &p->spot, "%s cannot be \"%.*s\"", p->key->name, SHOWN(t));

	value_expected(p->key, &expected);
	load_expected(p->load, f, "%.*s", TEXT_ARGS(buf_text(&expected)));
	return f;
}

static bool refuse_range(struct parsing *p, struct text t)
{
	AUTO(buf_fini) struct buf expected = BUF(1000);

	value_expected(p->key, &expected);
	load_expected(p->load,
	              load_error(p->load, &p->spot, "%s is out of range: \"%.*s\"", p->key->name, SHOWN(t)),
	              "%.*s", TEXT_ARGS(buf_text(&expected)));
	return false;
}

static bool keep(struct parsing *p, struct text t, struct text *place)
{
	*place = load_keep_text(p->load, t);
	return !p->load->nomem;
}

/* ---------------------------------------------------------------- texts */

/* One character of UTF-8 from the front; 0: it is none (RFC 3629: shortest form, no surrogates). */
static uint32_t next_character(struct text *t)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char first = (unsigned char)t->at[0];
	size_t len = first < 0x80   ? 1
	             : first < 0xc0 ? 0
	             : first < 0xe0 ? 2
	             : first < 0xf0 ? 3
	             : first < 0xf8 ? 4
	                            : 0;
	uint32_t c = len == 1 ? first : first & (0xffu >> (len + 1));

	if (len == 0 || len > t->len)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if (((unsigned char)t->at[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | ((unsigned char)t->at[i] & 0x3f);
	}
	*t = text_skip(*t, len);
	return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : c;
}

/* UTF-8 without what controls a terminal or ends a line, so that every value can be shown and written as YAML. */
static bool is_printable(struct text t)
{
	while (t.len > 0) {
		uint32_t c = next_character(&t);

		if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
		    c == 0xfffe || c == 0xffff)
			return false;
	}
	return true;
}

static bool parse_text(struct parsing *p, struct text t, void *place)
{
	if (is_printable(t) && t.len <= 4096 && t.len > 0)
		return keep(p, t, place);
	if (t.len == 0)
		load_error(p->load, &p->spot, "%s is empty", p->key->name);
	else
		load_error(p->load, &p->spot, "%s has octets in it that are no text, or is far too long",
		           p->key->name);
	return false;
}

static void print_text(const struct key *key, const void *place, struct buf *out)
{
	(void)key;
	buf_add(out, *(const struct text *)place);
}

const struct type type_text = { .name = "text",
	                        .size = sizeof(struct text),
	                        .expected = "a text",
	                        .parse = parse_text,
	                        .print = print_text,
	                        .is_text = true,
	                        .json = "\"type\": \"string\", \"minLength\": 1" };
const struct type type_path = { .name = "path",
	                        .size = sizeof(struct text),
	                        .expected = "a path",
	                        .parse = parse_text,
	                        .print = print_text,
	                        .is_text = true,
	                        .json = "\"type\": \"string\", \"minLength\": 1" };
const struct type type_via = { .name = "way",
	                       .size = sizeof(struct text),
	                       .expected = "an upstream, direct, discard, hold or reject",
	                       .parse = parse_text,
	                       .print = print_text,
	                       .is_text = true,
	                       .json = "\"type\": \"string\", \"minLength\": 1" };

static bool keep_lower(struct parsing *p, struct text t, struct text *place)
{
	char *copy = load_keep(p->load, t.len + 1);

	if (!copy)
		return false;
	for (size_t i = 0; i < t.len; i++)
		copy[i] = ascii_lower(t.at[i]);
	*place = text_of(copy, t.len);
	return true;
}

static bool parse_hostname(struct parsing *p, struct text t, void *place)
{
	if (domain_is_valid(t))
		return keep_lower(p, t, place);
	refuse(p, t);
	return false;
}

const struct type type_hostname = { .name = "host name",
	                            .size = sizeof(struct text),
	                            .expected = "a host name such as relay.app.example.com",
	                            .parse = parse_hostname,
	                            .print = print_text,
	                            .is_text = true,
	                            .json = "\"type\": \"string\", \"minLength\": 1, \"maxLength\": 255" };

static bool parse_mailbox(struct parsing *p, struct text t, void *place)
{
	/* postmaster alone is the one of our own host name; it is completed when that is known */
	if (mailbox_is_valid(t) || text_eq_nocase(t, TEXT("postmaster")))
		return keep(p, t, place);
	refuse(p, t);
	return false;
}

const struct type type_mailbox = { .name = "address",
	                           .size = sizeof(struct text),
	                           .expected = "a mail address such as postmaster@example.com, or postmaster",
	                           .parse = parse_mailbox,
	                           .print = print_text,
	                           .is_text = true,
	                           .json = "\"type\": \"string\", \"minLength\": 1" };

static bool parse_header(struct parsing *p, struct text t, void *place)
{
	bool good = t.len > 0 && t.len <= 100;

	for (size_t i = 0; i < t.len; i++)
		good &= t.at[i] > ' ' && t.at[i] < 0x7f && t.at[i] != ':';
	if (good)
		return keep(p, t, place);
	refuse(p, t);
	return false;
}

const struct type type_header = { .name = "header name",
	                          .size = sizeof(struct text),
	                          .expected = "the name of a header field, without its colon",
	                          .parse = parse_header,
	                          .print = print_text,
	                          .is_text = true,
	                          .json = "\"type\": \"string\", \"pattern\": \"^[!-9;-~]+$\"" };

static bool parse_upstream_name(struct parsing *p, struct text t, void *place)
{
	static const struct text reserved[] = { LIT("direct"), LIT("discard"), LIT("hold"), LIT("reject"),
		                                LIT("any") };
	bool good = t.len > 0 && t.len <= NAME_MAX_OCTETS;

	for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
		if (!text_eq_nocase(t, reserved[i]))
			continue;
		load_hint(p->load,
		          load_error(p->load, &p->spot, "an upstream cannot be named \"%.*s\"", SHOWN(t)),
		          "the word has a meaning of its own in routes; take another name");
		return false;
	}
	for (size_t i = 0; i < t.len; i++)
		good &= ascii_is_alnum(t.at[i]) || t.at[i] == '-' || t.at[i] == '_' || t.at[i] == '.';
	if (good)
		return keep(p, t, place);
	load_expected(p->load,
	              load_error(p->load, &p->spot, "an upstream cannot be named \"%.*s\"", SHOWN(t)),
	              "up to %d letters, digits, - _ .", NAME_MAX_OCTETS);
	return false;
}

const struct type type_upstream_name = { .name = "name",
	                                 .size = sizeof(struct text),
	                                 .expected = "a name",
	                                 .parse = parse_upstream_name,
	                                 .print = print_text,
	                                 .is_text = true };

/* ---------------------------------------------------------------- truth, numbers, choices */

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
	refuse(p, t);
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

/* A switch whose other side is not built yet. */
static bool parse_false(struct parsing *p, struct text t, void *place)
{
	if (!parse_bool(p, t, place))
		return false;
	if (!*(const bool *)place)
		return true;
	load_expected(
		p->load,
		load_error(p->load, &p->spot, "%s: true is not built yet in this version", p->key->name),
		"false");
	return false;
}

const struct type type_false = { .name = "false",
	                         .size = sizeof(bool),
	                         .expected = "false",
	                         .parse = parse_false,
	                         .print = print_bool,
	                         .json = "\"const\": false" };

static bool parse_number(struct parsing *p, struct text t, void *place)
{
	uint64_t value;
	enum err err = text_to_u64(t, UINT64_MAX, &value);

	if (err == ERR_SYNTAX) {
		refuse(p, t);
		return false;
	}
	if (err || value < p->key->min || value > p->key->max)
		return refuse_range(p, t);
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
	struct config_finding *f = refuse(p, t);

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

static size_t count_digits(struct text t)
{
	size_t i = 0;

	while (i < t.len && ascii_is_digit(t.at[i]))
		i++;
	return i;
}

/* Digits and a unit. usual: the unit that a bare number probably meant. */
static bool parse_with_unit(struct parsing *p, struct text t, const struct unit *units, size_t unit_count,
                            const char *usual, uint64_t *out)
{
	size_t digits = count_digits(t);
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
		refuse(p, t);
		return false;
	}
	uint64_t max = MIN(p->key->max, (uint64_t)CONFIG_NEVER);

	if (text_to_u64(text_head(t, digits), UINT64_MAX, &number) || number > max / factor ||
	    number * factor < p->key->min)
		return refuse_range(p, t);
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

/* "5%", "0.25%": hundredths of a percent. */
static bool parse_share(struct parsing *p, struct text t, void *place)
{
	struct text rest = t;
	struct text number = text_cut(&rest, '%');
	uint64_t whole, part = 0;

	if (number.len == t.len && count_digits(t) == t.len && t.len > 0) {
		load_hint(p->load, refuse(p, t), "did you mean \"%.*s%%\"?", SHOWN(t));
		return false;
	}
	struct text fraction = number;
	struct text before = text_cut(&fraction, '.');
	bool has_point = before.len < number.len;

	if (number.len + 1 != t.len || text_to_u64(before, 1000000, &whole) ||
	    (has_point && (fraction.len > 2 || text_to_u64(fraction, 99, &part)))) {
		refuse(p, t);
		return false;
	}
	uint64_t value = whole * 100 + (fraction.len == 1 ? part * 10 : part);

	if (value < p->key->min || value > p->key->max)
		return refuse_range(p, t);
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

/* ---------------------------------------------------------------- addresses of hosts */

static void print_endpoint(const struct key *key, const void *place, struct buf *out)
{
	(void)key;
	buf_add(out, ((const struct config_endpoint *)place)->text);
}

/* "name:port", "192.0.2.1:port", "[::1]:port" */
static bool split_endpoint(struct text t, struct config_endpoint *e)
{
	struct ip_port address;
	size_t colon = text_find_last_octet(t, ':');
	uint64_t port;

	*e = (struct config_endpoint){ .text = t };
	if (colon == t.len || text_to_u64(text_skip(t, colon + 1), UINT16_MAX, &port))
		return false;
	e->port = (uint16_t)port;
	e->host = text_head(t, colon);
	if (ip_port_parse(t, &address) == ERR_OK) {
		e->ip = address.ip;
		if (e->host.at[0] == '[')
			e->host = text_of(e->host.at + 1, e->host.len - 2);
		return true;
	}
	return domain_is_valid(e->host) && e->host.at[0] != '[';
}

static bool keep_endpoint(struct parsing *p, struct config_endpoint e, struct config_endpoint *place)
{
	e.text = load_keep_text(p->load, e.text);
	e.host = load_keep_text(p->load, e.host);
	*place = e;
	return !p->load->nomem;
}

/* A name with digits and dots only is an address with a fault. */
static bool looks_like_address(struct text host)
{
	for (size_t i = 0; i < host.len; i++)
		if (!ascii_is_digit(host.at[i]) && host.at[i] != '.')
			return false;
	return true;
}

static bool parse_endpoint(struct parsing *p, struct text t, void *place)
{
	struct config_endpoint e;
	struct ip ip;

	if (split_endpoint(t, &e) && e.port > 0 && (e.ip.family != IP_NONE || !looks_like_address(e.host)))
		return keep_endpoint(p, e, place);
	struct config_finding *f = refuse(p, t);

	if (text_find(t, TEXT("://")) < t.len)
		load_hint(
			p->load, f,
			"a URL works in the variable POSTRIDER_UPSTREAM only; here it is the host and its port");
	else if (text_starts(t, TEXT("unix:")))
		load_hint(p->load, f, "Unix sockets towards an upstream are not built yet");
	else if (text_find_octet(t, '*') < t.len)
		load_hint(p->load, f, "weights are not built yet: the hosts are tried in order");
	else if (ip_parse(t, &ip) == ERR_OK && ip.family == IP_V6)
		load_hint(p->load, f, "did you mean \"[%.*s]:587\"?", SHOWN(t));
	else if (domain_is_valid(t))
		load_hint(p->load, f, "the port is missing; did you mean \"%.*s:587\"?", SHOWN(t));
	return false;
}

const struct type type_endpoint = {
	.name = "host:port",
	.size = sizeof(struct config_endpoint),
	.expected = "a host with its port, such as mx1.example.com:25, 192.0.2.1:25 or \"[2001:db8::1]:25\"",
	.parse = parse_endpoint,
	.print = print_endpoint,
	.is_text = true,
	.json = "\"type\": \"string\", \"pattern\": \"^.+:[0-9]+$\""
};

static bool parse_unix_address(struct parsing *p, struct text t, void *place)
{
	struct config_endpoint e = { .text = t, .host = text_skip(t, 5), .is_unix = true };

	if (e.host.len > 0 && e.host.len <= UNIX_PATH_MAX && is_printable(e.host))
		return keep_endpoint(p, e, place);
	load_expected(p->load,
	              load_error(p->load, &p->spot, "not a path for a Unix socket: \"%.*s\"", SHOWN(t)),
	              "unix: and a path of up to %d octets", UNIX_PATH_MAX);
	return false;
}

static bool parse_listen_address(struct parsing *p, struct text t, void *place)
{
	struct config_endpoint e;

	if (text_starts(t, TEXT("unix:")))
		return parse_unix_address(p, t, place);
	if (text_starts(t, TEXT("fd:"))) {
		load_error(p->load, &p->spot,
		           "listening on an inherited descriptor is not built yet in this version");
		return false;
	}
	if (split_endpoint(t, &e) && e.ip.family != IP_NONE)
		return keep_endpoint(p, e, place);
	struct config_finding *f = refuse(p, t);

	if (t.len && (t.at[0] == ':' || t.at[0] == '*'))
		load_hint(p->load, f,
		          "0.0.0.0:25 means every IPv4 address of this machine, \"[::]:25\" every one");
	else if (text_starts(t, TEXT("localhost")))
		load_hint(p->load, f, "did you mean \"127.0.0.1:2525\"?");
	else if (t.len && count_digits(t) == t.len)
		load_hint(p->load, f, "did you mean \"127.0.0.1:%.*s\"?", SHOWN(t));
	return false;
}

const struct type type_listen_address = {
	.name = "address",
	.size = sizeof(struct config_endpoint),
	.expected =
		"an IP address with its port, such as 127.0.0.1:2525 or \"[::]:25\", or unix:/run/postrider/smtp.sock",
	.parse = parse_listen_address,
	.print = print_endpoint,
	.is_text = true,
	.json = "\"type\": \"string\", \"pattern\": \"^(unix:.+|.+:[0-9]+)$\""
};

static bool parse_dns_server(struct parsing *p, struct text t, void *place)
{
	struct config_endpoint e;

	if (split_endpoint(t, &e) && e.ip.family != IP_NONE && e.port > 0)
		return keep_endpoint(p, e, place);
	e = (struct config_endpoint){ .text = t, .host = t, .port = 53 };
	if (ip_parse(t, &e.ip) == ERR_OK)
		return keep_endpoint(p, e, place);
	refuse(p, t);
	return false;
}

const struct type type_dns_server = {
	.name = "server",
	.size = sizeof(struct config_endpoint),
	.expected = "an IP address, with a port if it is not 53: 127.0.0.53, 127.0.0.1:5353",
	.parse = parse_dns_server,
	.print = print_endpoint,
	.is_text = true,
	.json = "\"type\": \"string\", \"minLength\": 2"
};

static bool parse_ip(struct parsing *p, struct text t, void *place)
{
	if (ip_parse(t, place) == ERR_OK)
		return true;
	refuse(p, t);
	return false;
}

static void print_ip(const struct key *key, const void *place, struct buf *out)
{
	(void)key;
	ip_add(out, *(const struct ip *)place);
}

const struct type type_ip = { .name = "IP address",
	                      .size = sizeof(struct ip),
	                      .expected = "an IP address such as 192.0.2.25 or \"2001:db8::25\"",
	                      .parse = parse_ip,
	                      .print = print_ip,
	                      .is_text = true,
	                      .json = "\"type\": \"string\", \"minLength\": 2" };

static void hint_network(struct parsing *p, struct config_finding *f, struct text t)
{
	struct text bits = t, address = text_cut(&bits, '/');
	struct ip_network net;
	uint64_t prefix;

	if (ip_network_parse(address, &net) || text_to_u64(bits, net.ip.family == IP_V4 ? 32 : 128, &prefix))
		return;
	/* only the host bits are wrong */
	for (unsigned bit = (unsigned)prefix; bit < (net.ip.family == IP_V4 ? 32 : 128); bit++)
		net.ip.bytes[bit / 8] &= (unsigned char)~(0x80 >> bit % 8);
	AUTO(buf_fini) struct buf b = BUF(100);

	ip_add(&b, net.ip);
	load_hint(p->load, f, "the network is %.*s/%u; one address is %.*s", TEXT_ARGS(buf_text(&b)),
	          (unsigned)prefix, TEXT_ARGS(address));
}

static bool parse_network(struct parsing *p, struct text t, void *place)
{
	if (ip_network_parse(t, place) == ERR_OK)
		return true;
	hint_network(p, refuse(p, t), t);
	return false;
}

static void print_network(const struct key *key, const void *place, struct buf *out)
{
	const struct ip_network *net = place;

	(void)key;
	ip_add(out, net->ip);
	if (net->prefix_bits < (net->ip.family == IP_V4 ? 32u : 128u))
		buf_add_format(out, "/%u", net->prefix_bits);
}

const struct type type_network = {
	.name = "network",
	.size = sizeof(struct ip_network),
	.expected = "an IP address or network such as 127.0.0.1, 10.0.0.0/8 or \"fc00::/7\"",
	.parse = parse_network,
	.print = print_network,
	.is_text = true,
	.json = "\"type\": \"string\", \"minLength\": 2"
};

/* ---------------------------------------------------------------- patterns */

static bool parse_pattern(struct parsing *p, struct text t, void *place)
{
	enum err err = pattern_parse(&p->load->snapshot->arena, t, place);

	if (!err)
		return true;
	if (err == ERR_NOMEM) {
		p->load->nomem = true;
		return false;
	}
	struct config_finding *f = refuse(p, t);

	if (text_starts(t, TEXT("*.")) && domain_is_valid(text_skip(t, 2)))
		load_hint(p->load, f, "did you mean \"%.*s\"?", SHOWN(text_skip(t, 1)));
	else if (text_starts(t, TEXT("*@")) || text_starts(t, TEXT("@")))
		load_hint(p->load, f, "every address of a domain is the domain alone: \"%.*s\"",
		          SHOWN(text_skip(t, text_find_octet(t, '@') + 1)));
	else if (text_eq(t, TEXT("*")) || text_eq_nocase(t, TEXT("all")) || text_eq_nocase(t, TEXT("any")))
		load_hint(p->load, f, "did you mean \"any\"?");
	return false;
}

static void print_pattern(const struct key *key, const void *place, struct buf *out)
{
	(void)key;
	buf_add(out, ((const struct config_pattern *)place)->text);
}

static const struct config_pattern *get_pattern(const void *items, size_t i)
{
	return (const struct config_pattern *)items + i;
}

static bool index_patterns(struct load *load, void *list)
{
	struct config_patterns *patterns = list;

	if (pattern_index_make(&load->snapshot->arena, patterns->items, patterns->count, get_pattern,
	                       &load->snapshot->indexes, &patterns->index))
		load->nomem = true;
	return !load->nomem;
}

const struct type type_pattern = {
	.name = "pattern",
	.size = sizeof(struct config_pattern),
	.expected =
		"ann@example.com, example.com (every address there), .example.com (its subdomains) or any",
	.parse = parse_pattern,
	.print = print_pattern,
	.is_text = true,
	.finish = index_patterns,
	.json = "\"type\": \"string\", \"minLength\": 1"
};

static bool parse_limit_name(struct parsing *p, struct text t, void *place)
{
	if (text_find_octet(t, '@') == t.len && !text_eq(t, TEXT("<>")) &&
	    pattern_parse(&p->load->snapshot->arena, t, place) == ERR_OK)
		return true;
	load_expected(p->load,
	              load_error(p->load, &p->spot, "limits are for domains, not for \"%.*s\"", SHOWN(t)),
	              "gmail.com, .example.com (its subdomains) or any");
	return false;
}

const struct type type_limit_name = { .name = "domain",
	                              .size = sizeof(struct config_pattern),
	                              .expected = "a domain",
	                              .parse = parse_limit_name,
	                              .print = print_pattern,
	                              .is_text = true };

/* ---------------------------------------------------------------- pairs */

static int compare_ips(const struct ip *a, const struct ip *b)
{
	return a->family != b->family ? (int)a->family - (int)b->family : memcmp(a->bytes, b->bytes, 16);
}

static bool parse_host_address(struct load *load, const struct node *node, struct ip *out)
{
	if (node->kind == NODE_SCALAR && ip_parse(node->text, out) == ERR_OK)
		return true;
	load_expected(load, load_error(load, &node->spot, "not an IP address"),
	              "an IP address such as 192.0.2.25 or \"2001:db8::25\"");
	return false;
}

/* mail.internal.example: [127.0.0.7] */
static bool parse_host(struct load *load, const struct entry *entry, void *place)
{
	struct config_host *host = place;
	const struct node *value = entry->value;
	struct text name = entry->key;
	size_t count = value->kind == NODE_LIST ? value->count : 1, done = 0;

	if (name.len > 1 && name.at[name.len - 1] == '.')
		name.len--;
	if (!domain_is_valid(name) || name.at[0] == '[') {
		load_error(load, &entry->key_spot, "\"%.*s\" is not a host name", SHOWN(name));
		return false;
	}
	if (value->kind == NODE_TABLE || count == 0) {
		load_expected(load, load_error(load, &value->spot, "a host name needs addresses"),
		              "%.*s: [192.0.2.25]", SHOWN(name));
		return false;
	}
	struct ip *ips = load_keep(load, count * sizeof(*ips));
	char *lower = load_keep(load, name.len + 1);

	if (!ips || !lower)
		return false;
	for (size_t i = 0; i < name.len; i++)
		lower[i] = ascii_lower(name.at[i]);
	if (value->kind == NODE_SCALAR)
		done += parse_host_address(load, value, &ips[0]);
	for (const struct entry *item = value->first; item; item = item->next) {
		bool again = false;

		if (!parse_host_address(load, item->value, &ips[done]))
			continue;
		for (size_t i = 0; i < done; i++)
			again |= compare_ips(&ips[i], &ips[done]) == 0;
		done += !again;
	}
	host->name = text_of(lower, name.len);
	host->addresses = (struct config_ips){ ips, done };
	return true;
}

static void print_host(const void *place, struct buf *name, struct buf *value)
{
	const struct config_host *host = place;

	buf_add(name, host->name);
	buf_add_octet(value, '[');
	for (size_t i = 0; i < host->addresses.count; i++) {
		AUTO(buf_fini) struct buf b = BUF(100);

		if (i)
			buf_add_string(value, ", ");
		ip_add(&b, host->addresses.items[i]);
		value_quote(buf_text(&b), true, value);
	}
	buf_add_octet(value, ']');
}

const struct pairs pairs_hosts = {
	.size = sizeof(struct config_host),
	.expected = "{mail.internal.example: [127.0.0.7]}",
	.parse = parse_host,
	.print = print_host,
	.json = "\"anyOf\": [{\"type\": \"string\"}, {\"type\": \"array\", \"items\": {\"type\": \"string\"}}]"
};

static bool parse_rewrite_match(struct load *load, const struct entry *entry, struct config_pattern *match)
{
	enum err err;

	if (text_eq_nocase(entry->key, TEXT("postmaster"))) {
		*match = (struct config_pattern){ CONFIG_PATTERN_ADDRESS, TEXT("postmaster"),
			                          TEXT("postmaster"), TEXT_EMPTY };
		return true;
	}
	err = text_eq(entry->key, TEXT("<>")) ? ERR_SYNTAX
	                                      : pattern_parse(&load->snapshot->arena, entry->key, match);
	if (!err)
		return true;
	load->nomem |= err == ERR_NOMEM;
	load_expected(load,
	              load_error(load, &entry->key_spot, "\"%.*s\" is not a pattern for addresses",
	                         SHOWN(entry->key)),
	              "%s, or postmaster", type_pattern.expected);
	return false;
}

/* ann@old.example: ann@new.example; old.example: new.example (the local part stays); postmaster: ops@example.com */
static bool parse_rewrite(struct load *load, const struct entry *entry, void *place)
{
	struct config_rewrite_rule *rule = place;
	const struct node *value = entry->value;

	rule->place = load_place(load, &entry->key_spot);
	rule->address = rule->domain = TEXT_EMPTY;
	if (!parse_rewrite_match(load, entry, &rule->match))
		return false;
	if (value->kind == NODE_LIST) {
		load_error(load, &value->spot,
		           "several destinations for one address are not built yet in this version");
		return false;
	}
	bool is_domain = value->kind == NODE_SCALAR && domain_is_valid(value->text) &&
	                 rule->match.kind != CONFIG_PATTERN_ADDRESS;

	if (is_domain) {
		rule->domain = load_keep_text(load, value->text);
	} else if (value->kind == NODE_SCALAR && mailbox_is_valid(value->text)) {
		rule->address = load_keep_text(load, value->text);
	} else {
		load_expected(
			load, load_error(load, &value->spot, "this is not where mail can be sent"),
			rule->match.kind == CONFIG_PATTERN_ADDRESS
				? "a mail address such as ops@example.com"
				: "a mail address such as ops@example.com, or a domain (the local part stays)");
		return false;
	}
	return true;
}

static void print_rewrite(const void *place, struct buf *name, struct buf *value)
{
	const struct config_rewrite_rule *rule = place;

	buf_add(name, rule->match.text);
	value_quote(rule->address.len ? rule->address : rule->domain, false, value);
}

static const struct config_pattern *get_rewrite_pattern(const void *items, size_t i)
{
	return &((const struct config_rewrite_rule *)items)[i].match;
}

static bool index_rewrites(struct load *load, void *list)
{
	struct config_rewrites *rewrites = list;

	if (pattern_index_make(&load->snapshot->arena, rewrites->items, rewrites->count, get_rewrite_pattern,
	                       &load->snapshot->indexes, &rewrites->index))
		load->nomem = true;
	return !load->nomem;
}

const struct pairs pairs_rewrites = { .size = sizeof(struct config_rewrite_rule),
	                              .expected = "{postmaster: ops@example.com, old.example: new.example}",
	                              .parse = parse_rewrite,
	                              .print = print_rewrite,
	                              .finish = index_rewrites,
	                              .json = "\"type\": \"string\", \"minLength\": 3" };

/* ---------------------------------------------------------------- writing */

void value_print(const struct key *key, const void *place, struct buf *out)
{
	key->type->print(key, place, out);
}

void value_clear(const struct key *key, void *place)
{
	if (key->type->print == print_text)
		*(struct text *)place = TEXT_EMPTY;
}

void value_quote(struct text t, bool flow, struct buf *out)
{
	static const char starts[] = "!&*-?|>@`\"'%#{[ ,:]}";
	bool plain = t.len > 0 && !memchr(starts, t.at[0], sizeof(starts) - 1) && t.at[t.len - 1] != ' ' &&
	             t.at[t.len - 1] != ':';

	for (size_t i = 0; i < t.len && plain; i++) {
		char c = t.at[i], next = i + 1 < t.len ? t.at[i + 1] : 0;

		plain = (unsigned char)c >= 0x20 && c != 0x7f &&
		        !(c == ':' && (next == ' ' || (flow && next && memchr(",?[]{}", next, 6)))) &&
		        !(c == ' ' && next == '#') && !(flow && memchr("[]{},", c, 5)) && c != '$';
	}
	if (plain) {
		buf_add(out, t);
		return;
	}
	buf_add_octet(out, '"');
	for (size_t i = 0; i < t.len; i++) {
		if (t.at[i] == '"' || t.at[i] == '\\')
			buf_add_octet(out, '\\');
		/* what would be expanded again is doubled */
		if (t.at[i] == '$' && i + 1 < t.len && t.at[i + 1] == '{')
			buf_add_octet(out, '$');
		buf_add_octet(out, t.at[i]);
	}
	buf_add_octet(out, '"');
}
