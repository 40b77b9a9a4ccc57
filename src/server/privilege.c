#include "privilege.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <postrider/base/auto.h>
#include <postrider/io/uv.h>

#define DEFAULT_USER "postrider"
#define RUN_DIRECTORY "/run/postrider"
#define LOW_PORT 1024

/* ---------------------------------------------------------------- who */

#define ENTRY_ROOM 16384

static void take_entry(const struct passwd *entry, struct privilege *out)
{
	out->uid = entry->pw_uid;
	out->gid = entry->pw_gid;
	snprintf(out->name, sizeof(out->name), "%s", entry->pw_name);
}

static bool find_name(const char *name, struct privilege *out)
{
	struct passwd entry, *found = NULL;
	char room[ENTRY_ROOM];

	if (getpwnam_r(name, &entry, room, sizeof(room), &found) == 0 && found)
		take_entry(found, out);
	return found != NULL;
}

static bool find_uid(uid_t uid, struct privilege *out)
{
	struct passwd entry, *found = NULL;
	char room[ENTRY_ROOM];

	if (getpwuid_r(uid, &entry, room, sizeof(room), &found) == 0 && found)
		take_entry(found, out);
	return found != NULL;
}

static enum err look_up(struct text user, struct privilege *out, struct buf *problem)
{
	AUTO(free_memory) char *name = text_dup(user);
	uint64_t number;

	if (!name)
		return ERR_NOMEM;
	if (find_name(name, out))
		return ERR_OK;
	if (text_to_u64(user, UINT32_MAX - 1, &number) == ERR_OK) {
		out->uid = out->gid = (uid_t)number; /* a number need not be anybody */
		(void)find_uid(out->uid, out);
		return ERR_OK;
	}
	buf_add_format(problem,
	               "user: there is no user \"%s\" on this system: useradd --system %s, or give a number",
	               name, name);
	return ERR_CONFIG;
}

enum err privilege_find_user(const struct config *config, struct privilege *out, struct buf *problem)
{
	struct privilege own = { .uid = geteuid(), .gid = getegid() };
	enum err err = ERR_OK;

	*out = own;
	if (config->user.len > 0)
		err = look_up(config->user, out, problem);
	else if (own.uid != 0 || !find_name(DEFAULT_USER, out))
		(void)find_uid(own.uid, out);
	if (err)
		return err;
	if (own.uid != 0 && out->uid != own.uid) {
		buf_add_format(
			problem,
			"user: only root can become %.*s, and this is uid %u: start as root, or leave `user` out",
			TEXT_ARGS(config->user), (unsigned)own.uid);
		return ERR_CONFIG;
	}
	out->drops = own.uid == 0 && out->uid != 0;
	out->stays_root = own.uid == 0 && !out->drops;
	return ERR_OK;
}

static const char *name_of(const struct privilege *p, char room[32])
{
	if (p->name[0])
		return p->name;
	snprintf(room, 32, "%u", (unsigned)p->uid);
	return room;
}

/* ---------------------------------------------------------------- sockets */

static enum err bind_one(const struct config_listener *l, struct privilege_sockets *out, struct buf *problem)
{
	struct ip_port address = { l->address.ip, l->address.port };
	int fd = -1;
	enum err err = io_uv_bind(&address, &fd);

	if (!err) {
		out->items[out->count].address = address;
		out->items[out->count++].fd = fd;
		return ERR_OK;
	}
	config_place_add(problem, l->place);
	buf_add_format(problem, ": cannot listen on %.*s: %s", TEXT_ARGS(l->address.text),
	               err == ERR_BUSY ? "another program listens there" : err_text(err));
	if (err == ERR_DENIED)
		buf_add(problem,
		        TEXT("; for a port below 1024 start as root with `user`, give the capability CAP_NET_BIND_SERVICE, or "
		             "set the sysctl net.ipv4.ip_unprivileged_port_start"));
	return err;
}

enum err privilege_bind(const struct config *config, struct privilege_sockets *out, struct buf *problem)
{
	enum err err = ERR_OK;

	*out = (struct privilege_sockets){ .items = calloc(config->listen.count + 1, sizeof(*out->items)) };
	if (!out->items)
		return ERR_NOMEM;
	for (size_t i = 0; i < config->listen.count && !err; i++) {
		const struct config_listener *l = &config->listen.items[i];

		if (!l->address.is_unix && !l->address.is_fd && l->address.port > 0 &&
		    l->address.port < LOW_PORT)
			err = bind_one(l, out, problem);
	}
	return err;
}

int privilege_take_socket(struct privilege_sockets *s, const struct ip_port *address)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->items[i].fd >= 0 && s->items[i].address.port == address->port &&
		    ip_eq(s->items[i].address.ip, address->ip)) {
			int fd = s->items[i].fd;

			s->items[i].fd = -1;
			return fd;
		}
	return -1;
}

void privilege_sockets_fini(struct privilege_sockets *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->items[i].fd >= 0)
			close(s->items[i].fd);
	free(s->items);
	*s = (struct privilege_sockets){ 0 };
}

/* ---------------------------------------------------------------- directories */

static bool is_empty_directory(const char *path)
{
	DIR *all = opendir(path);
	struct dirent *entry;
	bool empty = all != NULL;

	while (all && empty && (entry = readdir(all)))
		empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
	if (all)
		closedir(all);
	return empty;
}

/* What is made here is theirs; what is there must be, or be empty and root's own: as a volume is that nobody has used yet. */
static enum err give_directory(const char *path, mode_t mode, const struct privilege *p, struct buf *problem)
{
	char room[32];
	struct stat st;

	if (mkdir(path, mode) == 0)
		return lchown(path, p->uid, p->gid) == 0 ? ERR_OK : err_from_errno(errno);
	if (errno != EEXIST)
		return ERR_OK; /* whoever needs it will say what is wrong, with more to say */
	if (stat(path, &st) != 0 || st.st_uid == p->uid)
		return ERR_OK;
	if (st.st_uid == 0 && is_empty_directory(path) && chown(path, p->uid, p->gid) == 0)
		return ERR_OK;
	const char *name = name_of(p, room);

	buf_add_format(problem, "%s belongs to uid %u, but the relay is to run as %s: chown -R %s: %s", path,
	               (unsigned)st.st_uid, name, name, path);
	return ERR_DENIED;
}

enum err privilege_give_away(const struct config *config, const struct privilege *p, struct buf *problem)
{
	AUTO(free_memory) char *spool = text_dup(config->spool.path);
	AUTO(buf_fini) struct buf unused = BUF(1000);

	if (!spool)
		return ERR_NOMEM;
	if (!p->drops)
		return ERR_OK;
	/* If it is somebody else's, the control socket finds its place in the spool. */
	if (config->admin.socket.len == 0 && give_directory(RUN_DIRECTORY, 0755, p, &unused))
		buf_reset(&unused);
	return give_directory(spool, 0711, p, problem);
}

static const char *const in_spool[] = { "", "/queue", "/bodies", "/history", "/drop" };

enum err privilege_check_spool(const struct config *config, struct buf *problem)
{
	AUTO(buf_fini) struct buf path = BUF(8192);
	struct stat st;

	if (geteuid() == 0)
		return ERR_OK;
	for (size_t i = 0; i < ARRAY_LEN(in_spool); i++) {
		buf_reset(&path);
		buf_add_format(&path, "%.*s%s", TEXT_ARGS(config->spool.path), in_spool[i]);
		buf_add_octet(&path, '\0');
		if (buf_err(&path))
			return buf_err(&path);
		/* What is not there is going to be made, and its maker says when that fails. */
		if (stat(path.at, &st) != 0 || access(path.at, R_OK | W_OK | X_OK) == 0)
			continue;
		buf_add_format(
			problem, "%s belongs to uid %u with mode %04o, and this is uid %u: %s%s%u: %.*s",
			path.at, (unsigned)st.st_uid, (unsigned)(st.st_mode & 07777), (unsigned)geteuid(),
			errno == EROFS ? "its file system is read-only; mount it writable, or " : "",
			"chown -R ", (unsigned)geteuid(), TEXT_ARGS(config->spool.path));
		return ERR_DENIED;
	}
	return ERR_OK;
}

/* ---------------------------------------------------------------- becoming somebody else */

static enum err failed(struct buf *problem, const char *what)
{
	buf_add_format(problem, "privileges cannot be given away: %s: %s", what, strerror(errno));
	return ERR_DENIED;
}

/* None is left to be had again by whatever might be run. Needs CAP_SETPCAP; without it there is none to lose. */
static void empty_bounding_set(void)
{
	for (int capability = 0; capability <= CAP_LAST_CAP; capability++)
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0)
			return;
}

static int capabilities(bool set, struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };

	return (int)syscall(set ? SYS_capset : SYS_capget, &header, data);
}

static enum err drop_capabilities(struct buf *problem)
{
	struct __user_cap_data_struct none[2] = { { 0 } }, now[2];

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL)
		return failed(problem, "ambient capabilities");
	if (capabilities(true, none) != 0)
		return failed(problem, "capset");
	if (capabilities(false, now) != 0)
		return failed(problem, "capget");
	for (unsigned i = 0; i < 2; i++)
		if (now[i].effective || now[i].permitted || now[i].inheritable) {
			errno = EPERM;
			return failed(problem, "capabilities are left");
		}
	return ERR_OK;
}

static enum err check_no_way_back(const struct privilege *p, struct buf *problem)
{
	uid_t uids[3];
	gid_t gids[3];

	if (getresuid(&uids[0], &uids[1], &uids[2]) != 0 || getresgid(&gids[0], &gids[1], &gids[2]) != 0)
		return failed(problem, "getresuid");
	for (unsigned i = 0; i < 3; i++)
		if (uids[i] != p->uid || gids[i] != p->gid) {
			errno = EPERM;
			return failed(problem, "an id of before is left");
		}
	if (setuid(0) == 0 || seteuid(0) == 0) {
		errno = EPERM;
		return failed(problem, "root can be had back");
	}
	return ERR_OK;
}

static enum err become(const struct privilege *p, struct buf *problem)
{
	empty_bounding_set();
	if ((p->name[0] ? initgroups(p->name, p->gid) : setgroups(1, &p->gid)) != 0) {
		(void)failed(problem, "groups");
		buf_add(problem,
		        TEXT("; this root has no right to become another user (a container without CAP_SETGID "
		             "and CAP_SETUID?): leave `user` out and start as that user"));
		return ERR_DENIED;
	}
	if (setresgid(p->gid, p->gid, p->gid) != 0)
		return failed(problem, "setresgid");
	if (setresuid(p->uid, p->uid, p->uid) != 0)
		return failed(problem, "setresuid");
	return check_no_way_back(p, problem);
}

enum err privilege_drop(const struct privilege *p, struct buf *problem)
{
	enum err err = p->drops ? become(p, problem) : ERR_OK;

	if (!err && !p->stays_root)
		err = drop_capabilities(problem);
	if (!err && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		err = failed(problem, "no_new_privs");
	return err;
}
