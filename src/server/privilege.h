/* server/privilege.h - what only root may do is done first and once: sockets on low ports, directories given away. Then the
 * process becomes `user`, without a way back, before it reads a single octet of mail. */
#ifndef SERVER_PRIVILEGE_H
#define SERVER_PRIVILEGE_H

#include <sys/types.h>

#include <postrider/base/ip.h>
#include <postrider/config.h>

struct privilege {
	bool drops;      /* root now, somebody else soon */
	bool stays_root; /* nobody said whom to become */
	uid_t uid;
	gid_t gid;
	char name[64]; /* empty: a uid without one */
};

/* Who we are to be: `user`, a name or a number; as root and without it the user postrider if there is one. ERR_CONFIG:
 * problem. */
MUST_USE enum err privilege_find_user(const struct config *config, struct privilege *out,
                                      struct buf *problem);

/* Sockets bound to the ports below 1024 that the configuration listens on. */
struct privilege_sockets {
	struct {
		struct ip_port address;
		int fd; /* -1: taken */
	} * items;
	size_t count;
};
MUST_USE enum err privilege_bind(const struct config *config, struct privilege_sockets *out,
                                 struct buf *problem);
int privilege_take_socket(struct privilege_sockets *s, const struct ip_port *address); /* -1: none */
void privilege_sockets_fini(struct privilege_sockets *s);

/* The spool directory and /run/postrider are made and given to the user, if nobody else has anything in them. */
MUST_USE enum err privilege_give_away(const struct config *config, const struct privilege *p,
                                      struct buf *problem);
/* Becomes the user, or as another than root gives capabilities away. No new privileges from here on, by whatever is run. */
MUST_USE enum err privilege_drop(const struct privilege *p, struct buf *problem);
/* As the user: whether the spool can be ours. */
MUST_USE enum err privilege_check_spool(const struct config *config, struct buf *problem);

#endif
