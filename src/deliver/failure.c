#include "failure.h"

#include <assert.h>

static unsigned weigh(const struct deliver_result *r)
{
	if (r->lacking)
		return 60;
	if (r->from_peer)
		return 50;
	switch (r->reason) {
	case REASON_TLS:
	case REASON_TLS_POLICY:
		return 40;
	case REASON_AUTH:
		return 38;
	case REASON_PROTOCOL:
		return 35;
	case REASON_TIMEOUT:
		return 30;
	case REASON_CONNECT:
		return r->stage == STAGE_CONNECT ? 20 : 25;
	case REASON_POLICY:
	case REASON_NO_MX:
		return 5;
	default:
		return 10;
	}
}

static struct text keep(char *at, size_t room, struct text t)
{
	t = text_head(t, room);
	memcpy(at, t.at, t.len);
	return text_of(at, t.len);
}

void failure_note(struct failure *f, const struct deliver_result *result)
{
	unsigned weight = weigh(result);

	f->healing |= result->kind != DELIVER_PERMANENT;
	if (f->is_set && weight <= f->weight)
		return;
	f->is_set = true;
	f->weight = weight;
	f->result = *result;
	f->result.enhanced = keep(f->enhanced, sizeof(f->enhanced), result->enhanced);
	f->result.reply = keep(f->reply, sizeof(f->reply), result->reply);
}

const struct deliver_result *failure_result(struct failure *f)
{
	assert(f->is_set && f->result.enhanced.len > 0);
	if (f->healing) {
		f->result.kind = DELIVER_TRANSIENT;
		f->enhanced[0] = '4';
	}
	return &f->result;
}
