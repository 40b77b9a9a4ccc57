/* Landlock, by its system calls: there is no library. A kernel knows the rights of its own version and those before; what is
 * not known is not asked for. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_landlock_create_ruleset
#	define SYS_landlock_create_ruleset 444
#	define SYS_landlock_add_rule 445
#	define SYS_landlock_restrict_self 446
#endif

/* Of <linux/landlock.h> as later kernels have it. */
#define ACCESS_REFER (1ull << 13)     /* ABI 2 */
#define ACCESS_TRUNCATE (1ull << 14)  /* ABI 3 */
#define ACCESS_IOCTL_DEV (1ull << 15) /* ABI 5 */
#define ACCESS_BIND_TCP (1ull << 0)   /* ABI 4, of the network */
#define ACCESS_CONNECT_TCP (1ull << 1)
#define RULE_NET_PORT 2
#define SCOPE_SIGNAL (1ull << 1) /* ABI 6 */

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE                                                                                             \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |       \
	 ACCESS_REFER | ACCESS_TRUNCATE)
/* These are for nobody. */
#define NEVER                                                                                       \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_FIFO | \
	 LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM | ACCESS_IOCTL_DEV)
#define OF_A_FILE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE)

struct ruleset_attributes {
	uint64_t files, network, scoped;
};

struct port_rule {
	uint64_t access, port;
};

static uint64_t rights_of(int abi)
{
	uint64_t rights = READ | WRITE | NEVER;

	if (abi < 2)
		rights &= ~ACCESS_REFER;
	if (abi < 3)
		rights &= ~ACCESS_TRUNCATE;
	if (abi < 5)
		rights &= ~ACCESS_IOCTL_DEV;
	return rights;
}

static int create(const struct ruleset_attributes *a, int abi)
{
	size_t size = abi < 4 ? sizeof(uint64_t) : abi < 6 ? 2 * sizeof(uint64_t) : sizeof(*a);

	return (int)syscall(SYS_landlock_create_ruleset, a, size, 0);
}

/* What is not there cannot be allowed, and need not be. */
static enum err allow_place(int ruleset, const struct sandbox_place *place, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = place->writable ? READ | WRITE : READ };
	struct stat st;

	rule.parent_fd = open(place->path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return ERR_OK;
	if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
		rule.allowed_access &= OF_A_FILE;
	rule.allowed_access &= rights;
	long result = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	int why = errno;

	close(rule.parent_fd);
	return result == 0 ? ERR_OK : err_from_errno(why);
}

static enum err allow_ports(int ruleset, const uint16_t *ports, size_t count, uint64_t access)
{
	for (size_t i = 0; i < count; i++) {
		const struct port_rule rule = { access, ports[i] };

		if (syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0) != 0)
			return err_from_errno(errno);
	}
	return ERR_OK;
}

static enum err fill(int ruleset, const struct sandbox *s, uint64_t rights)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < s->places.count && !err; i++)
		err = allow_place(ruleset, &s->places.items[i], rights);
	if (!err && s->limits_ports)
		err = allow_ports(ruleset, s->listen_ports, s->listen_count, ACCESS_BIND_TCP);
	if (!err && s->limits_ports)
		err = allow_ports(ruleset, s->connect_ports, s->connect_count, ACCESS_CONNECT_TCP);
	return err;
}

enum err sandbox_limit_files(struct sandbox *s, bool with_ports, int *abi)
{
	*abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (*abi < 1)
		return ERR_UNSUPPORTED;
	s->limits_ports = with_ports && *abi >= 4;
	const struct ruleset_attributes attributes = {
		.files = rights_of(*abi),
		.network = s->limits_ports ? ACCESS_BIND_TCP | ACCESS_CONNECT_TCP : 0,
		.scoped = *abi >= 6 ? SCOPE_SIGNAL : 0,
	};
	int ruleset = create(&attributes, *abi);

	if (ruleset < 0)
		return err_from_errno(errno);
	enum err err = fill(ruleset, s, attributes.files);

	if (!err && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		err = err_from_errno(errno);
	if (!err && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
		err = err_from_errno(errno);
	close(ruleset);
	s->limits_files = !err;
	s->limits_ports = s->limits_ports && !err;
	return err;
}
