#include "report_policy.h"

#include "sts_domain.h"

#define LINE_BREAK "\n"

/* Whole lines only. */
static void add_line(void *owner, struct text line)
{
	struct buf *lines = owner;

	if (lines->len + line.len + 1 > REPORT_LINES_MAX)
		return;
	if (lines->len)
		buf_add(lines, TEXT(LINE_BREAK));
	buf_add(lines, line);
}

static void add_tlsa(struct buf *lines, const struct tls_tlsa *r)
{
	struct buf line = BUF(REPORT_LINES_MAX);

	buf_add_format(&line, "%u %u %u ", r->usage, r->selector, r->matching);
	for (size_t i = 0; i < r->data.len; i++)
		buf_add_format(&line, "%02x", (unsigned char)r->data.at[i]);
	if (!buf_err(&line))
		add_line(lines, buf_text(&line));
	buf_fini(&line);
}

void report_words_of(struct report_words *w, const struct policy_report *note)
{
	*w = (struct report_words){ .type = REPORT_NO_POLICY, .domain = note->domain };
	buf_init(&w->lines, REPORT_LINES_MAX);
	if (note->host) {
		const struct tls_tlsa *records;
		size_t count = policy_host_records(note->host, &records);

		w->type = REPORT_TLSA;
		w->domain = policy_host_base(note->host);
		for (size_t i = 0; i < count; i++)
			add_tlsa(&w->lines, &records[i]);
	} else if (note->policy) {
		w->type = REPORT_STS;
		policy_domain_each_line(note->policy, add_line, &w->lines);
	}
}

void report_words_fini(struct report_words *w)
{
	buf_fini(&w->lines);
}
