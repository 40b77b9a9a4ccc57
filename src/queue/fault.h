/* queue/fault.h - the numbered places where a test may stop the queue or let a step fail
 * (queue_options.fault).
 *
 * A place stands between two steps of which a power cut may separate the first from the second. The hook's
 * answer is what the step behind the place comes to, except where nothing can fail any more (said below).
 * Numbers are never used again: scenarios name them. */
#ifndef POSTRIDER_QUEUE_FAULT_H
#define POSTRIDER_QUEUE_FAULT_H

#include <postrider/queue.h>

enum fault_point {
	/* disk lane, a large body on its way in */
	FAULT_FILE_CREATE = 1, /* before the spool file is made */
	FAULT_FILE_WRITE = 2,  /* before a piece is written */
	FAULT_FILE_SYNC = 3,   /* all written, before fdatasync */
	FAULT_FILE_SYNCED = 4, /* synced, before anybody knows; the answer is passed over */
	/* writer lane, a group */
	FAULT_GROUP_BEGIN = 5,      /* before the transaction */
	FAULT_GROUP_APPLIED = 6,    /* all rows put, before the directory of bodies is synced */
	FAULT_GROUP_COMMIT = 7,     /* before the commit */
	FAULT_GROUP_COMMITTED = 8,  /* on disk, before anybody knows; the answer is passed over */
	FAULT_RESERVE_GIVEN_UP = 9, /* the reserve is gone, before the settles are tried again; passed over */
	/* disk lane, behind a commit */
	FAULT_FILE_REMOVE = 10,  /* before the file of a message that is gone is removed */
	FAULT_RESERVE_MAKE = 11, /* before the reserve is made again */
	/* start and stop */
	FAULT_SWEEP_REMOVE = 12, /* before the sweep removes a stray file */
	FAULT_OPEN_MARK = 13,    /* before the start is noted */
	FAULT_CLOSE_MARK = 14,   /* before the stop is noted as clean */
	FAULT_COUNT
};

static inline enum err fault_at(const struct queue_options *o, enum fault_point point)
{
	return o->fault ? o->fault(o->fault_owner, point) : ERR_OK;
}

#endif
