/* SPDX-License-Identifier: MIT */
/*
 * What one frame of a backtrace costs, beside the unwinders that a user would pick, in one run:
 * libgcc, LLVM's libunwind and nongnu libunwind. Each walks the same 24 frames of this program, of
 * different sizes, from the innermost out to main(); the figure is the least of several rounds,
 * divided by the frames. Ours is measured cold (no row is kept: each is found and evaluated) and
 * warm (by the cache). The libraries keep what they keep: what they are told of is libc's loader,
 * and theirs.
 *
 * LLVM's and nongnu's libraries are loaded at run time; where one is missing its line is left out.
 */
#include "host_source.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <unwind.h>

#define DEPTH      24
#define ROUNDS     40
#define WALKS      200
#define FRAMES_MAX 128

typedef _Unwind_Reason_Code (*backtrace_function)(_Unwind_Trace_Fn visit, void *context);
typedef int (*collect_function)(void **buffer, int size);

struct candidate {
    const char *name;
    unsigned (*walk)(const struct candidate *candidate);
    backtrace_function backtrace;
    collect_function collect;
};

static struct unwind_cache cache;
static struct candidate candidates[6];
static size_t candidate_count;
static volatile long sink;

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* ---- the walks; each returns how many frames it saw ---- */

static unsigned walk_with(struct unwind_cache *with)
{
    uint64_t registers[CFI_REGISTER_COUNT];
    struct unwind_cursor cursor;
    unsigned frames = 0;
    __asm__ volatile("movq %%rbx, 24(%0); movq %%rbp, 48(%0); movq %%rsp, 56(%0);"
                     "movq %%r12, 96(%0); movq %%r13, 104(%0); movq %%r14, 112(%0);"
                     "movq %%r15, 120(%0); leaq 1f(%%rip), %%rax; movq %%rax, 128(%0); 1:"
                     :
                     : "r"(registers)
                     : "rax", "memory");
    unwind_begin(&cursor, host_source(), with, registers, true);
    while (unwind_step(&cursor) == UNWIND_CALLER) {
        frames++;
    }
    return frames;
}

static unsigned walk_cold(const struct candidate *candidate)
{
    (void)candidate;
    return walk_with(NULL);
}

static unsigned walk_warm(const struct candidate *candidate)
{
    (void)candidate;
    return walk_with(&cache);
}

static _Unwind_Reason_Code count_frame(struct _Unwind_Context *context, void *count)
{
    (void)context;
    ++*(unsigned *)count;
    return _URC_NO_REASON;
}

static unsigned walk_library(const struct candidate *candidate)
{
    unsigned count = 0;
    candidate->backtrace(count_frame, &count);
    return count;
}

static unsigned collect_library(const struct candidate *candidate)
{
    void *frames[FRAMES_MAX];
    return (unsigned)candidate->collect(frames, FRAMES_MAX);
}

/* ---- measuring ---- */

static void measure(const struct candidate *candidate)
{
    double least = 1e30;
    unsigned frames = candidate->walk(candidate);
    for (int round = 0; round < ROUNDS && frames > 0; round++) {
        double start = now_ns();
        for (int i = 0; i < WALKS; i++) {
            frames = candidate->walk(candidate);
        }
        double each = (now_ns() - start) / WALKS / frames;
        least = each < least ? each : least;
    }
    if (frames >= DEPTH) {
        printf("unwind_%s_ns %.1f\nunwind_%s_frames %u\n", candidate->name, least, candidate->name,
               frames);
    }
}

#define FRAME(name, next, words)                                   \
    static __attribute__((noinline)) long name(long depth, long a) \
    {                                                              \
        volatile long room[words];                                 \
        room[0] = a;                                               \
        long b = depth > 0 ? next(depth - 1, a * 3) : 0;           \
        return b + room[0] * a;                                    \
    }

static __attribute__((noinline)) long bottom(long depth, long a)
{
    (void)depth;
    for (size_t i = 0; i < candidate_count; i++) {
        measure(&candidates[i]);
    }
    return a;
}

static long frame_small(long depth, long a);
static __attribute__((noinline)) long frame_last(long depth, long a)
{
    long b = depth > 0 ? frame_small(depth, a) : bottom(depth, a);
    return b + a;
}
FRAME(frame_large, frame_last, 300)
FRAME(frame_middle, frame_large, 20)
FRAME(frame_small, frame_middle, 1)

static void add(struct candidate candidate)
{
    if (candidate.walk != walk_library || candidate.backtrace) {
        candidates[candidate_count++] = candidate;
    }
}

static void *open_library(const char *const *names)
{
    void *library = NULL;
    for (; *names && !library; names++) {
        library = dlopen(*names, RTLD_NOW | RTLD_LOCAL);
    }
    return library;
}

static void *find_symbol(void *library, const char *name)
{
    return library ? dlsym(library, name) : NULL;
}

int main(void)
{
    static const char *const llvm_names[] = {"/usr/lib/llvm-19/lib/libunwind.so.1",
                                             "/usr/lib/x86_64-linux-gnu/libunwind.so.1", NULL};
    static const char *const nongnu_names[] = {"libunwind.so.8", NULL};
    void *llvm = open_library(llvm_names);
    void *nongnu = open_library(nongnu_names);
    uint64_t high = (uint64_t)environ; /* above the first frame */
    host_source_add_stack(high - (1 << 20), high);
    host_source(); /* with the libraries' tables: as many as they see */
    add((struct candidate){.name = "ours_cold", .walk = walk_cold});
    add((struct candidate){.name = "ours_warm", .walk = walk_warm});
    add((struct candidate){.name = "libgcc", .walk = walk_library, .backtrace = _Unwind_Backtrace});
    add((struct candidate){
        .name = "llvm",
        .walk = walk_library,
        .backtrace = (backtrace_function)find_symbol(llvm, "_Unwind_Backtrace"),
    });
    add((struct candidate){
        .name = "nongnu_cold",
        .walk = walk_library,
        .backtrace = (backtrace_function)find_symbol(nongnu, "_Unwind_Backtrace"),
    });
    struct candidate nongnu_warm = {
        .name = "nongnu_warm",
        .walk = collect_library,
        .collect = (collect_function)find_symbol(nongnu, "unw_backtrace"),
    };
    if (nongnu_warm.collect) {
        add(nongnu_warm);
    }
    sink = frame_small(DEPTH, 1);
    printf("unwind_cache_hits %llu\nunwind_cache_misses %llu\n", (unsigned long long)cache.hits,
           (unsigned long long)cache.misses);
    return EXIT_SUCCESS;
}
