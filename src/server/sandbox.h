/* server/sandbox.h - what the process can still do once it runs: files by Landlock, system calls by seccomp. Both are put on
 * before any thread is made, hold for all of them, and never come off again.
 *
 * Files: the spool, the directories of mail, sockets and of every file that the configuration names, and a few of the
 * system's. A directory is allowed as a whole, so that files in it may be replaced. System calls: a list of those that are
 * needed; what would start or change other programs ends the process, all else fails with ENOSYS. */
#ifndef SERVER_SANDBOX_H
#define SERVER_SANDBOX_H

#include <postrider/config.h>

struct sandbox_place {
	char *path;
	bool writable;
	bool of_configuration; /* or of the system: may be absent */
};

struct sandbox_places {
	struct sandbox_place *items;
	size_t count, room;
	bool no_memory;
};

/* What a configuration needs. read: files that it was read from, besides those that it names. */
void sandbox_find_places(const struct config *config, const struct config_texts *read, struct sandbox_places *out);
/* The directory of a file, or the file itself where that would be all of the file system. */
void sandbox_add_file(struct sandbox_places *p, struct text path);
/* TCP ports that the configuration listens on and connects to. Sorted, each once; free the list. */
MUST_USE enum err sandbox_find_ports(const struct config *config, bool outbound, uint16_t **ports, size_t *count);
void sandbox_places_fini(struct sandbox_places *p);

struct sandbox {
	bool limits_files, limits_ports, limits_calls;
	struct sandbox_places places; /* allowed, as real paths */
	uint16_t *listen_ports, *connect_ports;
	size_t listen_count, connect_count;
	struct buf words; /* what was put on, and what the kernel lacks: for the log */
};

/* With `require` what the kernel lacks is an error, and ports are limited too. problem: for people. */
MUST_USE enum err sandbox_enter(const struct config *config, const struct config_texts *read, struct sandbox *out,
                                struct buf *problem);
/* Whether another configuration could do with what is allowed. problem names what lies outside. */
MUST_USE enum err sandbox_check(const struct sandbox *s, const struct config *config, const struct config_texts *read,
                                struct buf *problem);
bool sandbox_allows_file(const struct sandbox *s, struct text path);
void sandbox_fini(struct sandbox *s);

/* sandbox_files.c. ERR_UNSUPPORTED: the kernel has no Landlock. abi: of the kernel's. */
MUST_USE enum err sandbox_limit_files(struct sandbox *s, bool with_ports, int *abi);
/* sandbox_calls.c */
MUST_USE enum err sandbox_limit_calls(void);

#endif
