#include "internal.h"

#include <postrider/base/arena.h>
#include <postrider/base/auto.h>

/* Patterns of the longest line, each with its texts, and as many of a backend. */
#define ARENA_BYTES (256 * USERS_LINE_MAX)

struct auth_user {
	unsigned references;
	struct text name;
	struct config_patterns senders; /* of a line of the users file; none: all */
	struct config_patterns limits;  /* a backend's; with is_limited none: nobody */
	bool is_limited;
	struct arena arena;
};

static void free_user(struct auth_user **u)
{
	if (!*u)
		return;
	arena_fini(&(*u)->arena);
	free(TAKE(*u));
}

enum err auth_user_new(const struct auth *auth, struct text name, struct auth_user **out)
{
	AUTO(free_user) struct auth_user *u = calloc(1, sizeof(*u));
	struct user line = { .senders = TEXT_EMPTY };
	struct text bad;
	enum err err;

	if (!u)
		return ERR_NOMEM;
	u->references = 1;
	arena_init(&u->arena, ARENA_BYTES);
	if (users_find(auth->users, name, &line) && line.shut_out)
		return ERR_DENIED;
	err = arena_text(&u->arena, line.name.len ? line.name : name, &u->name); /* as the file spells it */
	if (!err && line.senders.len)
		err = users_parse_senders(line.senders, &u->arena, &u->senders, &bad);
	if (!err)
		*out = TAKE(u);
	return err;
}

enum err auth_user_limit(struct auth_user *user, struct text senders)
{
	struct text bad;

	user->is_limited = true;
	return users_parse_senders(senders, &user->arena, &user->limits, &bad);
}

struct text auth_user_name(const struct auth_user *user)
{
	return user->name;
}

bool auth_user_may_send(const struct auth_user *user, struct text mailbox)
{
	if (mailbox.len == 0)
		return true;
	if (user->is_limited && !config_patterns_find(&user->limits, mailbox))
		return false;
	return user->senders.count == 0 || config_patterns_find(&user->senders, mailbox);
}

struct auth_user *auth_user_ref(struct auth_user *user)
{
	user->references++;
	return user;
}

void auth_user_unref(struct auth_user **user)
{
	if (*user && --(*user)->references == 0)
		free_user(user);
	*user = NULL;
}
