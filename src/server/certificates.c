/* Certificates, keys and CAs take effect as soon as their files change.
 *
 * Once a second a job of the disk lane looks at all files; links are followed, so that a file put in the place of another
 * and a directory of links that is switched as a whole are changes like any other. What has changed is read when two looks
 * in a row found the same: a certificate and its key are seldom written in one moment. What cannot be used leaves the
 * listener as it was, and is said once. */
#include "certificates.h"

#include <postrider/base/time.h>
#include <postrider/io/lane.h>

#include "internal.h"

#define LOOK_MS SECOND_MS
#define SETTLE_MS 200
#define WARN_BEFORE_MS (14 * DAY_MS)
#define WARN_EVERY_MS DAY_MS
#define WORDS_MAX (4u << 10)

struct file {
	char *path;
	struct auth_file_mark seen, now; /* zeros: it is not there */
};

/* One listener with TLS. */
struct set {
	const struct config_listener *listener; /* of the watch's configuration */
	struct file *files;
	size_t file_count;
	struct tls_context *context; /* in use; for its facts */
	uint32_t crc;                /* of what it was made from */
	bool wanted;                 /* to be read by the next job */
	struct tls_files read;
};

/* What one configuration has us watch. Goes with the next one, or when the job that still works on it has ended. */
struct watch {
	struct server *server;
	const struct config *config;
	struct set *sets;
	size_t set_count;
	struct io_timer timer;
	struct io_job job;
	bool job_runs, is_over;
	int64_t warned_at;
};

/* A context that may come into use. */
struct note {
	struct list link;
	const struct config_listener *listener;
	uint32_t crc;
	struct tls_context *context;
};

struct certificates {
	struct server *server;
	struct list notes;
	struct watch *watch; /* NULL: no listener has TLS */
};

static void look_later(struct watch *w, int64_t ms);

/* ---------------------------------------------------------------- words */

static void add_serial(struct buf *b, const struct tls_certificate_facts *f)
{
	buf_add_format(b, "certificate for %.*s, serial %.*s, ", f->name.len ? (int)f->name.len : 9,
	               f->name.len ? f->name.at : "no name", TEXT_ARGS(f->serial));
}

static void say(struct server *s, enum event_kind kind, enum event_level level,
                const struct config_listener *l, const struct tls_certificate_facts *f,
                const struct buf *words)
{
	struct event event = EVENT(kind);

	event.level = level;
	event.client_listener = l->name;
	event.detail = buf_text(words);
	if (f) {
		event.serial = f->serial;
		event.not_after_time = f->not_after_time;
	}
	observe_emit(s->observe, &event);
}

static void say_new(struct server *s, const struct config_listener *l, const struct tls_context *context)
{
	struct tls_certificate_facts f;

	for (size_t i = 0; tls_context_certificate(context, i, &f); i++) {
		struct buf words = BUF(WORDS_MAX);

		buf_add_format(&words, "%.*s: ", TEXT_ARGS(l->name));
		add_serial(&words, &f);
		buf_add_string(&words, "is in use and valid until ");
		time_add_rfc5322(&words, f.not_after_time);
		say(s, EVENT_CERTIFICATE, LEVEL_INFO, l, &f, &words);
		buf_fini(&words);
	}
}

static void say_end_is_near(struct server *s, const struct config_listener *l,
                            const struct tls_certificate_facts *f, int64_t left_ms)
{
	struct buf words = BUF(WORDS_MAX);

	buf_add_format(&words, "%.*s: ", TEXT_ARGS(l->name));
	add_serial(&words, f);
	buf_add_string(&words, left_ms < 0 ? "ended " : "ends in ");
	time_add_duration(&words, left_ms < 0 ? -left_ms : left_ms);
	buf_add_string(&words, left_ms < 0 ? " ago: clients that check it refuse; put a new one in its file"
	                                   : "; put a new one in its file, it is used at once");
	say(s, EVENT_WARNING, LEVEL_WARN, l, f, &words);
	buf_fini(&words);
}

static void warn_of_ends(struct watch *w)
{
	int64_t now = io_now_time(w->server->io);
	struct tls_certificate_facts f;

	for (size_t i = 0; i < w->set_count; i++) {
		for (size_t n = 0; tls_context_certificate(w->sets[i].context, n, &f); n++) {
			if (f.not_after_time - now < WARN_BEFORE_MS)
				say_end_is_near(w->server, w->sets[i].listener, &f, f.not_after_time - now);
		}
	}
	w->warned_at = io_now_at(w->server->io);
}

static void note_first_end(void *owner, struct text listener, const struct tls_certificate_facts *f)
{
	uint64_t *first = owner, end = f->not_after_time > 0 ? (uint64_t)(f->not_after_time / SECOND_MS) : 1;

	(void)listener;
	if (*first == 0 || end < *first)
		*first = end;
}

static void count_first_end(struct certificates *c)
{
	uint64_t first = 0;

	certificates_each(c, note_first_end, &first);
	observe_counters(c->server->observe)->tls_certificate_end = first;
}

/* ---------------------------------------------------------------- taking new ones into use */

static void keep_old(struct watch *w, struct set *set, struct buf *problem)
{
	if (!problem->len)
		buf_add_string(problem, err_text(ERR_NOMEM));
	buf_add_string(problem, "; the certificates read before stay in use, and the files are watched on");
	say(w->server, EVENT_RELOAD_FAILED, LEVEL_ERROR, set->listener, NULL, problem);
}

static void take(struct watch *w, struct set *set)
{
	struct buf problem = BUF(WORDS_MAX);
	struct tls_context *context = NULL;
	enum err err = set->read.err;

	if (err)
		buf_add(&problem, buf_text(&set->read.problem));
	else if (set->read.crc == set->crc)
		return; /* touched, and as before */
	else
		err = tls_files_context(&set->read, w->server->io, set->listener, &context, &problem);
	if (!err)
		err = receive_set_tls(w->server->receive, set->listener->name, context);
	if (err) {
		keep_old(w, set, &problem);
	} else {
		set->crc = set->read.crc;
		tls_context_unref(&set->context);
		set->context = tls_context_ref(context);
		say_new(w->server, set->listener, context);
		count_first_end(w->server->certificates);
	}
	tls_context_unref(&context);
	buf_fini(&problem);
}

/* ---------------------------------------------------------------- looking */

static void watch_free(struct watch *w)
{
	for (size_t i = 0; i < w->set_count; i++) {
		struct set *set = &w->sets[i];

		for (size_t n = 0; n < set->file_count; n++)
			free(set->files[n].path);
		free(set->files);
		tls_context_unref(&set->context);
		tls_files_free(&set->read);
	}
	free(w->sets);
	config_unref(&w->config);
	free(w);
}

static void watch_end(struct watch **slot)
{
	struct watch *w = TAKE(*slot);

	if (!w)
		return;
	io_timer_stop(w->server->io, &w->timer);
	w->is_over = true;
	if (!w->job_runs)
		watch_free(w);
}

static struct auth_file_mark mark_of(const char *path)
{
	struct auth_file_mark mark = { 0 };

	if (server_mark_file(NULL, text_from(path), &mark))
		return (struct auth_file_mark){ 0 };
	return mark;
}

static bool same(const struct auth_file_mark *a, const struct auth_file_mark *b)
{
	return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes &&
	       a->changed_ns == b->changed_ns && a->mode == b->mode && a->uid == b->uid;
}

/* In the disk lane. Reads what was found changed before, if it is still what it was then. */
static void run_look(struct io_job *job)
{
	struct watch *w = CONTAINER_OF(job, struct watch, job);

	for (size_t i = 0; i < w->set_count; i++) {
		struct set *set = &w->sets[i];

		for (size_t n = 0; n < set->file_count; n++) {
			struct auth_file_mark now = mark_of(set->files[n].path);

			set->wanted &= same(&now, &set->files[n].now);
			set->files[n].now = now;
		}
		if (set->wanted)
			tls_files_read(&set->read, set->listener);
	}
}

static bool differs(const struct set *set)
{
	for (size_t n = 0; n < set->file_count; n++) {
		if (!same(&set->files[n].now, &set->files[n].seen))
			return true;
	}
	return false;
}

static void on_looked(struct io_job *job)
{
	struct watch *w = CONTAINER_OF(job, struct watch, job);
	bool settles = false;

	w->job_runs = false;
	if (w->is_over) {
		watch_free(w);
		return;
	}
	for (size_t i = 0; i < w->set_count; i++) {
		struct set *set = &w->sets[i];

		if (set->wanted) {
			take(w, set);
			tls_files_free(&set->read);
			for (size_t n = 0; n < set->file_count; n++)
				set->files[n].seen = set->files[n].now;
		}
		set->wanted = !set->wanted && differs(set);
		settles |= set->wanted;
	}
	look_later(w, settles ? SETTLE_MS : LOOK_MS);
}

static void look(void *owner)
{
	struct watch *w = owner;

	if (io_now_at(w->server->io) - w->warned_at >= WARN_EVERY_MS)
		warn_of_ends(w);
	w->job_runs = true;
	w->job = (struct io_job){ .run = run_look, .done = on_looked };
	io_job_submit(w->server->io, IO_LANE_DISK, &w->job);
}

static void look_later(struct watch *w, int64_t ms)
{
	static const char words[] = "out of memory: the files of certificates are no longer watched";
	struct event event = EVENT(EVENT_WARNING);

	if (io_timer_start(w->server->io, &w->timer, io_now_at(w->server->io) + ms, look, w) == ERR_OK)
		return;
	event.level = LEVEL_WARN;
	event.detail = TEXT(words);
	observe_emit(w->server->observe, &event);
}

/* ---------------------------------------------------------------- what a configuration has us watch */

static enum err set_init(struct set *set, const struct note *n)
{
	size_t count = 0;

	while (server_tls_file(n->listener, count).len > 0)
		count++;
	*set = (struct set){ .listener = n->listener,
		             .crc = n->crc,
		             .context = tls_context_ref(n->context),
		             .files = calloc(count, sizeof(*set->files)) };
	while (set->files && set->file_count < count) {
		struct file *file = &set->files[set->file_count++];

		file->path = text_dup(server_tls_file(n->listener, set->file_count - 1));
		if (!file->path)
			return ERR_NOMEM;
	}
	return set->files ? ERR_OK : ERR_NOMEM;
}

static enum err watch_new(struct certificates *c, const struct config *config, struct watch **out)
{
	struct watch *w = calloc(1, sizeof(*w));
	size_t count = 0;
	enum err err = ERR_OK;

	if (!w)
		return ERR_NOMEM;
	for (LIST_EACH(it, &c->notes))
		count++;
	w->server = c->server;
	w->config = config_ref(config);
	w->sets = calloc(count, sizeof(*w->sets));
	if (!w->sets)
		err = ERR_NOMEM;
	for (LIST_EACH(it, &c->notes)) {
		if (!err)
			err = set_init(&w->sets[w->set_count++], LIST_ITEM(it, struct note, link));
	}
	if (err)
		watch_free(w);
	else
		*out = w;
	return err;
}

static bool was_in_use(const struct watch *old, const struct note *n)
{
	for (size_t i = 0; old && i < old->set_count; i++) {
		if (old->sets[i].crc == n->crc && text_eq(old->sets[i].listener->name, n->listener->name))
			return true;
	}
	return false;
}

enum err certificates_adopt(struct certificates *c, const struct config *config)
{
	struct watch *w = NULL;
	enum err err = list_is_empty(&c->notes) ? ERR_OK : watch_new(c, config, &w);

	for (LIST_EACH(it, &c->notes)) {
		struct note *n = LIST_ITEM(it, struct note, link);

		if (!was_in_use(c->watch, n))
			say_new(c->server, n->listener, n->context);
	}
	certificates_forget(c);
	watch_end(&c->watch);
	c->watch = w;
	if (w) {
		warn_of_ends(w);
		look_later(w, LOOK_MS);
	}
	count_first_end(c);
	return err;
}

/* Without memory for it the listener has its TLS all the same, and its files are not watched. */
void certificates_note(struct certificates *c, const struct config_listener *l, uint32_t crc,
                       struct tls_context *context)
{
	struct note *n = calloc(1, sizeof(*n));

	if (!n)
		return;
	*n = (struct note){ .listener = l, .crc = crc, .context = tls_context_ref(context) };
	list_append(&c->notes, &n->link);
}

void certificates_forget(struct certificates *c)
{
	struct list *link;

	while ((link = list_shift(&c->notes))) {
		struct note *n = LIST_ITEM(link, struct note, link);

		tls_context_unref(&n->context);
		free(n);
	}
}

/* ---------------------------------------------------------------- life */

enum err certificates_new(struct server *s, struct certificates **out)
{
	struct certificates *c = calloc(1, sizeof(*c));

	if (!c)
		return ERR_NOMEM;
	c->server = s;
	list_init(&c->notes);
	*out = c;
	return ERR_OK;
}

void certificates_free(struct certificates **slot)
{
	struct certificates *c = TAKE(*slot);

	if (!c)
		return;
	certificates_forget(c);
	watch_end(&c->watch);
	free(c);
}

void certificates_each(const struct certificates *c, certificate_fn *each, void *owner)
{
	struct tls_certificate_facts f;

	for (size_t i = 0; c->watch && i < c->watch->set_count; i++) {
		for (size_t n = 0; tls_context_certificate(c->watch->sets[i].context, n, &f); n++)
			each(owner, c->watch->sets[i].listener->name, &f);
	}
}
