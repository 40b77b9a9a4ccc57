#include "unit/config/world.h"

#include "suggest.h"

static const struct {
	struct text a, b;
	unsigned distance; /* with a limit of 3: 4 is more */
} distances[] = {
	{ LIT("path"), LIT("path"), 0 },
	{ LIT("Path"), LIT("path"), 0 },
	{ LIT("max-size"), LIT("max_size"), 0 },
	{ LIT("pth"), LIT("path"), 1 },
	{ LIT("paath"), LIT("path"), 1 },
	{ LIT("pash"), LIT("path"), 1 },
	{ LIT("paht"), LIT("path"), 1 },
	{ LIT("aptha"), LIT("path"), 2 },
	{ LIT("abc"), LIT(""), 3 },
	{ LIT("abcd"), LIT(""), 4 },
	{ LIT("abcdefgh"), LIT("hgfedcba"), 4 },
	{ LIT("a234567890123456789012345678901234567890123456789"), LIT("a"), 4 },
};

static void a_distance_counts_slips_of_the_pen(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(distances); i++) {
		CHECK_INT(distances[i].a.at, edit_distance(distances[i].a, distances[i].b, 3),
		          distances[i].distance);
		CHECK_INT(distances[i].b.at, edit_distance(distances[i].b, distances[i].a, 3),
		          distances[i].distance);
	}
}

static struct text best_of(const char *wrong)
{
	static const struct text names[] = { LIT("connect"), LIT("connections"), LIT("tls"), LIT("to"),
		                             LIT("retry") };
	struct suggestion s = suggestion_for(text_from(wrong));

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		suggestion_try(&s, names[i]);
	return s.best;
}

static void the_nearest_is_suggested_and_nothing_far_away(void **state)
{
	(void)state;
	CHECK_TEXT("near", best_of("conections"), TEXT("connections"));
	CHECK_TEXT("nearer", best_of("conect"), TEXT("connect"));
	CHECK_TEXT("short", best_of("tl"), TEXT("tls"));
	CHECK_TEXT("far", best_of("spool"), TEXT_EMPTY);
	CHECK_TEXT("nothing", best_of(""), TEXT_EMPTY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_distance_counts_slips_of_the_pen),
		cmocka_unit_test(the_nearest_is_suggested_and_nothing_far_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
