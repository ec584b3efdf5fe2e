/* SPDX-License-Identifier: MIT */
/* commit_priv.h - places in the sequences, as distances from where their code begins. */
#pragma once

#include "commit.h"

struct commit_places {
    uint32_t two, two_end;
    uint32_t three, three_last, three_end;
    uint32_t move, move_end;
    uint32_t all, all_stored, all_end;
    uint32_t exchange, exchange_store, exchange_end;
    uint32_t pop, pop_done, pop_end;
    uint32_t push, push_store, push_end;
    uint32_t size;
};

extern const struct commit_places commit_places;

/* The distance of `rip`. */
uint64_t commit_place_of(uint64_t rip);
