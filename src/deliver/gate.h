/* deliver/gate.h - what may hold the end of the mail data back, or end an attempt before it: a gate (deliver_job.gated), and
 * that nobody wants the job done any longer (deliver_call_off). */
#ifndef DELIVER_GATE_H
#define DELIVER_GATE_H

#include "session.h"

/* The mail data leaves: asked for once. */
void gate_ask(struct session *s, struct transaction *t);
bool gate_lets_end(const struct transaction *t);
/* It is to be stopped before its end: gate_stop_short gives its results, from inside session_later. */
bool gate_stops(const struct transaction *t);
void gate_stop_short(struct session *s, struct transaction *t);

#endif
