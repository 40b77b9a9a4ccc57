/* The process: descriptors, signals, the log on standard output, and the loop around the rooms. */
#include <postrider/io/outlet.h>
#include <postrider/io/uv.h>
#include <postrider/server.h>

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "commands.h"
#include "rights.h"

#define EXIT_CONFIG 78
#define DISK_THREADS 16 /* syncs of large bodies at once: docs/performance.md */
#define OWN_ADDRESSES_MAX 256
#define SECOND_STOP_MS 500
#define LOG_FLUSH_MS 2000

struct process {
	const struct server_main_options *options;
	struct io *io;
	struct server *server;
	struct observe *observe;
	struct io_outlet *outlet;
	struct observe_consumer to_log;
	struct io_timer last_resort, alive;
	struct rights rights;
	struct commands *commands;
	struct notify notify;
	bool stopping, is_confined;
	int code;
};

static void print(const struct buf *b)
{
	fwrite(b->at ? b->at : "", 1, b->len, stderr);
	fflush(stderr);
}

static void complain(const char *what, const struct buf *problem)
{
	fprintf(stderr, "postrider: %s%s%.*s\n", what, problem && problem->len ? ": " : "",
	        problem ? (int)problem->len : 0, problem && problem->at ? problem->at : "");
}

/* ---------------------------------------------------------------- log */

static void on_gap(void *owner, uint64_t lost, struct buf *line)
{
	struct process *p = owner;
	struct event event = EVENT(EVENT_WARNING);

	event.level = LEVEL_WARN;
	event.dropped = (int64_t)lost;
	event.detail = TEXT("whoever reads the log did not keep up");
	observe_add_line(p->observe, &event, line);
}

static void to_log(void *owner, const struct event *e, int64_t time_us, struct text line)
{
	struct process *p = owner;

	(void)e;
	(void)time_us;
	io_outlet_put(p->outlet, line); /* what does not fit is counted there */
}

static enum event_level least_level(const struct config *config)
{
	switch (config->log.level) {
	case CONFIG_LOG_DEBUG:
		return LEVEL_DEBUG;
	case CONFIG_LOG_INFO:
		return LEVEL_INFO;
	case CONFIG_LOG_WARN:
		return LEVEL_WARN;
	case CONFIG_LOG_ERROR:
		break;
	}
	return LEVEL_ERROR;
}

static int64_t clock_us(void *clock)
{
	return io_now_time_us(clock);
}

static enum err open_log(struct process *p, const struct config *config)
{
	enum err err =
		observe_new(&(struct observe_options){ config->hostname, clock_us, p->io }, &p->observe);

	if (!err)
		err = io_outlet_new(&(struct io_outlet_options){ .descriptor = p->options->log_descriptor,
		                                                 .on_gap = on_gap,
		                                                 .owner = p },
		                    &p->outlet);
	if (err)
		return err;
	p->to_log = (struct observe_consumer){ .least = least_level(config), .fn = to_log, .owner = p };
	observe_add_consumer(p->observe, &p->to_log);
	return ERR_OK;
}

/* ---------------------------------------------------------------- configuration */

/* In the place of the system's CAs, as with most programs: a file of SSL_CERT_FILE. Empty: not said. */
static struct text ca_file(const char *const *environment)
{
	static const struct text name = LIT("SSL_CERT_FILE=");

	for (size_t i = 0; environment && environment[i]; i++)
		if (text_starts(text_from(environment[i]), name))
			return text_skip(text_from(environment[i]), name.len);
	return TEXT_EMPTY;
}

static enum err load(const struct process *p, struct reading *reading, const struct config **out,
                     struct buf *words)
{
	const struct config_sources sources =
		reading_begin(reading, p->options->sources, p->is_confined ? &p->rights.sandbox : NULL);
	struct config_report report;
	enum err err;

	config_report_init(&report);
	err = config_load(&sources, out, &report);
	config_report_print(&report, words);
	config_report_fini(&report);
	if (ca_file(sources.environment).len > 0)
		reading_add(reading, ca_file(sources.environment));
	return err;
}

static void say(struct process *p, enum event_kind kind, enum event_level level, struct text detail)
{
	struct event event = EVENT(kind);

	event.level = level;
	event.detail = detail;
	observe_emit(p->observe, &event);
}

/* What the sandbox closes is known before anything is changed. */
static enum err reload(struct process *p, struct reading *reading, const struct config *config,
                       struct buf *problem)
{
	enum err err = p->is_confined ? rights_check(&p->rights, config, reading, problem) : ERR_OK;

	if (err)
		say(p, EVENT_RELOAD_FAILED, LEVEL_ERROR, buf_text(problem));
	else
		err = server_reload(p->server, config,
		                    problem); /* what went wrong is in the event reload_failed */
	if (!err)
		p->to_log.least = least_level(config);
	return err;
}

static void on_hup(void *owner, int number)
{
	struct process *p = owner;
	const struct config *config = NULL;
	struct buf words = BUF(256u << 10), problem = BUF(16u << 10);
	struct reading reading;
	enum err err;

	(void)number;
	if (p->stopping)
		return;
	notify_say(&p->notify, "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reading the configuration",
	           (unsigned long long)io_clock_us(p->io));
	err = load(p, &reading, &config, &words);
	if (err)
		say(p, EVENT_RELOAD_FAILED, LEVEL_ERROR, buf_text(&words));
	else
		err = reload(p, &reading, config, &problem);
	notify_say(&p->notify, "READY=1\nSTATUS=%s",
	           err ? "ready, with the old configuration: the new one is wrong" : "ready");
	config_unref(&config);
	reading_fini(&reading);
	buf_fini(&words);
	buf_fini(&problem);
}

/* ---------------------------------------------------------------- stop */

static void on_stopped(void *owner)
{
	struct process *p = owner;

	io_timer_stop(p->io, &p->last_resort);
	io_uv_stop(p->io);
}

static void on_last_resort(void *owner)
{
	struct process *p = owner;

	complain("stopped at once; what was accepted is safe in the spool", NULL);
	io_uv_stop(p->io);
}

static void on_term(void *owner, int number)
{
	struct process *p = owner;
	bool again = p->stopping;

	(void)number;
	if (!again)
		notify_say(&p->notify, "STOPPING=1\nSTATUS=finishing what runs");
	p->stopping = true;
	server_stop(p->server, on_stopped, p);
	if (again &&
	    io_timer_start(p->io, &p->last_resort, io_now_at(p->io) + SECOND_STOP_MS, on_last_resort, p))
		io_uv_stop(p->io);
}

static enum err watch_signals(struct process *p)
{
	enum err err = io_uv_on_signal(p->io, SIGTERM, on_term, p);

	if (!err)
		err = io_uv_on_signal(p->io, SIGINT, on_term, p);
	if (!err)
		err = io_uv_on_signal(p->io, SIGHUP, on_hup, p);
	return err;
}

/* ---------------------------------------------------------------- start */

/* Descriptors are what sessions cost: take all that we may have. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			return; /* then with what there is */
	}
}

static enum err start(struct process *p, const struct config *config, struct buf *problem)
{
	struct ip own[OWN_ADDRESSES_MAX];
	struct server_options options = { .io = p->io,
		                          .disk = io_disk_real(),
		                          .config = config,
		                          .observe = p->observe,
		                          .max_descriptors = io_uv_max_descriptors(p->io),
		                          .use_system_files = true,
		                          .on_failed = on_stopped,
		                          .owner = p,
		                          .own = own,
		                          .own_count = io_uv_own_addresses(own, OWN_ADDRESSES_MAX),
		                          .has_folders = true,
		                          .find_socket = p->is_confined ? rights_find_socket : NULL,
		                          .socket_owner = &p->rights,
		                          .commands = commands_face(p->commands),
		                          .ca_file = ca_file(p->options->sources->environment),
		                          .has_admin = true,
		                          .uid = (uint32_t)geteuid(),
		                          .gid = (uint32_t)getegid(),
		                          .version = p->options->version,
		                          .commit = p->options->commit };

	return server_start(&options, &p->server, problem);
}

/* A sign of life, from the loop: when that hangs, none comes. */
static void on_alive(void *owner)
{
	struct process *p = owner;

	notify_say(&p->notify, "WATCHDOG=1");
	if (io_timer_start(p->io, &p->alive, io_now_at(p->io) + p->notify.watchdog_ms, on_alive, p))
		complain("out of memory: no sign of life goes to the service manager any more", NULL);
}

static void say_ready(struct process *p)
{
	notify_say(&p->notify, "READY=1\nSTATUS=ready");
	if (p->notify.watchdog_ms > 0)
		on_alive(p);
}

static int run(struct process *p, const struct config *config)
{
	struct buf problem = BUF(16u << 10);
	enum err err = open_log(p, config);

	if (!err)
		err = watch_signals(p);
	if (!err)
		err = commands_new(p->io, &p->rights.runner, &p->commands);
	if (!err)
		err = start(p, config, &problem);
	if (!err && p->is_confined)
		rights_say(&p->rights, config, p->observe);
	if (err) {
		if (!problem.len)
			buf_add_string(&problem, err_text(err));
		complain("cannot start", &problem);
		buf_fini(&problem);
		return 1;
	}
	buf_fini(&problem);
	say_ready(p);
	if (p->options->on_ready)
		p->options->on_ready(p->options->owner, p->server, p->io);
	io_uv_run(p->io);
	if (p->options->on_end)
		p->options->on_end(p->options->owner);
	return server_has_failed(p->server) ? 1 : 0;
}

/* Bodies come and go by tens of KiB. Given back to the system and asked for again each time, their page faults cost more
 * than all the rest: bench/queue, 100 KB a message, 90 us of CPU each, 35 with this. */
static void keep_freed_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	mallopt(M_TRIM_THRESHOLD, 8 << 20);
}

/* Before the loop and its threads are made: what is given away here is given away for all of them. */
static enum err confine(struct process *p, const struct config *config, const struct reading *reading)
{
	struct buf problem = BUF(16u << 10);
	enum err err = rights_settle(&p->rights, config, reading, p->options->sources->environment, &problem);

	if (err && !problem.len)
		buf_add_string(&problem, err_text(err));
	if (err)
		complain("cannot start", &problem);
	p->is_confined = true;
	buf_fini(&problem);
	return err;
}

/* What is left of it where nothing is given away. */
static enum err start_runner(struct process *p, const struct config *config)
{
	struct buf problem = BUF(16u << 10);
	enum err err = runner_start(config, p->options->sources->environment, RUNNER_TIME_MS,
	                           &p->rights.runner, &problem);

	if (err)
		complain("cannot start", &problem);
	buf_fini(&problem);
	return err;
}

static enum err prepare(struct process *p, const struct config **config)
{
	struct buf words = BUF(256u << 10);
	struct reading reading;
	enum err err = load(p, &reading, config, &words);

	print(&words);
	buf_fini(&words);
	if (!err) {
		raise_descriptor_limit();
		keep_freed_memory();
		notify_open(&p->notify, p->options->sources->environment, getpid());
	}
	if (!err && (p->options->is_open ? start_runner(p, *config) : confine(p, *config, &reading)))
		err = ERR_DENIED;
	reading_fini(&reading);
	return err;
}

int server_main(const struct server_main_options *options)
{
	struct process p = { .options = options, .notify = { .fd = -1 }, .rights = { .runner = { .fd = -1 } } };
	const struct config *config = NULL;
	enum err err = prepare(&p, &config);
	int code = EXIT_CONFIG;

	if (err) {
		rights_fini(&p.rights);
		notify_close(&p.notify);
		config_unref(&config);
		return err == ERR_CONFIG ? EXIT_CONFIG : 1;
	}
	err = io_uv_new(&(struct io_uv_options){ .disk_threads = DISK_THREADS }, &p.io);
	if (err) {
		complain(err_text(err), NULL);
		code = 1;
	} else {
		code = run(&p, config);
	}
	server_free(&p.server);
	if (p.observe)
		observe_remove_consumer(&p.to_log);
	if (p.outlet)
		io_outlet_free(&p.outlet, LOG_FLUSH_MS);
	observe_free(&p.observe);
	commands_free(&p.commands);
	if (p.io)
		io_uv_free(&p.io);
	rights_fini(&p.rights);
	notify_close(&p.notify);
	config_unref(&config);
	return code;
}
