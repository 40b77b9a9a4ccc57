/* receive/parameters.h - what MAIL and RCPT ask for by parameters, as the extensions that are offered here and now allow it. */
#ifndef POSTRIDER_RECEIVE_PARAMETERS_H
#define POSTRIDER_RECEIVE_PARAMETERS_H

#include "session.h"

/* Zeroed: nothing was asked for. Texts point into the line. */
struct mail_wishes {
	bool smtputf8;    /* RFC 6531 */
	bool require_tls; /* RFC 8689 */
	enum envelope_ret ret;
	struct text envid;
	struct text submitter;
	bool has_priority, priority_lowered;
	int priority;
	int64_t release_time;
	struct smtp_by by;
	bool has_by;
	int64_t by_time;
};

struct rcpt_wishes {
	unsigned notify;
	struct text orcpt;
};

/* False: refused already. */
bool receive_parameters_mail(struct receive_session *s, const struct smtp_mail *mail,
                             struct mail_wishes *out);
bool receive_parameters_rcpt(struct receive_session *s, const struct smtp_rcpt *rcpt,
                             struct rcpt_wishes *out);

/* ERR_NOMEM */
MUST_USE enum err receive_parameters_keep(const struct mail_wishes *wishes, struct envelope *e);

#endif
