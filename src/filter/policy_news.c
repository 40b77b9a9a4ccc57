#include "policy_internal.h"

#include <postrider/observe/observe.h>

#define SAY_AGAIN_MS MINUTE_MS

static void say(struct policy_service *s, enum event_level level, const char *words, struct text more)
{
	AUTO(buf_fini) struct buf detail = BUF(1024);
	struct event event = EVENT(EVENT_WARNING);

	if (!s->observe)
		return;
	buf_add_format(&detail, "the policy service at %.*s %s", TEXT_ARGS(buf_text(&s->name)), words);
	buf_add(&detail, more);
	event.level = level;
	event.rule = TEXT("access.policy_service");
	event.detail = buf_text(&detail);
	observe_emit(s->observe, &event);
}

void policy_say_down(struct policy_service *s, const char *problem)
{
	AUTO(buf_fini) struct buf more = BUF(512);

	buf_add_format(
		&more, "%s; until it is back %s (access.policy_service.on_error). Look whether it runs.",
		problem, s->accept_on_error ? "nothing is refused for it" : "recipients are answered 451");
	say(s, LEVEL_ERROR, "is down: it ", buf_text(&more));
}

void policy_say_up(struct policy_service *s)
{
	say(s, LEVEL_INFO, "is back", TEXT_EMPTY);
}

void policy_complain(struct policy_service *s, struct text problem)
{
	int64_t now_at = io_now_at(s->io);

	if (s->has_complained && now_at - s->complained_at < SAY_AGAIN_MS)
		return;
	s->has_complained = true;
	s->complained_at = now_at;
	say(s, LEVEL_WARN, "is not understood: ", problem);
}
