/* Header fields that routes ask for and that were not kept with the message. */
#ifndef SCHEDULE_FIELDS_H
#define SCHEDULE_FIELDS_H

#include "internal.h"

/* Whether the present routes ask for what can only be read from disk. t: NULL while there is none. */
bool fields_lie_on_disk(const struct schedule *s, const struct task *t, const struct queue_message *m);
/* As struct header_pick has them, of a task with its message; from memory if they were not kept. */
struct text fields_of(struct task *t);
/* What a LOADING task has got from the queue. True: it is taken over, the fields are read first, and task_loaded is called then. */
bool fields_await(struct task *t, struct queue_work *work);

#endif
