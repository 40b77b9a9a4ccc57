/* Fields that somebody asks for, as lines. */
#include "header_pick.h"

void header_pick_init(struct header_pick *p, const struct text *names, size_t count)
{
	size_t max = HEADER_PICK_MAX;

	/* whatever the values take, each name has room to be missing */
	for (size_t i = 0; i < count; i++)
		max += names[i].len + 4;
	*p = (struct header_pick){ .names = names, .count = count, .lines = BUF(max) };
}

void header_pick_fini(struct header_pick *p)
{
	buf_fini(&p->lines);
}

static const struct text *find_name(const struct header_pick *p, struct text name)
{
	for (size_t i = 0; i < p->count; i++)
		if (text_eq_nocase(p->names[i], name))
			return &p->names[i];
	return NULL;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

static void end_value(struct header_pick *p)
{
	size_t begin = p->value_at, end = p->lines.len;

	if (!begin)
		return;
	while (end > begin && is_space(p->lines.at[end - 1]))
		end--;
	p->values_bytes -= p->lines.len - end;
	buf_cut(&p->lines, end);
	buf_add_octet(&p->lines, '\n');
	p->value_at = 0;
}

void header_pick_begin(struct header_pick *p, struct text name)
{
	end_value(p);
	const struct text *asked = name.len ? find_name(p, name) : NULL;

	/* its line takes from what values may have: a thousand empty fields are bounded too */
	if (!asked || p->values_bytes + asked->len + 3 > HEADER_PICK_MAX)
		return;
	p->values_bytes += asked->len + 3;
	buf_add(&p->lines, *asked);
	buf_add_string(&p->lines, ": ");
	p->value_at = p->lines.len;
}

void header_pick_add(struct header_pick *p, struct text octets)
{
	if (!p->value_at || buf_err(&p->lines))
		return;
	for (size_t i = 0; i < octets.len; i++) {
		char c = octets.at[i];
		size_t len = p->lines.len - p->value_at;

		if (c == '\r' || c == '\n' || (len == 0 && is_space(c)))
			continue;
		if (len == HEADER_PICK_VALUE_MAX || p->values_bytes == HEADER_PICK_MAX)
			return;
		buf_add_octet(&p->lines, (unsigned char)c < ' ' || c == 0x7f ? ' ' : c);
		p->values_bytes++;
	}
}

void header_pick_all(struct header_pick *p, struct text content)
{
	struct header_field field;

	while (header_next(&content, &field)) {
		header_pick_begin(p, field.name);
		header_pick_add(p, field.value);
	}
	end_value(p);
}

enum err header_pick_finish(struct header_pick *p)
{
	end_value(p);
	for (size_t i = 0; i < p->count && !buf_err(&p->lines); i++) {
		if (header_pick_knows(buf_text(&p->lines), p->names[i]))
			continue;
		buf_add(&p->lines, p->names[i]);
		buf_add_octet(&p->lines, '\n');
	}
	return buf_err(&p->lines);
}

bool header_pick_knows(struct text lines, struct text name)
{
	while (lines.len) {
		struct text line = text_cut(&lines, '\n');

		if (text_eq_nocase(text_head(line, text_find_octet(line, ':')), name))
			return true;
	}
	return false;
}

bool header_pick_next(struct text *lines, struct text *name, struct text *value)
{
	while (lines->len) {
		struct text line = text_cut(lines, '\n');
		size_t colon = text_find_octet(line, ':');

		if (colon == line.len)
			continue;
		*name = text_head(line, colon);
		*value = text_trim(text_skip(line, colon + 1));
		return true;
	}
	return false;
}
