#include <postrider/mail/address_list.h>

#include <postrider/base/auto.h>

struct reader {
	struct text rest;
	struct buf mailbox; /* being put together: local part, "@", domain */
	bool in_group;
	address_list_fn *each;
	void *owner;
};

/* ---------------------------------------------------------------- octets */

/* Octets above 127 are atext here (RFC 6532). */
static bool is_atext(char c)
{
	return (unsigned char)c > 127 || ascii_is_alnum(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static char front(const struct reader *r)
{
	return r->rest.len > 0 ? r->rest.at[0] : '\0';
}

static void skip(struct reader *r)
{
	r->rest = text_skip(r->rest, 1);
}

/* FWS, as folding leaves it; also a line end without white space behind it, which the field's end cannot be. */
static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_control(char c)
{
	return ((unsigned char)c < ' ' && !is_space(c)) || c == 0x7f;
}

/* comment = "(" *([FWS] ccontent) [FWS] ")", nested without end, so counted */
static enum err skip_comment(struct reader *r)
{
	size_t depth = 0;

	do {
		char c = front(r);

		if (r->rest.len == 0 || is_control(c))
			return ERR_SYNTAX;
		depth += c == '(';
		depth -= c == ')';
		skip(r);
		if (c == '\\') {
			if (r->rest.len == 0 || is_control(front(r)))
				return ERR_SYNTAX;
			skip(r);
		}
	} while (depth > 0);
	return ERR_OK;
}

/* CFWS */
static enum err skip_space(struct reader *r)
{
	while (r->rest.len > 0) {
		if (is_space(front(r)))
			skip(r);
		else if (front(r) != '(')
			break;
		else if (skip_comment(r))
			return ERR_SYNTAX;
	}
	return ERR_OK;
}

/* ---------------------------------------------------------------- words */

struct word {
	struct text text; /* a quoted string with its quotes */
	bool is_quoted;
};

static enum err read_quoted(struct reader *r, struct word *out)
{
	size_t i = 1;

	for (; i < r->rest.len && r->rest.at[i] != '"'; i++) {
		if (r->rest.at[i] == '\\')
			i++;
		if (i == r->rest.len || is_control(r->rest.at[i]))
			return ERR_SYNTAX;
	}
	if (i >= r->rest.len)
		return ERR_SYNTAX;
	*out = (struct word){ text_head(r->rest, i + 1), true };
	r->rest = text_skip(r->rest, i + 1);
	return ERR_OK;
}

/* word = atom / quoted-string. ERR_NOT_FOUND: something else is at the front. */
static enum err read_word(struct reader *r, struct word *out)
{
	size_t len = 0;

	if (front(r) == '"')
		return read_quoted(r, out);
	while (len < r->rest.len && is_atext(r->rest.at[len]))
		len++;
	if (len == 0)
		return ERR_NOT_FOUND;
	*out = (struct word){ text_head(r->rest, len), false };
	r->rest = text_skip(r->rest, len);
	return ERR_OK;
}

/* What stands inside, with folding taken out. An atom's octets need no quoting inside quotes. */
static void add_inside(struct buf *b, const struct word *w)
{
	struct text inside = w->is_quoted ? text_of(w->text.at + 1, w->text.len - 2) : w->text;

	for (size_t i = 0; i < inside.len; i++)
		if (inside.at[i] != '\r' && inside.at[i] != '\n')
			buf_add_octet(b, inside.at[i]);
}

/* ---------------------------------------------------------------- local part */

/* Words and dots as they stand in front of something: a local part if they alternate, else a display name. */
struct phrase {
	struct buf text; /* as a local part; quoted as a whole if one of several words is */
	size_t words, dots;
	bool is_local_part, has_quoted, after_word;
};

static void phrase_add_word(struct phrase *p, const struct word *w)
{
	/* obs-local-part = word *("." word): what was there before goes between quotes too */
	if (w->is_quoted && !p->has_quoted) {
		struct buf quoted = BUF(p->text.max);

		buf_add_octet(&quoted, '"');
		buf_add(&quoted, buf_text(&p->text));
		buf_fini(&p->text);
		p->text = quoted;
		p->has_quoted = true;
	}
	if (p->after_word)
		p->is_local_part = false;
	add_inside(&p->text, w);
	p->words++;
	p->after_word = true;
}

static void phrase_add_dot(struct phrase *p)
{
	if (!p->after_word)
		p->is_local_part = false;
	buf_add_octet(&p->text, '.');
	p->dots++;
	p->after_word = false;
}

/* phrase / local-part, up to the first octet that is neither. */
static enum err read_phrase(struct reader *r, struct phrase *p)
{
	enum err err = skip_space(r);

	p->is_local_part = true;
	while (!err) {
		struct word word;

		if (front(r) == '.' && r->rest.len > 0) {
			skip(r);
			phrase_add_dot(p);
		} else {
			err = read_word(r, &word);
			if (!err)
				phrase_add_word(p, &word);
		}
		if (!err)
			err = skip_space(r);
	}
	if (err != ERR_NOT_FOUND)
		return err;
	if (p->has_quoted)
		buf_add_octet(&p->text, '"');
	p->is_local_part = p->is_local_part && p->words > 0 && p->after_word;
	/* A long display name is no fault: only a local part must have come in whole. */
	return buf_err(&p->text) == ERR_NOMEM ? ERR_NOMEM : ERR_OK;
}

/* ---------------------------------------------------------------- domain */

/* domain-literal = "[" *([FWS] dtext) [FWS] "]" */
static enum err read_literal(struct reader *r)
{
	buf_add_octet(&r->mailbox, '[');
	for (skip(r); front(r) != ']'; skip(r)) {
		char c = front(r);

		if (r->rest.len == 0 || is_control(c) || c == '[' || c == '\\')
			return ERR_SYNTAX;
		if (!is_space(c))
			buf_add_octet(&r->mailbox, c);
	}
	buf_add_octet(&r->mailbox, ']');
	skip(r);
	return skip_space(r);
}

/* obs-domain = atom *("." atom), comments and white space between them */
static enum err read_domain(struct reader *r)
{
	enum err err = skip_space(r);
	struct word word;

	if (!err && front(r) == '[')
		return read_literal(r);
	while (!err) {
		if (front(r) == '"')
			return ERR_SYNTAX;
		err = read_word(r, &word);
		if (!err)
			err = skip_space(r);
		if (err)
			return ERR_SYNTAX;
		buf_add(&r->mailbox, word.text);
		if (front(r) != '.' || r->rest.len == 0)
			break;
		skip(r);
		buf_add_octet(&r->mailbox, '.');
		err = skip_space(r);
	}
	return err;
}

/* ---------------------------------------------------------------- mailboxes */

/* What stands behind a mailbox must be able to stand there, or it was not what it looked like. */
static enum err give(struct reader *r)
{
	if (buf_err(&r->mailbox))
		return buf_err(&r->mailbox);
	if (r->rest.len > 0 && front(r) != ',' && !(front(r) == ';' && r->in_group))
		return ERR_SYNTAX;
	enum err err = r->each(r->owner, buf_text(&r->mailbox));

	buf_reset(&r->mailbox);
	return err;
}

/* local-part, and "@" domain if there is one. */
static enum err read_rest_of_mailbox(struct reader *r, const struct phrase *local)
{
	if (!local->is_local_part)
		return ERR_SYNTAX;
	if (buf_err(&local->text))
		return buf_err(&local->text);
	buf_add(&r->mailbox, buf_text(&local->text));
	if (front(r) != '@')
		return ERR_OK;
	skip(r);
	buf_add_octet(&r->mailbox, '@');
	return read_domain(r);
}

static void phrase_fini(struct phrase *p)
{
	buf_fini(&p->text);
}

/* obs-route = *("," / CFWS) "@" domain *("," ["@" domain]) ":" */
static enum err skip_route(struct reader *r)
{
	enum err err = skip_space(r);

	while (!err && (front(r) == '@' || front(r) == ',')) {
		bool is_domain = front(r) == '@';

		skip(r);
		err = is_domain ? read_domain(r) : skip_space(r);
	}
	buf_reset(&r->mailbox);
	if (!err && front(r) != ':')
		err = ERR_SYNTAX;
	skip(r);
	return err;
}

/* angle-addr, from behind its "<" */
static enum err read_angle(struct reader *r)
{
	AUTO(phrase_fini) struct phrase local = { .text = BUF(ADDRESS_MAX) };
	enum err err = skip_space(r);

	if (!err && (front(r) == '@' || front(r) == ','))
		err = skip_route(r);
	if (!err)
		err = read_phrase(r, &local);
	if (!err)
		err = read_rest_of_mailbox(r, &local);
	if (!err && front(r) != '>')
		err = ERR_SYNTAX;
	skip(r);
	if (!err)
		err = skip_space(r);
	return err ? err : give(r);
}

/* address = mailbox / group; the group's members are read like those of the list. */
static enum err read_address(struct reader *r)
{
	AUTO(phrase_fini) struct phrase phrase = { .text = BUF(ADDRESS_MAX) };
	enum err err = read_phrase(r, &phrase);

	if (err)
		return err;
	if (front(r) == ':' && !r->in_group && phrase.words > 0) {
		r->in_group = true;
		skip(r);
		return ERR_OK;
	}
	if (front(r) == '<') {
		skip(r);
		return read_angle(r);
	}
	if (phrase.words == 0 && phrase.dots == 0 && front(r) != '@')
		return ERR_OK; /* obs-addr-list: nothing between two commas */
	err = read_rest_of_mailbox(r, &phrase);
	return err ? err : give(r);
}

static bool take_separator(struct reader *r)
{
	if (front(r) == ';' && r->in_group)
		r->in_group = false;
	else if (front(r) != ',')
		return false;
	skip(r);
	return true;
}

enum err address_list_each(struct text value, address_list_fn *each, void *owner)
{
	struct reader r = { .rest = value, .mailbox = BUF(ADDRESS_MAX), .each = each, .owner = owner };
	enum err err = ERR_OK;

	while (!err && r.rest.len > 0) {
		bool was_in_group = r.in_group;

		err = read_address(&r);
		if (err || r.rest.len == 0 || (r.in_group && !was_in_group))
			continue;
		if (!take_separator(&r))
			err = ERR_SYNTAX;
	}
	/* A group that nobody closed is not what RFC 5322 writes, and its members are clear all the same. */
	buf_fini(&r.mailbox);
	return err;
}
