#include <postrider/smtp/data.h>

#include <postrider/base/auto.h>

#include "octets64.h"

/* ---------------------------------------------------------------- in */

void data_decoder_init(struct data_decoder *d)
{
	*d = (struct data_decoder){ .phase = DATA_LINE_START, .at_break = true };
}

static uint64_t count_bits(uint64_t mask)
{
	return mask ? (uint64_t)__builtin_popcountll(mask) : 0;
}

/* Adds the lines of a block to the books. Only its first line end can close a line that began before the
 * block, and a line inside one block is short. */
static void count_lines(struct data_decoder *d, uint64_t line_ends, size_t len)
{
	if (!line_ends) {
		d->line_bytes += len;
		return;
	}
	if (d->line_bytes + lowest_bit(line_ends) + 1 > DATA_LINE_MAX + 2)
		d->long_line_count++;
	d->line_bytes = len - (64 - (size_t)__builtin_clzll(line_ends));
}

static void count_nuls(struct data_decoder *d, const struct octets64 *o, size_t len)
{
	uint64_t there = lowest_bits(len);
	uint64_t breaks = (o->lf | o->cr) & there;
	uint64_t first = (breaks << 1 | d->at_break) & there;
	uint64_t first_dots = o->dot & first;
	uint64_t behind_dots = first_dots << 1 | d->at_first_dot;

	d->nul_count += count_bits(o->nul & there);
	d->nul_first_count += count_bits(o->nul & (first | behind_dots) & there);
	d->at_break = breaks >> (len - 1) & 1;
	d->at_first_dot = first_dots >> (len - 1) & 1;
}

/* Counts `len` octets of content, 64 at most. True: they end with a line end. */
static bool account(struct data_decoder *d, const struct octets64 *o, size_t len)
{
	uint64_t there = lowest_bits(len);
	uint64_t lf = o->lf & there, cr = o->cr & there;
	uint64_t behind_cr = (cr << 1 | d->after_cr) & there;
	uint64_t line_ends = lf & behind_cr;

	d->bare_lf_count += count_bits(lf & ~behind_cr);
	d->bare_cr_count += count_bits(behind_cr & ~lf);
	count_nuls(d, o, len);
	d->has_8bit |= (o->high & there) != 0;
	d->content_bytes += len;
	d->after_cr = cr >> (len - 1) & 1;
	count_lines(d, line_ends, len);
	return line_ends >> (len - 1) & 1;
}

/* How many octets of input are content up to the next dot at the start of a line. The first is not at one. */
static size_t scan(struct data_decoder *d, struct text input)
{
	bool line_start = false;

	d->phase = DATA_INSIDE_LINE;
	for (size_t at = 0; at < input.len;) {
		size_t len = MIN(input.len - at, BLOCK_OCTETS);
		struct octets64 o = octets64_of(input.at + at, len);
		uint64_t line_ends = o.lf & (o.cr << 1 | d->after_cr);
		uint64_t dots = o.dot & (line_ends << 1 | line_start);

		if (dots)
			len = lowest_bit(dots);
		if (len > 0)
			line_start = account(d, &o, len);
		at += len;
		if (dots) {
			d->phase = DATA_LINE_START;
			return at;
		}
	}
	if (line_start)
		d->phase = DATA_LINE_START;
	return input.len;
}

/* The CR behind a dot was no part of the end: it is content, and the octet that came with it may be gone
 * already. */
static enum data_event give_back_cr(struct data_decoder *d, struct text *span)
{
	struct octets64 o = { .cr = 1 };

	account(d, &o, 1);
	d->phase = DATA_INSIDE_LINE;
	*span = TEXT("\r");
	return DATA_SPAN;
}

enum data_event data_decode(struct data_decoder *d, struct text *input, struct text *span)
{
	while (input->len) {
		char c = input->at[0];

		if (d->phase == DATA_LINE_START && c == '.') {
			d->phase = DATA_AFTER_DOT;
		} else if (d->phase == DATA_AFTER_DOT && c == '\r') {
			d->phase = DATA_AFTER_DOT_CR;
		} else if (d->phase == DATA_AFTER_DOT_CR && c == '\n') {
			d->phase = DATA_AT_END;
			*input = text_skip(*input, 1);
			return DATA_END;
		} else if (d->phase == DATA_AFTER_DOT_CR) {
			return give_back_cr(d, span);
		} else {
			size_t len = scan(d, *input);

			*span = text_head(*input, len);
			*input = text_skip(*input, len);
			return DATA_SPAN;
		}
		*input = text_skip(*input, 1);
	}
	return DATA_MORE;
}

void data_decoder_count(struct data_decoder *d, struct text content)
{
	while (content.len) {
		size_t len = MIN(content.len, BLOCK_OCTETS);
		struct octets64 o = octets64_of(content.at, len);

		account(d, &o, len);
		content = text_skip(content, len);
	}
}

void data_decoder_count_end(struct data_decoder *d)
{
	d->bare_cr_count += d->after_cr;
	d->after_cr = false;
}

/* ---------------------------------------------------------------- out */

void data_encoder_init(struct data_encoder *e)
{
	*e = (struct data_encoder){ .inside_line = false };
}

/* Where the first octet stands that may not leave: a LF without CR, or a CR without LF, len if there is none.
 * A CR that is the last octet is not judged. */
struct stretch {
	size_t len;      /* octets that may leave as they are */
	bool dot;        /* ... and then comes a dot at the start of a line */
	bool bare;       /* ... and then comes what may not leave */
	bool line_start; /* ... and they end with a line end */
};

static struct stretch measure(struct text content, bool line_start)
{
	bool after_cr = false;

	for (size_t at = 0; at < content.len;) {
		size_t len = MIN(content.len - at, BLOCK_OCTETS);
		struct octets64 o = octets64_of(content.at + at, len);
		uint64_t behind_cr = (o.cr << 1 | after_cr) & lowest_bits(len);
		uint64_t line_ends = o.lf & behind_cr;
		uint64_t dots = o.dot & (line_ends << 1 | line_start), bare = o.lf ^ behind_cr;

		if (dots | bare) {
			size_t stop = at + lowest_bit(dots | bare);
			bool is_bare = bare >> lowest_bit(dots | bare) & 1;

			/* A bare CR is seen at the octet behind it. */
			if (is_bare && stop > 0 && content.at[stop - 1] == '\r')
				stop--;
			return (struct stretch){ .len = stop, .dot = !is_bare, .bare = is_bare };
		}
		after_cr = o.cr >> (len - 1) & 1;
		line_start = line_ends >> (len - 1) & 1;
		at += len;
	}
	return (struct stretch){ .len = content.len, .line_start = line_start };
}

static enum err fail(struct data_encoder *e)
{
	e->failed = true;
	return ERR_SYNTAX;
}

/* The CR came at the end of what was given before. */
static enum err encode_after_cr(struct data_encoder *e, struct text *content, struct text *span)
{
	if (content->at[0] != '\n')
		return fail(e);
	e->after_cr = false;
	e->inside_line = false;
	*content = text_skip(*content, 1);
	*span = TEXT("\r\n");
	return ERR_OK;
}

enum err data_encode(struct data_encoder *e, struct text *content, struct text *span)
{
	if (e->failed)
		return ERR_SYNTAX;
	if (content->len == 0)
		return ERR_MORE;
	if (e->after_cr)
		return encode_after_cr(e, content, span);
	struct stretch s = measure(*content, !e->inside_line && !e->dot_sent);

	if (s.bare && s.len == 0)
		return fail(e);
	size_t taken = s.len;

	e->dot_sent = s.dot;
	e->inside_line = !s.line_start && !s.dot;
	if (s.dot) {
		/* The dot goes out with this span and, doubled, as the first octet of the next. */
		*span = text_head(*content, taken + 1);
	} else if (!s.bare && content->at[taken - 1] == '\r') {
		e->after_cr = true;
		*span = text_head(*content, taken - 1);
	} else {
		*span = text_head(*content, taken);
	}
	*content = text_skip(*content, taken);
	return span->len ? ERR_OK : ERR_MORE;
}

enum err data_encode_end(struct data_encoder *e, struct text *span)
{
	if (e->failed || e->after_cr)
		return ERR_SYNTAX;
	*span = e->inside_line ? TEXT("\r\n.\r\n") : TEXT(".\r\n");
	return ERR_OK;
}

enum err data_check(struct data_checker *c, struct text piece)
{
	if (piece.len == 0)
		return ERR_OK;
	if (c->after_cr && piece.at[0] != '\n')
		return ERR_SYNTAX;
	if (c->after_cr)
		piece = text_skip(piece, 1);
	c->after_cr = false;
	while (piece.len) {
		struct stretch s = measure(piece, false);

		if (s.bare)
			return ERR_SYNTAX;
		if (!s.dot) {
			c->after_cr = piece.at[piece.len - 1] == '\r';
			return ERR_OK;
		}
		piece = text_skip(piece, s.len + 1); /* up to a dot, and over it */
	}
	return ERR_OK;
}

bool data_is_clean(struct text content)
{
	struct data_checker c = { .after_cr = false };

	return data_check(&c, content) == ERR_OK && !c.after_cr;
}

/* ---------------------------------------------------------------- repair */

void data_repairer_init(struct data_repairer *r, bool has_dots)
{
	*r = (struct data_repairer){ .has_dots = has_dots };
}

static enum err give_line_end(struct data_repairer *r, bool repaired, struct text *span)
{
	r->at_repaired = repaired;
	r->repaired_count += repaired;
	*span = TEXT("\r\n");
	return ERR_OK;
}

/* Some CRs were held back for want of what follows them. ERR_MORE: go on with the next octet. */
static enum err repair_after_cr(struct data_repairer *r, struct text *content, struct text *span)
{
	char next = content->at[0];

	if (next == '\r') {
		r->held_crs++;
		*content = text_skip(*content, 1);
		return ERR_MORE;
	}
	if (next == '\n') {
		r->repaired_count += r->held_crs > 1;
		r->held_crs = 0;
		*content = text_skip(*content, 1);
		return give_line_end(r, false, span);
	}
	r->held_crs--;
	return give_line_end(r, true, span);
}

/* The next octet is a bare line end, or content in which the next one is looked for. */
static enum err repair_here(struct data_repairer *r, struct text *content, struct text *span)
{
	struct stretch s = measure(*content, false);
	size_t len = s.len;

	if (s.bare && len == 0) {
		char c = content->at[0];

		*content = text_skip(*content, 1);
		if (c == '\n')
			return give_line_end(r, true, span);
		r->held_crs = 1;
		return ERR_MORE;
	}
	bool held = !s.bare && !s.dot && content->at[len - 1] == '\r';

	*span = text_head(*content, held ? len - 1 : len);
	*content = text_skip(*content, len);
	r->held_crs = held;
	return span->len ? ERR_OK : ERR_MORE;
}

enum err data_repair(struct data_repairer *r, struct text *content, struct text *span)
{
	while (content->len) {
		enum err err;

		if (r->held_crs) {
			err = repair_after_cr(r, content, span);
		} else if (r->at_repaired && r->has_dots && content->at[0] == '.') {
			r->at_repaired = false;
			*content = text_skip(*content, 1);
			continue;
		} else {
			r->at_repaired = false;
			err = repair_here(r, content, span);
		}
		if (err != ERR_MORE)
			return err;
	}
	return ERR_MORE;
}

enum err data_repair_end(struct data_repairer *r, struct text *span)
{
	if (!r->held_crs)
		return ERR_MORE;
	r->held_crs--;
	return give_line_end(r, true, span);
}
