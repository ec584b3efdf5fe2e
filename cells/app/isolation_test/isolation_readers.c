/* SPDX-License-Identifier: MIT */
/*
 * Readers that fault in their sections (read_sections.h): nobody may wait for them afterwards. So a cell
 * that is loaded before such a fault is unloaded after it, and its memory comes back.
 */
#include "address_map.h"
#include "cell_namespace.h"
#include "console.h"
#include "diag.h"
#include "frame_allocator.h"
#include "isolation_priv.h"
#include "loader.h"
#include "read_sections.h"

#define SUBJECT       "sleepers" /* nobody looks up what is in there */
#define NOT_CANONICAL ((uint32_t *)0x0123456789abcde8ull)

static struct cell *find_subject(void)
{
    return cell_namespace_find_cell(cell_namespace_initial(), SUBJECT);
}

/* Nested, and with a hold that is no section. */
static void fault_in_section(void)
{
    read_sections_enter();
    preemption_hold();
    read_sections_enter();
    isolation_fault();
}

/* What address_map_find() follows is damaged: it faults where it bisects. */
static void fault_in_lookup(void)
{
    uint64_t address = find_subject()->regions[REGION_TEXT].address;
    (void)address_map_find(address);
}

static const struct isolation_kind kinds[] = {
    {"faults in a read section", fault_in_section, 0, false, IN_EXCEPTION | IN_INTERRUPT},
    {"faults in a lookup of an address", fault_in_lookup, 0, false, IN_EXCEPTION | IN_INTERRUPT},
    {NULL, NULL, 0, false, 0},
};

static bool load_subject(struct cell **out)
{
    return loader_load(cell_namespace_initial(), SUBJECT, out, NULL) == OK;
}

static bool unload_subject(void)
{
    return loader_unload_named(cell_namespace_initial(), SUBJECT, NULL) == OK;
}

/* What a load and an unload of the subject cost, with this in between. */
static uint64_t measure_load(const struct isolation_kind *kind, unsigned place, bool *out_is_right)
{
    uint64_t before = frame_allocator_statistics().free;
    struct cell *subject = NULL;
    bool is_right = load_subject(&subject);
    if (is_right && kind) {
        uint32_t *by_address = subject->by_address;
        subject->by_address = NOT_CANONICAL;
        is_right = isolation_try(kind, place);
        subject->by_address = by_address;
    }
    *out_is_right = is_right && unload_subject() && read_sections_wait();
    return before - frame_allocator_statistics().free;
}

/* Twice if need be, as any kind: somebody may keep a frame meanwhile. */
static bool try_reader(const struct isolation_kind *kind, unsigned place)
{
    bool is_right;
    uint64_t lost = measure_load(kind, place, &is_right);
    if (is_right && lost > 0) {
        lost = measure_load(kind, place, &is_right);
    }
    console_print("isolation_test: then a cell is unloaded, %llu frames lost: %s\n",
                  (unsigned long long)lost, is_right && lost == 0 ? "OK" : "FAILED");
    return is_right && lost == 0;
}

unsigned isolation_try_readers(unsigned *count)
{
    unsigned failures = 0;
    bool is_right;
    (void)measure_load(NULL, 0, &is_right); /* pools that have not seen it grow */
    for (const struct isolation_kind *kind = kinds; kind->name; kind++) {
        for (unsigned place = 0; place <= IN_INTERRUPT; place++, ++*count) {
            failures += !try_reader(kind, place);
        }
    }
    return failures + !is_right;
}
