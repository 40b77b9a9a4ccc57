/* Internationalised domain names: the only place that knows libidn2. */
#include <postrider/smtp/path.h>

#include <idn2.h>

#include <postrider/base/auto.h>
#include <postrider/base/utf8.h>

static enum err err_from_idn2(int rc)
{
	switch (rc) {
	case IDN2_OK:
		return ERR_OK;
	case IDN2_MALLOC:
		return ERR_NOMEM;
	case IDN2_TOO_BIG_DOMAIN:
	case IDN2_TOO_BIG_LABEL:
	case IDN2_PUNYCODE_BIG_OUTPUT:
		return ERR_TOO_BIG;
	default:
		return ERR_SYNTAX;
	}
}

static void add_lowered(struct buf *out, struct text domain)
{
	for (size_t i = 0; i < domain.len; i++)
		buf_add_octet(out, ascii_lower(domain.at[i]));
}

enum err smtp_domain_to_ascii(struct text domain, struct buf *out)
{
	char copy[SMTP_DOMAIN_MAX + 1];
	uint8_t *found = NULL;

	if (domain.len > SMTP_DOMAIN_MAX)
		return ERR_TOO_BIG;
	enum err err = utf8_is_ascii(domain) ? smtp_domain_check(domain) : ERR_OK;

	if (utf8_is_ascii(domain)) {
		if (!err)
			add_lowered(out, domain);
		return err;
	}
	if (text_find_octet(domain, '\0') < domain.len)
		return ERR_SYNTAX;
	memcpy(copy, domain.at, domain.len);
	copy[domain.len] = '\0';
	/* RFC 5891 section 5 with the mapping of UTS #46 and without its transitional exceptions, as browsers do */
	err = err_from_idn2(
		idn2_lookup_u8((const uint8_t *)copy, &found, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL));
	if (!err)
		err = smtp_domain_check(text_from((const char *)found));
	if (!err)
		add_lowered(out, text_from((const char *)found));
	idn2_free(found);
	return err;
}

enum err smtp_mailbox_to_ascii_domain(const struct smtp_path *path, struct buf *out)
{
	buf_add(out, text_head(path->mailbox, path->mailbox.len - path->domain.len));
	if (path->is_literal || path->domain.len == 0) {
		buf_add(out, path->domain);
		return ERR_OK;
	}
	if (utf8_is_ascii(path->domain)) {
		buf_add(out, path->domain);
		return ERR_OK;
	}
	return smtp_domain_to_ascii(path->domain, out);
}
