/* SPDX-License-Identifier: MIT */
#include "archive_maker.h"
#include "archive.h"
#include "elf_object.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#define HEADER_SIZE 60u

struct span archive_read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        fail_msg("cannot read %s: build the target `cells` first", path);
    }
    size_t size = (size_t)ftell(file);
    uint8_t *bytes = malloc(size + 1);
    rewind(file);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, size, file), size);
    fclose(file);
    return span_of(bytes, size);
}

struct span archive_copy_cell(struct span file, const char *cell)
{
    struct archive archive;
    struct archive_member member;
    char name[ARCHIVE_NAME_SIZE];
    snprintf(name, sizeof(name), "%s.cell", cell);
    assert_int_equal(archive_open(file, &archive, NULL), OK);
    uint64_t at = archive.first_member;
    while (archive_member_at(&archive, at, &member, NULL) == OK && strcmp(member.name, name) != 0) {
        at = member.next;
    }
    assert_string_equal(member.name, name);
    uint8_t *copy = malloc(member.data.size);
    assert_non_null(copy);
    memcpy(copy, member.data.base, member.data.size);
    return span_of(copy, member.data.size);
}

void object_rename(struct span object, const char *from, const char *to)
{
    uint8_t *bytes = (uint8_t *)object.base;
    size_t length = strlen(from);
    bool found = false;
    assert_int_equal(length, strlen(to));
    for (size_t i = 1; i + length < object.size; i++) {
        bool stands_alone = bytes[i - 1] == 0 || bytes[i - 1] == '=';
        if (stands_alone && memcmp(bytes + i, from, length + 1) == 0) {
            memcpy(bytes + i, to, length);
            found = true;
        }
    }
    assert_true(found);
}

void archive_maker_add(struct archive_maker *maker, const char *cell, struct span object)
{
    assert_true(maker->count < ARRAY_COUNT(maker->members) &&
                strlen(cell) < sizeof(maker->members[0].name));
    strcpy(maker->members[maker->count].name, cell);
    maker->members[maker->count++].object = object;
}

static void write_header(uint8_t *at, const char *name, size_t size)
{
    char text[HEADER_SIZE + 1];
    snprintf(text, sizeof(text), "%-16s%-12d%-6d%-6d%-8d%-10zu`\n", name, 0, 0, 0, 644, size);
    memcpy(at, text, HEADER_SIZE);
}

/* Walks the exports of all members; writes names and offsets where given, and returns the sizes. */
static size_t index_exports(const struct archive_maker *maker, const uint64_t *member_offsets,
                            uint8_t *offsets, uint8_t *names, size_t *out_count)
{
    size_t count = 0;
    size_t used = 0;
    for (size_t m = 0; m < maker->count; m++) {
        struct elf_object object;
        assert_int_equal(elf_object_open(maker->members[m].object, &object, NULL), OK);
        for (uint32_t i = object.first_global; i < object.symbol_count; i++) {
            if (!elf_symbol_is_export(&object.symbols[i])) {
                continue;
            }
            const char *name = elf_object_symbol_name(&object, i);
            if (offsets) {
                uint32_t offset = __builtin_bswap32((uint32_t)member_offsets[m]);
                memcpy(offsets + 4 * count, &offset, 4);
                strcpy((char *)names + used, name);
            }
            count++;
            used += strlen(name) + 1;
        }
    }
    *out_count = count;
    return used;
}

#define LONG_NAME 48u /* bytes that each name takes in "//" */

static void write_members(const struct archive_maker *maker, const uint64_t *offsets,
                          uint8_t *long_names, uint8_t *bytes)
{
    for (size_t m = 0; m < maker->count; m++) {
        char name[32];
        struct span object = maker->members[m].object;
        sprintf((char *)long_names + m * LONG_NAME, "%s.cell/\n", maker->members[m].name);
        snprintf(name, sizeof(name), "/%zu", m * LONG_NAME);
        write_header(bytes + offsets[m], name, object.size);
        memcpy(bytes + offsets[m] + HEADER_SIZE, object.base, object.size);
    }
}

struct span archive_maker_write(const struct archive_maker *maker)
{
    size_t count;
    size_t names_size = index_exports(maker, NULL, NULL, NULL, &count);
    size_t index_size = (4 + 4 * count + names_size + 1) & ~(size_t)1;
    uint64_t offsets[ARRAY_COUNT(maker->members)];
    size_t index_at = 8 + HEADER_SIZE;
    size_t long_names_at = index_at + index_size + HEADER_SIZE;
    size_t end = long_names_at + maker->count * LONG_NAME;
    for (size_t m = 0; m < maker->count; m++) {
        offsets[m] = end;
        end += HEADER_SIZE + ((maker->members[m].object.size + 1) & ~(size_t)1);
    }
    uint8_t *bytes = calloc(1, end);
    assert_non_null(bytes);
    memcpy(bytes, "!<arch>\n", 8);
    write_header(bytes + 8, "/", index_size);
    uint32_t big_count = __builtin_bswap32((uint32_t)count);
    memcpy(bytes + index_at, &big_count, 4);
    index_exports(maker, offsets, bytes + index_at + 4, bytes + index_at + 4 + 4 * count, &count);
    write_header(bytes + long_names_at - HEADER_SIZE, "//", maker->count * LONG_NAME);
    write_members(maker, offsets, bytes + long_names_at, bytes);
    return span_of(bytes, end);
}
