#include <postrider/smtp/line.h>

/* Inside a line that is too long: forgets octets up to its LF. */
static enum err drop(struct line_reader *r, struct text *input, struct line *out)
{
	size_t end = text_find_octet(*input, '\n');

	bool has_cr = end > 0 ? input->at[end - 1] == '\r' : r->after_cr;

	if (end == input->len) {
		*input = text_skip(*input, end);
		r->after_cr = has_cr;
		return ERR_MORE;
	}
	*input = text_skip(*input, end + 1);
	r->dropping = false;
	*out = (struct line){ has_cr ? LINE_TOO_LONG : LINE_BARE_LF, TEXT_EMPTY };
	return ERR_OK;
}

static enum line_fault fault_of(const struct line_reader *r, struct text line)
{
	if (line.len > r->max_bytes)
		return LINE_TOO_LONG;
	if (text_find_octet(line, '\r') < line.len)
		return LINE_BARE_CR;
	return text_find_octet(line, '\0') < line.len ? LINE_NUL : LINE_FINE;
}

enum err line_read(struct line_reader *r, struct text *input, struct line *out)
{
	if (r->dropping)
		return drop(r, input, out);
	size_t end = text_find_octet(*input, '\n');

	if (end == input->len) {
		/* The octet over the limit may be the CR of the line end. */
		if (end > r->max_bytes + 1) {
			r->dropping = true;
			r->after_cr = input->at[end - 1] == '\r';
			*input = text_skip(*input, end);
		}
		return ERR_MORE;
	}
	bool has_cr = end > 0 && input->at[end - 1] == '\r';
	struct text line = text_head(*input, has_cr ? end - 1 : end);
	enum line_fault fault = fault_of(r, line);

	if (fault == LINE_TOO_LONG)
		line = TEXT_EMPTY;
	if (!has_cr)
		fault = LINE_BARE_LF;
	*input = text_skip(*input, end + 1);
	*out = (struct line){ fault, line };
	return ERR_OK;
}
