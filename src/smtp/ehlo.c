#include <postrider/smtp/ehlo.h>

static const struct {
	struct text name;
	enum ehlo_keyword keyword;
} keywords[] = {
	{ LIT("PIPELINING"), EHLO_PIPELINING },
	{ LIT("SIZE"), EHLO_SIZE },
	{ LIT("8BITMIME"), EHLO_8BITMIME },
	{ LIT("ENHANCEDSTATUSCODES"), EHLO_ENHANCEDSTATUSCODES },
	{ LIT("STARTTLS"), EHLO_STARTTLS },
	{ LIT("AUTH"), EHLO_AUTH },
	{ LIT("CHUNKING"), EHLO_CHUNKING },
	{ LIT("BINARYMIME"), EHLO_BINARYMIME },
	{ LIT("SMTPUTF8"), EHLO_SMTPUTF8 },
	{ LIT("DSN"), EHLO_DSN },
	{ LIT("LIMITS"), EHLO_LIMITS },
	{ LIT("REQUIRETLS"), EHLO_REQUIRETLS },
	{ LIT("DELIVERBY"), EHLO_DELIVERBY },
	{ LIT("FUTURERELEASE"), EHLO_FUTURERELEASE },
	{ LIT("MT-PRIORITY"), EHLO_MT_PRIORITY },
	{ LIT("XCLIENT"), EHLO_XCLIENT },
	{ LIT("XFORWARD"), EHLO_XFORWARD },
	{ LIT("HELP"), EHLO_HELP },
	{ LIT("VRFY"), EHLO_VRFY },
	{ LIT("ETRN"), EHLO_ETRN },
};

struct text *ehlo_args(struct ehlo *e, enum ehlo_keyword keyword)
{
	switch (keyword) {
	case EHLO_AUTH:
		return &e->auth;
	case EHLO_LIMITS:
		return &e->limits;
	case EHLO_DELIVERBY:
		return &e->deliver_by;
	case EHLO_FUTURERELEASE:
		return &e->future_release;
	case EHLO_MT_PRIORITY:
		return &e->priority;
	case EHLO_XCLIENT:
		return &e->xclient;
	case EHLO_XFORWARD:
		return &e->xforward;
	default:
		return NULL;
	}
}

unsigned ehlo_keyword_of(struct text name)
{
	for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
		if (text_eq_nocase(name, keywords[i].name))
			return keywords[i].keyword;
	return 0;
}

/* ---------------------------------------------------------------- theirs */

static struct text cut_word(struct text *rest)
{
	*rest = text_trim(*rest);
	struct text word = text_cut(rest, ' ');

	*rest = text_trim(*rest);
	return word;
}

static void take_keyword(struct ehlo *e, enum ehlo_keyword keyword, struct text args)
{
	if (ehlo_has(e, keyword))
		return;
	e->keywords |= keyword;
	if (keyword == EHLO_SIZE && text_to_u64(cut_word(&args), UINT64_MAX, &e->size_limit_bytes))
		e->size_limit_bytes = 0;
	else if (ehlo_args(e, keyword))
		*ehlo_args(e, keyword) = args;
}

/* ehlo-line = ehlo-keyword *( SP ehlo-param ) */
static void take_line(struct ehlo *e, struct text line)
{
	struct text word = cut_word(&line);
	unsigned keyword = ehlo_keyword_of(word);

	if (keyword)
		take_keyword(e, (enum ehlo_keyword)keyword, line);
}

void ehlo_parse(const struct reply *reply, struct ehlo *out)
{
	const struct text old_auth = LIT("AUTH=");
	struct text rest = reply->text, first = text_cut(&rest, '\n'), old = TEXT_EMPTY;

	*out = (struct ehlo){ .domain = cut_word(&first) };
	for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
		if (ehlo_args(out, keywords[i].keyword))
			*ehlo_args(out, keywords[i].keyword) = TEXT_EMPTY;
	while (rest.len) {
		struct text line = text_trim(text_cut(&rest, '\n'));

		if (text_starts_nocase(line, old_auth))
			old = text_trim(text_skip(line, old_auth.len));
		else
			take_line(out, line);
	}
	if (old.len && !ehlo_has(out, EHLO_AUTH))
		take_keyword(out, EHLO_AUTH, old);
}

bool ehlo_has_auth(const struct ehlo *e, struct text mechanism)
{
	for (struct text rest = e->auth; rest.len;)
		if (text_eq_nocase(cut_word(&rest), mechanism))
			return true;
	return false;
}

/* limit-name-value = limit-name ["=" limit-value], limit-value of 1 to 6 digits where it is a number (RFC
 * 9422) */
enum err ehlo_limit(const struct ehlo *e, struct text name, uint64_t *out)
{
	for (struct text rest = e->limits; rest.len;) {
		struct text value = cut_word(&rest), found = text_cut(&value, '=');
		uint64_t number;

		if (!text_eq_nocase(found, name))
			continue;
		if (text_to_u64(value, 999999, &number) || number == 0)
			return ERR_NOT_FOUND;
		*out = number;
		return ERR_OK;
	}
	return ERR_NOT_FOUND;
}

/* ---------------------------------------------------------------- ours */

static void add_args(struct buf *b, const struct ehlo *e, enum ehlo_keyword keyword)
{
	struct ehlo copy = *e;
	const struct text *args = ehlo_args(&copy, keyword);

	if (args && args->len) {
		buf_add_octet(b, ' ');
		buf_add(b, *args);
	}
	if (keyword == EHLO_SIZE && e->size_limit_bytes) {
		buf_add_octet(b, ' ');
		buf_add_u64(b, e->size_limit_bytes);
	}
}

void ehlo_add(struct buf *b, const struct ehlo *e, struct text greeting)
{
	unsigned left = e->keywords;

	buf_add_string(b, left ? "250-" : "250 ");
	buf_add(b, e->domain);
	if (greeting.len) {
		buf_add_octet(b, ' ');
		buf_add(b, greeting);
	}
	buf_add_string(b, "\r\n");
	for (size_t i = 0; i < ARRAY_LEN(keywords); i++) {
		if (!(left & keywords[i].keyword))
			continue;
		left &= ~(unsigned)keywords[i].keyword;
		buf_add_string(b, left ? "250-" : "250 ");
		buf_add(b, keywords[i].name);
		add_args(b, e, keywords[i].keyword);
		buf_add_string(b, "\r\n");
	}
}
