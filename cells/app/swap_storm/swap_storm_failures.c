/* SPDX-License-Identifier: MIT */
/*
 * How many steps there are is known from a swap that succeeds: of cells for fresh copies of
 * themselves. Under load their number varies: what a program has stored to in the meantime is not
 * patched. The swap with a transfer has no way back, so it goes up its steps until it succeeds.
 */
#include "cell_namespace.h"
#include "console.h"
#include "diag.h"
#include "heap.h"
#include "swap_sample.h"
#include "swap_storm.h"

#define TIMEOUT_NS     2000000000ull
#define STEPS_OF_THREE 80u /* about */
#define TRIES          4u
#define LINE_SIZE      300u

struct names {
    char names[SWAP_MAX_PAIRS][SWAP_NAME_SIZE];
    struct swap_pair pairs[SWAP_MAX_PAIRS];
    uint32_t count;
};

/* What has been tried. */
struct tally {
    uint64_t failed;
    uint64_t wrong;
};

/* All but this one: what is replaced together with what it calls goes on with that. */
static void collect_names(struct names *names)
{
    GUARD(mutex, held, cell_namespace_mutex());
    names->count = 0;
    for (const struct cell *cell = cell_namespace_initial()->first;
         cell && names->count < SWAP_MAX_PAIRS; cell = cell->next) {
        char *name = names->names[names->count];
        if (__builtin_strcmp(cell->name, "swap_storm") == 0) {
            continue;
        }
        __builtin_memcpy(name, cell->name, __builtin_strlen(cell->name) + 1);
        names->pairs[names->count++] = (struct swap_pair){name, name};
    }
}

static struct swap_request request_of(const struct swap_pair *pairs, uint32_t count)
{
    return (struct swap_request){
        .namespace = cell_namespace_initial(),
        .pairs = pairs,
        .pair_count = count,
        .flags = SWAP_PROVE,
        .timeout_ns = TIMEOUT_NS,
    };
}

/* False: there is no such step, and the swap is done; `*out_steps` is how many there were. */
static bool fail_step(struct swap_request *request, uint64_t step, struct tally *tally,
                      uint64_t *out_steps)
{
    struct diag diag = {0};
    struct swap_report report = {0};
    uint64_t before = swap_state_hash(request->namespace, false);
    request->fail_step = step;
    if (swap_cells(request, &report, &diag) == OK) {
        *out_steps = report.steps;
        return false;
    }
    bool is_right = swap_state_hash(request->namespace, false) == before &&
                    report.hash_before == report.hash_after && diag.code != 0;
    if (!is_right) {
        char line[LINE_SIZE];
        diag_format(&diag, line, sizeof(line));
        console_print("swap_storm: step %lu is not as it was: %s\n", (unsigned long)step, line);
    }
    tally->failed++;
    tally->wrong += !is_right;
    return true;
}

static bool report(const char *what, const struct tally *tally, uint64_t steps, uint64_t least)
{
    console_print("swap_storm: %s: %lu of %lu steps failed, %lu of them wrong\n", what,
                  (unsigned long)tally->failed, (unsigned long)steps, (unsigned long)tally->wrong);
    return check(what, tally->wrong == 0 && tally->failed >= least);
}

/* Of cells for themselves: `samples` steps from the first to the last, 0: all. */
static bool fail_copies(const char *what, const struct swap_pair *pairs, uint32_t count,
                        uint32_t samples)
{
    struct swap_request request = request_of(pairs, count);
    struct swap_report done = {0};
    struct diag diag = {0};
    if (swap_cells(&request, &done, &diag) != OK || done.steps < 2) {
        return check(what, false);
    }
    struct tally tally = {0};
    uint64_t most = samples >= 2 && samples < done.steps ? samples : done.steps;
    for (uint64_t i = 0; i < most; i++) {
        uint64_t step = 1 + i * (done.steps - 1) / (most - 1);
        uint64_t steps = step;
        for (unsigned k = 0; k < TRIES && !fail_step(&request, step, &tally, &steps); k++) {
            step = steps < step ? steps : step - 1;
        }
    }
    return report(what, &tally, done.steps, most);
}

/* Every gap-th step of a swap with a transfer, until there is no such step. */
static bool fail_transfer(uint32_t samples)
{
    static const struct swap_pair pair = {ONE, THREE};
    struct swap_request request = request_of(&pair, 1);
    struct tally tally = {0};
    uint64_t gap = samples >= 2 && samples < STEPS_OF_THREE ? STEPS_OF_THREE / samples : 1;
    uint64_t step = 1;
    while (swap_sample_count() % SWAP_SAMPLE_ORDERS != 0) {
    }
    uint64_t steps = 0;
    while (fail_step(&request, step, &tally, &steps)) {
        step += gap;
    }
    return report("one with a transfer", &tally, steps, 2) &&
           check("the third one is there", swap_sample_version() == 3);
}

bool test_failures(const struct load *load, uint32_t samples)
{
    static const struct swap_pair pair = {ONE, ONE};
    struct names *names = heap_allocate(sizeof(*names));
    if (!names) {
        return false;
    }
    uint64_t rounds = load_rounds(load);
    bool is_right = check("the first one is there", swap_sample_version() == 1);
    is_right &= fail_copies("one cell", &pair, 1, samples);
    collect_names(names);
    is_right &= fail_copies("all cells", names->pairs, names->count, samples);
    heap_free(names);
    is_right &= fail_transfer(samples);
    return check("the load goes on meanwhile", load_rounds(load) > rounds) && is_right;
}
