#include "support/auth_rig.h"

#include "support/check.h"

#include <postrider/base/base64.h>

/* Longer than any delay and any hash. */
#define PATIENCE_MS 60000

static enum err mark_file(void *owner, struct text path, struct auth_file_mark *out)
{
	struct auth_rig *r = owner;

	assert_true(text_eq(path, TEXT(AUTH_RIG_PATH)));
	if (r->file_err)
		return r->file_err;
	*out = r->mark;
	return ERR_OK;
}

static enum err read_file(void *owner, struct text path, struct buf *out, struct buf *detail,
                          struct buf *hint)
{
	struct auth_rig *r = owner;

	assert_true(text_eq(path, TEXT(AUTH_RIG_PATH)));
	r->reads++;
	if (r->file_err) {
		buf_add_string(detail, "it is not as it should be");
		buf_add_string(hint, "mend it");
		return r->file_err;
	}
	r->mark.inode += r->is_being_written;
	buf_add(out, r->users);
	return buf_err(out);
}

static void on_notice(void *owner, enum auth_notice notice, struct text what)
{
	struct auth_rig *r = owner;

	r->notices++;
	buf_reset(&r->said[notice]);
	buf_add(&r->said[notice], what);
}

static void load_config(struct auth_rig *r, bool has_users, const char *more)
{
	struct buf yaml = BUF(4096);
	struct config_report report;

	buf_add_string(&yaml, "hostname: relay.example.com\naccess:\n  max_hops: 50\n");
	if (has_users)
		buf_add_string(&yaml, "  users_file: " AUTH_RIG_PATH "\n");
	buf_add_string(&yaml, more ? more : "");
	const struct config_sources sources = { .file = TEXT("test.yaml"), .text = buf_text(&yaml) };

	config_report_init(&report);
	assert_int_equal(config_load(&sources, &r->config, &report), ERR_OK);
	config_report_fini(&report);
	buf_fini(&yaml);
}

void auth_rig_open(struct auth_rig *r, const char *users, const char *more)
{
	static uint64_t opened; /* no two have the same random numbers */

	*r = (struct auth_rig){ .problem = BUF(65536) };
	for (size_t i = 0; i < ARRAY_LEN(r->said); i++)
		buf_init(&r->said[i], 65536);
	for (size_t i = 0; i < ARRAY_LEN(r->said); i++)
		assert_non_null(buf_reserve(&r->said[i], 4096)); /* before an allocation fails */
	r->io = fake_io_init(&r->world);
	r->world.random = ++opened;
	auth_rig_write_users(r, users);
	load_config(r, users != NULL, more);
	r->listener = (struct config_listener){ .name = TEXT("apps"), .auth = CONFIG_AUTH_OPTIONAL };
	r->peer =
		(struct auth_peer){ .listener = &r->listener, .client = ip_from_v4(0xc0000201), .tls = true };

	const struct auth_options options = { .io = r->io,
		                              .config = r->config,
		                              .mark_file = mark_file,
		                              .read_file = read_file,
		                              .files = r,
		                              .on_notice = on_notice,
		                              .owner = r };

	r->new_err = auth_new(&options, &r->auth, &r->problem);
}

void auth_rig_close(struct auth_rig *r)
{
	auth_free(&r->auth);
	for (unsigned i = 0; i < IO_LANE_COUNT; i++)
		r->world.held[i] = false;
	fake_io_run(&r->world);
	config_unref(&r->config);
	fake_io_fini(&r->world);
	buf_fini(&r->problem);
	for (size_t i = 0; i < ARRAY_LEN(r->said); i++)
		buf_fini(&r->said[i]);
}

void auth_rig_run(struct auth_rig *r, int64_t ms)
{
	fake_io_advance(&r->world, ms);
}

void auth_rig_write_users(struct auth_rig *r, const char *users)
{
	r->users = text_from(users);
	r->mark.inode++;
	r->mark.bytes = r->users.len;
	r->mark.mode = 0640;
}

/* ---------------------------------------------------------------- a dialogue */

static void on_step(void *owner, const struct auth_step *step)
{
	struct auth_talk *t = owner;

	assert_false(t->has_step);
	assert_true((step->kind == AUTH_CHALLENGE) == (t->exchange != NULL));
	t->has_step = true;
	t->steps++;
	t->kind = step->kind;
	buf_reset(&t->challenge);
	buf_reset(&t->name);
	buf_reset(&t->why);
	if (step->kind == AUTH_CHALLENGE)
		assert_int_equal(base64_decode(step->challenge, &t->challenge), ERR_OK);
	buf_add(&t->name, step->name);
	buf_add(&t->why, step->why);
	assert_true((step->kind == AUTH_DONE) == (step->user != NULL));
	if (step->user)
		t->user = auth_user_ref(step->user);
}

void auth_talk_init(struct auth_talk *t, struct auth_rig *r)
{
	*t = (struct auth_talk){ .rig = r, .challenge = BUF(16384), .name = BUF(1024), .why = BUF(1024) };
	/* now: a test may let auth's allocations fail, and ours would count */
	assert_non_null(buf_reserve(&t->challenge, 16384));
	assert_non_null(buf_reserve(&t->name, 1024));
	assert_non_null(buf_reserve(&t->why, 1024));
}

void auth_talk_fini(struct auth_talk *t)
{
	auth_cancel(&t->exchange);
	auth_user_unref(&t->user);
	buf_fini(&t->challenge);
	buf_fini(&t->name);
	buf_fini(&t->why);
}

void auth_talk_wait(struct auth_talk *t)
{
	struct fake_io *world = &t->rig->world;
	int64_t until_at = world->at_ms + PATIENCE_MS;

	for (fake_io_run(world); !t->has_step; fake_io_run(world)) {
		assert_true(world->wake_at <= until_at);
		world->at_ms = MAX(world->at_ms, world->wake_at);
	}
}

enum err auth_talk_start(struct auth_talk *t, const char *mechanism, const struct text *initial)
{
	const struct auth_start start = { .peer = &t->rig->peer,
		                          .mechanism = text_from(mechanism),
		                          .has_initial = initial != NULL,
		                          .initial = initial ? *initial : TEXT_EMPTY,
		                          .on_step = on_step,
		                          .owner = t };

	t->has_step = false;
	return auth_begin(t->rig->auth, &start, &t->exchange);
}

enum auth_step_kind auth_talk_begin_raw(struct auth_talk *t, const char *mechanism,
                                        const struct text *initial)
{
	if (auth_talk_start(t, mechanism, initial))
		return t->kind = AUTH_TEMPORARY;
	assert_false(t->has_step); /* never from inside */
	auth_talk_wait(t);
	return t->kind;
}

enum auth_step_kind auth_talk_say_raw(struct auth_talk *t, struct text line)
{
	t->has_step = false;
	auth_answer(t->exchange, line);
	assert_false(t->has_step);
	auth_talk_wait(t);
	return t->kind;
}

enum auth_step_kind auth_talk_begin(struct auth_talk *t, const char *mechanism, const struct text *initial)
{
	struct buf line = BUF(65536);
	struct text encoded;

	base64_add(&line, initial ? *initial : TEXT_EMPTY);
	if (line.len == 0)
		buf_add_string(&line, "=");
	encoded = buf_text(&line);
	auth_talk_begin_raw(t, mechanism, initial ? &encoded : NULL);
	buf_fini(&line);
	return t->kind;
}

enum auth_step_kind auth_talk_say(struct auth_talk *t, struct text octets)
{
	struct buf line = BUF(65536);

	base64_add(&line, octets);
	auth_talk_say_raw(t, buf_text(&line));
	buf_fini(&line);
	return t->kind;
}

enum auth_step_kind auth_rig_log_in(struct auth_rig *r, const char *name, const char *password)
{
	struct buf octets = BUF(4096);
	struct auth_talk t;
	enum auth_step_kind kind;

	auth_talk_init(&t, r);
	buf_add_octet(&octets, 0);
	buf_add_string(&octets, name);
	buf_add_octet(&octets, 0);
	buf_add_string(&octets, password);
	const struct text initial = buf_text(&octets);

	kind = auth_talk_begin(&t, "PLAIN", &initial);
	buf_fini(&octets);
	auth_talk_fini(&t);
	return kind;
}
