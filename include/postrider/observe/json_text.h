/* postrider/observe/json_text.h - one JSON string, for whoever writes JSON: event lines here, answers in `http`. */
#ifndef POSTRIDER_OBSERVE_JSON_TEXT_H
#define POSTRIDER_OBSERVE_JSON_TEXT_H

#include <postrider/base/buf.h>

/* Adds t with its quotes. Controls, and line and paragraph separators, are escaped; an octet that belongs to no UTF-8
 * sequence (RFC 3629) becomes U+FFFD; what is longer than max_bytes is cut behind a whole character and ends in U+2026. */
void observe_add_json_text(struct buf *out, struct text t, size_t max_bytes);

#endif
