/* postrider/server.h - the rooms put together: start, reload, stop. The same in the real and in the simulated world; only
 * server_main knows processes, signals and descriptors. */
#ifndef POSTRIDER_SERVER_H
#define POSTRIDER_SERVER_H

#include <postrider/auth/tokens.h>
#include <postrider/config.h>
#include <postrider/io/disk.h>
#include <postrider/observe/observe.h>
#include <postrider/queue/history.h>
#include <postrider/receive.h>
#include <postrider/schedule.h>

struct server;

struct server_options {
	struct io *io;
	struct io_disk *disk;
	const struct config *config; /* referenced */
	struct observe *observe;     /* borrowed; its consumers are the caller's */
	bool in_memory;              /* queue and history in the store's memory twin */
	unsigned max_descriptors;    /* clamps sessions and connections */
	/* TLS contexts; NULL: mbedTLS with the files that the configuration names. */
	enum err (*server_context)(void *owner, const struct config_listener *l, struct tls_context **out,
	                           struct buf *problem);
	enum err (*client_context)(void *owner, const struct tls_client_options *o, struct tls_context **out,
	                           struct buf *problem);
	void *tls_owner;
	/* The system's name servers and hosts where the configuration names none; NULL: resolv.conf and hosts file are read. */
	const struct ip_port *name_servers;
	size_t name_server_count;
	struct text ca_file; /* in the place of the system's CAs; empty: those. Lives as long as the server */
	bool use_system_files;                          /* /etc/resolv.conf, /etc/hosts */
	enum err (*fault)(void *owner, unsigned point); /* see queue.h */
	void *fault_owner;
	struct queue_memory *memory; /* see queue.h */
	/* It has stopped by itself, as the disk failed: as on_stopped of server_stop, which was not called. May be NULL. */
	void (*on_failed)(void *owner);
	void *owner;
	const struct ip *own;        /* addresses of this machine: an MX that leads there leads back to us; copied */
	size_t own_count;
	/* Sockets that are there before their listeners: see receive.h; may be NULL. */
	enum err (*find_socket)(void *owner, const struct config_listener *l, struct receive_socket *out, struct buf *problem);
	void *socket_owner;
	struct auth_commands commands; /* for token_command; run NULL: they fail */
	bool has_folders;            /* the drop and the pick-up directory, in the real file system */
	/* The control socket, for a process of this user; false: none. */
	bool has_admin;
	uint32_t uid, gid;
	struct text version, commit;
};

/* Opens the queue (blocks), then everything else, and says `started` and `ready`. problem: for people, with the next step. */
MUST_USE enum err server_start(const struct server_options *options, struct server **out,
                               struct buf *problem);

/* A new configuration at once, or the old one kept: ERR_CONFIG and what is wrong in problem. ERR_BUSY: it is stopping. */
MUST_USE enum err server_reload(struct server *s, const struct config *config, struct buf *problem);

/* No new mail; what runs is finished within the configured time; on_stopped when all is on disk and closed. A second call
 * ends the waiting. */
void server_stop(struct server *s, void (*on_stopped)(void *owner), void *owner);
void server_free(struct server **s); /* after on_stopped */

/* For admin and tests. */
struct queue *server_queue(struct server *s);
struct schedule *server_schedule(struct server *s);
struct receive *server_receive(struct server *s);
struct history *server_history(struct server *s);
const struct config *server_config(struct server *s);
bool server_has_failed(const struct server *s); /* the disk failed: it stopped by itself; exit with 1 */

/* ---------------------------------------------------------------- the process */

/* Reads files for a configuration as the daemon does, with the words for what fails; fills read_file, find_files and
 * machine_name (which lives in name, 256 octets). */
void server_use_system(struct config_sources *sources, char name[256]);

/* What a start would find wrong in the files that the configuration names: certificates with their keys, CAs, the users file.
 * They are read, and nothing else is done. found: for each, where ("FILE:LINE"), what, and the
 * next step, which may be empty; for people. */
typedef void server_found_fn(void *owner, struct text where, struct text what, struct text next);
MUST_USE enum err server_check_files(const struct config *config, server_found_fn *found, void *owner);

/* Connects and logs in at every upstream that a route leads to, with each of its logins, and sends nothing. Whoever has not
 * answered in SERVER_CONNECT_MS is given up. came: once for each, in the order of the routes; words: one line for people. */
#define SERVER_CONNECT_MS (60 * 1000)
typedef void server_came_fn(void *owner, struct text upstream, bool is_good, struct text words);
MUST_USE enum err server_check_connect(const struct config *config, const char *const *environment, server_came_fn *came,
                                       void *owner, struct buf *problem);

struct server_main_options {
	const struct config_sources *sources; /* read again at every reload */
	int log_descriptor;                   /* events: 1 */
	/* Stays as it is: no other user, no sandbox, no inherited sockets (--demo, which is more than a relay). */
	bool is_open;
	struct text version, commit;          /* what the control socket says of us */
	/* Told once everything listens; may be NULL. */
	void (*on_ready)(void *owner, struct server *server, struct io *io);
	/* Called when the loop ends, before the rooms go; may be NULL. */
	void (*on_end)(void *owner);
	void *owner;
};

/* Runs until a signal. Returns the exit code: 0, 1 (it could not start, or the disk failed), 78 (configuration). What keeps
 * it from starting goes to standard error. */
int server_main(const struct server_main_options *options);

#endif
