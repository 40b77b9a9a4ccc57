/* One line of the users file. */
#include "users.h"

#include <postrider/base/arena.h>
#include <postrider/base/auto.h>
#include <postrider/config.h>

#include "password.h"
#include "prep.h"

#define SCRAM_PREFIX TEXT("{SCRAM-SHA-256}")

/* What `doveadm pw` puts before hashes of crypt(3). */
static const struct text passed_over[] = {
	LIT("{CRYPT}"),
	LIT("{BLF-CRYPT}"),
	LIT("{SHA512-CRYPT}"),
	LIT("{SHA256-CRYPT}"),
};

static enum err refuse(const struct user *u, const char *has, const char *why, struct buf *problem,
                       struct buf *next)
{
	buf_add_format(problem, "%.*s %s %s", TEXT_ARGS(text_head(u->name, 64)), has, why);
	buf_add_format(next, "postrider users add %.*s", TEXT_ARGS(u->name));
	return ERR_SYNTAX;
}

/* Puts a secret where it belongs. False: there is one of its kind already. */
static bool place_secret(struct user *u, struct text secret)
{
	struct text *place = &u->hash;

	if (text_starts_nocase(secret, SCRAM_PREFIX)) {
		place = &u->scram;
		secret = text_skip(secret, SCRAM_PREFIX.len);
	}
	for (size_t i = 0; i < ARRAY_LEN(passed_over); i++) {
		if (text_starts_nocase(secret, passed_over[i])) {
			secret = text_skip(secret, passed_over[i].len);
			break;
		}
	}
	if (place->at)
		return false;
	*place = secret;
	return true;
}

/* False: a secret too much. */
static bool split_secrets(struct user *u)
{
	struct text rest = u->secrets;
	bool good = true, more;

	u->shut_out = text_starts(rest, TEXT("!"));
	if (u->shut_out)
		rest = text_skip(rest, 1);
	if (text_eq(rest, TEXT("*")) || text_eq(rest, TEXT("!")) || (u->shut_out && rest.len == 0))
		return true;
	do {
		more = text_find_octet(rest, '|') < rest.len;
		good &= place_secret(u, text_cut(&rest, '|'));
	} while (more);
	return good;
}

/* False: a secret or a field too much. hash and scram with at NULL are not there. */
static bool split(struct text line, struct user *out)
{
	struct text rest = line;

	*out = (struct user){ .name = text_cut(&rest, ':') };
	out->secrets = text_cut(&rest, ':');
	out->senders = text_trim(rest);
	return split_secrets(out);
}

void users_split_line(struct text line, struct user *out)
{
	(void)split(line, out);
}

static enum err check_secrets(const struct user *u, bool one_each, struct buf *problem, struct buf *next)
{
	struct scram_verifier parsed;
	const char *why = NULL;

	if (!one_each)
		return refuse(u, "has", "two secrets of one kind", problem, next);
	if (u->hash.at && u->hash.len == 0)
		return refuse(u, "has", "no hash (\"*\" says that there is no password)", problem, next);
	if (u->hash.at && !password_hash_kind(u->hash, &why))
		return refuse(u, "has", why, problem, next);
	if (u->scram.at && scram_verifier_parse(u->scram, &parsed, &why))
		return refuse(u, "has a wrong verifier for SCRAM-SHA-256:", why, problem, next);
	return ERR_OK;
}

enum err users_parse_senders(struct text senders, struct arena *arena, struct config_patterns *out,
                             struct text *bad)
{
	struct config_pattern *items;
	size_t count = senders.len ? 1 : 0;

	for (size_t i = 0; i < senders.len; i++)
		count += senders.at[i] == ',';
	items = arena_alloc(arena, MAX(count, 1) * sizeof(*items));
	if (!items)
		return ERR_NOMEM;
	for (size_t i = 0; i < count; i++) {
		struct text sender = text_trim(text_cut(&senders, ','));
		enum err err = config_pattern_parse(arena, sender, &items[i]);

		if (err == ERR_SYNTAX)
			*bad = sender;
		if (err)
			return err;
	}
	*out = (struct config_patterns){ .items = items, .count = count };
	return ERR_OK;
}

static enum err check_senders(const struct user *u, struct buf *problem, struct buf *next)
{
	AUTO(arena_fini) struct arena arena;
	struct config_patterns patterns;
	struct text bad = TEXT_EMPTY;
	enum err err;

	arena_init(&arena, 64 * USERS_LINE_MAX);
	err = users_parse_senders(u->senders, &arena, &patterns, &bad);
	if (err != ERR_SYNTAX)
		return err;
	buf_add_format(problem, "\"%.*s\" is no sender", TEXT_ARGS(text_head(bad, 64)));
	buf_add_string(
		next,
		"write ann@example.com, example.com (every address there), .example.com (its subdomains) or any, "
		"with commas between them");
	return err;
}

static enum err check_name(struct text name, struct buf *problem, struct buf *next)
{
	if (prep_is_name(name))
		return ERR_OK;
	if (name.len == 0) {
		buf_add_string(problem, "a line without a name");
		buf_add_string(next, "NAME:HASH[:SENDER,SENDER...]; comments begin with \"#\"");
	} else {
		buf_add_format(problem, "\"%.*s\" cannot be a name", TEXT_ARGS(text_head(name, 64)));
		buf_add_format(
			next,
			"1 to %d octets of UTF-8 in its composed form (NFKC), without control characters",
			AUTH_NAME_MAX);
	}
	return ERR_SYNTAX;
}

static enum err check_shape(struct text line, struct buf *problem, struct buf *next)
{
	struct text rest = line;

	if (line.len > USERS_LINE_MAX) {
		buf_add_format(problem, "a line of %zu octets", line.len);
		buf_add_format(next, "%d are enough: write patterns that cover many senders", USERS_LINE_MAX);
		return ERR_SYNTAX;
	}
	text_cut(&rest, ':');
	text_cut(&rest, ':');
	if (text_find_octet(rest, ':') == rest.len)
		return ERR_OK;
	buf_add_string(problem, "more than three fields");
	buf_add_string(
		next,
		"NAME:HASH[:SENDER,SENDER...]; of a line of another program's keep the first two fields");
	return ERR_SYNTAX;
}

enum err users_parse_line(struct text line, struct user *out, struct buf *problem, struct buf *next)
{
	struct user u;
	bool one_each = split(line, &u);
	enum err err = check_name(u.name, problem, next);

	if (!err)
		err = check_shape(line, problem, next);
	if (!err && u.secrets.len == 0)
		err = refuse(&u, "has", "no hash (\"*\" would say that there is no password)", problem, next);
	if (!err)
		err = check_secrets(&u, one_each, problem, next);
	if (!err && u.senders.len)
		err = check_senders(&u, problem, next);
	if (!err)
		*out = u;
	return err;
}
