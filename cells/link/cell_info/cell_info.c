/* SPDX-License-Identifier: MIT */
#include "cell_info.h"
#include "diag.h"

CELL(library, "1.0.0");

#define SECTION_NAME ".cell.info"

static enum status refuse(struct diag *diag, uint64_t offset)
{
    return diag_set(diag, DIAG_CELL_INFO,
                    &(struct diag_site){.section = SECTION_NAME, .offset = offset});
}

/* The value when `field` is `key=value`, else NULL. */
static const char *value_of(const char *field, const char *key)
{
    while (*key && *field == *key) {
        field++;
        key++;
    }
    return *key == '\0' && *field == '=' ? field + 1 : NULL;
}

static bool is_usable_name(const char *name)
{
    size_t length = 0;
    for (; name[length]; length++) {
        char c = name[length];
        bool is_word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
        if (!is_word || length + 1 >= CELL_INFO_NAME_SIZE) {
            return false;
        }
    }
    return length > 0;
}

enum status cell_info_parse(struct span note, struct cell_info *out_info, struct diag *diag)
{
    struct cell_info info = {0};
    struct {
        const char *key;
        const char **value;
    } const known[] = {
        {"name", &info.name},       {"version", &info.version},     {"kind", &info.kind},
        {"summary", &info.summary}, {"interface", &info.interface},
    };
    const char *format = span_string(note, 0);
    if (!format || __builtin_strcmp(format, "format=1") != 0) {
        return refuse(diag, 0);
    }
    uint64_t offset = __builtin_strlen(format) + 1;
    while (offset < note.size && note.base[offset] != 0) { /* what is left is padding */
        const char *field = span_string(note, offset);
        if (!field) {
            return refuse(diag, offset);
        }
        for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
            const char *value = value_of(field, known[i].key);
            if (value && *known[i].value) {
                return refuse(diag, offset); /* stated twice */
            }
            if (value) {
                *known[i].value = value;
            }
        }
        offset += __builtin_strlen(field) + 1;
    }
    if (!info.name || !info.version || !info.kind || !info.summary || !is_usable_name(info.name)) {
        return refuse(diag, offset);
    }
    *out_info = info;
    return OK;
}

enum status cell_info_read(const struct elf_object *object, struct cell_info *out_info,
                           struct diag *diag)
{
    uint32_t section = elf_object_find_section(object, SECTION_NAME);
    if (section == 0) {
        return refuse(diag, 0);
    }
    return cell_info_parse(elf_object_section_bytes(object, section), out_info, diag);
}
