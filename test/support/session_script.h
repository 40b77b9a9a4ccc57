/* support/session_script.h - a conversation with the outbound SMTP session, written as protocol.
 *
 * What the script does:
 *	S: 220 mx / 250 mx         the peer says these lines       S- 250 ok | 2      no line end behind it, | is one
 *	S: closes | S: resets      it ends the connection          S: takes nothing | S: takes all     it stops, resumes reading
 *	after 300 s                time passes
 *	tls ok | tls fails | tls wrong certificate                 the handshake ends
 *	job a b | job size=5000 a | job 8bit a | job text=.x a     a message for a@example.net and b@example.net is given
 *	    of the envelope: binary, utf8 (SMTPUTF8 was said), 8bit-header, requiretls, priority=3, by=60R (or -5N, 60NT),
 *	    ret=full, ret=hdrs, envid=x, notify=success,delay, orcpt=rfc822;x and original=x@y (both of the recipient before it)
 *	    spans: slow (each span after a wait), broken (an error in the middle), bare (a bare LF in it), null (no sender)
 *	body                       a slow body has its next span
 *	may log in | may token abc | may refused WORDS | may no token WORDS       the answer to "asks ..."
 *	worked out                 the answer to "derives ..."
 *	open | shut                the gate of the last job (job gated a)     call off     it, too
 *	finish | abort
 * What it expects, each in its place and nothing else between:
 *	C: EHLO relay.example      a line sent                     C> first line of a write    C+ in the same write as the last
 *	sent 60000                 lines of mail data, not compared: so many octets at most, half of it at least
 *	asks to log in, asks for a token, derives 4096 (iterations)
 *	starttls, up, ready, done, closed, finished (closed once all is sent), learned keeps, learned cuts,
 *	learned no chunks, gate, called off, too late
 *	a: delivered 250 2.0.0     a recipient's result: kind (delivered transient permanent unknown), code, enhanced,
 *	                           then any of: reason, stage, "untouched", "reused", "peer", and "~words" found in the reply
 *	failed FAULT: the same     (reply cut silence tls no_tls lacks no_login login login_again)
 * Lines are separated by LF; what stands before the first word and empty lines count for nothing. */
#ifndef SUPPORT_SESSION_SCRIPT_H
#define SUPPORT_SESSION_SCRIPT_H

#include <postrider/deliver.h>

struct session_script_options {
	enum config_tls tls;
	bool no_tls, no_ehlo, joins, verifies, lmtp, no_chunks;
	struct deliver_needs needs;
	const struct config_login *login; /* NULL: none; as the next */
	bool has_certificate, has_binding, shows_login;
	bool proves; /* the host has proved its name */
	unsigned passed, refused;
};

/* The wall clock at the start of a script is this and a second. */
#define SESSION_SCRIPT_TIME (1000000 * INT64_C(1000))

#define SESSION_SCRIPT_NONCE "eighteen octets..." /* in base64 ZWlnaHRlZW4gb2N0ZXRzLi4u */

/* Runs the script; fails the test with the script's line where they part. At the end nothing may be left
 * over. */
void session_script(const struct session_script_options *options, const char *script);

/* The waits it is run with, in milliseconds, all different. */
extern const struct config_timeouts session_script_timeouts;

#endif
