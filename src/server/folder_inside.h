/* server/folder_inside.h - what the files of a folder share: its rounds (folder.c), a look at the directory (folder_look.c),
 * one file on its way in (folder_file.c), and what is refused (folder_refusal.c). */
#ifndef SERVER_FOLDER_INSIDE_H
#define SERVER_FOLDER_INSIDE_H

#include <postrider/base/random.h>
#include <postrider/base/time.h>

#include "folder.h"

#define FOLDER_ROUND_FILES 64  /* chosen in one round */
#define FOLDER_OWNERS_MAX 1024 /* told apart in one round; further ones wait for the next */
#define FOLDER_PIECE_BYTES (256u << 10)

struct owner {
	uint32_t uid;
	unsigned found, kept; /* files, and those whose names are here */
	char (*names)[FOLDER_NAME_MAX + 1];
};

/* A look at the directory; belongs to the job while it runs. */
struct round {
	struct io_job job;
	struct folder *folder;
	int64_t now_time;
	int fd;
	struct owner *owners;
	size_t owner_count;
	unsigned removed, stuck, strange, passed_over;
	uint32_t removed_uid;
	enum err err;
};

struct folder {
	struct folder_options options;
	const struct folder_kind *kind;
	const struct config *config;
	struct buf path; /* with a final NUL */
	int fd;
	struct round round;
	struct list waiting, active;
	unsigned active_count;
	struct io_job sync;
	bool looking, syncing, more, news, paused, broken, closing;
	struct io_timer timer;
	struct io_watch *watch;
	struct random random;
	int64_t warned_at;
	struct io_later closed;
	void (*on_closed)(void *owner);
	void *closed_owner;
};

void folder_say(struct folder *f, enum event_kind kind, enum event_level level, const char *format, ...)
	PRINTF_LIKE(4, 5);
bool folder_may_warn(
	struct folder *f); /* what others can make happen again and again is said once a minute */
void folder_say_rejected(struct folder_file *file, struct text to, struct text why);
void folder_begin_next(struct folder *f); /* a file has ended */

void folder_run_look(struct io_job *job); /* of a struct round */

void folder_file_begin(struct folder_file *file);
void folder_file_let_go(struct folder_file *file); /* if it waits for room in the queue */
void folder_file_free(struct folder_file *file);
/* Its ends; file is gone, now or a little later. */
void folder_file_leave(struct folder_file *file, const char *why); /* where it is, for a reason of its own */
void folder_file_put_off(struct folder_file *file,
                         const char *why); /* for one that holds for all: there is a pause */
void folder_file_remove(struct folder_file *file);
void folder_file_put_aside(struct folder_file *file);

MUST_USE enum err folder_file_keep_refusal(struct folder_file *file, struct text to, struct text why,
                                           size_t room);
/* Whom the message goes to is settled: the sender hears of the others, if there is one and wants to; then the file ends. */
void folder_file_tell_sender(struct folder_file *file);

#endif
