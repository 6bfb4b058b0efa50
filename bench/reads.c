/*
 * Cost of one clock read: the image that AT_SYSINFO_EHDR names against the host's own vDSO, which stays mapped as [vdso]. With -m32
 * also of one system call by __kernel_vsyscall, and of int 0x80 against the host's.
 * Both are called in turn in one process; a round is CALLS calls of each; the ratio of a round is ours / host's.
 * Prints one JSON object: for each function the medians of all rounds.
 */
#define _GNU_SOURCE
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <time.h>
#include <x86intrin.h>

#define ROUNDS 300
#define CALLS 20000

static void *find(uintptr_t base, const char *name) {
	const ElfW(Ehdr) *header = (const void *)base;
	const ElfW(Phdr) *segment = (const void *)(base + header->e_phoff);
	const ElfW(Dyn) *dynamic = NULL;
	for (int i = 0; i < header->e_phnum; i++)
		if (segment[i].p_type == PT_DYNAMIC) dynamic = (const void *)(base + segment[i].p_vaddr);
	const ElfW(Sym) *symbols = NULL;
	const char *strings = NULL;
	const uint32_t *hash = NULL;
	for (; dynamic && dynamic->d_tag; dynamic++) {
		uintptr_t at = base + dynamic->d_un.d_ptr;
		if (dynamic->d_tag == DT_SYMTAB) symbols = (const void *)at;
		if (dynamic->d_tag == DT_STRTAB) strings = (const void *)at;
		if (dynamic->d_tag == DT_HASH) hash = (const void *)at;
	}
	for (uint32_t i = 0; hash && i < hash[1]; i++)
		if (!strcmp(strings + symbols[i].st_name, name)) return (void *)(base + symbols[i].st_value);
	fprintf(stderr, "no %s at %lx\n", name, base);
	exit(1);
}

static uintptr_t host_base(void) {
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned long start = 0;
	while (maps && fgets(line, sizeof line, maps))
		if (strstr(line, "[vdso]")) sscanf(line, "%lx", &start);
	return start;
}

#ifdef __i386__
/* A system call that does next to nothing: getpid. */
#define SYSTEM_CALLS (CALLS / 20)
void by_interrupt(void);
__asm__(".globl by_interrupt; by_interrupt: int $0x80; ret");
static void system_call(void *function) {
	int result = 20;
	__asm__ volatile("call *%1" : "+a"(result) : "D"(function) : "memory", "cc");
}
#endif

typedef int (*clock_fn)(long, void *);
typedef int (*getcpu_fn)(void *, void *, void *);
typedef long (*time_fn)(void *);
struct variant { const char *name; const char *symbol; int kind; long id; };
static const struct variant variants[] = {
#ifdef __i386__
	{"__kernel_vsyscall", "__kernel_vsyscall", 4, 0},
	{"int 0x80", NULL, 4, 0},
	{"clock_gettime64 REALTIME", "__vdso_clock_gettime64", 0, 0},
	{"clock_gettime64 MONOTONIC", "__vdso_clock_gettime64", 0, 1},
	{"clock_gettime64 REALTIME_COARSE", "__vdso_clock_gettime64", 0, 5},
#endif
	{"clock_gettime REALTIME", "__vdso_clock_gettime", 0, 0},
	{"clock_gettime MONOTONIC", "__vdso_clock_gettime", 0, 1},
	{"clock_gettime REALTIME_COARSE", "__vdso_clock_gettime", 0, 5},
	{"clock_gettime MONOTONIC_COARSE", "__vdso_clock_gettime", 0, 6},
	{"gettimeofday", "__vdso_gettimeofday", 1, 0},
	{"time", "__vdso_time", 2, 0},
	{"getcpu", "__vdso_getcpu", 3, 0},
	{"clock_getres", "__vdso_clock_getres", 0, 1},
};
#define VARIANTS (int)(sizeof variants / sizeof *variants)

static double measure(const struct variant *variant, void *function) {
	struct { int64_t seconds, nanoseconds; } buffer;
	unsigned cpu, node, aux;
	uint64_t start = __rdtscp(&aux);
#ifdef __i386__
	if (variant->kind == 4) {
		for (int i = 0; i < SYSTEM_CALLS; i++) system_call(function);
		return (double)(__rdtscp(&aux) - start) / SYSTEM_CALLS;
	}
#endif
	for (int i = 0; i < CALLS; i++) {
		switch (variant->kind) {
		case 0: ((clock_fn)function)(variant->id, &buffer); break;
		case 1: ((clock_fn)function)((long)&buffer, NULL); break;
		case 2: ((time_fn)function)(NULL); break;
		case 3: ((getcpu_fn)function)(&cpu, &node, NULL); break;
		}
	}
	return (double)(__rdtscp(&aux) - start) / CALLS;
}

static int ascending(const void *a, const void *b) {
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static double median(double *values) {
	qsort(values, ROUNDS, sizeof *values, ascending);
	return values[ROUNDS / 2];
}

int main(void) {
	uintptr_t ours = getauxval(AT_SYSINFO_EHDR), host = host_base();
	static double own[VARIANTS][ROUNDS], reference[VARIANTS][ROUNDS], ratio[VARIANTS][ROUNDS];
	for (int round = -20; round < ROUNDS; round++) {
		for (int v = 0; v < VARIANTS; v++) {
			const char *symbol = variants[v].symbol;
			void *a, *b;
#ifdef __i386__
			if (symbol == NULL) a = by_interrupt, b = find(host, "__kernel_vsyscall");
			else
#endif
				a = find(ours, symbol), b = find(host, symbol);
			/* Which of the two comes first changes from round to round. */
			double x, y;
			if (round & 1) { x = measure(&variants[v], a); y = measure(&variants[v], b); }
			else { y = measure(&variants[v], b); x = measure(&variants[v], a); }
			if (round < 0) continue;
			own[v][round] = x; reference[v][round] = y; ratio[v][round] = x / y;
		}
	}
	printf("{\"rounds\":%d,\"callsPerRound\":%d,\"isOwnImage\":%s,\"functions\":[", ROUNDS, CALLS, ours == host ? "false" : "true");
	for (int v = 0; v < VARIANTS; v++)
		printf("%s{\"name\":\"%s\",\"cycles\":%.1f,\"hostCycles\":%.1f,\"ratio\":%.3f}", v ? "," : "", variants[v].name,
			median(own[v]), median(reference[v]), median(ratio[v]));
	printf("]}\n");
	return 0;
}
