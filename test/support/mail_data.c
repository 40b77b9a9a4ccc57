#include "support/mail_data.h"

static bool ends_with(const struct buf *b, const char *string)
{
	return text_ends(buf_text(b), text_from(string));
}

/* Takes one line, with its CR LF, from the front; false: there is no whole one. */
static bool cut_line(struct text *rest, struct text *line)
{
	size_t end = text_find(*rest, TEXT("\r\n"));

	if (end == rest->len)
		return false;
	*line = text_head(*rest, end + 2);
	*rest = text_skip(*rest, end + 2);
	return true;
}

/* Whether the content so far ends with a line end of any kind, a dot behind it left out. */
static bool is_at_start(struct text so_far)
{
	if (so_far.len && so_far.at[so_far.len - 1] == '.' &&
	    (so_far.len == 1 || so_far.at[so_far.len - 2] == '\r' || so_far.at[so_far.len - 2] == '\n'))
		return true;
	return so_far.len == 0 || so_far.at[so_far.len - 1] == '\r' || so_far.at[so_far.len - 1] == '\n';
}

static void add_content(struct plain_data *p, struct text line)
{
	for (size_t i = 0; i < line.len; i++) {
		char c = line.at[i];

		if (c == '\n' && !ends_with(&p->content, "\r"))
			p->bare_lf++;
		if (c != '\n' && ends_with(&p->content, "\r"))
			p->bare_cr++;
		p->nul += c == '\0';
		p->nul_first += c == '\0' && is_at_start(buf_text(&p->content));
		p->has_8bit |= (unsigned char)c > 0x7f;
		buf_add_octet(&p->content, c);
	}
}

void plain_data_decode(struct plain_data *p, struct text input)
{
	struct text rest = input, line;

	*p = (struct plain_data){ .content = BUF(input.len + 1) };
	while (cut_line(&rest, &line)) {
		if (text_eq(line, TEXT(".\r\n"))) {
			p->ended = true;
			p->used = input.len - rest.len;
			return;
		}
		if (text_starts(line, TEXT(".")))
			line = text_skip(line, 1);
		p->long_lines += line.len > 1000;
		add_content(p, line);
	}
	p->used = input.len;
	/* ".", and a CR behind it, may yet be the end. */
	if (!text_eq(rest, TEXT(".\r")))
		add_content(p, text_starts(rest, TEXT(".")) ? text_skip(rest, 1) : rest);
}

void plain_data_fini(struct plain_data *p)
{
	buf_fini(&p->content);
}

bool plain_data_encode(struct text content, struct buf *wire)
{
	struct text rest = content, line;

	for (size_t i = 0; i < content.len; i++) {
		bool lf_next = i + 1 < content.len && content.at[i + 1] == '\n';

		if (content.at[i] == '\r' ? !lf_next
		                          : content.at[i] == '\n' && (i == 0 || content.at[i - 1] != '\r'))
			return false;
	}
	while (rest.len) {
		if (rest.at[0] == '.')
			buf_add_octet(wire, '.');
		if (!cut_line(&rest, &line)) {
			buf_add(wire, rest);
			buf_add_string(wire, "\r\n");
			break;
		}
		buf_add(wire, line);
	}
	buf_add_string(wire, ".\r\n");
	return true;
}

void plain_data_repair(struct text content, bool has_dots, struct buf *out)
{
	bool repaired = false; /* a line end that was none came last */
	size_t crs = 0;

	for (size_t i = 0; i < content.len; i++) {
		char c = content.at[i];

		if (c == '\r') {
			crs++;
			continue;
		}
		if (c == '\n') {
			repaired = crs == 0;
			crs = 0;
			buf_add_string(out, "\r\n");
			continue;
		}
		for (; crs > 0; crs--, repaired = true)
			buf_add_string(out, "\r\n");
		if (!(repaired && has_dots && c == '.'))
			buf_add_octet(out, c);
		repaired = false;
	}
	for (; crs > 0; crs--)
		buf_add_string(out, "\r\n");
}
