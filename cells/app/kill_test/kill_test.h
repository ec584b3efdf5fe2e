/* SPDX-License-Identifier: MIT */
/* kill_test.h - what the files of this application share. */
#pragma once

#include "application.h"
#include "async_channel.h"
#include "console.h"
#include "task.h"

#define MILLISECOND 1000000ull
#define SECOND      1000000000ull
#define LIMIT       (20 * SECOND) /* virtual CPUs may wait long for a real one */

/* ---- what must not be lost; kill_test.c ---- */

#define FRAMES_KEPT 16 /* more or less: CPUs keep single ones for themselves */

struct counts {
    uint64_t frames; /* free, of page tables, or the heap's: what is lost there blocks tell */
    uint64_t blocks; /* of the heap */
    uint64_t tasks;
};

/* When all that end have ended, and without the stacks that are kept for later. */
struct counts count(void);

/* Says what is lost. ERR_FAILED if anything is. */
enum status compare(const char *test, struct counts before);

/* ---- the tests ---- */

enum status test_states(void);

/* Kills so many tasks, or for so long if that is not 0. */
enum status test_storm(unsigned kills, unsigned seconds, uint64_t seed);
