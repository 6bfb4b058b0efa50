/*
 * Cost of starting a program: posix_spawn, exec, exit and wait of argv[1], COUNT times. Prints the microseconds of each as a JSON
 * array, so that runs can be compared by their medians.
 */
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

static double now(void) {
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

int main(int argc, char **argv) {
	int count = argc > 2 ? atoi(argv[2]) : 200;
	char *args[] = {argv[1], NULL}, *environment[] = {NULL};
	printf("[");
	for (int i = 0; i < count; i++) {
		pid_t pid;
		int status;
		double start = now();
		if (posix_spawn(&pid, argv[1], NULL, NULL, args, environment) || waitpid(pid, &status, 0) != pid || status) return 1;
		printf("%s%.1f", i ? "," : "", now() - start);
	}
	printf("]\n");
	return 0;
}
