/* server/internal.h - what the files of this room share. */
#ifndef POSTRIDER_SERVER_INTERNAL_H
#define POSTRIDER_SERVER_INTERNAL_H

#include <postrider/admin.h>
#include <postrider/auth.h>
#include <postrider/auth/tokens.h>
#include <postrider/deliver.h>
#include <postrider/dns.h>
#include <postrider/server.h>

#define SERVER_NAMES_MAX 8 /* name servers */

struct server {
	struct io *io;
	struct io_disk *disk;
	struct observe *observe;
	struct server_options options; /* its *_context are set */
	void *server_context_owner, *client_context_owner; /* of options.server_context and client_context */
	const struct config *config;
	struct queue *queue;
	struct history *history;
	struct dns *dns;
	struct deliver *deliver;
	struct schedule *schedule;
	struct auth *auth;
	struct auth_tokens *tokens;
	struct policy_service *policy; /* NULL: none was ever configured */
	struct policy *tls_policy;     /* DANE and MTA-STS */
	struct memory_watch *memory_watch;
	struct names_watch *names_watch; /* NULL: the system's files do not count */
	struct ip_port name_servers[SERVER_NAMES_MAX];
	size_t name_server_count;
	struct receive *receive;
	struct admin *admin;
	struct certificates *certificates;
	struct folder *drop, *pickup; /* NULL: none */
	int folders_going;            /* closed, and not gone yet */
	void (*on_doors_closed)(void *owner);
	struct io_later doors_closed;
	struct observe_consumer to_history;
	struct io_timer watch;
	bool was_full, failed;

	/* stopping */
	bool stopping, hurried, is_over;
	int waits; /* rooms that have not stopped yet */
	struct io_later over;
	int64_t drain_until_at;
	struct io_timer drain;
	void (*on_stopped)(void *owner);
	void *stop_owner;
};

/* server.c: an event of the daemon itself; detail is borrowed for the call */
void server_say(struct server *s, enum event_kind kind, enum event_level level, struct text detail);

/* rooms.c: the rooms made. What was opened before an error stays, to be freed. Queue, history and admin are closed by whoever
 * stops, who waits for them; server_free_rooms frees the others at once, those that are not there too. */
MUST_USE enum err server_open_stores(struct server *s, struct buf *problem); /* queue and history; blocks */
MUST_USE enum err server_open_rooms(struct server *s, struct buf *problem);  /* the rest, with dns there; it listens */
void server_free_rooms(struct server *s);

/* contexts.c: TLS from the files that the configuration names; see certificates.h */
enum err server_context_from_files(void *owner, const struct config_listener *l, struct tls_context **out,
                                   struct buf *problem);
enum err client_context_with_ca(void *owner, const struct tls_client_options *o, struct tls_context **out,
                                struct buf *problem);

/* files.c: as auth wants it, owner is not looked at */
enum err server_mark_file(void *owner, struct text path, struct auth_file_mark *out);

/* logins.c: who may log in */
MUST_USE enum err server_open_auth(struct server *s, struct buf *problem);
/* The same of no server, to see whether the users file can be read. */
MUST_USE enum err server_read_users(struct io *io, const struct config *config, struct auth **out, struct buf *problem);

/* tokens.c */
MUST_USE enum err server_open_tokens(struct server *s, struct buf *problem);

/* question.c: whom to ask about recipients. Everything is as before after an error. */
MUST_USE enum err server_question(struct server *s, const struct config *config, struct buf *problem);

/* doors.c: the directories that mail comes in by. A reload plans first, which may fail and changes nothing; then the plan is
 * carried out or dropped. */
struct doors_plan {
	bool keep_drop, keep_pickup;
	struct folder *drop, *pickup; /* opened for the new configuration */
};
MUST_USE enum err server_open_doors(struct server *s, struct buf *problem);
MUST_USE enum err server_plan_doors(struct server *s, const struct config *c, struct doors_plan *plan,
                                    struct buf *problem);
void server_change_doors(struct server *s, const struct config *c, struct doors_plan *plan);
void server_drop_plan(struct server *s, struct doors_plan *plan);
void server_close_doors(struct server *s, void (*on_closed)(void *owner)); /* owner: s */

/* names.c: where names are looked up */
MUST_USE enum err server_names(struct server *s, const struct config *config);
enum err server_try_file(const char *path); /* ERR_OK: it can be read */

/* names_watch.c: the system's files of names, taken when they change */
struct names_watch;
MUST_USE enum err names_watch_new(struct server *s, struct names_watch **out);
void names_watch_free(struct names_watch **slot);

#endif
