/* SPDX-License-Identifier: MIT */
/*
 * link_unit.h - links one object: plan, place, copy, resolve, relocate.
 *
 * Why: the kernel's loader, `cellpack link` (which makes the static nano_core) and the host tests
 * link with this very code; they differ only in where the memory comes from and how a name is
 * looked up.
 *
 * Rules: pure; every array is the caller's, and link_unit_sizes() says how long they must be. The
 * steps are called in the order in which they stand here. O(n log n) in sections + symbols +
 * relocations. After a failure the unit's bytes and bindings are unusable; nothing else was
 * touched. Any context.
 */
#pragma once

#include "cell_metadata.h"
#include "layout.h"
#include "relocation.h"

struct diag;

/* How much an object needs, in elements. */
struct link_sizes {
    uint32_t sections;  /* places, sections, by_address */
    uint32_t symbols;   /* link symbols: the whole symbol table */
    uint32_t exports;   /* struct symbol */
    uint32_t functions; /* at most; also the most slots that it can need */
    uint32_t bindings;  /* at most: symbols that other cells may define */
};

struct link_unit {
    struct cell *cell; /* the caller's, zeroed; receives sections, symbols, bindings, ... */
    struct layout layout;
    struct section_place *places; /* scratch: sizes.sections */
    struct link_symbol *resolved; /* scratch: sizes.symbols */
    uint8_t *bytes[REGION_COUNT]; /* where the regions are built; see link_unit_place() */
    uint64_t adopted_size;        /* bytes; see link_unit_adopt() */
    uint8_t *adopted_bytes;       /* the caller's; written by copy and relocate */
};

/* The caller's arrays, each as long as link_unit_sizes() says; they need not be zeroed. */
struct link_memory {
    struct section *sections;
    uint32_t *by_address;
    struct symbol *symbols;
    struct function *functions;
    struct binding *bindings;
    struct section_place *places;
    struct link_symbol *resolved;
};

CELL_API void link_unit_sizes(const struct elf_object *object, struct link_sizes *out_sizes);

/*
 * Plans `object`: layout, section records, the list of functions; slots are given to exported
 * functions. `cell` is zeroed but for what the caller knows (name and so on).
 */
CELL_API MUST_CHECK enum status link_unit_plan(struct link_unit *unit, struct cell *cell,
                                               const struct elf_object *object,
                                               const struct link_memory *memory, struct diag *diag);

/*
 * Between plan and place, for a cell that takes over what another one has: the caller has marked
 * sections as adopted (`is_adopted`) and given them their address, and functions their entry, where
 * an older version had one. Adopted sections get no place in the regions. What their bytes would be
 * is still built, in `adopted_bytes`, `adopted_size` long, which the caller provides.
 */
CELL_API MUST_CHECK enum status link_unit_adopt(struct link_unit *unit, struct diag *diag);

/* The built bytes of an adopted section. */
CELL_API const uint8_t *link_unit_adopted_bytes(const struct link_unit *unit, uint32_t section);

/*
 * Says where the cell will run (page-aligned, 0 for empty regions), where each region is built
 * (`bytes`, as long as the region; may be the same memory), and the address of its first entry.
 * Fills in the addresses of sections and exported symbols.
 */
CELL_API void link_unit_place(struct link_unit *unit, const uint64_t addresses[REGION_COUNT],
                              uint8_t *const bytes[REGION_COUNT], uint64_t entries);

/* Copies the sections' bytes into their places and clears the gaps and what has no bytes. */
CELL_API void link_unit_copy(struct link_unit *unit);

/* Finds the definition of a name outside of the object, or NULL. */
typedef const struct symbol *(*link_lookup)(void *context, const char *name, uint32_t hash);

/*
 * Resolves every symbol. A global symbol that the object defines itself binds to itself, except
 * that a weak definition yields to one that `lookup` finds. An undefined weak symbol that nobody
 * defines is 0; any other is refused as missing. What binds to another cell's symbol gets a
 * binding, and must be declared as that cell declares it (C0216), and both must know the same
 * layouts of the types that they share (C0217), as far as both have fingerprints (cell_abi.h).
 */
CELL_API MUST_CHECK enum status link_unit_resolve(struct link_unit *unit, link_lookup lookup,
                                                  void *context, struct diag *diag);

/* Applies all relocations and completes the cell's bindings. */
CELL_API MUST_CHECK enum status link_unit_relocate(struct link_unit *unit, struct diag *diag);

/*
 * Writes the cell's entries, cell->entry_count of ENTRY_SIZE bytes, for slot 0 at cell->entries,
 * into `bytes`. Each jumps to its function.
 */
CELL_API void link_unit_write_entries(const struct link_unit *unit, uint8_t *bytes);
