/* postrider/mail/address_list.h - the mailboxes in an address field: To, Cc, From, Sender (RFC 5322 section 3.4 and its
 * obsolete forms in 4.4). Display names, comments, groups and source routes are read and passed over. */
#ifndef POSTRIDER_MAIL_ADDRESS_LIST_H
#define POSTRIDER_MAIL_ADDRESS_LIST_H

#include <postrider/base/buf.h>

#define ADDRESS_MAX 1024 /* of one mailbox, in octets */

/* A mailbox as SMTP writes it: "ann@example.com", "\"a b\"@[192.0.2.1]"; one without a domain as it stands: "root".
 * Whether SMTP takes it is for smtp_mailbox_parse to say. Borrowed for the call. An error ends the reading. */
typedef enum err address_list_fn(void *owner, struct text mailbox);

/* value: of a header field, folded or not. ERR_SYNTAX: it is no address list, or holds control octets; ERR_TOO_BIG; or
 * what `each` returned. Mailboxes in front of the fault have been given by then. */
MUST_USE enum err address_list_each(struct text value, address_list_fn *each, void *owner);

#endif
