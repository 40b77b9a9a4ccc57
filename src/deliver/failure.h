/* deliver/failure.h - what an attempt that never came to carry mail says in the end.
 *
 * Of all hosts and addresses tried the most telling failure is kept: what a peer said before what its
 * silence says. It is permanent only if every one was, since another attempt may find the others. */
#ifndef DELIVER_FAILURE_H
#define DELIVER_FAILURE_H

#include <postrider/deliver.h>

#define FAILURE_REPLY_BYTES 1024

struct failure {
	bool is_set;
	bool healing; /* at least one of them may pass */
	unsigned weight;
	struct deliver_result result; /* texts in the arrays below, mx borrowed from the connection's arena */
	char enhanced[12];
	char reply[FAILURE_REPLY_BYTES];
};

/* Copies what it keeps, but for result->mx and the names of TLS. */
void failure_note(struct failure *f, const struct deliver_result *result);
/* As it is to be reported; there must be one. Lives as long as f. */
const struct deliver_result *failure_result(struct failure *f);

#endif
