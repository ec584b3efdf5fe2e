/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "diag.h"
#include "elf_builder.h"
#include "layout.h"

struct plan {
    struct elf_builder builder;
    struct elf_object object;
    struct section_place *places;
    uint32_t *by_address;
    struct layout layout;
};

static void begin(struct plan *plan)
{
    *plan = (struct plan){.places = NULL};
    elf_builder_init(&plan->builder);
}

static enum status finish(struct plan *plan, struct diag *diag)
{
    assert_int_equal(elf_object_open(elf_build(&plan->builder), &plan->object, NULL), OK);
    plan->places = calloc(plan->object.section_count, sizeof(*plan->places));
    plan->by_address = calloc(plan->object.section_count, sizeof(*plan->by_address));
    return layout_plan(&plan->object, plan->places, plan->by_address, &plan->layout, diag);
}

static void end(struct plan *plan)
{
    free(plan->places);
    free(plan->by_address);
    elf_builder_fini(&plan->builder);
}

static void align(struct plan *plan, uint32_t section, uint64_t alignment)
{
    elf_section(&plan->builder, section)->sh_addralign = alignment;
}

static void expect_place(const struct plan *plan, uint32_t section, uint32_t region,
                         uint64_t offset)
{
    assert_int_equal(plan->places[section].region, region);
    assert_int_equal(plan->places[section].offset, offset);
}

static void test_layout_sections_are_grouped_by_protection(void **state)
{
    (void)state;
    struct plan plan;
    begin(&plan);
    uint32_t bss = elf_add_bss(&plan.builder, ".bss", 100);
    uint32_t data = elf_add_data(&plan.builder, ".data", NULL, 10);
    uint32_t rodata = elf_add_rodata(&plan.builder, ".rodata", NULL, 20);
    uint32_t text = elf_add_text(&plan.builder, ".text", NULL, 30);
    uint32_t note = elf_add_section(&plan.builder, ".note", SHT_PROGBITS, 0, NULL, 40);
    uint32_t unwind =
        elf_add_section(&plan.builder, ".eh_frame", SHT_X86_64_UNWIND, SHF_ALLOC, NULL, 8);
    assert_int_equal(finish(&plan, NULL), OK);
    expect_place(&plan, text, REGION_TEXT, 0);
    expect_place(&plan, rodata, REGION_RODATA, 0);
    expect_place(&plan, unwind, REGION_RODATA, 20);
    expect_place(&plan, data, REGION_DATA, 0);
    expect_place(&plan, bss, REGION_DATA, 10); /* behind what has bytes, though it comes first */
    assert_int_equal(plan.places[note].region, REGION_NONE);
    assert_int_equal(plan.places[0].region, REGION_NONE);
    assert_int_equal(plan.layout.sizes[REGION_TEXT], 30);
    assert_int_equal(plan.layout.sizes[REGION_RODATA], 28);
    assert_int_equal(plan.layout.sizes[REGION_DATA], 110);
    assert_int_equal(plan.layout.file_sizes[REGION_TEXT], 30);
    assert_int_equal(plan.layout.file_sizes[REGION_DATA], 10);
    const uint32_t expected[] = {text, rodata, unwind, data, bss};
    assert_memory_equal(plan.by_address, expected, sizeof(expected));
    const uint32_t first[] = {0, 1, 3, 5};
    assert_memory_equal(plan.layout.region_first, first, sizeof(first));
    end(&plan);
}

static void test_layout_alignment_leaves_gaps(void **state)
{
    (void)state;
    struct plan plan;
    begin(&plan);
    uint32_t a = elf_add_text(&plan.builder, ".text.a", NULL, 1);
    uint32_t b = elf_add_text(&plan.builder, ".text.b", NULL, 17);
    uint32_t c = elf_add_text(&plan.builder, ".text.c", NULL, 3);
    uint32_t d = elf_add_text(&plan.builder, ".text.d", NULL, 1);
    align(&plan, b, 16);
    align(&plan, c, 0); /* gABI: as 1 */
    align(&plan, d, 4096);
    assert_int_equal(finish(&plan, NULL), OK);
    expect_place(&plan, a, REGION_TEXT, 0);
    expect_place(&plan, b, REGION_TEXT, 16);
    expect_place(&plan, c, REGION_TEXT, 33);
    expect_place(&plan, d, REGION_TEXT, 4096);
    assert_int_equal(plan.layout.sizes[REGION_TEXT], 4097);
    end(&plan);
}

static void test_layout_empty_sections_are_placed(void **state)
{
    (void)state;
    struct plan plan;
    begin(&plan);
    uint32_t a = elf_add_text(&plan.builder, ".text", NULL, 0);
    uint32_t b = elf_add_text(&plan.builder, ".text.b", NULL, 5);
    uint32_t c = elf_add_text(&plan.builder, ".text.c", NULL, 0);
    assert_int_equal(finish(&plan, NULL), OK);
    expect_place(&plan, a, REGION_TEXT, 0);
    expect_place(&plan, b, REGION_TEXT, 0);
    expect_place(&plan, c, REGION_TEXT, 5);
    assert_int_equal(plan.layout.region_first[REGION_RODATA], 3);
    assert_int_equal(plan.layout.sizes[REGION_RODATA], 0);
    end(&plan);
}

static void test_layout_object_without_loaded_sections_is_empty(void **state)
{
    (void)state;
    struct plan plan;
    begin(&plan);
    elf_add_section(&plan.builder, ".comment", SHT_PROGBITS, 0, "x", 1);
    assert_int_equal(finish(&plan, NULL), OK);
    for (int r = 0; r < REGION_COUNT; r++) {
        assert_int_equal(plan.layout.sizes[r], 0);
        assert_int_equal(plan.layout.region_first[r + 1], 0);
    }
    end(&plan);
}

static void test_layout_region_of_limit_size_is_accepted(void **state)
{
    (void)state;
    struct plan plan;
    begin(&plan);
    elf_add_bss(&plan.builder, ".bss.a", LAYOUT_MAX_REGION / 2);
    elf_add_bss(&plan.builder, ".bss.b", LAYOUT_MAX_REGION / 2);
    assert_int_equal(finish(&plan, NULL), OK);
    assert_int_equal(plan.layout.sizes[REGION_DATA], LAYOUT_MAX_REGION);
    end(&plan);
}

static void test_layout_region_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    struct plan plan;
    struct diag diag;
    begin(&plan);
    elf_add_bss(&plan.builder, ".bss.a", LAYOUT_MAX_REGION / 2);
    elf_add_bss(&plan.builder, ".bss.b", LAYOUT_MAX_REGION / 2);
    elf_add_data(&plan.builder, ".data", NULL, 1);
    plan.layout.sizes[0] = 77;
    assert_int_equal(finish(&plan, &diag), ERR_LIMIT);
    assert_int_equal(diag.code, DIAG_ELF_LIMIT);
    assert_string_equal(diag.section, ".bss.b");
    assert_int_equal(diag.expected, LAYOUT_MAX_REGION);
    assert_int_equal(diag.found, LAYOUT_MAX_REGION + 1);
    assert_int_equal(plan.layout.sizes[0], 77); /* written only on success */
    end(&plan);
}

/* What every plan must keep to: in place, aligned, without overlap, in the order of the table. */
static void assert_sound(const struct plan *plan)
{
    uint32_t placed = 0;
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        uint64_t end_of_last = 0;
        for (uint32_t k = plan->layout.region_first[r]; k < plan->layout.region_first[r + 1]; k++) {
            const struct section_place *place = &plan->places[plan->by_address[k]];
            const struct elf64_shdr *section = &plan->object.sections[plan->by_address[k]];
            assert_int_equal(place->region, r);
            assert_true(place->offset >= end_of_last);
            assert_int_equal(place->offset & (section->sh_addralign - 1), 0);
            end_of_last = place->offset + section->sh_size;
            placed++;
        }
        assert_int_equal(plan->layout.sizes[r], end_of_last);
    }
    for (uint32_t i = 0; i < plan->object.section_count; i++) {
        placed -= elf_object_section_is_loaded(&plan->object, i);
    }
    assert_int_equal(placed, 0);
}

static void test_layout_random_objects_are_placed_soundly(void **state)
{
    (void)state;
    srand(1);
    for (int run = 0; run < 50; run++) {
        struct plan plan;
        begin(&plan);
        for (int i = rand() % 60; i > 0; i--) {
            size_t size = (size_t)rand() % 100 * (size_t)(rand() % 2);
            uint32_t section = 0;
            switch (rand() % 5) {
            case 0:
                section = elf_add_text(&plan.builder, ".t", NULL, size);
                break;
            case 1:
                section = elf_add_rodata(&plan.builder, ".r", NULL, size);
                break;
            case 2:
                section = elf_add_data(&plan.builder, ".d", NULL, size);
                break;
            case 3:
                section = elf_add_bss(&plan.builder, ".b", size);
                break;
            default:
                section = elf_add_section(&plan.builder, ".n", SHT_PROGBITS, 0, NULL, size);
            }
            align(&plan, section, 1ull << rand() % 13);
        }
        assert_int_equal(finish(&plan, NULL), OK);
        assert_sound(&plan);
        end(&plan);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout_sections_are_grouped_by_protection),
        cmocka_unit_test(test_layout_alignment_leaves_gaps),
        cmocka_unit_test(test_layout_empty_sections_are_placed),
        cmocka_unit_test(test_layout_object_without_loaded_sections_is_empty),
        cmocka_unit_test(test_layout_region_of_limit_size_is_accepted),
        cmocka_unit_test(test_layout_region_beyond_the_limit_is_refused),
        cmocka_unit_test(test_layout_random_objects_are_placed_soundly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
