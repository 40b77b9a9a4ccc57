#include "users.h"

#include <postrider/base/auto.h>

#define HAS_SECRET (UINT32_C(1) << 31)

struct users_item {
	uint32_t at; /* of the line in content */
	uint32_t len;
	uint32_t line; /* its number, and HAS_SECRET */
};

/* ---------------------------------------------------------------- the table */

static struct text line_of(const struct users *u, size_t number)
{
	return text_of(u->content + u->items[number].at, u->items[number].len);
}

static struct text name_of(const struct users *u, size_t number)
{
	struct text line = line_of(u, number);

	return text_cut(&line, ':');
}

/* Where the name is, or would be. */
static size_t slot_of(const struct users *u, struct text name)
{
	size_t slot = (size_t)(text_hash_nocase(name) * UINT64_C(0x9e3779b97f4a7c15) >> 20) & u->slot_mask;

	while (u->slots[slot] && !text_eq_nocase(name_of(u, u->slots[slot] - 1), name))
		slot = (slot + 1) & u->slot_mask;
	return slot;
}

void users_get(const struct users *u, size_t number, struct user *out)
{
	users_split_line(line_of(u, number), out);
	out->line = u->items[number].line & ~HAS_SECRET;
}

bool users_find(const struct users *u, struct text name, struct user *out)
{
	if (!u || u->count == 0)
		return false;
	uint32_t found = u->slots[slot_of(u, name)];

	if (found)
		users_get(u, found - 1, out);
	return found != 0;
}

bool users_any_with_secret(const struct users *u, uint64_t number, struct user *out)
{
	for (size_t i = 0; u && i < u->count; i++) {
		size_t at = (size_t)((number + i) % u->count);

		if (!(u->items[at].line & HAS_SECRET))
			continue;
		users_get(u, at, out);
		return true;
	}
	return false;
}

void users_free(struct users **u)
{
	if (!*u)
		return;
	if ((*u)->content)
		crypto_wipe((*u)->content, (*u)->len);
	free((*u)->content);
	free((*u)->items);
	free((*u)->slots);
	free(TAKE(*u));
}

/* ---------------------------------------------------------------- reading */

struct reading {
	struct text path;
	struct users *users;
	size_t room; /* items that there is memory for */
	unsigned line, problems;
	struct buf *problem, *notice;
	enum err err;
};

static void refuse(struct reading *r, struct text what, struct text next)
{
	if (r->problems++ >= USERS_PROBLEMS)
		return;
	buf_add_format(r->problem, "%.*s:%u: error: ", TEXT_ARGS(r->path), r->line);
	buf_add(r->problem, what);
	buf_add_string(r->problem, "\n  next: ");
	buf_add(r->problem, next);
	buf_add_octet(r->problem, '\n');
}

static bool grow(struct reading *r)
{
	struct users *u = r->users;
	size_t room = MAX(r->room * 2, 64);

	if (u->count < r->room)
		return true;
	struct users_item *items = realloc(u->items, room * sizeof(*items));
	uint32_t *slots = items ? calloc(2 * room, sizeof(*slots)) : NULL;

	if (items)
		u->items = items;
	if (!slots)
		return false;
	free(u->slots);
	u->slots = slots;
	u->slot_mask = 2 * room - 1; /* a power of two: at most half full */
	r->room = room;
	for (size_t i = 0; i < u->count; i++)
		slots[slot_of(u, name_of(u, i))] = (uint32_t)(i + 1);
	return true;
}

static void note_kind(struct users *u, const struct scram_verifier *v)
{
	unsigned i = 0;

	while (i < u->kind_count &&
	       (u->kinds[i].iterations != v->iterations || u->kinds[i].salt_bytes != v->salt.len))
		i++;
	if (i == u->kind_count && i < USERS_SCRAM_KINDS)
		u->kinds[u->kind_count++] = (struct users_scram_kind){ v->iterations, (unsigned)v->salt.len };
}

static void note_scram(struct users *u, struct text scram)
{
	const struct text pieces[] = { LIT("who is not there"), scram };
	struct scram_verifier verifier;
	const char *why;

	if (scram_verifier_parse(scram, &verifier, &why))
		return;
	if (u->with_scram++ == 0)
		u->pretence = crypto_sha256(pieces, 2);
	note_kind(u, &verifier);
}

static void add_user(struct reading *r, struct text line, const struct user *user)
{
	struct users *u = r->users;
	bool has_secret = user->hash.len || user->scram.len;

	u->items[u->count] = (struct users_item){ .at = (uint32_t)(line.at - u->content),
		                                  .len = (uint32_t)line.len,
		                                  .line = r->line | (has_secret ? HAS_SECRET : 0) };
	u->slots[slot_of(u, user->name)] = (uint32_t)++u->count;
	u->with_hash += user->hash.len > 0;
	if (user->scram.len)
		note_scram(u, user->scram);
}

static void refuse_twin(struct reading *r, struct text name, unsigned first)
{
	AUTO(buf_fini) struct buf what = BUF(512), next = BUF(512);

	buf_add_format(&what, "%.*s is in line %u already", TEXT_ARGS(text_head(name, 64)), first);
	buf_add_string(
		&next,
		"keep one of the lines; a hash and a verifier of one user stand in one line, with \"|\" between them");
	refuse(r, buf_text(&what), buf_text(&next));
}

static void read_line(struct reading *r, struct text line)
{
	AUTO(buf_fini) struct buf what = BUF(1024), next = BUF(1024);
	struct user user, twin;
	enum err err = users_parse_line(line, &user, &what, &next);

	if (err == ERR_SYNTAX)
		refuse(r, buf_text(&what), buf_text(&next));
	else if (err || !grow(r))
		r->err = ERR_NOMEM;
	else if (users_find(r->users, user.name, &twin))
		refuse_twin(r, user.name, twin.line);
	else
		add_user(r, line, &user);
}

static bool says_something(struct text line)
{
	return line.len > 0 && line.at[0] != '#' && text_trim(line).len > 0;
}

static void read_lines(struct reading *r)
{
	struct text rest = { r->users->content, r->users->len };

	if (text_starts(rest, TEXT("\xef\xbb\xbf"))) /* an editor's mark of UTF-8 */
		rest = text_skip(rest, 3);
	while (rest.len && !r->err) {
		struct text line = text_cut(&rest, '\n');

		r->line++;
		if (text_ends(line, TEXT("\r")))
			line.len--;
		if (says_something(line))
			read_line(r, line);
	}
	if (r->problems > USERS_PROBLEMS)
		buf_add_format(r->problem, "%.*s: %u more\n", TEXT_ARGS(r->path),
		               r->problems - USERS_PROBLEMS);
}

/* Clients take the strongest mechanism that is announced: whoever has no verifier then cannot log in. */
static void notice_missing_verifiers(struct reading *r)
{
	const struct users *u = r->users;

	for (size_t i = 0; u->with_scram && i < u->count; i++) {
		struct user user;

		users_get(u, i, &user);
		if (!user.hash.len || user.scram.len)
			continue;
		buf_add_format(
			r->notice,
			"%.*s:%u: warning: %.*s has no verifier for SCRAM-SHA-256, which is announced because others "
			"have one: a client that prefers it cannot log in\n  next: postrider users add %.*s, or "
			"listen[].auth_mechanisms\n",
			TEXT_ARGS(r->path), user.line, TEXT_ARGS(user.name), TEXT_ARGS(user.name));
		return; /* the first one says it */
	}
}

enum err users_parse(struct text path, char *content, size_t len, struct users **out, struct buf *problem,
                     struct buf *notice)
{
	AUTO(users_free) struct users *u = calloc(1, sizeof(*u));
	struct reading r = { .path = path, .users = u, .problem = problem, .notice = notice };

	if (!u) {
		crypto_wipe(content, len);
		free(content);
		return ERR_NOMEM;
	}
	u->content = content;
	u->len = len;
	read_lines(&r);
	if (r.err)
		return r.err;
	if (r.problems)
		return ERR_CONFIG;
	notice_missing_verifiers(&r);
	*out = TAKE(u);
	return ERR_OK;
}
