/* cli/secret.h - passwords asked of people, and files replaced in one step. */
#ifndef CLI_SECRET_H
#define CLI_SECRET_H

#include "cli.h"

/* A line without its end: from a terminal without showing it, and with `twice` asked two times; else the first line of standard
 * input. The buf has its room already and is wiped by the caller. Anything but EXIT_DONE: it was said why there is none. */
enum exit_code secret_read(struct cli *cli, const char *prompt, bool twice, struct buf *out);

/* A file that is read, changed and replaced, with everybody else who does so kept out. */
struct locked_file {
	char *path;        /* without symbolic links */
	int fd;            /* locked; -1: none */
	unsigned mode;     /* and */
	unsigned uid, gid; /* of the file */
	bool is_new;
};

/* Opens and locks; with `create` it is made when it is not there. Anything but EXIT_DONE: it was said why. */
enum exit_code locked_file_open(struct cli *cli, const char *path, bool create, struct locked_file *out);
enum exit_code locked_file_read(struct cli *cli, struct locked_file *f, struct buf *out);
/* The whole new content, or the old one: mode and owner stay. */
enum exit_code locked_file_replace(struct cli *cli, struct locked_file *f, struct text content);
void locked_file_close(struct locked_file *f); /* what was made and never replaced is removed */

#endif
