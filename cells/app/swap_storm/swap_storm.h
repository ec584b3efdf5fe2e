/* SPDX-License-Identifier: MIT */
/* swap_storm.h - what the files of swap_storm share. */
#pragma once

#include "mutex.h"
#include "swap.h"

#define ONE      "swap_sample_one"
#define TWO      "swap_sample_two"
#define THREE    "swap_sample_three"
#define PAUSE_NS 2000000ull

/* Prints it, and returns what it is told. */
bool check(const char *what, bool is_right);

struct load;
typedef bool (*load_test_t)(const struct load *load, uint32_t number);

/* Runs `test` under the load. True: it has said so, and nothing was wrong in the load. */
bool under_load(load_test_t test, uint32_t number);

/* Rounds of the load so far. */
uint64_t load_rounds(const struct load *load);

bool test_failures(const struct load *load, uint32_t samples);
bool test_faults(uint32_t samples);
bool test_kills(const struct load *load, uint32_t kills);
