/* Header fields and paragraphs that break at white space, and what must not get into them. */
#ifndef MAIL_FOLD_H
#define MAIL_FOLD_H

#include <postrider/base/buf.h>

#define LINE_SOFT_MAX 78 /* RFC 5322 section 2.1.1 */
#define WORD_MAX 900     /* a longer one is cut in pieces: no line may pass 998 octets */

struct folder {
	struct buf *b;
	size_t column;
	const char *line_break; /* "\r\n\t" in a header field */
	size_t indent;          /* the column behind it */
	bool utf8;              /* characters above U+009F count as printable */
};

struct folder folder_of_field(struct buf *b, struct text name); /* writes "Name:" */

void folder_add(struct folder *f, struct text t);           /* as it is */
void folder_add_printable(struct folder *f, struct text t); /* what is not printable as "?" */
/* As printable, and what could end a comment, a path or a quoted string as "?" too. */
void folder_add_harmless(struct folder *f, struct text t);
void folder_break(struct folder *f);
void folder_space(struct folder *f,
                  size_t next_len); /* a space, or a break when next_len more octets do not fit */
void folder_add_words(struct folder *f, struct text t); /* printable, each word after a folder_space */

#endif
