#include "line_ends.h"

static enum err give(struct line_ends *l, struct text span, line_ends_fn *fn, void *owner)
{
	for (size_t i = 0; i < span.len && !l->has_8bit; i++)
		l->has_8bit = (unsigned char)span.at[i] > 127;
	return span.len > 0 ? fn(owner, span) : ERR_OK;
}

static size_t find_line_end(struct text t)
{
	size_t i = 0;

	while (i < t.len && t.at[i] != '\r' && t.at[i] != '\n')
		i++;
	return i;
}

enum err line_ends_feed(struct line_ends *l, struct text octets, line_ends_fn *fn, void *owner)
{
	while (octets.len > 0) {
		if (l->after_cr && octets.at[0] == '\n')
			octets = text_skip(octets, 1);
		l->after_cr = false;
		size_t len = find_line_end(octets);
		enum err err = give(l, text_head(octets, len), fn, owner);

		if (err)
			return err;
		l->in_line = l->in_line || len > 0;
		if (len == octets.len)
			return ERR_OK;
		err = fn(owner, TEXT("\r\n"));
		if (err)
			return err;
		l->in_line = false;
		l->after_cr = octets.at[len] == '\r';
		octets = text_skip(octets, len + 1);
	}
	return ERR_OK;
}

enum err line_ends_finish(struct line_ends *l, line_ends_fn *fn, void *owner)
{
	if (!l->in_line)
		return ERR_OK;
	l->in_line = false;
	return fn(owner, TEXT("\r\n"));
}
