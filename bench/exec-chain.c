/*
 * Cost of execve itself: the program replaces itself argv[1] times and prints the microseconds of one exec as a JSON number.
 * No fork, no exit, nothing to wait for: under a run this is one exec stop and one install each.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
	long left = argc > 1 ? atol(argv[1]) : 100, count = argc > 2 ? atol(argv[2]) : left;
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	long long nanoseconds = now.tv_sec * 1000000000LL + now.tv_nsec;
	long long start = argc > 3 ? atoll(argv[3]) : nanoseconds;
	if (left == 0) {
		printf("%.2f\n", (nanoseconds - start) / 1e3 / count);
		return 0;
	}
	char remaining[32], total[32], began[32];
	snprintf(remaining, sizeof remaining, "%ld", left - 1);
	snprintf(total, sizeof total, "%ld", count);
	snprintf(began, sizeof began, "%lld", start);
	char *args[] = {argv[0], remaining, total, began, NULL}, *environment[] = {NULL};
	execve(argv[0], args, environment);
	return 1;
}
