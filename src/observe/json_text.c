#include <postrider/observe/json_text.h>

#include <postrider/base/auto.h>

/* The length of the well-formed UTF-8 sequence of two to four octets at p (RFC 3629 section 4); 0: there is none. */
static size_t utf8_sequence(const unsigned char *p, size_t len)
{
	unsigned char c = p[0];
	size_t needed = c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	if (needed == 0 || needed > len)
		return 0;
	/* The second octet's range keeps out overlong forms, surrogates and what is above U+10FFFF. */
	unsigned char least = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	unsigned char most = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;

	if (p[1] < least || p[1] > most)
		return 0;
	for (size_t i = 2; i < needed; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return needed;
}

/* The length of a C1 control, or of a line or paragraph separator: to some readers the end of a line, to some terminals the
 * start of an escape sequence. 0: there is none at p. */
static size_t hidden_length(const unsigned char *p, size_t len)
{
	if (len >= 2 && p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
		return 2;
	return len >= 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9) ? 3 : 0;
}

/* What goes into a JSON string as it is (RFC 8259 section 7). DEL would be allowed, and spoils a terminal. A table, because
 * nearly all of an event is octets of these. */
static const bool is_plain[256] = { [0x20 ... '"' - 1] = true,
	                            ['"' + 1 ... '\\' - 1] = true,
	                            ['\\' + 1 ... 0x7e] = true };

/* The length of what stands at p and is literal too, beyond ASCII; 0: it is not. */
static size_t literal_length(const unsigned char *p, size_t len)
{
	return *p < 0x80 || hidden_length(p, len) ? 0 : utf8_sequence(p, len);
}

static void add_number(struct buf *out, unsigned code_point)
{
	static const char hex[] = "0123456789abcdef";

	buf_add_bytes(out,
	              (const char[]){ '\\', 'u', hex[code_point >> 12], hex[code_point >> 8 & 15],
	                              hex[code_point >> 4 & 15], hex[code_point & 15] },
	              6);
}

static void add_escape(struct buf *out, unsigned char c)
{
	static const char letters[128] = {
		['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f',
		['\n'] = 'n', ['\r'] = 'r',  ['\t'] = 't',
	};

	if (letters[c]) {
		buf_add_bytes(out, (const char[]){ '\\', letters[c] }, 2);
		return;
	}
	add_number(out, c);
}

/* What stands at p and is not literal; returns its length. */
static size_t add_other(struct buf *out, const unsigned char *p, size_t len)
{
	size_t hidden = hidden_length(p, len);

	if (*p < 0x80)
		add_escape(out, *p);
	else if (hidden)
		add_number(out, hidden == 2 ? p[1] : 0x2000u + (p[2] - 0x80u));
	else
		buf_add(out, TEXT("\xef\xbf\xbd"));
	return hidden ? hidden : 1;
}

void observe_add_json_text(struct buf *out, struct text t, size_t max_bytes)
{
	const unsigned char *p = (const unsigned char *)t.at;
	const unsigned char *limit = p + MIN(t.len, max_bytes);
	const unsigned char *end = p + t.len;

	buf_add_octet(out, '"');
	while (p < limit) {
		const unsigned char *run = p;
		size_t len;

		while (p < limit && (len = is_plain[*p] ? 1 : literal_length(p, (size_t)(end - p))) > 0)
			p += len;
		buf_add_bytes(out, run, (size_t)(p - run));
		if (p >= limit)
			break;
		p += add_other(out, p, (size_t)(end - p));
	}
	if (p < end)
		buf_add(out, TEXT("\xe2\x80\xa6"));
	buf_add_octet(out, '"');
}
