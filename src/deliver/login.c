#include "login.h"

#include <postrider/base/auto.h>

#define WORDS_MAX 1024

void login_init(struct login *l, struct deliver *d, const struct config_way *way)
{
	*l = (struct login){ .d = d, .way = way };
	l->session.login = way->upstream ? way->login : NULL;
	l->session.has_certificate = way->upstream && way->upstream->cert.len;
	if (l->session.login)
		l->session.passed = logins_passed(&d->logins, way);
}

void login_drop_question(struct login *l)
{
	if (!l->d)
		return;
	auth_tokens_cancel(&l->token);
	io_timer_stop(l->d->o.io, &l->patience);
	io_later_cancel(l->d->o.io, &l->later);
	l->on_permit = NULL;
}

void login_fini(struct login *l)
{
	if (!l->d)
		return;
	login_drop_question(l);
	logins_leave(&l->d->logins, &l->seat, io_now_at(l->d->o.io));
}

static void say_refusal(const struct login *l, const struct login_refusal *refusal, struct buf *words)
{
	struct io *io = l->d->o.io;
	int64_t until_time = io_now_time(io) + refusal->until_at - io_now_at(io);

	buf_add(words, refusal->words);
	buf_add_string(words, " - the login failed and is not tried again before ");
	time_add_rfc3339(words, until_time * 1000);
}

static bool is_refused(const struct login *l, struct login_refusal *out, struct buf *words)
{
	if (!l->session.login || !logins_refusal(&l->d->logins, l->way, io_now_at(l->d->o.io), out))
		return false;
	say_refusal(l, out, words);
	return true;
}

bool login_is_shut_out(const struct login *l, struct deliver_result *r, struct buf *words)
{
	struct login_refusal refusal;

	if (!is_refused(l, &refusal, words))
		return false;
	*r = (struct deliver_result){ .kind = DELIVER_TRANSIENT,
		                      .reason = REASON_AUTH,
		                      .stage = STAGE_AUTH,
		                      .code = refusal.code,
		                      .enhanced = text_from(refusal.enhanced),
		                      .reply = buf_text(words),
		                      .login_user = l->session.login->shown_name,
		                      .ms = EVENT_MS_NONE };
	return true;
}

void login_defer(const struct login *l, struct deliver_result *r, char room[REPLY_ENHANCED_MAX])
{
	struct text enhanced = text_head(r->enhanced, REPLY_ENHANCED_MAX);

	if (!l->way->upstream || r->reason != REASON_AUTH || r->kind != DELIVER_PERMANENT)
		return;
	memcpy(room, enhanced.at, enhanced.len);
	room[0] = '4';
	r->enhanced = text_of(room, enhanced.len);
	r->kind = DELIVER_TRANSIENT;
}

void login_at_host(struct login *l, struct text host, uint16_t port)
{
	if (!l->session.login || (text_eq(l->session.host, host) && l->session.port == port))
		return;
	if (l->session.host.len)
		l->session.passed = 0;
	l->session.host = host;
	l->session.port = port;
}

/* ---------------------------------------------------------------- may we, and by what token */

static void permit(struct login *l, const struct session_permit *permit)
{
	void (*on_permit)(void *owner, const struct session_permit *permit) = l->on_permit;

	l->on_permit = NULL;
	if (on_permit)
		on_permit(l->owner, permit);
}

static void on_token(void *owner, enum err err, const struct auth_token *token, struct text problem)
{
	struct session_permit p = { .err = err, .problem = problem };

	if (token) {
		p.token = token->value;
		p.serial = token->serial;
	}
	permit(owner, &p);
}

static void refuse(struct login *l)
{
	AUTO(buf_fini) struct buf words = BUF(WORDS_MAX);
	struct login_refusal refusal = { 0 };

	(void)is_refused(l, &refusal, &words);
	permit(l, &(struct session_permit){
			  .err = ERR_DENIED, .code = refusal.code, .problem = buf_text(&words) });
}

static void get_token(struct login *l)
{
	enum err err = ERR_UNSUPPORTED;

	if (l->d->o.tokens)
		err = auth_tokens_get(l->d->o.tokens, l->session.login, l->session.stale_serial, &l->token,
		                      on_token, l);
	if (err)
		permit(l, &(struct session_permit){ .err = err });
}

static void on_answer(void *owner)
{
	struct login *l = owner;

	if (l->answer == LOGIN_REFUSED)
		refuse(l);
	else if (l->needs_token)
		get_token(l);
	else
		permit(l, &(struct session_permit){ .err = ERR_OK });
}

static void on_seat(struct login_seat *seat, enum login_answer answer)
{
	struct login *l = CONTAINER_OF(seat, struct login, seat);

	io_timer_stop(l->d->o.io, &l->patience);
	l->answer = answer;
	io_later_run(l->d->o.io, &l->later, on_answer, l);
}

static void be_patient(struct login *l);

static void on_patience(void *owner)
{
	struct login *l = owner;

	if (logins_jump(&l->seat, io_now_at(l->d->o.io)))
		on_seat(&l->seat, LOGIN_GO);
	else
		be_patient(l);
}

/* Without memory for a timer it waits for its turn. */
static void be_patient(struct login *l)
{
	struct io *io = l->d->o.io;

	if (l->seat.waits &&
	    io_timer_start(io, &l->patience, io_now_at(io) + LOGINS_PATIENCE_MS, on_patience, l))
		return;
}

void login_ask(struct login *l, bool needs_token,
               void (*on_permit)(void *owner, const struct session_permit *permit), void *owner)
{
	l->needs_token = needs_token;
	l->on_permit = on_permit;
	l->owner = owner;
	l->seat.fn = on_seat;
	l->answer = LOGIN_GO;
	if (!l->seat.record)
		l->answer = logins_take_seat(&l->d->logins, l->way, io_now_at(l->d->o.io), &l->seat);
	if (l->answer == LOGIN_WAITS)
		be_patient(l);
	else
		io_later_run(l->d->o.io, &l->later, on_answer, l);
}

/* ---------------------------------------------------------------- how it ended */

void login_succeeded(struct login *l)
{
	if (l->session.login)
		logins_succeeded(&l->d->logins, &l->seat, l->session.passed, io_now_at(l->d->o.io));
}

void login_ended(struct login *l)
{
	struct session_login *s = &l->session;
	struct deliver_result r = { .code = s->code,
		                    .enhanced = text_from(s->enhanced),
		                    .reply = text_of(s->words, s->words_len) };
	int64_t now_at = l->d ? io_now_at(l->d->o.io) : 0;

	if (!s->login)
		return;
	login_drop_question(l);
	if (s->refused)
		logins_failed(&l->d->logins, &l->seat, &r, now_at);
	else
		logins_leave(&l->d->logins, &l->seat, now_at);
}
