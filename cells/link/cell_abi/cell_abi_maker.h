/* SPDX-License-Identifier: MIT */
/*
 * cell_abi_maker.h - makes sections .cell.abi in memory, for tests.
 *
 * Why: a test says which signatures and layouts a cell states, without a compiler.
 *
 * Rules: starts as `{0}`; add symbols and variables in the order of their indices, types in any;
 * the section that cell_abi_finish() gives lies in a heap block of exactly its size until the next
 * call or cell_abi_maker_fini().
 */
#pragma once

#include "cell_abi.h"
#include "elf_builder.h"

struct cell_abi_maker {
    struct elf_bytes symbols;
    struct elf_bytes variables;
    struct elf_bytes types;
    struct elf_bytes texts;
    uint8_t *note; /* exactly so long, for the sanitizer */
    size_t size;
};

static inline uint64_t cell_abi_maker_hash(const char *text)
{
    return cell_abi_hash(text, strlen(text));
}

static inline uint32_t cell_abi_add_text(struct cell_abi_maker *maker, const char *text)
{
    if (maker->texts.size == 0) {
        elf_bytes_append(&maker->texts, NULL, 1);
    }
    return (uint32_t)elf_bytes_append(&maker->texts, text, strlen(text) + 1);
}

static inline void cell_abi_add_symbol(struct cell_abi_maker *maker, uint32_t symbol,
                                       const char *text)
{
    struct cell_abi_symbol row = {cell_abi_maker_hash(text), symbol,
                                  cell_abi_add_text(maker, text)};
    elf_bytes_append(&maker->symbols, &row, sizeof(row));
}

static inline void cell_abi_add_variable(struct cell_abi_maker *maker, uint32_t symbol,
                                         const char *name, const char *text, uint32_t size)
{
    struct cell_abi_variable row = {
        cell_abi_maker_hash(text),      1,   symbol, cell_abi_add_text(maker, name),
        cell_abi_add_text(maker, text), size};
    elf_bytes_append(&maker->variables, &row, sizeof(row));
}

static inline int cell_abi_compare_rows(const void *left, const void *right)
{
    const struct cell_abi_type *a = left;
    const struct cell_abi_type *b = right;
    return a->key < b->key ? -1 : a->key > b->key;
}

/* Keeps the table sorted. */
static inline void cell_abi_add_type(struct cell_abi_maker *maker, const char *text, uint32_t flags)
{
    struct span name = cell_abi_type_name(text);
    struct cell_abi_type row = {
        .key = cell_abi_hash((const char *)name.base, name.size),
        .layout = strchr(text, '{') ? cell_abi_maker_hash(text) : 0,
        .text = cell_abi_add_text(maker, text),
        .flags = flags,
    };
    elf_bytes_append(&maker->types, &row, sizeof(row));
    qsort(maker->types.base, maker->types.size / sizeof(row), sizeof(row), cell_abi_compare_rows);
}

static inline struct span cell_abi_finish(struct cell_abi_maker *maker)
{
    struct cell_abi_header header = {
        .magic = CELL_ABI_MAGIC,
        .version = CELL_ABI_VERSION,
        .header_size = sizeof(header),
        .symbol_count = (uint32_t)(maker->symbols.size / sizeof(struct cell_abi_symbol)),
        .variable_count = (uint32_t)(maker->variables.size / sizeof(struct cell_abi_variable)),
        .type_count = (uint32_t)(maker->types.size / sizeof(struct cell_abi_type)),
        .text_size = (uint32_t)maker->texts.size,
    };
    struct elf_bytes all = {0};
    elf_bytes_append(&all, &header, sizeof(header));
    const struct elf_bytes *const parts[] = {&maker->symbols, &maker->variables, &maker->types,
                                             &maker->texts};
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        if (parts[i]->size) {
            elf_bytes_append(&all, parts[i]->base, parts[i]->size);
        }
    }
    free(maker->note);
    maker->note = malloc(all.size);
    if (!maker->note) {
        abort();
    }
    memcpy(maker->note, all.base, all.size);
    maker->size = all.size;
    free(all.base);
    return span_of(maker->note, maker->size);
}

static inline void cell_abi_maker_fini(struct cell_abi_maker *maker)
{
    free(maker->symbols.base);
    free(maker->variables.base);
    free(maker->types.base);
    free(maker->texts.base);
    free(maker->note);
}
