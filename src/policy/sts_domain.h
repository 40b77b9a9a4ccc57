/* policy/sts_domain.h - a policy in memory, and as a record. */
#ifndef POLICY_STS_DOMAIN_H
#define POLICY_STS_DOMAIN_H

#include "sts.h"
#include "sts_parse.h"

/* Copies everything into one block, with one reference. NULL: no memory. */
struct policy_domain *policy_domain_new(struct text domain, struct text id, const struct sts_file *file);

/* What the cache holds against: octets of its block. */
size_t policy_domain_bytes(const struct policy_domain *d);

/* Whether two policies say the same, whatever their ids and ages. */
bool policy_domain_same(const struct policy_domain *a, const struct policy_domain *b);

/* The policy as its file had it, for reports: each line ("version: STSv1", ...). */
typedef void policy_line_fn(void *owner, struct text line);
void policy_domain_each_line(const struct policy_domain *d, policy_line_fn *each, void *owner);

#endif
