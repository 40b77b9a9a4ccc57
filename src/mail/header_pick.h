/* Filling a struct header_pick piece by piece. */
#ifndef MAIL_HEADER_PICK_PRIVATE_H
#define MAIL_HEADER_PICK_PRIVATE_H

#include <postrider/mail/header.h>

/* A field begins, and the one before it is over; an empty name ends that one only. */
void header_pick_begin(struct header_pick *p, struct text name);
/* Octets of its value; does nothing for a field that nobody asked for. */
void header_pick_add(struct header_pick *p, struct text octets);

#endif
