#include <postrider/mail/submission.h>

#include <stdlib.h>

#include <postrider/base/auto.h>
#include <postrider/mail/address_list.h>
#include <postrider/mail/header.h>
#include <postrider/smtp/path.h>

#define OCTETS_MAX (4u << 20) /* of all mailboxes */
#define HEADER_MAX (2u << 20)

struct reader {
	const struct submission_wanted *wanted;
	struct submission *s;
	struct buf *problem;
	struct text field; /* being read, for words */
	bool has_resent;   /* then To, Cc and Bcc are of an earlier sending */
	bool has_x_receiver;
};

/* ---------------------------------------------------------------- mailboxes */

static struct text shown(struct text t)
{
	return text_head(t, 200);
}

/* Its octets go into words for people: what is none for SMTP may hold anything. */
static enum err refuse(struct buf *problem, struct text mailbox, const char *why)
{
	buf_add_octet(problem, '"');
	for (size_t i = 0; i < shown(mailbox).len; i++) {
		char c = mailbox.at[i];

		buf_add_octet(problem, (unsigned char)c < ' ' || c == 0x7f ? '?' : c);
	}
	buf_add_format(problem, "\" %s", why);
	return ERR_SYNTAX;
}

enum err submission_add_mailbox(struct text mailbox, struct text domain, struct buf *out, struct buf *problem)
{
	AUTO(buf_fini) struct buf whole = BUF(2 * ADDRESS_MAX);
	struct smtp_path path;

	if (mailbox.len > ADDRESS_MAX)
		return refuse(problem, mailbox, "is too long for an address");
	buf_add(&whole, mailbox);
	if (text_find_last_octet(mailbox, '@') == mailbox.len && domain.len > 0)
		buf_add_format(&whole, "@%.*s", TEXT_ARGS(domain));
	if (buf_err(&whole))
		return buf_err(&whole);
	if (mailbox.len > 0 && mailbox.at[0] == '-')
		return refuse(problem, mailbox, "begins with a hyphen, which no mailbox may");
	if (smtp_mailbox_parse_utf8(buf_text(&whole), &path))
		return refuse(problem, mailbox, "is no address that mail can go to");
	buf_add(out, path.mailbox);
	return buf_err(out);
}

static bool is_known(const struct submission *s, struct text mailbox)
{
	for (size_t i = 0; i < s->recipient_count; i++) {
		size_t end = i + 1 < s->recipient_count ? s->starts[i + 1] : s->octets.len;

		if (text_eq(text_of(s->octets.at + s->starts[i], end - s->starts[i]), mailbox))
			return true;
	}
	return false;
}

static enum err make_room(struct submission *s)
{
	size_t room = s->room ? s->room * 2 : 16;

	if (s->recipient_count < s->room)
		return ERR_OK;
	size_t *starts = realloc(s->starts, room * sizeof(*starts));

	if (!starts)
		return ERR_NOMEM;
	s->starts = starts;
	s->room = room;
	return ERR_OK;
}

static enum err add_recipient(void *owner, struct text mailbox)
{
	struct reader *r = owner;
	struct submission *s = r->s;
	AUTO(buf_fini) struct buf whole = BUF(2 * ADDRESS_MAX);
	enum err err = submission_add_mailbox(mailbox, r->wanted->domain, &whole, r->problem);

	if (err || is_known(s, buf_text(&whole)))
		return err;
	if (s->recipient_count == SUBMISSION_RECIPIENTS_MAX) {
		buf_add_format(r->problem, "more than %u recipients", SUBMISSION_RECIPIENTS_MAX);
		return ERR_TOO_BIG;
	}
	err = make_room(s);
	if (err)
		return err;
	size_t start = s->octets.len;

	buf_add(&s->octets, buf_text(&whole));
	if (buf_err(&s->octets))
		return buf_err(&s->octets);
	s->starts[s->recipient_count++] = start;
	return ERR_OK;
}

/* The first one counts. */
static enum err add_sender(void *owner, struct text mailbox)
{
	struct reader *r = owner;
	struct submission *s = r->s;

	if (s->has_sender)
		return ERR_OK;
	/* The sender's octets come first: recipients begin behind them. */
	enum err err = submission_add_mailbox(mailbox, r->wanted->domain, &s->octets, r->problem);

	s->has_sender = !err;
	if (!err)
		s->sender.len = s->octets.len;
	return err;
}

static enum err read_mailboxes(struct reader *r, const struct header_field *field, address_list_fn *each)
{
	size_t before = r->problem->len;

	r->field = field->name;
	buf_add_format(r->problem, "in %.*s: ", TEXT_ARGS(shown(field->name)));
	size_t prefix = r->problem->len;
	enum err err = address_list_each(field->value, each, r);

	if (err && err != ERR_NOMEM && r->problem->len == prefix)
		buf_add(r->problem, err == ERR_TOO_BIG ? TEXT("an address is too long")
		                                       : TEXT("this is no list of addresses"));
	if (!err)
		buf_cut(r->problem, before);
	return err;
}

/* ---------------------------------------------------------------- which fields */

static bool is_resent(struct text name)
{
	return text_starts_nocase(name, TEXT("Resent-"));
}

static bool is_one_of(struct text name, const struct text *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (text_eq_nocase(name, names[i]))
			return true;
	return false;
}

static bool is_for_nobody(const struct reader *r, struct text name)
{
	static const struct text names[] = { LIT("Bcc"), LIT("Resent-Bcc"), LIT("Return-Path"),
		                             LIT("Content-Length") };
	static const struct text envelope[] = { LIT("X-Sender"), LIT("X-Receiver") };

	return is_one_of(name, names, ARRAY_LEN(names)) ||
	       (r->wanted->x_fields && is_one_of(name, envelope, ARRAY_LEN(envelope)));
}

static bool names_recipients(const struct reader *r, struct text name)
{
	if (r->has_x_receiver)
		return text_eq_nocase(name, TEXT("X-Receiver"));
	if (is_resent(name) != r->has_resent)
		return false;
	name = text_skip(name, r->has_resent ? TEXT("Resent-").len : 0);
	return text_eq_nocase(name, TEXT("To")) || text_eq_nocase(name, TEXT("Cc")) ||
	       text_eq_nocase(name, TEXT("Bcc"));
}

/* ---------------------------------------------------------------- passes over the section */

typedef enum err field_fn(struct reader *r, const struct header_field *field);

static enum err each_field(struct reader *r, struct text section, field_fn *fn)
{
	struct header_field field;

	while (header_next(&section, &field)) {
		enum err err = fn(r, &field);

		if (err)
			return err;
	}
	return ERR_OK;
}

/* RFC 5322 section 3.6.6: the fields of one resending stand together, the latest on top. */
static struct text first_resent_group(struct text section)
{
	struct header_field field;
	const char *start = NULL;
	size_t len = 0;

	while (header_next(&section, &field)) {
		if (is_resent(field.name)) {
			start = start ? start : field.all.at;
			len = (size_t)(field.all.at + field.all.len - start);
		} else if (start) {
			break;
		}
	}
	return start ? text_of(start, len) : TEXT_EMPTY;
}

static enum err keep_field(struct reader *r, const struct header_field *field)
{
	struct submission *s = r->s;

	s->dates += text_eq_nocase(field->name, TEXT("Date"));
	s->message_ids += text_eq_nocase(field->name, TEXT("Message-ID"));
	s->froms += text_eq_nocase(field->name, TEXT("From"));
	r->has_x_receiver =
		r->has_x_receiver || (r->wanted->x_fields && text_eq_nocase(field->name, TEXT("X-Receiver")));
	if (!is_for_nobody(r, field->name))
		buf_add(&s->header, field->all);
	return buf_err(&s->header);
}

static enum err read_recipients(struct reader *r, const struct header_field *field)
{
	return names_recipients(r, field->name) ? read_mailboxes(r, field, add_recipient) : ERR_OK;
}

static enum err read_x_sender(struct reader *r, const struct header_field *field)
{
	if (!text_eq_nocase(field->name, TEXT("X-Sender")) || r->s->has_sender)
		return ERR_OK;
	if (text_eq(text_trim(field->value), TEXT("<>"))) {
		r->s->has_sender = true;
		return ERR_OK;
	}
	return read_mailboxes(r, field, add_sender);
}

static enum err read_named_sender(struct reader *r, struct text section, struct text name)
{
	struct header_field field;

	if (r->s->has_sender || !header_find(section, name, &field))
		return ERR_OK;
	return read_mailboxes(r, &field, add_sender);
}

/* Sender is who sent it where From names another or several (RFC 5322 section 3.6.2). */
static enum err find_sender(struct reader *r, struct text section, struct text resent)
{
	enum err err = r->wanted->x_fields ? each_field(r, section, read_x_sender) : ERR_OK;

	if (!err)
		err = read_named_sender(r, resent, TEXT("Resent-Sender"));
	if (!err)
		err = read_named_sender(r, resent, TEXT("Resent-From"));
	if (!err)
		err = read_named_sender(r, section, TEXT("Sender"));
	if (!err)
		err = read_named_sender(r, section, TEXT("From"));
	return err;
}

static enum err point_at_recipients(struct submission *s)
{
	s->sender.at = s->octets.at ? s->octets.at : "";
	s->recipients = calloc(s->recipient_count + 1, sizeof(*s->recipients));
	if (!s->recipients)
		return ERR_NOMEM;
	for (size_t i = 0; i < s->recipient_count; i++) {
		size_t end = i + 1 < s->recipient_count ? s->starts[i + 1] : s->octets.len;

		s->recipients[i] = text_of(s->octets.at + s->starts[i], end - s->starts[i]);
	}
	return ERR_OK;
}

enum err submission_read(struct text section, const struct submission_wanted *wanted, struct submission *out,
                         struct buf *problem)
{
	struct text resent = first_resent_group(section);
	struct reader r = { .wanted = wanted, .s = out, .problem = problem, .has_resent = resent.len > 0 };

	*out = (struct submission){ .header = BUF(HEADER_MAX), .octets = BUF(OCTETS_MAX) };
	enum err err = each_field(&r, section, keep_field);

	if (err == ERR_TOO_BIG)
		buf_add(problem, TEXT("the header section is too large"));
	if (!err && wanted->sender)
		err = find_sender(&r, section, resent);
	if (!err && wanted->recipients)
		err = each_field(&r, r.has_resent && !r.has_x_receiver ? resent : section, read_recipients);
	if (!err)
		err = point_at_recipients(out);
	if (err) { /* what was found so far points nowhere yet */
		out->sender = (struct text){ 0 };
		out->has_sender = false;
		out->recipient_count = 0;
	}
	return err;
}

void submission_fini(struct submission *s)
{
	buf_fini(&s->header);
	buf_fini(&s->octets);
	free(s->starts);
	free(s->recipients);
	*s = (struct submission){ 0 };
}
