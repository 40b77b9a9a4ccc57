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

/* Four characters, of which the last `padding` are "=", to 3 - padding octets. */
static bool decode_group(const char *at, size_t padding, char *out)
{
	uint32_t bits = 0;
	int bad = 0;

	for (size_t i = 0; i < 4; i++) {
		int value = i < 4 - padding ? value_of((unsigned char)at[i]) : 0;

		bad |= value;
		bits = bits << 6 | ((uint32_t)value & 63);
	}
	if (bad < 0 || (bits & (BIT(8 * padding) - 1)) != 0)
		return false;
	for (size_t i = 0; i < 3 - padding; i++)
		out[i] = (char)(bits >> (16 - 8 * i));
	return true;
}

static size_t padding_of(struct text t)
{
	size_t padding = 0;

	while (padding < 2 && padding < t.len && t.at[t.len - 1 - padding] == '=')
		padding++;
	return padding;
}

enum err base64_decode_to(struct text t, void *out, size_t room, size_t *len)
{
	size_t padding = padding_of(t), octets = BASE64_OCTETS(t.len) - (t.len ? padding : 0);
	char *to = out;

	if (t.len % 4 != 0)
		return ERR_SYNTAX;
	if (octets > room)
		return ERR_TOO_BIG;
	for (size_t i = 0; i < t.len; i += 4, to += 3) {
		if (!decode_group(t.at + i, i + 4 == t.len ? padding : 0, to))
			return ERR_SYNTAX;
	}
	*len = octets;
	return ERR_OK;
}

enum err base64_decode(struct text t, struct buf *out)
{
	size_t most = BASE64_OCTETS(t.len), len = 0;
	char *room;
	enum err err;

	if (t.len % 4 != 0)
		return ERR_SYNTAX;
	room = buf_reserve(out, most - MIN(padding_of(t), most));
	if (!room)
		return buf_err(out);
	err = base64_decode_to(t, room, most, &len);
	if (!err)
		buf_grew(out, len);
	return err;
}
