#include "words.h"

#include <postrider/base/auto.h>

#define WORD_MAX 75
#define LINE_MAX_PLAIN 900
#define OPENING "=?utf-8?Q?"

/* ---------------------------------------------------------------- encoding */

static bool is_plain(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if ((unsigned char)t.at[i] < 0x20 || (unsigned char)t.at[i] > 0x7e)
			return false;
	/* What looks like an encoded word must not come to be one. */
	return text_find(t, TEXT("=?")) == t.len && t.len <= LINE_MAX_PLAIN;
}

static size_t character_length(struct text t)
{
	size_t len = 1;

	while (len < t.len && ((unsigned char)t.at[len] & 0xc0) == 0x80)
		len++;
	return len;
}

static void add_q(struct buf *out, struct text character)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < character.len; i++) {
		unsigned char c = (unsigned char)character.at[i];

		if (ascii_is_alnum((char)c))
			buf_add_octet(out, (char)c);
		else
			buf_add_bytes(out, (const char[]){ '=', hex[c >> 4], hex[c & 15] }, 3);
	}
}

void words_add_encoded(struct buf *out, struct text t)
{
	if (is_plain(t)) {
		buf_add(out, t);
		return;
	}
	while (t.len > 0) {
		size_t used = sizeof(OPENING) - 1 + 2, len;

		buf_add(out, TEXT(OPENING));
		/* Three octets for each, whether they are needed or not; broken UTF-8 of any length is cut. */
		while (t.len > 0 && used + 3 * (len = MIN(character_length(t), 4)) <= WORD_MAX) {
			add_q(out, text_head(t, len));
			used += 3 * len;
			t = text_skip(t, len);
		}
		buf_add(out, t.len > 0 ? TEXT("?=\r\n ") : TEXT("?="));
	}
}

/* ---------------------------------------------------------------- decoding */

static int hex_digit(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode_q(struct buf *out, struct text t)
{
	for (size_t i = 0; i < t.len; i++) {
		if (t.at[i] == '_') {
			buf_add_octet(out, ' ');
		} else if (t.at[i] != '=') {
			buf_add_octet(out, t.at[i]);
		} else {
			int high = i + 2 < t.len ? hex_digit(t.at[i + 1]) : -1;
			int low = i + 2 < t.len ? hex_digit(t.at[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			buf_add_octet(out, (char)(high * 16 + low));
			i += 2;
		}
	}
	return true;
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (ascii_is_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool decode_b(struct buf *out, struct text t)
{
	uint32_t bits = 0;
	unsigned count = 0;

	while (t.len > 0 && t.at[t.len - 1] == '=')
		t.len--;
	for (size_t i = 0; i < t.len; i++) {
		int value = base64_value(t.at[i]);

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		count += 6;
		if (count >= 8) {
			count -= 8;
			buf_add_octet(out, (char)(bits >> count & 0xff));
		}
	}
	return true;
}

static void add_latin1(struct buf *out, struct text t)
{
	for (size_t i = 0; i < t.len; i++) {
		unsigned char c = (unsigned char)t.at[i];

		if (c < 0x80)
			buf_add_octet(out, (char)c);
		else
			buf_add_bytes(out, (const char[]){ (char)(0xc0 | c >> 6), (char)(0x80 | (c & 0x3f)) },
			              2);
	}
}

/* encoded-word = "=?" charset "?" encoding "?" encoded-text "?="   (RFC 2047 section 2). Takes one from the front of t. */
static bool take_word(struct text *t, struct buf *out)
{
	struct text rest = text_skip(*t, 2);
	struct text charset = text_cut(&rest, '?'), encoding = text_cut(&rest, '?');
	size_t end = text_find(rest, TEXT("?="));
	AUTO(buf_fini) struct buf octets = BUF(4096);

	charset = text_cut(&charset, '*'); /* a language may follow (RFC 2231 section 5) */
	if (end == rest.len || encoding.len != 1)
		return false;
	bool is_b = ascii_lower(encoding.at[0]) == 'b', is_q = ascii_lower(encoding.at[0]) == 'q';

	if (!(is_b && decode_b(&octets, text_head(rest, end))) &&
	    !(is_q && decode_q(&octets, text_head(rest, end))))
		return false;
	if (text_eq_nocase(charset, TEXT("iso-8859-1")))
		add_latin1(out, buf_text(&octets));
	else if (text_eq_nocase(charset, TEXT("utf-8")) || text_eq_nocase(charset, TEXT("us-ascii")))
		buf_add(out, buf_text(&octets));
	else
		return false;
	*t = text_skip(rest, end + 2);
	return true;
}

static size_t white_space(struct text t)
{
	size_t i = 0;

	while (i < t.len && (t.at[i] == ' ' || t.at[i] == '\t' || t.at[i] == '\r' || t.at[i] == '\n'))
		i++;
	return i;
}

void words_add_decoded(struct buf *out, struct text t)
{
	while (t.len > 0) {
		size_t plain = text_find(t, TEXT("=?"));

		buf_add(out, text_head(t, plain));
		t = text_skip(t, plain);
		if (t.len == 0)
			return;
		if (!take_word(&t, out)) {
			buf_add(out, text_head(t, 2));
			t = text_skip(t, 2);
			continue;
		}
		/* White space between two encoded words is none (section 6.2). */
		size_t space = white_space(t);

		if (space > 0 && text_starts(text_skip(t, space), TEXT("=?")))
			t = text_skip(t, space);
	}
}
