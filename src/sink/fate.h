/* fate.h - recipients whose local part says what is to become of them. */
#ifndef POSTRIDER_SRC_SINK_FATE_H
#define POSTRIDER_SRC_SINK_FATE_H

#include <postrider/smtp/reply.h>

enum fate_kind {
	FATE_REFUSED,        /* the reply to RCPT */
	FATE_REFUSED_AT_DOT, /* the reply to the final dot */
	FATE_GREYLISTED,     /* the first try of it is deferred, as if `greylist` were set for everybody */
	FATE_CLOSED,         /* the reply to RCPT, and the connection ends */
	FATE_DROPPED,        /* taken, then the connection ends without a reply */
	FATE_SILENT          /* taken, and never answered */
};

struct fate {
	struct text prefix; /* of the local part, in any case of letters */
	enum fate_kind kind;
	struct reply reply;
};

/* NULL: taken like anybody. */
const struct fate *fate_of(struct text local_part);

#endif
