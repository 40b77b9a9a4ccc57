/* cli/words.h - header text that is not ASCII (RFC 2047): made for a message that is put together, and read for people. */
#ifndef CLI_WORDS_H
#define CLI_WORDS_H

#include <postrider/base/buf.h>

/* In the Q encoding, as UTF-8: words of 75 characters at most, folded, no character cut in two. What is plain stays. */
void words_add_encoded(struct buf *out, struct text t);

/* As UTF-8. Words in a charset that is neither UTF-8, ASCII nor ISO 8859-1, and broken ones, stay as they are. */
void words_add_decoded(struct buf *out, struct text t);

#endif
