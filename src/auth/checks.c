#include "checks.h"

#include <postrider/base/auto.h>
#include <postrider/base/map.h>

#include "known.h"
#include "password.h"
#include "prep.h"
#include "secret_key.h"

struct checks {
	struct io *io;
	struct secret_key key;
	struct known known;
	struct map tasks;    /* all, by what they ask */
	struct list waiting; /* tasks that are not in the lane yet */
	struct list running;
	size_t waiting_count;
	unsigned running_count, at_once;
	uint64_t hashes, hits;
};

/* One password to be hashed. While it runs, the lane's thread reads what is below the line and writes answer. */
struct check_task {
	struct io_job job;
	struct checks *checks; /* NULL: they are gone */
	struct map_item item;
	struct list link;
	struct list checks_waiting;
	struct crypto_sha256 key;
	bool runs;
	/* ---- */
	bool pretends; /* nobody's password: the work is done all the same */
	enum check_answer answer;
	struct buf hash;  /* or */
	struct buf scram; /* of the user */
	struct buf password;
};

static void task_free(struct check_task *t)
{
	buf_fini(&t->hash);
	buf_fini(&t->scram);
	secret_fini(&t->password);
	free(t);
}

/* ---------------------------------------------------------------- in the lane */

static enum err try_scram(struct check_task *t, bool *fits)
{
	AUTO(secret_fini) struct buf prepared = BUF(AUTH_PASSWORD_MAX);
	struct scram_verifier verifier;
	struct text password = buf_text(&t->password);
	const char *why;

	if (scram_verifier_parse(buf_text(&t->scram), &verifier, &why))
		return ERR_OK; /* it was checked: cannot be */
	if (!buf_reserve(&prepared, AUTH_PASSWORD_MAX))
		return ERR_NOMEM;
	if (prep_add(password, &prepared) == ERR_OK)
		password = buf_text(&prepared);
	*fits = scram_verifier_fits(&verifier, password);
	return ERR_OK;
}

static void run(struct io_job *job)
{
	struct check_task *t = CONTAINER_OF(job, struct check_task, job);
	bool fits = false;
	enum err err = t->hash.len ? password_fits(buf_text(&t->hash), buf_text(&t->password), &fits)
	                           : try_scram(t, &fits);

	t->answer = err ? CHECK_FAILED : fits && !t->pretends ? CHECK_RIGHT : CHECK_WRONG;
}

/* ---------------------------------------------------------------- on the loop */

static void submit_waiting(struct checks *c);

/* Each hears the answer; what they do then may end other checks, or ask again. */
static void tell(struct list *waiting, enum check_answer answer)
{
	struct list *link;

	while ((link = list_shift(waiting))) {
		struct check *check = CONTAINER_OF(link, struct check, link);

		check->task = NULL;
		check->fn(check, answer);
	}
}

static void done(struct io_job *job)
{
	struct check_task *t = CONTAINER_OF(job, struct check_task, job);
	struct checks *c = t->checks;
	struct list waiting;

	list_init(&waiting);
	if (c) {
		list_append_all(&waiting, &t->checks_waiting);
		map_remove(&c->tasks, &t->item);
		list_remove(&t->link);
		c->running_count--;
		c->hashes++;
		if (t->answer == CHECK_RIGHT)
			known_note(&c->known, &t->key, io_now_at(c->io) + CHECKS_KNOWN_MS);
		submit_waiting(c);
	}
	enum check_answer answer = t->answer;

	task_free(t);
	tell(&waiting, answer);
}

static void submit_waiting(struct checks *c)
{
	while (c->running_count < c->at_once && !list_is_empty(&c->waiting)) {
		struct check_task *t = CONTAINER_OF(list_shift(&c->waiting), struct check_task, link);

		c->waiting_count--;
		c->running_count++;
		list_append(&c->running, &t->link);
		t->runs = true;
		io_job_submit(c->io, IO_LANE_CPU, &t->job);
	}
}

/* Whose secrets are tried: the user's, or those of somebody who stands in for whom is not there or may not log in. */
static bool choose(struct checks *c, const struct users *users, struct text name, struct user *out)
{
	char room[AUTH_NAME_MAX];
	const struct text pieces[] = { LIT("stand-in"), prep_fold(name, room) };

	if (users_find(users, name, out) && (out->hash.len || out->scram.len))
		return !out->shut_out;
	struct crypto_sha256 number = secret_key_hmac(&c->key, pieces, 2);
	uint64_t which;

	memcpy(&which, number.at, sizeof(which));
	if (!users_any_with_secret(users, which, out))
		*out = (struct user){ .name = TEXT_EMPTY };
	return false;
}

static struct check_task *task_new(struct checks *c, const struct user *user, struct text password)
{
	struct check_task *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->checks = c;
	t->job.run = run;
	t->job.done = done;
	list_init(&t->link);
	list_init(&t->checks_waiting);
	buf_init(&t->hash, PASSWORD_HASH_MAX);
	buf_init(&t->scram, SCRAM_VERIFIER_MAX);
	buf_init(&t->password, AUTH_PASSWORD_MAX);
	buf_add(&t->hash, user->hash);
	buf_add(&t->scram, user->hash.len ? TEXT_EMPTY : user->scram);
	buf_add(&t->password, password);
	if (!buf_err(&t->hash) && !buf_err(&t->scram) && !buf_err(&t->password))
		return t;
	task_free(t);
	return NULL;
}

static enum check_answer begin(struct checks *c, struct check_task *t, struct check *check)
{
	if (map_add(&c->tasks, &t->item, crypto_sha256_text(&t->key))) {
		task_free(t);
		return CHECK_FAILED;
	}
	list_append(&t->checks_waiting, &check->link);
	check->task = t;
	list_append(&c->waiting, &t->link);
	c->waiting_count++;
	submit_waiting(c);
	return CHECK_WAITS;
}

/* Somebody asks the same at this moment. False: nobody does. */
static bool join(struct checks *c, const struct crypto_sha256 *key, struct check *check)
{
	struct map_item *item = map_find(&c->tasks, crypto_sha256_text(key));

	if (!item)
		return false;
	check->task = CONTAINER_OF(item, struct check_task, item);
	list_append(&check->task->checks_waiting, &check->link);
	return true;
}

enum check_answer checks_ask(struct checks *c, const struct users *users, struct text name,
                             struct text password, struct check *check)
{
	struct user user;
	char room[AUTH_NAME_MAX];
	bool may = choose(c, users, name, &user);
	const struct text nul = { "", 1 },
			  pieces[] = { LIT("password"), prep_fold(name, room), nul, password, nul,
		                       user.secrets };
	struct crypto_sha256 key =
		secret_key_hmac(&c->key, pieces, ARRAY_LEN(pieces)); /* none of the texts holds a NUL */

	if (may && known_has(&c->known, &key, io_now_at(c->io))) {
		c->hits++;
		return CHECK_RIGHT;
	}
	if (password.len > AUTH_PASSWORD_MAX || (!user.hash.len && !user.scram.len))
		return CHECK_WRONG; /* at once for everybody: says nothing of the user */
	if (join(c, &key, check))
		return CHECK_WAITS;
	if (c->waiting_count >= CHECKS_WAITING_MAX)
		return CHECK_BUSY;
	struct check_task *t = task_new(c, &user, password);

	if (!t)
		return CHECK_FAILED;
	t->key = key;
	t->pretends = !may;
	return begin(c, t, check);
}

void checks_leave(struct check *check)
{
	struct check_task *t = TAKE(check->task);

	if (!t)
		return;
	list_remove(&check->link);
	if (t->runs || !list_is_empty(&t->checks_waiting))
		return;
	t->checks->waiting_count--;
	map_remove(&t->checks->tasks, &t->item);
	list_remove(&t->link);
	task_free(t);
}

struct checks_count checks_count(const struct checks *c)
{
	return (struct checks_count){ c->hashes, c->hits, c->waiting_count, c->known.map.count };
}

enum err checks_new(struct io *io, unsigned at_once, struct checks **out)
{
	struct checks *c = calloc(1, sizeof(*c));

	if (!c)
		return ERR_NOMEM;
	c->io = io;
	c->at_once = at_once;
	secret_key_init(&c->key, io);
	known_init(&c->known, CHECKS_KNOWN_MAX, io_random_u64(io));
	map_init(&c->tasks, false, io_random_u64(io));
	list_init(&c->waiting);
	list_init(&c->running);
	*out = c;
	return ERR_OK;
}

/* Nobody hears of it any more. */
static void abandon(struct check_task *t)
{
	struct list *link;

	t->checks = NULL;
	list_remove(&t->link);
	while ((link = list_shift(&t->checks_waiting)))
		CONTAINER_OF(link, struct check, link)->task = NULL;
}

void checks_free(struct checks **checks)
{
	struct checks *c = TAKE(*checks);

	if (!c)
		return;
	for (LIST_EACH_SAFE(it, &c->running))
		abandon(CONTAINER_OF(it, struct check_task, link));
	for (LIST_EACH_SAFE(it, &c->waiting)) {
		struct check_task *t = CONTAINER_OF(it, struct check_task, link);

		abandon(t);
		task_free(t);
	}
	map_fini(&c->tasks);
	known_fini(&c->known);
	crypto_wipe(c, sizeof(*c));
	free(c);
}
