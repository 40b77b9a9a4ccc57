/* users add, list, check: the users file, without a daemon. */
#include <errno.h>

#include <postrider/auth/users_file.h>

#include "secret.h"

#define WORDS_MAX (64u << 10)

/* ---------------------------------------------------------------- which file, and what stands in it */

static enum exit_code find_path(struct cli *cli, const char **out)
{
	const char *given = cli_value(cli, "file");
	enum exit_code code = given ? EXIT_DONE : cli_load_config(cli);

	if (code)
		return code;
	*out = given ? given : cli->config->access.users_file.at; /* ends in NUL */
	if (!given && cli->config->access.users_file.len == 0)
		return cli_fail(cli, EXIT_CONFIG, "set access.users_file, or give --file FILE",
		                "the configuration names no users file");
	return EXIT_DONE;
}

static void wipe(struct buf *b)
{
	if (b->at)
		explicit_bzero(b->at, b->room);
	buf_fini(b);
}

static enum exit_code complain(struct cli *cli, struct text problem)
{
	FILE *out = cli->out;

	cli->out = cli->err;
	while (problem.len) {
		cli_put(cli, text_cut(&problem, '\n'));
		fputc('\n', cli->err);
	}
	cli->out = out;
	return EXIT_CONFIG;
}

/* Read without a lock: it is replaced whole. */
static enum exit_code read_content(struct cli *cli, const char *path, struct buf *out)
{
	FILE *file = fopen(path, "re");
	size_t n = 1;

	if (!file)
		return cli_fail(cli, errno == EACCES ? EXIT_DENIED : EXIT_FAILED,
		                errno == ENOENT ? "postrider users add NAME" : NULL, "cannot open %s: %s",
		                path, strerror(errno));
	while (n > 0) {
		char *room = buf_reserve(out, 16384);

		n = room ? fread(room, 1, 16384, file) : 0;
		buf_grew(out, n);
	}
	bool failed = ferror(file) || buf_err(out);

	fclose(file);
	return failed ? cli_fail(cli, EXIT_FAILED, NULL, "cannot read %s", path) : EXIT_DONE;
}

/* ---------------------------------------------------------------- list */

static const char *mechanisms_of(const struct auth_users_entry *e)
{
	if (e->shut_out)
		return "shut out";
	if (e->has_scram)
		return "SCRAM-SHA-256, PLAIN, LOGIN";
	return e->hash ? "PLAIN, LOGIN" : "no password";
}

static void print_json(struct cli *cli, const struct auth_users_entry *e)
{
	AUTO(buf_fini) struct buf out = BUF(WORDS_MAX);
	struct json_writer w;
	struct text senders = e->senders;

	json_writer_init(&w, &out);
	json_open_object(&w, NULL);
	json_put_text(&w, "name", e->name);
	json_put_text(&w, "hash", text_from(e->hash ? e->hash : ""));
	json_put_bool(&w, "scram", e->has_scram);
	json_put_bool(&w, "shut_out", e->shut_out);
	json_open_array(&w, "senders");
	while (senders.len)
		json_put_text(&w, NULL, text_trim(text_cut(&senders, ',')));
	json_close_array(&w);
	json_put_number(&w, "line", e->line);
	json_close_object(&w);
	fprintf(cli->out, "%.*s\n", TEXT_ARGS(buf_text(&out)));
}

static void print_entry(void *owner, const struct auth_users_entry *e)
{
	struct cli *cli = owner;

	if (cli->json) {
		print_json(cli, e);
		return;
	}
	cli_put_cell(cli, e->name, 32);
	fprintf(cli->out, " %-28s %-14s ", mechanisms_of(e), e->hash ? e->hash : "-");
	cli_put(cli, e->senders.len ? e->senders : text_from("any sender"));
	fputc('\n', cli->out);
}

static enum exit_code list(struct cli *cli, const char *path)
{
	AUTO(buf_fini) struct buf problem = BUF(WORDS_MAX), notice = BUF(WORDS_MAX);
	AUTO(wipe) struct buf content = BUF(AUTH_USERS_FILE_MAX);
	enum exit_code code = read_content(cli, path, &content);
	enum err err;

	if (code)
		return code;
	err = auth_users_each(text_from(path), buf_text(&content), print_entry, cli, &problem, &notice);
	if (err == ERR_CONFIG)
		return complain(cli, buf_text(&problem));
	complain(cli, buf_text(&notice));
	return err ? cli_fail(cli, EXIT_FAILED, NULL, "%s: %s", path, err_text(err)) : EXIT_DONE;
}

/* ---------------------------------------------------------------- check */

static enum exit_code say_fit(struct cli *cli, const char *name, const struct auth_users_fit *fit)
{
	bool right = (fit->has_hash ? fit->hash_fits : true) && (fit->has_scram ? fit->scram_fits : true);

	if (fit->has_hash && fit->has_scram && fit->hash_fits != fit->scram_fits)
		return cli_fail(cli, EXIT_FAILED, "postrider users add NAME makes both anew",
		                "%s: the password is right by %s and wrong by %s", name,
		                fit->hash_fits ? "the hash" : "SCRAM-SHA-256",
		                fit->hash_fits ? "SCRAM-SHA-256" : "the hash");
	if (!cli->json)
		fprintf(cli->out, "%s: %s\n", name, right ? "the password is right" : "wrong password");
	else
		fprintf(cli->out, "{\"right\":%s}\n", right ? "true" : "false");
	return right ? EXIT_DONE : EXIT_FAILED;
}

static enum exit_code check(struct cli *cli, const char *path, const char *name)
{
	AUTO(wipe) struct buf content = BUF(AUTH_USERS_FILE_MAX), password = BUF(AUTH_PASSWORD_MAX);
	AUTO(buf_fini) struct buf problem = BUF(WORDS_MAX);
	struct auth_users_fit fit;
	enum exit_code code = read_content(cli, path, &content);
	enum err err;

	if (!code && !buf_reserve(&password, AUTH_PASSWORD_MAX))
		code = cli_fail(cli, EXIT_FAILED, NULL, "no memory");
	if (!code)
		code = secret_read(cli, "password", false, &password);
	if (code)
		return code;
	err = auth_users_check(text_from(path), buf_text(&content), text_from(name), buf_text(&password),
	                       &fit, &problem);
	if (err == ERR_CONFIG)
		return complain(cli, buf_text(&problem));
	if (err == ERR_NOT_FOUND)
		return cli_fail(cli, EXIT_NOTHING, "postrider users list",
		                "%s has no password in %s, or is shut out", name, path);
	return err ? cli_fail(cli, EXIT_FAILED, NULL, "%s: %s", path, err_text(err))
	           : say_fit(cli, name, &fit);
}

/* ---------------------------------------------------------------- add */

static void fill_random(void *owner, void *out, size_t len)
{
	struct io *io = owner;
	char *at = out;

	while (len > 0) {
		uint64_t word = io_random_u64(io);
		size_t take = MIN(len, sizeof(word));

		memcpy(at, &word, take);
		at += take;
		len -= take;
	}
}

static enum exit_code put(struct cli *cli, struct locked_file *file, const struct auth_users_change *change,
                          bool *was_there)
{
	AUTO(buf_fini) struct buf problem = BUF(WORDS_MAX);
	AUTO(wipe) struct buf before = BUF(AUTH_USERS_FILE_MAX), after = BUF(AUTH_USERS_FILE_MAX);
	enum exit_code code = locked_file_read(cli, file, &before);

	if (code)
		return code;
	enum err err = auth_users_put(buf_text(&before), change, &after, was_there, &problem);

	if (err == ERR_SYNTAX)
		return cli_fail(cli, EXIT_USAGE, NULL, "%.*s", TEXT_ARGS(buf_text(&problem)));
	if (err)
		return cli_fail(cli, EXIT_FAILED, NULL, "%s: %s", file->path, err_text(err));
	return locked_file_replace(cli, file, buf_text(&after));
}

static enum exit_code change_file(struct cli *cli, const char *path, const struct auth_users_change *change)
{
	struct locked_file file;
	bool was_there = false;
	enum exit_code code = locked_file_open(cli, path, true, &file);

	if (!code)
		code = put(cli, &file, change, &was_there);
	locked_file_close(&file);
	if (!code && !cli->json) {
		cli_put(cli, change->name);
		fprintf(cli->out,
		        was_there ? " has a new password in %s\n" : " may log in now: a new line in %s\n",
		        path);
	}
	return code;
}

static enum exit_code add(struct cli *cli, const char *path, const char *name)
{
	AUTO(wipe) struct buf password = BUF(AUTH_PASSWORD_MAX);
	const char *senders = cli_value(cli, "senders");
	struct io *io = cli_io(cli);
	enum exit_code code;

	if (!io)
		return EXIT_FAILED;
	if (!buf_reserve(&password, AUTH_PASSWORD_MAX))
		return cli_fail(cli, EXIT_FAILED, NULL, "no memory");
	code = secret_read(cli, "new password", true, &password);
	if (code)
		return code;
	return change_file(cli, path,
	                   &(struct auth_users_change){ .name = text_from(name),
	                                                .password = buf_text(&password),
	                                                .has_senders = senders != NULL,
	                                                .senders = text_from(senders),
	                                                .random = fill_random,
	                                                .owner = io });
}

enum exit_code run_users(struct cli *cli)
{
	size_t at = 0;
	const char *what = cli_next_value(cli, NULL, &at), *name = cli_next_value(cli, NULL, &at),
		   *path = NULL;
	bool is_list = strcmp(what, "list") == 0, is_check = strcmp(what, "check") == 0,
	     is_add = strcmp(what, "add") == 0;

	if (!is_list && !is_check && !is_add)
		return cli_fail(cli, EXIT_USAGE, "add, list or check", "users cannot %s", what);
	if (!is_list && !name)
		return cli_fail(cli, EXIT_USAGE, NULL, "users %s needs a name", what);
	if (is_list && name)
		return cli_fail(cli, EXIT_USAGE, NULL, "users list takes no name");
	if (cli_has(cli, "senders") && !is_add)
		return cli_fail(cli, EXIT_USAGE, NULL, "--senders is for users add");
	enum exit_code code = find_path(cli, &path);

	if (code)
		return code;
	if (is_list)
		return list(cli, path);
	return is_check ? check(cli, path, name) : add(cli, path, name);
}
