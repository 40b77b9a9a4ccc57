/* ${env:NAME} and ${file:PATH} inside a string; $${ is ${ itself. */
#include <postrider/base/auto.h>

#include "bind.h"

#define EXPANDED_MAX_BYTES 65536

static struct text find_variable(const struct load *load, struct text name)
{
	for (const char *const *at = load->sources->environment; at && *at; at++) {
		struct text variable = text_from(*at);

		if (text_find_octet(variable, '=') == name.len && text_starts(variable, name))
			return text_skip(variable, name.len + 1);
	}
	return (struct text){ NULL, 0 };
}

static bool add_variable(struct load *load, const struct node *node, struct text name, struct buf *out)
{
	struct text value = find_variable(load, name);

	if (value.at) {
		buf_add(out, value);
		return true;
	}
	load_hint(load, load_error(load, &node->spot, "there is no environment variable %.*s", SHOWN(name)),
	          "set it, or write the value here");
	return false;
}

bool expand_file(struct load *load, const struct spot *spot, struct text path, struct buf *out)
{
	const struct config_sources *from = load->sources;
	AUTO(buf_fini) struct buf content = BUF(EXPANDED_MAX_BYTES);
	AUTO(buf_fini) struct buf detail = BUF(1000);
	AUTO(buf_fini) struct buf hint = BUF(1000);
	enum err err = from->read_file ? from->read_file(from->owner, path, &content, &detail, &hint)
	                               : ERR_UNSUPPORTED;

	if (!err)
		err = buf_err(&content);
	if (err == ERR_NOMEM)
		load->nomem = true;
	if (err) {
		struct config_finding *f =
			load_error(load, spot, "cannot read %.*s: %s", SHOWN(path), err_text(err));

		if (detail.len)
			load_detail(load, f, "%.*s", TEXT_ARGS(buf_text(&detail)));
		if (hint.len)
			load_hint(load, f, "%.*s", TEXT_ARGS(buf_text(&hint)));
		return false;
	}
	struct text value = buf_text(&content);

	/* editors and `echo` end a file with a line end that is not part of the value */
	if (value.len && value.at[value.len - 1] == '\n')
		value.len--;
	if (value.len && value.at[value.len - 1] == '\r')
		value.len--;
	buf_add(out, value);
	load->nomem |= buf_err(out) == ERR_NOMEM;
	return !load->nomem;
}

static bool add_expansion(struct load *load, const struct node *node, struct text what, bool is_secret,
                          struct buf *out)
{
	struct text argument = what, kind = text_cut(&argument, ':');

	if (text_eq(kind, TEXT("env")) && argument.len)
		return add_variable(load, node, argument, out);
	if (text_eq(kind, TEXT("file")) && argument.len)
		return expand_file(load, &node->spot, argument, out);
	struct config_finding *f =
		load_error(load, &node->spot, "what is ${%.*s}?", SHOWN(is_secret ? TEXT("***") : what));

	load_expected(load, f, "${env:NAME} or ${file:PATH}");
	load_hint(load, f, "$${ stands for ${ itself");
	return false;
}

bool expand(struct load *load, const struct node *node, bool is_secret, struct text *out)
{
	struct text rest = node->text, open = LIT("${");
	AUTO(buf_fini) struct buf b = BUF(EXPANDED_MAX_BYTES);

	*out = node->text;
	if (text_find(rest, open) == rest.len)
		return true;
	while (rest.len > 0) {
		size_t at = text_find(rest, open);

		if (at > 0 && at < rest.len && rest.at[at - 1] == '$') {
			buf_add(&b, text_head(rest, at - 1));
			buf_add(&b, open);
			rest = text_skip(rest, at + open.len);
			continue;
		}
		buf_add(&b, text_head(rest, at));
		rest = text_skip(rest, at);
		if (rest.len == 0)
			break;
		size_t close = text_find_octet(rest, '}');

		if (close == rest.len) {
			load_error(load, &node->spot, "${ without }");
			return false;
		}
		if (!add_expansion(load, node, text_of(rest.at + open.len, close - open.len), is_secret, &b))
			return false;
		rest = text_skip(rest, close + 1);
	}
	if (buf_err(&b) == ERR_TOO_BIG) {
		load_error(load, &node->spot, "too long with what is put in");
		return false;
	}
	if (buf_err(&b) || arena_text(&load->scratch, buf_text(&b), out)) {
		load->nomem = true;
		return false;
	}
	return true;
}
