/*
 * Sees changes of the wall clock: for `npm run bench`.
 *
 *     push-reader spin               for each change that it sees: the instant shown, in nanoseconds, and when, by the host's
 *                                    CLOCK_MONOTONIC. Ends when it sees an instant before 1970
 *     push-reader park PROCESSES     so many processes wait for a pipe; "ready"; a line of stdin releases them; each reads once.
 *                                    Then a line: how many of them read the same instant as the first, and that instant
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now(clockid_t id)
{
	struct timespec time;

	clock_gettime(id, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int spin(void)
{
	int64_t last = now(CLOCK_REALTIME);

	puts("ready");
	fflush(stdout);
	while (last >= 0) {
		int64_t shown = now(CLOCK_REALTIME);

		if (shown == last)
			continue;
		printf("%lld %lld\n", (long long)shown, (long long)now(CLOCK_MONOTONIC));
		fflush(stdout);
		last = shown;
	}
	return 0;
}

static int park(int processes)
{
	int64_t *shown = mmap(NULL, processes * sizeof *shown, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int gate[2], same = 0, failures = 0, status;
	char byte;

	if (shown == MAP_FAILED || pipe(gate))
		return 1;
	for (int i = 0; i < processes; i++) {
		pid_t child = fork();

		failures += child < 0;
		if (child != 0)
			continue;
		close(gate[1]);
		/* A page that has been read once is mapped: the read that counts is the next. */
		shown[i] = now(CLOCK_REALTIME);
		if (read(gate[0], &byte, 1) != 0)
			_exit(1);
		shown[i] = now(CLOCK_REALTIME);
		_exit(0);
	}
	puts("ready");
	fflush(stdout);
	if (read(0, &byte, 1) != 1)
		return 1;
	close(gate[1]);
	while (wait(&status) > 0)
		failures += status != 0;
	for (int i = 0; i < processes; i++)
		same += shown[i] == shown[0];
	printf("%d %lld %d\n", same, (long long)shown[0], failures);
	return failures != 0;
}

int main(int argc, char **argv)
{
	return argc > 2 && !strcmp(argv[1], "park") ? park(atoi(argv[2])) : spin();
}
