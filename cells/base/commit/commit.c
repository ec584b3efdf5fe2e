/* SPDX-License-Identifier: MIT */
/*
 * What is still to store is read off the registers. Whether an exchange has succeeded is told by
 * them too, not by the flags: where it fails the CPU loads what it found, which differs from what
 * was expected.
 */
#include "commit_priv.h"

CELL(library, "1.0.0");

/* DWARF numbers (psABI). */
enum {
    RAX = 0,
    RDX = 1,
    RCX = 2,
    RSI = 4,
    RDI = 5,
    R8 = 8,
    R9 = 9,
    R10 = 10,
    R11 = 11,
    RIP = 16,
};

static void store(uint64_t where, uint64_t value)
{
    *(volatile uint64_t *)(uintptr_t)where = value;
}

bool commit_is_within(uint64_t rip)
{
    return commit_place_of(rip) < commit_places.size;
}

/* Was the pair in rax and rdx what was expected, and so is the exchange done? */
static bool has_exchanged(const uint64_t *registers)
{
    return registers[RAX] == registers[R8] && registers[RDX] == registers[R9];
}

static void store_rest(const uint64_t *registers, bool has_begun)
{
    if (registers[RDI] == registers[R8] && !has_begun) {
        return;
    }
    for (uint64_t at = registers[RDI]; at != registers[RSI]; at += sizeof(struct commit_store)) {
        const struct commit_store *next = (const struct commit_store *)(uintptr_t)at;
        store((uintptr_t)next->where, next->value);
    }
}

/*
 * Finishes what is done at `place`, and says where that ends; `place` itself where nothing is to
 * do.
 */
static uint64_t finish(const struct commit_places *at, uint64_t place, uint64_t *registers)
{
    if (place == at->two || place == at->three) {
        store(registers[RDX], registers[RCX]);
    }
    if (place == at->three || place == at->three_last) {
        store(registers[R8], registers[R9]);
        return at->three_end;
    }
    if (place == at->two) {
        return at->two_end;
    }
    if (place == at->move) {
        store(registers[RSI], 0);
        return at->move_end;
    }
    if (place >= at->all && place < at->all_end) {
        bool has_begun = place >= at->all_stored || registers[RDI] != registers[R8];
        store_rest(registers, has_begun);
        return has_begun ? at->all_end : place;
    }
    if (place == at->exchange_store ||
        (place == at->exchange && registers[RAX] == registers[RSI])) {
        store(registers[RCX], registers[R8]);
        return at->exchange_end;
    }
    if ((place >= at->pop_done && place < at->pop_end) ||
        (place == at->pop && has_exchanged(registers))) {
        registers[RAX] = registers[R8] - registers[R10];
        store(registers[RSI], registers[RAX]);
        return at->pop_end;
    }
    if (place == at->push_store || (place == at->push && has_exchanged(registers))) {
        store(registers[R10], registers[R11]);
        return at->push_end;
    }
    return place;
}

void commit_settle(uint64_t registers[COMMIT_REGISTERS])
{
    uint64_t place = commit_place_of(registers[RIP]);
    if (place < commit_places.size) {
        registers[RIP] += finish(&commit_places, place, registers) - place;
    }
}
