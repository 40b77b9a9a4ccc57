#include "line_ends.h"

static size_t find_line_end(struct line_ends *l, struct text t)
{
	size_t i = 0;

	for (; i < t.len && t.at[i] != '\r' && t.at[i] != '\n'; i++)
		if ((unsigned char)t.at[i] > 127)
			l->has_8bit = true;
	return i;
}

void line_ends_add(struct line_ends *l, struct text octets, struct buf *out)
{
	while (octets.len > 0) {
		if (l->after_cr && octets.at[0] == '\n')
			octets = text_skip(octets, 1);
		l->after_cr = false;
		size_t len = find_line_end(l, octets);

		buf_add(out, text_head(octets, len));
		l->in_line = l->in_line || len > 0;
		if (len == octets.len)
			return;
		buf_add(out, TEXT("\r\n"));
		l->in_line = false;
		l->after_cr = octets.at[len] == '\r';
		octets = text_skip(octets, len + 1);
	}
}

void line_ends_finish(struct line_ends *l, struct buf *out)
{
	if (l->in_line)
		buf_add(out, TEXT("\r\n"));
	l->in_line = false;
}
