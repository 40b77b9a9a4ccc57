/* support/mail_data.h - mail data read one octet after the other, as RFC 5321 says it: what the fast decoder and encoder
 * are held against, by tests and fuzzers. */
#ifndef TEST_SUPPORT_MAIL_DATA_H
#define TEST_SUPPORT_MAIL_DATA_H

#include <postrider/base/buf.h>

struct plain_data {
	struct buf content;
	bool ended;
	size_t used; /* octets up to and with the end of data */
	uint64_t bare_lf, bare_cr, nul, nul_first, long_lines;
	bool has_8bit;
};

/* Decodes all of the input at once. Of an input without the end only what is certain is content. */
void plain_data_decode(struct plain_data *p, struct text input);
void plain_data_fini(struct plain_data *p);

/* What the content should look like on the wire, with the end; false: it has a bare CR or LF. */
bool plain_data_encode(struct text content, struct buf *wire);

/* The content with its line ends repaired. */
void plain_data_repair(struct text content, bool has_dots, struct buf *out);

#endif
