#include <postrider/mail/drop.h>

#include <stdlib.h>

#include <postrider/smtp/path.h>

#define FORMAT_WORD "postrider-drop"
#define ENVID_MAX 100 /* RFC 3461 section 4.4 */

static const struct {
	struct text word;
	unsigned bit;
} notify_words[] = {
	{ LIT("never"), ENVELOPE_NOTIFY_NEVER },
	{ LIT("success"), ENVELOPE_NOTIFY_SUCCESS },
	{ LIT("failure"), ENVELOPE_NOTIFY_FAILURE },
	{ LIT("delay"), ENVELOPE_NOTIFY_DELAY },
};

/* ---------------------------------------------------------------- values */

enum err drop_notify_parse(struct text t, unsigned *out)
{
	unsigned bits = 0;

	do {
		struct text word = text_trim(text_cut(&t, ','));
		unsigned bit = 0;

		for (size_t i = 0; i < ARRAY_LEN(notify_words); i++)
			if (text_eq_nocase(word, notify_words[i].word))
				bit = notify_words[i].bit;
		if (!bit || (bits & bit))
			return ERR_SYNTAX;
		bits |= bit;
	} while (t.len > 0);
	if ((bits & ENVELOPE_NOTIFY_NEVER) && bits != ENVELOPE_NOTIFY_NEVER)
		return ERR_SYNTAX;
	*out = bits;
	return ERR_OK;
}

static bool is_xchar(char c)
{
	return c > ' ' && c <= '~' && c != '+' && c != '=';
}

void drop_add_xtext(struct buf *b, struct text t)
{
	for (size_t i = 0; i < t.len; i++) {
		if (is_xchar(t.at[i]))
			buf_add_octet(b, t.at[i]);
		else
			buf_add_format(b, "+%02X", (unsigned)(unsigned char)t.at[i]);
	}
}

static bool is_upper_hex(char c)
{
	return ascii_is_digit(c) || (c >= 'A' && c <= 'F');
}

static bool is_xtext(struct text t)
{
	for (size_t i = 0; i < t.len; i++) {
		if (is_xchar(t.at[i]))
			continue;
		if (t.at[i] != '+' || t.len - i < 3 || !is_upper_hex(t.at[i + 1]) ||
		    !is_upper_hex(t.at[i + 2]))
			return false;
		i += 2;
	}
	return t.len > 0 && t.len <= ENVID_MAX;
}

/* ---------------------------------------------------------------- writing */

static void add_line(struct buf *b, const char *word, struct text value)
{
	buf_add_string(b, word);
	if (value.len > 0)
		buf_add_octet(b, ' ');
	buf_add(b, value);
	buf_add_octet(b, '\n');
}

static void add_notify(struct buf *b, unsigned bits)
{
	bool is_first = true;

	buf_add_string(b, "notify ");
	for (size_t i = 0; i < ARRAY_LEN(notify_words); i++) {
		if (!(bits & notify_words[i].bit))
			continue;
		if (!is_first)
			buf_add_octet(b, ',');
		buf_add(b, notify_words[i].word);
		is_first = false;
	}
	buf_add_octet(b, '\n');
}

void drop_add(struct buf *b, const struct drop *d)
{
	add_line(b, FORMAT_WORD, TEXT("1"));
	add_line(b, "from", d->from);
	for (size_t i = 0; i < d->to_count; i++)
		add_line(b, "to", d->to[i]);
	if (d->notify)
		add_notify(b, d->notify);
	if (d->ret)
		add_line(b, "ret", d->ret == ENVELOPE_RET_FULL ? TEXT("full") : TEXT("hdrs"));
	if (d->envid.len > 0)
		add_line(b, "envid", d->envid);
	buf_add_octet(b, '\n');
}

/* ---------------------------------------------------------------- reading */

struct reader {
	struct drop d;
	size_t room;
	bool has_from;
};

static enum err take_from(struct reader *r, struct text value)
{
	struct smtp_path path;

	if (r->has_from || (value.len > 0 && smtp_mailbox_parse_utf8(value, &path)))
		return ERR_SYNTAX;
	r->has_from = true;
	r->d.from = value;
	return ERR_OK;
}

static enum err take_to(struct reader *r, struct text value)
{
	struct smtp_path path;

	if (!text_eq_nocase(value, TEXT("postmaster")) && smtp_mailbox_parse_utf8(value, &path))
		return ERR_SYNTAX;
	if (r->d.to_count == DROP_RECIPIENTS_MAX)
		return ERR_TOO_BIG;
	if (r->d.to_count == r->room) {
		size_t room = r->room ? r->room * 2 : 8;
		struct text *to = realloc(r->d.to, room * sizeof(*to));

		if (!to)
			return ERR_NOMEM;
		r->d.to = to;
		r->room = room;
	}
	r->d.to[r->d.to_count++] = value;
	return ERR_OK;
}

static enum err take_notify(struct reader *r, struct text value)
{
	return r->d.notify ? ERR_SYNTAX : drop_notify_parse(value, &r->d.notify);
}

static enum err take_ret(struct reader *r, struct text value)
{
	if (r->d.ret)
		return ERR_SYNTAX;
	if (text_eq(value, TEXT("full")))
		r->d.ret = ENVELOPE_RET_FULL;
	else if (text_eq(value, TEXT("hdrs")))
		r->d.ret = ENVELOPE_RET_HDRS;
	return r->d.ret ? ERR_OK : ERR_SYNTAX;
}

static enum err take_envid(struct reader *r, struct text value)
{
	if (r->d.envid.len > 0 || !is_xtext(value))
		return ERR_SYNTAX;
	r->d.envid = value;
	return ERR_OK;
}

static const struct {
	struct text word;
	enum err (*take)(struct reader *r, struct text value);
} lines[] = {
	{ LIT("from"), take_from }, { LIT("to"), take_to },       { LIT("notify"), take_notify },
	{ LIT("ret"), take_ret },   { LIT("envid"), take_envid },
};

static enum err take_line(struct reader *r, struct text line)
{
	struct text value = line, word = text_cut(&value, ' ');

	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (text_eq(word, lines[i].word))
			return lines[i].take(r, value);
	return ERR_SYNTAX;
}

static enum err take_format(struct text line, struct buf *problem)
{
	struct text value = line, word = text_cut(&value, ' ');
	uint64_t format;

	if (!text_eq(word, TEXT(FORMAT_WORD)) || text_to_u64(value, UINT32_MAX, &format) || format == 0) {
		buf_add(problem, TEXT("this is no file of sendmail's"));
		return ERR_SYNTAX;
	}
	if (format > 1) {
		buf_add(problem, TEXT("the file was written by a later version"));
		return ERR_UNSUPPORTED;
	}
	return ERR_OK;
}

static bool next_line(struct text *rest, struct text *line)
{
	size_t end = text_find_octet(*rest, '\n');

	if (end == rest->len)
		return false;
	*line = text_head(*rest, end);
	*rest = text_skip(*rest, end + 1);
	return true;
}

static enum err is_whole(const struct reader *r, struct buf *problem)
{
	if (r->has_from && r->d.to_count > 0)
		return ERR_OK;
	buf_add(problem, r->has_from ? TEXT("there is no recipient") : TEXT("there is no sender"));
	return ERR_SYNTAX;
}

static enum err read_lines(struct reader *r, struct text *rest, struct buf *problem)
{
	struct text line;
	unsigned number = 1;
	enum err err = next_line(rest, &line) ? take_format(line, problem) : ERR_MORE;

	while (!err) {
		number++;
		if (!next_line(rest, &line))
			return ERR_MORE;
		if (line.len == 0)
			return is_whole(r, problem);
		err = take_line(r, line);
		if (err && err != ERR_NOMEM)
			buf_add_format(problem, "line %u cannot be used", number);
	}
	return err;
}

enum err drop_parse(struct text *rest, struct drop *out, struct buf *problem)
{
	struct reader r = { 0 };
	struct text front = text_head(*rest, DROP_HEAD_MAX);
	size_t before = front.len;
	enum err err = read_lines(&r, &front, problem);

	if (err == ERR_MORE && before == DROP_HEAD_MAX)
		err = ERR_TOO_BIG;
	if (err) {
		drop_fini(&r.d);
		return err;
	}
	*rest = text_skip(*rest, before - front.len);
	*out = r.d;
	return ERR_OK;
}

void drop_fini(struct drop *d)
{
	free(d->to);
	*d = (struct drop){ 0 };
}
