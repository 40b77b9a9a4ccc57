#include <postrider/http/exchange.h>

static int hex_digit(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum err http_add_decoded(struct buf *out, struct text encoded, bool plus_is_space)
{
	for (size_t i = 0; i < encoded.len; i++) {
		char c = encoded.at[i];

		if (c == '%') {
			if (encoded.len - i < 3)
				return ERR_SYNTAX;
			int high = hex_digit(encoded.at[i + 1]), low = hex_digit(encoded.at[i + 2]);

			if (high < 0 || low < 0)
				return ERR_SYNTAX;
			c = (char)(high * 16 + low);
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		buf_add_octet(out, c);
	}
	return buf_err(out);
}

/* unreserved = ALPHA / DIGIT / "-" / "." / "_" / "~"  (RFC 3986 section 2.3) */
void http_add_encoded(struct buf *out, struct text value)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.at[i];

		if (ascii_is_alnum((char)c) || c == '-' || c == '.' || c == '_' || c == '~')
			buf_add_octet(out, (char)c);
		else
			buf_add_bytes(out, (const char[]){ '%', hex[c >> 4], hex[c & 15] }, 3);
	}
}

static void decode_into(struct buf *out, struct text encoded)
{
	buf_reset(out);
	enum err err = http_add_decoded(out, encoded, true);

	if (err && !buf_err(out))
		out->err = err;
}

bool http_query_next(struct text *rest, struct buf *name, struct buf *value)
{
	struct text pair;

	do {
		if (rest->len == 0)
			return false;
		pair = text_cut(rest, '&');
	} while (pair.len == 0);
	struct text encoded_name = text_cut(&pair, '=');

	decode_into(name, encoded_name);
	decode_into(value, pair);
	if (buf_err(name) && !buf_err(value))
		value->err = buf_err(name);
	return true;
}
