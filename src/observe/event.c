#include <postrider/observe/event.h>

static const struct text kinds[EVENT_COUNT] = {
	[EVENT_RECEIVED] = LIT("received"),
	[EVENT_REJECTED] = LIT("rejected"),
	[EVENT_ATTEMPT] = LIT("attempt"),
	[EVENT_DELIVERED] = LIT("delivered"),
	[EVENT_DEFERRED] = LIT("deferred"),
	[EVENT_BOUNCED] = LIT("bounced"),
	[EVENT_EXPIRED] = LIT("expired"),
	[EVENT_HELD] = LIT("held"),
	[EVENT_RELEASED] = LIT("released"),
	[EVENT_DROPPED] = LIT("dropped"),
	[EVENT_REROUTED] = LIT("rerouted"),
	[EVENT_DRAINED] = LIT("drained"),
	[EVENT_AUTH] = LIT("auth"),
	[EVENT_STARTED] = LIT("started"),
	[EVENT_READY] = LIT("ready"),
	[EVENT_RELOADED] = LIT("reloaded"),
	[EVENT_RELOAD_FAILED] = LIT("reload_failed"),
	[EVENT_PAUSED] = LIT("paused"),
	[EVENT_RESUMED] = LIT("resumed"),
	[EVENT_UPSTREAM_DOWN] = LIT("upstream_down"),
	[EVENT_UPSTREAM_UP] = LIT("upstream_up"),
	[EVENT_CERTIFICATE] = LIT("certificate"),
	[EVENT_SPOOL_FULL] = LIT("spool_full"),
	[EVENT_STOPPING] = LIT("stopping"),
	[EVENT_STOPPED] = LIT("stopped"),
	[EVENT_WARNING] = LIT("warning"),
	[EVENT_ERROR] = LIT("error"),
};

static const struct text levels[] = {
	[LEVEL_DEBUG] = LIT("debug"),
	[LEVEL_INFO] = LIT("info"),
	[LEVEL_WARN] = LIT("warn"),
	[LEVEL_ERROR] = LIT("error"),
};

struct text event_kind_text(enum event_kind kind)
{
	return (unsigned)kind < EVENT_COUNT ? kinds[kind] : TEXT_EMPTY;
}

struct text event_proof_text(enum event_proof proof)
{
	static const struct text words[] = { [EVENT_PROOF_UNSAID] = LIT(""),
		                             [EVENT_PROOF_NONE] = LIT("none"),
		                             [EVENT_PROOF_CA] = LIT("ca"),
		                             [EVENT_PROOF_PIN] = LIT("pin"),
		                             [EVENT_PROOF_DANE] = LIT("dane"),
		                             [EVENT_PROOF_MTA_STS] = LIT("mta-sts") };

	return (unsigned)proof < EVENT_PROOF_COUNT ? words[proof] : TEXT_EMPTY;
}

struct text event_level_text(enum event_level level)
{
	return (unsigned)level <= LEVEL_ERROR ? levels[level] : TEXT_EMPTY;
}
