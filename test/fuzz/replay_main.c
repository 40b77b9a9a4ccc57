/* The main of a fuzzer that replays instead of searching: each argument is an input or a folder of inputs.
 * An input lies alone in a block of its own size, so that the address sanitizer sees one octet too many. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

static uint8_t *read_whole(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	uint8_t *data = NULL;

	if (!file || fstat(fileno(file), &st) < 0) {
		perror(path);
		exit(2);
	}
	*size = (size_t)st.st_size;
	data = malloc(*size ? *size : 1);
	if (!data || fread(data, 1, *size, file) != *size) {
		fprintf(stderr, "%s: cannot read %zu octets\n", path, *size);
		exit(2);
	}
	fclose(file);
	return data;
}

/* The name goes out first, so that a crash is known by its input. */
static unsigned replay_file(const char *path)
{
	size_t size;
	uint8_t *data = read_whole(path, &size);

	printf("%s (%zu octets)\n", path, size);
	fflush(stdout);
	if (LLVMFuzzerTestOneInput(data, size) != 0)
		printf("  (not for the corpus)\n");
	free(data);
	return 1;
}

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static unsigned replay_folder(const char *path)
{
	struct dirent **entries;
	int count = scandir(path, &entries, visible, alphasort);
	unsigned replayed = 0;

	if (count < 0) {
		perror(path);
		exit(2);
	}
	for (int i = 0; i < count; i++) {
		char *inside = NULL;

		if (asprintf(&inside, "%s/%s", path, entries[i]->d_name) < 0)
			exit(2);
		replayed += replay_file(inside);
		free(inside);
		free(entries[i]);
	}
	free(entries);
	return replayed;
}

int main(int argc, char **argv)
{
	unsigned replayed = 0;

	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++) {
		struct stat st;

		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
			replayed += replay_folder(argv[i]);
		else
			replayed += replay_file(argv[i]);
	}
	if (replayed == 0) {
		fprintf(stderr, "no input to replay: a fuzzer without a corpus proves nothing\n");
		return 1;
	}
	printf("%u inputs\n", replayed);
	return 0;
}
