/* What sendmail takes on its command line: as getopt would read it, and as many programs write it. */
#include "sendmail.h"

#include <postrider/base/auto.h>
#include <postrider/mail/drop.h>

enum takes { NOTHING, VALUE /* attached, or the next word */, ATTACHED /* or nothing */ };

struct reading {
	struct sendmail_args *args;
	struct buf *problem;
	bool has_notify;
};

typedef bool option_fn(struct reading *r, const char *value);

static bool wrong(struct reading *r, const char *what, const char *value)
{
	buf_add_format(r->problem, "%s: %.200s", what, value);
	return false;
}

/* ---------------------------------------------------------------- options */

static bool ignore(struct reading *r, const char *value)
{
	(void)r;
	(void)value;
	return true;
}

static bool set_mode(struct reading *r, const char *value)
{
	static const struct {
		const char *letter;
		enum sendmail_mode mode;
	} modes[] = {
		{ "m", SENDMAIL_DELIVER }, { "s", SENDMAIL_SMTP },    { "p", SENDMAIL_LIST },
		{ "i", SENDMAIL_ALIASES }, { "I", SENDMAIL_ALIASES },
	};

	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		if (strcmp(value, modes[i].letter) == 0) {
			r->args->mode = modes[i].mode;
			return true;
		}
	if (strcmp(value, "d") == 0 || strcmp(value, "D") == 0)
		return wrong(r, "the daemon is started with `postrider run`, not with -b", value);
	return wrong(r, "there is no mode -b", value);
}

static bool set_from(struct reading *r, const char *value)
{
	r->args->from = value;
	return true;
}

static bool set_name(struct reading *r, const char *value)
{
	r->args->name = value;
	return true;
}

static bool set_config(struct reading *r, const char *value)
{
	r->args->config = value;
	return true;
}

static bool set_dots(struct reading *r, const char *value)
{
	(void)value;
	r->args->ignore_dots = true;
	return true;
}

static bool set_header(struct reading *r, const char *value)
{
	(void)value;
	r->args->from_header = true;
	return true;
}

static bool set_aliases(struct reading *r, const char *value)
{
	(void)value;
	r->args->mode = SENDMAIL_ALIASES;
	return true;
}

/* -oi; all the other old options say how another program does what it does. */
static bool set_old(struct reading *r, const char *value)
{
	if (strcmp(value, "i") == 0)
		r->args->ignore_dots = true;
	return true;
}

/* -OIgnoreDots=true */
static bool set_long(struct reading *r, const char *value)
{
	struct text rest = text_from(value), name = text_cut(&rest, '=');

	if (text_eq_nocase(name, TEXT("IgnoreDots")) && rest.len > 0 && ascii_lower(rest.at[0]) == 't')
		r->args->ignore_dots = true;
	return true;
}

static bool set_notify(struct reading *r, const char *value)
{
	if (r->has_notify || drop_notify_parse(text_from(value), &r->args->notify))
		return wrong(r, "-N takes never, or some of success,failure,delay; not", value);
	r->has_notify = true;
	return true;
}

static bool set_ret(struct reading *r, const char *value)
{
	if (text_eq_nocase(text_from(value), TEXT("full")))
		r->args->ret = ENVELOPE_RET_FULL;
	else if (text_eq_nocase(text_from(value), TEXT("hdrs")))
		r->args->ret = ENVELOPE_RET_HDRS;
	else
		return wrong(r, "-R takes full or hdrs, not", value);
	return true;
}

static bool set_envid(struct reading *r, const char *value)
{
	AUTO(buf_fini) struct buf xtext = BUF(100); /* RFC 3461 section 4.4 */

	drop_add_xtext(&xtext, text_from(value));
	if (buf_err(&xtext) || xtext.len == 0)
		return wrong(r, "-V takes an envelope id of 1 to 100 characters, not", value);
	r->args->envid = value;
	return true;
}

/* What the content is, we see ourselves. */
static bool set_body(struct reading *r, const char *value)
{
	if (text_eq_nocase(text_from(value), TEXT("7BIT")) ||
	    text_eq_nocase(text_from(value), TEXT("8BITMIME")))
		return true;
	return wrong(r, "-B takes 7BIT or 8BITMIME, not", value);
}

/* -q, -qf; -q30m is for a daemon of its own. */
static bool set_flush(struct reading *r, const char *value)
{
	if (value && *value && strcmp(value, "f") != 0)
		return wrong(
			r, "the relay tries again by itself (retry.schedule); plain -q tries all now, not -q",
			value);
	r->args->mode = SENDMAIL_FLUSH;
	return true;
}

static const struct {
	char letter;
	enum takes takes;
	option_fn *fn;
} options[] = {
	{ 'A', VALUE, ignore },       { 'B', VALUE, set_body },      { 'C', VALUE, set_config },
	{ 'D', VALUE, ignore },       { 'E', NOTHING, ignore },      { 'F', VALUE, set_name },
	{ 'G', NOTHING, ignore },     { 'I', NOTHING, set_aliases }, { 'L', VALUE, ignore },
	{ 'N', VALUE, set_notify },   { 'O', VALUE, set_long },      { 'R', VALUE, set_ret },
	{ 'U', NOTHING, ignore },     { 'V', VALUE, set_envid },     { 'X', VALUE, ignore },
	{ 'b', VALUE, set_mode },     { 'd', ATTACHED, ignore },     { 'e', VALUE, ignore },
	{ 'f', VALUE, set_from },     { 'h', VALUE, ignore },        { 'i', NOTHING, set_dots },
	{ 'm', NOTHING, ignore },     { 'n', NOTHING, ignore },      { 'o', VALUE, set_old },
	{ 'p', VALUE, ignore },       { 'q', ATTACHED, set_flush },  { 'r', VALUE, set_from },
	{ 't', NOTHING, set_header }, { 'v', NOTHING, ignore },
};

/* ---------------------------------------------------------------- words */

/* One word of options: "-ti", "-oi", "-fann@a.example", "-f" and the next. */
static bool take_word(struct reading *r, const char *word, const char *next, bool *used_next)
{
	for (const char *p = word + 1; *p; p++) {
		size_t i = 0;

		while (i < ARRAY_LEN(options) && options[i].letter != *p)
			i++;
		if (i == ARRAY_LEN(options))
			return wrong(r, "there is no such option", word);
		if (options[i].takes == NOTHING) {
			options[i].fn(r, NULL);
			continue;
		}
		if (p[1] || options[i].takes == ATTACHED)
			return options[i].fn(r, p + 1);
		if (!next)
			return wrong(r, "a value is missing behind", word);
		*used_next = true;
		return options[i].fn(r, next);
	}
	return true;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_name(const char *word)
{
	return strcmp(word, "sendmail") == 0 || strcmp(word, "mailq") == 0 || strcmp(word, "newaliases") == 0;
}

int sendmail_name_at(int argc, char *const *argv)
{
	if (argc > 0 && argv[0] && is_name(last_part(argv[0])))
		return 0;
	return argc > 1 && is_name(argv[1]) ? 1 : -1;
}

bool sendmail_parse(int argc, char **argv, struct sendmail_args *out, struct buf *problem)
{
	struct reading r = { .args = out, .problem = problem };
	int count = 0;

	*out = (struct sendmail_args){ .mode = SENDMAIL_DELIVER };
	if (strcmp(last_part(argv[0]), "mailq") == 0)
		out->mode = SENDMAIL_LIST;
	else if (strcmp(last_part(argv[0]), "newaliases") == 0)
		out->mode = SENDMAIL_ALIASES;
	for (int i = 1; i < argc; i++) {
		bool used_next = false;

		if (strcmp(argv[i], "--") == 0) {
			while (++i < argc)
				argv[count++] = argv[i];
			break;
		}
		if (argv[i][0] != '-' || argv[i][1] == '\0') {
			argv[count++] = argv[i];
			continue;
		}
		if (!take_word(&r, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used_next))
			return false;
		i += used_next;
	}
	out->recipients = (const char *const *)argv;
	out->recipient_count = (size_t)count;
	return true;
}
