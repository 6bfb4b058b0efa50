/* The cost of gettimeofday by the vsyscall page and by the C library (the vDSO), in turn: medians of rounds, as JSON. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static __attribute__((noinline)) void page(struct timeval *tv)
{
	long result;
	__asm__ volatile("mov $0xffffffffff600000, %%rax\n\tcall *%%rax" : "=a"(result) : "D"(tv), "S"(0L) : "rcx", "r11", "memory");
}

static __attribute__((noinline)) void libc(struct timeval *tv)
{
	gettimeofday(tv, NULL);
}

static double nanoseconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

static double round_of(void (*call)(struct timeval *), long calls)
{
	struct timeval tv;
	double start = nanoseconds();
	for (long i = 0; i < calls; i++)
		call(&tv);
	return (nanoseconds() - start) / calls;
}

static int order(const void *a, const void *b)
{
	double difference = *(const double *)a - *(const double *)b;
	return (difference > 0) - (difference < 0);
}

#define ROUNDS 101

int main(int argc, char **argv)
{
	static double pages[ROUNDS], libcs[ROUNDS];
	long calls = argc > 1 ? atol(argv[1]) : 20000;
	double first = round_of(page, 1);
	for (int i = 0; i < ROUNDS; i++) {
		pages[i] = round_of(page, calls);
		libcs[i] = round_of(libc, calls);
	}
	qsort(pages, ROUNDS, sizeof *pages, order);
	qsort(libcs, ROUNDS, sizeof *libcs, order);
	printf("{\"first\": %.1f, \"page\": %.2f, \"libc\": %.2f}\n", first, pages[ROUNDS / 2], libcs[ROUNDS / 2]);
	return 0;
}
