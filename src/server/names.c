/* Where names are looked up: the configuration's servers and hosts, else the system's. */
#include "internal.h"

#define SYSTEM_FILE_MAX (4u << 20)
#define HOSTS_MAX 100000
#define ANSWER_TRIES 3

struct names {
	struct arena arena;
	struct ip_port servers[SERVER_NAMES_MAX];
	size_t server_count;
	struct dns_static *statics;
	size_t static_count, static_room;
	enum err err;
};

static void add_static(struct names *n, struct text name, const struct ip *addresses, size_t count)
{
	struct dns_static *s;
	struct ip *copy;

	if (n->static_count == n->static_room) {
		size_t room = n->static_room ? n->static_room * 2 : 16;
		struct dns_static *more = realloc(n->statics, room * sizeof(*more));

		if (!more) {
			n->err = ERR_NOMEM;
			return;
		}
		n->statics = more;
		n->static_room = room;
	}
	s = &n->statics[n->static_count];
	copy = arena_alloc(&n->arena, count * sizeof(*copy));
	if (!copy || arena_text(&n->arena, name, &s->name)) {
		n->err = ERR_NOMEM;
		return;
	}
	memcpy(copy, addresses, count * sizeof(*copy));
	s->addresses = copy;
	s->address_count = count;
	n->static_count++;
}

static void on_host(void *owner, struct text name, struct ip ip)
{
	struct names *n = owner;

	if (n->static_count < HOSTS_MAX)
		add_static(n, name, &ip, 1);
}

enum err server_try_file(const char *path)
{
	struct config_sources sources = { 0 };
	struct buf content = BUF(SYSTEM_FILE_MAX);
	char name[256];

	server_use_system(&sources, name);
	enum err err = sources.read_file(sources.owner, text_from(path), &content, NULL, NULL);

	buf_fini(&content);
	return err;
}

static void read_system_file(const char *path, struct buf *out)
{
	struct config_sources sources = { 0 };
	char name[256];

	server_use_system(&sources, name);
	if (sources.read_file(sources.owner, text_from(path), out, NULL, NULL))
		buf_reset(out); /* a container may have neither */
}

static void find_servers(struct server *s, const struct config *config, struct names *n)
{
	struct buf file = BUF(SYSTEM_FILE_MAX);

	for (size_t i = 0; i < config->dns.servers.count && n->server_count < SERVER_NAMES_MAX; i++)
		n->servers[n->server_count++] = (struct ip_port){ config->dns.servers.items[i].ip,
			                                          config->dns.servers.items[i].port };
	for (size_t i = 0;
	     n->server_count < SERVER_NAMES_MAX && !config->dns.servers.count && i < s->options.name_server_count;
	     i++)
		n->servers[n->server_count++] = s->options.name_servers[i];
	if (n->server_count == 0 && s->options.use_system_files) {
		read_system_file("/etc/resolv.conf", &file);
		if (dns_parse_resolv_conf(buf_text(&file), n->servers, SERVER_NAMES_MAX, &n->server_count))
			n->server_count = 0;
	}
	if (n->server_count == 0) /* what resolv.conf(5) says of an empty file */
		n->servers[n->server_count++] = (struct ip_port){ ip_from_v4(0x7f000001), 53 };
	buf_fini(&file);
}

static void find_hosts(struct server *s, const struct config *config, struct names *n)
{
	struct buf file = BUF(SYSTEM_FILE_MAX);

	for (size_t i = 0; i < config->dns.hosts.count; i++)
		add_static(n, config->dns.hosts.items[i].name, config->dns.hosts.items[i].addresses.items,
		           config->dns.hosts.items[i].addresses.count);
	if (s->options.use_system_files) {
		read_system_file("/etc/hosts", &file);
		dns_parse_hosts(buf_text(&file), on_host, n);
	}
	buf_fini(&file);
}

static enum dns_trust trust_of(enum config_trust_ad trust_ad)
{
	switch (trust_ad) {
	case CONFIG_TRUST_YES:
		return DNS_TRUST_ALL;
	case CONFIG_TRUST_NO:
		return DNS_TRUST_NONE;
	case CONFIG_TRUST_AUTO:
		break;
	}
	return DNS_TRUST_LOOPBACK;
}

enum err server_names(struct server *s, const struct config *config)
{
	struct names n = { 0 };
	struct dns_options options;
	enum err err;

	arena_init(&n.arena, 64u << 20);
	find_servers(s, config, &n);
	find_hosts(s, config, &n);
	options = (struct dns_options){ .io = s->io,
		                        .servers = n.servers,
		                        .server_count = n.server_count,
		                        /* a resolver that begins with a cold cache may take longer than anybody
		                         * likes to wait; what it finds out in the end still counts */
		                        .timeout_ms = ANSWER_TRIES * config->dns.timeout_ms,
		                        .trust = trust_of(config->dns.trust_ad),
		                        .statics = n.statics,
		                        .static_count = n.static_count };
	err = n.err;
	if (!err)
		err = s->dns ? dns_configure(s->dns, &options) : dns_new(&options, &s->dns);
	if (!err) {
		memcpy(s->name_servers, n.servers, sizeof(n.servers));
		s->name_server_count = n.server_count;
	}
	free(n.statics);
	arena_fini(&n.arena);
	return err;
}
