#include <postrider/smtp/command.h>

#include <postrider/base/auto.h>
#include <postrider/base/utf8.h>

static const struct text verbs[SMTP_VERB_COUNT] = {
	[SMTP_HELO] = LIT("HELO"), [SMTP_EHLO] = LIT("EHLO"),         [SMTP_LHLO] = LIT("LHLO"),
	[SMTP_MAIL] = LIT("MAIL"), [SMTP_RCPT] = LIT("RCPT"),         [SMTP_DATA] = LIT("DATA"),
	[SMTP_BDAT] = LIT("BDAT"), [SMTP_RSET] = LIT("RSET"),         [SMTP_NOOP] = LIT("NOOP"),
	[SMTP_QUIT] = LIT("QUIT"), [SMTP_VRFY] = LIT("VRFY"),         [SMTP_EXPN] = LIT("EXPN"),
	[SMTP_HELP] = LIT("HELP"), [SMTP_STARTTLS] = LIT("STARTTLS"), [SMTP_AUTH] = LIT("AUTH"),
	[SMTP_ETRN] = LIT("ETRN"), [SMTP_XCLIENT] = LIT("XCLIENT"),   [SMTP_XFORWARD] = LIT("XFORWARD"),
};

static const struct text http_methods[] = {
	LIT("GET"),     LIT("POST"),   LIT("PUT"),   LIT("HEAD"),  LIT("CONNECT"),
	LIT("OPTIONS"), LIT("DELETE"), LIT("PATCH"), LIT("TRACE"),
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool has_control(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (((unsigned char)t.at[i] < ' ' && t.at[i] != '\t') || t.at[i] == 0x7f)
			return true;
	return false;
}

static enum smtp_verb verb_of(struct text name)
{
	for (int i = SMTP_UNKNOWN + 1; i < SMTP_VERB_COUNT; i++)
		if (verbs[i].len && text_eq_nocase(name, verbs[i]))
			return (enum smtp_verb)i;
	for (size_t i = 0; i < ARRAY_LEN(http_methods); i++)
		if (text_eq(name, http_methods[i]))
			return SMTP_HTTP;
	return SMTP_UNKNOWN;
}

enum err smtp_command_parse(struct text line, struct smtp_command *out)
{
	size_t end = 0;

	while (end < line.len && !is_blank(line.at[end]))
		end++;
	if (end == 0 || has_control(line))
		return ERR_SYNTAX;
	out->name = text_head(line, end);
	out->verb = verb_of(out->name);
	out->args = text_trim(text_skip(line, end));
	return ERR_OK;
}

struct text smtp_verb_text(enum smtp_verb verb)
{
	return (unsigned)verb < SMTP_VERB_COUNT && verbs[verb].at ? verbs[verb] : TEXT_EMPTY;
}

/* ---------------------------------------------------------------- MAIL and RCPT */

static enum err refuse(struct reply *refusal, struct reply reply)
{
	*refusal = reply;
	return ERR_SYNTAX;
}

static void skip_blanks(struct text *rest)
{
	while (rest->len && is_blank(rest->at[0]))
		*rest = text_skip(*rest, 1);
}

/* esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-") */
static bool is_keyword(struct text t)
{
	if (t.len == 0 || t.at[0] == '-')
		return false;
	for (size_t i = 0; i < t.len; i++)
		if (!ascii_is_alnum(t.at[i]) && t.at[i] != '-')
			return false;
	return true;
}

/* esmtp-value = 1*( %d33-60 / %d62-126 / UTF8-non-ASCII )  (RFC 6531 section 3.3) */
static bool is_value(struct text t)
{
	uint32_t c;

	for (size_t i = 0, len; i < t.len; i += len) {
		len = (unsigned char)t.at[i] < 0x80 ? 1 : utf8_length(text_skip(t, i), &c);
		if (len == 1 && (t.at[i] <= ' ' || t.at[i] > '~' || t.at[i] == '='))
			return false;
		if (len == 0 || (len > 1 && !smtp_code_point_is_fit(c)))
			return false;
	}
	return t.len > 0;
}

static bool parse_param(struct text word, struct smtp_param *out)
{
	size_t equals = text_find_octet(word, '=');

	out->keyword = text_head(word, equals);
	out->has_value = equals < word.len;
	out->value = text_skip(word, equals + 1);
	return is_keyword(out->keyword) && (!out->has_value || is_value(out->value));
}

/* *( SP esmtp-param ); each keyword once. */
static enum err parse_params(struct text rest, struct smtp_param *params, size_t *count,
                             struct reply *refusal)
{
	*count = 0;
	if (rest.len && !is_blank(rest.at[0]))
		return refuse(refusal,
		              (struct reply){ 501, "5.5.4", TEXT("A space must follow the address") });
	for (skip_blanks(&rest); rest.len; skip_blanks(&rest)) {
		size_t end = 0;
		struct smtp_param param;

		while (end < rest.len && !is_blank(rest.at[end]))
			end++;
		if (!parse_param(text_head(rest, end), &param))
			return refuse(refusal, (struct reply){ 501, "5.5.4", TEXT("Bad parameter syntax") });
		for (size_t i = 0; i < *count; i++)
			if (text_eq_nocase(params[i].keyword, param.keyword))
				return refuse(refusal,
				              (struct reply){ 501, "5.5.4", TEXT("Parameter given twice") });
		if (*count == SMTP_PARAMS_MAX)
			return refuse(refusal, (struct reply){ 501, "5.5.4", TEXT("Too many parameters") });
		params[(*count)++] = param;
		rest = text_skip(rest, end);
	}
	return ERR_OK;
}

/* size-value = 1*20DIGIT (RFC 1870 section 4) */
static bool take_size(const struct smtp_param *p, struct smtp_mail *out)
{
	if (!p->has_value || p->value.len > 20)
		return false;
	enum err err = text_to_u64(p->value, UINT64_MAX, &out->size_bytes);

	if (err == ERR_TOO_BIG)
		out->size_bytes = UINT64_MAX;
	out->has_size = err != ERR_SYNTAX;
	return out->has_size;
}

/* body-value = "7BIT" / "8BITMIME" (RFC 6152) / "BINARYMIME" (RFC 3030) */
static bool take_body(const struct smtp_param *p, struct smtp_mail *out)
{
	if (text_eq_nocase(p->value, TEXT("7BIT")))
		out->body = SMTP_BODY_7BIT;
	else if (text_eq_nocase(p->value, TEXT("8BITMIME")))
		out->body = SMTP_BODY_8BITMIME;
	else if (text_eq_nocase(p->value, TEXT("BINARYMIME")))
		out->body = SMTP_BODY_BINARYMIME;
	return out->body != SMTP_BODY_NONE;
}

/* Takes the parameters that are ours to understand out of others. */
static enum err take_known(struct smtp_mail *out, struct reply *refusal)
{
	size_t kept = 0;

	for (size_t i = 0; i < out->other_count; i++) {
		const struct smtp_param *p = &out->others[i];

		if (text_eq_nocase(p->keyword, TEXT("SIZE"))) {
			if (!take_size(p, out))
				return refuse(refusal,
				              (struct reply){ 501, "5.5.4", TEXT("Bad value of SIZE") });
		} else if (text_eq_nocase(p->keyword, TEXT("BODY"))) {
			if (!take_body(p, out))
				return refuse(refusal,
				              (struct reply){ 501, "5.5.4", TEXT("Unknown value of BODY") });
		} else {
			out->others[kept++] = *p;
		}
	}
	out->other_count = kept;
	return ERR_OK;
}

enum err smtp_mail_parse(struct text args, struct smtp_mail *out, struct reply *refusal)
{
	const struct text word = LIT("FROM:");

	if (!text_starts_nocase(args, word))
		return refuse(refusal, (struct reply){ 501, "5.5.2", TEXT("Syntax: MAIL FROM:<address>") });
	args = text_skip(args, word.len);
	skip_blanks(&args);
	enum err err = smtp_reverse_path_parse(&args, &out->reverse_path);

	if (err == ERR_TOO_BIG)
		return refuse(refusal, (struct reply){ 501, "5.1.7", TEXT("Sender address too long") });
	if (err)
		return refuse(refusal, (struct reply){ 501, "5.1.7", TEXT("Bad sender address syntax") });
	out->has_size = false;
	out->size_bytes = 0;
	out->body = SMTP_BODY_NONE;
	err = parse_params(args, out->others, &out->other_count, refusal);
	return err ? err : take_known(out, refusal);
}

enum err smtp_rcpt_parse(struct text args, struct smtp_rcpt *out, struct reply *refusal)
{
	const struct text word = LIT("TO:");

	if (!text_starts_nocase(args, word))
		return refuse(refusal, (struct reply){ 501, "5.5.2", TEXT("Syntax: RCPT TO:<address>") });
	args = text_skip(args, word.len);
	skip_blanks(&args);
	enum err err = smtp_forward_path_parse(&args, &out->forward_path);

	if (err == ERR_TOO_BIG)
		return refuse(refusal, (struct reply){ 501, "5.1.3", TEXT("Recipient address too long") });
	if (err)
		return refuse(refusal, (struct reply){ 501, "5.1.3", TEXT("Bad recipient address syntax") });
	return parse_params(args, out->others, &out->other_count, refusal);
}
