/* SPDX-License-Identifier: MIT */
/*
 * fpu_test - computes in vector registers, in more tasks than there are CPUs, which are preempted,
 * yield and move; beside them run tasks that use none. Each result is compared with what integers
 * give.
 *
 * Values stay in registers from one piece of assembly to the next, over calls: cells are compiled
 * without vector instructions, so only a switch that loses them could change them.
 */
#include "application.h"
#include "console.h"
#include "fpu.h"
#include "heap.h"
#include "task.h"

CELL(application, "1.0.0");

APPLICATION(fpu_test);

#define TASKS        12u
#define ROUNDS       20u
#define ADDITIONS    200000u /* a round: some are longer than a slice */
#define YIELD_ROUNDS 1000u

enum width {
    WIDTH_SSE = 16,
    WIDTH_AVX = 32,
};

struct work {
    uint64_t seed;
    enum width width;
};

/* AVX2, and registers of that size that are saved. */
static bool has_avx(void)
{
    bool is_enabled = (cpuid(1, 0).ecx & (1u << 27)) && (cpuid(1, 0).ecx & (1u << 28));
    return is_enabled && cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx & (1u << 5));
}

/* ---- pieces; a vector of 8 bytes each that sums up, and one that is added ---- */

static void sse_begin(const uint64_t *start, const uint64_t *step)
{
    __asm__ volatile("movdqu (%0), %%xmm3\n\tmovdqu (%1), %%xmm12" : : "r"(start), "r"(step));
}

static void sse_add(uint64_t count)
{
    __asm__ volatile("1: paddq %%xmm12, %%xmm3\n\tdec %0\n\tjnz 1b" : "+r"(count) : : "cc");
}

static void sse_end(uint64_t *sum)
{
    __asm__ volatile("movdqu %%xmm3, (%0)" : : "r"(sum) : "memory");
}

static void avx_begin(const uint64_t *start, const uint64_t *step)
{
    __asm__ volatile("vmovdqu (%0), %%ymm3\n\tvmovdqu (%1), %%ymm12" : : "r"(start), "r"(step));
}

static void avx_add(uint64_t count)
{
    __asm__ volatile("1: vpaddq %%ymm12, %%ymm3, %%ymm3\n\tdec %0\n\tjnz 1b"
                     : "+r"(count)
                     :
                     : "cc");
}

static void avx_end(uint64_t *sum)
{
    __asm__ volatile("vmovdqu %%ymm3, (%0)" : : "r"(sum) : "memory");
}

/* The rounding mode is state too: each task has its own. */
static uint32_t exchange_mxcsr(uint32_t value)
{
    uint32_t old;
    __asm__ volatile("stmxcsr %0\n\tldmxcsr %1" : "=m"(old) : "m"(value));
    return old;
}

/* How many of the 64-bit results were wrong, and how often a register was not as at first. */
static unsigned compute(struct work *work)
{
    unsigned lanes = work->width / sizeof(uint64_t);
    uint64_t start[4];
    uint64_t step[4];
    for (unsigned i = 0; i < lanes; i++) {
        start[i] = work->seed * (i + 3);
        step[i] = work->seed * 0x9e3779b97f4a7c15ull + i;
    }
    uint32_t rounding = 0x1f80 | (uint32_t)(work->seed % 4) << 13;
    unsigned wrong = exchange_mxcsr(rounding) != 0x1f80; /* what a task begins with */
    work->width == WIDTH_AVX ? avx_begin(start, step) : sse_begin(start, step);
    for (unsigned round = 0; round < ROUNDS; round++) {
        work->width == WIDTH_AVX ? avx_add(ADDITIONS) : sse_add(ADDITIONS);
        if (round % 4 == 1) {
            task_yield();
        } else if (round % 4 == 3) {
            task_sleep(100000);
        }
    }
    uint64_t sum[4];
    work->width == WIDTH_AVX ? avx_end(sum) : sse_end(sum);
    for (unsigned i = 0; i < lanes; i++) {
        wrong += sum[i] != start[i] + step[i] * ROUNDS * ADDITIONS;
    }
    return wrong + (exchange_mxcsr(0x1f80) != rounding);
}
TASK_DEFINE(computer, struct work, unsigned, compute);

/* Uses none: then it has no state either, which its record says. */
static unsigned do_without(struct work *work)
{
    uint64_t sum = work->seed;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (uint64_t i = 0; i < ADDITIONS; i++) {
            __asm__ volatile("addq %1, %0" : "+r"(sum) : "r"(i) : "cc");
        }
        task_yield();
    }
    uint64_t expected = work->seed + ROUNDS * ((uint64_t)ADDITIONS * (ADDITIONS - 1) / 2);
    return (sum != expected) + (parking_self()->vector_state != NULL);
}
TASK_DEFINE(abstainer, struct work, unsigned, do_without);

static enum status run_all(enum width width, unsigned *wrong)
{
    struct computer_task *computers[TASKS] = {0};
    struct abstainer_task *abstainers[TASKS] = {0};
    enum status status = OK;
    for (unsigned i = 0; i < TASKS && status == OK; i++) {
        OWNED(computer_task, computer);
        OWNED(abstainer_task, abstainer);
        struct work work = {i + 1, width};
        status = computer_spawn(&work, NULL, SLOT(computer));
        if (status != OK) {
            break;
        }
        STORE(computers[i], computer);
        status = abstainer_spawn(&work, NULL, SLOT(abstainer));
        if (status != OK) {
            break;
        }
        STORE(abstainers[i], abstainer);
    }
    for (unsigned i = 0; i < TASKS && computers[i]; i++) {
        OWNED(computer_task, computer);
        LOAD(computer, computers[i]);
        unsigned found = 0;
        enum status joined = computer_join(SLOT(computer), &found);
        *wrong += joined == OK ? found : 1;
    }
    for (unsigned i = 0; i < TASKS && abstainers[i]; i++) {
        OWNED(abstainer_task, abstainer);
        LOAD(abstainer, abstainers[i]);
        unsigned found = 0;
        enum status joined = abstainer_join(SLOT(abstainer), &found);
        *wrong += joined == OK ? found : 1;
    }
    return status;
}

/* ---- what it costs ---- */

static int yield_with_vectors(bool *with)
{
    if (*with) {
        sse_end((uint64_t[2]){0});
    }
    for (unsigned i = 0; i < YIELD_ROUNDS + 100; i++) {
        task_yield();
    }
    return 0;
}
TASK_DEFINE(yielder, bool, int, yield_with_vectors);

static int measure_switches(bool *with)
{
    struct task_options here = {.is_pinned = true, .cpu = CPU_LOCAL(index)};
    OWNED(yielder_task, other);
    enum status status = yielder_spawn(with, &here, SLOT(other));
    if (status != OK) {
        return status;
    }
    if (*with) {
        sse_end((uint64_t[2]){0});
    }
    task_yield();
    uint64_t start = read_tsc();
    for (unsigned i = 0; i < YIELD_ROUNDS; i++) {
        task_yield();
    }
    uint64_t tenths = (read_tsc() - start) * 10 / (2 * YIELD_ROUNDS);
    console_print("figure task_switch_%s_vectors %lu.%lu\n", *with ? "with" : "without",
                  (unsigned long)(tenths / 10), (unsigned long)(tenths % 10));
    int result;
    return yielder_join(SLOT(other), &result);
}
TASK_DEFINE(measurer, bool, int, measure_switches);

static enum status measure(bool with)
{
    struct task_options here = {.is_pinned = true, .cpu = CPU_LOCAL(index)};
    OWNED(measurer_task, task);
    enum status status = measurer_spawn(&with, &here, SLOT(task));
    if (status != OK) {
        return status;
    }
    int result;
    status = measurer_join(SLOT(task), &result);
    return status == OK ? (enum status)result : status;
}

enum status fpu_test_main(const struct app_arguments *arguments)
{
    (void)arguments;
    unsigned wrong = 0;
    console_print("fpu_test: %lu bytes of state, %s, on %u CPUs\n", (unsigned long)fpu_state_size(),
                  has_avx() ? "with AVX" : "without AVX", (unsigned)dispatcher_cpu_count());
    enum status status = run_all(WIDTH_SSE, &wrong);
    if (status == OK && has_avx()) {
        status = run_all(WIDTH_AVX, &wrong);
    }
    console_print("fpu_test: %u tasks at a time, %u wrong: %s\n", 2 * TASKS, wrong,
                  status == OK && wrong == 0 ? "OK" : "FAILED");
    status = status == OK ? measure(false) : status;
    status = status == OK ? measure(true) : status;
    return status == OK && wrong ? ERR_FAILED : status;
}
