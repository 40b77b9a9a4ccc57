#include <postrider/mail/local_text.h>

enum phase {
	LINE_START,
	IN_LINE,
	AFTER_CR,     /* a CR inside a line: its line end is given when it is known what follows */
	AFTER_DOT,    /* a dot at the start of a line, kept back */
	AFTER_DOT_CR, /* and a CR behind it */
};

static void end_line(struct local_text *l, struct buf *out)
{
	buf_add(out, TEXT("\r\n"));
	l->phase = LINE_START;
}

/* What was kept back is part of the line after all. */
static void settle(struct local_text *l, struct buf *out)
{
	unsigned phase = l->phase;

	if (phase == AFTER_DOT || phase == AFTER_DOT_CR) {
		buf_add_octet(out, '.');
		l->phase = IN_LINE;
	}
	if (phase == AFTER_CR || phase == AFTER_DOT_CR) {
		if (!l->has_bare_cr)
			l->bare_cr_at = out->len;
		l->has_bare_cr = true;
		end_line(l, out);
	}
}

static void take_line_end(struct local_text *l, struct buf *out)
{
	if (l->phase == AFTER_DOT || l->phase == AFTER_DOT_CR)
		l->ended = true;
	else
		end_line(l, out);
}

static void take_octet(struct local_text *l, char c, struct buf *out)
{
	if (c == '\n') {
		take_line_end(l, out);
		return;
	}
	if (l->phase == AFTER_CR || l->phase == AFTER_DOT_CR || (l->phase == AFTER_DOT && c != '\r'))
		settle(l, out);
	if (c == '\r') {
		l->phase = l->phase == AFTER_DOT ? AFTER_DOT_CR : AFTER_CR;
	} else if (c == '.' && l->phase == LINE_START && l->dot_ends) {
		l->phase = AFTER_DOT;
	} else {
		buf_add_octet(out, c);
		l->phase = IN_LINE;
	}
}

/* How many octets from the front are nothing but the inside of a line. */
static size_t plain_length(struct local_text *l, struct text t)
{
	size_t i = 0;

	for (; i < t.len && t.at[i] != '\n' && t.at[i] != '\r'; i++) {
		l->has_8bit = l->has_8bit || (unsigned char)t.at[i] > 127;
		l->has_nul = l->has_nul || t.at[i] == '\0';
	}
	return i;
}

void local_text_add(struct local_text *l, struct text octets, struct buf *out)
{
	while (octets.len > 0 && !l->ended) {
		size_t len = plain_length(l, octets);

		if (len > 0) {
			take_octet(l, octets.at[0], out);
			octets = text_skip(octets, 1);
			len--;
		}
		if (len > 0 && l->phase != IN_LINE)
			continue;
		buf_add(out, text_head(octets, len));
		octets = text_skip(octets, len);
		if (octets.len > 0)
			take_octet(l, octets.at[0], out);
		octets = text_skip(octets, 1);
	}
}

void local_text_finish(struct local_text *l, struct buf *out)
{
	if (l->ended)
		return;
	if (l->phase == AFTER_DOT || l->phase == AFTER_DOT_CR) {
		l->ended = true; /* the dot's line lost its end with the input */
		return;
	}
	settle(l, out);
	if (l->phase != LINE_START)
		end_line(l, out);
}
