/* deliver/parameters.h - what a client asked for by parameters of MAIL and RCPT, as it goes on to the next hop. A host that
 * does not offer an extension is told nothing of it. */
#ifndef DELIVER_PARAMETERS_H
#define DELIVER_PARAMETERS_H

#include <postrider/mail/envelope.h>

#include "outbox.h"

/* " BODY=... SMTPUTF8 RET=..." for MAIL. utf8: some recipient of the transaction needs SMTPUTF8. */
void parameters_add_mail(struct outbox *o, unsigned keywords, const struct envelope *e, bool utf8,
                         int64_t now_time);
/* " NOTIFY=... ORCPT=..." for RCPT */
void parameters_add_rcpt(struct outbox *o, unsigned keywords, const struct envelope_recipient *r);

/* What BY= says: seconds from now on, rounded down. */
int64_t parameters_by_seconds(const struct envelope *e, int64_t now_time);

#endif
