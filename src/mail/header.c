#include <postrider/mail/header.h>

#include <postrider/base/auto.h>
#include <postrider/base/utf8.h>

#include "header_pick.h"

/* ---------------------------------------------------------------- in memory */

/* The length of the line at the front with its end. LF alone ends a line here too: what is read may be
 * damaged, and must not hide fields. */
static size_t line_length(struct text t)
{
	size_t end = text_find_octet(t, '\n');

	return end < t.len ? end + 1 : t.len;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* ftext = %d33-57 / %d59-126 (RFC 5322 section 3.6.8) */
static bool is_name_octet(char c)
{
	return c > ' ' && c <= '~' && c != ':';
}

static struct text without_line_end(struct text t)
{
	if (t.len && t.at[t.len - 1] == '\n')
		t.len--;
	if (t.len && t.at[t.len - 1] == '\r')
		t.len--;
	return t;
}

bool header_next(struct text *rest, struct header_field *out)
{
	struct text t = *rest;
	size_t name = 0;

	while (name < t.len && is_name_octet(t.at[name]))
		name++;
	size_t colon = name;

	while (colon < t.len && is_blank(t.at[colon]))
		colon++;
	if (name == 0 || colon == t.len || t.at[colon] != ':')
		return false;
	size_t end = line_length(t);

	while (end < t.len && is_blank(t.at[end]))
		end += line_length(text_skip(t, end));
	*out = (struct header_field){
		.name = text_head(t, name),
		.value = without_line_end(text_skip(text_head(t, end), colon + 1)),
		.all = text_head(t, end),
	};
	*rest = text_skip(t, end);
	return true;
}

bool header_find(struct text content, struct text name, struct header_field *out)
{
	struct header_field field;

	while (header_next(&content, &field)) {
		if (text_eq_nocase(field.name, name)) {
			*out = field;
			return true;
		}
	}
	return false;
}

size_t header_section_bytes(struct text content)
{
	struct text rest = content;
	struct header_field field;

	while (header_next(&rest, &field))
		;
	return content.len - rest.len;
}

static bool is_folding(char c)
{
	return is_blank(c) || c == '\r' || c == '\n';
}

void header_unfold_add(struct buf *b, struct text value)
{
	while (value.len && is_folding(value.at[0]))
		value = text_skip(value, 1);
	while (value.len && is_folding(value.at[value.len - 1]))
		value.len--;
	for (size_t i = 0; i < value.len; i++) {
		char c = value.at[i];

		if (c == '\r' || c == '\n')
			continue;
		buf_add_octet(b, (unsigned char)c < ' ' || c == 0x7f ? ' ' : c);
	}
}

/* ---------------------------------------------------------------- as it arrives */

enum scan_phase {
	SCAN_LINE_START, /* the next octet is the first of a line */
	SCAN_NAME,
	SCAN_VALUE,    /* behind the colon, to the end of the line */
	SCAN_BLANK_CR, /* a line that began with CR */
};

static const struct {
	struct text name;
	bool kept;
} wanted_fields[HEADER_WANTED_COUNT] = {
	[HEADER_FROM] = { LIT("From"), true },
	[HEADER_DATE] = { LIT("Date"), true },
	[HEADER_MESSAGE_ID] = { LIT("Message-ID"), true },
	[HEADER_SUBJECT] = { LIT("Subject"), true },
	[HEADER_SENDER] = { LIT("Sender"), true },
	[HEADER_TO] = { LIT("To"), false },
	[HEADER_CC] = { LIT("Cc"), false },
	[HEADER_BCC] = { LIT("Bcc"), false },
	[HEADER_RECEIVED] = { LIT("Received"), false },
	[HEADER_RETURN_PATH] = { LIT("Return-Path"), false },
	[HEADER_AUTO_SUBMITTED] = { LIT("Auto-Submitted"), false },
	[HEADER_TLS_REQUIRED] = { LIT("TLS-Required"), true },
};

void header_scan_init(struct header_scan *s)
{
	*s = (struct header_scan){ .wanted = -1, .phase = SCAN_LINE_START };
	for (int i = 0; i < HEADER_WANTED_COUNT; i++)
		buf_init(&s->values[i], wanted_fields[i].kept ? HEADER_VALUE_MAX : 0);
}

void header_scan_fini(struct header_scan *s)
{
	for (int i = 0; i < HEADER_WANTED_COUNT; i++)
		buf_fini(&s->values[i]);
}

static int wanted_of(struct text name)
{
	for (int i = 0; i < HEADER_WANTED_COUNT; i++)
		if (text_eq_nocase(wanted_fields[i].name, name))
			return i;
	return -1;
}

static void begin_value(struct header_scan *s)
{
	struct text name = text_of(s->name, s->name_len);

	s->phase = SCAN_VALUE;
	s->wanted = s->name_len <= sizeof(s->name) ? wanted_of(name) : -1;
	if (s->pick)
		header_pick_begin(s->pick, s->name_len <= sizeof(s->name) ? name : TEXT_EMPTY);
	s->keeping = s->wanted >= 0 && wanted_fields[s->wanted].kept && s->counts[s->wanted] == 0;
	if (s->wanted >= 0)
		s->counts[s->wanted]++;
}

/* How many octets at the front are kept as they are. */
static size_t plain_length(struct text t)
{
	size_t len = 0;

	while (len < t.len && (unsigned char)t.at[len] >= ' ' && t.at[len] != 0x7f)
		len++;
	return len;
}

/* Octets of the value at hand; white space before the first other one is not kept. */
static void keep(struct header_scan *s, struct text t)
{
	if (s->pick)
		header_pick_add(s->pick, t);
	if (!s->keeping)
		return;
	struct buf *value = &s->values[s->wanted];

	while (t.len && value->len < value->max) {
		char c = t.at[0];
		bool dropped = c == '\r' || c == '\n' || (value->len == 0 && is_blank(c));
		size_t plain = dropped ? 0 : plain_length(t);

		if (plain)
			buf_add(value, text_head(t, MIN(plain, value->max - value->len)));
		else if (!dropped)
			buf_add_octet(value, ' ');
		t = text_skip(t, MAX(plain, (size_t)1));
	}
}

static void end_scan(struct header_scan *s, enum header_end end)
{
	s->end = end;
	if (s->pick)
		header_pick_begin(s->pick, TEXT_EMPTY);
}

/* The first octet of a line. */
static void take_first(struct header_scan *s, char c)
{
	if (is_blank(c) && s->bytes > 0) {
		s->phase = SCAN_VALUE; /* the field goes on */
		keep(s, TEXT(" "));
	} else if (c == '\r') {
		s->phase = SCAN_BLANK_CR;
	} else if (c == '\n') {
		end_scan(s, HEADER_BLANK_LINE);
	} else if (is_name_octet(c)) {
		s->phase = SCAN_NAME;
		s->name[0] = c;
		s->name_len = 1;
		s->after_name_space = false;
	} else {
		end_scan(s, HEADER_BROKEN);
	}
}

static void take_name(struct header_scan *s, char c)
{
	if (c == ':') {
		begin_value(s);
	} else if (is_blank(c)) {
		s->after_name_space = true;
	} else if (!is_name_octet(c) || s->after_name_space) {
		end_scan(s, HEADER_BROKEN);
	} else {
		if (s->name_len < sizeof(s->name))
			s->name[s->name_len] = c;
		s->name_len++;
	}
}

/* What belongs to the step at hand is taken from the front; returns how many octets. */
static size_t step(struct header_scan *s, struct text span)
{
	size_t len;

	switch ((enum scan_phase)s->phase) {
	case SCAN_LINE_START:
		take_first(s, span.at[0]);
		return 1;
	case SCAN_NAME:
		take_name(s, span.at[0]);
		return 1;
	case SCAN_BLANK_CR:
		end_scan(s, span.at[0] == '\n' ? HEADER_BLANK_LINE : HEADER_BROKEN);
		return 1;
	case SCAN_VALUE:
		break;
	}
	len = line_length(span);
	keep(s, text_head(span, len));
	s->is_8bit = s->is_8bit || !utf8_is_ascii(text_head(span, len));
	if (span.at[len - 1] == '\n')
		s->phase = SCAN_LINE_START;
	return len;
}

enum err header_scan_feed(struct header_scan *s, struct text span)
{
	while (span.len && s->end == HEADER_OPEN) {
		size_t len = step(s, span);

		s->bytes += len;
		span = text_skip(span, len);
		if (s->end == HEADER_OPEN && s->bytes > HEADER_SCAN_MAX)
			end_scan(s, HEADER_TOO_BIG);
		if (s->keeping && buf_err(&s->values[s->wanted]))
			return buf_err(&s->values[s->wanted]);
		if (s->pick && buf_err(&s->pick->lines))
			return buf_err(&s->pick->lines);
	}
	return ERR_OK;
}

void header_scan_finish(struct header_scan *s)
{
	if (s->end == HEADER_OPEN)
		end_scan(s, s->phase == SCAN_NAME || s->phase == SCAN_BLANK_CR ? HEADER_BROKEN
		                                                               : HEADER_BLANK_LINE);
}

struct text header_scan_value(const struct header_scan *s, enum header_wanted wanted)
{
	return text_trim(buf_text(&s->values[wanted]));
}

bool header_scan_wants_no_tls(const struct header_scan *s)
{
	return s->counts[HEADER_TLS_REQUIRED] == 1 &&
	       text_eq_nocase(header_scan_value(s, HEADER_TLS_REQUIRED), TEXT("No"));
}
