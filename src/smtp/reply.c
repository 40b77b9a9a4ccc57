#include <postrider/smtp/reply.h>

#include <postrider/base/auto.h>
#include <postrider/base/utf8.h>
#include <postrider/smtp/path.h>

#define WIRE_LINE_MAX 512 /* RFC 5321 section 4.5.3.1.5, with code and CR LF */

/* ---------------------------------------------------------------- enhanced status codes */

/* The length of "1.2.3" at the front of t, 0 if there is none. class "." subject "." detail (RFC 3463 section
 * 2) */
static size_t enhanced_length(struct text t)
{
	size_t at = 1;

	if (t.len < 5 || (t.at[0] != '2' && t.at[0] != '4' && t.at[0] != '5'))
		return 0;
	for (int part = 0; part < 2; part++) {
		if (at == t.len || t.at[at] != '.')
			return 0;
		size_t first = ++at;

		while (at < t.len && at < first + 3 && ascii_is_digit(t.at[at]))
			at++;
		if (at == first)
			return 0;
	}
	return at;
}

bool reply_is_enhanced(struct text t)
{
	return t.len > 0 && enhanced_length(t) == t.len;
}

struct text reply_status(const struct reply *r)
{
	static const struct text bare[] = { LIT("2.0.0"), LIT("4.0.0"), LIT("5.0.0") };

	if (r->enhanced[0])
		return text_from(r->enhanced);
	switch (reply_class(r)) {
	case REPLY_TRANSIENT:
		return bare[1];
	case REPLY_PERMANENT:
		return bare[2];
	default:
		return bare[0];
	}
}

/* ---------------------------------------------------------------- ours */

static void add_code(struct buf *b, int code)
{
	char digits[3] = { (char)('0' + code / 100 % 10), (char)('0' + code / 10 % 10),
		           (char)('0' + code % 10) };

	buf_add_bytes(b, digits, sizeof(digits));
}

static bool is_plain(char c)
{
	return c >= ' ' && c <= '~';
}

/* How many octets at the front of t may leave as they are. */
static size_t plain_length(struct text t, bool utf8)
{
	size_t len = 0;
	uint32_t c;

	while (len < t.len) {
		size_t more = is_plain(t.at[len]) ? 1 : utf8 ? utf8_length(text_skip(t, len), &c) : 0;

		if (more == 0 || (more > 1 && !smtp_code_point_is_fit(c)) ||
		    (more == 1 && !is_plain(t.at[len])))
			break;
		len += more;
	}
	return len;
}

static void add_plain(struct buf *b, struct text t, bool utf8)
{
	while (t.len) {
		size_t run = plain_length(t, utf8);

		buf_add(b, text_head(t, run));
		if (run < t.len)
			buf_add_octet(b, '?');
		t = text_skip(t, run + 1);
	}
}

/* RFC 2034 section 3: the class is the first digit's, and 3xx has none. */
static struct text enhanced_of(const struct reply *r)
{
	struct text enhanced = text_from(r->enhanced);

	if (enhanced.len && enhanced.at[0] - '0' != r->code / 100)
		return TEXT_EMPTY;
	return enhanced;
}

void reply_add(struct buf *b, const struct reply *r)
{
	struct text enhanced = enhanced_of(r), rest = r->text, line = text_cut(&rest, '\n');
	bool has_more = line.len < r->text.len; /* a line break follows: another line, perhaps empty */
	size_t room = WIRE_LINE_MAX - 6 - (enhanced.len ? enhanced.len + 1 : 0);

	for (;;) {
		bool last = line.len <= room && !has_more;

		add_code(b, r->code);
		buf_add_octet(b, last ? ' ' : '-');
		if (enhanced.len) {
			buf_add(b, enhanced);
			buf_add_octet(b, ' ');
		}
		add_plain(b, text_head(line, room), r->utf8);
		buf_add_bytes(b, "\r\n", 2);
		if (last)
			return;
		if (line.len > room) {
			line = text_skip(line, room);
			continue;
		}
		struct text before = rest;

		line = text_cut(&rest, '\n');
		has_more = line.len < before.len;
	}
}

static bool is_control(char c)
{
	return (unsigned char)c < ' ' || c == 0x7f;
}

void reply_add_line(struct buf *b, const struct reply *r)
{
	struct text enhanced = enhanced_of(r);

	add_code(b, r->code);
	if (enhanced.len) {
		buf_add_octet(b, ' ');
		buf_add(b, enhanced);
	}
	if (r->text.len)
		buf_add_octet(b, ' ');
	for (size_t i = 0; i < r->text.len; i++) {
		char c = r->text.at[i];

		buf_add_octet(b, c == '\n' ? ' ' : is_control(c) ? '?' : c);
	}
}

/* ---------------------------------------------------------------- peers' */

void reply_reader_init(struct reply_reader *r)
{
	*r = (struct reply_reader){ .lines = line_reader(REPLY_LINE_MAX), .text = BUF(REPLY_TEXT_MAX) };
}

void reply_reader_fini(struct reply_reader *r)
{
	buf_fini(&r->text);
}

void reply_reader_reset(struct reply_reader *r)
{
	r->lines = line_reader(REPLY_LINE_MAX);
	r->line_count = 0;
}

/* Reply-code = %x32-35 %x30-35 %x30-39; the second digit is taken as it comes. */
static int code_of(struct text line)
{
	if (line.len < 3 || line.at[0] < '2' || line.at[0] > '5' || !ascii_is_digit(line.at[1]) ||
	    !ascii_is_digit(line.at[2]))
		return 0;
	return (line.at[0] - '0') * 100 + (line.at[1] - '0') * 10 + (line.at[2] - '0');
}

/* The enhanced code counts only if its class is the first digit of the code; it is cut from each line that
 * has it. */
static struct text cut_enhanced(struct reply *r, struct text text)
{
	size_t len = enhanced_length(text);

	if (len == 0 || (len < text.len && text.at[len] != ' ') || text.at[0] - '0' != r->code / 100)
		return text;
	struct text found = text_head(text, len);

	if (!r->enhanced[0])
		memcpy(r->enhanced, found.at, found.len); /* zeroed, and longer than 5.999.999 */
	else if (!text_eq(found, text_from(r->enhanced)))
		return text;
	return text_skip(text, len + 1);
}

static void keep_text(struct reply_reader *r, struct text text)
{
	if (r->line_count > 1 && r->text.len < r->text.max)
		buf_add_octet(&r->text, '\n');
	size_t from = r->text.len;

	buf_add(&r->text, text_head(text, r->text.max - from));
	for (size_t i = from; i < r->text.len; i++)
		if (is_control(r->text.at[i]))
			r->text.at[i] = r->text.at[i] == '\t' ? ' ' : '?';
}

/* One line. ERR_MORE: others follow. Reply-line = *( Reply-code "-" [ text ] CRLF ) Reply-code [ SP text ]
 * CRLF */
static enum err take_line(struct reply_reader *r, struct text line)
{
	int code = code_of(line);
	char separator = line.len > 3 ? line.at[3] : ' ';

	if (code == 0 || (separator != ' ' && separator != '-'))
		return ERR_SYNTAX;
	if (r->line_count == 0) {
		r->reply = (struct reply){ .code = code };
		buf_reset(&r->text);
	} else if (code != r->reply.code) {
		return ERR_SYNTAX;
	}
	if (++r->line_count > REPLY_LINES_MAX)
		return ERR_TOO_BIG;
	keep_text(r, cut_enhanced(&r->reply, text_skip(line, 4)));
	if (buf_err(&r->text))
		return buf_err(&r->text);
	return separator == '-' ? ERR_MORE : ERR_OK;
}

enum err reply_read(struct reply_reader *r, struct text *input, struct reply *out)
{
	for (;;) {
		struct line line;
		enum err err = line_read(&r->lines, input, &line);

		if (err)
			return r->lines.dropping ? ERR_TOO_BIG : err;
		if (line.fault == LINE_TOO_LONG)
			err = ERR_TOO_BIG;
		else if (line.fault == LINE_BARE_LF)
			err = ERR_SYNTAX;
		else
			err = take_line(r, line.text);
		if (err == ERR_MORE)
			continue;
		r->line_count = 0;
		if (err)
			return err;
		r->reply.text = buf_text(&r->text);
		*out = r->reply;
		return ERR_OK;
	}
}
