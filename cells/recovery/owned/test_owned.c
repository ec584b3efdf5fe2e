/* SPDX-License-Identifier: MIT */
/*
 * A cell with two drop functions and one other section, in bytes of this program; entries in a page
 * at a fixed place, as the kernel's are, within reach of a jump.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "address_map.h"
#include "entry_pool.h"
#include "nano_core_image.h"
#include "owned.h"
#include "stack.h"

#define TEXT_SIZE  32u
#define TYPES      12u
#define STACK_SIZE 8192u

const struct nano_core_image nano_core_image = {.magic = NANO_CORE_IMAGE_MAGIC};

static uint8_t text[TYPES][TEXT_SIZE];
static uint8_t pristine[TYPES][TEXT_SIZE];
static ALIGNED(8) uint8_t entries[TYPES][ENTRY_SIZE];
static char names[TYPES][32];
static struct elf64_shdr headers[TYPES];
static struct cell cell;
static struct section sections[TYPES];
static struct elf64_rela relocations[2];
static uint64_t generation = 1;
static unsigned lookups;
static ALIGNED(16) uint8_t stack[STACK_SIZE];

void address_map_enter(void)
{
}

void address_map_leave(void)
{
}

uint64_t address_map_generation(void)
{
    return generation;
}

const struct section *address_map_find(uint64_t address)
{
    lookups++;
    for (unsigned i = 0; i < TYPES; i++) {
        if (address - sections[i].address < sections[i].size) {
            return &sections[i];
        }
    }
    return NULL;
}

bool entry_pool_holds(uint64_t address)
{
    return address - (uint64_t)entries < sizeof(entries);
}

bool stack_find(vaddr_t address, struct stack_place *out)
{
    *out = (struct stack_place){.name = "test",
                                .part = STACK_INSIDE,
                                .bottom = (vaddr_t)stack,
                                .top = (vaddr_t)stack + STACK_SIZE};
    return address - out->bottom < STACK_SIZE;
}

static int start(void **state)
{
    (void)state;
    memset(stack, 0, sizeof(stack));
    memset(pristine, 0x90, sizeof(pristine));
    generation++;
    cell = (struct cell){.name = "things", .sections = sections};
    cell.object = (struct elf_object){.file = {(const uint8_t *)pristine, sizeof(pristine)},
                                      .sections = headers,
                                      .section_count = TYPES};
    for (unsigned i = 0; i < TYPES; i++) {
        memcpy(text[i], pristine[i], TEXT_SIZE);
        snprintf(names[i], sizeof(names[i]), ".text.thing%u_drop", i);
        headers[i] = (struct elf64_shdr){
            .sh_type = SHT_PROGBITS, .sh_offset = (uint64_t)i * TEXT_SIZE, .sh_size = TEXT_SIZE};
        sections[i] = (struct section){.cell = &cell,
                                       .name = names[i],
                                       .address = (uint64_t)text[i],
                                       .size = TEXT_SIZE,
                                       .index = i,
                                       .region = REGION_TEXT};
        int32_t distance = (int32_t)((intptr_t)text[i] - (intptr_t)entries[i] - 5);
        entries[i][0] = 0xe9;
        memcpy(&entries[i][1], &distance, sizeof(distance));
        memset(&entries[i][5], 0xcc, 3);
    }
    /* A call within the first, and a word of 8 bytes. */
    relocations[0] = (struct elf64_rela){.r_offset = 4, .r_type = R_X86_64_PLT32};
    relocations[1] = (struct elf64_rela){.r_offset = 16, .r_type = R_X86_64_64};
    sections[0].relocations = relocations;
    sections[0].relocation_count = 2;
    memset(text[0] + 4, 0x11, 4);
    memset(text[0] + 16, 0x22, 8);
    return 0;
}

static void test_drop_is_known_by_its_entry_and_its_first_byte(void **state)
{
    (void)state;
    assert_true(owned_is_drop((uintptr_t)entries[0]));
    assert_true(owned_is_drop((uintptr_t)text[1]));
    assert_false(owned_is_drop((uintptr_t)text[1] + 1));
    assert_false(owned_is_drop((uintptr_t)entries[1] + 1));
    assert_false(owned_is_drop((uintptr_t)stack));
    assert_false(owned_is_drop(0));
    assert_false(owned_is_drop(UINTPTR_MAX));
}

static void test_drop_in_data_is_refused(void **state)
{
    (void)state;
    sections[2].region = REGION_RODATA;
    assert_false(owned_is_drop((uintptr_t)entries[2]));
    assert_false(owned_is_intact_drop((uintptr_t)entries[2]));
}

static void test_function_of_another_name_is_refused(void **state)
{
    (void)state;
    sections[2].name = ".text.thing2_create";
    assert_false(owned_is_drop((uintptr_t)entries[2]));
    sections[2].name = "drop";
    assert_false(owned_is_drop((uintptr_t)entries[2]));
}

static void test_entry_that_was_given_back_is_refused(void **state)
{
    (void)state;
    memset(entries[3], 0xcc, ENTRY_SIZE);
    assert_false(owned_is_drop((uintptr_t)entries[3]));
}

static void test_what_is_known_is_remembered_for_one_generation(void **state)
{
    (void)state;
    assert_true(owned_is_drop((uintptr_t)entries[0]));
    lookups = 0;
    assert_true(owned_is_drop((uintptr_t)entries[0]));
    assert_int_equal(lookups, 0);
    sections[0].size = 0; /* unloaded */
    generation++;
    assert_false(owned_is_drop((uintptr_t)entries[0]));
}

static void test_each_changed_byte_outside_of_relocations_is_seen(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2 * TEXT_SIZE; i++) {
        if (i == TEXT_SIZE) { /* relocations in another order */
            struct elf64_rela first = relocations[0];
            relocations[0] = relocations[1];
            relocations[1] = first;
        }
        unsigned at = i % TEXT_SIZE;
        bool is_field = (at >= 4 && at < 8) || (at >= 16 && at < 24);
        text[0][at] ^= 1;
        assert_int_equal(owned_is_intact_drop((uintptr_t)entries[0]), is_field);
        text[0][at] ^= 1;
    }
    assert_true(owned_is_intact_drop((uintptr_t)entries[0]));
    relocations[1].r_offset = TEXT_SIZE + 1; /* whatever the tables say */
    assert_false(owned_is_intact_drop((uintptr_t)entries[0]));
    headers[0].sh_size = TEXT_SIZE - 1;
    assert_false(owned_is_intact_drop((uintptr_t)entries[0]));
}

static void test_name_is_that_of_the_type(void **state)
{
    (void)state;
    char name[OWNED_NAME_SIZE];
    assert_int_equal(owned_name((uintptr_t)entries[7], name, sizeof(name)), 6);
    assert_string_equal(name, "thing7");
    owned_name((uintptr_t)stack, name, sizeof(name));
    assert_string_equal(name, "?");
    sections[7].name = "_drop";
    owned_name((uintptr_t)entries[7], name, sizeof(name));
    assert_string_equal(name, "_drop");
    assert_int_equal(owned_name((uintptr_t)entries[6], name, 3), 6);
    assert_string_equal(name, "th");
}

/* Links a slot of type `type` at place `at` of the stack, newest last. */
static struct own_slot *link_slot(struct own_slot *below, unsigned at, unsigned type, bool is_full)
{
    struct own_slot *slot = (struct own_slot *)stack + at;
    slot->below = below;
    slot->tag = (uintptr_t)slot ^ (uintptr_t)entries[type];
    slot->handle = is_full ? slot : NULL;
    return slot;
}

static void assert_described(const struct own_slot *top, const char *expected)
{
    char line[OWNED_LINE_SIZE];
    assert_int_equal(owned_describe(top, line, sizeof(line)), strlen(expected));
    assert_string_equal(line, expected);
}

static void test_describe_counts_by_type(void **state)
{
    (void)state;
    assert_described(NULL, "nothing");
    struct own_slot *top = link_slot(NULL, 9, 0, false);
    assert_described(top, "nothing");
    top = link_slot(top, 8, 1, true);
    top = link_slot(top, 7, 2, true);
    top = link_slot(top, 6, 1, true);
    assert_described(top, "2 thing1, 1 thing2");
    top->tag += OWN_TRY; /* its drop has begun */
    assert_described(top, "2 thing1, 1 thing2");
    for (unsigned i = 0; i < TYPES; i++) {
        top = link_slot(top, 20 + i, i, true);
    }
    assert_described(top, "1 thing11, 1 thing10, 1 thing9, 1 thing8, 1 thing7, 1 thing6, "
                          "1 thing5, 1 thing4, 7 others");
}

static void test_describe_says_where_the_chain_is_broken(void **state)
{
    (void)state;
    struct own_slot *first = link_slot((struct own_slot *)0x1230, 9, 0, true);
    assert_described(first, "1 thing0; the chain is broken at 0x1230");
    assert_described((struct own_slot *)0x1230, "nothing is known: the chain is broken at 0x1230");
    struct own_slot *second = link_slot(first, 8, 0, true);
    first->below = second; /* in a circle */
    char line[OWNED_LINE_SIZE];
    owned_describe(second, line, sizeof(line));
    assert_memory_equal(line, "100000 thing0; the chain is broken at ", 38);
    first->below = (struct own_slot *)((uintptr_t)second + 4); /* not aligned */
    owned_describe(second, line, sizeof(line));
    assert_memory_equal(line, "2 thing0; the chain is broken at ", 33);
    first->tag = 0;
    owned_describe(second, line, sizeof(line));
    assert_memory_equal(line, "1 thing0; the chain is broken at ", 33);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_drop_is_known_by_its_entry_and_its_first_byte, start),
        cmocka_unit_test_setup(test_drop_in_data_is_refused, start),
        cmocka_unit_test_setup(test_function_of_another_name_is_refused, start),
        cmocka_unit_test_setup(test_entry_that_was_given_back_is_refused, start),
        cmocka_unit_test_setup(test_what_is_known_is_remembered_for_one_generation, start),
        cmocka_unit_test_setup(test_each_changed_byte_outside_of_relocations_is_seen, start),
        cmocka_unit_test_setup(test_name_is_that_of_the_type, start),
        cmocka_unit_test_setup(test_describe_counts_by_type, start),
        cmocka_unit_test_setup(test_describe_says_where_the_chain_is_broken, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
