/* What was given on the command line, by the table of verbs. */
#include "cli.h"

#include <stdarg.h>

#include <postrider/admin/selector.h>

/* ---------------------------------------------------------------- complaining */

enum exit_code cli_fail(struct cli *cli, enum exit_code code, const char *next_step, const char *format, ...)
{
	va_list args;
	AUTO(buf_fini) struct buf words = BUF(1u << 16);
	FILE *out = cli->out;

	va_start(args, format);
	buf_add_format_v(&words, format, args);
	va_end(args);
	/* What is complained about may be somebody else's octets: through the same filter. */
	cli->out = cli->err;
	fputs("postrider: ", cli->err);
	cli_put(cli, buf_text(&words));
	fputc('\n', cli->err);
	if (next_step)
		fprintf(cli->err, "  next: %s\n", next_step);
	cli->out = out;
	return code;
}

/* How many single changes lead from one to the other (Levenshtein), up to a limit. */
static unsigned distance(struct text a, struct text b)
{
	unsigned row[64];

	if (a.len >= ARRAY_LEN(row) || b.len >= ARRAY_LEN(row))
		return UINT32_MAX;
	for (unsigned j = 0; j <= b.len; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a.len; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= b.len; j++) {
			unsigned change = diagonal + (ascii_lower(a.at[i - 1]) != ascii_lower(b.at[j - 1]));

			diagonal = row[j];
			row[j] = MIN(change, MIN(row[j], row[j - 1]) + 1);
		}
	}
	return row[b.len];
}

const char *cli_nearest(struct text word, const char *(*nth)(size_t n), size_t count)
{
	const char *best = NULL;
	unsigned least = word.len < 4 ? 2 : 3; /* as many changes are no likeness any more */

	for (size_t i = 0; i < count; i++) {
		const char *other = nth(i);
		unsigned d = distance(word, text_from(other));

		if (text_starts(text_from(other), word) && word.len >= 2)
			d = MIN(d, 1);
		if (d < least) {
			least = d;
			best = other;
		}
	}
	return best;
}

static const char *nth_verb(size_t n)
{
	return cli_verbs[n].name;
}

static enum exit_code unknown_verb(struct cli *cli, struct text word)
{
	const char *near = cli_nearest(word, nth_verb, cli_verb_count);
	AUTO(buf_fini) struct buf next = BUF(200);

	if (near)
		buf_add_format(&next, "did you mean `postrider %s`? ", near);
	buf_add(&next, TEXT("`postrider help` lists the commands"));
	buf_add_octet(&next, '\0');
	return cli_fail(cli, EXIT_USAGE, next.at, "there is no command \"%.*s\"", TEXT_ARGS(word));
}

static enum exit_code unknown_flag(struct cli *cli, struct text word)
{
	const struct {
		const struct flag *flags;
		size_t count;
	} lists[] = {
		{ cli_global_flags, cli_global_flag_count },
		{ cli->verb ? cli->verb->flags : NULL, cli->verb ? cli->verb->flag_count : 0 },
		{ cli_selector_flags, cli->verb && cli->verb->selects ? cli_selector_flag_count : 0 },
	};
	AUTO(buf_fini) struct buf next = BUF(200);
	struct text name = text_starts(word, TEXT("--")) ? text_skip(word, 2) : text_skip(word, 1);
	const char *near = NULL;
	unsigned least = name.len < 4 ? 2 : 3;

	for (size_t l = 0; l < ARRAY_LEN(lists); l++)
		for (size_t i = 0; i < lists[l].count; i++) {
			unsigned d = distance(name, text_from(lists[l].flags[i].name));

			if (d < least) {
				least = d;
				near = lists[l].flags[i].name;
			}
		}
	if (near)
		buf_add_format(&next, "did you mean --%s? ", near);
	buf_add_format(&next, "`postrider help%s%s` lists the flags", cli->verb ? " " : "",
	               cli->verb ? cli->verb->name : "");
	buf_add_octet(&next, '\0');
	return cli_fail(cli, EXIT_USAGE, next.at, "there is no flag %.*s%s%s", TEXT_ARGS(word),
	                cli->verb ? " for " : "", cli->verb ? cli->verb->name : "");
}

/* ---------------------------------------------------------------- finding */

const struct verb *cli_find_verb(struct text name)
{
	for (size_t i = 0; i < cli_verb_count; i++)
		if (text_eq(name, text_from(cli_verbs[i].name)))
			return &cli_verbs[i];
	return NULL;
}

static const struct flag *find_in(const struct flag *flags, size_t count, struct text name, char letter)
{
	for (size_t i = 0; i < count; i++)
		if (letter ? flags[i].letter == letter : text_eq(name, text_from(flags[i].name)))
			return &flags[i];
	return NULL;
}

static const struct flag *find_flag(const struct cli *cli, struct text name, char letter)
{
	const struct flag *found =
		cli->verb ? find_in(cli->verb->flags, cli->verb->flag_count, name, letter) : NULL;

	if (!found && cli->verb && cli->verb->selects)
		found = find_in(cli_selector_flags, cli_selector_flag_count, name, letter);
	return found ? found : find_in(cli_global_flags, cli_global_flag_count, name, letter);
}

bool cli_has(const struct cli *cli, const char *flag)
{
	for (size_t i = 0; i < cli->given_count; i++)
		if (cli->given[i].flag && text_eq(text_from(cli->given[i].flag->name), text_from(flag)))
			return true;
	return false;
}

const char *cli_next_value(const struct cli *cli, const char *flag, size_t *at)
{
	while (*at < cli->given_count) {
		const struct given *g = &cli->given[(*at)++];

		if (flag ? g->flag && text_eq(text_from(g->flag->name), text_from(flag)) : !g->flag)
			return g->value;
	}
	return NULL;
}

const char *cli_value(const struct cli *cli, const char *flag)
{
	const char *last = NULL, *value;
	size_t at = 0;

	while ((value = cli_next_value(cli, flag, &at)))
		last = value;
	return last;
}

bool cli_duration(struct cli *cli, const char *flag, int64_t *ms)
{
	const char *value = cli_value(cli, flag);

	if (!value || selector_parse_duration(text_from(value), ms) == ERR_OK)
		return true;
	cli_fail(cli, EXIT_USAGE, "write 500ms, 30s, 5m, 4h or 2d", "--%s %s is no time with a unit", flag,
	         value);
	return false;
}

/* ---------------------------------------------------------------- reading */

static enum exit_code keep(struct cli *cli, const struct flag *flag, const char *value)
{
	if (flag && !flag->many && cli_has(cli, flag->name) && flag->value)
		return cli_fail(cli, EXIT_USAGE, "give it once", "--%s is given twice", flag->name);
	cli->given[cli->given_count++] = (struct given){ flag, value };
	return EXIT_DONE;
}

/* The value of a flag: behind its `=` or letter, or the next word. */
static enum exit_code keep_with_value(struct cli *cli, const struct flag *flag, const char *inside, int *i)
{
	const struct cli_world *w = cli->world;

	if (!flag->value)
		return keep(cli, flag, NULL);
	if (inside)
		return keep(cli, flag, inside);
	if (*i + 1 >= w->argc) {
		AUTO(buf_fini) struct buf next = BUF(200);

		buf_add_format(&next, "--%s %s: %s", flag->name, flag->value, flag->help);
		buf_add_octet(&next, '\0');
		return cli_fail(cli, EXIT_USAGE, next.at, "--%s needs a value", flag->name);
	}
	return keep(cli, flag, w->argv[++*i]);
}

static enum exit_code take_long(struct cli *cli, const char *word, int *i)
{
	struct text rest = text_from(word + 2), name = text_cut(&rest, '=');
	bool has_value = name.len + 2 < text_from(word).len;
	const struct flag *flag = find_flag(cli, name, 0);

	if (!flag)
		return unknown_flag(cli, text_of(word, name.len + 2));
	if (has_value && !flag->value)
		return cli_fail(cli, EXIT_USAGE, NULL, "--%s takes no value", flag->name);
	return keep_with_value(cli, flag, has_value ? rest.at : NULL, i);
}

/* -n, -ny, -cFILE, -c FILE */
static enum exit_code take_short(struct cli *cli, const char *word, int *i)
{
	for (const char *p = word + 1; *p; p++) {
		const struct flag *flag = find_flag(cli, TEXT_EMPTY, *p);

		if (!flag)
			return unknown_flag(cli, text_of((const char[]){ '-', *p }, 2));
		if (flag->value)
			return keep_with_value(cli, flag, p[1] ? p + 1 : NULL, i);
		keep(cli, flag, NULL);
	}
	return EXIT_DONE;
}

static enum exit_code take_word(struct cli *cli, const char *word)
{
	if (cli->verb)
		return keep(cli, NULL, word);
	cli->verb = cli_find_verb(text_from(word));
	return cli->verb ? EXIT_DONE : unknown_verb(cli, text_from(word));
}

static enum exit_code check_arguments(struct cli *cli)
{
	unsigned count = 0;

	for (size_t i = 0; i < cli->given_count; i++)
		count += !cli->given[i].flag;
	if (count >= cli->verb->least_arguments && (cli->verb->selects || count <= cli->verb->most_arguments))
		return EXIT_DONE;
	AUTO(buf_fini) struct buf next = BUF(400);

	buf_add_format(&next, "postrider %s %s", cli->verb->name, cli->verb->arguments);
	buf_add_octet(&next, '\0');
	return cli_fail(cli, EXIT_USAGE, next.at, "%s for %s",
	                count < cli->verb->least_arguments ? "something is missing" : "too many words",
	                cli->verb->name);
}

enum exit_code cli_parse(struct cli *cli)
{
	const struct cli_world *w = cli->world;
	bool flags_are_over = false;

	/* A word of short switches may stand for as many flags as it has letters. */
	size_t room = 1;

	for (int i = 1; i < w->argc; i++)
		room += 1 + text_from(w->argv[i]).len;
	cli->given = calloc(room, sizeof(*cli->given));
	if (!cli->given)
		return cli_fail(cli, EXIT_FAILED, NULL, "out of memory");
	for (int i = 1; i < w->argc; i++) {
		const char *word = w->argv[i];
		enum exit_code code;

		if (flags_are_over || word[0] != '-' || word[1] == '\0')
			code = take_word(cli, word);
		else if (word[1] != '-')
			code = take_short(cli, word, &i);
		else if (word[2] == '\0')
			code = EXIT_DONE, flags_are_over = true;
		else
			code = take_long(cli, word, &i);
		if (code)
			return code;
	}
	cli->json = cli_has(cli, "json");
	cli->colour = w->is_terminal && !cli_has(cli, "no-color");
	if (!cli->verb || cli_has(cli, "help"))
		return EXIT_DONE;
	return check_arguments(cli);
}
