/* auth/client_internal.h - between the files of the client's half. */
#ifndef AUTH_CLIENT_INTERNAL_H
#define AUTH_CLIENT_INTERNAL_H

#include <postrider/auth/client.h>

/* An answer to a challenge, in base64, into c->line. */
enum auth_client_next client_say(struct auth_client *c, struct text octets);
/* No more of this dialogue. */
enum auth_client_next client_stop(struct auth_client *c, enum auth_client_next how, const char *problem);

/* The client's first message into out. SEND or FAILED. */
enum auth_client_next client_scram_first(struct auth_client *c, const struct auth_client_start *start,
                                         struct buf *out);
/* A challenge, decoded: the server's first message, then its last. */
enum auth_client_next client_scram_challenge(struct auth_client *c, struct text octets);
enum auth_client_next client_scram_derived(struct auth_client *c);
void client_scram_reset(struct auth_client *c);

#endif
