/* SPDX-License-Identifier: MIT */
/*
 * swap_priv.h - what the files of the swap share.
 *
 * swap.c goes through the stages, of which swap_plan.h decides what is stored. swap_commit.c stores
 * it, swap_retire.c frees old cells and remembers swaps, swap_hash.c is for proofs.
 */
#pragma once

#include "cell_metadata.h"
#include "diag.h"
#include "loader_aside.h"
#include "remote_call.h"
#include "swap.h"
#include "swap_plan.h"

static_assert(SWAP_NAME_SIZE == SWAP_PLAN_NAME_SIZE, "one is copied to the other");

static inline uint64_t swap_ticks(void)
{
    return __builtin_ia32_rdtsc();
}

/* ---- the work ---- */

enum swap_state {
    SWAP_STATE_OPEN,      /* nothing has been touched */
    SWAP_STATE_APPLYING,  /* stores of the window are being made */
    SWAP_STATE_COMMITTED, /* they are made, and stay; what is left cannot fail */
    SWAP_STATE_DONE,
};

struct swap_record;
struct time_limit;

/* What is to be swapped, and the id of a swap that is remembered no longer when that is done; 0: none. */
struct swap_items {
    const struct swap_item *list; /* as many as the request has pairs */
    uint64_t forgets;
};

/* One swap under way. Everything that it owns is released by its drop, at whatever stage. */
struct OWN_CAPABILITY("swap under way") swap_work {
    const struct swap_request *request;
    struct step_counter steps;
    struct swap_plan plan;
    uint64_t forgets;
    struct swap_record *record;    /* owned until it is remembered */
    struct swap_record *replaced;  /* owned: was remembered in its place */
    struct swap_record *forgotten; /* owned: of `forgets` */
    struct time_limit *limit;      /* borrowed from the window; NULL where it calls nobody */
    enum swap_state state;
    bool is_prepared;     /* hooks: `finish` is owed */
    bool is_transferring; /* hooks: `restore` is owed if the stores are taken back */
    struct swap_report report;
};

enum status swap_refuse_memory(struct diag *diag);

/* Refuses because a step was made to fail. */
enum status swap_refuse_step(struct diag *diag);

/* Refuses because a hook did. */
enum status swap_refuse_hook(enum status status, const char *hook, struct diag *diag);

/* ---- stages ---- */

enum status swap_commit(struct swap_work *work, struct diag *diag) MUST_CHECK;

/* What is left of a committed swap; may be begun again. Returns its id. */
uint64_t swap_finish(struct swap_work *work);

/* Takes back what was stored in the window, last first; may be begun again. */
void swap_undo(struct swap_work *work);

/* ---- memory of swaps (swap_retire.c) ---- */

enum status swap_record_create(struct swap_work *work, struct diag *diag) MUST_CHECK;

/* In one step: the work's record is known, others are not, and the caller of swap_cells() has the id. */
uint64_t swap_remember(struct swap_work *work);

/* The swap of that id, or NULL; its items in the direction back. */
const struct swap_record *swap_record_find(uint64_t id);
const struct swap_item *swap_record_items(const struct swap_record *record);
uint32_t swap_record_count(const struct swap_record *record);
struct cell_namespace *swap_record_namespace(const struct swap_record *record);

uint32_t swap_retire_locked(void);
void swap_retire_if_many(void);

/* ---- frames (swap_frames.c) ---- */

/* Has a stack, or may it have, a frame in an old cell? With all others stopped; `diag` names the first. */
bool swap_find_frame(struct swap_work *work, const struct remote_stop *stop, struct diag *diag)
    OWN_BORROWS(*stop);

/* ---- proofs (swap_hash.c) ---- */

enum swap_hash_data {
    SWAP_HASH_NO_DATA,
    SWAP_HASH_LEAVING_DATA, /* of cells that are about to be replaced, with all other CPUs stopped */
    SWAP_HASH_ALL_DATA,
};

uint64_t swap_hash(const struct cell_namespace *namespace, enum swap_hash_data data);
