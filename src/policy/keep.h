/* policy/keep.h - one small file that is written as a whole, in the disk lane. It has two places in turn (NAME.0, NAME.1): what
 * was there stays until its successor is synced, so a crash leaves the one or the other. Checksummed. */
#ifndef POLICY_KEEP_H
#define POLICY_KEEP_H

#include <postrider/base/buf.h>
#include <postrider/io/disk.h>
#include <postrider/io/io.h>
#include <postrider/observe/observe.h>

struct keep;

struct keep_options {
	struct io *io;
	struct io_disk *disk;
	struct text directory;   /* copied; made when it is missing, its parents are not */
	const char *name;        /* static */
	const char *what;        /* for events: "the cache of MTA-STS policies"; static */
	size_t max_bytes;        /* of the content */
	int64_t delay_ms;        /* from the first change to its writing */
	int64_t interval_ms;     /* between two writings, at the least */
	struct observe *observe; /* hears what goes wrong; may be NULL */
	/* Adds the content as it is now. On the loop. */
	void (*fill)(void *owner, struct buf *out);
	void *owner;
};

MUST_USE enum err keep_new(const struct keep_options *options, struct keep **out);
/* Blocks. Adds the newest content that is whole. ERR_NOT_FOUND: there is none. ERR_DAMAGED: what there is cannot be read; it
 * was set aside as NAME.damaged, and an event says so. Others: of the disk, likewise. */
MUST_USE enum err keep_read(struct keep *k, struct buf *out);
/* The content was whole and made no sense: it is set aside as above. */
void keep_set_aside(struct keep *k, struct text content);
/* It changed. A failure to write is an event, and tried again at intervals. */
void keep_touch(struct keep *k);
/* The last change is written; blocks shortly for that. */
void keep_free(struct keep **k);

#endif
