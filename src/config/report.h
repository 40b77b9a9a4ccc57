/* Writing findings. */
#ifndef CONFIG_REPORT_PRIVATE_H
#define CONFIG_REPORT_PRIVATE_H

#include "load.h"

/* In the order of sources, lines and columns. */
void report_sort(struct config_report *report);

/* The line a spot lies in, without its end. */
struct text source_line(const struct source *source, unsigned line);

#endif
