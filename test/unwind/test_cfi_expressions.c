/* SPDX-License-Identifier: MIT */
/* DWARF expressions, evaluated: each operation, and what is refused. See DWARF 5, 2.5. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "cfi.h"

static const uint64_t words[] = {0x1111, 0x8877665544332211, 0x3333};

static enum status evaluate(const void *code, size_t size, const uint64_t *first, uint64_t *out,
                            struct cfi_fault *fault)
{
    uint8_t bytes[300] = {(uint8_t)(size & 0x7f)};
    size_t header = 1;
    if (size > 0x7f) {
        bytes[0] |= 0x80;
        bytes[1] = (uint8_t)(size >> 7);
        header = 2;
    }
    memcpy(bytes + header, code, size);
    struct cfi_table table = {.bytes = span_of(bytes, size + header)};
    uint64_t registers[CFI_REGISTER_COUNT];
    for (unsigned i = 0; i < CFI_REGISTER_COUNT; i++) {
        registers[i] = 0x100 * i;
    }
    registers[CFI_RSP] = (uint64_t)words;
    struct cfi_frame frame = {
        .registers = registers,
        .known = (1u << CFI_REGISTER_COUNT) - 1 - (1u << CFI_RAX),
        .low = (uint64_t)words,
        .high = (uint64_t)(words + ARRAY_COUNT(words)),
    };
    return cfi_evaluate(&table, 0, &frame, first, out, fault);
}

#define VALUE(code)                                                                     \
    ({                                                                                  \
        uint64_t value_ = 0;                                                            \
        struct cfi_fault fault_;                                                        \
        assert_int_equal(evaluate(code, sizeof(code) - 1, NULL, &value_, &fault_), OK); \
        value_;                                                                         \
    })

static void test_cfi_expressions_constants_and_registers(void **state)
{
    (void)state;
    assert_int_equal(VALUE("\x03\x01\x02\x03\x04\x05\x06\x07\x08"), 0x0807060504030201);
    assert_int_equal(VALUE("\x08\xff"), 0xff);
    assert_int_equal(VALUE("\x09\xff"), UINT64_MAX);
    assert_int_equal(VALUE("\x0a\xfe\xff"), 0xfffe);
    assert_int_equal(VALUE("\x0b\xfe\xff"), -2);
    assert_int_equal(VALUE("\x0c\xfd\xff\xff\xff"), 0xfffffffd);
    assert_int_equal(VALUE("\x0d\xfd\xff\xff\xff"), -3);
    assert_int_equal(VALUE("\x0e\x01\x00\x00\x00\x00\x00\x00\x80"), 0x8000000000000001);
    assert_int_equal(VALUE("\x0f\xff\xff\xff\xff\xff\xff\xff\xff"), UINT64_MAX);
    assert_int_equal(VALUE("\x10\x80\x01"), 128);
    assert_int_equal(VALUE("\x11\x80\x7f"), -128);
    assert_int_equal(VALUE("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), UINT64_MAX);
    assert_int_equal(VALUE("\x11\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f"), INT64_MIN);
    assert_int_equal(VALUE("\x30"), 0);
    assert_int_equal(VALUE("\x4f"), 31);
    assert_int_equal(VALUE("\x73\x08"), 0x308);
    assert_int_equal(VALUE("\x73\x78"), 0x2f8);
    assert_int_equal(VALUE("\x92\x0c\x01"), 0xc01);
}

static void test_cfi_expressions_stack_and_memory(void **state)
{
    (void)state;
    assert_int_equal(VALUE("\x31\x12\x1c"), 0);                  /* 1 dup minus */
    assert_int_equal(VALUE("\x31\x32\x13"), 1);                  /* 1 2 drop */
    assert_int_equal(VALUE("\x35\x32\x14"), 5);                  /* 5 2 over */
    assert_int_equal(VALUE("\x35\x32\x31\x15\x02"), 5);          /* pick 2 */
    assert_int_equal(VALUE("\x35\x32\x16\x1c"), UINT64_MAX - 2); /* swap minus: 2 - 5 */
    assert_int_equal(VALUE("\x31\x32\x33\x17"), 2);              /* 1 2 3 rot: 3 1 2 */
    assert_int_equal(VALUE("\x31\x32\x33\x17\x13"), 1);
    assert_int_equal(VALUE("\x31\x32\x33\x17\x13\x13"), 3);
    assert_int_equal(VALUE("\x77\x08\x06"), 0x8877665544332211);
    assert_int_equal(VALUE("\x77\x08\x94\x01"), 0x11);
    assert_int_equal(VALUE("\x77\x08\x94\x04"), 0x44332211);
    assert_int_equal(VALUE("\x77\x10\x94\x08"), 0x3333);
}

static void test_cfi_expressions_arithmetic(void **state)
{
    (void)state;
    assert_int_equal(VALUE("\x11\x7b\x19"), 5);         /* -5 abs */
    assert_int_equal(VALUE("\x3c\x3a\x1a"), 8);         /* 12 10 and */
    assert_int_equal(VALUE("\x11\x79\x32\x1b"), -3);    /* -7 / 2 */
    assert_int_equal(VALUE("\x11\x79\x11\x7f\x1b"), 7); /* by -1 */
    assert_int_equal(VALUE("\x37\x34\x1d"), 3);         /* mod */
    assert_int_equal(VALUE("\x37\x34\x1e"), 28);
    assert_int_equal(VALUE("\x35\x1f"), -5);
    assert_int_equal(VALUE("\x30\x20"), UINT64_MAX);
    assert_int_equal(VALUE("\x3c\x33\x21"), 15);
    assert_int_equal(VALUE("\x3c\x33\x22"), 15);
    assert_int_equal(VALUE("\x3c\x23\x80\x01"), 140);
    assert_int_equal(VALUE("\x31\x3f\x24"), 1 << 15);
    assert_int_equal(VALUE("\x31\x08\x40\x24"), 0); /* by 64 */
    assert_int_equal(VALUE("\x11\x70\x34\x25"), UINT64_MAX >> 4);
    assert_int_equal(VALUE("\x11\x70\x34\x26"), -1);
    assert_int_equal(VALUE("\x11\x70\x08\x80\x26"), -1);
    assert_int_equal(VALUE("\x3c\x3a\x27"), 6);
}

static void test_cfi_expressions_jumps_and_comparisons(void **state)
{
    (void)state;
    /* -1 is below 1, in signed arithmetic */
    assert_int_equal(VALUE("\x11\x7f\x31\x29"), 0);
    assert_int_equal(VALUE("\x11\x7f\x31\x2a"), 0);
    assert_int_equal(VALUE("\x11\x7f\x31\x2b"), 0);
    assert_int_equal(VALUE("\x11\x7f\x31\x2c"), 1);
    assert_int_equal(VALUE("\x11\x7f\x31\x2d"), 1);
    assert_int_equal(VALUE("\x11\x7f\x31\x2e"), 1);
    assert_int_equal(VALUE("\x33\x33\x29"), 1);
    assert_int_equal(VALUE("\x33\x33\x2a"), 1);
    assert_int_equal(VALUE("\x33\x33\x2c"), 1);
    assert_int_equal(VALUE("\x35\x2f\x01\x00\x36"), 5);     /* skip over the 6 */
    assert_int_equal(VALUE("\x35\x30\x28\x01\x00\x36"), 6); /* bra, not taken */
    assert_int_equal(VALUE("\x35\x31\x28\x01\x00\x36"), 5);
    /* a loop: 5, and down to 0: dup bra(+1: over the end) */
    assert_int_equal(VALUE("\x35\x31\x1c\x12\x28\xfa\xff\x96"), 0);
}

static void test_cfi_expression_begins_with_the_cfa(void **state)
{
    (void)state;
    uint64_t cfa = 0x5000;
    uint64_t value;
    struct cfi_fault fault;
    assert_int_equal(evaluate("\x23\x08", 2, &cfa, &value, &fault), OK);
    assert_int_equal(value, 0x5008);
}

static void test_cfi_expressions_refused(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        size_t size;
        enum status status;
        enum cfi_fault_code fault;
    } cases[] = {
        {"", 0, ERR_BAD_FORMAT, CFI_FAULT_STACK},
        {"\x22", 1, ERR_BAD_FORMAT, CFI_FAULT_STACK},
        {"\x31\x22", 2, ERR_BAD_FORMAT, CFI_FAULT_STACK},
        {"\x31\x15\x01", 3, ERR_BAD_FORMAT, CFI_FAULT_STACK},
        {"\x31\x12\x2f\xfc\xff", 5, ERR_BAD_FORMAT, CFI_FAULT_STACK}, /* pushes for ever */
        {"\x2f\xfd\xff", 3, ERR_LIMIT, CFI_FAULT_STEPS},              /* for ever */
        {"\x2f\xfc\xff", 3, ERR_TRUNCATED, CFI_FAULT_TRUNCATED},      /* to before the begin */
        {"\x2f\x01\x00", 3, ERR_TRUNCATED, CFI_FAULT_TRUNCATED},
        {"\x31\x30\x1b", 3, ERR_BAD_FORMAT, CFI_FAULT_DIVISION},
        {"\x31\x30\x1d", 3, ERR_BAD_FORMAT, CFI_FAULT_DIVISION},
        {"\x70\x00", 2, ERR_NOT_FOUND, CFI_FAULT_UNKNOWN_REGISTER},
        {"\x8f\x00", 2, ERR_NOT_FOUND, CFI_FAULT_UNKNOWN_REGISTER},
        {"\x92\x80\x01\x00", 4, ERR_NOT_FOUND, CFI_FAULT_UNKNOWN_REGISTER},
        {"\x77\x78\x06", 3, ERR_OUT_OF_BOUNDS, CFI_FAULT_MEMORY},
        {"\x77\x14\x06", 3, ERR_OUT_OF_BOUNDS, CFI_FAULT_MEMORY}, /* beyond the end by half */
        {"\x77\x00\x94\x00", 4, ERR_OUT_OF_BOUNDS, CFI_FAULT_MEMORY},
        {"\x77\x00\x94\x09", 4, ERR_OUT_OF_BOUNDS, CFI_FAULT_MEMORY},
        {"\x50", 1, ERR_BAD_FORMAT, CFI_FAULT_STACK}, /* DW_OP_reg0: a location, no value */
        {"\x31\x31\x9c", 3, ERR_UNSUPPORTED, CFI_FAULT_EXPRESSION},
        {"\x0a\x01", 2, ERR_TRUNCATED, CFI_FAULT_TRUNCATED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint64_t value = 77;
        struct cfi_fault fault = {0};
        enum status status = evaluate(cases[i].code, cases[i].size, NULL, &value, &fault);
        assert_int_equal(fault.code, cases[i].fault);
        assert_int_equal(status, cases[i].status);
        assert_int_equal(value, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cfi_expressions_constants_and_registers),
        cmocka_unit_test(test_cfi_expressions_stack_and_memory),
        cmocka_unit_test(test_cfi_expressions_arithmetic),
        cmocka_unit_test(test_cfi_expressions_jumps_and_comparisons),
        cmocka_unit_test(test_cfi_expression_begins_with_the_cfa),
        cmocka_unit_test(test_cfi_expressions_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
