#include <postrider/base/time.h>

#include <time.h>

#include "support/check.h"

static const struct {
	const char *name;
	int64_t ms;
	const char *rfc3339, *rfc5322;
} known[] = {
	{ "the beginning", 0, "1970-01-01T00:00:00.000000Z", "Thu, 1 Jan 1970 00:00:00 +0000" },
	{ "just before it", -1, "1969-12-31T23:59:59.999000Z", "Wed, 31 Dec 1969 23:59:59 +0000" },
	{ "a day of two digits", 1767323045678 + 10 * DAY_MS, "2026-01-12T03:04:05.678000Z",
	  "Mon, 12 Jan 2026 03:04:05 +0000" },
	{ "a leap day", 1709164800000, "2024-02-29T00:00:00.000000Z", "Thu, 29 Feb 2024 00:00:00 +0000" },
	{ "the leap day of a century", 951782400000, "2000-02-29T00:00:00.000000Z",
	  "Tue, 29 Feb 2000 00:00:00 +0000" },
	{ "a century without one", 4107542400000, "2100-03-01T00:00:00.000000Z",
	  "Mon, 1 Mar 2100 00:00:00 +0000" },
	{ "the last of a year", 1798761599999, "2026-12-31T23:59:59.999000Z",
	  "Thu, 31 Dec 2026 23:59:59 +0000" },
};

static void known_times_are_written_well(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		struct buf b = BUF(100);

		time_add_rfc3339(&b, known[i].ms * 1000);
		CHECK_TEXT(known[i].name, buf_text(&b), text_from(known[i].rfc3339));
		buf_reset(&b);
		time_add_rfc5322(&b, known[i].ms);
		CHECK_TEXT(known[i].name, buf_text(&b), text_from(known[i].rfc5322));
		buf_fini(&b);
	}
}

/* Every day from 1600 to 2500, against the C library. */
static void every_day_is_the_c_librarys(void **state)
{
	(void)state;
	for (int64_t day = -135140; day < 193580; day++) {
		time_t seconds = (time_t)(day * 86400 + 86399);
		struct calendar c = calendar_from_time(seconds * SECOND_MS + 999);
		struct tm tm;

		assert_non_null(gmtime_r(&seconds, &tm));
		assert_int_equal(c.year, tm.tm_year + 1900);
		assert_int_equal(c.month, tm.tm_mon + 1);
		assert_int_equal(c.day, tm.tm_mday);
		assert_int_equal(c.weekday, tm.tm_wday);
		assert_int_equal(c.hour * 10000 + c.minute * 100 + c.second, 235959);
		assert_int_equal(c.millisecond, 999);
	}
}

static void microseconds_and_clocks_are_written(void **state)
{
	struct buf b = BUF(100);

	(void)state;
	time_add_rfc3339(&b, 1767323045678901);
	buf_add_octet(&b, ' ');
	time_add_rfc3339(&b, -1);
	buf_add_octet(&b, ' ');
	time_add_clock(&b, 1767323045078);
	CHECK_TEXT("all", buf_text(&b),
	           TEXT("2026-01-02T03:04:05.678901Z 1969-12-31T23:59:59.999999Z 03:04:05.078"));
	buf_fini(&b);
}

static void no_time_is_too_far_to_be_written(void **state)
{
	struct buf b = BUF(200);

	(void)state;
	time_add_rfc5322(&b, INT64_MAX);
	time_add_rfc5322(&b, INT64_MIN);
	time_add_rfc3339(&b, INT64_MAX);
	time_add_rfc3339(&b, INT64_MIN);
	assert_int_equal(buf_err(&b), ERR_OK);
	buf_fini(&b);
}

static const struct {
	int64_t ms;
	const char *text;
} durations[] = {
	{ 0, "0 ms" },
	{ 850, "850 ms" },
	{ 999, "999 ms" },
	{ 1000, "1.0 s" },
	{ 2199, "2.1 s" },
	{ 59999, "59.9 s" },
	{ 60000, "1m 0s" },
	{ 6 * MINUTE_MS, "6m 0s" },
	{ HOUR_MS - 1, "59m 59s" },
	{ 4 * HOUR_MS + 12 * MINUTE_MS, "4h 12m" },
	{ DAY_MS - 1, "23h 59m" },
	{ 5 * DAY_MS + HOUR_MS, "5d 1h" },
	{ -90 * SECOND_MS, "-1m 30s" },
	{ INT64_MIN, "-106751991167d 7h" },
};

static void durations_are_for_people(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
		struct buf b = BUF(100);

		time_add_duration(&b, durations[i].ms);
		CHECK_TEXT(durations[i].text, buf_text(&b), text_from(durations[i].text));
		buf_fini(&b);
	}
}

static void a_calendar_is_a_time_again(void **state)
{
	(void)state;
	for (int64_t ms = -800 * 366 * DAY_MS; ms < 300 * 366 * DAY_MS; ms += 7 * HOUR_MS + 12345) {
		struct calendar c = calendar_from_time(ms);

		if (time_from_calendar(&c) != ms)
			fail_msg("%lld became %lld", (long long)ms, (long long)time_from_calendar(&c));
	}
}

static const struct {
	const char *text;
	int64_t ms; /* -1: none */
} dates[] = {
	{ "1970-01-01T00:00:00Z", 0 },
	{ "2026-01-02T03:04:05Z", INT64_C(1767323045000) },
	{ "2026-01-02t03:04:05z", INT64_C(1767323045000) },
	{ "2026-01-02T03:04:05.678Z", INT64_C(1767323045678) },
	{ "2026-01-02T03:04:05.6789999999999999999999Z", INT64_C(1767323045678) },
	{ "2026-01-02T03:04:05.6Z", INT64_C(1767323045600) },
	{ "2026-01-02T04:34:05+01:30", INT64_C(1767323045000) },
	{ "2026-01-01T22:04:05-05:00", INT64_C(1767323045000) },
	{ "2024-02-29T00:00:00Z", INT64_C(1709164800000) },
	{ "2016-12-31T23:59:60Z", INT64_C(1483228799000) },
	{ "9999-12-31T23:59:59Z", INT64_C(253402300799000) },
	{ "2026-02-29T00:00:00Z", -1 },
	{ "2026-13-01T00:00:00Z", -1 },
	{ "2026-00-01T00:00:00Z", -1 },
	{ "2026-01-00T00:00:00Z", -1 },
	{ "2026-04-31T00:00:00Z", -1 },
	{ "2026-01-02T24:00:00Z", -1 },
	{ "2026-01-02T03:60:00Z", -1 },
	{ "2026-01-02T03:04:61Z", -1 },
	{ "2026-01-02T03:04:05", -1 },
	{ "2026-01-02T03:04:05.Z", -1 },
	{ "2026-01-02T03:04:05ZZ", -1 },
	{ "2026-01-02T03:04:05+0100", -1 },
	{ "2026-01-02T03:04:05+01:00x", -1 },
	{ "2026-01-02 03:04:05Z", -1 },
	{ "2026-1-2T03:04:05Z", -1 },
	{ "+026-01-02T03:04:05Z", -1 },
	{ "", -1 },
};

static void dates_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dates); i++) {
		int64_t ms = -1;
		enum err err = time_parse_rfc3339(text_from(dates[i].text), &ms);

		CHECK_INT(dates[i].text, err, dates[i].ms < 0 ? ERR_SYNTAX : ERR_OK);
		CHECK_INT(dates[i].text, ms, dates[i].ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_calendar_is_a_time_again),
		cmocka_unit_test(known_times_are_written_well),
		cmocka_unit_test(every_day_is_the_c_librarys),
		cmocka_unit_test(microseconds_and_clocks_are_written),
		cmocka_unit_test(no_time_is_too_far_to_be_written),
		cmocka_unit_test(durations_are_for_people),
		cmocka_unit_test(dates_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
