/* support/auth_rig.h - a struct auth in a world of virtual time, its users file in memory, and a client at the keyboard. */
#ifndef TEST_SUPPORT_AUTH_RIG_H
#define TEST_SUPPORT_AUTH_RIG_H

#include <postrider/auth.h>

#include "support/fake_io.h"

struct auth_rig {
	struct fake_io world;
	struct io *io;
	struct auth *auth;
	const struct config *config;
	enum err new_err; /* of auth_new */

	/* the users file */
	struct text users;
	struct auth_file_mark mark;
	enum err file_err;
	unsigned reads;
	bool is_being_written; /* it is another file after each reading */

	/* what auth said of it */
	struct buf problem;
	struct buf said[AUTH_BACKEND_BACK + 1]; /* the last notice of each kind */
	unsigned notices;

	/* the client, and the connection that it has */
	struct config_listener listener;
	struct auth_peer peer;
};

#define AUTH_RIG_PATH "/etc/users"

/* users NULL: no users file is configured. more: further lines of `access:`, indented by two, or NULL. The peer is in TLS and
 * has no other merits. The rig's fields may be changed before and between dialogues. */
void auth_rig_open(struct auth_rig *r, const char *users, const char *more);
void auth_rig_close(struct auth_rig *r);
void auth_rig_run(struct auth_rig *r, int64_t ms); /* lets time pass */
/* The file has other octets now, and is another file. */
void auth_rig_write_users(struct auth_rig *r, const char *users);

/* One dialogue. */
struct auth_talk {
	struct auth_rig *rig;
	struct auth_exchange *exchange;
	bool has_step;
	unsigned steps;
	enum auth_step_kind kind; /* of the last step */
	struct buf challenge;     /* decoded */
	struct buf name, why;
	struct auth_user *user;
};

void auth_talk_init(struct auth_talk *t, struct auth_rig *r);
void auth_talk_fini(struct auth_talk *t);
/* Begin and answer, octets not encoded yet, and wait for the step. initial NULL: none. ERR of auth_begin is AUTH_TEMPORARY. */
enum auth_step_kind auth_talk_begin(struct auth_talk *t, const char *mechanism, const struct text *initial);
enum auth_step_kind auth_talk_say(struct auth_talk *t, struct text octets);
/* The same, octets of the wire. */
enum auth_step_kind auth_talk_begin_raw(struct auth_talk *t, const char *mechanism,
                                        const struct text *initial);
enum auth_step_kind auth_talk_say_raw(struct auth_talk *t, struct text line);
/* Without waiting. */
enum err auth_talk_start(struct auth_talk *t, const char *mechanism, const struct text *initial);
void auth_talk_wait(struct auth_talk *t);

/* "\0name\0password" by PLAIN, whole. */
enum auth_step_kind auth_rig_log_in(struct auth_rig *r, const char *name, const char *password);

#endif
