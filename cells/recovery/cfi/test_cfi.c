/* SPDX-License-Identifier: MIT */
/*
 * Tables are made by hand here, one peculiarity each. What compilers make is compared with other
 * decoders by test/unwind/compare-decoders; expressions are in test/unwind/test_cfi_expressions.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "cfi.h"

#define TABLE_SIZE    1024
#define TABLE_ADDRESS 0x10000
#define CODE          0x20000
#define CODE_SIZE     0x100

struct sample {
    uint8_t bytes[TABLE_SIZE];
    size_t size;
    size_t length_at; /* of the open record */
    size_t cie;
    size_t fde;
    struct cfi_table table;
    struct cfi_fde read;
    struct cfi_fault fault;
    struct cfi_machine machine;
};

static void put(struct sample *sample, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        sample->bytes[sample->size++] = (uint8_t)(value >> (8 * i));
    }
}

static void put_bytes(struct sample *sample, const void *bytes, size_t size)
{
    memcpy(sample->bytes + sample->size, bytes, size);
    sample->size += size;
}

static void open_record(struct sample *sample)
{
    sample->length_at = sample->size;
    put(sample, 0, 4);
}

static void close_record(struct sample *sample)
{
    uint32_t length = (uint32_t)(sample->size - sample->length_at - 4);
    memcpy(sample->bytes + sample->length_at, &length, sizeof(length));
}

static struct cfi_table *table_of(struct sample *sample)
{
    sample->table = (struct cfi_table){
        .bytes = span_of(sample->bytes, sample->size),
        .address = TABLE_ADDRESS,
    };
    return &sample->table;
}

/* A CIE of version 1 with code factor 1 and data factor -8; `data` is that of the augmentation. */
static void add_cie(struct sample *sample, const char *letters, const void *data, size_t data_size,
                    const void *program, size_t program_size)
{
    sample->cie = sample->size;
    open_record(sample);
    put(sample, 0, 4);
    put(sample, 1, 1);
    put_bytes(sample, letters, strlen(letters) + 1);
    put_bytes(sample, "\x01\x78\x10", 3);
    if (letters[0] == 'z') {
        put(sample, data_size, 1);
        put_bytes(sample, data, data_size);
    }
    put_bytes(sample, program, program_size);
    close_record(sample);
}

/* Addresses of 4 bytes, relative to their place. */
static void add_fde(struct sample *sample, const void *program, size_t program_size)
{
    sample->fde = sample->size;
    open_record(sample);
    put(sample, sample->size - sample->cie, 4);
    put(sample, CODE - (TABLE_ADDRESS + sample->size), 4);
    put(sample, CODE_SIZE, 4);
    put(sample, 0, 1);
    put_bytes(sample, program, program_size);
    close_record(sample);
}

#define CFA_IS_RSP_8 "\x0c\x07\x08\x90\x01" /* def_cfa rsp 8; offset rip, 1 */

/* The usual pair; a string literal without its NUL. */
#define BEGIN(sample, program)                                \
    do {                                                      \
        memset(&(sample), 0, sizeof(sample));                 \
        add_cie(&(sample), "zR", "\x1b", 1, CFA_IS_RSP_8, 5); \
        add_fde(&(sample), program, sizeof(program) - 1);     \
        table_of(&(sample));                                  \
    } while (0)

static enum status begin(struct sample *sample)
{
    enum status status = cfi_read(table_of(sample), sample->fde, &sample->read, &sample->fault);
    return status == OK ? cfi_begin(&sample->machine, &sample->read, &sample->fault) : status;
}

static enum status row_at(struct sample *sample, uint64_t address)
{
    enum status status = begin(sample);
    return status == OK ? cfi_find_row(&sample->machine, address, &sample->fault) : status;
}

static void assert_row(struct sample *sample, uint64_t start, uint64_t end, unsigned reg,
                       int32_t offset)
{
    assert_int_equal(sample->machine.start, start);
    assert_int_equal(sample->machine.end, end);
    assert_int_equal(sample->machine.rules.cfa_register, reg);
    assert_int_equal(sample->machine.rules.cfa_offset, offset);
}

static void assert_rule(const struct sample *sample, unsigned reg, enum cfi_rule rule,
                        int32_t value)
{
    assert_int_equal(sample->machine.rules.kind[reg], rule);
    if (rule >= CFI_OFFSET) {
        assert_int_equal(sample->machine.rules.value[reg], value);
    }
}

static void assert_fault(const struct sample *sample, enum status status, enum status expected,
                         enum cfi_fault_code code, uint64_t offset)
{
    assert_int_equal(sample->fault.code, code);
    assert_int_equal(status, expected);
    assert_int_equal(sample->fault.offset, offset);
}

/* ---- rows ---- */

static void test_cfi_rows_of_a_prologue(void **state)
{
    (void)state;
    struct sample s;
    /* push rbp (1 byte); mov rsp, rbp (3 bytes); .. leave; at 0xf0 */
    BEGIN(s, "\x41\x0e\x10\x86\x02\x43\x0d\x06\x02\xec\x0c\x07\x08");
    assert_int_equal(begin(&s), OK);
    assert_int_equal(s.read.start, CODE);
    assert_int_equal(s.read.end, CODE + CODE_SIZE);
    assert_int_equal(cfi_next_row(&s.machine, &s.fault), OK);
    assert_row(&s, CODE, CODE + 1, CFI_RSP, 8);
    assert_rule(&s, CFI_RIP, CFI_OFFSET, -8);
    assert_rule(&s, CFI_RBP, CFI_UNSPECIFIED, 0);
    assert_int_equal(cfi_next_row(&s.machine, &s.fault), OK);
    assert_row(&s, CODE + 1, CODE + 4, CFI_RSP, 16);
    assert_rule(&s, CFI_RBP, CFI_OFFSET, -16);
    assert_int_equal(cfi_next_row(&s.machine, &s.fault), OK);
    assert_row(&s, CODE + 4, CODE + 0xf0, CFI_RBP, 16);
    assert_int_equal(cfi_next_row(&s.machine, &s.fault), OK);
    assert_row(&s, CODE + 0xf0, CODE + CODE_SIZE, CFI_RSP, 8);
    assert_int_equal(cfi_next_row(&s.machine, &s.fault), ERR_NOT_FOUND);
}

static void test_cfi_finds_the_row_of_each_address(void **state)
{
    (void)state;
    struct sample s;
    BEGIN(s, "\x41\x0e\x10\x43\x0e\x18\x02\xec\x0e\x08");
    for (uint64_t i = 0; i < CODE_SIZE; i++) {
        int32_t expected = i < 1 ? 8 : i < 4 ? 16 : i < 0xf0 ? 24 : 8;
        assert_int_equal(row_at(&s, CODE + i), OK);
        assert_int_equal(s.machine.rules.cfa_offset, expected);
        assert_true(s.machine.start <= CODE + i && CODE + i < s.machine.end);
    }
    assert_int_equal(row_at(&s, CODE - 1), ERR_NOT_FOUND);
    assert_int_equal(row_at(&s, CODE + CODE_SIZE), ERR_NOT_FOUND);
    assert_int_equal(row_at(&s, UINT64_MAX), ERR_NOT_FOUND);
}

static void test_cfi_every_way_to_advance(void **state)
{
    (void)state;
    struct sample s;
    BEGIN(s, "\x40\x0e\x10"         /* by 0: the same row */
             "\x02\x01\x0e\x18"     /* 1 byte */
             "\x03\x01\x00\x0e\x20" /* 2 bytes */
             "\x04\x01\x00\x00\x00\x0e\x28"
             "\x1d\x01\x00\x00\x00\x00\x00\x00\x00\x0e\x30");
    for (int i = 0; i <= 4; i++) {
        assert_int_equal(row_at(&s, (uint64_t)(CODE + i)), OK);
        assert_int_equal(s.machine.rules.cfa_offset, 16 + 8 * i);
    }
    /* set_loc, relative to its operand's place: the operand is the record's 20th byte */
    BEGIN(s, "\x01????\x0e\x10");
    uint32_t distance = (uint32_t)(CODE + 5 - (TABLE_ADDRESS + s.fde + 18));
    memcpy(s.bytes + s.fde + 18, &distance, 4);
    assert_int_equal(row_at(&s, CODE + 4), OK);
    assert_row(&s, CODE, CODE + 5, CFI_RSP, 8);
    assert_int_equal(row_at(&s, CODE + 5), OK);
    assert_row(&s, CODE + 5, CODE + CODE_SIZE, CFI_RSP, 16);
}

static void test_cfi_every_rule(void **state)
{
    (void)state;
    struct sample s;
    BEGIN(s, "\x83\x02"             /* offset rbx */
             "\x05\x06\x03"         /* offset_extended rbp */
             "\x11\x0c\x7e"         /* offset_extended_sf r12, -2 */
             "\x2f\x0d\x02"         /* GNU_negative_offset_extended r13 */
             "\x14\x0e\x02"         /* val_offset r14 */
             "\x15\x0f\x7e"         /* val_offset_sf r15 */
             "\x07\x00"             /* undefined rax */
             "\x08\x01"             /* same_value rdx */
             "\x09\x02\x05"         /* register rcx in rdi */
             "\x10\x08\x02\x77\x00" /* expression r8 */
             "\x16\x09\x02\x77\x08" /* val_expression r9 */
             "\x83\x05\xc3"         /* offset rbx again, restored */
             "\x91\x01\x05\x40\x01" /* registers that nobody asks for: 17, 64 */
             "\x2e\x10\x00");       /* GNU_args_size, nop */
    assert_int_equal(row_at(&s, CODE), OK);
    assert_rule(&s, CFI_RBX, CFI_UNSPECIFIED, 0);
    assert_rule(&s, CFI_RBP, CFI_OFFSET, -24);
    assert_rule(&s, CFI_R12, CFI_OFFSET, 16);
    assert_rule(&s, CFI_R13, CFI_OFFSET, 16);
    assert_rule(&s, CFI_R14, CFI_VALUE_OFFSET, -16);
    assert_rule(&s, CFI_R15, CFI_VALUE_OFFSET, 16);
    assert_rule(&s, CFI_RAX, CFI_UNDEFINED, 0);
    assert_rule(&s, CFI_RDX, CFI_SAME, 0);
    assert_rule(&s, CFI_RCX, CFI_REGISTER, CFI_RDI);
    assert_int_equal(s.machine.rules.kind[CFI_R8], CFI_EXPRESSION);
    assert_int_equal(s.machine.rules.kind[CFI_R9], CFI_VALUE_EXPRESSION);
    struct span code;
    assert_true(cfi_expression(&s.table, (uint32_t)s.machine.rules.value[CFI_R9], &code));
    assert_int_equal(code.size, 2);
    assert_int_equal(code.base[1], 8);
}

static void test_cfi_every_cfa(void **state)
{
    (void)state;
    struct sample s;
    BEGIN(s, "\x41\x0c\x06\x10"     /* def_cfa rbp+16 */
             "\x41\x12\x07\x7d"     /* def_cfa_sf rsp, -3 */
             "\x41\x0d\x0a"         /* def_cfa_register r10 */
             "\x41\x13\x7c"         /* def_cfa_offset_sf -4 */
             "\x41\x0f\x02\x77\x08" /* an expression */
             "\x41\x0c\x07\x08");
    static const struct {
        unsigned reg;
        int32_t offset;
    } expected[] = {{CFI_RSP, 8},  {CFI_RBP, 16},           {CFI_RSP, 24}, {CFI_R10, 24},
                    {CFI_R10, 32}, {CFI_CFA_EXPRESSION, 0}, {CFI_RSP, 8}};
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        assert_int_equal(row_at(&s, CODE + i), OK);
        assert_int_equal(s.machine.rules.cfa_register, expected[i].reg);
        if (expected[i].reg != CFI_CFA_EXPRESSION) {
            assert_int_equal(s.machine.rules.cfa_offset, expected[i].offset);
        }
    }
}

static void test_cfi_restored_state_has_the_cfa_too(void **state)
{
    (void)state;
    struct sample s;
    BEGIN(s, "\x41\x0e\x10\x83\x02" /* rbx is saved */
             "\x41\x0a\x0a\x0e\x08\xc3"
             "\x41\x0b"
             "\x41\x0e\x18\x0b");
    assert_int_equal(row_at(&s, CODE + 2), OK);
    assert_row(&s, CODE + 2, CODE + 3, CFI_RSP, 8);
    assert_rule(&s, CFI_RBX, CFI_UNSPECIFIED, 0);
    for (uint64_t i = 3; i <= 4; i++) {
        assert_int_equal(row_at(&s, CODE + i), OK);
        assert_int_equal(s.machine.rules.cfa_offset, 16);
        assert_rule(&s, CFI_RBX, CFI_OFFSET, -16);
    }
}

/* ---- records ---- */

static void test_cfi_augmentations_are_read(void **state)
{
    (void)state;
    struct sample s = {.size = 0};
    /* personality: indirect, relative, 4 bytes; language data: relative, 4 bytes; addresses: 8 */
    add_cie(&s, "zPLRS", "\x9b\x04\x03\x02\x01\x1b\x00", 7, CFA_IS_RSP_8, 5);
    uint64_t personality = TABLE_ADDRESS + 9 + 6 + 3 + 2; /* where its field is */
    s.fde = s.size;
    open_record(&s);
    put(&s, s.size - s.cie, 4);
    put(&s, CODE, 8);
    put(&s, CODE_SIZE, 8);
    put(&s, 4, 1);
    uint64_t data = TABLE_ADDRESS + s.size;
    put(&s, 0x100, 4);
    put_bytes(&s, "\x41\x0e\x10", 3);
    close_record(&s);
    assert_int_equal(row_at(&s, CODE + 1), OK);
    assert_int_equal(s.machine.rules.cfa_offset, 16);
    assert_true(s.read.is_signal && s.read.has_personality && s.read.indirect_personality);
    assert_int_equal(s.read.personality, personality + 0x01020304);
    assert_true(s.read.has_language_data);
    assert_int_equal(s.read.language_data, data + 0x100);
}

static void test_cfi_every_encoding_of_addresses(void **state)
{
    (void)state;
    static const struct {
        uint8_t encoding;
        size_t size; /* 0: LEB128, in 3 bytes */
    } encodings[] = {{0x00, 8}, {0x02, 2}, {0x03, 4}, {0x04, 8}, {0x0a, 2}, {0x0b, 4}, {0x0c, 8},
                     {0x01, 0}, {0x09, 0}, {0x10, 8}, {0x1b, 4}, {0x1c, 8}, {0x2b, 4}, {0x3b, 4}};
    for (size_t i = 0; i < ARRAY_COUNT(encodings); i++) {
        struct sample s = {.size = 0};
        uint8_t encoding = encodings[i].encoding;
        uint64_t code = encodings[i].size == 2 ? 0x1234 : CODE;
        add_cie(&s, "zR", &encoding, 1, CFA_IS_RSP_8, 5);
        s.fde = s.size;
        open_record(&s);
        put(&s, s.size - s.cie, 4);
        table_of(&s);
        s.table.text = 0x700;
        s.table.data = 0x900;
        uint64_t base[] = {0, TABLE_ADDRESS + s.size, 0x700, 0x900};
        if (encodings[i].size) {
            put(&s, code - base[encoding >> 4], encodings[i].size);
            put(&s, CODE_SIZE, encodings[i].size);
        } else {
            put_bytes(&s, "\x80\x80\x08\x80\x82\x00", 6);
        }
        put(&s, 0, 1);
        close_record(&s);
        s.table.bytes.size = s.size;
        assert_int_equal(cfi_read(&s.table, s.fde, &s.read, &s.fault), OK);
        assert_int_equal(s.read.start, code);
        assert_int_equal(s.read.end, code + CODE_SIZE);
    }
}

static void test_cfi_long_records(void **state)
{
    (void)state;
    struct sample s = {.size = 0};
    put(&s, UINT32_MAX, 4);
    put(&s, 4 + 2 + 3 + 5, 8); /* id, version and letters, factors and register, program */
    put_bytes(&s, "\0\0\0\0\x03\0\x01\x78\x10" CFA_IS_RSP_8, 14);
    s.fde = s.size;
    put(&s, UINT32_MAX, 4);
    put(&s, 4 + 16, 8);
    put(&s, s.size, 4);
    put(&s, CODE, 8);
    put(&s, CODE_SIZE, 8);
    assert_int_equal(row_at(&s, CODE + 7), OK);
    assert_row(&s, CODE, CODE + CODE_SIZE, CFI_RSP, 8);
}

static void test_cfi_walks_records_to_the_terminator(void **state)
{
    (void)state;
    struct sample s;
    BEGIN(s, "");
    size_t first = s.fde;
    size_t second = s.size;
    add_fde(&s, "", 0);
    put(&s, 0, 4);
    add_fde(&s, "", 0); /* behind the end */
    table_of(&s);
    uint64_t at = 0;
    assert_int_equal(cfi_next(&s.table, &at, &s.read, &s.fault), OK);
    assert_int_equal(s.read.offset, first);
    assert_int_equal(cfi_next(&s.table, &at, &s.read, &s.fault), OK);
    assert_int_equal(s.read.offset, second);
    assert_int_equal(cfi_next(&s.table, &at, &s.read, &s.fault), ERR_NOT_FOUND);
    assert_int_equal(cfi_next(&s.table, &at, &s.read, &s.fault), ERR_NOT_FOUND);
}

static void test_cfi_walk_goes_on_behind_a_bad_record(void **state)
{
    (void)state;
    struct sample s;
    BEGIN(s, "");
    size_t first = s.fde;
    add_fde(&s, "", 0);
    s.bytes[first + 4] = 0xff; /* its CIE would lie before the table */
    table_of(&s);
    uint64_t at = 0;
    assert_fault(&s, cfi_next(&s.table, &at, &s.read, &s.fault), ERR_BAD_FORMAT, CFI_FAULT_NO_CIE,
                 first);
    assert_int_equal(cfi_next(&s.table, &at, &s.read, &s.fault), OK);
    assert_int_equal(s.read.offset, s.fde);
}

/* ---- refusals ---- */

/* The offset of an operation in the FDE's program. */
#define PROGRAM(sample, n) ((sample).fde + 17 + (n))

static void test_cfi_refuses_operations(void **state)
{
    (void)state;
    static const struct {
        const char *program;
        size_t size;
        enum cfi_fault_code code;
        size_t at;
    } cases[] = {
        {"\x0e\x10\x3f", 3, CFI_FAULT_OPERATION, 2},
        {"\x2d", 1, CFI_FAULT_OPERATION, 0},
        {"\x0e", 1, CFI_FAULT_TRUNCATED, 1},
        {"\x03\x01", 2, CFI_FAULT_TRUNCATED, 1},
        {"\x0e\x80\x80", 3, CFI_FAULT_TRUNCATED, 1},
        {"\x0b", 1, CFI_FAULT_RESTORED, 0},
        {"\x0a\x0a\x0a\x0a\x0a", 5, CFI_FAULT_REMEMBERED, 4},
        {"\x0f\x02\x77\x00\x0e\x08", 6, CFI_FAULT_NO_CFA, 5},
        {"\x0f\x02\x77\x00\x0d\x06", 6, CFI_FAULT_NO_CFA, 5},
        {"\x0d\x11", 2, CFI_FAULT_NO_CFA, 2},
        {"\x0f\x7f\x77", 3, CFI_FAULT_TRUNCATED, 1},
        {"\x10\x03\x05\x77", 4, CFI_FAULT_TRUNCATED, 2},
        {"\x04\x01\x01\x00\x00", 5, CFI_FAULT_LOCATION, 0},
        {"\x0e\xff\xff\xff\xff\x0f", 6, CFI_FAULT_OFFSET, 6},
        {"\x83\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, CFI_FAULT_OFFSET, 11},
        {"\x0e\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, CFI_FAULT_NUMBER, 1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct sample s = {.size = 0};
        add_cie(&s, "zR", "\x1b", 1, CFA_IS_RSP_8, 5);
        add_fde(&s, cases[i].program, cases[i].size);
        enum status status = row_at(&s, CODE + CODE_SIZE - 1);
        assert_int_not_equal(status, OK);
        assert_fault(&s, status, status, cases[i].code, PROGRAM(s, cases[i].at));
    }
}

static void test_cfi_refuses_programs_of_the_cie(void **state)
{
    (void)state;
    struct sample s = {.size = 0};
    add_cie(&s, "zR", "\x1b", 1, "\x90\x01", 2); /* no CFA */
    add_fde(&s, "", 0);
    assert_fault(&s, row_at(&s, CODE), ERR_BAD_FORMAT, CFI_FAULT_NO_CFA, PROGRAM(s, 0));
    s.size = 0;
    add_cie(&s, "zR", "\x1b", 1, CFA_IS_RSP_8 "\x41\x00", 7); /* a location */
    add_fde(&s, "", 0);
    assert_int_equal(row_at(&s, CODE), ERR_BAD_FORMAT);
    assert_int_equal(s.fault.code, CFI_FAULT_LOCATION);
}

/* One field of the usual pair is changed at a time. */
static void test_cfi_refuses_records(void **state)
{
    (void)state;
    enum { CIE_VERSION = 8, CIE_LETTERS = 9, CIE_COLUMN = 14, CIE_DATA = 16 };
    struct sample s;
    BEGIN(s, "");
    const size_t fde = s.fde;
    const struct {
        size_t at;
        uint8_t value;
        enum status status;
        enum cfi_fault_code code;
        size_t offset;
    } cases[] = {
        {CIE_VERSION, 2, ERR_UNSUPPORTED, CFI_FAULT_VERSION, CIE_VERSION},
        {CIE_VERSION, 4, ERR_UNSUPPORTED, CFI_FAULT_ADDRESS_SIZE, 13},
        {CIE_LETTERS, 'e', ERR_UNSUPPORTED, CFI_FAULT_AUGMENTATION, CIE_LETTERS},
        {CIE_LETTERS + 1, 'X', ERR_UNSUPPORTED, CFI_FAULT_AUGMENTATION, CIE_LETTERS + 1},
        {CIE_COLUMN, 15, ERR_UNSUPPORTED, CFI_FAULT_RETURN_ADDRESS, CIE_COLUMN},
        {CIE_COLUMN + 1, 0x7f, ERR_TRUNCATED, CFI_FAULT_TRUNCATED, CIE_COLUMN + 2},
        {CIE_DATA, 0x9b, ERR_UNSUPPORTED, CFI_FAULT_ENCODING, CIE_VERSION},
        {CIE_DATA, 0x0f, ERR_UNSUPPORTED, CFI_FAULT_ENCODING, fde + 8},
        {CIE_DATA, 0x6b, ERR_UNSUPPORTED, CFI_FAULT_ENCODING, fde + 8},
        {CIE_DATA, 0xff, ERR_UNSUPPORTED, CFI_FAULT_ENCODING, CIE_VERSION},
        {0, 3, ERR_BAD_FORMAT, CFI_FAULT_LENGTH, 0},
        {0, 8, ERR_TRUNCATED, CFI_FAULT_TRUNCATED, 12},
        {0, 0xff, ERR_TRUNCATED, CFI_FAULT_TRUNCATED, 0},
        {4, 1, ERR_BAD_FORMAT, CFI_FAULT_NO_CIE, fde},
        {fde, 0xff, ERR_TRUNCATED, CFI_FAULT_TRUNCATED, fde},
        {fde, 12, ERR_TRUNCATED, CFI_FAULT_TRUNCATED, fde + 16},
        {fde, 0, ERR_BAD_FORMAT, CFI_FAULT_NOT_AN_FDE, fde},
        {fde + 4, 0, ERR_BAD_FORMAT, CFI_FAULT_NOT_AN_FDE, fde},
        {fde + 4, 0xff, ERR_BAD_FORMAT, CFI_FAULT_NO_CIE, fde},
        {fde + 16, 5, ERR_TRUNCATED, CFI_FAULT_TRUNCATED, fde + 17},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        BEGIN(s, "");
        s.bytes[cases[i].at] = cases[i].value;
        enum status status = cfi_read(table_of(&s), s.fde, &s.read, &s.fault);
        assert_fault(&s, status, cases[i].status, cases[i].code, cases[i].offset);
    }
}

static void test_cfi_refuses_offsets_outside(void **state)
{
    (void)state;
    struct sample s;
    BEGIN(s, "");
    static const uint64_t offsets[] = {TABLE_SIZE, UINT64_MAX, UINT64_MAX - 3};
    for (size_t i = 0; i < ARRAY_COUNT(offsets); i++) {
        enum status status = cfi_read(&s.table, offsets[i], &s.read, &s.fault);
        assert_fault(&s, status, ERR_TRUNCATED, CFI_FAULT_TRUNCATED, offsets[i]);
    }
    s.table.bytes.size = (size_t)INT32_MAX + 1;
    assert_fault(&s, cfi_read(&s.table, 0, &s.read, &s.fault), ERR_LIMIT, CFI_FAULT_SIZE, 0);
}

/* Cut at every length: an error or another table, never an access behind the end (ASan looks on).
 */
static void test_cfi_survives_every_cut(void **state)
{
    (void)state;
    struct sample s;
    BEGIN(s, "\x41\x0e\x10\x83\x02\x0a\x43\x0d\x06\x10\x0c\x02\x77\x00\x02\x20\x0b");
    for (size_t size = 0; size < s.size; size++) {
        uint8_t bytes[TABLE_SIZE];
        memcpy(bytes, s.bytes, size);
        struct cfi_table table = {.bytes = span_of(bytes, size), .address = TABLE_ADDRESS};
        for (size_t at = 0; at <= size; at++) {
            struct cfi_fde fde;
            struct cfi_fault fault;
            assert_int_not_equal(cfi_read(&table, at, &fde, &fault), OK);
        }
    }
}

/* ---- rows that can be kept ---- */

static void test_cfi_packs_what_compilers_make(void **state)
{
    (void)state;
    struct sample s;
    struct cfi_row row;
    BEGIN(s, "\x0e\x38\x83\x07\x86\x06\x8c\x05\x8d\x04\x8e\x03\x8f\x02");
    assert_int_equal(row_at(&s, CODE), OK);
    assert_true(cfi_pack(&s.machine.rules, false, &row));
    assert_int_equal(row.cfa_register, CFI_RSP);
    assert_int_equal(row.cfa_offset, 56);
    assert_int_equal(row.return_address, 1);
    assert_int_equal(row.deepest, 7);
    for (unsigned i = 0; i < CFI_SAVED_COUNT; i++) {
        assert_int_equal(row.saved[i], 7 - i);
    }
    assert_false(cfi_pack(&s.machine.rules, true, &row));
    BEGIN(s, "\x07\x10"); /* the outermost function */
    assert_int_equal(row_at(&s, CODE), OK);
    assert_true(cfi_pack(&s.machine.rules, false, &row));
    assert_int_equal(row.return_address, 0);
}

#define REFUSED_ROW(s, program)                                   \
    do {                                                          \
        struct cfi_row row_;                                      \
        BEGIN(s, program);                                        \
        assert_int_equal(row_at(&(s), CODE), OK);                 \
        assert_false(cfi_pack(&(s).machine.rules, false, &row_)); \
    } while (0)

static void test_cfi_packs_nothing_else(void **state)
{
    (void)state;
    struct sample s;
    REFUSED_ROW(s, "\x0f\x02\x77\x08");     /* the CFA is an expression */
    REFUSED_ROW(s, "\x10\x03\x02\x77\x08"); /* rbx is */
    REFUSED_ROW(s, "\x83\x80\x02");         /* 256 words below */
    REFUSED_ROW(s, "\x83\x00");             /* at the CFA */
    REFUSED_ROW(s, "\x11\x03\x7f");         /* above it */
    REFUSED_ROW(s, "\x07\x03");             /* rbx is lost */
    REFUSED_ROW(s, "\x09\x03\x00");         /* in rax */
    REFUSED_ROW(s, "\x80\x02");             /* rax is saved: its value is known */
    REFUSED_ROW(s, "\x87\x02");             /* rsp is saved */
    REFUSED_ROW(s, "\x09\x10\x02");         /* the return address is in rcx */
    REFUSED_ROW(s, "\x08\x10");             /* in itself */
    BEGIN(s, "\x83\xff\x01");
    struct cfi_row row;
    assert_int_equal(row_at(&s, CODE), OK);
    assert_true(cfi_pack(&s.machine.rules, false, &row));
    assert_int_equal(row.saved[0], 255);
}

static void test_cfi_texts(void **state)
{
    (void)state;
    assert_string_equal(cfi_register_name(CFI_RBX), "rbx");
    assert_string_equal(cfi_register_name(CFI_RIP), "rip");
    assert_string_equal(cfi_register_name(17), "?");
    assert_string_equal(cfi_fault_text(CFI_FAULT_NO_CIE), "FDE without a CIE");
    assert_string_equal(cfi_fault_text((enum cfi_fault_code)99), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cfi_rows_of_a_prologue),
        cmocka_unit_test(test_cfi_finds_the_row_of_each_address),
        cmocka_unit_test(test_cfi_every_way_to_advance),
        cmocka_unit_test(test_cfi_every_rule),
        cmocka_unit_test(test_cfi_every_cfa),
        cmocka_unit_test(test_cfi_restored_state_has_the_cfa_too),
        cmocka_unit_test(test_cfi_augmentations_are_read),
        cmocka_unit_test(test_cfi_every_encoding_of_addresses),
        cmocka_unit_test(test_cfi_long_records),
        cmocka_unit_test(test_cfi_walks_records_to_the_terminator),
        cmocka_unit_test(test_cfi_walk_goes_on_behind_a_bad_record),
        cmocka_unit_test(test_cfi_refuses_operations),
        cmocka_unit_test(test_cfi_refuses_programs_of_the_cie),
        cmocka_unit_test(test_cfi_refuses_records),
        cmocka_unit_test(test_cfi_refuses_offsets_outside),
        cmocka_unit_test(test_cfi_survives_every_cut),
        cmocka_unit_test(test_cfi_packs_what_compilers_make),
        cmocka_unit_test(test_cfi_packs_nothing_else),
        cmocka_unit_test(test_cfi_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
