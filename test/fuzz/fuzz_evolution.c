/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a manifest: what is accepted keeps the promises of evolution.h. And as a cell of a
 * bundle, whose content is hashed and whose lines about transfer are read.
 */
#include "cell_hash.h"
#include "cell_transfer.h"
#include "diag.h"
#include "evolution.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_before(struct evolution_line line)
{
    uint32_t last = 0;
    uint32_t before;
    while (evolution_next_before(&line, &before)) {
        check(before > last && before < line.set);
        last = before;
    }
}

static void check_manifest(const struct evolution *evolution)
{
    struct evolution_cursor cursor = {0};
    struct evolution_line line;
    uint32_t sets = 0;
    uint32_t cells = 0;
    while (evolution_next(evolution, &cursor, &line)) {
        bool is_cell = line.kind == EVOLUTION_REPLACE || line.kind == EVOLUTION_REMOVE ||
                       line.kind == EVOLUTION_ADD;
        sets += line.kind == EVOLUTION_SET;
        cells += is_cell;
        check(line.set == sets && sets > 0);
        check(!line.new_name[0] || evolution->bundle[0]);
        check(!is_cell || line.old_name[0] || line.new_name[0]);
        check_before(line);
    }
    check(sets == evolution->set_count && cells == evolution->cell_count);
    check(cells >= sets && cells <= EVOLUTION_MAX_CELLS);
}

static void hash_cell(struct span file)
{
    struct elf_object object;
    if (elf_object_open(file, &object, NULL) != OK) {
        return;
    }
    size_t scratch_size = cell_hash_scratch_size(&object);
    void *scratch = malloc(scratch_size);
    if (scratch && scratch_size < 1u << 24) {
        struct blake2b_digest digest[2];
        cell_hash_of(&object, CELL_HASH_CONTENT, scratch, &digest[0]);
        memset(scratch, 0x5a, scratch_size); /* what it holds does not matter */
        cell_hash_of(&object, CELL_HASH_CONTENT, scratch, &digest[1]);
        check(memcmp(&digest[0], &digest[1], sizeof(digest[0])) == 0);
    }
    free(scratch);
    for (uint32_t i = cell_transfer_count(&object); i-- > 0;) {
        struct cell_transfer transfer;
        struct diag diag = {0};
        if (cell_transfer_read(&object, i, &transfer, &diag) == OK) {
            check(strlen(transfer.new) < CELL_TRANSFER_NAME && transfer.new_symbol != 0);
        } else {
            check(diag.code == DIAG_CELL_TRANSFER);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct evolution evolution;
    struct diag diag = {0};
    if (evolution_open(span_of(bytes, size), &evolution, &diag) == OK) {
        check_manifest(&evolution);
    } else {
        check(diag.code != DIAG_NONE);
    }
    hash_cell(span_of(bytes, size));
    return 0;
}
