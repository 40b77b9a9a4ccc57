#include <postrider/base/utf8.h>

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* What the second octet may be depends on the first: that keeps out over-long forms and surrogates. */
static bool second_fits(unsigned char first, unsigned char second)
{
	switch (first) {
	case 0xe0:
		return second >= 0xa0;
	case 0xed:
		return second <= 0x9f;
	case 0xf0:
		return second >= 0x90;
	case 0xf4:
		return second <= 0x8f;
	default:
		return true;
	}
}

size_t utf8_length(struct text t, uint32_t *code_point)
{
	if (t.len == 0)
		return 0;
	unsigned char first = (unsigned char)t.at[0];
	size_t len = first < 0x80   ? 1
	             : first < 0xc2 ? 0
	             : first < 0xe0 ? 2
	             : first < 0xf0 ? 3
	             : first < 0xf5 ? 4
	                            : 0;
	uint32_t value = len == 1 ? first : first & (0x7fu >> len);

	if (len == 0 || len > t.len || (len > 1 && !second_fits(first, (unsigned char)t.at[1])))
		return 0;
	for (size_t i = 1; i < len; i++) {
		if (!is_continuation(t.at[i]))
			return 0;
		value = value << 6 | ((unsigned char)t.at[i] & 0x3f);
	}
	if (code_point)
		*code_point = value;
	return len;
}

bool utf8_is_valid(struct text t)
{
	while (t.len) {
		size_t len = utf8_length(t, NULL);

		if (len == 0)
			return false;
		t = text_skip(t, len);
	}
	return true;
}
