/* The program: hands the process over to the commands. */
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <postrider/cli.h>

int main(int argc, char **argv)
{
	struct winsize size = { 0 };
	struct cli_world world = {
		.argc = argc,
		.argv = argv,
		.environment = environ,
		.in = stdin,
		.out = stdout,
		.err = stderr,
		.out_descriptor = STDOUT_FILENO,
		.is_terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO),
	};

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		world.columns = size.ws_col;
	/* Reading the queue into `head` ends with a failed write, not with the process killed in the middle of a call. */
	signal(SIGPIPE, SIG_IGN);
	return cli_main(&world);
}
