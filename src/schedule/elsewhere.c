/* A rule says that another host shall be asked within the same attempt: those recipients wait until the job is done, and go on
 * then, past the hosts that turned them away. What the last of these said counts when no other is left. */
#include "internal.h"

struct turned_away {
	struct deliver_result result;
	struct arena arena;
};

void elsewhere_forget(struct task *t)
{
	if (t->turned_away)
		arena_fini(&t->turned_away->arena);
	free(t->turned_away);
	free(t->is_elsewhere);
	t->turned_away = NULL;
	t->is_elsewhere = NULL;
	t->elsewhere_count = 0;
	t->except = t->needs.except = (struct deliver_except){ .count = 0 };
}

static bool keep_result(struct task *t, const struct deliver_result *r)
{
	struct turned_away *kept = t->turned_away ? t->turned_away : calloc(1, sizeof(*kept));

	if (!kept)
		return false;
	if (!t->turned_away)
		arena_init(&kept->arena, 8192);
	t->turned_away = kept;
	arena_reset(&kept->arena);
	kept->result = *r;
	kept->result.tls = (struct event_tls){ .version = TEXT_EMPTY, .cipher = TEXT_EMPTY };
	return !arena_text(&kept->arena, r->enhanced, &kept->result.enhanced) &&
	       !arena_text(&kept->arena, text_head(r->reply, 1000), &kept->result.reply) &&
	       !arena_text(&kept->arena, r->mx, &kept->result.mx);
}

static bool knows(const struct deliver_except *except, struct ip_port at)
{
	for (unsigned i = 0; i < except->count; i++)
		if (ip_eq(except->at[i].ip, at.ip) && except->at[i].port == at.port)
			return true;
	return false;
}

bool elsewhere_put(struct task *t, size_t index, const struct deliver_result *r)
{
	bool is_new = !knows(&t->except, r->remote);

	/* whose client waits for one answer is told this one */
	if (task_is_through(t) || r->remote.ip.family == IP_NONE ||
	    (is_new && t->except.count == ARRAY_LEN(t->except.at)))
		return false;
	if (!t->is_elsewhere)
		t->is_elsewhere = calloc(t->job.recipient_count, sizeof(*t->is_elsewhere));
	if (!t->is_elsewhere || !keep_result(t, r))
		return false;
	if (is_new)
		t->except.at[t->except.count++] = r->remote;
	t->is_elsewhere[index] = true;
	t->elsewhere_count++;
	return true;
}

/* Those that are decided first, in their order; the others behind them are the next to be tried. */
bool elsewhere_done(struct task *t)
{
	struct queue_recipient *all = t->work->recipients + t->job_first;
	size_t count = t->job.recipient_count, undecided = t->elsewhere_count;
	struct queue_recipient *sorted;

	if (!undecided)
		return false;
	sorted = calloc(count, sizeof(*sorted));
	t->next = t->job_first + count - undecided;
	for (size_t i = 0, decided = 0, left = 0; sorted && i < count; i++)
		sorted[t->is_elsewhere[i] ? count - undecided + left++ : decided++] = all[i];
	if (sorted)
		memcpy(all, sorted, count * sizeof(*sorted));
	free(sorted);
	free(t->is_elsewhere);
	t->is_elsewhere = NULL;
	t->elsewhere_count = 0;
	t->needs.except = t->except;
	return sorted != NULL || count == undecided;
}

const struct deliver_result *elsewhere_result(const struct task *t)
{
	return t->turned_away ? &t->turned_away->result : NULL;
}
