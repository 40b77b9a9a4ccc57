#include "fold.h"

#include <postrider/base/auto.h>
#include <postrider/base/utf8.h>

struct folder folder_of_field(struct buf *b, struct text name)
{
	struct folder f = { .b = b, .line_break = "\r\n\t", .indent = 8 };

	folder_add(&f, name);
	folder_add(&f, TEXT(":"));
	return f;
}

void folder_add(struct folder *f, struct text t)
{
	buf_add(f->b, t);
	f->column += t.len;
}

static bool is_printable(char c)
{
	return c >= ' ' && c <= '~';
}

static bool is_harmless(char c)
{
	return is_printable(c) && c != ' ' && !strchr("()\\\"<>,;", c);
}

/* The length of a character at the front that goes as it is; 0: it does not. */
static size_t printable_length(const struct folder *f, struct text t)
{
	uint32_t c;
	size_t len;

	if (is_printable(t.at[0]))
		return 1;
	len = f->utf8 ? utf8_length(t, &c) : 0;
	return len > 1 && c >= 0xa0 ? len : 0;
}

void folder_add_printable(struct folder *f, struct text t)
{
	f->column += t.len;
	while (t.len) {
		size_t len = printable_length(f, t);

		buf_add(f->b, len ? text_head(t, len) : TEXT("?"));
		t = text_skip(t, MAX(len, (size_t)1));
	}
}

void folder_add_harmless(struct folder *f, struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		buf_add_octet(f->b, is_harmless(t.at[i]) ? t.at[i] : '?');
	f->column += t.len;
}

void folder_break(struct folder *f)
{
	buf_add_string(f->b, f->line_break);
	f->column = f->indent;
}

void folder_space(struct folder *f, size_t next_len)
{
	if (f->column > f->indent && f->column + 1 + next_len > LINE_SOFT_MAX)
		folder_break(f);
	else
		folder_add(f, TEXT(" "));
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

void folder_add_words(struct folder *f, struct text t)
{
	while (t.len) {
		size_t len = 0;

		while (len < t.len && len < WORD_MAX && !is_space(t.at[len]))
			len++;
		if (len > 0) {
			folder_space(f, len);
			folder_add_printable(f, text_head(t, len));
		}
		t = text_skip(t, MAX(len, 1));
	}
}
