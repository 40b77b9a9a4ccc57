#include <postrider/http/json.h>

#include <math.h>

#include <jansson.h>

/* struct json is jansson's value by another name: it is never looked into, only cast. */
static const json_t *inner(const struct json *v)
{
	return (const json_t *)(const void *)v;
}

static const struct json *outer(const json_t *v)
{
	return (const struct json *)(const void *)v;
}

enum err json_parse(struct text t, struct json **out, struct buf *problem)
{
	json_error_t error;
	json_t *v = json_loadb(t.at ? t.at : "", t.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);

	if (v) {
		*out = (struct json *)(void *)v;
		return ERR_OK;
	}
	if (json_error_code(&error) == json_error_out_of_memory)
		return ERR_NOMEM;
	if (problem)
		buf_add_format(problem, "line %d, column %d: %s", error.line, error.column, error.text);
	return ERR_SYNTAX;
}

void json_free(struct json **v)
{
	if (*v)
		json_decref((json_t *)(void *)*v);
	*v = NULL;
}

/* As deep as json_parse reads, which is bounded. */
static void wipe_texts(json_t *v)
{
	json_t *child;
	const char *key;
	size_t i;

	if (json_is_string(v))
		explicit_bzero((char *)(uintptr_t)json_string_value(v), json_string_length(v));
	json_array_foreach(v, i, child)
		wipe_texts(child);
	json_object_foreach(v, key, child)
		wipe_texts(child);
}

void json_wipe(struct json **v)
{
	if (*v)
		wipe_texts((json_t *)(void *)*v);
	json_free(v);
}

enum json_kind json_kind_of(const struct json *v)
{
	if (!v)
		return JSON_IS_MISSING;
	switch (json_typeof(inner(v))) {
	case JSON_OBJECT:
		return JSON_IS_OBJECT;
	case JSON_ARRAY:
		return JSON_IS_ARRAY;
	case JSON_STRING:
		return JSON_IS_TEXT;
	case JSON_INTEGER:
	case JSON_REAL:
		return JSON_IS_NUMBER;
	case JSON_TRUE:
	case JSON_FALSE:
		return JSON_IS_BOOL;
	case JSON_NULL:
		return JSON_IS_NULL;
	}
	return JSON_IS_MISSING;
}

const struct json *json_member(const struct json *object, const char *key)
{
	return outer(json_object_get(inner(object), key));
}

size_t json_count(const struct json *array)
{
	return json_array_size(inner(array));
}

const struct json *json_element(const struct json *array, size_t i)
{
	return outer(json_array_get(inner(array), i));
}

struct text json_as_text(const struct json *v)
{
	if (!json_is_string(inner(v)))
		return (struct text){ NULL, 0 };
	return text_of(json_string_value(inner(v)), json_string_length(inner(v)));
}

int64_t json_as_number(const struct json *v, int64_t otherwise)
{
	if (json_is_integer(inner(v)))
		return json_integer_value(inner(v));
	double real = json_as_real(v, NAN);

	/* A cast of what does not fit is undefined; 2^63 is exact as a double. */
	return real > -0x1p63 && real < 0x1p63 ? (int64_t)real : otherwise;
}

double json_as_real(const struct json *v, double otherwise)
{
	return json_is_number(inner(v)) ? json_number_value(inner(v)) : otherwise;
}

bool json_as_bool(const struct json *v)
{
	return json_is_true(inner(v));
}

void json_each_member(const struct json *object, json_member_fn *fn, void *owner)
{
	/* jansson walks through a pointer that is not const, and changes nothing. */
	json_t *o = (json_t *)(uintptr_t)(const void *)object;

	for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it))
		if (!fn(owner, text_of(json_object_iter_key(it), json_object_iter_key_len(it)),
		        outer(json_object_iter_value(it))))
			return;
}

static int add_piece(const char *octets, size_t len, void *out)
{
	buf_add_bytes(out, octets, len);
	return 0;
}

void json_add(struct buf *out, const struct json *v)
{
	if (json_dump_callback(inner(v), add_piece, out, JSON_COMPACT | JSON_ENCODE_ANY) < 0 && !buf_err(out))
		buf_add(out, TEXT("null"));
}
