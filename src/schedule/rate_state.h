/* schedule/rate_state.h - what rates have given, and who is slow or suspended, over a restart: two small files in the spool,
 * written in turn.
 *
 * Of rates only windows that are long enough to see another start (bucket.h). What is taken is on disk before it is taken: a save grants a part of
 * each limit in advance, and after a crash all of that part counts as taken. A stop that was clean knows better. */
#ifndef SCHEDULE_RATE_STATE_H
#define SCHEDULE_RATE_STATE_H

#include <postrider/io/disk.h>
#include <postrider/io/lane.h>

struct bucket;
struct schedule;

struct rate_state {
	struct io_disk *disk; /* NULL: nothing is kept */
	char *directory, *paths[2];
	struct io_job job;
	struct schedule *schedule;
	struct io_timer timer;
	struct buf out;  /* the job's while writing */
	unsigned number; /* of the save; its lowest bit says which file */
	bool writing, again, closing, closed;
	bool is_known; /* there is something on disk, or will be */
	bool has_complained;
	enum err err;
};

/* Reads what an earlier run left; blocks. Without memory or with both files damaged it is as if there were none. */
void rates_open(struct schedule *s, struct io_disk *disk, struct text directory);
void rates_free(struct schedule *s);
void rates_changed(struct schedule *s, const struct bucket *b); /* something was taken of it */
void rates_save_soon(struct schedule *s);
void rates_note(struct schedule *s); /* something changed that need not be on disk at once */
/* The last save, without grants. True: it is done; else schedule_check_stopped is called then. */
bool rates_close(struct schedule *s);

#endif
