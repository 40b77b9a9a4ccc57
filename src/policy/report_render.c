#include "report_render.h"

#include <postrider/base/auto.h>
#include <postrider/base/base64.h>
#include <postrider/http/json.h>

#define LINE_OCTETS 57 /* 76 characters of base64 */

/* ---------------------------------------------------------------- names */

static unsigned short_nonce(const struct report_domain *d)
{
	return (unsigned)(d->nonce & UINT32_MAX);
}

void report_add_id(struct buf *out, const struct report_domain *d, struct text submitter)
{
	struct calendar c = calendar_from_time(d->day * DAY_MS);

	buf_add_format(out, "%04d-%02d-%02d.%08x.%.*s@%.*s", c.year, c.month, c.day, short_nonce(d),
	               TEXT_ARGS(d->by_name.key), TEXT_ARGS(submitter));
}

void report_add_file_name(struct buf *out, const struct report_domain *d, struct text submitter)
{
	long long begin = (long long)(d->day * (DAY_MS / SECOND_MS));

	buf_add_format(out, "%.*s!%.*s!%lld!%lld!%08x.json.gz", TEXT_ARGS(submitter),
	               TEXT_ARGS(d->by_name.key), begin, begin + (long long)(DAY_MS / SECOND_MS) - 1,
	               short_nonce(d));
}

/* ---------------------------------------------------------------- JSON */

static const char *const types[] = {
	[REPORT_NO_POLICY] = "no-policy-found", [REPORT_STS] = "sts", [REPORT_TLSA] = "tlsa"
};

/* RFC 8460 section 4.3 */
static const char *const failures[] = {
	[POLICY_SUCCEEDED] = "",
	[POLICY_STARTTLS_NOT_SUPPORTED] = "starttls-not-supported",
	[POLICY_CERTIFICATE_HOST_MISMATCH] = "certificate-host-mismatch",
	[POLICY_CERTIFICATE_EXPIRED] = "certificate-expired",
	[POLICY_CERTIFICATE_NOT_TRUSTED] = "certificate-not-trusted",
	[POLICY_VALIDATION_FAILURE] = "validation-failure",
	[POLICY_TLSA_INVALID] = "tlsa-invalid",
	[POLICY_DNSSEC_INVALID] = "dnssec-invalid",
	[POLICY_DANE_REQUIRED] = "dane-required",
	[POLICY_STS_POLICY_FETCH_ERROR] = "sts-policy-fetch-error",
	[POLICY_STS_POLICY_INVALID] = "sts-policy-invalid",
	[POLICY_STS_WEBPKI_INVALID] = "sts-webpki-invalid",
};

static void put_second(struct json_writer *w, const char *key, int64_t time)
{
	struct calendar c = calendar_from_time(time);
	struct buf words = BUF(32);

	buf_add_format(&words, "%04d-%02d-%02dT%02d:%02d:%02dZ", c.year, c.month, c.day, c.hour, c.minute,
	               c.second);
	json_put_text(w, key, buf_text(&words));
	buf_fini(&words);
}

static void put_ip(struct json_writer *w, const char *key, struct ip ip)
{
	struct buf words = BUF(IP_TEXT_MAX);

	if (ip.family == IP_NONE)
		return;
	ip_add(&words, ip);
	json_put_text(w, key, buf_text(&words));
	buf_fini(&words);
}

/* "mx: *.example.com" */
static struct text mx_pattern(struct text line)
{
	return text_starts(line, TEXT("mx:")) ? text_trim(text_skip(line, 3)) : TEXT_EMPTY;
}

static void put_patterns(struct json_writer *w, struct text lines)
{
	json_open_array(w, "mx-host");
	while (lines.len) {
		struct text pattern = mx_pattern(text_cut(&lines, '\n'));

		if (pattern.len)
			json_put_text(w, NULL, pattern);
	}
	json_close_array(w);
}

static void put_lines(struct json_writer *w, struct text lines)
{
	json_open_array(w, "policy-string");
	while (lines.len)
		json_put_text(w, NULL, text_cut(&lines, '\n'));
	json_close_array(w);
}

static void put_detail(struct json_writer *w, const struct report_detail *d)
{
	json_open_object(w, NULL);
	json_put_string(w, "result-type", failures[d->failure]);
	put_ip(w, "sending-mta-ip", d->local);
	json_put_text_if(w, "receiving-mx-hostname", d->mx);
	put_ip(w, "receiving-ip", d->remote);
	json_put_number(w, "failed-session-count", (int64_t)d->count);
	json_put_text_if(w, "failure-reason-code", d->reason);
	json_close_object(w);
}

static void put_summary(struct json_writer *w, const struct report_policy *p)
{
	json_open_object(w, "summary");
	json_put_number(w, "total-successful-session-count", (int64_t)p->successes);
	json_put_number(w, "total-failure-session-count", (int64_t)p->failures);
	json_close_object(w);
}

static void put_policy(struct json_writer *w, const struct report_policy *p)
{
	json_open_object(w, NULL);
	json_open_object(w, "policy");
	json_put_string(w, "policy-type", types[p->type]);
	if (p->lines.len)
		put_lines(w, p->lines);
	json_put_text(w, "policy-domain", p->domain);
	if (p->type == REPORT_STS && p->lines.len)
		put_patterns(w, p->lines);
	json_close_object(w);
	put_summary(w, p);
	if (!list_is_empty(&p->details)) {
		json_open_array(w, "failure-details");
		for (LIST_EACH(it, &p->details))
			put_detail(w, LIST_ITEM(it, const struct report_detail, link));
		json_close_array(w);
	}
	json_close_object(w);
}

static void put_range(struct json_writer *w, const struct report_domain *d)
{
	json_open_object(w, "date-range");
	put_second(w, "start-datetime", d->day * DAY_MS);
	put_second(w, "end-datetime", (d->day + 1) * DAY_MS - SECOND_MS);
	json_close_object(w);
}

void report_add_json(struct buf *out, const struct report_domain *d, const struct report_head *head)
{
	struct json_writer w;
	struct buf id = BUF(REPORT_ID_MAX);

	report_add_id(&id, d, head->submitter);
	json_writer_init(&w, out);
	json_open_object(&w, NULL);
	json_put_text(&w, "organization-name", head->organization);
	put_range(&w, d);
	json_put_text(&w, "contact-info", head->contact);
	json_put_text(&w, "report-id", buf_text(&id));
	json_open_array(&w, "policies");
	for (LIST_EACH(it, &d->policies))
		put_policy(&w, LIST_ITEM(it, const struct report_policy, link));
	json_close_array(&w);
	json_close_object(&w);
	buf_fini(&id);
}

/* ---------------------------------------------------------------- mail */

static void add_base64(struct buf *out, struct text octets)
{
	for (; octets.len; octets = text_skip(octets, LINE_OCTETS)) {
		base64_add(out, text_head(octets, LINE_OCTETS));
		buf_add_string(out, "\r\n");
	}
}

/* Section 5.3: people sort by the subject, programs by the two fields. */
static void add_report_fields(struct buf *out, const struct report_mail *m)
{
	struct text domain = m->domain->by_name.key, submitter = m->head.submitter;

	buf_add_format(out, "Subject: Report Domain: %.*s\r\n Submitter: %.*s\r\n Report-ID: <",
	               TEXT_ARGS(domain), TEXT_ARGS(submitter));
	report_add_id(out, m->domain, submitter);
	buf_add_format(out, ">\r\nTLS-Report-Domain: %.*s\r\nTLS-Report-Submitter: %.*s\r\n",
	               TEXT_ARGS(domain), TEXT_ARGS(submitter));
}

static void add_header(struct buf *out, const struct report_mail *m, struct id_text id)
{
	buf_add_format(out, "From: <%.*s>\r\nTo: <%.*s>\r\n", TEXT_ARGS(m->head.contact), TEXT_ARGS(m->to));
	add_report_fields(out, m);
	buf_add_string(out, "Date: ");
	time_add_rfc5322(out, m->now_time);
	buf_add_format(
		out,
		"\r\nMessage-ID: <%s@%.*s>\r\n"
		"Auto-Submitted: auto-generated\r\n"
		"TLS-Required: No\r\n"
		"MIME-Version: 1.0\r\n"
		"Content-Language: en\r\n"
		"Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n\tboundary=\"=_%s\"\r\n\r\n",
		id.at, TEXT_ARGS(m->head.submitter), id.at);
}

static void add_words(struct buf *out, const struct report_mail *m)
{
	struct calendar c = calendar_from_time(m->domain->day * DAY_MS);

	buf_add_string(out, "Content-Type: text/plain; charset=us-ascii\r\n\r\n");
	buf_add_format(
		out,
		"This is an aggregate report on TLS (RFC 8460): how connections from\r\n"
		"%.*s to the mail hosts of\r\n%.*s went\r\non %04d-%02d-%02d (UTC). The report is attached.\r\n",
		TEXT_ARGS(m->head.submitter), TEXT_ARGS(m->domain->by_name.key), c.year, c.month, c.day);
}

void report_add_mail(struct buf *out, const struct report_mail *m)
{
	struct id_text id = id_to_text(m->id);

	add_header(out, m, id);
	buf_add_format(out, "--=_%s\r\n", id.at);
	add_words(out, m);
	buf_add_format(out,
	               "\r\n--=_%s\r\n"
	               "Content-Type: application/tlsrpt+gzip\r\n"
	               "Content-Transfer-Encoding: base64\r\n"
	               "Content-Disposition: attachment;\r\n\tfilename=\"",
	               id.at);
	report_add_file_name(out, m->domain, m->head.submitter);
	buf_add_string(out, "\"\r\n\r\n");
	add_base64(out, m->gzip);
	buf_add_format(out, "\r\n--=_%s--\r\n", id.at);
}
