/* server/folder.h - a directory that messages are taken from, file by file: the drop directory and the pick-up directory.
 *
 * A round reads the directory in the disk lane and chooses some files, in turns among their owners; each is opened and read
 * there too, handed in on the loop, and removed once the queue has it on disk. Its id in the queue is made from the file, so
 * that a file that comes again (a crash between commit and removal) is known by the queue and only removed.
 *
 * Whoever may write into the directory may put anything there: nothing is followed, waited for, or believed. */
#ifndef SERVER_FOLDER_H
#define SERVER_FOLDER_H

#include <sys/stat.h>

#include <postrider/admin/handed_in.h>
#include <postrider/io/lane.h>
#include <postrider/io/watch.h>
#include <postrider/mail/drop.h>
#include <postrider/mail/submission.h>

#define FOLDER_NAME_MAX 255

struct folder;

enum folder_look {
	FOLDER_TAKE,
	FOLDER_LEAVE,   /* not ours, or not yet */
	FOLDER_STRANGE, /* left too, and worth a word */
	FOLDER_REMOVE,  /* rubbish */
};

/* A file on its way in. */
struct folder_file {
	struct list link;
	struct folder *folder;
	struct io_job job;
	char name[FOLDER_NAME_MAX + 1];
	int fd;
	uint32_t uid;
	uint64_t bytes;
	struct id id;
	struct buf user; /* "uid 1000 (ann)" */
	struct buf head; /* the front of the file, as far as it was read for the envelope */
	struct text
		content; /* of head: from here on it is the message; or behind the header in submission.header */
	struct buf piece; /* what was read next */
	bool at_end;
	struct drop drop;             /* its envelope, or */
	struct submission submission; /* its header */
	enum err err;                 /* of the lane's last step */
	struct buf problem;           /* for people: why it is refused */

	struct handed_in *message, *notice;
	struct dsn_recipient *refused;
	size_t refused_count;
	struct arena arena; /* the words of those */
	void (*next)(struct folder_file *f);
	bool ending;    /* it is removed or set aside, also while we stop */
	bool delivered; /* the queue has it: it must not come again */
};

/* What makes one directory different from another. All but `notify` run in the lane. */
struct folder_kind {
	struct text listener; /* as routes see it */
	struct text protocol;
	/* Of an entry, which may be anything. now_time: of the round. */
	enum folder_look (*look)(const char *name, const struct stat *st, int64_t now_time);
	/* Before it is read; may give it another name, so that nobody takes it for free any more. May be NULL. */
	enum err (*claim)(struct folder_file *f, int directory);
	/* head is as much of the front as `front_bytes`, or all. ERR_SYNTAX and others: problem. */
	enum err (*parse)(struct folder_file *f);
	size_t front_bytes;
	struct id (*make_id)(const struct folder_file *f, const struct stat *st);
	/* It can never be taken: out of the way with it, and a word beside it. */
	enum err (*put_aside)(struct folder_file *f, int directory);
	struct text (*from)(const struct folder_file *f);
	const struct text *(*to)(const struct folder_file *f, size_t *count);
	bool tells_sender; /* what is refused is told to the sender by a notice */
};

struct folder_options {
	struct io *io;
	struct queue *queue;
	struct observe *observe;
	const struct config *config; /* referenced */
	const struct folder_kind *kind;
	struct text path;    /* copied; is there */
	int64_t interval_ms; /* between two looks, where nothing says that there is news */
	bool durable;
	uint64_t seed; /* boundaries of notices */
};

MUST_USE enum err folder_open(const struct folder_options *options, struct folder **out);
void folder_configure(struct folder *f, const struct config *config, int64_t interval_ms);
struct text folder_path(const struct folder *f);
/* Nothing new is begun; what the queue is deciding on is awaited. on_closed in a later turn. */
void folder_close(struct folder **f, void (*on_closed)(void *owner), void *owner);

/* Milliseconds of a time that the kernel wrote down. */
static inline int64_t folder_ms(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

extern const struct folder_kind folder_drop, folder_pickup;

#endif
