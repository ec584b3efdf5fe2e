/* SPDX-License-Identifier: MIT */
/*
 * The format (System V, as GNU ar writes it): "!<arch>\n", then members at even offsets. A member
 * is a header of 60 characters - name 16, date 12, uid 6, gid 6, mode 8, size 10, "`\n" - and its
 * bytes. The first member, named "/", is the symbol index; "//" holds names that are too long for a
 * header, which are written "/offset" there and end in "/\n".
 */
#include "archive.h"
#include "diag.h"

CELL(library, "1.0.0");

#define MAGIC      "!<arch>\n"
#define MAGIC_SIZE 8u

struct header {
    char name[16];
    char date[12];
    char uid[6];
    char gid[6];
    char mode[8];
    char size[10];
    char end[2];
} PACKED;

static_assert(sizeof(struct header) == 60, "ar(5)");

static enum status refuse(struct diag *diag, enum diag_code code, const char *member,
                          uint64_t offset, uint64_t expected, uint64_t found)
{
    return diag_set(diag, code,
                    &(struct diag_site){
                        .cell = member,
                        .offset = offset,
                        .expected = expected,
                        .found = found,
                    });
}

/* A decimal number, left-aligned in a field padded with spaces. */
static bool parse_decimal(const char *field, size_t size, uint64_t *out)
{
    uint64_t value = 0;
    size_t i = 0;
    for (; i < size && field[i] >= '0' && field[i] <= '9'; i++) {
        value = value * 10 + (uint64_t)(field[i] - '0'); /* at most 15 digits: cannot overflow */
    }
    if (i == 0) {
        return false;
    }
    for (size_t k = i; k < size; k++) {
        if (field[k] != ' ') {
            return false;
        }
    }
    *out = value;
    return true;
}

static bool copy_name(char *to, const char *from, size_t length)
{
    if (length == 0 || length >= ARCHIVE_NAME_SIZE) {
        return false;
    }
    __builtin_memcpy(to, from, length);
    to[length] = '\0';
    return true;
}

static bool long_name(const struct archive *archive, const struct header *header, char *to)
{
    uint64_t offset;
    if (!parse_decimal(header->name + 1, sizeof(header->name) - 1, &offset) ||
        offset >= archive->long_names.size) {
        return false;
    }
    const char *name = (const char *)archive->long_names.base + offset;
    size_t left = archive->long_names.size - offset;
    size_t length = 0;
    while (length < left && name[length] != '/' && name[length] != '\n') {
        length++;
    }
    return length < left && copy_name(to, name, length);
}

static bool short_name(const struct header *header, char *to)
{
    size_t length = 0;
    while (length < sizeof(header->name) && header->name[length] != '/') {
        length++;
    }
    return copy_name(to, header->name, length);
}

/* "/" and "//" keep their names, which the walk in archive_open() looks for. */
static bool read_name(const struct archive *archive, const struct header *header, char *to)
{
    if (header->name[0] != '/') {
        return short_name(header, to);
    }
    if (header->name[1] == ' ') {
        return copy_name(to, "/", 1);
    }
    if (header->name[1] == '/') {
        return copy_name(to, "//", 2);
    }
    return long_name(archive, header, to);
}

enum status archive_member_at(const struct archive *archive, uint64_t offset,
                              struct archive_member *out_member, struct diag *diag)
{
    if (offset >= archive->file.size) {
        return ERR_NOT_FOUND;
    }
    const struct header *header = span_at(archive->file, offset, sizeof(*header));
    if (!header) {
        return refuse(diag, DIAG_ARCHIVE_TRUNCATED, NULL, offset, sizeof(*header),
                      archive->file.size - offset);
    }
    uint64_t size;
    if (header->end[0] != '`' || header->end[1] != '\n' ||
        !parse_decimal(header->size, sizeof(header->size), &size)) {
        return refuse(diag, DIAG_ARCHIVE_HEADER, NULL, offset, 0, 0);
    }
    struct archive_member member = {.offset = offset};
    if (!read_name(archive, header, member.name)) {
        return refuse(diag, DIAG_ARCHIVE_NAME, NULL, offset, 0, 0);
    }
    uint64_t start = offset + sizeof(*header);
    if (!span_slice(archive->file, start, size, &member.data)) {
        return refuse(diag, DIAG_ARCHIVE_TRUNCATED, member.name, offset, size,
                      archive->file.size - start);
    }
    member.next = start + size + (size & 1);
    *out_member = member;
    return OK;
}

static uint32_t big_endian_32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static enum status open_index(struct archive *archive, const struct archive_member *member,
                              struct diag *diag)
{
    const uint8_t *count_bytes = span_at(member->data, 0, 4);
    if (!count_bytes) {
        return refuse(diag, DIAG_ARCHIVE_INDEX, "/", member->offset, 4, member->data.size);
    }
    uint64_t count = big_endian_32(count_bytes);
    struct span names;
    if (!span_slice(member->data, 4, count * 4, &archive->index_offsets) ||
        !span_slice(member->data, 4 + count * 4, member->data.size - 4 - count * 4, &names)) {
        return refuse(diag, DIAG_ARCHIVE_INDEX, "/", member->offset, 4 + count * 4,
                      member->data.size);
    }
    archive->index_names = names;
    struct archive_cursor cursor = {0};
    const char *symbol;
    uint64_t offset;
    while (archive_index_next(archive, &cursor, &symbol, &offset)) {
    }
    if (cursor.entry != count) {
        return refuse(diag, DIAG_ARCHIVE_INDEX, "/", member->offset, count, cursor.entry);
    }
    return OK;
}

enum status archive_open(struct span file, struct archive *out_archive, struct diag *diag)
{
    uint64_t expected;
    uint64_t found = 0; /* a file that is shorter ends in zeroes */
    __builtin_memcpy(&expected, MAGIC, MAGIC_SIZE);
    if (file.size > 0) {
        __builtin_memcpy(&found, file.base, file.size < MAGIC_SIZE ? file.size : MAGIC_SIZE);
    }
    if (found != expected) {
        return refuse(diag, DIAG_ARCHIVE_MAGIC, NULL, 0, expected, found);
    }
    struct archive archive = {.file = file, .first_member = MAGIC_SIZE};
    bool has_index = false;
    enum status status;
    for (;;) {
        /* Behind the index a damaged member is reported when it is read, not here. */
        struct archive_member member;
        status =
            archive_member_at(&archive, archive.first_member, &member, has_index ? NULL : diag);
        if (status != OK || member.name[0] != '/') {
            break;
        }
        if (member.name[1] == '/') {
            archive.long_names = member.data;
        } else if (!has_index) {
            status = open_index(&archive, &member, diag);
            if (status != OK) {
                return status;
            }
            has_index = true;
        }
        archive.first_member = member.next;
    }
    if (!has_index) {
        bool is_readable = status == OK || status == ERR_NOT_FOUND;
        return is_readable ? refuse(diag, DIAG_ARCHIVE_INDEX, NULL, MAGIC_SIZE, 1, 0) : status;
    }
    *out_archive = archive;
    return OK;
}

bool archive_index_next(const struct archive *archive, struct archive_cursor *cursor,
                        const char **out_symbol, uint64_t *out_member_offset)
{
    const uint8_t *offset = span_at(archive->index_offsets, cursor->entry * 4, 4);
    const char *symbol = span_string(archive->index_names, cursor->name_offset);
    if (!offset || !symbol) {
        return false;
    }
    cursor->entry++;
    cursor->name_offset += __builtin_strlen(symbol) + 1;
    *out_symbol = symbol;
    *out_member_offset = big_endian_32(offset);
    return true;
}
