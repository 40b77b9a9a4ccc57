#include "name.h"

static bool is_name_octet(char c)
{
	return ascii_is_alnum(c) || c == '-' || c == '_';
}

static enum err add_label(struct name *n, struct text label)
{
	size_t dot = n->len > 0;

	if (label.len == 0 || label.len > NAME_MAX_LABEL || n->len + dot + label.len > NAME_MAX_OCTETS)
		return ERR_SYNTAX;
	if (dot)
		n->at[n->len++] = '.';
	for (size_t i = 0; i < label.len; i++) {
		if (!is_name_octet(label.at[i]))
			return ERR_SYNTAX;
		n->at[n->len++] = ascii_lower(label.at[i]);
	}
	return ERR_OK;
}

enum err name_from_text(struct text t, struct name *out)
{
	struct name name = { 0 };

	if (t.len > 0 && t.at[t.len - 1] == '.')
		t.len--;
	/* text_cut cannot tell "a." from "a": an empty last label is seen here */
	if (t.len == 0 || t.at[t.len - 1] == '.')
		return ERR_SYNTAX;
	while (t.len > 0)
		if (add_label(&name, text_cut(&t, '.')))
			return ERR_SYNTAX;
	*out = name;
	return ERR_OK;
}

enum err name_from_wire(struct text wire, struct name *out)
{
	struct name name = { 0 };

	for (;;) {
		if (wire.len == 0)
			return ERR_SYNTAX;
		size_t len = (unsigned char)wire.at[0];

		wire = text_skip(wire, 1);
		if (len == 0)
			break;
		if (len > wire.len || add_label(&name, text_head(wire, len)))
			return ERR_SYNTAX;
		wire = text_skip(wire, len);
	}
	if (wire.len > 0)
		return ERR_SYNTAX;
	*out = name;
	return ERR_OK;
}

bool name_is_under(const struct name *n, const struct name *zone)
{
	if (zone->len == 0)
		return true;
	if (!text_ends(name_text(n), name_text(zone)))
		return false;
	return n->len == zone->len || n->at[n->len - zone->len - 1] == '.';
}

bool name_is_localhost(const struct name *name)
{
	struct name localhost = { .len = 9, .at = "localhost" };

	return name_is_under(name, &localhost);
}
