/* deliver/results.h - what becomes of the recipients of a transaction: by a reply, in our own words, or because
 * the connection ends. Each gets one result. */
#ifndef DELIVER_RESULTS_H
#define DELIVER_RESULTS_H

#include "judge.h"
#include "session.h"

/* One recipient, which must have no result yet; all that have none. */
void result_give(struct session *s, struct transaction *t, size_t index, struct deliver_result r);
void result_give_all(struct session *s, struct transaction *t, const struct deliver_result *r);
/* Our own words stand in s->line. */
struct deliver_result result_own(struct session *s, enum deliver_kind kind, enum reason reason,
                                 enum stage stage, const char *enhanced);
/* v must live as long as the result. */
struct deliver_result result_of_reply(struct session *s, const struct reply *reply, const struct verdict *v,
                                      enum stage stage);

/* The reply is for all that have no result yet. */
void results_by_reply(struct session *s, struct transaction *t, const struct reply *reply, enum stage stage);
/* Those whose address cannot be sent. */
void results_of_unfit(struct session *s, struct transaction *t);

/* The first transaction is over: the second moves up, the job is done. */
void transaction_finish_first(struct session *s);

#endif
