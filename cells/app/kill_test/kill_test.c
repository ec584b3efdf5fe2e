/* SPDX-License-Identifier: MIT */
/*
 * kill_test - kills tasks in every state, and many at random moments.
 *
 *   kill_test                             states, then a storm of KILLS_DEFAULT
 *   kill_test states                      one task in each state and each wait
 *   kill_test storm [KILLS [SEED]]        so many of those that do everything
 *   kill_test soak [SECONDS [SEED]]       the same for so long; an hour if it is not said
 */
#include "frame_allocator.h"
#include "freestanding.h"
#include "heap.h"
#include "kill_test.h"
#include "page_table.h"

CELL(application, "1.0.0");

APPLICATION(kill_test);

#define KILLS_DEFAULT 1000u
#define SOAK_DEFAULT  3600u
#define SEED_DEFAULT  20261121u
#define LOOKS         500u /* at 20 ms */

struct counts count(void)
{
    struct task_statistics tasks;
    unsigned looks = 0;
    do {
        task_sleep(20 * MILLISECOND);
        task_release_stacks();
        tasks = task_statistics();
    } while (tasks.tasks > 1 && ++looks < LOOKS);
    struct heap_statistics heap = heap_statistics();
    return (struct counts){
        .frames = frame_allocator_statistics().free + page_table_statistics().tables +
                  heap.bytes_mapped / PAGE_SIZE,
        .blocks = heap.blocks_in_use,
        .tasks = tasks.tasks,
    };
}

enum status compare(const char *test, struct counts before)
{
    struct counts now = count();
    long frames = (long)(before.frames - now.frames);
    bool is_same = now.blocks == before.blocks && now.tasks == before.tasks &&
                   frames <= FRAMES_KEPT && frames >= -FRAMES_KEPT;
    console_print("kill_test: %s: %lu then %lu tasks, %lu then %lu blocks, %ld frames less: %s\n",
                  test, (unsigned long)before.tasks, (unsigned long)now.tasks,
                  (unsigned long)before.blocks, (unsigned long)now.blocks, frames,
                  is_same ? "nothing is lost" : "SOMETHING IS LOST");
    return is_same ? OK : ERR_FAILED;
}

static bool is_word(const struct app_arguments *arguments, const char *word)
{
    return arguments->count > 1 && strcmp(arguments->values[1], word) == 0;
}

enum status kill_test_main(const struct app_arguments *arguments)
{
    uint64_t seed = app_number(arguments, 3, SEED_DEFAULT);
    if (is_word(arguments, "states")) {
        return test_states();
    }
    if (is_word(arguments, "storm")) {
        return test_storm((unsigned)app_number(arguments, 2, KILLS_DEFAULT), 0, seed);
    }
    if (is_word(arguments, "soak")) {
        return test_storm(0, (unsigned)app_number(arguments, 2, SOAK_DEFAULT), seed);
    }
    if (arguments->count > 1) {
        console_print("kill_test: what is `%s`?\n", arguments->values[1]);
        return ERR_INVALID_ARGUMENT;
    }
    enum status status = test_states();
    enum status storm = test_storm(KILLS_DEFAULT, 0, seed);
    return status == OK ? storm : status;
}
