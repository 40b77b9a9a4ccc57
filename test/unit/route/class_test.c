#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <postrider/route.h>

#include "../../support/check.h"

static void priority_moves_a_class_by_one_step(void **state)
{
	static const struct {
		const char *name;
		enum config_class route;
		int priority;
		enum config_class class;
	} rows[] = {
		{ "nothing said", CONFIG_CLASS_NORMAL, 0, CONFIG_CLASS_NORMAL },
		{ "a little more", CONFIG_CLASS_NORMAL, 3, CONFIG_CLASS_NORMAL },
		{ "high", CONFIG_CLASS_NORMAL, 4, CONFIG_CLASS_URGENT },
		{ "highest", CONFIG_CLASS_NORMAL, 9, CONFIG_CLASS_URGENT },
		{ "a little less", CONFIG_CLASS_NORMAL, -1, CONFIG_CLASS_BULK },
		{ "lowest", CONFIG_CLASS_NORMAL, -9, CONFIG_CLASS_BULK },
		{ "bulk", CONFIG_CLASS_BULK, 0, CONFIG_CLASS_BULK },
		{ "bulk stays behind", CONFIG_CLASS_BULK, 9, CONFIG_CLASS_NORMAL },
		{ "bulk and lower", CONFIG_CLASS_BULK, -9, CONFIG_CLASS_BULK },
		{ "urgent", CONFIG_CLASS_URGENT, 0, CONFIG_CLASS_URGENT },
		{ "urgent and higher", CONFIG_CLASS_URGENT, 6, CONFIG_CLASS_URGENT },
		{ "urgent that can wait", CONFIG_CLASS_URGENT, -3, CONFIG_CLASS_NORMAL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct config_route route = { .class = rows[i].route };

		CHECK_INT(rows[i].name, route_class(&route, rows[i].priority), rows[i].class);
		if (rows[i].route == CONFIG_CLASS_NORMAL)
			CHECK_INT(rows[i].name, route_class(NULL, rows[i].priority), rows[i].class);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(priority_moves_a_class_by_one_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
