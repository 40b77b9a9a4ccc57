#include "fate.h"

#include <postrider/base/auto.h>

static const struct fate fates[] = {
	{ LIT("refuse"), FATE_REFUSED, { 550, "5.1.1", LIT("No such user here") } },
	{ LIT("defer"), FATE_REFUSED, { 451, "4.2.1", LIT("Mailbox busy, try again later") } },
	{ LIT("full"), FATE_REFUSED, { 452, "4.2.2", LIT("Mailbox full") } },
	{ LIT("block"), FATE_REFUSED, { 550, "5.7.1", LIT("Your mail is not wanted here") } },
	{ LIT("content"), FATE_REFUSED_AT_DOT, { 554, "5.6.0", LIT("The content is not acceptable") } },
	{ LIT("tempdot"),
	  FATE_REFUSED_AT_DOT,
	  { 451, "4.3.0", LIT("Something is wrong here, try again later") } },
	{ LIT("grey"), FATE_GREYLISTED, { 451, "4.7.1", LIT("Greylisted, please try again later") } },
	{ LIT("busy"), FATE_CLOSED, { 421, "4.3.2", LIT("Too busy, closing the connection") } },
	{ LIT("drop"), FATE_DROPPED, { 0, "", LIT("") } },
	{ LIT("silent"), FATE_SILENT, { 0, "", LIT("") } },
};

const struct fate *fate_of(struct text local_part)
{
	for (size_t i = 0; i < ARRAY_LEN(fates); i++)
		if (text_starts_nocase(local_part, fates[i].prefix))
			return &fates[i];
	return NULL;
}
