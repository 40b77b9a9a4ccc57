/* deliver/login.h - the login of one deliver_connection: its seat among those who log in, its tokens, and what the sessions
 * that it comes to know of it. */
#ifndef DELIVER_LOGIN_H
#define DELIVER_LOGIN_H

#include <postrider/auth/tokens.h>

#include "internal.h"
#include "logins.h"
#include "session.h"

struct login {
	struct session_login session; /* given to each of them; login NULL: there is none */
	struct deliver *d;
	const struct config_way *way;
	struct login_seat seat;
	struct auth_token_wait *token;
	struct io_later later;
	struct io_timer patience; /* with those who log in before us */
	bool needs_token;
	enum login_answer answer;
	void (*on_permit)(void *owner, const struct session_permit *permit);
	void *owner;
};

/* way lives as long as l. */
void login_init(struct login *l, struct deliver *d, const struct config_way *way);
void login_fini(struct login *l); /* a zeroed one is fine */

/* Whether it failed lately, so that nobody need be connected to: r is what comes of it, its reply in words. */
bool login_is_shut_out(const struct login *l, struct deliver_result *r, struct buf *words);
/* Another host of the same attempt: what was passed over at the last one may be tried. */
void login_at_host(struct login *l, struct text host, uint16_t port);

/* on_permit in a later turn, once, unless login_drop_question comes before. */
void login_ask(struct login *l, bool needs_token,
               void (*on_permit)(void *owner, const struct session_permit *permit), void *owner);
void login_drop_question(struct login *l);

/* An upstream that wants a login which is not configured, or another one, is a fault of the configuration: what it refuses
 * for that waits until somebody mends it. room: for r->enhanced. */
void login_defer(const struct login *l, struct deliver_result *r, char room[REPLY_ENHANCED_MAX]);

/* It is logged in; or the attempt is over without. */
void login_succeeded(struct login *l);
void login_ended(struct login *l);

#endif
