/* SPDX-License-Identifier: MIT */
/*
 * cell_metadata.h - what the system knows about a loaded cell: sections, symbols, dependencies.
 *
 * Why: a cell keeps its bounds at run time (ARCHITECTURE: "Cell metadata"). What a relocation says
 * stands in the pristine table, which stays; only where a name of another cell led is written
 * down, as one `struct binding` for each imported symbol. Its cell finds it in an array, its target
 * section in a list: "what does this need?" and "who needs this?" are walks over few records. What
 * a single relocation refers to is computed from both (relocation.h: struct dependency).
 *
 * Rules: these structures are written by the loader only, all at once when a load commits, and by
 * swaps; everybody else reads. Strings and relocations are those of the pristine object, which
 * outlives the cell. An object of type `struct cell` is owned by the namespace that it was loaded
 * into.
 */
#pragma once

#include "elf_object.h"
#include "symbol_map.h"

struct cell;
struct cell_abi_symbol;
struct cell_namespace;
struct cell_reference;
struct cell_unwind_row;
struct section;

/* A cell's sections lie in at most three regions, one for each kind of protection. */
enum region_kind {
    REGION_TEXT,   /* execute and read */
    REGION_RODATA, /* read; .eh_frame too */
    REGION_DATA,   /* read and write; initialised sections first, then those without bytes */
    REGION_COUNT,
    REGION_NONE = REGION_COUNT /* not loaded */
};

struct region {
    uint64_t address; /* page-aligned; 0 where the region is empty */
    uint64_t size;    /* bytes */
};

/*
 * What a symbol of `cell` is bound to outside of it, for all of its relocations. None for what is
 * undefined and weak, and found nowhere; one also for an import that no relocation uses.
 */
struct binding {
    struct cell *cell;
    struct section *target; /* of another cell; NULL: absolute, or in no list any more */
    struct binding *next_incoming;
    uint32_t symbol;       /* index in the cell's pristine symbol table */
    uint32_t offset;       /* of the symbol in `target` */
    uint32_t has_entry;    /* 1: it is a function that has an entry */
    uint32_t is_via_entry; /* 1: its address was taken, and its entry was written */
};

struct section {
    struct cell *cell;
    const char *name;
    uint64_t address; /* 0 where the section is not loaded */
    uint64_t size;
    const struct elf64_rela *relocations; /* relocation_count, in the pristine object */
    struct binding *incoming;             /* a list through next_incoming, of other cells */
    uint32_t relocation_count;
    uint32_t index;      /* in the pristine section table */
    uint32_t flags;      /* SHF_* */
    uint16_t region;     /* enum region_kind */
    uint16_t is_adopted; /* 1: lies in a region of the cell that this one has replaced */
};

/* An exported symbol, as namespaces know it. */
struct symbol {
    struct symbol_key key;
    uint8_t type;            /* STT_* */
    uint8_t binding;         /* STB_GLOBAL or STB_WEAK */
    uint8_t is_given;        /* 1: its address was asked for by name, and may be held anywhere */
    struct section *section; /* NULL: absolute */
    uint64_t address;
    uint64_t entry;                    /* the stable address of a function; 0 for anything else */
    const struct cell_abi_symbol *abi; /* how its cell declares it; NULL: nobody knows */
};

/* A function that has, or may get, an entry. Sorted by section, then offset. */
struct function {
    uint32_t offset;       /* these two are compared as one number */
    uint32_t section;      /* index */
    uint32_t slot;         /* of the cell's own entries, or as below */
    uint32_t is_via_entry; /* 1: its cell has taken its address */
    uint64_t entry; /* its address; 0: none yet. Of an older version's cell where that had one */
};

#define FUNCTION_NO_SLOT  UINT32_MAX       /* its address is not taken */
#define FUNCTION_EXPORTED (UINT32_MAX - 1) /* gets one when the cell is placed */
#define ENTRY_SIZE        8u /* jmp rel32 and padding: retargeted by one aligned store */

struct cell {
    struct symbol_key key; /* its name, for the namespace's map of cells */
    const char *name;
    const char *version;
    const char *kind;
    const char *summary;
    const char *interface; /* NULL when it implements none but its own */
    struct cell_namespace *namespace;
    struct cell *next;      /* in the order of loading; or of those that were replaced */
    struct cell *successor; /* of one that was replaced: who has its place now, or NULL */
    struct cell_reference *references; /* loader.h: who holds it */
    uint64_t task_count;               /* cell_tasks.h; atomically */
    struct elf_object object;
    struct section *sections; /* object.section_count, by index in the pristine table */
    struct symbol *symbols;
    struct binding *bindings; /* sorted by symbol */
    struct function *functions;
    uint32_t *by_address; /* section indices, grouped by region, sorted by address */
    uint32_t region_first[REGION_COUNT + 1]; /* where each region starts in by_address */
    uint32_t symbol_count;
    uint32_t binding_count;
    uint32_t relocation_count; /* of all sections */
    uint32_t function_count;
    uint32_t entry_count;
    uint64_t entries; /* address of slot 0 */
    uint32_t
        adopted_count; /* sections that lie elsewhere: they stand behind the others in by_address */
    /* struct cell_unwind; none where there is no index, or one of another format. */
    const struct cell_unwind_row *unwind_rows;
    uint32_t unwind_row_count;
    uint32_t unwind_table; /* index of the section .eh_frame */
    struct span abi;       /* the section .cell.abi, which cell_abi_open() has accepted; or empty */
    struct region regions[REGION_COUNT];
    size_t metadata_size; /* bytes of heap that describe this cell */
    bool is_static;       /* came with the nano_core and was adopted */
    bool is_leaving;      /* about to be replaced: what is loaded now does not see it */
    bool is_retired;      /* has been replaced; in no namespace, and here for who returns into it */
    bool has_lineage;     /* shares entries or regions with another version: loader_aside.h */
};
