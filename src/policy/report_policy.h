/* policy/report_policy.h - a policy in the words of a report (RFC 8460 section 4.4: policy-string). */
#ifndef POLICY_REPORT_POLICY_H
#define POLICY_REPORT_POLICY_H

#include "report_book.h"

struct report_words {
	enum report_type type;
	struct text domain; /* borrowed from the note */
	struct buf lines;   /* with LF between */
};

/* Of the policy that counted in a session: TLSA records, else one of MTA-STS, else none. */
void report_words_of(struct report_words *w, const struct policy_report *note);
void report_words_fini(struct report_words *w);

#endif
