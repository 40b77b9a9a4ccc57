#include "cli.h"

#define NAME_COLUMNS 24

static void print_flags(struct cli *cli, const char *title, const struct flag *flags, size_t count)
{
	if (count == 0)
		return;
	fprintf(cli->out, "\n%s\n", title);
	for (size_t i = 0; i < count; i++) {
		AUTO(buf_fini) struct buf name = BUF(200);

		if (flags[i].letter)
			buf_add_format(&name, "-%c, ", flags[i].letter);
		buf_add_format(&name, "--%s%s%s", flags[i].name, flags[i].value ? " " : "",
		               flags[i].value ? flags[i].value : "");
		fprintf(cli->out, "  ");
		cli_put_cell(cli, buf_text(&name), NAME_COLUMNS);
		fprintf(cli->out, " %s\n", flags[i].help);
	}
}

static void print_indented(struct cli *cli, const char *title, const char *lines)
{
	struct text rest = text_from(lines);

	if (rest.len == 0)
		return;
	fprintf(cli->out, "\n%s\n", title);
	while (rest.len > 0) {
		struct text line = text_cut(&rest, '\n');

		fprintf(cli->out, "  %.*s\n", TEXT_ARGS(line));
	}
}

static void print_verb_help(struct cli *cli, const struct verb *verb)
{
	fprintf(cli->out, "postrider %s%s%s [FLAGS] - %s\n", verb->name, verb->arguments[0] ? " " : "",
	        verb->arguments, verb->summary);
	if (verb->details)
		fprintf(cli->out, "\n%s\n", verb->details);
	print_flags(cli, "Flags:", verb->flags, verb->flag_count);
	if (verb->selects)
		print_flags(cli, "Selecting, besides ids:", cli_selector_flags, cli_selector_flag_count);
	print_flags(cli, "Flags of all commands:", cli_global_flags, cli_global_flag_count);
	print_indented(cli, "Examples:", verb->examples);
}

void cli_print_help(struct cli *cli, const struct verb *verb)
{
	if (verb) {
		print_verb_help(cli, verb);
		return;
	}
	fprintf(cli->out, "postrider COMMAND [SELECTOR] [FLAGS] - an outbound SMTP relay\n\nCommands:\n");
	for (size_t i = 0; i < cli_verb_count; i++) {
		fprintf(cli->out, "  ");
		cli_put_cell(cli, text_from(cli_verbs[i].name), 10);
		fprintf(cli->out, " %s\n", cli_verbs[i].summary);
	}
	print_flags(cli, "Flags of all commands:", cli_global_flags, cli_global_flag_count);
	fprintf(cli->out,
	        "\n`postrider help COMMAND` says more. To look around: postrider run --demo\n"
	        "Exit codes: 0 done, 1 what was asked failed, 2 usage, 3 the relay does not answer, 4 nothing matched,\n"
	        "5 not permitted, 78 configuration\n");
}

enum exit_code run_help(struct cli *cli)
{
	size_t at = 0;
	const char *name = cli_next_value(cli, NULL, &at);
	const struct verb *verb = name ? cli_find_verb(text_from(name)) : NULL;

	if (name && !verb)
		return cli_fail(cli, EXIT_USAGE, "`postrider help` lists the commands",
		                "there is no command \"%s\"", name);
	cli_print_help(cli, verb);
	return EXIT_DONE;
}
