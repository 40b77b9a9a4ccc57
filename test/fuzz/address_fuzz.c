/* Mailboxes, domains and address literals from anywhere: configuration, commands, files. */
#include <assert.h>

#include <postrider/base/utf8.h>
#include <postrider/smtp/path.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The same mailbox with a domain for the DNS; its form there stays as it is. */
static void check_ascii_domain(const struct smtp_path *path)
{
	struct buf ascii = BUF(1024), domain = BUF(SMTP_DOMAIN_MAX), twice = BUF(SMTP_DOMAIN_MAX);
	struct smtp_path again;

	assert(!smtp_mailbox_to_ascii_domain(path, &ascii));
	enum err err = smtp_mailbox_parse_utf8(buf_text(&ascii), &again);

	/* the ASCII form may be the longer one */
	assert(err == ERR_TOO_BIG || (!err && utf8_is_ascii(again.domain) && smtp_path_eq(&again, path)));
	if (!path->is_literal) {
		assert(!smtp_domain_to_ascii(path->domain, &domain) && !smtp_domain_check(buf_text(&domain)));
		assert(!smtp_domain_to_ascii(buf_text(&domain), &twice));
		assert(text_eq(buf_text(&domain), buf_text(&twice)));
	}
	buf_fini(&ascii);
	buf_fini(&domain);
	buf_fini(&twice);
}

static void check_mailbox(struct text t)
{
	struct smtp_path path, again;
	struct buf meaning = BUF(SMTP_LOCAL_PART_MAX), quoted = BUF(400);

	if (smtp_mailbox_parse_utf8(t, &path)) {
		assert(smtp_mailbox_parse(t, &path));
		return;
	}
	assert(path.is_utf8 == !utf8_is_ascii(t) && !smtp_mailbox_parse(t, &again) == !path.is_utf8);
	check_ascii_domain(&path);
	assert(text_eq(path.mailbox, t) && smtp_path_eq(&path, &path));
	assert(path.local_part.len + 1 + path.domain.len == t.len);
	smtp_local_part_add(&meaning, path.local_part);
	assert(!buf_err(&meaning));

	/* The same meaning with every octet quoted is the same mailbox, if it is not too long so. */
	buf_add_octet(&quoted, '"');
	for (size_t i = 0; i < meaning.len; i++) {
		if ((unsigned char)meaning.at[i] < 0x80)
			buf_add_octet(&quoted, '\\');
		buf_add_octet(&quoted, meaning.at[i]);
	}
	buf_add_string(&quoted, "\"@");
	buf_add(&quoted, path.domain);
	enum err err = smtp_mailbox_parse_utf8(buf_text(&quoted), &again);

	assert(err == ERR_TOO_BIG || (err == ERR_OK && smtp_path_eq(&again, &path)));
	buf_fini(&meaning);
	buf_fini(&quoted);
}

static void check_literal(struct text t)
{
	struct ip ip, again;
	struct buf b = BUF(100);

	if (smtp_literal_parse(t, &ip))
		return;
	ip_add_literal(&b, ip);
	assert(smtp_literal_parse(buf_text(&b), &again) == ERR_OK && ip_eq(again, ip));
	assert(smtp_helo_check(t) == ERR_OK);
	buf_fini(&b);
}

static void check_domain(struct text t)
{
	if (smtp_domain_check(t))
		return;
	assert(t.len > 0 && t.len <= SMTP_DOMAIN_MAX && smtp_helo_check(t) == ERR_OK);
	assert(text_find(t, TEXT("..")) == t.len && t.at[0] != '.' && t.at[t.len - 1] != '.');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text t = text_of((const char *)data, size), rest = t;
	struct smtp_path path;

	check_mailbox(t);
	check_literal(t);
	check_domain(t);
	if (smtp_reverse_path_parse(&rest, &path))
		assert(text_eq(rest, t));
	rest = t;
	if (smtp_forward_path_parse(&rest, &path))
		assert(text_eq(rest, t));
	return 0;
}
