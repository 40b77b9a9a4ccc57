#include "prep.h"

#include <stringprep.h>

#include <postrider/base/auto.h>
#include <postrider/crypto.h>

/* What NFKC may make of the longest text that is of use: longer results are refused. */
#define ROOM 2048

void secret_fini(struct buf *b)
{
	if (b->at)
		crypto_wipe(b->at, b->room);
	buf_fini(b);
}

static bool is_plain(struct text t)
{
	for (size_t i = 0; i < t.len; i++) {
		if (t.at[i] < 0x20 || t.at[i] > 0x7e) /* signed or not: above ASCII is one or the other */
			return false;
	}
	return true;
}

/* Into room, which the caller wipes; *len is the result's. */
static enum err prepare(struct text t, char room[ROOM], size_t *len)
{
	if (t.len >= ROOM)
		return ERR_TOO_BIG;
	if (text_find_octet(t, 0) < t.len)
		return ERR_SYNTAX;
	memcpy(room, t.at, t.len);
	room[t.len] = 0;
	switch (stringprep(room, ROOM, 0, stringprep_saslprep)) {
	case STRINGPREP_OK:
		*len = strlen(room);
		return *len ? ERR_OK : ERR_SYNTAX;
	case STRINGPREP_MALLOC_ERROR:
		return ERR_NOMEM;
	case STRINGPREP_TOO_SMALL_BUFFER:
		return ERR_TOO_BIG;
	default:
		return ERR_SYNTAX;
	}
}

enum err prep_add(struct text t, struct buf *out)
{
	char room[ROOM];
	size_t len;
	enum err err;

	if (is_plain(t)) {
		buf_add(out, t);
		return t.len ? buf_err(out) : ERR_SYNTAX;
	}
	err = prepare(t, room, &len);
	if (!err) {
		buf_add_bytes(out, room, len);
		err = buf_err(out);
	}
	crypto_wipe(room, sizeof(room));
	return err;
}

struct text prep_fold(struct text name, char room[AUTH_NAME_MAX])
{
	size_t len = MIN(name.len, (size_t)AUTH_NAME_MAX);

	for (size_t i = 0; i < len; i++)
		room[i] = ascii_lower(name.at[i]);
	return text_of(room, len);
}

bool prep_is_name(struct text t)
{
	char room[ROOM];
	size_t len;

	if (t.len == 0 || t.len > AUTH_NAME_MAX || text_find_octet(t, ':') < t.len)
		return false;
	return is_plain(t) || (prepare(t, room, &len) == ERR_OK && text_eq(text_of(room, len), t));
}
