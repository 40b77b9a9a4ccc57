/* filter/policy_protocol.h - the octets of Postfix's policy delegation protocol, without I/O.
 *
 * A question is lines "name=value" LF and an empty line; so is an answer, of which only "action=" counts. */
#ifndef POSTRIDER_FILTER_POLICY_PROTOCOL_H
#define POSTRIDER_FILTER_POLICY_PROTOCOL_H

#include <postrider/base/buf.h>
#include <postrider/filter/policy_service.h>

#define POLICY_VALUE_MAX 2048
#define POLICY_QUESTION_MAX (64u << 10)
#define POLICY_ANSWER_MAX (8u << 10)
#define POLICY_REPLY_TEXT_MAX 400
#define POLICY_FIELD_MAX 998

/* No value can add a line: controls are sent as "?". */
void policy_question_write(struct buf *out, const struct policy_question *q);

/* An answer at the front of bytes: *action is what stands behind the first "action=", and *taken octets were the answer.
 * ERR_MORE: it is not whole. ERR_TOO_BIG: over POLICY_ANSWER_MAX. ERR_SYNTAX: a line that is no attribute, or no action. */
MUST_USE enum err policy_answer_find(struct text bytes, struct text *action, size_t *taken);

/* What an action means. Texts of *out live in words (whose maximum is 4 KiB at least) or for ever. ERR_UNSUPPORTED: an action that we do
 * not have; ERR_SYNTAX: one that says nothing sensible (a PREPEND that is no field); out->problem says so for people, and
 * nothing else of *out counts. ERR_NOMEM. */
MUST_USE enum err policy_answer_read(struct text action, struct buf *words, struct policy_answer *out);

#endif
