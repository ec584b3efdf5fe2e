/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as an archive: opening, every member, the whole index and every member that it names;
 * and each member as a cell that says something about itself. Reads of names and data go through to
 * the last byte, so that the sanitizers see what a caller would touch.
 */
#include "archive.h"
#include "cell_info.h"
#include "diag.h"
#include "elf_object.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* A member that was accepted lies in the file, and its name is a string. */
static void check_member(const struct archive *archive, const struct archive_member *member)
{
    check(memchr(member->name, '\0', sizeof(member->name)) != NULL);
    check(member->data.size == 0 ||
          (member->data.base >= archive->file.base && member->data.size <= archive->file.size));
    unsigned sum = 0;
    for (size_t i = 0; i < member->data.size; i++) {
        sum += member->data.base[i];
    }
    __asm__ volatile("" ::"r"(sum));
}

static void check_string(const char *text, struct span file)
{
    check(!text || span_holds(file, (uint64_t)((const uint8_t *)text - file.base), strlen(text)));
}

/* What a cell says lies in the cell. */
static void check_cell_info(struct span data)
{
    struct elf_object object;
    struct cell_info info;
    struct diag diag = {0};
    if (elf_object_open(data, &object, &diag) != OK ||
        cell_info_read(&object, &info, &diag) != OK) {
        check(diag.code != DIAG_NONE);
        return;
    }
    check(strlen(info.name) > 0 && strlen(info.name) < CELL_INFO_NAME_SIZE);
    const char *const texts[] = {info.name, info.version, info.kind, info.summary, info.interface};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        check_string(texts[i], data);
    }
}

static void walk_members(const struct archive *archive)
{
    struct archive_member member;
    struct diag diag;
    uint64_t offset = archive->first_member;
    while (archive_member_at(archive, offset, &member, &diag) == OK) {
        check_member(archive, &member);
        check_cell_info(member.data);
        check(member.offset == offset && member.next > offset);
        offset = member.next;
    }
}

static void walk_index(const struct archive *archive)
{
    struct archive_cursor cursor = {0};
    const char *symbol;
    uint64_t offset;
    uint64_t count = 0;
    while (archive_index_next(archive, &cursor, &symbol, &offset)) {
        struct archive_member member;
        check(strlen(symbol) < archive->file.size);
        if (archive_member_at(archive, offset, &member, NULL) == OK) {
            check_member(archive, &member);
        }
        count++;
    }
    check(count == archive_index_count(archive));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct archive archive;
    struct diag diag;
    if (archive_open(span_of(bytes, size), &archive, &diag) == OK) {
        walk_members(&archive);
        walk_index(&archive);
    } else {
        check(diag.code != DIAG_NONE);
    }
    return 0;
}
