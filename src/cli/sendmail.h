/* cli/sendmail.h - the program under the names that others call it by: sendmail, mailq, newaliases. */
#ifndef CLI_SENDMAIL_H
#define CLI_SENDMAIL_H

#include <postrider/base/id.h>
#include <postrider/cli.h>
#include <postrider/mail/envelope.h>

/* As <sysexits.h> has them; programs that call sendmail know these and no others. */
enum sysexit {
	SYSEXIT_OK = 0,
	SYSEXIT_USAGE = 64,       /* an argument is wrong */
	SYSEXIT_DATAERR = 65,     /* the message is */
	SYSEXIT_UNAVAILABLE = 69, /* there is no such service here */
	SYSEXIT_SOFTWARE = 70,
	SYSEXIT_IOERR = 74,
	SYSEXIT_TEMPFAIL = 75, /* try again later */
	SYSEXIT_NOPERM = 77,
	SYSEXIT_CONFIG = 78,
};

enum sendmail_mode {
	SENDMAIL_DELIVER, /* -bm: a message from standard input */
	SENDMAIL_SMTP,    /* -bs: a dialogue */
	SENDMAIL_LIST,    /* -bp, mailq */
	SENDMAIL_FLUSH,   /* -q */
	SENDMAIL_ALIASES, /* -bi, -I, newaliases */
};

struct sendmail_args {
	enum sendmail_mode mode;
	bool from_header;      /* -t */
	bool ignore_dots;      /* -i, -oi */
	const char *from;      /* -f, -r; NULL: whoever runs us */
	const char *name;      /* -F; NULL: as the system knows them */
	const char *config;    /* -C */
	unsigned notify;       /* -N */
	enum envelope_ret ret; /* -R */
	const char *envid;     /* -V */
	const char *const *recipients;
	size_t recipient_count;
};

/* Reads argv, argv[0] being the name that we are called by. recipients points into it, whose order is changed. false:
 * problem is a sentence for people, and the exit code is SYSEXIT_USAGE. */
bool sendmail_parse(int argc, char **argv, struct sendmail_args *out, struct buf *problem);

/* The name that argv[0] or argv[1] calls us by; -1: none of these, else where in argv it stands. */
int sendmail_name_at(int argc, char *const *argv);
int sendmail_main(const struct cli_world *world, int name_at);

/* ---------------------------------------------------------------- its parts */

struct cli;

struct sendmail {
	const struct cli_world *world;
	struct cli *cli; /* for calls to the daemon */
	struct sendmail_args args;
	struct buf hostname, drop_path;
	uint64_t max_bytes; /* 0: no limit */
};

int sendmail_fail(const struct sendmail *s, enum sysexit code, const char *format, ...) PRINTF_LIKE(3, 4);

/* sendmail_message.c: reads a message and leaves it in the drop directory. */
int sendmail_deliver(struct sendmail *s);
/* sendmail_smtp.c: joins standard input and output with a listener. */
int sendmail_smtp(struct sendmail *s);
/* mailq.c */
int sendmail_list(struct sendmail *s);
int sendmail_flush(struct sendmail *s);

/* drop_file.c: a file in the drop directory; without a name until it is whole, where the system can do that. */
struct drop_file {
	int fd;
	char *directory, *name; /* name: tmp.ID, or NULL while it has none */
	struct id_text id;
};
/* id: random, the name that it gets; nobody may guess it. */
MUST_USE enum err drop_file_open(struct text directory, struct id id, struct drop_file *out);
MUST_USE enum err drop_file_write(struct drop_file *f, struct text octets);
/* On disk, and from now on the daemon's. */
MUST_USE enum err drop_file_finish(struct drop_file *f);
void drop_file_fini(struct drop_file *f); /* one that is not finished goes */

#endif
