/* support/smtp_client.h - an SMTP client that follows a script, in any world of io:
 *
 *	S: 220                the next reply line begins so
 *	C: EHLO client        says a line; lines of C that follow each other leave in one write
 *	R: octets             the same without CR LF behind it; \r \n \0 \\ mean what they do in C
 *	after 300 ms          waits
 *	tls                   a handshake now
 *	closed                the server closes, and has said nothing more
 *	drops                 the client closes without a word */
#ifndef TEST_SUPPORT_SMTP_CLIENT_H
#define TEST_SUPPORT_SMTP_CLIENT_H

#include <postrider/base/buf.h>
#include <postrider/io/stream.h>
#include <postrider/tls.h>

struct smtp_client {
	struct io *io;
	struct io_stream *stream; /* NULL when it has closed */
	struct tls_context *tls;  /* borrowed; may be NULL */
	struct text script;       /* what is left of it */
	struct io_timer timer;
	struct buf in; /* lines not yet asked for */
	struct buf transcript;
	bool is_connected, waits, server_closed;
	bool done;                    /* the script is through, and the stream closed */
	void (*on_done)(void *owner); /* may be NULL */
	void *owner;
};

/* Connects and begins. What does not follow the script fails the test, with the transcript. */
void smtp_client_start(struct smtp_client *c, struct io *io, const struct io_address *to, const char *script,
                       struct tls_context *tls);
void smtp_client_fini(struct smtp_client *c); /* it must be done */

#endif
