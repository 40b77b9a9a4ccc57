/* server/rights.h - what the process has from whoever started it, and what it keeps: sockets, user, sandbox. */
#ifndef SERVER_RIGHTS_H
#define SERVER_RIGHTS_H

#include <postrider/observe/observe.h>
#include <postrider/receive.h>

#include "activation.h"
#include "privilege.h"
#include "runner.h"
#include "sandbox.h"

/* The files that a configuration was read from; put between config_load and the system. */
struct reading {
	const struct config_sources *inner;
	const struct sandbox *sandbox; /* NULL: none yet */
	struct text *items;
	size_t count, room;
};
/* The sources to load with; reading and *inner must live as long. */
struct config_sources reading_begin(struct reading *r, const struct config_sources *inner,
                                    const struct sandbox *sandbox);
/* Another file that is read now and then. */
void reading_add(struct reading *r, struct text path);
void reading_fini(struct reading *r);

struct rights {
	struct activation activation;
	struct privilege privilege;
	struct privilege_sockets sockets;
	struct runner runner;
	struct sandbox sandbox;
	bool *used; /* of each inherited descriptor */
};

/* Binds, becomes the user, starts the runner of commands, puts on the sandbox. Before the first thread is made. problem: for people. */
MUST_USE enum err rights_settle(struct rights *r, const struct config *config, const struct reading *reading,
                                const char *const *environment, struct buf *problem);
/* For receive_options; owner: a struct rights. */
MUST_USE enum err rights_find_socket(void *owner, const struct config_listener *l, struct receive_socket *out,
                                     struct buf *problem);
/* Whether what was settled will do for another configuration. */
MUST_USE enum err rights_check(const struct rights *r, const struct config *config,
                               const struct reading *reading, struct buf *problem);
/* Who we are and what we can still do, as events. */
void rights_say(const struct rights *r, const struct config *config, struct observe *observe);
void rights_fini(struct rights *r);

#endif
