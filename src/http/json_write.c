#include <postrider/http/json.h>

#include <assert.h>
#include <math.h>

#include <postrider/base/time.h>
#include <postrider/observe/json_text.h>

#define TEXT_MAX_BYTES (16u << 20)

void json_writer_init(struct json_writer *w, struct buf *out)
{
	*w = (struct json_writer){ .out = out };
}

static void begin(struct json_writer *w, const char *key)
{
	uint64_t bit = UINT64_C(1) << w->depth;

	if (w->has_member & bit)
		buf_add_octet(w->out, ',');
	w->has_member |= bit;
	if (!key)
		return;
	buf_add_octet(w->out, '"');
	buf_add_string(w->out, key);
	buf_add(w->out, TEXT("\":"));
}

static void open_inner(struct json_writer *w, const char *key, char bracket)
{
	assert(w->depth < JSON_DEPTH_MAX);
	begin(w, key);
	buf_add_octet(w->out, bracket);
	w->depth++;
	w->has_member &= ~(UINT64_C(1) << w->depth);
}

static void close_inner(struct json_writer *w, char bracket)
{
	assert(w->depth > 0);
	w->depth--;
	buf_add_octet(w->out, bracket);
}

void json_open_object(struct json_writer *w, const char *key)
{
	open_inner(w, key, '{');
}

void json_close_object(struct json_writer *w)
{
	close_inner(w, '}');
}

void json_open_array(struct json_writer *w, const char *key)
{
	open_inner(w, key, '[');
}

void json_close_array(struct json_writer *w)
{
	close_inner(w, ']');
}

void json_put_text(struct json_writer *w, const char *key, struct text value)
{
	begin(w, key);
	observe_add_json_text(w->out, value, TEXT_MAX_BYTES);
}

void json_put_string(struct json_writer *w, const char *key, const char *value)
{
	if (value)
		json_put_text(w, key, text_from(value));
	else
		json_put_null(w, key);
}

void json_put_number(struct json_writer *w, const char *key, int64_t value)
{
	begin(w, key);
	if (value < 0)
		buf_add_octet(w->out, '-');
	buf_add_u64(w->out, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void json_put_real(struct json_writer *w, const char *key, double value)
{
	if (!isfinite(value)) {
		json_put_null(w, key);
		return;
	}
	begin(w, key);
	buf_add_format(w->out, "%.9g", value);
}

void json_put_bool(struct json_writer *w, const char *key, bool value)
{
	json_put_raw(w, key, value ? TEXT("true") : TEXT("false"));
}

void json_put_null(struct json_writer *w, const char *key)
{
	json_put_raw(w, key, TEXT("null"));
}

void json_put_time(struct json_writer *w, const char *key, int64_t time_ms)
{
	if (time_ms <= 0) {
		json_put_null(w, key);
		return;
	}
	begin(w, key);
	buf_add_octet(w->out, '"');
	time_add_rfc3339(w->out, time_ms * 1000);
	buf_add_octet(w->out, '"');
}

void json_put_raw(struct json_writer *w, const char *key, struct text json)
{
	begin(w, key);
	buf_add(w->out, json);
}
