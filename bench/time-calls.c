/*
 * What a system call costs: one that the filter allows by its number, one that it looks at and lets pass, one that it stops, and a
 * timed wait that is over at once. Prints nanoseconds per call as JSON.
 *
 *     time-calls CALLS STOPPED      rounds of so many calls, and of so many that may be stopped
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint32_t word;

static void allowed(void)
{
	syscall(SYS_getppid);
}

static void looked_at(void)
{
	syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void stopped(void)
{
	struct timespec now;

	syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
}

static void wait(void)
{
	struct timespec past = { 1, 0 };

	syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &past, NULL, -1);
}

static double nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

static int order(const void *a, const void *b)
{
	double difference = *(const double *)a - *(const double *)b;

	return (difference > 0) - (difference < 0);
}

#define ROUNDS 31

static double median(void (*call)(void), long calls)
{
	static double rounds[ROUNDS];
	long i, n;

	for (i = 0; i < ROUNDS; i++) {
		double start = nanoseconds();

		for (n = 0; n < calls; n++)
			call();
		rounds[i] = (nanoseconds() - start) / calls;
	}
	qsort(rounds, ROUNDS, sizeof *rounds, order);
	return rounds[ROUNDS / 2];
}

int main(int count, char **arguments)
{
	long calls = count > 1 ? atol(arguments[1]) : 20000, few = count > 2 ? atol(arguments[2]) : 100;

	printf("{\"allowed\":%.1f,", median(allowed, calls));
	printf("\"lookedAt\":%.1f,", median(looked_at, calls));
	printf("\"stopped\":%.1f,", median(stopped, few));
	printf("\"wait\":%.1f}\n", median(wait, few));
	return 0;
}
