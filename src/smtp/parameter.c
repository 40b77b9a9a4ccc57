#include <postrider/smtp/parameter.h>

#include <postrider/base/auto.h>
#include <postrider/base/time.h>
#include <postrider/base/utf8.h>
#include <postrider/smtp/path.h>

/* ---------------------------------------------------------------- xtext */

static bool is_xchar(char c)
{
	return c >= '!' && c <= '~' && c != '+' && c != '=';
}

/* Capital letters only: small ones are no hexchar. */
static int hex_value(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The octet at the front of *t; -1: there is none. */
static int take_octet(struct text *t)
{
	if (is_xchar(t->at[0])) {
		int octet = (unsigned char)t->at[0];

		*t = text_skip(*t, 1);
		return octet;
	}
	if (t->at[0] != '+' || t->len < 3 || hex_value(t->at[1]) < 0 || hex_value(t->at[2]) < 0)
		return -1;
	int octet = hex_value(t->at[1]) << 4 | hex_value(t->at[2]);

	*t = text_skip(*t, 3);
	return octet;
}

bool smtp_xtext_check(struct text t)
{
	while (t.len)
		if (take_octet(&t) < 0)
			return false;
	return true;
}

enum err smtp_xtext_decode(struct text t, struct buf *out)
{
	if (!smtp_xtext_check(t))
		return ERR_SYNTAX;
	while (t.len)
		buf_add_octet(out, (char)take_octet(&t));
	return ERR_OK;
}

void smtp_xtext_add(struct buf *b, struct text t)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < t.len; i++) {
		unsigned char c = (unsigned char)t.at[i];
		char coded[3] = { '+', digits[c >> 4], digits[c & 15] };

		if (is_xchar(t.at[i]))
			buf_add_octet(b, t.at[i]);
		else
			buf_add_bytes(b, coded, sizeof(coded));
	}
}

/* What it stands for can be shown: no controls, so that nothing breaks the field of a report that quotes it. */
static bool stands_for_printable(struct text t)
{
	while (t.len) {
		int octet = take_octet(&t);

		if (octet < ' ' || octet > '~')
			return false;
	}
	return true;
}

/* ---------------------------------------------------------------- DSN */

const char *smtp_envid_check(struct text value)
{
	if (value.len == 0)
		return "a value is needed";
	if (value.len > SMTP_ENVID_MAX)
		return "longer than 100 octets";
	if (!smtp_xtext_check(value))
		return "no xtext";
	return stands_for_printable(value) ? NULL : "stands for octets that cannot be printed";
}

/* HEXPOINT of RFC 6533 section 3: 2 to 6 digits; what it may stand for is less here, no control. */
static bool take_hex_point(struct text *rest, uint32_t *code_point)
{
	size_t end = text_find_octet(*rest, '}');

	*code_point = 0;
	if (end == rest->len || end < 2 || end > 6 || (rest->at[0] == '0' && end > 2))
		return false;
	for (size_t i = 0; i < end; i++) {
		if (hex_value(rest->at[i]) < 0)
			return false;
		*code_point = *code_point << 4 | (uint32_t)hex_value(rest->at[i]);
	}
	*rest = text_skip(*rest, end + 1);
	return true;
}

static void add_utf8(struct buf *b, uint32_t c)
{
	if (c < 0x80) {
		buf_add_octet(b, (char)c);
	} else if (c < 0x800) {
		buf_add_octet(b, (char)(0xc0 | c >> 6));
		buf_add_octet(b, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buf_add_octet(b, (char)(0xe0 | c >> 12));
		buf_add_octet(b, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_add_octet(b, (char)(0x80 | (c & 0x3f)));
	} else {
		buf_add_octet(b, (char)(0xf0 | c >> 18));
		buf_add_octet(b, (char)(0x80 | (c >> 12 & 0x3f)));
		buf_add_octet(b, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_add_octet(b, (char)(0x80 | (c & 0x3f)));
	}
}

/* utf-8-addr-xtext = 1*( QCHAR / EmbeddedUnicodeChar ), utf-8-addr-unitext has UTF-8 besides;
 * EmbeddedUnicodeChar = "\x{" HEXPOINT "}"; QCHAR is printable ASCII but "+", "=" and "\". out may be NULL. */
static bool read_utf8_address(struct text t, bool unitext, struct buf *out)
{
	const struct text embedded = LIT("\\x{");
	bool any = t.len > 0;

	while (t.len) {
		uint32_t code_point;
		size_t len;

		if (text_starts(t, embedded)) {
			t = text_skip(t, embedded.len);
			if (!take_hex_point(&t, &code_point))
				return false;
		} else {
			len = utf8_length(t, &code_point);
			if (len == 0 || (len == 1 && (!is_xchar(t.at[0]) || t.at[0] == '\\')) ||
			    (len > 1 && !unitext))
				return false;
			t = text_skip(t, len);
		}
		if (!smtp_code_point_is_fit(code_point))
			return false;
		if (out)
			add_utf8(out, code_point);
	}
	return any;
}

/* addr-type = atom */
static bool is_type(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (!ascii_is_alnum(t.at[i]) && t.at[i] != '-')
			return false;
	return t.len > 0;
}

const char *smtp_orcpt_check(struct text value, bool smtputf8)
{
	struct text address = value, type = text_cut(&address, ';');

	if (value.len == 0)
		return "a value is needed";
	if (value.len > SMTP_ORCPT_MAX)
		return "longer than 500 octets";
	if (!is_type(type) || address.len == 0)
		return "not of the form type;address";
	if (text_eq_nocase(type, TEXT("utf-8")))
		return read_utf8_address(address, smtputf8, NULL)
		               ? NULL
		               : "the address is not coded as RFC 6533 asks for";
	if (!smtp_xtext_check(address))
		return "the address is no xtext";
	return stands_for_printable(address) ? NULL : "the address stands for octets that cannot be printed";
}

enum err smtp_orcpt_decode(struct text value, struct text *type, struct buf *out)
{
	if (smtp_orcpt_check(value, true))
		return ERR_SYNTAX;
	*type = text_cut(&value, ';');
	if (!text_eq_nocase(*type, TEXT("utf-8")))
		return smtp_xtext_decode(value, out);
	return read_utf8_address(value, true, out) ? ERR_OK : ERR_SYNTAX;
}

const char *smtp_notify_parse(struct text value, unsigned *out)
{
	static const struct {
		struct text word;
		enum smtp_notify bit;
	} words[] = {
		{ LIT("NEVER"), SMTP_NOTIFY_NEVER },
		{ LIT("SUCCESS"), SMTP_NOTIFY_SUCCESS },
		{ LIT("FAILURE"), SMTP_NOTIFY_FAILURE },
		{ LIT("DELAY"), SMTP_NOTIFY_DELAY },
	};
	unsigned found = 0;

	for (bool more = true; more;) {
		size_t comma = text_find_octet(value, ','), i = 0;
		struct text word = text_head(value, comma);

		more = comma < value.len;
		value = text_skip(value, comma + 1);
		while (i < ARRAY_LEN(words) && !text_eq_nocase(word, words[i].word))
			i++;
		if (i == ARRAY_LEN(words))
			return "NEVER, or a list of SUCCESS, FAILURE and DELAY";
		if (found & words[i].bit)
			return "one word twice";
		found |= words[i].bit;
	}
	if ((found & SMTP_NOTIFY_NEVER) && found != SMTP_NOTIFY_NEVER)
		return "NEVER stands alone";
	*out = found;
	return NULL;
}

/* ---------------------------------------------------------------- numbers and times */

#define NINE_DIGITS 999999999

static bool parse_nine_digits(struct text t, int64_t *out)
{
	uint64_t number;

	if (t.len > 9 || text_to_u64(t, NINE_DIGITS, &number))
		return false;
	*out = (int64_t)number;
	return true;
}

const char *smtp_by_parse(struct text value, struct smtp_by *out)
{
	static const char form[] = "of the form seconds;N or seconds;R, with T behind to have it traced";
	struct text mode = value, seconds = text_cut(&mode, ';');
	bool negative = seconds.len && seconds.at[0] == '-';
	struct smtp_by by = { 0 };

	if (negative || (seconds.len && seconds.at[0] == '+'))
		seconds = text_skip(seconds, 1);
	if (seconds.len > 9)
		return "nine digits at most";
	if (!parse_nine_digits(seconds, &by.seconds) || mode.len == 0 || mode.len > 2)
		return form;
	if (negative)
		by.seconds = -by.seconds;
	by.returns = ascii_lower(mode.at[0]) == 'r';
	by.traces = mode.len == 2;
	if ((!by.returns && ascii_lower(mode.at[0]) != 'n') || (by.traces && ascii_lower(mode.at[1]) != 't'))
		return form;
	if (by.returns && by.seconds <= 0)
		return "with R the time must lie ahead";
	*out = by;
	return NULL;
}

const char *smtp_priority_parse(struct text value, int *out)
{
	bool negative = value.len == 2 && value.at[0] == '-';
	char digit = value.len ? value.at[value.len - 1] : '\0';

	if (value.len != (negative ? 2u : 1u) || !ascii_is_digit(digit) || (negative && digit == '0'))
		return "a number from -9 to 9";
	*out = negative ? '0' - digit : digit - '0';
	return NULL;
}

const char *smtp_hold_for_parse(struct text value, int64_t *out_ms)
{
	int64_t seconds;

	if (!parse_nine_digits(value, &seconds) || seconds == 0)
		return "seconds, from 1 to 999999999";
	*out_ms = seconds * SECOND_MS;
	return NULL;
}

const char *smtp_hold_until_parse(struct text value, int64_t *out_time)
{
	return time_parse_rfc3339(value, out_time) ? "a time like 2026-01-02T03:04:05Z" : NULL;
}

const char *smtp_submitter_check(struct text value)
{
	if (value.len == 0)
		return "a value is needed, <> if nobody is meant";
	if (value.len > SMTP_AUTH_MAX)
		return "longer than 500 octets";
	if (!smtp_xtext_check(value))
		return "no xtext";
	return stands_for_printable(value) ? NULL : "stands for octets that cannot be printed";
}

/* ---------------------------------------------------------------- BDAT */

enum err smtp_chunk_parse(struct text args, struct smtp_chunk *out)
{
	size_t end = 0;

	while (end < args.len && args.at[end] != ' ' && args.at[end] != '\t')
		end++;
	struct text word = text_trim(text_skip(args, end));
	enum err err = text_to_u64(text_head(args, end), UINT64_MAX, &out->bytes);

	if (err == ERR_TOO_BIG)
		out->bytes = UINT64_MAX;
	else if (err)
		return ERR_SYNTAX;
	out->last = word.len > 0;
	return out->last && !text_eq_nocase(word, TEXT("LAST")) ? ERR_SYNTAX : ERR_OK;
}
