/* The table of verbs: what the commands are called, take and say of themselves. */
#include "cli.h"

const struct flag cli_global_flags[] = {
	{ "config", 'c', "FILE", "the configuration; default " CONFIG_DEFAULT_FILE, false },
	{ "set", 0, "KEY=VALUE", "a setting that is stronger than file and environment", true },
	{ "json", 0, NULL, "JSON instead of words", false },
	{ "no-color", 0, NULL, "no colours on a terminal", false },
	{ "help", 'h', NULL, "this help", false },
};
const size_t cli_global_flag_count = ARRAY_LEN(cli_global_flags);

const struct flag cli_selector_flags[] = {
	{ "to", 0, "PATTERN", "recipients: an address, a domain, .domain for its subdomains", true },
	{ "from", 0, "PATTERN", "sender, likewise; '<>' for reports", true },
	{ "domain", 0, "DOMAIN", "the recipients' domain", true },
	{ "route", 0, "NAME", "where it goes: an upstream, direct, hold", true },
	{ "reason", 0, "WORD", "why it waits: greylisted, timeout, dns, ...", true },
	{ "older", 0, "TIME", "received longer ago than 90s, 15m, 4h, 5d", false },
	{ "state", 0, "STATE", "waiting, active or held", true },
	{ "all", 0, NULL, "everything", false },
};
const size_t cli_selector_flag_count = ARRAY_LEN(cli_selector_flags);

/* clang-format off */
static const struct flag run_flags[] = {
	{ "demo", 0, NULL, "a relay with a sink behind it on free loopback ports, to try things on", false },
	{ "dir", 0, "DIR", "with --demo: the directory for the spool and the received mail, which must exist", false },
};

static const struct flag check_flags[] = {
	{ "connect", 0, NULL, "connect and log in to each upstream, and send nothing", false },
};

static const struct flag config_flags[] = {
	{ "origin", 0, NULL, "say behind each value where it comes from", false },
	{ "schema", 0, NULL, "the JSON schema of what this version reads", false },
	{ "env", 0, NULL, "the environment variables", false },
	{ "reference", 0, NULL, "the reference of all keys, in Markdown", false },
};

static const struct flag queue_flags[] = {
	{ "by", 0, "WHAT", "count by domain, reason, sender, route or age", false },
	{ "limit", 0, "N", "at most so many messages; default 1000 for people, all with --json", false },
};

static const struct flag act_flags[] = {
	{ "dry-run", 'n', NULL, "only count", false },
	{ "yes", 'y', NULL, "do not ask", false },
};

static const struct flag send_flags[] = {
	{ "from", 'f', "ADDRESS", "sender; default postmaster at the relay's own name", false },
	{ "to", 't', "ADDRESS", "recipient; may be repeated", true },
	{ "subject", 's', "TEXT", "subject", false },
	{ "body", 'b', "TEXT", "text of the message", false },
	{ "eml", 0, "FILE", "a whole message, header and body; - for standard input", false },
	{ "wait", 'w', "TIME", "how long to wait for its end; default 5s", false },
};

static const struct flag sink_flags[] = {
	{ "listen", 'l', "ADDRESS", "IP:PORT or unix:PATH; default 127.0.0.1:2526", false },
	{ "greylist", 0, NULL, "defer the first try of each recipient", false },
	{ "fail", 0, "SHARE", "refuse so many of the recipients, 5%", false },
	{ "defer", 0, "SHARE", "defer so many of the recipients, 5%", false },
	{ "slow", 0, "TIME", "wait before the answer to the final dot", false },
	{ "starttls", 0, NULL, "offer STARTTLS with --cert and --key", false },
	{ "cert", 0, "FILE", "its certificate, PEM", false },
	{ "key", 0, "FILE", "its key, PEM", false },
	{ "without", 0, "LIST", "extensions not to offer, DSN,CHUNKING", false },
	{ "save", 0, "DIR", "keep each message as a file", false },
	{ "ledger", 0, "FILE", "append a line for each message", false },
};

static const struct flag users_flags[] = {
	{ "senders", 0, "LIST", "with add: whom this user may write as, ann@example.com,example.net; default any", false },
	{ "file", 0, "FILE", "the users file; default access.users_file of the configuration", false },
};

static const struct flag health_flags[] = {
	{ "ready", 0, NULL, "0 only if it takes mail (the default)", false },
	{ "live", 0, NULL, "0 if it answers at all", false },
};

#define ACT_DETAILS                                                                                                    \
	"Something must say what is meant: ids or their beginnings, or the flags below; flags of different names narrow\n" \
	"each other, values of one name are alternatives. What was found is counted first, and above 10 recipients you\n" \
	"are asked, if somebody is there to ask."

const struct verb cli_verbs[] = {
	{ .name = "run", .arguments = "", .summary = "run the relay in the foreground",
	  .details = "Events go to standard output, a JSON object a line. TERM and INT stop it well, a second one at once; HUP\n"
	             "reads the configuration again and keeps the old one if there is anything wrong with the new.",
	  .examples = "postrider run -c relay.yaml\npostrider run --demo",
	  .flags = run_flags, .flag_count = ARRAY_LEN(run_flags), .run = run_run },
	{ .name = "check", .arguments = "", .summary = "read the configuration and say what is wrong with it",
	  .details = "With --connect every upstream that a route leads to is connected to as well, and logged in at; no message is\n"
	             "sent. 1: some upstream did not take us.",
	  .examples = "postrider check -c relay.yaml\npostrider check --connect",
	  .flags = check_flags, .flag_count = ARRAY_LEN(check_flags), .run = run_check },
	{ .name = "config", .arguments = "", .summary = "print the effective configuration",
	  .examples = "postrider config --origin\npostrider config --schema > postrider.schema.json",
	  .flags = config_flags, .flag_count = ARRAY_LEN(config_flags), .run = run_config },
	{ .name = "queue", .arguments = "[ID...] [SELECTOR]", .summary = "what is waiting, and why",
	  .details = "With --json one object a line and message, with the member names of `postqueue -j`.",
	  .examples = "postrider queue --by reason\npostrider queue --domain example.com --older 1h\n"
	              "postrider queue --json | jq -r .queue_id",
	  .flags = queue_flags, .flag_count = ARRAY_LEN(queue_flags), .selects = true, .run = run_queue },
	{ .name = "show", .arguments = "ID", .summary = "the story of one message, with timings",
	  .details = "ID may be the beginning of an id, as long as only one message begins like it.",
	  .examples = "postrider show 01JD8Q4F", .least_arguments = 1, .most_arguments = 1, .run = run_show },
	{ .name = "send", .arguments = "", .summary = "hand in a message and print its story",
	  .details = "The message is put together from --subject and --body, or read whole with --eml. The exit code is 0 when\n"
	             "it was delivered to all, or still waits although no --wait was given; 1 when it was refused or did not\n"
	             "arrive in the time of --wait.",
	  .examples = "postrider send -f app@example.com -t ann@example.org --subject Hello --body 'Is anybody there?'\n"
	              "postrider send -f app@example.com -t ann@example.org --eml message.eml --wait 30s",
	  .flags = send_flags, .flag_count = ARRAY_LEN(send_flags), .run = run_send },
	{ .name = "retry", .arguments = "ID... | SELECTOR", .summary = "try again now", .details = ACT_DETAILS,
	  .examples = "postrider retry 01JD8Q4F\npostrider retry --reason timeout --domain example.com",
	  .flags = act_flags, .flag_count = ARRAY_LEN(act_flags), .selects = true, .run = run_act },
	{ .name = "hold", .arguments = "ID... | SELECTOR", .summary = "keep from being sent, until released",
	  .details = ACT_DETAILS, .examples = "postrider hold --from news@example.com",
	  .flags = act_flags, .flag_count = ARRAY_LEN(act_flags), .selects = true, .run = run_act },
	{ .name = "release", .arguments = "ID... | SELECTOR", .summary = "let held mail go", .details = ACT_DETAILS,
	  .examples = "postrider release --all -y",
	  .flags = act_flags, .flag_count = ARRAY_LEN(act_flags), .selects = true, .run = run_act },
	{ .name = "drop", .arguments = "ID... | SELECTOR", .summary = "remove for good, without a report",
	  .details = ACT_DETAILS, .examples = "postrider drop -n --older 3d --from news@example.com",
	  .flags = act_flags, .flag_count = ARRAY_LEN(act_flags), .selects = true, .run = run_act },
	{ .name = "health", .arguments = "", .summary = "whether the relay lives and is ready, for probes",
	  .flags = health_flags, .flag_count = ARRAY_LEN(health_flags), .run = run_health },
	{ .name = "users", .arguments = "add|list|check [NAME]", .summary = "who may log in, and whether a password is right",
	  .details = "The password is asked for on a terminal, or is the first line of standard input. `add` makes a yescrypt hash\n"
	             "and a verifier for SCRAM-SHA-256, or makes them anew where the user is there already; a running relay takes\n"
	             "the changed file at once.",
	  .examples = "postrider users add ann --senders ann@example.com,news.example.com\n"
	              "pwgen 24 1 | tee secret | postrider users add app\npostrider users check ann",
	  .flags = users_flags, .flag_count = ARRAY_LEN(users_flags), .least_arguments = 1, .most_arguments = 2,
	  .run = run_users },
	{ .name = "verify", .arguments = "[SPOOL]", .summary = "read the whole spool and compare its checksums",
	  .details = "Changes nothing, and may run beside the relay. Without SPOOL the configured one is read.",
	  .most_arguments = 1, .run = run_verify },
	{ .name = "sink", .arguments = "", .summary = "an SMTP server that takes everything, for tests",
	  .details = "What it refuses is said by the recipient's local part: refuse, defer, full, block, content, tempdot, busy,\n"
	             "drop, silent, with anything behind it.",
	  .examples = "postrider sink --greylist --save mails\npostrider sink -l 127.0.0.1:2600 --fail 5% --slow 2s",
	  .flags = sink_flags, .flag_count = ARRAY_LEN(sink_flags), .run = run_sink },
	{ .name = "sendmail", .arguments = "[OPTION...] [RECIPIENT...]",
	  .summary = "take a message from standard input, as other programs hand it to sendmail",
	  .details = "Works as the first word, and under the name itself: make `sendmail`, `mailq` and `newaliases` links to this\n"
	             "program. The message waits in the drop directory until the relay takes it, also while the relay is down.\n"
	             "  -t recipients from To, Cc, Bcc     -i a line with a dot alone does not end it    -f SENDER  -F NAME\n"
	             "  -bs SMTP on standard input         -bp list the queue, as mailq does             -q try all now\n"
	             "  -N never|success,failure,delay  -R full|hdrs  -V ENVELOPE-ID                     -C CONFIGURATION\n"
	             "Exit codes are those of sysexits.h: 0, 64 usage, 65 message, 75 try again later, 77 permissions.",
	  .examples = "postrider sendmail -t < message\nln -s postrider /usr/sbin/sendmail", .run = run_sendmail },
	{ .name = "version", .arguments = "", .summary = "version, commit, libraries and their versions", .run = run_version },
	{ .name = "help", .arguments = "[COMMAND]", .summary = "what a command does and takes", .most_arguments = 1,
	  .run = run_help },
};
const size_t cli_verb_count = ARRAY_LEN(cli_verbs);
/* clang-format on */
