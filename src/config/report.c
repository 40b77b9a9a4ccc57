#include <postrider/config/report.h>

#include <stdlib.h>

#include <postrider/base/auto.h>

#include "report.h"

#define REPORT_MAX_BYTES (1u << 20)
#define TEXT_MAX_BYTES 2000
#define LINE_SHOWN 100 /* characters of a source line */
#define WARNINGS_KEPT 100

void config_report_init(struct config_report *report)
{
	*report = (struct config_report){ 0 };
	arena_init(&report->arena, REPORT_MAX_BYTES);
}

void config_report_fini(struct config_report *report)
{
	free(report->findings);
	arena_fini(&report->arena);
	*report = (struct config_report){ 0 };
}

/* ---------------------------------------------------------------- characters and lines */

static bool starts_character(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

static unsigned characters(struct text t)
{
	unsigned count = 0;

	for (size_t i = 0; i < t.len; i++)
		count += starts_character(t.at[i]);
	return count;
}

/* Octets of the first `count` characters. */
static size_t octets_of(struct text t, unsigned count)
{
	size_t i = 0;

	while (i < t.len && (count > 0 || !starts_character(t.at[i])))
		count -= starts_character(t.at[i++]);
	return i;
}

struct text source_line(const struct source *source, unsigned line)
{
	struct text rest = source->content, this = text_cut(&rest, '\n');

	if (text_starts(this, TEXT("\xef\xbb\xbf")))
		this = text_skip(this, 3);
	while (--line > 0)
		this = text_cut(&rest, '\n');
	if (this.len && this.at[this.len - 1] == '\r')
		this.len--;
	return this;
}

/* ---------------------------------------------------------------- secrets */

static bool names_a_secret(struct text key)
{
	static const struct text words[] = { LIT("password"), LIT("secret"), LIT("token") };
	static const struct text harmless[] = { LIT("_file"), LIT("_url"), LIT("_command") };

	for (size_t i = 0; i < ARRAY_LEN(harmless); i++)
		if (text_ends_nocase(key, harmless[i]))
			return false;
	for (size_t w = 0; w < ARRAY_LEN(words); w++)
		for (size_t i = 0; i + words[w].len <= key.len; i++)
			if (text_starts_nocase(text_skip(key, i), words[w]))
				return true;
	return false;
}

static bool ends_word(char c)
{
	return c == ' ' || c == '\t' || c == '"' || c == '\'' || c == ',' || c == '=' || c == '[' ||
	       c == '{' || c == '(';
}

/* Where the login of a URL begins, or of "user:password@host" without a scheme; t.len: none. The name is hidden too: some
 * providers make it the same secret. */
static size_t find_login(struct text t)
{
	size_t begins = text_find(t, TEXT("://")) + 3;

	/* a password may hold any octet */
	if (begins < t.len && text_find_last_octet(text_skip(t, begins), '@') < t.len - begins)
		return begins;
	for (size_t at = 0; at < t.len; at++) {
		size_t word = at;

		if (t.at[at] != '@')
			continue;
		while (word > 0 && !ends_word(t.at[word - 1]))
			word--;
		size_t colon = text_find_octet(text_of(t.at + word, at - word), ':');

		if (colon > 0 && colon + 1 < at - word)
			return word;
	}
	return t.len;
}

/* Where a secret begins in a line: behind `password:` or `PASSWORD=`, or in a URL; t.len: none. */
static size_t find_secret(struct text t)
{
	size_t word = 0;
	bool between = true;

	for (size_t i = 0; i < t.len; i++) {
		bool in_word = ascii_is_alnum(t.at[i]) || t.at[i] == '_';

		if ((t.at[i] == ':' || t.at[i] == '=') &&
		    names_a_secret(text_trim(text_of(t.at + word, i - word))))
			return MIN(i + 1 + (i + 1 < t.len && t.at[i + 1] == ' '), t.len);
		if (in_word && between)
			word = i;
		between = !in_word;
	}
	return find_login(t);
}

/* ---------------------------------------------------------------- making a finding */

static struct text keep_text(struct config_report *report, struct text t)
{
	struct text kept = TEXT_EMPTY;

	if (arena_text(&report->arena, t, &kept))
		report->err = ERR_NOMEM;
	return kept;
}

PRINTF_LIKE(2, 0)
static struct text keep_format(struct config_report *report, const char *format, va_list args)
{
	AUTO(buf_fini) struct buf b = BUF(TEXT_MAX_BYTES);

	buf_add_format_v(&b, format, args);
	if (buf_err(&b) == ERR_NOMEM)
		report->err = ERR_NOMEM;
	for (size_t i = 0; i < b.len; i++)
		if ((unsigned char)b.at[i] < 0x20 || b.at[i] == 0x7f)
			b.at[i] = '?'; /* a file must not steer the terminal that shows its errors */
	size_t login = find_login(buf_text(&b));

	if (login < b.len) {
		buf_cut(&b, login);
		buf_add_string(&b, "***");
	}
	return keep_text(report, buf_text(&b));
}

/* The name of a file, a variable or an argument: whoever gave it may have put anything into it. */
static struct text keep_name(struct config_report *report, struct text t)
{
	AUTO(buf_fini) struct buf b = BUF(TEXT_MAX_BYTES);

	for (size_t i = 0; i < t.len; i++)
		buf_add_octet(&b, (unsigned char)t.at[i] < 0x20 || t.at[i] == 0x7f ? '?' : t.at[i]);
	if (buf_err(&b) == ERR_NOMEM)
		report->err = ERR_NOMEM;
	return keep_text(report, buf_text(&b));
}

/* A token may stand before its place as a secret too, as a user name: from there on the line is hidden. */
static size_t hide_repeats(struct text line, size_t secret)
{
	struct text value = text_skip(line, secret);
	size_t len = 0;

	if (value.len && (value.at[0] == '"' || value.at[0] == '\''))
		value = text_skip(value, 1);
	while (len < value.len && !ends_word(value.at[len]) && value.at[len] != '}' && value.at[len] != ']')
		len++;
	return len < 4 ? secret : text_find(line, text_head(value, len));
}

/* The line of the spot as it is shown: secrets masked, control characters as spaces, a long line cut to a window
 * around the mark. */
static void show_source(struct config_report *report, struct config_finding *f, const struct spot *spot)
{
	AUTO(buf_fini) struct buf b = BUF(TEXT_MAX_BYTES);
	struct text line = source_line(spot->source, spot->line);
	size_t secret = hide_repeats(line, find_secret(line));
	unsigned mark_at = spot->column - 1, window = 0;

	if (mark_at + spot->length > LINE_SHOWN)
		window = mark_at > LINE_SHOWN / 2 ? mark_at - LINE_SHOWN / 2 : 0;
	size_t from = octets_of(line, window);
	struct text shown = text_head(line, MAX(from, MIN(secret, line.len)));

	shown = text_skip(shown, from);
	shown = text_head(shown, octets_of(shown, LINE_SHOWN));
	if (window)
		buf_add_string(&b, "...");
	for (size_t i = 0; i < shown.len; i++)
		buf_add_octet(&b,
		              (unsigned char)shown.at[i] < 0x20 || shown.at[i] == 0x7f ? ' ' : shown.at[i]);
	if (shown.at + shown.len < line.at + line.len)
		buf_add_string(&b, secret < line.len ? "***" : "...");
	f->source = keep_text(report, buf_text(&b));
	unsigned all = characters(f->source);

	f->mark_at = MIN(mark_at - window + (window ? 3 : 0), all);
	f->marked = MIN(spot->length ? spot->length : all, all - f->mark_at);
	f->marked = MAX(f->marked, 1);
}

/* NULL: enough are kept, or no memory. */
static struct config_finding *make_room(struct config_report *report, bool is_error)
{
	size_t kept_before = is_error ? report->error_count++ : report->warning_count++;

	if (kept_before >= (is_error ? CONFIG_ERRORS_SHOWN : WARNINGS_KEPT))
		return NULL;
	if (report->count == report->room) {
		size_t room = report->room ? 2 * report->room : 8;
		struct config_finding *grown = realloc(report->findings, room * sizeof(*grown));

		if (!grown) {
			report->err = ERR_NOMEM;
			return NULL;
		}
		report->findings = grown;
		report->room = room;
	}
	struct config_finding *f = &report->findings[report->count++];

	*f = (struct config_finding){ .is_error = is_error };
	f->message = f->detail = f->expected = f->hint = f->source = f->place.file = f->see.file = TEXT_EMPTY;
	return f;
}

void config_report_add(struct config_report *report, struct text where, struct text what, struct text hint)
{
	struct config_finding *f = make_room(report, true);

	if (!f)
		return;
	f->place.file = keep_name(report, where);
	f->message = keep_name(report, what);
	f->hint = keep_name(report, hint);
}

PRINTF_LIKE(4, 0)
static struct config_finding *add(struct load *load, bool is_error, const struct spot *spot,
                                  const char *format, va_list args)
{
	struct config_report *report = load->report;
	struct config_finding *f = make_room(report, is_error);

	if (!f)
		return NULL;
	f->message = keep_format(report, format, args);
	if (!spot || !spot->source)
		return f;
	f->order = spot->source->order;
	f->place.file = keep_name(report, spot->source->name);
	if (spot->source->kind == SOURCE_FILE) {
		f->place.line = spot->line;
		f->place.column = spot->column;
	}
	if (spot->line && spot->source->kind != SOURCE_DEFAULT)
		show_source(report, f, spot);
	return f;
}

struct config_finding *load_error(struct load *load, const struct spot *spot, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	struct config_finding *f = add(load, true, spot, format, args);

	va_end(args);
	return f;
}

struct config_finding *load_warn(struct load *load, const struct spot *spot, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	struct config_finding *f = add(load, false, spot, format, args);

	va_end(args);
	return f;
}

#define SENTENCE(name, member)                                                          \
	void name(struct load *load, struct config_finding *f, const char *format, ...) \
	{                                                                               \
		va_list args;                                                           \
                                                                                        \
		if (!f)                                                                 \
			return;                                                         \
		va_start(args, format);                                                 \
		f->member = keep_format(load->report, format, args);                    \
		va_end(args);                                                           \
	}

SENTENCE(load_detail, detail)
SENTENCE(load_expected, expected)
SENTENCE(load_hint, hint)

void load_see(struct load *load, struct config_finding *f, const struct spot *spot)
{
	if (!f || !spot->source || spot->source->kind == SOURCE_DEFAULT)
		return;
	f->see.file = keep_name(load->report, spot->source->name);
	f->see.line = spot->source->kind == SOURCE_FILE ? spot->line : 0;
}

/* ---------------------------------------------------------------- showing */

static int by_place(const void *left, const void *right)
{
	const struct config_finding *a = left, *b = right;

	if (a->order != b->order)
		return a->order < b->order ? -1 : 1;
	if (a->place.line != b->place.line)
		return a->place.line < b->place.line ? -1 : 1;
	if (a->place.column != b->place.column)
		return a->place.column < b->place.column ? -1 : 1;
	return 0;
}

/* Insertion: there are few, most are in order, and equals keep theirs. */
void report_sort(struct config_report *report)
{
	for (size_t i = 1; i < report->count; i++)
		for (size_t j = i; j > 0 && by_place(&report->findings[j - 1], &report->findings[j]) > 0;
		     j--) {
			struct config_finding moved = report->findings[j];

			report->findings[j] = report->findings[j - 1];
			report->findings[j - 1] = moved;
		}
}

void config_place_add(struct buf *b, struct config_place place)
{
	buf_add(b, place.file);
	if (place.line)
		buf_add_format(b, ":%u", place.line);
}

static void print_finding(const struct config_finding *f, struct buf *out)
{
	config_place_add(out, f->place);
	if (f->place.column)
		buf_add_format(out, ":%u", f->place.column);
	if (f->place.file.len)
		buf_add_string(out, ": ");
	buf_add_format(out, "%s: %.*s\n", f->is_error ? "error" : "warning", TEXT_ARGS(f->message));
	if (f->source.len) {
		if (f->place.line)
			buf_add_format(out, "%5u | ", f->place.line);
		else
			buf_add_string(out, "      | ");
		buf_add_format(out, "%.*s\n      | %*s", TEXT_ARGS(f->source), (int)f->mark_at, "");
		for (unsigned i = 0; i < f->marked; i++)
			buf_add_octet(out, '^');
		buf_add_octet(out, '\n');
	}
	if (f->detail.len)
		buf_add_format(out, "  %.*s\n", TEXT_ARGS(f->detail));
	if (f->expected.len)
		buf_add_format(out, "  expected: %.*s\n", TEXT_ARGS(f->expected));
	if (f->hint.len || f->see.file.len)
		buf_add_string(out, "  hint: ");
	buf_add(out, f->hint);
	if (f->see.file.len) {
		buf_add_string(out, f->hint.len ? " (defined at " : "see ");
		config_place_add(out, f->see);
		buf_add_string(out, f->hint.len ? ")" : "");
	}
	if (f->hint.len || f->see.file.len)
		buf_add_octet(out, '\n');
	buf_add_octet(out, '\n');
}

void config_report_print(const struct config_report *report, struct buf *out)
{
	for (size_t i = 0; i < report->count; i++)
		print_finding(&report->findings[i], out);
	if (report->error_count == 0)
		return;
	buf_add_format(out, "%zu error%s", report->error_count, report->error_count == 1 ? "" : "s");
	if (report->error_count > CONFIG_ERRORS_SHOWN)
		buf_add_format(out, ", of which the first %d are shown", CONFIG_ERRORS_SHOWN);
	buf_add_string(out, "; nothing was started or changed.\n");
}
