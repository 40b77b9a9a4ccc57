/* deliver/judge.h - what a peer's reply means: how it ends, and why.
 *
 * By the first digit of the code (RFC 5321 section 4.2.1), then the enhanced code (RFC 3463), then a
 * closed table of texts that big receivers are known to send, then the code alone. A text never changes
 * how it ends, only the reason. */
#ifndef DELIVER_JUDGE_H
#define DELIVER_JUDGE_H

#include <postrider/deliver.h>
#include <postrider/smtp/reply.h>

struct verdict {
	enum deliver_kind kind;            /* never DELIVER_UNKNOWN */
	enum reason reason;                /* REASON_NONE when delivered */
	char enhanced[REPLY_ENHANCED_MAX]; /* of the reply with the class that fits kind, or "4.0.0" */
};

/* A reply that is positive, transient or permanent; what another one (3xx) means is for the session to
 * say. */
struct verdict judge_reply(const struct reply *reply, enum stage stage);

#endif
