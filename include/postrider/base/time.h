/* postrider/base/time.h - times as text, and durations. Pure functions: the clock is io's.
 * `_time` is UTC milliseconds since 1970, `_at` is monotonic milliseconds and never stored. */
#ifndef POSTRIDER_BASE_TIME_H
#define POSTRIDER_BASE_TIME_H

#include <postrider/base/buf.h>

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)

struct calendar {
	int year, month, day; /* month 1-12, day 1-31 */
	int hour, minute, second, millisecond;
	int weekday; /* 0 = Sunday */
};

struct calendar calendar_from_time(int64_t utc_ms); /* UTC */
/* The other way; a month or day that is none counts on from the one before. The weekday is not looked at. */
int64_t time_from_calendar(const struct calendar *c);

void time_add_rfc3339(struct buf *b, int64_t utc_us); /* microseconds: 2026-01-02T03:04:05.678901Z */
void time_add_rfc5322(struct buf *b, int64_t utc_ms); /* Fri, 2 Jan 2026 03:04:05 +0000 */
void time_add_clock(struct buf *b, int64_t utc_ms);   /* 03:04:05.678 */

/* A date-time of RFC 3339 section 5.6, whole: with Z or an offset, with or without a fraction (cut to milliseconds). A leap
 * second counts as the second before it. ERR_SYNTAX: none, or no such day. */
MUST_USE enum err time_parse_rfc3339(struct text t, int64_t *utc_ms);

/* For people: "850 ms", "2.1 s", "6m 0s", "4h 12m", "5d 1h". */
void time_add_duration(struct buf *b, int64_t ms);

#endif
