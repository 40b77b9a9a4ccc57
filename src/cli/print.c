/* Words and tables for people. */
#include "cli.h"

#include <postrider/base/time.h>

void cli_colour(struct cli *cli, enum colour colour)
{
	static const char *const codes[] = {
		[PLAIN] = "\033[0m", [BOLD] = "\033[1m",   [DIM] = "\033[2m",
		[RED] = "\033[31m",  [GREEN] = "\033[32m", [YELLOW] = "\033[33m",
	};

	if (cli->colour)
		fputs(codes[colour], cli->out);
}

/* C0, DEL and, as UTF-8, C1: what a terminal might act on. */
static bool is_control(struct text t, size_t i)
{
	unsigned char c = (unsigned char)t.at[i];

	if (c < 0x20 || c == 0x7f)
		return true;
	return c == 0xc2 && i + 1 < t.len && (unsigned char)t.at[i + 1] < 0xa0;
}

void cli_put(struct cli *cli, struct text t)
{
	for (size_t i = 0; i < t.len; i++) {
		if (!is_control(t, i)) {
			fputc(t.at[i], cli->out);
			continue;
		}
		i += (unsigned char)t.at[i] == 0xc2;
		fputc('?', cli->out);
	}
}

static bool begins_character(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

size_t cli_columns_of(struct text t)
{
	size_t columns = 0;

	for (size_t i = 0; i < t.len; i++)
		columns += begins_character(t.at[i]);
	return columns;
}

/* The first so many characters. */
static struct text head_columns(struct text t, size_t columns)
{
	size_t i = 0;

	for (; i < t.len; i++)
		if (begins_character(t.at[i]) && columns-- == 0)
			break;
	return text_head(t, i);
}

static void put_spaces(struct cli *cli, size_t count)
{
	fprintf(cli->out, "%*s", (int)count, "");
}

static size_t put_cut(struct cli *cli, struct text t, unsigned columns)
{
	size_t needed = cli_columns_of(t);

	if (needed <= columns) {
		cli_put(cli, t);
		return needed;
	}
	cli_put(cli, head_columns(t, columns - 1));
	fputs("…", cli->out);
	return columns;
}

void cli_put_cut(struct cli *cli, struct text t, unsigned columns)
{
	put_cut(cli, t, columns);
}

void cli_put_cell(struct cli *cli, struct text t, unsigned columns)
{
	size_t used = put_cut(cli, t, columns);

	put_spaces(cli, columns - used);
}

void cli_put_cell_right(struct cli *cli, struct text t, unsigned columns)
{
	size_t needed = cli_columns_of(t);

	put_spaces(cli, needed < columns ? columns - needed : 0);
	put_cut(cli, t, columns);
}

void cli_add_size(struct buf *out, int64_t bytes)
{
	static const char *const units[] = { "KB", "MB", "GB", "TB" };
	double value = (double)bytes / 1000;
	size_t unit = 0;

	if (bytes < 1000) {
		buf_add_format(out, "%lld B", (long long)bytes);
		return;
	}
	while (value >= 999.95 && unit + 1 < ARRAY_LEN(units)) {
		value /= 1000;
		unit++;
	}
	buf_add_format(out, "%.1f %s", value, units[unit]);
}

void cli_put_size(struct cli *cli, int64_t bytes)
{
	AUTO(buf_fini) struct buf b = BUF(64);

	cli_add_size(&b, bytes);
	cli_put(cli, buf_text(&b));
}

void cli_add_when(struct buf *out, int64_t time_ms, int64_t now)
{
	if (time_ms > now) {
		/* Whole seconds and more: "in 59.3 s" says nothing that "in 59 s" does not. */
		buf_add(out, TEXT("in "));
		time_add_duration(out, time_ms - now < 10 * SECOND_MS ? time_ms - now
		                                                      : (time_ms - now + 500) / 1000 * 1000);
	} else if (now - time_ms < SECOND_MS) {
		buf_add(out, TEXT("now"));
	} else {
		time_add_duration(out, (now - time_ms) / 1000 * 1000);
		buf_add(out, TEXT(" ago"));
	}
}

/* ---------------------------------------------------------------- times */

/* Days since 1970-01-01 of a date of the Gregorian calendar. */
static int64_t days_from_date(int64_t year, int64_t month, int64_t day)
{
	int64_t shifted = year - (month <= 2); /* years that begin in March end with the leap day */
	int64_t era = shifted / 400, of_era = shifted - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool take_number(struct text *t, size_t digits, char before, int64_t *out)
{
	uint64_t number;

	if (before) {
		if (t->len == 0 || t->at[0] != before)
			return false;
		*t = text_skip(*t, 1);
	}
	if (t->len < digits || text_to_u64(text_head(*t, digits), 9999, &number))
		return false;
	*t = text_skip(*t, digits);
	*out = (int64_t)number;
	return true;
}

/* 2026-01-02T03:04:05.678901Z, as we write it ourselves */
int64_t cli_time(const struct json *v)
{
	struct text t = json_as_text(v);
	int64_t year, month, day, hour, minute, second, ms = 0;

	if (!take_number(&t, 4, 0, &year) || !take_number(&t, 2, '-', &month) ||
	    !take_number(&t, 2, '-', &day) || !take_number(&t, 2, 'T', &hour) ||
	    !take_number(&t, 2, ':', &minute) || !take_number(&t, 2, ':', &second))
		return 0;
	if (t.len > 3 && t.at[0] == '.' && !take_number(&t, 3, '.', &ms))
		return 0;
	return (((days_from_date(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1000 + ms;
}
