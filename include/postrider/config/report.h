/* postrider/config/report.h - what is wrong or odd in a configuration, with the place and the next step. */
#ifndef POSTRIDER_CONFIG_REPORT_H
#define POSTRIDER_CONFIG_REPORT_H

#include <postrider/base/arena.h>
#include <postrider/base/buf.h>

/* Where something was written. Without a line, file is the name of the variable ("POSTRIDER_UPSTREAM"), the
 * argument ("--set spool.path"), or "default". */
struct config_place {
	struct text file;
	unsigned line;   /* from 1; 0: none */
	unsigned column; /* from 1, in characters; 0: none */
};

void config_place_add(struct buf *b, struct config_place place); /* "FILE:LINE", or the name alone */

struct config_finding {
	bool is_error; /* or a warning */
	struct config_place place;
	struct text source; /* the line, or NAME=value; secrets masked, a long one cut; empty: not shown */
	unsigned mark_at;   /* characters of source before the mark */
	unsigned marked;    /* characters marked */
	unsigned order;     /* of the file among all that were read */
	struct text message;
	struct text detail; /* one more sentence; this and the next may be empty */
	struct text expected;
	struct text hint;
	struct config_place see; /* what the hint speaks of; file is empty without one */
};

#define CONFIG_ERRORS_SHOWN 20

/* Owned by the caller: config_report_init, config_load, config_report_fini. All texts live in the arena. */
struct config_report {
	struct arena arena;
	struct config_finding *findings; /* in the order of files and lines */
	size_t count;
	size_t room;
	size_t error_count; /* all of them, also those over CONFIG_ERRORS_SHOWN, which are not kept */
	size_t warning_count;
	enum err err; /* ERR_NOMEM: the list is not complete */
};

void config_report_init(struct config_report *report);
void config_report_fini(struct config_report *report);

/* An error that was found elsewhere, in what the configuration names. where: "FILE:LINE" or the like; hint may
 * be empty. All are copied. */
void config_report_add(struct config_report *report, struct text where, struct text what, struct text hint);

/* As people read it: one paragraph a finding, and "3 errors; nothing was started or changed." behind errors. */
void config_report_print(const struct config_report *report, struct buf *out);

#endif
