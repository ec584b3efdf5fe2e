/* SPDX-License-Identifier: MIT */
/*
 * Objects with a hand-made .eh_frame: one CIE and two FDEs, for one function of 16 and one of 32
 * bytes. Each case changes one thing.
 */
#include "test_support.h"

#include "elf_writer.h"
#include "unwind_index.h"

#define SECTION_FRAME 1
#define SECTION_FIRST 2
#define SECTION_OTHER 3
#define SECTION_DATA  4

#define CIE_SIZE  24u
#define FDE_SIZE  24u
#define FDE_FIRST CIE_SIZE
#define FDE_OTHER (CIE_SIZE + FDE_SIZE)

struct fixture {
    uint8_t frame[CIE_SIZE + 2 * FDE_SIZE + 8];
    size_t frame_size;
    struct elf64_sym symbols[4];
    struct elf64_rela relocations[2];
    size_t relocation_count;
    uint32_t new_index[16];
    struct bytes file;
    struct bytes index;
    struct problem problem;
};

static void put_u32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof(value));
}

static void put_fde(struct fixture *fixture, uint32_t offset, uint32_t size)
{
    uint8_t *fde = fixture->frame + offset;
    put_u32(fde, FDE_SIZE - 4);
    put_u32(fde + 4, offset + 4);
    put_u32(fde + 12, size);
}

static struct fixture make_fixture(void)
{
    struct fixture fixture = {.frame_size = CIE_SIZE + 2 * FDE_SIZE, .relocation_count = 2};
    /* length, id 0, version 1, "zR", factors 1 and -8, register 16, 1 byte: pcrel|sdata4 */
    static const uint8_t cie[CIE_SIZE] = {CIE_SIZE - 4, 0,   0, 0, 0,    0,  0, 0,   1,
                                          'z',          'R', 0, 1, 0x78, 16, 1, 0x1b};
    memcpy(fixture.frame, cie, sizeof(cie));
    put_fde(&fixture, FDE_FIRST, 16);
    put_fde(&fixture, FDE_OTHER, 32);
    for (uint32_t i = 1; i < ARRAY_COUNT(fixture.symbols); i++) {
        fixture.symbols[i].st_info = STT_SECTION;
        fixture.symbols[i].st_shndx = (uint16_t)(SECTION_FIRST + i - 1);
    }
    fixture.relocations[0] = (struct elf64_rela){FDE_FIRST + 8, R_X86_64_PC32, 1, 0};
    fixture.relocations[1] = (struct elf64_rela){FDE_OTHER + 8, R_X86_64_PC32, 2, 0};
    for (uint32_t i = 0; i < ARRAY_COUNT(fixture.new_index); i++) {
        fixture.new_index[i] = i;
    }
    return fixture;
}

static void write_object(struct fixture *fixture)
{
    static const uint8_t code[32];
    static const char names[1];
    struct elf_writer writer = {0};
    const struct elf_writer_section sections[] = {
        {.name = ".eh_frame",
         .type = SHT_PROGBITS,
         .flags = SHF_ALLOC,
         .alignment = 8,
         .content = span_of(fixture->frame, fixture->frame_size)},
        {.name = ".text.first",
         .type = SHT_PROGBITS,
         .flags = SHF_ALLOC | SHF_EXECINSTR,
         .alignment = 16,
         .content = span_of(code, 16)},
        {.name = ".text.other",
         .type = SHT_PROGBITS,
         .flags = SHF_ALLOC | SHF_EXECINSTR,
         .alignment = 16,
         .content = span_of(code, 32)},
        {.name = ".data",
         .type = SHT_PROGBITS,
         .flags = SHF_ALLOC | SHF_WRITE,
         .alignment = 16,
         .content = span_of(code, 32)},
        {.name = ".rela.eh_frame",
         .type = SHT_RELA,
         .flags = SHF_INFO_LINK,
         .link = 6,
         .info = SECTION_FRAME,
         .alignment = 8,
         .entry_size = sizeof(struct elf64_rela),
         .content =
             span_of(fixture->relocations, fixture->relocation_count * sizeof(struct elf64_rela))},
        {.name = ".symtab",
         .type = SHT_SYMTAB,
         .link = 7,
         .info = ARRAY_COUNT(fixture->symbols),
         .alignment = 8,
         .entry_size = sizeof(struct elf64_sym),
         .content = span_of(fixture->symbols, sizeof(fixture->symbols))},
        {.name = ".strtab", .type = SHT_STRTAB, .alignment = 1, .content = span_of(names, 1)},
    };
    for (size_t i = 0; i < ARRAY_COUNT(sections); i++) {
        elf_writer_add(&writer, &sections[i]);
    }
    assert_int_equal(elf_writer_finish(&writer, &fixture->file, &fixture->problem), OK);
    elf_writer_fini(&writer);
}

/* Returns the code of the refusal, 0 when the index was built. */
static unsigned build(struct fixture *fixture)
{
    struct elf_object object;
    struct diag diag;
    write_object(fixture);
    assert_int_equal(elf_object_open(bytes_span(&fixture->file), &object, &diag), OK);
    enum status status =
        unwind_index_build(&object, fixture->new_index, &fixture->index, &fixture->problem);
    assert_int_equal(status, fixture->problem.status);
    return fixture->problem.code;
}

static void release(struct fixture *fixture)
{
    bytes_fini(&fixture->file);
    bytes_fini(&fixture->index);
    problem_fini(&fixture->problem);
}

static void check_entry(const struct fixture *fixture, size_t n, struct unwind_index_entry expected)
{
    struct unwind_index_entry entry;
    size_t at = sizeof(struct unwind_index_header) + n * sizeof(entry);
    assert_true(at + sizeof(entry) <= fixture->index.size);
    memcpy(&entry, fixture->index.data + at, sizeof(entry));
    assert_int_equal(entry.section, expected.section);
    assert_int_equal(entry.offset, expected.offset);
    assert_int_equal(entry.size, expected.size);
    assert_int_equal(entry.fde_offset, expected.fde_offset);
}

static void test_unwind_index_entries_are_found(void **state)
{
    struct fixture fixture = make_fixture();
    assert_int_equal(build(&fixture), 0);
    assert_int_equal(fixture.index.size, 16 + 2 * 16);
    check_entry(&fixture, 0, (struct unwind_index_entry){SECTION_FIRST, 0, 16, FDE_FIRST});
    check_entry(&fixture, 1, (struct unwind_index_entry){SECTION_OTHER, 0, 32, FDE_OTHER});
    release(&fixture);
}

static void test_unwind_index_is_sorted_by_the_new_sections(void **state)
{
    struct fixture fixture = make_fixture();
    fixture.new_index[SECTION_FIRST] = 9;
    fixture.new_index[SECTION_OTHER] = 5;
    assert_int_equal(build(&fixture), 0);
    check_entry(&fixture, 0, (struct unwind_index_entry){5, 0, 32, FDE_OTHER});
    check_entry(&fixture, 1, (struct unwind_index_entry){9, 0, 16, FDE_FIRST});
    release(&fixture);
}

static void test_unwind_index_two_functions_of_one_section_are_sorted(void **state)
{
    struct fixture fixture = make_fixture();
    fixture.relocations[0] = (struct elf64_rela){FDE_FIRST + 8, R_X86_64_PC32, 2, 16};
    put_u32(fixture.frame + FDE_OTHER + 12, 16);
    assert_int_equal(build(&fixture), 0);
    check_entry(&fixture, 0, (struct unwind_index_entry){SECTION_OTHER, 0, 16, FDE_OTHER});
    check_entry(&fixture, 1, (struct unwind_index_entry){SECTION_OTHER, 16, 16, FDE_FIRST});
    release(&fixture);
}

static void test_unwind_index_entry_without_code_is_left_out(void **state)
{
    struct fixture fixture = make_fixture();
    put_u32(fixture.frame + FDE_FIRST + 12, 0);
    assert_int_equal(build(&fixture), 0);
    assert_int_equal(fixture.index.size, 16 + 16);
    release(&fixture);
}

static void test_unwind_index_without_entries_names_no_section(void **state)
{
    struct fixture fixture = make_fixture();
    fixture.frame_size = CIE_SIZE;
    fixture.relocation_count = 0;
    assert_int_equal(build(&fixture), 0);
    assert_int_equal(fixture.index.size, 16);
    struct unwind_index_header header;
    memcpy(&header, fixture.index.data, sizeof(header));
    assert_int_equal(header.count, 0);
    assert_int_equal(header.eh_frame, 0);
    release(&fixture);
}

static void test_unwind_index_final_terminator_is_accepted(void **state)
{
    struct fixture fixture = make_fixture();
    fixture.frame_size += 4;
    assert_int_equal(build(&fixture), 0);
    assert_int_equal(fixture.index.size, 16 + 2 * 16);
    release(&fixture);
}

/* A change of one byte, or of one relocation, and the code that it is refused with. */
static void test_unwind_index_damage_is_refused(void **state)
{
    static const struct {
        const char *what;
        unsigned code;
        uint32_t offset;
        uint8_t value;
    } cases[] = {
        {"CIE longer than the section", PROBLEM_UNWIND_FRAME, 1, 1},
        {"CIE of 3 bytes", PROBLEM_UNWIND_FRAME, 0, 3},
        {"augmentation without z", PROBLEM_UNWIND_FRAME, 9, 'x'},
        {"unknown letter in the augmentation", PROBLEM_UNWIND_FRAME, 10, 'q'},
        {"pointer encoding uleb128", PROBLEM_UNWIND_FRAME, 16, 0x01},
        {"FDE longer than the section", PROBLEM_UNWIND_FRAME, FDE_OTHER + 1, 1},
        {"FDE too short for its fields", PROBLEM_UNWIND_FRAME, FDE_FIRST, 8},
        {"FDE with length 0 in the middle", PROBLEM_UNWIND_FRAME, FDE_FIRST, 0},
        {"CIE pointer before the section", PROBLEM_UNWIND_FRAME, FDE_FIRST + 5, 1},
        {"CIE pointer to an FDE", PROBLEM_UNWIND_FRAME, FDE_OTHER + 4, FDE_SIZE + 4},
        {"code longer than its section", PROBLEM_UNWIND_TARGET, FDE_FIRST + 12, 17},
        {"code of 4 GiB", PROBLEM_UNWIND_TARGET, FDE_FIRST + 15, 0xff},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct fixture fixture = make_fixture();
        fixture.frame[cases[i].offset] = cases[i].value;
        unsigned code = build(&fixture);
        if (code != cases[i].code) {
            fail_msg("%s: C%04u instead of C%04u", cases[i].what, code, cases[i].code);
        }
        release(&fixture);
    }
}

static void test_unwind_index_wrong_target_is_refused(void **state)
{
    static const struct {
        const char *what;
        struct elf64_rela relocation;
    } cases[] = {
        {"no relocation at the field", {FDE_FIRST + 4, R_X86_64_PC32, 1, 0}},
        {"a relocation of another type", {FDE_FIRST + 8, R_X86_64_NONE, 1, 0}},
        {"a symbol beyond the table", {FDE_FIRST + 8, R_X86_64_PC32, 4, 0}},
        {"an undefined symbol", {FDE_FIRST + 8, R_X86_64_PC32, 0, 0}},
        {"a section of data", {FDE_FIRST + 8, R_X86_64_PC32, 3, 0}},
        {"before the section", {FDE_FIRST + 8, R_X86_64_PC32, 1, -1}},
        {"code of the other function", {FDE_FIRST + 8, R_X86_64_PC32, 2, 8}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct fixture fixture = make_fixture();
        fixture.relocations[0] = cases[i].relocation;
        unsigned code = build(&fixture);
        if (code != PROBLEM_UNWIND_TARGET) {
            fail_msg("%s: C%04u", cases[i].what, code);
        }
        release(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unwind_index_entries_are_found),
        cmocka_unit_test(test_unwind_index_is_sorted_by_the_new_sections),
        cmocka_unit_test(test_unwind_index_two_functions_of_one_section_are_sorted),
        cmocka_unit_test(test_unwind_index_entry_without_code_is_left_out),
        cmocka_unit_test(test_unwind_index_without_entries_names_no_section),
        cmocka_unit_test(test_unwind_index_final_terminator_is_accepted),
        cmocka_unit_test(test_unwind_index_damage_is_refused),
        cmocka_unit_test(test_unwind_index_wrong_target_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
