/* What rates have given, over a restart: whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include <postrider/base/crc32c.h>
#include <postrider/sim.h>

#include "../../../src/schedule/internal.h"

struct rig {
	struct sim *sim;
	struct schedule schedule; /* as much of it as this needs */
};

static void open_run(struct rig *r)
{
	r->schedule = (struct schedule){ .io = sim_io(r->sim) };
	random_init(&r->schedule.random, 1);
	list_init(&r->schedule.all);
	limits_init(&r->schedule);
	rates_open(&r->schedule, sim_disk(r->sim), TEXT("/spool"));
}

static void close_run(struct rig *r)
{
	limits_fini(&r->schedule);
	rates_free(&r->schedule);
}

static void rig_open(struct rig *r)
{
	const struct sim_options options = { .seed = 1 };

	assert_int_equal(sim_new(&options, &r->sim), ERR_OK);
	assert_int_equal(sim_disk(r->sim)->ops->make_directory(sim_disk(r->sim), "/spool"), ERR_OK);
	open_run(r);
}

static void rig_close(struct rig *r)
{
	close_run(r);
	sim_settle(r->sim, 60000);
	sim_free(&r->sim);
}

static struct bucket *add_rate(struct rig *r, const char *name, uint64_t most, int64_t window_ms)
{
	struct limit *l = limit_find(&r->schedule, text_from(name));

	if (!l)
		l = limit_new(&r->schedule, LIMIT_DOMAIN, text_from(name));
	l->users = 1;
	l->rates = realloc(l->rates, (l->rate_count + 1) * sizeof(*l->rates));
	assert_non_null(l->rates);
	l->rates[l->rate_count].unit = 0;
	bucket_init(&l->rates[l->rate_count].bucket, (struct config_rate){ most, window_ms });
	l->rates[l->rate_count].bucket.granted = 0;
	return &l->rates[l->rate_count++].bucket;
}

static void save(struct rig *r)
{
	rates_save_soon(&r->schedule);
	sim_run(r->sim, 1000);
	assert_false(r->schedule.rates.writing);
}

static uint64_t used(struct rig *r, const char *name)
{
	struct limit *l = limit_find(&r->schedule, text_from(name));

	return l && l->rate_count ? bucket_used(&l->rates[0].bucket, io_now_at(sim_io(r->sim))) : 0;
}

static void a_save_grants_a_part_and_a_crash_counts_it(void **state)
{
	struct bucket *b;
	struct rig r;

	(void)state;
	rig_open(&r);
	b = add_rate(&r, "d:a.example\n", 1600, HOUR_MS);
	bucket_take(b, 10, false, io_now_at(sim_io(r.sim)));
	save(&r);
	assert_int_equal(b->granted, 100);
	/* what is taken while the save runs has been granted, too */
	rates_save_soon(&r.schedule);
	bucket_take(b, 30, false, io_now_at(sim_io(r.sim)));
	sim_run(r.sim, 1000);
	assert_int_equal(b->granted, 70);
	close_run(&r);
	open_run(&r);
	assert_in_range(used(&r, "d:a.example\n"), 110, 140);
	rig_close(&r);
}

static void a_clean_end_counts_what_was_taken(void **state)
{
	struct bucket *b;
	struct rig r;

	(void)state;
	rig_open(&r);
	b = add_rate(&r, "d:a.example\n", 1600, HOUR_MS);
	bucket_take(b, 25, false, io_now_at(sim_io(r.sim)));
	save(&r);
	bucket_take(b, 5, false, io_now_at(sim_io(r.sim)));
	assert_false(rates_close(&r.schedule));
	sim_run(r.sim, 1000);
	assert_true(rates_close(&r.schedule));
	close_run(&r);
	sim_run(r.sim, 30 * MINUTE_MS);
	open_run(&r);
	assert_int_equal(used(&r, "d:a.example\n"), 30);
	sim_run(r.sim, 31 * MINUTE_MS);
	assert_int_equal(used(&r, "d:a.example\n"), 0);
	rig_close(&r);
}

static void without_long_windows_nothing_is_written(void **state)
{
	struct rig r;
	uint64_t size;

	(void)state;
	rig_open(&r);
	assert_true(rates_close(&r.schedule));
	assert_int_equal(sim_disk(r.sim)->ops->size(sim_disk(r.sim), "/spool/rates.0", &size), ERR_NOT_FOUND);
	assert_int_equal(sim_disk(r.sim)->ops->size(sim_disk(r.sim), "/spool/rates.1", &size), ERR_NOT_FOUND);
	rig_close(&r);
}

static struct limit *add_pause(struct rig *r, const char *name, bool suspended, int64_t ms)
{
	struct limit *l = limit_find(&r->schedule, text_from(name));
	struct limit_cause cause = { text_dup(TEXT("421 4.7.0 later")), text_dup(TEXT("etc.yaml:7")),
		                     REASON_RATE_LIMITED };

	if (!l)
		l = limit_new(&r->schedule, LIMIT_DOMAIN, text_from(name));
	assert_non_null(l);
	if (suspended)
		limit_restore_suspension(l, io_now_at(sim_io(r->sim)) + ms, &cause);
	else
		limit_restore_slow(l, io_now_at(sim_io(r->sim)) + ms, &cause);
	return l;
}

static void assert_rest(struct rig *r, int64_t until_at, int64_t ms)
{
	assert_in_range(until_at - io_now_at(sim_io(r->sim)), ms - 2000, ms);
}

/* Until when, and why; what has ended in between has ended. */
static void being_slow_and_suspended_outlives_a_run(void **state)
{
	struct limit *l;
	struct rig r;

	(void)state;
	rig_open(&r);
	(void)add_pause(&r, "d:a.example\n", true, HOUR_MS);
	(void)add_pause(&r, "d:b.example\n", false, 2 * HOUR_MS);
	(void)add_pause(&r, "d:c.example\n", true, 3 * MINUTE_MS);
	rates_note(&r.schedule);
	assert_false(rates_close(&r.schedule));
	sim_run(r.sim, 1000);
	assert_true(rates_close(&r.schedule));
	close_run(&r);
	sim_run(r.sim, 10 * MINUTE_MS);
	open_run(&r);
	l = limit_find(&r.schedule, TEXT("d:a.example\n"));
	assert_rest(&r, l->suspended_until_at, 50 * MINUTE_MS);
	assert_true(io_timer_runs(&l->resume_timer));
	assert_string_equal(l->suspend_cause.reply, "421 4.7.0 later");
	assert_string_equal(l->suspend_cause.rule, "etc.yaml:7");
	assert_int_equal(l->suspend_cause.reason, REASON_RATE_LIMITED);
	assert_false(limit_is_slow(l));
	l = limit_find(&r.schedule, TEXT("d:b.example\n"));
	assert_rest(&r, l->slow_until_at, 110 * MINUTE_MS);
	assert_string_equal(l->slow_cause.rule, "etc.yaml:7");
	assert_int_equal(l->suspended_until_at, 0);
	l = limit_find(&r.schedule, TEXT("d:c.example\n"));
	assert_true(!l || !l->suspended_until_at);
	rig_close(&r);
}

/* A clock that was years ahead leaves nobody suspended for years. */
static void nobody_is_suspended_for_longer_than_a_rule_says(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	(void)add_pause(&r, "d:a.example\n", true, 365 * DAY_MS);
	save(&r);
	close_run(&r);
	open_run(&r);
	assert_int_equal(limit_find(&r.schedule, TEXT("d:a.example\n"))->suspended_until_at, 0);
	rig_close(&r);
}

/* A disk that takes nothing stops no mail. */
static void a_disk_that_fails_grants_all_the_same(void **state)
{
	struct observe *observe = NULL;
	struct bucket *b;
	struct rig r;

	(void)state;
	rig_open(&r);
	assert_int_equal(
		observe_new(&(struct observe_options){ .node = TEXT("t"),
	                                               .now_time_us = (int64_t(*)(void *))io_now_time_us,
	                                               .clock = r.schedule.io },
	                    &observe),
		ERR_OK);
	r.schedule.observe = observe;
	b = add_rate(&r, "d:a.example\n", 1600, HOUR_MS);
	sim_disk_fail_after(r.sim, 0, ERR_IO);
	save(&r);
	assert_int_equal(b->granted, 100);
	assert_true(r.schedule.rates.has_complained);
	sim_disk_fail_after(r.sim, 0, ERR_OK);
	save(&r);
	assert_false(r.schedule.rates.has_complained);
	observe_free(&observe);
	rig_close(&r);
}

/* ---------------------------------------------------------------- damage */

static size_t read_file(struct rig *r, const char *path, unsigned char *out, size_t room)
{
	struct io_disk *disk = sim_disk(r->sim);
	struct io_file *f;
	size_t got = 0;

	if (disk->ops->open(disk, path, IO_FILE_READ, &f))
		return 0;
	assert_int_equal(disk->ops->read_at(f, 0, out, room, &got), ERR_OK);
	disk->ops->close(&f);
	return got;
}

static void write_file(struct rig *r, const char *path, const unsigned char *bytes, size_t len)
{
	struct io_disk *disk = sim_disk(r->sim);
	struct io_file *f;

	(void)!disk->ops->remove(disk, path);
	assert_int_equal(disk->ops->open(disk, path, IO_FILE_CREATE, &f), ERR_OK);
	assert_int_equal(disk->ops->write_at(f, 0, bytes, len), ERR_OK);
	disk->ops->close(&f);
}

static void a_damaged_file_gives_way_to_the_one_before(void **state)
{
	unsigned char bytes[4096];
	struct random random;
	struct rig r;
	size_t len;

	(void)state;
	random_init(&random, 1);
	rig_open(&r);
	bucket_take(add_rate(&r, "d:a.example\n", 1600, HOUR_MS), 7, false, io_now_at(sim_io(r.sim)));
	save(&r); /* rates.1 */
	bucket_take(add_rate(&r, "d:b.example\n", 1600, HOUR_MS), 9, false, io_now_at(sim_io(r.sim)));
	save(&r); /* rates.0, the newer one */
	len = read_file(&r, "/spool/rates.0", bytes, sizeof(bytes));
	assert_true(len > 20);
	for (unsigned i = 0; i < 400; i++) {
		unsigned char damaged[4096];
		size_t cut = i % 3 ? len : random_below(&random, len);

		memcpy(damaged, bytes, len);
		damaged[random_below(&random, len)] ^= (unsigned char)(1 + random_below(&random, 255));
		write_file(&r, "/spool/rates.0", damaged, cut);
		close_run(&r);
		open_run(&r);
		assert_true(used(&r, "d:a.example\n") >= 7);
		assert_int_equal(used(&r, "d:b.example\n"), 0);
	}
	rig_close(&r);
}

/* Octets by chance under a right checksum: nothing but a wrong count may come of it. */
static void what_is_sealed_and_senseless_is_borne(void **state)
{
	unsigned char bytes[600];
	struct random random;
	struct rig r;

	(void)state;
	random_init(&random, 2);
	rig_open(&r);
	bucket_take(add_rate(&r, "d:a.example\n", 1600, HOUR_MS), 7, false, io_now_at(sim_io(r.sim)));
	(void)add_pause(&r, "d:a.example\n", true, HOUR_MS);
	(void)add_pause(&r, "d:a.example\n", false, HOUR_MS);
	save(&r);
	for (unsigned i = 0; i < 3000; i++) {
		unsigned char made[600];
		size_t len = read_file(&r, "/spool/rates.1", bytes, sizeof(bytes)) - 4;
		uint32_t crc;

		memcpy(made, bytes, len);
		for (unsigned n = (unsigned)random_below(&random, 6); n > 0; n--)
			made[random_below(&random, len)] = (unsigned char)random_u64(&random);
		crc = crc32c(0, made, len);
		for (unsigned n = 0; n < 4; n++)
			made[len + n] = (unsigned char)(crc >> 8 * n);
		write_file(&r, "/spool/rates.0", made, len + 4);
		close_run(&r);
		open_run(&r);
		(void)used(&r, "d:a.example\n");
	}
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_save_grants_a_part_and_a_crash_counts_it),
		cmocka_unit_test(a_clean_end_counts_what_was_taken),
		cmocka_unit_test(without_long_windows_nothing_is_written),
		cmocka_unit_test(being_slow_and_suspended_outlives_a_run),
		cmocka_unit_test(nobody_is_suspended_for_longer_than_a_rule_says),
		cmocka_unit_test(a_disk_that_fails_grants_all_the_same),
		cmocka_unit_test(a_damaged_file_gives_way_to_the_one_before),
		cmocka_unit_test(what_is_sealed_and_senseless_is_borne),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
