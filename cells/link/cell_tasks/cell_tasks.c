/* SPDX-License-Identifier: MIT */
/*
 * The same functions are spawned again and again, so what the address map said is noted, and holds
 * as long as no other table is published. A note is written by whoever finds it at rest and read
 * without a lock: an odd `version`, or one that changes meanwhile, means that nothing was read.
 * Writing is a slot: who is struck in it leaves a note of no address.
 */
#include "cell_tasks.h"

#include "address_map.h"
#include "commit.h"
#include "own.h"

CELL(library, "1.0.0");

static void (*finder)(const struct cell *cell, char name[CELL_TASKS_NAME_SIZE]); /* NULL: nobody */

#define NOTES 32u /* a power of two; functions that tasks begin in, often */

#define NO_ADDRESS UINT64_MAX

struct note {
    uint64_t version;    /* odd: being written */
    uint64_t address;    /* the last that is written; NO_ADDRESS before */
    uint64_t generation; /* of the address map */
    struct cell *cell;
};

static struct note notes[NOTES];

/* Notes of other functions in the same place are replaced. */
static struct note *note_of(uint64_t address)
{
    return &notes[(address ^ address >> 5 ^ address >> 10) % NOTES];
}

static struct cell *recall(const struct note *note, uint64_t address)
{
    uint64_t version = __atomic_load_n(&note->version, __ATOMIC_ACQUIRE);
    bool is_right =
        __atomic_load_n(&note->address, __ATOMIC_RELAXED) == address &&
        __atomic_load_n(&note->generation, __ATOMIC_RELAXED) == address_map_generation();
    struct cell *cell = __atomic_load_n(&note->cell, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* the fields before the version: write_down() */
    is_right = is_right && __atomic_load_n(&note->version, __ATOMIC_RELAXED) == version;
    return is_right && version % 2 == 0 ? cell : NULL;
}

/* A note that is being written: its version is odd. */
struct OWN_CAPABILITY("writing of a note") writing;
OWN_DECLARE_LOCAL(writing);

static NOINLINE void writing_drop(struct writing **handle)
{
    struct note *note = (struct note *)*handle;
    if (note) {
        commit_two(&note->version, note->version + 1, handle, NULL);
    }
}

static void write_down(struct note *note, uint64_t address, uint64_t generation,
                       struct cell *cell) OWN_UNCHECKED
{
    OWNED(writing, writing);
    uint64_t version = __atomic_load_n(&note->version, __ATOMIC_RELAXED);
    if (version % 2 != 0 ||
        !commit_exchange(&note->version, version, version + 1, SLOT(writing), note)) {
        return;
    }
    __atomic_thread_fence(__ATOMIC_RELEASE); /* the version before the fields: recall() */
    __atomic_store_n(&note->address, NO_ADDRESS, __ATOMIC_RELEASE);
    __atomic_store_n(&note->generation, generation, __ATOMIC_RELAXED);
    __atomic_store_n(&note->cell, cell, __ATOMIC_RELAXED);
    __atomic_store_n(&note->address, address, __ATOMIC_RELEASE);
}

/* What was true when the generation was read is so now: the caller knows that its cell stays. */
void cell_tasks_get(uint64_t address, struct cell **out)
{
    struct note *note = note_of(address);
    struct cell *cell = recall(note, address);
    if (!cell) {
        uint64_t generation = address_map_generation();
        const struct section *section = address_map_find(address);
        if (!section) {
            return;
        }
        cell = section->cell;
        write_down(note, address, generation, cell);
    }
    uint64_t count;
    do {
        count = __atomic_load_n(&cell->task_count, __ATOMIC_RELAXED);
    } while (!commit_exchange(&cell->task_count, count, count + 1, out, cell));
}

/* What the task did comes before: pairs with cell_tasks_count(). */
void cell_tasks_put(struct cell **slot)
{
    struct cell *cell = *slot;
    while (cell) {
        uint64_t count = __atomic_load_n(&cell->task_count, __ATOMIC_RELAXED);
        if (commit_exchange(&cell->task_count, count, count - 1, slot, NULL)) {
            return;
        }
    }
}

uint64_t cell_tasks_count(const struct cell *cell, char name[CELL_TASKS_NAME_SIZE])
{
    name[0] = '\0';
    if (__atomic_load_n(&cell->task_count, __ATOMIC_ACQUIRE) == 0) {
        return 0;
    }
    if (finder) {
        finder(cell, name);
    }
    return __atomic_load_n(&cell->task_count, __ATOMIC_ACQUIRE);
}

void cell_tasks_set_finder(void (*find)(const struct cell *cell, char name[CELL_TASKS_NAME_SIZE]))
{
    finder = find;
}
