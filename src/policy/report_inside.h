/* policy/report_inside.h - what report_book.c and report_disk.c share. All return NULL when it does not fit. */
#ifndef POLICY_REPORT_INSIDE_H
#define POLICY_REPORT_INSIDE_H

#include "report_book.h"

/* The domain of a day: that of the open day, or a new one; of another day always a new one, which is closed. */
struct report_domain *report_domain_of(struct report_book *b, struct text name, int64_t day);
struct report_policy *report_policy_of(struct report_book *b, struct report_domain *d, enum report_type type,
                                       struct text domain, struct text lines);
/* The row of a failure; beyond the bound the one of its type that names nobody. */
struct report_detail *report_detail_of(struct report_book *b, struct report_domain *d,
                                       struct report_policy *p, const struct report_detail *like);

#endif
