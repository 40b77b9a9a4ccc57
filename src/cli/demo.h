/* cli/demo.h - `run --demo`: a relay with a sink behind it, on free loopback ports and in a directory of its own. */
#ifndef CLI_DEMO_H
#define CLI_DEMO_H

#include "cli.h"

enum exit_code run_demo(struct cli *cli);

#endif
