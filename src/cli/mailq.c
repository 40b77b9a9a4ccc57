/* mailq and sendmail -bp: the queue as Postfix and Sendmail print it, for people and for the many scripts that read it. And
 * sendmail -q. */
#include "cli.h"
#include "sendmail.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <postrider/base/time.h>

#define HEADING "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"

struct queue_listing {
	struct cli *cli;
	int64_t messages, bytes;
};

/* "Mon Nov 23 04:10:01" */
static void put_time(struct cli *cli, int64_t time_ms)
{
	static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
		                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	struct calendar c = calendar_from_time(time_ms);

	fprintf(cli->out, "%s %s %2d %02d:%02d:%02d", days[c.weekday], months[c.month - 1], c.day, c.hour,
	        c.minute, c.second);
}

/* '*': on its way at this moment; '!': held. */
static char mark_of(const struct json *recipients)
{
	char mark = ' ';

	for (size_t i = 0; i < json_count(recipients); i++) {
		struct text state = json_as_text(json_member(json_element(recipients, i), "state"));

		if (text_eq(state, TEXT("active")))
			return '*';
		if (text_eq(state, TEXT("held")))
			mark = '!';
	}
	return mark;
}

static void put_head(struct queue_listing *l, struct text id, char mark, int64_t bytes, int64_t time_ms)
{
	struct cli *cli = l->cli;

	if (l->messages++ == 0)
		fputs(HEADING, cli->out);
	l->bytes += bytes;
	cli_put(cli, text_head(id, ID_SHORT_CHARS));
	fprintf(cli->out, "%c %7lld ", mark, (long long)bytes);
	put_time(cli, time_ms);
	fputs("  ", cli->out);
}

static void put_message(struct queue_listing *l, const struct json *message)
{
	const struct json *recipients = json_member(message, "recipients");
	struct text sender = json_as_text(json_member(message, "sender"));
	struct cli *cli = l->cli;

	put_head(l, json_as_text(json_member(message, "queue_id")), mark_of(recipients),
	         json_as_number(json_member(message, "message_size"), 0),
	         cli_time(json_member(message, "received")));
	cli_put(cli, sender.len ? sender : TEXT("MAILER-DAEMON"));
	fputc('\n', cli->out);
	for (size_t i = 0; i < json_count(recipients); i++) {
		const struct json *r = json_element(recipients, i);
		struct text why = json_as_text(json_member(r, "delay_reason"));

		if (why.len > 0) {
			fputc('(', cli->out);
			cli_put(cli, why);
			fputs(")\n", cli->out);
		}
		fprintf(cli->out, "%41s", "");
		cli_put(cli, json_as_text(json_member(r, "address")));
		fputc('\n', cli->out);
	}
	fputc('\n', cli->out);
}

static bool on_line(void *owner, struct text line)
{
	struct queue_listing *l = owner;
	AUTO(json_free) struct json *message = NULL;

	if (json_parse(line, &message, NULL) == ERR_OK)
		put_message(l, message);
	return !ferror(l->cli->out);
}

static void put_end(const struct queue_listing *l, const char *what)
{
	if (l->messages == 0)
		return;
	fprintf(l->cli->out, "-- %lld Kbytes in %lld Request%s%s.\n", (long long)(l->bytes + 1023) / 1024,
	        (long long)l->messages, l->messages == 1 ? "" : "s", what);
}

static int sysexit_of(enum exit_code code)
{
	switch (code) {
	case EXIT_DONE:
		return SYSEXIT_OK;
	case EXIT_DENIED:
		return SYSEXIT_NOPERM;
	case EXIT_USAGE:
		return SYSEXIT_USAGE;
	case EXIT_UNREACHABLE:
		return SYSEXIT_TEMPFAIL;
	case EXIT_CONFIG:
		return SYSEXIT_CONFIG;
	default:
		return SYSEXIT_UNAVAILABLE;
	}
}

/* ---------------------------------------------------------------- while the daemon is down */

static void list_file(struct queue_listing *l, int directory, const char *name)
{
	struct stat st;
	struct id id;

	if (id_from_text(text_from(name), &id) || fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
	    !S_ISREG(st.st_mode))
		return;
	put_head(l, text_from(name), ' ', (int64_t)st.st_size, (int64_t)st.st_ctim.tv_sec * SECOND_MS);
	fprintf(l->cli->out, "(handed in by uid %u)\n", (unsigned)st.st_uid);
}

static void list_drop(struct sendmail *s)
{
	struct queue_listing l = { .cli = s->cli };
	AUTO(free_memory) char *path = text_dup(buf_text(&s->drop_path));
	DIR *all = path ? opendir(path) : NULL;
	struct dirent *entry;

	if (!all) {
		fprintf(s->world->out,
		        "What waits in the drop directory %.*s only root and the relay's user may see.\n",
		        TEXT_ARGS(buf_text(&s->drop_path)));
		return;
	}
	while ((entry = readdir(all)))
		list_file(&l, dirfd(all), entry->d_name);
	closedir(all);
	if (l.messages == 0)
		fputs("Nothing waits in the drop directory.\n", s->world->out);
	put_end(&l, " in the drop directory");
}

int sendmail_list(struct sendmail *s)
{
	struct queue_listing l = { .cli = s->cli };
	struct call call = { .method = "GET", .target = LIT("/v1/queue"), .on_line = on_line, .owner = &l };
	struct answer answer = { 0 };
	enum exit_code code = cli_call(s->cli, &call, &answer);

	answer_fini(&answer);
	if (code == EXIT_UNREACHABLE)
		list_drop(s);
	if (code)
		return sysexit_of(code);
	if (l.messages == 0)
		fputs("Mail queue is empty\n", s->world->out);
	put_end(&l, "");
	return SYSEXIT_OK;
}

/* ---------------------------------------------------------------- -q */

int sendmail_flush(struct sendmail *s)
{
	struct call call = { .method = "POST", .target = LIT("/v1/queue/retry?all=") };
	struct answer answer = { 0 };
	enum exit_code code = cli_call(s->cli, &call, &answer);

	answer_fini(&answer);
	return sysexit_of(code);
}
