/* postrider/http/json.h - JSON (RFC 8259): a writer into a buf, and values that were read. */
#ifndef POSTRIDER_HTTP_JSON_H
#define POSTRIDER_HTTP_JSON_H

#include <postrider/base/buf.h>

/* ---------------------------------------------------------------- writing */

#define JSON_DEPTH_MAX 63

/* Puts commas where they belong. Failures are kept by the buf. A struct on the caller's stack. */
struct json_writer {
	struct buf *out;
	unsigned depth;
	uint64_t has_member;         /* a bit for each depth: the next one needs a comma */
};

void json_writer_init(struct json_writer *w, struct buf *out);

/* key: a name of ours, without anything to escape; NULL inside an array and at the top. */
void json_open_object(struct json_writer *w, const char *key);
void json_close_object(struct json_writer *w);
void json_open_array(struct json_writer *w, const char *key);
void json_close_array(struct json_writer *w);
void json_put_text(struct json_writer *w, const char *key, struct text value);       /* octets that are not UTF-8: U+FFFD */
void json_put_string(struct json_writer *w, const char *key, const char *value);     /* NULL: null */
void json_put_number(struct json_writer *w, const char *key, int64_t value);
void json_put_real(struct json_writer *w, const char *key, double value);            /* not finite: null */
void json_put_bool(struct json_writer *w, const char *key, bool value);
void json_put_null(struct json_writer *w, const char *key);
void json_put_time(struct json_writer *w, const char *key, int64_t time_ms);         /* RFC 3339; 0 or less: null */
void json_put_raw(struct json_writer *w, const char *key, struct text json);         /* a whole JSON value, as it is */

/* Only when there is something to say. */
static inline void json_put_text_if(struct json_writer *w, const char *key, struct text value)
{
	if (value.len > 0)
		json_put_text(w, key, value);
}

/* ---------------------------------------------------------------- reading */

struct json;                         /* a value and all that is inside; opaque */

enum json_kind {
	JSON_IS_MISSING, JSON_IS_NULL, JSON_IS_BOOL, JSON_IS_NUMBER, JSON_IS_TEXT, JSON_IS_ARRAY, JSON_IS_OBJECT
};

/* One value and nothing behind it. A member named twice is an error. ERR_SYNTAX: problem (may be NULL) says what and where;
 * ERR_NOMEM. Whoever calls has bounded t. */
MUST_USE enum err json_parse(struct text t, struct json **out, struct buf *problem);
void json_free(struct json **v);
/* The same, and clears the texts that it holds: one of them is a secret. What reading left behind elsewhere is not. */
void json_wipe(struct json **v);

/* All of these take NULL (a missing value) and values of another kind, and give what is in their comment then. What they
 * return lives as long as the value it was found in. */
enum json_kind json_kind_of(const struct json *v);
const struct json *json_member(const struct json *object, const char *key);          /* NULL */
size_t json_count(const struct json *array);                                         /* 0 */
const struct json *json_element(const struct json *array, size_t i);                 /* NULL */
struct text json_as_text(const struct json *v);                                      /* empty, at NULL */
int64_t json_as_number(const struct json *v, int64_t otherwise);                     /* otherwise; a fraction is cut */
double json_as_real(const struct json *v, double otherwise);
bool json_as_bool(const struct json *v);                                             /* false */

/* Each member of an object, in the order written; fn returns false to end. */
typedef bool json_member_fn(void *owner, struct text key, const struct json *value);
void json_each_member(const struct json *object, json_member_fn *fn, void *owner);

/* Adds the value as text, on one line. */
void json_add(struct buf *out, const struct json *v);

#endif
