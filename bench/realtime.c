/* Prints what a call of clock_gettime(CLOCK_REALTIME) costs, in cycles of the time stamp counter: the median of many rounds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <x86intrin.h>

#define ROUNDS 201
#define CALLS 5000

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

int main(void)
{
	static uint64_t rounds[ROUNDS];
	struct timespec now;
	unsigned aux;

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t start = __rdtscp(&aux);

		for (int call = 0; call < CALLS; call++)
			clock_gettime(CLOCK_REALTIME, &now);
		rounds[round] = __rdtscp(&aux) - start;
	}
	qsort(rounds, ROUNDS, sizeof *rounds, ascending);
	printf("%.2f\n", (double)rounds[ROUNDS / 2] / CALLS);
	return 0;
}
