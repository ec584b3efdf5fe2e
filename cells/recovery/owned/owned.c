/* SPDX-License-Identifier: MIT */
/*
 * A drop function's address is taken, so what a tag holds is its entry (docs/cell-format.md): one
 * jump, to the first byte of a section, for each function has a section of its own.
 */
#include "owned.h"
#include "address_map.h"
#include "entry_pool.h"
#include "format.h"
#include "freestanding.h"
#include "nano_core_image.h"
#include "stack.h"

CELL(library, "1.0.0");

#define JUMP        0xe9 /* jmp rel32 */
#define JUMP_LENGTH 5u

#define NOTES    16u /* a power of two */
#define NOTE_AGE 0x9e3779b97f4a7c15ull
#define PREFIX   ".text."
#define SUFFIX   "_drop"

/* Drop functions that were found to be some, each mixed with the number of the address table. */
static uint64_t notes[NOTES];

/* ---- functions ---- */

static bool is_entry(uint64_t address)
{
    return address % ENTRY_SIZE == 0 &&
           ((address >= nano_core_image.entries_start && address < nano_core_image.entries_end) ||
            entry_pool_holds(address));
}

/* Where the entry leads; any other address is what it is. */
static uint64_t resolve(uint64_t address)
{
    if (!is_entry(address) || *(const uint8_t *)address != JUMP) {
        return address;
    }
    int32_t distance;
    memcpy(&distance, (const uint8_t *)address + 1, sizeof(distance));
    return address + JUMP_LENGTH + (uint64_t)(int64_t)distance;
}

static bool ends_in_suffix(const char *name)
{
    size_t length = strlen(name);
    return length >= sizeof(SUFFIX) - 1 &&
           strcmp(name + length - (sizeof(SUFFIX) - 1), SUFFIX) == 0;
}

/*
 * The drop function that begins at `address` or behind its entry, as a section; NULL: there is
 * none. The name counts, for entries lie side by side: a tag with one wrong bit names another
 * function.
 */
static const struct section *find_function(uint64_t address)
{
    uint64_t target = resolve(address);
    const struct section *section = address_map_find(target);
    bool is_drop = section && section->address == target && section->region == REGION_TEXT &&
                   ends_in_suffix(section->name);
    return is_drop ? section : NULL;
}

static uint64_t *note_of(uint64_t drop)
{
    return &notes[(drop / ENTRY_SIZE ^ drop / (ENTRY_SIZE * NOTES)) % NOTES];
}

bool owned_is_drop(uintptr_t drop)
{
    uint64_t note = drop ^ (address_map_generation() + 1) * NOTE_AGE;
    uint64_t *place = note_of(drop);
    if (LIKELY(__atomic_load_n(place, __ATOMIC_RELAXED) == note)) {
        return true;
    }
    address_map_enter();
    bool is_drop = find_function(drop) != NULL;
    address_map_leave();
    if (is_drop) {
        __atomic_store_n(place, note, __ATOMIC_RELAXED);
    }
    return is_drop;
}

/* Bytes that a relocation of this type has written. */
static uint32_t field_size(uint32_t type)
{
    return type == R_X86_64_64 || type == R_X86_64_PC64 ? 8 : type == R_X86_64_NONE ? 0 : 4;
}

/* Relocations come in any order. */
static bool is_relocated(const struct section *section, uint64_t at)
{
    for (uint32_t i = 0; i < section->relocation_count; i++) {
        const struct elf64_rela *field = &section->relocations[i];
        if (at >= field->r_offset && at - field->r_offset < field_size(field->r_type)) {
            return true;
        }
    }
    return false;
}

static bool is_intact(const struct section *section)
{
    struct span pristine = elf_object_section_bytes(&section->cell->object, section->index);
    const uint8_t *bytes = (const uint8_t *)section->address;
    const uint8_t *wanted = pristine.base;
    if (pristine.size != section->size) {
        return false;
    }
    for (uint64_t at = 0; at < section->size; at++) {
        if (bytes[at] != wanted[at] && !is_relocated(section, at)) {
            return false;
        }
    }
    return true;
}

bool owned_is_intact_drop(uintptr_t drop)
{
    address_map_enter();
    const struct section *function = find_function(drop);
    bool is_drop = function && is_intact(function);
    address_map_leave();
    return is_drop;
}

/* ---- words ---- */

/* The name of a section without what all have. */
static void append_name(struct format_buffer *text, const char *name)
{
    size_t length = strlen(name);
    size_t prefix = sizeof(PREFIX) - 1;
    size_t suffix = sizeof(SUFFIX) - 1;
    if (length > prefix && strncmp(name, PREFIX, prefix) == 0) {
        name += prefix;
        length -= prefix;
    }
    if (length > suffix && ends_in_suffix(name)) {
        length -= suffix;
    }
    format_append_bytes(text, name, length);
}

size_t owned_name(uintptr_t drop, char *buffer, size_t size)
{
    struct format_buffer text = format_buffer_of(buffer, size);
    address_map_enter();
    const struct section *function = find_function(drop);
    append_name(&text, function ? function->name : "?");
    address_map_leave();
    return text.length;
}

/* ---- what is held ---- */

struct tally {
    uintptr_t drops[OWNED_TYPES_MAX];
    uint32_t counts[OWNED_TYPES_MAX];
    uint32_t types;
    uint32_t others;                  /* of further types */
    const struct own_slot *broken_at; /* NULL: the chain is whole */
};

static void count_slot(struct tally *tally, uintptr_t drop)
{
    uint32_t i = 0;
    while (i < tally->types && tally->drops[i] != drop) {
        i++;
    }
    if (i == OWNED_TYPES_MAX) {
        tally->others++;
        return;
    }
    if (i == tally->types) {
        tally->drops[i] = drop;
        tally->types++;
    }
    tally->counts[i]++;
}

/* Can its fields be read? `place`: the stack that the last one was on. */
static bool is_readable(const struct own_slot *slot, struct stack_place *place)
{
    vaddr_t address = (vaddr_t)slot;
    if (address - place->bottom >= place->top - place->bottom &&
        (!stack_find(address, place) || place->part != STACK_INSIDE)) {
        return false;
    }
    return address % alignof(struct own_slot) == 0 && place->top - address >= sizeof(*slot);
}

static void count_chain(struct tally *tally, const struct own_slot *slot)
{
    struct stack_place place = {.bottom = 0, .top = 0};
    for (uint32_t i = 0; slot; i++, slot = slot->below) {
        if (i == OWNED_SLOTS_MAX || !is_readable(slot, &place) ||
            !owned_is_drop((uintptr_t)own_slot_type(slot))) {
            tally->broken_at = slot;
            return;
        }
        if (slot->handle) {
            count_slot(tally, (uintptr_t)own_slot_type(slot));
        }
    }
}

size_t owned_describe(const struct own_slot *top, char *buffer, size_t size)
{
    struct tally tally = {.types = 0};
    struct format_buffer text = format_buffer_of(buffer, size);
    count_chain(&tally, top);
    if (tally.types == 0) {
        format_append(&text, "nothing");
    }
    for (uint32_t i = 0; i < tally.types; i++) {
        char name[OWNED_NAME_SIZE];
        owned_name(tally.drops[i], name, sizeof(name));
        format_append(&text, "%s%u %s", i ? ", " : "", tally.counts[i], name);
    }
    if (tally.others > 0) {
        format_append(&text, ", %u others", tally.others);
    }
    if (tally.broken_at) {
        format_append(&text, "%s the chain is broken at %#llx", tally.types ? ";" : " is known:",
                      (unsigned long long)(uintptr_t)tally.broken_at);
    }
    return text.length;
}
