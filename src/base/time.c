#include <postrider/base/time.h>

#include <postrider/base/auto.h>

#define DAYS_TO_MARCH_0000 719468 /* from 0000-03-01 to 1970-01-01 */
#define DAYS_IN_400_YEARS 146097

static const char *const weekdays[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
	                              "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

/* Both round towards the past, so that times before 1970 have a calendar too. */
static int64_t divide_down(int64_t value, int64_t by)
{
	return value / by - (value % by < 0);
}

static int rest_of(int64_t value, int64_t by)
{
	int64_t rest = value % by;

	return (int)(rest < 0 ? rest + by : rest);
}

/* Years are counted from March on, so that the day a leap year adds is the last of its year. */
static void set_date(struct calendar *c, int64_t days)
{
	days += DAYS_TO_MARCH_0000;
	int64_t era = divide_down(days, DAYS_IN_400_YEARS);
	int64_t day_of_era = days - era * DAYS_IN_400_YEARS;
	int64_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t month_from_march = (5 * day_of_year + 2) / 153;

	c->day = (int)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
	c->month = (int)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
	c->year = (int)(year_of_era + era * 400 + (c->month <= 2));
}

struct calendar calendar_from_time(int64_t utc_ms)
{
	int64_t days = divide_down(utc_ms, DAY_MS);
	int ms = rest_of(utc_ms, DAY_MS);
	struct calendar c = {
		.hour = ms / (int)HOUR_MS,
		.minute = ms / (int)MINUTE_MS % 60,
		.second = ms / (int)SECOND_MS % 60,
		.millisecond = ms % (int)SECOND_MS,
		.weekday = rest_of(days + 4, 7), /* 1970 began on a Thursday */
	};

	set_date(&c, days);
	return c;
}

static int64_t days_of_date(int64_t year, int month, int day)
{
	year -= month <= 2;
	int64_t era = divide_down(year, 400);
	int64_t year_of_era = year - era * 400;
	int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * DAYS_IN_400_YEARS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
	       DAYS_TO_MARCH_0000;
}

int64_t time_from_calendar(const struct calendar *c)
{
	return days_of_date(c->year, c->month, c->day) * DAY_MS + c->hour * HOUR_MS + c->minute * MINUTE_MS +
	       c->second * SECOND_MS + c->millisecond;
}

/* snprintf takes most of the time of an event, and a time stands in each. */
static void add_digits(struct buf *b, int64_t value, int width)
{
	char digits[20];

	for (int i = width; i-- > 0; value /= 10)
		digits[i] = (char)('0' + value % 10);
	buf_add_bytes(b, digits, (size_t)width);
}

static void add_year(struct buf *b, int year)
{
	if (year < 0)
		buf_add_octet(b, '-');
	add_digits(b, year < 0 ? -(int64_t)year : year, year > 9999 || year < -9999 ? 9 : 4);
}

static void add_hms(struct buf *b, const struct calendar *c)
{
	add_digits(b, c->hour, 2);
	buf_add_octet(b, ':');
	add_digits(b, c->minute, 2);
	buf_add_octet(b, ':');
	add_digits(b, c->second, 2);
}

void time_add_rfc3339(struct buf *b, int64_t utc_us)
{
	struct calendar c = calendar_from_time(divide_down(utc_us, 1000));

	add_year(b, c.year);
	buf_add_octet(b, '-');
	add_digits(b, c.month, 2);
	buf_add_octet(b, '-');
	add_digits(b, c.day, 2);
	buf_add_octet(b, 'T');
	add_hms(b, &c);
	buf_add_octet(b, '.');
	add_digits(b, c.millisecond, 3);
	add_digits(b, rest_of(utc_us, 1000), 3);
	buf_add_octet(b, 'Z');
}

void time_add_rfc5322(struct buf *b, int64_t utc_ms)
{
	struct calendar c = calendar_from_time(utc_ms);

	buf_add_string(b, weekdays[c.weekday]);
	buf_add_string(b, ", ");
	add_digits(b, c.day, c.day < 10 ? 1 : 2);
	buf_add_octet(b, ' ');
	buf_add_string(b, months[c.month - 1]);
	buf_add_octet(b, ' ');
	add_year(b, c.year);
	buf_add_octet(b, ' ');
	add_hms(b, &c);
	buf_add_string(b, " +0000");
}

void time_add_clock(struct buf *b, int64_t utc_ms)
{
	struct calendar c = calendar_from_time(utc_ms);

	add_hms(b, &c);
	buf_add_octet(b, '.');
	add_digits(b, c.millisecond, 3);
}

static void add_two(struct buf *b, uint64_t large, char large_unit, uint64_t small, char small_unit)
{
	buf_add_u64(b, large);
	buf_add_octet(b, large_unit);
	buf_add_octet(b, ' ');
	buf_add_u64(b, small);
	buf_add_octet(b, small_unit);
}

void time_add_duration(struct buf *b, int64_t ms)
{
	uint64_t left = ms < 0 ? -(uint64_t)ms : (uint64_t)ms;

	if (ms < 0)
		buf_add_octet(b, '-');
	if (left < (uint64_t)SECOND_MS) {
		buf_add_u64(b, left);
		buf_add_string(b, " ms");
	} else if (left < (uint64_t)MINUTE_MS) {
		buf_add_u64(b, left / 1000);
		buf_add_octet(b, '.');
		buf_add_u64(b, left / 100 % 10);
		buf_add_string(b, " s");
	} else if (left < (uint64_t)HOUR_MS) {
		add_two(b, left / (uint64_t)MINUTE_MS, 'm', left / (uint64_t)SECOND_MS % 60, 's');
	} else if (left < (uint64_t)DAY_MS) {
		add_two(b, left / (uint64_t)HOUR_MS, 'h', left / (uint64_t)MINUTE_MS % 60, 'm');
	} else {
		add_two(b, left / (uint64_t)DAY_MS, 'd', left / (uint64_t)HOUR_MS % 24, 'h');
	}
}

/* ---------------------------------------------------------------- reading */

/* Takes `width` digits from the front, then `after` (0: nothing). */
static bool take_number(struct text *rest, size_t width, char after, int max, int *out)
{
	uint64_t value;

	if (rest->len < width + (after != 0) || text_to_u64(text_head(*rest, width), (uint64_t)max, &value) ||
	    (after && ascii_lower(rest->at[width]) != after))
		return false;
	*out = (int)value;
	*rest = text_skip(*rest, width + (after != 0));
	return true;
}

static bool take_date_and_clock(struct text *rest, int64_t *utc_ms)
{
	struct calendar c = { 0 };

	if (!take_number(rest, 4, '-', 9999, &c.year) || !take_number(rest, 2, '-', 12, &c.month) ||
	    !take_number(rest, 2, 't', 31, &c.day) || !take_number(rest, 2, ':', 23, &c.hour) ||
	    !take_number(rest, 2, ':', 59, &c.minute) || !take_number(rest, 2, 0, 60, &c.second))
		return false;
	c.second = MIN(c.second, 59);
	*utc_ms = time_from_calendar(&c);
	struct calendar back = calendar_from_time(*utc_ms);

	return back.month == c.month && back.day == c.day;
}

static bool take_fraction(struct text *rest, int64_t *utc_ms)
{
	int64_t worth = SECOND_MS / 10;
	size_t len = 1;

	if (rest->len == 0 || rest->at[0] != '.')
		return true;
	for (; len < rest->len && ascii_is_digit(rest->at[len]); len++, worth /= 10)
		*utc_ms += (rest->at[len] - '0') * worth;
	*rest = text_skip(*rest, len);
	return len > 1;
}

/* time-offset = "Z" / ( "+" / "-" ) time-hour ":" time-minute */
static bool take_offset(struct text rest, int64_t *utc_ms)
{
	int hours, minutes;

	if (rest.len == 0)
		return false;
	char sign = ascii_lower(rest.at[0]);

	rest = text_skip(rest, 1);
	if (sign == 'z')
		return rest.len == 0;
	if ((sign != '+' && sign != '-') || !take_number(&rest, 2, ':', 23, &hours) ||
	    !take_number(&rest, 2, 0, 59, &minutes))
		return false;
	*utc_ms += (sign == '+' ? -1 : 1) * (hours * HOUR_MS + minutes * MINUTE_MS);
	return rest.len == 0;
}

enum err time_parse_rfc3339(struct text t, int64_t *utc_ms)
{
	int64_t time = 0;

	if (!take_date_and_clock(&t, &time) || !take_fraction(&t, &time) || !take_offset(t, &time))
		return ERR_SYNTAX;
	*utc_ms = time;
	return ERR_OK;
}
