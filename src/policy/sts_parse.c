#include "sts_parse.h"

#include <postrider/base/auto.h>
#include <postrider/base/ip.h>
#include <postrider/base/time.h>
#include <postrider/base/utf8.h>

#define FIELD_NAME_MAX 32
#define NAME_MAX_BYTES 253
#define LABEL_MAX_BYTES 63

static enum err refuse(const char **why, const char *words)
{
	if (why)
		*why = words;
	return ERR_SYNTAX;
}

/* ---------------------------------------------------------------- fields of TXT records */

/* (ALPHA / DIGIT) *31(ALPHA / DIGIT / "_" / "-" / ".") */
static bool is_field_name(struct text t)
{
	if (t.len == 0 || t.len > FIELD_NAME_MAX || !ascii_is_alnum(t.at[0]))
		return false;
	for (size_t i = 1; i < t.len; i++)
		if (!ascii_is_alnum(t.at[i]) && t.at[i] != '_' && t.at[i] != '-' && t.at[i] != '.')
			return false;
	return true;
}

bool sts_has_version(struct text record, struct text version, struct text *rest)
{
	struct text behind = text_skip(record, version.len);
	struct text next = text_trim(behind);

	if (!text_starts(record, version) || (next.len && next.at[0] != ';'))
		return false;
	*rest = next;
	return true;
}

/* *WSP ";" *WSP stands before each field, and may stand behind the last. */
bool sts_next_field(struct text *rest, struct text *key, struct text *value, enum err *err)
{
	struct text field;

	*rest = text_trim(*rest);
	if (rest->len == 0)
		return false;
	*err = ERR_SYNTAX;
	if (rest->at[0] != ';')
		return false;
	*rest = text_trim(text_skip(*rest, 1));
	if (rest->len == 0) {
		*err = ERR_OK;
		return false;
	}
	field = text_trim(text_head(*rest, text_find_octet(*rest, ';')));
	*rest = text_skip(*rest, text_find_octet(*rest, ';'));
	*key = text_head(field, text_find_octet(field, '='));
	*value = text_skip(field, key->len + 1);
	if (key->len == field.len || !is_field_name(*key) || value->len == 0)
		return false;
	*err = ERR_OK;
	return true;
}

/* ---------------------------------------------------------------- the TXT record */

/* %x21-3A / %x3C / %x3E-7E: neither "=" nor ";" nor a space */
static bool is_extension_value(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (t.at[i] < 0x21 || t.at[i] > 0x7e || t.at[i] == '=' || t.at[i] == ';')
			return false;
	return t.len > 0;
}

static bool is_id(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (!ascii_is_alnum(t.at[i]))
			return false;
	return t.len > 0 && t.len <= STS_ID_MAX;
}

/* Of fields that come twice the first counts (section 3.2). */
static enum err parse_record(struct text rest, struct text *id, const char **why)
{
	struct text key, value, found = TEXT_EMPTY;
	enum err err = ERR_OK;

	while (sts_next_field(&rest, &key, &value, &err)) {
		bool is_first_id = text_eq(key, TEXT("id")) && found.len == 0;

		if (is_first_id && !is_id(value))
			return refuse(why, "the TXT record's id is not 1 to 32 letters and digits");
		if (!is_extension_value(value))
			return refuse(why, "the TXT record has a field with characters it may not have");
		if (is_first_id)
			found = value;
	}
	if (err)
		return refuse(why, "the TXT record is not a list of name=value with semicolons between");
	if (found.len == 0)
		return refuse(why, "the TXT record has no id");
	*id = found;
	return ERR_OK;
}

enum err sts_txt_parse(const struct text *records, size_t count, struct text *id, const char **why)
{
	struct text rest, one = TEXT_EMPTY;
	size_t found = 0;

	for (size_t i = 0; i < count; i++)
		if (sts_has_version(records[i], TEXT("v=STSv1"), &rest)) {
			one = rest;
			found++;
		}
	if (found == 0)
		return ERR_NOT_FOUND;
	if (found > 1)
		return refuse(why, "there are several TXT records of MTA-STS");
	return parse_record(one, id, why);
}

/* ---------------------------------------------------------------- names */

static bool is_label(struct text t)
{
	if (t.len == 0 || t.len > LABEL_MAX_BYTES || t.at[0] == '-' || t.at[t.len - 1] == '-')
		return false;
	for (size_t i = 0; i < t.len; i++)
		if (!ascii_is_alnum(t.at[i]) && t.at[i] != '-' && t.at[i] != '_')
			return false;
	return true;
}

/* The last label of no name is a number: that is how addresses are told from names (RFC 3696 section 2). */
static bool is_number(struct text label)
{
	for (size_t i = 0; i < label.len; i++)
		if (!ascii_is_digit(label.at[i]))
			return false;
	return true;
}

bool sts_is_name(struct text name)
{
	struct text rest = name, label = TEXT_EMPTY;
	size_t labels = 0;

	if (name.len == 0 || name.len > NAME_MAX_BYTES || name.at[name.len - 1] == '.')
		return false;
	for (; rest.len; labels++) {
		label = text_cut(&rest, '.');
		if (!is_label(label))
			return false;
	}
	return labels >= 2 && !is_number(label);
}

bool sts_mx_fits(struct text pattern, struct text host)
{
	if (!text_starts(pattern, TEXT("*.")))
		return text_eq_nocase(pattern, host);
	return text_find_octet(host, '.') > 0 &&
	       text_eq_nocase(text_skip(pattern, 1), text_skip(host, text_find_octet(host, '.')));
}

/* ---------------------------------------------------------------- the policy file */

struct file_reader {
	struct arena *arena;
	struct sts_file file;
	struct text *mx;
	bool has_version, has_mode, has_max_age;
	const char *why;
};

static enum err read_version(struct file_reader *r, struct text value)
{
	if (r->has_version)
		return ERR_OK;
	r->has_version = true;
	return text_eq(value, TEXT("STSv1")) ? ERR_OK : refuse(&r->why, "its version is not STSv1");
}

static enum err read_mode(struct file_reader *r, struct text value)
{
	static const struct text modes[] = {
		[POLICY_MODE_NONE] = LIT("none"),
		[POLICY_MODE_TESTING] = LIT("testing"),
		[POLICY_MODE_ENFORCE] = LIT("enforce"),
	};

	if (r->has_mode)
		return ERR_OK;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		if (text_eq(value, modes[i])) {
			r->file.mode = (enum policy_mode)i;
			r->has_mode = true;
			return ERR_OK;
		}
	return refuse(&r->why, "its mode is not enforce, testing or none");
}

/* 1*10(DIGIT) */
static enum err read_max_age(struct file_reader *r, struct text value)
{
	uint64_t seconds;

	if (r->has_max_age)
		return ERR_OK;
	if (value.len > 10 || text_to_u64(value, (uint64_t)STS_MAX_AGE_S, &seconds))
		return refuse(&r->why, "its max_age is not a number from 0 to 31557600");
	r->file.max_age_ms = (int64_t)seconds * SECOND_MS;
	r->has_max_age = true;
	return ERR_OK;
}

static enum err read_mx(struct file_reader *r, struct text value)
{
	struct text *kept = &r->mx[r->file.mx_count];
	char *octets;

	if (!sts_is_name(text_starts(value, TEXT("*.")) ? text_skip(value, 2) : value))
		return refuse(&r->why, "one of its mx is not a host name, nor one behind \"*.\"");
	if (r->file.mx_count == STS_MX_MAX)
		return refuse(&r->why, "it has more than 500 mx");
	octets = arena_alloc(r->arena, value.len);
	if (!octets)
		return ERR_NOMEM;
	for (size_t i = 0; i < value.len; i++)
		octets[i] = ascii_lower(value.at[i]);
	*kept = text_of(octets, value.len);
	r->file.mx_count++;
	return ERR_OK;
}

/* Anything but controls; UTF-8 is allowed (section 3.2). */
static bool is_value(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if ((unsigned char)t.at[i] < 0x20 || t.at[i] == 0x7f)
			return false;
	return t.len > 0 && utf8_is_valid(t);
}

static enum err read_field(struct file_reader *r, struct text line)
{
	static const struct {
		struct text name;
		enum err (*read)(struct file_reader *r, struct text value);
	} fields[] = {
		{ LIT("version"), read_version },
		{ LIT("mode"), read_mode },
		{ LIT("max_age"), read_max_age },
		{ LIT("mx"), read_mx },
	};
	struct text name = text_head(line, text_find_octet(line, ':'));
	struct text value = text_trim(text_skip(line, name.len + 1));

	if (name.len == line.len || !is_field_name(name) || !is_value(value))
		return refuse(&r->why, "one of its lines is not \"name: value\"");
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (text_eq(name, fields[i].name))
			return fields[i].read(r, value);
	return ERR_OK;
}

static enum err check_whole(struct file_reader *r)
{
	if (!r->has_version)
		return refuse(&r->why, "it has no version");
	if (!r->has_mode)
		return refuse(&r->why, "it has no mode");
	if (!r->has_max_age)
		return refuse(&r->why, "it has no max_age");
	if (r->file.mx_count == 0 && r->file.mode != POLICY_MODE_NONE)
		return refuse(&r->why, "it has no mx");
	return ERR_OK;
}

static size_t count_lines(struct text t)
{
	size_t lines = 1;

	for (size_t i = 0; i < t.len; i++)
		lines += t.at[i] == '\n';
	return lines;
}

/* Lines end in CR LF or LF. An empty one says nothing, though the grammar has none. */
static enum err read_lines(struct file_reader *r, struct text file)
{
	enum err err = ERR_OK;

	while (file.len && !err) {
		struct text line = text_cut(&file, '\n');

		if (line.len && line.at[line.len - 1] == '\r')
			line.len--;
		if (text_trim(line).len)
			err = read_field(r, line);
	}
	return err;
}

enum err sts_file_parse(struct text file, struct arena *arena, struct sts_file *out, const char **why)
{
	struct file_reader r = { .arena = arena };
	enum err err;

	if (file.len > STS_FILE_MAX)
		return ERR_TOO_BIG;
	r.mx = arena_alloc(arena, (MIN(count_lines(file), STS_MX_MAX) + 1) * sizeof(*r.mx));
	if (!r.mx)
		return ERR_NOMEM;
	err = read_lines(&r, file);
	if (!err)
		err = check_whole(&r);
	if (err) {
		if (why && r.why)
			*why = r.why;
		return err;
	}
	r.file.mx = r.mx;
	*out = r.file;
	return ERR_OK;
}

bool sts_is_plain_text(struct text content_type)
{
	return text_eq_nocase(text_trim(text_head(content_type, text_find_octet(content_type, ';'))),
	                      TEXT("text/plain"));
}
