#include <postrider/auth/users_file.h>

#include <postrider/base/arena.h>
#include <postrider/base/auto.h>
#include <postrider/config.h>

#include "password.h"
#include "prep.h"
#include "users.h"

#define SALT_OCTETS 16
#define ITERATIONS 10000 /* of a verifier: some milliseconds, which the client spends at each login */

_Static_assert(AUTH_USERS_FILE_MAX == USERS_FILE_MAX_BYTES, "what is written can be read");

static enum err parse(struct text path, struct text content, struct users **out, struct buf *problem,
                      struct buf *notice)
{
	char *copy = text_dup(content);

	return copy ? users_parse(path, copy, content.len, out, problem, notice) : ERR_NOMEM;
}

enum err auth_users_each(struct text path, struct text content, auth_users_fn *each, void *owner,
                         struct buf *problem, struct buf *notice)
{
	AUTO(users_free) struct users *users = NULL;
	enum err err = parse(path, content, &users, problem, notice);

	for (size_t i = 0; !err && i < users->count; i++) {
		struct user u;
		const char *why;

		users_get(users, i, &u);
		each(owner,
		     &(struct auth_users_entry){ .name = u.name,
		                                 .hash = u.hash.len ? password_hash_kind(u.hash, &why) : NULL,
		                                 .has_scram = u.scram.len > 0,
		                                 .shut_out = u.shut_out,
		                                 .senders = u.senders,
		                                 .line = u.line });
	}
	return err;
}

/* ---------------------------------------------------------------- checking */

static enum err check_secrets(const struct user *u, struct text password, struct auth_users_fit *fit)
{
	AUTO(secret_fini) struct buf prepared = BUF(AUTH_PASSWORD_MAX);
	struct scram_verifier verifier;
	enum err err = ERR_OK;
	const char *why;

	fit->has_hash = u->hash.len > 0;
	fit->has_scram = u->scram.len > 0;
	if (fit->has_hash)
		err = password_fits(u->hash, password, &fit->hash_fits);
	if (err || !fit->has_scram)
		return err;
	buf_reserve(&prepared, AUTH_PASSWORD_MAX);
	if (prep_add(password, &prepared) == ERR_OK &&
	    scram_verifier_parse(u->scram, &verifier, &why) == ERR_OK)
		fit->scram_fits = scram_verifier_fits(&verifier, buf_text(&prepared));
	return prepared.err == ERR_NOMEM ? ERR_NOMEM : ERR_OK;
}

enum err auth_users_check(struct text path, struct text content, struct text name, struct text password,
                          struct auth_users_fit *out, struct buf *problem)
{
	AUTO(users_free) struct users *users = NULL;
	AUTO(buf_fini) struct buf notice = BUF(65536), prepared = BUF(AUTH_NAME_MAX);
	enum err err = parse(path, content, &users, problem, &notice);
	struct user u;

	if (err)
		return err;
	*out = (struct auth_users_fit){ 0 };
	err = prep_add(name, &prepared);
	if (err == ERR_NOMEM)
		return err;
	if (err || !users_find(users, buf_text(&prepared), &u) || u.shut_out || (!u.hash.len && !u.scram.len))
		return ERR_NOT_FOUND;
	return check_secrets(&u, password, out);
}

/* ---------------------------------------------------------------- changing */

/* What goes into a line, checked and prepared. */
struct line {
	struct buf name, password, secrets;
};

static void line_fini(struct line *l)
{
	buf_fini(&l->name);
	secret_fini(&l->password);
	buf_fini(&l->secrets);
}

static enum err prepare_name(const struct auth_users_change *c, struct line *l, struct buf *problem)
{
	enum err err = prep_add(c->name, &l->name);

	if (err == ERR_NOMEM)
		return err;
	/* what begins with "#" would be a comment */
	if (!err && prep_is_name(buf_text(&l->name)) && l->name.at[0] != '#')
		return ERR_OK;
	buf_add_format(
		problem,
		"\"%.*s\" cannot be a name: 1 to %d octets of UTF-8 without \":\" and control characters",
		TEXT_ARGS(text_head(c->name, 64)), AUTH_NAME_MAX);
	return ERR_SYNTAX;
}

static enum err prepare_password(const struct auth_users_change *c, struct line *l, struct buf *problem)
{
	if (c->password.len == 0 || c->password.len > AUTH_PASSWORD_MAX) {
		buf_add_format(problem, "a password has 1 to %d octets", AUTH_PASSWORD_MAX);
		return ERR_SYNTAX;
	}
	if (!buf_reserve(&l->password, AUTH_PASSWORD_MAX))
		return ERR_NOMEM;
	enum err err = prep_add(c->password, &l->password);

	if (err && err != ERR_NOMEM) {
		buf_add_string(
			problem,
			"a password is UTF-8 without control characters: others would not arrive the same "
			"from every client");
		err = ERR_SYNTAX;
	}
	return err;
}

static enum err check_senders(const struct auth_users_change *c, struct buf *problem)
{
	AUTO(arena_fini) struct arena arena;
	struct config_patterns patterns;
	struct text bad = TEXT_EMPTY;
	enum err err;

	arena_init(&arena, 1u << 20);
	err = c->senders.len > USERS_LINE_MAX / 2 || text_find_octet(c->senders, '\n') < c->senders.len
	              ? ERR_SYNTAX
	              : users_parse_senders(c->senders, &arena, &patterns, &bad);
	if (err == ERR_SYNTAX)
		buf_add_format(
			problem,
			"\"%.*s\" is no sender: write ann@example.com, example.com (every address there), .example.com (its "
			"subdomains) or any, with commas between them",
			TEXT_ARGS(text_head(bad, 64)));
	return err;
}

static enum err add_secrets(const struct auth_users_change *c, struct line *l)
{
	struct scram_verifier verifier;
	char salt[2 * SALT_OCTETS];
	enum err err;

	c->random(c->owner, salt, sizeof(salt));
	err = password_hash_add(&l->secrets, buf_text(&l->password), text_of(salt, SALT_OCTETS));
	if (err)
		return err;
	scram_verifier_make(buf_text(&l->password), text_of(salt + SALT_OCTETS, SALT_OCTETS), ITERATIONS,
	                    &verifier);
	buf_add_string(&l->secrets, "|{SCRAM-SHA-256}");
	scram_verifier_add(&l->secrets, &verifier);
	crypto_wipe(&verifier, sizeof(verifier));
	return buf_err(&l->secrets);
}

static void add_line(struct buf *out, const struct line *l, struct text senders)
{
	buf_add(out, buf_text(&l->name));
	buf_add_octet(out, ':');
	buf_add(out, buf_text(&l->secrets));
	if (senders.len)
		buf_add_octet(out, ':');
	buf_add(out, senders);
	buf_add_octet(out, '\n');
}

static bool is_of(struct text line, struct text name)
{
	return text_eq_nocase(text_cut(&line, ':'), name);
}

static struct text senders_of(struct text line)
{
	text_cut(&line, ':');
	text_cut(&line, ':');
	if (text_ends(line, TEXT("\r")))
		line.len--;
	return line;
}

static void add_content(struct text content, const struct auth_users_change *c, const struct line *l,
                        struct buf *out, bool *was_there)
{
	if (text_starts(content, TEXT("\xef\xbb\xbf"))) {
		buf_add(out, text_head(content, 3));
		content = text_skip(content, 3);
	}
	*was_there = false;
	while (content.len) {
		struct text line = text_cut(&content, '\n');

		if (!is_of(line, buf_text(&l->name))) {
			buf_add(out, line);
			buf_add_octet(out, '\n');
		} else if (!*was_there) {
			*was_there = true;
			add_line(out, l, c->has_senders ? c->senders : senders_of(line));
		}
	}
	if (!*was_there)
		add_line(out, l, c->senders);
}

enum err auth_users_put(struct text content, const struct auth_users_change *c, struct buf *out,
                        bool *was_there, struct buf *problem)
{
	AUTO(line_fini) struct line l = { BUF(AUTH_NAME_MAX), BUF(AUTH_PASSWORD_MAX), BUF(USERS_LINE_MAX) };
	enum err err = prepare_name(c, &l, problem);

	if (!err)
		err = prepare_password(c, &l, problem);
	if (!err && c->has_senders)
		err = check_senders(c, problem);
	if (!err)
		err = add_secrets(c, &l);
	if (!err)
		add_content(content, c, &l, out, was_there);
	return err ? err : buf_err(out);
}
