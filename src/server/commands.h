/* server/commands.h - asking the runner from the loop. */
#ifndef SERVER_COMMANDS_H
#define SERVER_COMMANDS_H

#include <postrider/auth/tokens.h>

#include "runner.h"

struct commands;

/* Takes runner->fd over; runner itself must live as long. Without an fd every command is ERR_DENIED. */
MUST_USE enum err commands_new(struct io *io, struct runner *runner, struct commands **out);
struct auth_commands commands_face(struct commands *c);
/* Nobody asks any more. The world's end closes the socket; what is left goes then. */
void commands_free(struct commands **c);

#endif
