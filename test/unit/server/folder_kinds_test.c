/* What the drop and the pick-up directory make of names and of what files begin with. */
#include <stdio.h>
#include <stdlib.h>

#include <postrider/base/time.h>

#include "server/folder.h"
#include "support/check.h"

#define NOW INT64_C(1800000000000)
#define ID "01ARZ3NDEKTSV4RRFFQ69G5FAV"

static const struct {
	const struct folder_kind *kind;
	const char *name;
	mode_t type;
	int64_t age_ms;
	enum folder_look look;
} looks[] = {
	{ &folder_drop, ID, S_IFREG, 0, FOLDER_TAKE },
	{ &folder_drop, "01arz3ndektsv4rrffq69g5fav", S_IFREG, 0, FOLDER_TAKE },
	{ &folder_drop, ID, S_IFLNK, 0, FOLDER_REMOVE },
	{ &folder_drop, ID, S_IFIFO, 0, FOLDER_REMOVE },
	{ &folder_drop, ID, S_IFDIR, 0, FOLDER_REMOVE },
	{ &folder_drop, ID "X", S_IFREG, 0, FOLDER_LEAVE },
	{ &folder_drop, ID "X", S_IFREG, 2 * HOUR_MS, FOLDER_REMOVE },
	{ &folder_drop, "tmp." ID, S_IFREG, 2 * HOUR_MS, FOLDER_LEAVE },
	{ &folder_drop, "tmp." ID, S_IFREG, 25 * HOUR_MS, FOLDER_REMOVE },
	{ &folder_drop, "tmp." ID, S_IFLNK, 2 * HOUR_MS, FOLDER_REMOVE },
	{ &folder_drop, "bad." ID, S_IFREG, 6 * DAY_MS, FOLDER_LEAVE },
	{ &folder_drop, "bad." ID, S_IFREG, 8 * DAY_MS, FOLDER_REMOVE },
	{ &folder_pickup, "a.eml", S_IFREG, 2000, FOLDER_TAKE },
	{ &folder_pickup, "a.eml", S_IFREG, 999, FOLDER_LEAVE },
	{ &folder_pickup, "a.eml", S_IFREG, -5000, FOLDER_LEAVE },
	{ &folder_pickup, "a.EML", S_IFREG, 2000, FOLDER_TAKE },
	{ &folder_pickup, "a.eml.taken", S_IFREG, 0, FOLDER_TAKE },
	{ &folder_pickup, "a.eml.bad", S_IFREG, 2000, FOLDER_LEAVE },
	{ &folder_pickup, "a.eml.bad.txt", S_IFREG, 2000, FOLDER_LEAVE },
	{ &folder_pickup, "a.txt", S_IFREG, 2000, FOLDER_LEAVE },
	{ &folder_pickup, ".a.eml", S_IFREG, 2000, FOLDER_LEAVE },
	{ &folder_pickup, "a.eml", S_IFLNK, 2000, FOLDER_STRANGE },
	{ &folder_pickup, "a.eml", S_IFIFO, 2000, FOLDER_STRANGE },
	{ &folder_pickup, "a.eml", S_IFDIR, 2000, FOLDER_LEAVE },
};

static struct stat stat_of(mode_t type, int64_t time_ms)
{
	return (struct stat){ .st_mode = type | 0644,
		              .st_ino = 7,
		              .st_size = 100,
		              .st_ctim = { time_ms / 1000, time_ms % 1000 * 1000000 } };
}

static void test_looks(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
		struct stat st = stat_of(looks[i].type, NOW - looks[i].age_ms);

		CHECK_INT(looks[i].name, looks[i].kind->look(looks[i].name, &st, NOW), looks[i].look);
	}
}

static struct folder_file file_of(const char *name, struct text head, bool at_end)
{
	struct folder_file f = { .fd = -1, .at_end = at_end, .head = BUF(2u << 20), .problem = BUF(2000) };

	snprintf(f.name, sizeof(f.name), "%s", name);
	buf_add(&f.head, head);
	return f;
}

static void file_fini(struct folder_file *f)
{
	buf_fini(&f->head);
	buf_fini(&f->problem);
	drop_fini(&f->drop);
	submission_fini(&f->submission);
}

static void test_ids(void **state)
{
	struct folder_file f = file_of(ID, TEXT_EMPTY, true), other = file_of("b.eml", TEXT_EMPTY, true);
	struct stat st = stat_of(S_IFREG, NOW), later = stat_of(S_IFREG, NOW + 1);
	struct id id = folder_drop.make_id(&f, &st), named;

	(void)state;
	assert_int_equal(id_from_text(TEXT(ID), &named), ERR_OK);
	assert_int_equal(id_time(id), NOW); /* the kernel's word, not the name's */
	assert_memory_equal(id.bytes + 6, named.bytes + 6, 10);
	assert_true(id_eq(id, folder_drop.make_id(&f, &st)));
	assert_false(id_eq(id, folder_drop.make_id(&f, &later)));
	id = folder_pickup.make_id(&f, &st);
	assert_int_equal(id_time(id), NOW);
	assert_true(id_eq(id, folder_pickup.make_id(&f, &st)));
	assert_false(id_eq(id, folder_pickup.make_id(&other, &st)));
	assert_false(id_eq(id, folder_pickup.make_id(&f, &later)));
	st.st_ino++;
	assert_false(id_eq(id, folder_pickup.make_id(&f, &st)));
	file_fini(&f);
	file_fini(&other);
}

static const struct {
	const char *name;
	struct text head;
	bool goes_on; /* there is more in the file */
	enum err err;
	const char *problem, *from, *to, *header, *content;
} pickups[] = {
	{ "plain", LIT("From: a@a.example\nTo: b@b.example\n\nbody\n"), false, ERR_OK, "", "a@a.example",
	  "b@b.example|", "From: a@a.example\r\nTo: b@b.example\r\n", "\r\nbody\r\n" },
	{ "no blank line", LIT("From: a@a.example\nTo: b@b.example\nbody\n"), false, ERR_OK, "",
	  "a@a.example", "b@b.example|", "From: a@a.example\r\nTo: b@b.example\r\n\r\n", "body\r\n" },
	{ "no body", LIT("From: a@a.example\nTo: b@b.example"), false, ERR_OK, "", "a@a.example",
	  "b@b.example|", "From: a@a.example\r\nTo: b@b.example\r\n\r\n", "" },
	{ "a CR that the front ends with", LIT("From: a@a.example\r\nTo: b@b.example\r\n\r\nbody\r"), true,
	  ERR_OK, "", "a@a.example", "b@b.example|", "From: a@a.example\r\nTo: b@b.example\r\n",
	  "\r\nbody\r" },
	{ "a lone CR in the body", LIT("From: a@a.example\nTo: b@b.example\n\na\rb\n"), false, ERR_OK, "",
	  "a@a.example", "b@b.example|", "From: a@a.example\r\nTo: b@b.example\r\n", "\r\na\r\nb\r\n" },
	{ "a lone CR in the header", LIT("From: a@a.example\nSubject: x\rTo: b@b.example\n\nx\n"), false,
	  ERR_SYNTAX, "a CR stands alone in its header section: lines end in LF or CR LF", NULL, NULL, NULL,
	  NULL },
	{ "two lone CR end no header", LIT("From: a@a.example\nTo: b@b.example\r\rx\n"), false, ERR_SYNTAX,
	  "a CR stands alone in its header section: lines end in LF or CR LF", NULL, NULL, NULL, NULL },
	{ "a header that goes on", LIT("From: a@a.example\nTo: b@b.exam"), true, ERR_SYNTAX,
	  "its header section does not end within 1 MiB", NULL, NULL, NULL, NULL },
};

static void check_pickup(size_t i)
{
	const char *name = pickups[i].name;
	struct folder_file f = file_of("x.eml", pickups[i].head, !pickups[i].goes_on);
	AUTO(buf_fini) struct buf all = BUF(1000);
	size_t count;

	CHECK_INT(name, folder_pickup.parse(&f), pickups[i].err);
	CHECK_TEXT(name, buf_text(&f.problem), text_from(pickups[i].problem));
	if (!pickups[i].err) {
		const struct text *to = folder_pickup.to(&f, &count);

		for (size_t n = 0; n < count; n++)
			buf_add_format(&all, "%.*s|", TEXT_ARGS(to[n]));
		CHECK_TEXT(name, buf_text(&all), text_from(pickups[i].to));
		CHECK_TEXT(name, folder_pickup.from(&f), text_from(pickups[i].from));
		CHECK_TEXT(name, buf_text(&f.submission.header), text_from(pickups[i].header));
		CHECK_TEXT(name, f.content, text_from(pickups[i].content));
	}
	file_fini(&f);
}

static void test_pickup(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pickups); i++)
		check_pickup(i);
}

static void test_drop(void **state)
{
	struct folder_file good =
		file_of(ID, TEXT("postrider-drop 1\nfrom\nto b@b.example\n\nSubject: x\r\n"), true);
	struct folder_file cut = file_of(ID, TEXT("postrider-drop 1\nfrom\nto b@b.example\n"), true);

	(void)state;
	assert_int_equal(folder_drop.parse(&good), ERR_OK);
	CHECK_TEXT("content", good.content, TEXT("Subject: x\r\n"));
	assert_int_equal(folder_drop.parse(&cut), ERR_SYNTAX);
	CHECK_TEXT("problem", buf_text(&cut.problem), TEXT("it ends before the message begins"));
	file_fini(&good);
	file_fini(&cut);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_looks),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_pickup),
		cmocka_unit_test(test_drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
