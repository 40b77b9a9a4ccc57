/* observe/event_json.h - an event as one line of JSON. */
#ifndef OBSERVE_EVENT_JSON_H
#define OBSERVE_EVENT_JSON_H

#include <postrider/base/buf.h>
#include <postrider/observe/event.h>

/* A string with its quotes. Controls are escaped; what is not UTF-8 (RFC 3629) becomes U+FFFD, an octet each; what is
 * longer than EVENT_TEXT_MAX octets is cut behind a whole character and ends in U+2026. */
void event_json_string(struct buf *out, struct text t);

#endif
