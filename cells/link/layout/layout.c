/* SPDX-License-Identifier: MIT */
/*
 * Four passes over the section table, one for each group: text, rodata, data with bytes, data
 * without. A pass is a compare and an addition per section; a sort would cost more and say less.
 */
#include "layout.h"
#include "diag.h"

CELL(library, "1.0.0");

enum group { GROUP_TEXT, GROUP_RODATA, GROUP_DATA, GROUP_BSS, GROUP_COUNT };

static const uint8_t group_region[GROUP_COUNT] = {
    [GROUP_TEXT] = REGION_TEXT,
    [GROUP_RODATA] = REGION_RODATA,
    [GROUP_DATA] = REGION_DATA,
    [GROUP_BSS] = REGION_DATA,
};

static enum group group_of(const struct elf64_shdr *section)
{
    if (!(section->sh_flags & SHF_ALLOC)) {
        return GROUP_COUNT;
    }
    if (section->sh_flags & SHF_EXECINSTR) {
        return GROUP_TEXT;
    }
    if (!(section->sh_flags & SHF_WRITE)) {
        return GROUP_RODATA;
    }
    return section->sh_type == SHT_NOBITS ? GROUP_BSS : GROUP_DATA;
}

static enum status place_group(const struct elf_object *object, const struct section *sections,
                               enum group group, struct section_place *places, uint32_t *by_address,
                               uint32_t *count, uint64_t *end, struct diag *diag)
{
    for (uint32_t i = 0; i < object->section_count; i++) {
        const struct elf64_shdr *section = &object->sections[i];
        if (group_of(section) != group || (sections && sections[i].is_adopted)) {
            continue;
        }
        uint64_t alignment = section->sh_addralign ? section->sh_addralign : 1;
        uint64_t offset = (*end + alignment - 1) & ~(alignment - 1);
        if (offset + section->sh_size > LAYOUT_MAX_REGION) {
            return diag_set(diag, DIAG_ELF_LIMIT,
                            &(struct diag_site){
                                .section = elf_object_section_name(object, i),
                                .expected = LAYOUT_MAX_REGION,
                                .found = offset + section->sh_size,
                            });
        }
        places[i] = (struct section_place){.offset = offset, .region = group_region[group]};
        *end = offset + section->sh_size;
        by_address[(*count)++] = i;
    }
    return OK;
}

enum status layout_plan(const struct elf_object *object, struct section_place *places,
                        uint32_t *by_address, struct layout *out_layout, struct diag *diag)
{
    return layout_plan_without_adopted(object, NULL, places, by_address, out_layout, diag);
}

enum status layout_plan_without_adopted(const struct elf_object *object,
                                        const struct section *sections,
                                        struct section_place *places, uint32_t *by_address,
                                        struct layout *out_layout, struct diag *diag)
{
    struct layout layout = {0};
    uint32_t count = 0;
    for (uint32_t i = 0; i < object->section_count; i++) {
        places[i] = (struct section_place){.region = REGION_NONE};
    }
    for (enum group group = GROUP_TEXT; group < GROUP_COUNT; group++) {
        uint32_t region = group_region[group];
        if (group != GROUP_BSS) {
            layout.region_first[region] = count;
        }
        enum status status = place_group(object, sections, group, places, by_address, &count,
                                         &layout.sizes[region], diag);
        if (status != OK) {
            return status;
        }
        if (group != GROUP_BSS) {
            layout.file_sizes[region] = layout.sizes[region];
        }
    }
    layout.region_first[REGION_COUNT] = count;
    *out_layout = layout;
    return OK;
}
