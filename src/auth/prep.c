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

static enum err prepare(struct text t, struct buf *out)
{
	char room[ROOM];
	enum err err = ERR_SYNTAX;

	memcpy(room, t.at, t.len);
	room[t.len] = 0;
	int status = stringprep(room, sizeof(room), 0, stringprep_saslprep);

	if (status == STRINGPREP_OK && room[0]) {
		buf_add_string(out, room);
		err = buf_err(out);
	} else if (status == STRINGPREP_MALLOC_ERROR) {
		err = ERR_NOMEM;
	} else if (status == STRINGPREP_TOO_SMALL_BUFFER) {
		err = ERR_TOO_BIG;
	}
	crypto_wipe(room, sizeof(room));
	return err;
}

enum err prep_add(struct text t, struct buf *out)
{
	if (is_plain(t)) {
		buf_add(out, t);
		return t.len ? buf_err(out) : ERR_SYNTAX;
	}
	if (t.len >= ROOM)
		return ERR_TOO_BIG;
	if (text_find_octet(t, 0) < t.len)
		return ERR_SYNTAX;
	return prepare(t, out);
}

bool prep_is_name(struct text t)
{
	AUTO(buf_fini) struct buf prepared = BUF(AUTH_NAME_MAX);

	if (t.len == 0 || t.len > AUTH_NAME_MAX || text_find_octet(t, ':') < t.len)
		return false;
	return is_plain(t) || (prep_add(t, &prepared) == ERR_OK && text_eq(buf_text(&prepared), t));
}
