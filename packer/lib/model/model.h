/* SPDX-License-Identifier: MIT */
/*
 * model.h - a bundle of cells as a graph: cells, sections, symbols, and one edge a relocation.
 *
 * Why: every verb that answers a question (`ls`, `tree`, `why`, `graph`, `size`, `check`...) asks
 * the same structure. It is read through the readers that the kernel uses and follows the rules by
 * which the kernel's linker binds, so what it says about a bundle is what happens when that boots.
 *
 * Rules: the structure is open for reading and written by model_load() only. Input is an archive of
 * cells or any number of ELF64 x86-64 relocatable objects, ours or not; strings and objects point
 * into the mapped files and live as long as the model. O(n log n); an edge takes 24 bytes, so that
 * all modules of a Linux kernel (six million relocations) fit. No function prints or exits.
 *
 * How a reference is bound: to the symbol of its own object if that defines it, unless weakly; else
 * to the first cell in the order of the archive that exports it (so the first of several
 * implementations of an interface is the default); an undefined weak symbol that nobody exports is
 * 0. MODEL_IMAGE_SYMBOL is no cell's: `cellpack link` defines it.
 */
#pragma once

#include "elf_object.h"
#include "problem.h"
#include "symbol_map.h"

#define MODEL_NOWHERE      UINT32_MAX
#define MODEL_IMAGE_SYMBOL "nano_core_image"

/* What the bytes of a loaded section are. */
enum model_kind {
    MODEL_TEXT,
    MODEL_RODATA,
    MODEL_DATA,
    MODEL_BSS,
    MODEL_UNWIND, /* .eh_frame */
    MODEL_KIND_COUNT,
    MODEL_NOT_LOADED = MODEL_KIND_COUNT, /* notes, symbol tables, debug information */
};

struct model_sizes {
    uint64_t bytes[MODEL_KIND_COUNT];
};

/* What a relocation does with its target. Those from MODEL_USE_NONE on have no target section. */
enum model_use {
    MODEL_USE_CALL,    /* a direct branch */
    MODEL_USE_ADDRESS, /* takes the address of a function: binds to its entry */
    MODEL_USE_DATA,    /* refers to data, to the middle of a function, or describes its bytes */
    MODEL_USE_NONE,    /* R_X86_64_NONE */
    MODEL_USE_ABSOLUTE,
    MODEL_USE_WEAK,    /* undefined and weak, and nobody exports it */
    MODEL_USE_MISSING, /* nobody exports the symbol */
    MODEL_USE_INVALID, /* lies outside its section, names no symbol, or one that is not loaded */
};

/* One relocation of a loaded section. Edges are sorted by source section, in the file's order. */
struct model_edge {
    uint32_t source;       /* index in model->sections */
    uint32_t target;       /* likewise, or MODEL_NOWHERE */
    uint32_t offset;       /* of the field in `source` */
    int32_t target_offset; /* S + A; from the field's end where `source` is code and PC-relative */
    uint32_t symbol;       /* in the source cell's symbol table */
    uint16_t type;         /* R_X86_64_* */
    uint16_t use;          /* enum model_use */
};

struct model_section {
    const char *name;
    uint64_t size;
    uint32_t cell;
    uint32_t index; /* in the object's section table */
    uint32_t first_edge;
    uint32_t edge_count;
    enum model_kind kind;
};

/* All relocations from one cell to another one. */
struct model_link {
    uint32_t from; /* cells */
    uint32_t to;
    uint32_t relocations;
    uint32_t calls;     /* of these: direct branches */
    uint32_t addresses; /* of these: function addresses taken */
};

struct model_cell {
    const char *name;
    const char *file;    /* the archive or object that it came from */
    const char *version; /* these five are "" where the object has no CELL note */
    const char *kind;    /* library, driver, application, core; "object" without a note */
    const char *summary;
    const char *interface; /* or NULL */
    bool has_note;
    struct elf_object object;
    uint32_t first_section; /* in model->sections: object.section_count of them */
    uint32_t first_edge;
    uint32_t edge_count;
    uint32_t first_link; /* in model->links: the cells that it needs, by cell index */
    uint32_t link_count;
    uint32_t first_user; /* in model->users: indices of the links that lead here */
    uint32_t user_count;
    struct model_sizes sizes;
};

/* An exported symbol. */
struct model_export {
    struct symbol_key key;
    uint32_t cell;
    uint32_t symbol; /* in the cell's symbol table */
    uint32_t first; /* the export of this name that others bind to; its own index if that is this */
};

/* An input that could not be read; kept only where the caller asked for it. */
struct model_reject {
    const char *name;
    struct diag diag;
};

struct model {
    struct model_cell *cells;
    struct model_section *sections;
    struct model_edge *edges;
    struct model_link *links; /* sorted by from, then to */
    uint32_t *users;
    struct model_export *exports; /* in the order of the archive */
    struct model_reject *rejects;
    uint32_t cell_count;
    uint32_t section_count;
    uint32_t edge_count;
    uint32_t link_count;
    uint32_t export_count;
    uint32_t reject_count;
    struct symbol_map by_name; /* of `exports`, the first of each name */
    void *owned;               /* files and names */
};

enum model_flags {
    MODEL_STRICT = 0,
    MODEL_KEEP_REJECTS = 1, /* an unreadable object becomes a reject instead of an error */
};

/* Reads the files named, in this order. On failure nothing is left. */
MUST_CHECK enum status model_load(const char *const *paths, size_t count, unsigned flags,
                                  struct model **out_model, struct problem *problem);
void model_destroy(struct model *model);

/* The cell of that name, or MODEL_NOWHERE. O(cells). */
uint32_t model_find_cell(const struct model *model, const char *name);

/* The section of that name in a cell, or MODEL_NOWHERE. O(sections of the cell). */
uint32_t model_find_section(const struct model *model, uint32_t cell, const char *name);

/* The export that others bind to, or NULL. O(1). */
const struct model_export *model_find_export(const struct model *model, const char *name);

/* The name of the symbol that an edge refers to: the section's name for a section symbol. */
const char *model_edge_symbol(const struct model *model, const struct model_edge *edge);

/* "text", "rodata", "data", "bss", "unwind", "other". */
const char *model_kind_name(enum model_kind kind);
/* "call", "address", "data", "none", "absolute", "weak", "missing", "invalid". */
const char *model_use_name(enum model_use use);

uint64_t model_sizes_total(const struct model_sizes *sizes);

static inline bool model_edge_is_bound(const struct model_edge *edge)
{
    return edge->target != MODEL_NOWHERE;
}

/*
 * Where in the target section an edge points, for attributing it to a symbol. An instruction with
 * an immediate behind its RIP-relative field points up to 4 bytes too low by the rule of the
 * linker; at the start of a section that would be in front of it.
 */
static inline int64_t model_edge_place(const struct model_edge *edge)
{
    return edge->target_offset < 0 && edge->target_offset >= -4 ? 0 : edge->target_offset;
}

static inline const struct model_cell *model_cell_of(const struct model *model, uint32_t section)
{
    return &model->cells[model->sections[section].cell];
}
