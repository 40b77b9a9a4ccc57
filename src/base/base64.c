#include <postrider/base/base64.h>

#include <postrider/base/auto.h>

static const char digits[64] = { "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" };

/* Without a table that is looked up by a secret: what it costs says nothing of the octet. -1: no digit. */
static int value_of(unsigned char c)
{
	int value = -1;

	value = c >= 'A' && c <= 'Z' ? c - 'A' : value;
	value = c >= 'a' && c <= 'z' ? c - 'a' + 26 : value;
	value = c >= '0' && c <= '9' ? c - '0' + 52 : value;
	value = c == '+' ? 62 : value;
	value = c == '/' ? 63 : value;
	return value;
}

void base64_add(struct buf *out, struct text octets)
{
	const unsigned char *at = (const unsigned char *)octets.at;
	char *to = buf_reserve(out, BASE64_CHARS(octets.len));

	if (!to)
		return;
	for (size_t i = 0; i < octets.len; i += 3) {
		size_t left = octets.len - i;
		uint32_t bits = (uint32_t)at[i] << 16;

		bits |= left > 1 ? (uint32_t)at[i + 1] << 8 : 0;
		bits |= left > 2 ? at[i + 2] : 0;
		*to++ = digits[bits >> 18];
		*to++ = digits[bits >> 12 & 63];
		*to++ = left > 1 ? digits[bits >> 6 & 63] : '=';
		*to++ = left > 2 ? digits[bits & 63] : '=';
	}
	buf_grew(out, BASE64_CHARS(octets.len));
}

/* Four characters, of which the last `padding` are "=". */
static bool decode_group(const char *at, size_t padding, struct buf *out)
{
	uint32_t bits = 0;
	char octets[3];
	int bad = 0;

	for (size_t i = 0; i < 4; i++) {
		int value = i < 4 - padding ? value_of((unsigned char)at[i]) : 0;

		bad |= value;
		bits = bits << 6 | ((uint32_t)value & 63);
	}
	if (bad < 0 || (bits & (BIT(8 * padding) - 1)) != 0)
		return false;
	octets[0] = (char)(bits >> 16);
	octets[1] = (char)(bits >> 8);
	octets[2] = (char)bits;
	buf_add_bytes(out, octets, 3 - padding);
	return true;
}

enum err base64_decode(struct text t, struct buf *out)
{
	size_t before = out->len, padding = 0;

	if (t.len % 4 != 0)
		return ERR_SYNTAX;
	while (padding < 2 && padding < t.len && t.at[t.len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < t.len; i += 4) {
		if (decode_group(t.at + i, i + 4 == t.len ? padding : 0, out))
			continue;
		buf_cut(out, before);
		return ERR_SYNTAX;
	}
	return buf_err(out);
}
