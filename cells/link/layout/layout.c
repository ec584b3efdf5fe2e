/* SPDX-License-Identifier: MIT */
/*
 * Sections are sorted by group: text, rodata, data with bytes, data without; by counting, so they
 * stay in the order of the object. Then each is placed behind the one before it.
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

/* Places `count` sections of one group behind `*end`. */
static enum status place_group(const struct elf_object *object, enum group group,
                               const uint32_t *indices, uint32_t count,
                               struct section_place *places, uint64_t *end, struct diag *diag)
{
    for (uint32_t k = 0; k < count; k++) {
        uint32_t i = indices[k];
        const struct elf64_shdr *section = &object->sections[i];
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
    }
    return OK;
}

/*
 * Sorts the sections that are to be placed by group, in `by_address`; group `g` starts at
 * first[g]. Where each belongs stands in its place meanwhile.
 */
static void sort_by_group(const struct elf_object *object, const struct section *sections,
                          struct section_place *places, uint32_t *by_address,
                          uint32_t first[GROUP_COUNT + 1])
{
    uint32_t counts[GROUP_COUNT + 1] = {0};
    for (uint32_t i = 0; i < object->section_count; i++) {
        bool is_adopted = sections && sections[i].is_adopted;
        enum group group = is_adopted ? GROUP_COUNT : group_of(&object->sections[i]);
        places[i].offset = group;
        places[i].region = REGION_NONE;
        counts[group]++;
    }
    uint32_t next[GROUP_COUNT];
    first[0] = 0;
    for (uint32_t group = 0; group < GROUP_COUNT; group++) {
        next[group] = first[group];
        first[group + 1] = first[group] + counts[group];
    }
    for (uint32_t i = 0; i < object->section_count; i++) {
        if (places[i].offset != GROUP_COUNT) {
            by_address[next[places[i].offset]++] = i;
        } else {
            places[i].offset = 0;
        }
    }
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
    uint32_t first[GROUP_COUNT + 1];
    sort_by_group(object, sections, places, by_address, first);
    for (enum group group = GROUP_TEXT; group < GROUP_COUNT; group++) {
        uint32_t region = group_region[group];
        if (group != GROUP_BSS) {
            layout.region_first[region] = first[group];
        }
        enum status status =
            place_group(object, group, by_address + first[group], first[group + 1] - first[group],
                        places, &layout.sizes[region], diag);
        if (status != OK) {
            return status;
        }
        if (group != GROUP_BSS) {
            layout.file_sizes[region] = layout.sizes[region];
        }
    }
    layout.region_first[REGION_COUNT] = first[GROUP_COUNT];
    *out_layout = layout;
    return OK;
}
