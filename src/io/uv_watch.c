/* Hints of changes in directories: inotify, by way of libuv. */
#include "uv_world.h"

#include <stdlib.h>

struct uv_watch {
	struct io_watch base;
	struct list link;
	uv_fs_event_t event;
};

static void on_event(uv_fs_event_t *event, const char *name, int events, int status)
{
	struct uv_watch *w = event->data;

	(void)name;
	(void)events;
	(void)status; /* whatever it was: looking will show */
	w->base.on_change(w->base.owner);
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void uv_world_watch_close(struct io_watch *base)
{
	struct uv_watch *w = CONTAINER_OF(base, struct uv_watch, base);

	list_remove(&w->link);
	uv_close((uv_handle_t *)&w->event, on_closed);
}

void uv_world_close_watches(struct uv_world *world)
{
	for (LIST_EACH_SAFE(it, &world->watches))
		uv_world_watch_close(&LIST_ITEM(it, struct uv_watch, link)->base);
}

enum err uv_world_watch_open(struct io *io, const char *path, struct io_watch **out)
{
	struct uv_world *world = world_of(io);

	if (world->ending)
		return ERR_CANCELLED;
	struct uv_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return ERR_NOMEM;
	int status = uv_fs_event_init(&world->loop, &w->event);

	if (status) {
		free(w);
		return err_from_uv(status);
	}
	w->base.io = io;
	w->event.data = w;
	list_append(&world->watches, &w->link);
	status = uv_fs_event_start(&w->event, on_event, path, 0);
	if (status) {
		uv_world_watch_close(&w->base);
		return err_from_uv(status);
	}
	*out = &w->base;
	return ERR_OK;
}
