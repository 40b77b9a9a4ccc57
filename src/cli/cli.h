/* cli/cli.h - what the commands share: the table of verbs, what was given, how to print and to call. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <postrider/base/auto.h>
#include <postrider/base/buf.h>
#include <postrider/cli.h>
#include <postrider/config.h>
#include <postrider/http/exchange.h>
#include <postrider/http/json.h>
#include <postrider/io/uv.h>

enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1, /* what was asked failed */
	EXIT_USAGE = 2,
	EXIT_UNREACHABLE = 3, /* the daemon does not answer */
	EXIT_NOTHING = 4,     /* nothing matched */
	EXIT_DENIED = 5,      /* not permitted */
	EXIT_CONFIG = 78,
};

/* ---------------------------------------------------------------- the table */

struct flag {
	const char *name;  /* "wait", said as --wait */
	char letter;       /* 'w', said as -w; 0: none */
	const char *value; /* what is expected behind it, "TIME"; NULL: a switch */
	const char *help;  /* one line */
	bool many;         /* may be given more than once */
};

struct cli;

struct verb {
	const char *name;
	const char *arguments; /* "ID", "[SELECTOR]" */
	const char *summary;   /* one line */
	const char *details;   /* paragraphs; may be NULL */
	const char *examples;  /* lines; may be NULL */
	const struct flag *flags;
	size_t flag_count;
	bool selects; /* the selector's flags too, and ids as arguments */
	unsigned least_arguments, most_arguments;
	enum exit_code (*run)(struct cli *cli);
};

extern const struct verb cli_verbs[];
extern const size_t cli_verb_count;
extern const struct flag cli_global_flags[];
extern const size_t cli_global_flag_count;
extern const struct flag cli_selector_flags[];
extern const size_t cli_selector_flag_count;

const struct verb *cli_find_verb(struct text name);

/* ---------------------------------------------------------------- what was given */

struct given {
	const struct flag *flag; /* NULL: an argument */
	const char *value;       /* NULL: a switch */
};

struct cli {
	const struct cli_world *world;
	FILE *out, *err;
	const struct verb *verb;
	struct given *given; /* in the order given */
	size_t given_count;
	bool json, colour;

	struct io *io;               /* made when first needed */
	const struct config *config; /* likewise */
	bool config_failed;
};

/* Reads argv. EXIT_DONE: cli->verb and cli->given are set; else it was said on err what is wrong. */
enum exit_code cli_parse(struct cli *cli);
bool cli_has(const struct cli *cli, const char *flag);
/* The last value given; NULL: none. */
const char *cli_value(const struct cli *cli, const char *flag);
/* Goes through the values of a flag (NULL: the arguments). *at begins at 0. NULL: no more. */
const char *cli_next_value(const struct cli *cli, const char *flag, size_t *at);
/* A flag's value as a time; when it is none that is said. False then. */
bool cli_duration(struct cli *cli, const char *flag, int64_t *ms);

void cli_print_help(struct cli *cli, const struct verb *verb); /* NULL: of all */
/* The nearest of many words, or NULL when none is near. */
const char *cli_nearest(struct text word, const char *(*nth)(size_t n), size_t count);

/* "postrider: ..." on err, and behind it "  next: ..." when there is a next step. Returns code. */
enum exit_code cli_fail(struct cli *cli, enum exit_code code, const char *next_step, const char *format, ...)
	PRINTF_LIKE(4, 5);

/* ---------------------------------------------------------------- printing */

enum colour { PLAIN, BOLD, DIM, RED, GREEN, YELLOW };
void cli_colour(struct cli *cli, enum colour colour); /* nothing without a terminal */

/* Octets of mail and of peers: controls become '?', so that nobody writes on the terminal through us. */
void cli_put(struct cli *cli, struct text t);
/* Padded with spaces or cut with an ellipsis to `columns`, counting characters. */
void cli_put_cell(struct cli *cli, struct text t, unsigned columns);
void cli_put_cut(struct cli *cli, struct text t, unsigned columns); /* the same without the padding */
void cli_put_cell_right(struct cli *cli, struct text t, unsigned columns);
size_t cli_columns_of(struct text t);
void cli_put_size(struct cli *cli, int64_t bytes); /* "18.2 KB" */
void cli_add_size(struct buf *out, int64_t bytes);

/* A time of our JSON in milliseconds; 0: none. */
int64_t cli_time(const struct json *v);
/* "in 3m 20s", "now", "2m 10s ago" */
void cli_add_when(struct buf *out, int64_t time_ms, int64_t now);

/* ---------------------------------------------------------------- the world outside */

/* NULL: it was said why. */
struct io *cli_io(struct cli *cli);

/* The configuration as the daemon would read it; what is wrong with it is printed. sources is filled for others too. */
struct cli_sources {
	struct config_sources sources;
	char machine_name[256];
	struct text *sets;
};
enum exit_code cli_sources(struct cli *cli, struct cli_sources *out);
void cli_sources_fini(struct cli_sources *s);
enum exit_code cli_load_config(struct cli *cli); /* into cli->config */
void cli_print_report_json(struct cli *cli, const struct config_report *report);

/* ---------------------------------------------------------------- calling the daemon */

struct call {
	const char *method;
	struct text target;
	const char *content_type; /* of the body; NULL: none */
	enum err (*more_body)(void *owner, struct buf *out);
	/* With this, an answer 200 comes line by line and is not kept. False: enough. */
	bool (*on_line)(void *owner, struct text line);
	void *owner;
};

struct answer {
	int status;
	struct buf body;
};

/* EXIT_DONE: a status below 400. Else it was printed what is wrong: nobody answers, or the problem that came back. */
enum exit_code cli_call(struct cli *cli, const struct call *call, struct answer *out);
void answer_fini(struct answer *a);
/* The answer as JSON; NULL: it is none, which was printed. */
struct json *cli_answer_json(struct cli *cli, const struct answer *a);

/* Adds the selector that was given as a query: "?to=a%40b.example&id=01JD", or nothing. False: nothing was selected. */
bool cli_add_query(const struct cli *cli, struct buf *target);
void cli_add_parameter(struct buf *target, const char *name, struct text value);

/* ---------------------------------------------------------------- the commands */

enum exit_code run_run(struct cli *cli);
enum exit_code run_check(struct cli *cli);
enum exit_code run_config(struct cli *cli);
enum exit_code run_queue(struct cli *cli);
enum exit_code run_show(struct cli *cli);
enum exit_code run_send(struct cli *cli);
enum exit_code run_sink(struct cli *cli);
enum exit_code run_act(struct cli *cli); /* retry, hold, release, drop */
enum exit_code run_verify(struct cli *cli);
enum exit_code run_health(struct cli *cli);
enum exit_code run_users(struct cli *cli);
enum exit_code run_sendmail(struct cli *cli);
enum exit_code run_version(struct cli *cli);
enum exit_code run_help(struct cli *cli);

struct text cli_commit(void); /* that this program was built from */

/* story.c: as `show` prints it, from the answer of /v1/messages/ID. */
void print_story(struct cli *cli, const struct json *story, int64_t now);
/* What became of a message: how many recipients are not at their end, and how many ended badly. */
void story_outcome(const struct json *story, unsigned *waiting, unsigned *failed);

/* queue_group.c: the table of `queue --by`. */
struct queue_groups;
struct queue_groups *queue_groups_new(const char *by); /* NULL: no such way, or no memory */
void queue_groups_add(struct queue_groups *g, const struct json *message, int64_t now);
void queue_groups_print(struct cli *cli, struct queue_groups *g, int64_t now);
void queue_groups_free(struct queue_groups **g);

#endif
