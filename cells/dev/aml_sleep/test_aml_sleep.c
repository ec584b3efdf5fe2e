/* SPDX-License-Identifier: MIT */
/*
 * Packages are written as bytes here; test/unit/test_firmware_tables.c has those of real compilers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "aml_sleep.h"

static struct diag diag;

/* Searches in a block of exactly `size` bytes. */
static enum status find(const void *bytes, size_t size, unsigned state, struct aml_sleep *out)
{
    uint8_t *exact = malloc(size ? size : 1);
    memcpy(exact, bytes, size);
    diag = (struct diag){0};
    enum status status = aml_sleep_find(span_of(exact, size), state, out, &diag);
    free(exact);
    return status;
}

#define S5 0x08, '_', 'S', '5', '_'

struct sample {
    const char *name;
    uint8_t size;
    uint8_t bytes[60];
    enum diag_code code;
    uint8_t a, b;
};

#define BYTES(...)                          \
    sizeof((const uint8_t[]){__VA_ARGS__}), \
    {                                       \
        __VA_ARGS__                         \
    }

static const struct sample samples[] = {
    {"zeros", BYTES(S5, 0x12, 6, 4, 0, 0, 0, 0), DIAG_NONE, 0, 0},
    {"ones", BYTES(S5, 0x12, 6, 4, 1, 1, 0, 0), DIAG_NONE, 1, 1},
    {"bytes", BYTES(S5, 0x12, 8, 4, 0x0a, 5, 0x0a, 7, 0, 0), DIAG_NONE, 5, 7},
    {"mixed", BYTES(S5, 0x12, 7, 4, 0x0a, 7, 0, 0, 0), DIAG_NONE, 7, 0},
    {"word", BYTES(S5, 0x12, 6, 2, 0x0b, 5, 0, 0), DIAG_NONE, 5, 0},
    {"dword", BYTES(S5, 0x12, 8, 2, 0x0c, 3, 0, 0, 0, 1), DIAG_NONE, 3, 1},
    {"qword", BYTES(S5, 0x12, 12, 2, 0x0e, 6, 0, 0, 0, 0, 0, 0, 0, 1), DIAG_NONE, 6, 1},
    {"both in one", BYTES(S5, 0x12, 5, 1, 0x0b, 5, 7), DIAG_NONE, 5, 7},
    {"one of one", BYTES(S5, 0x12, 3, 1, 1), DIAG_NONE, 1, 0},
    {"two", BYTES(S5, 0x12, 4, 2, 1, 0), DIAG_NONE, 1, 0},
    {"at the root", BYTES(0x08, '\\', '_', 'S', '5', '_', 0x12, 4, 2, 0, 1), DIAG_NONE, 0, 1},
    {"long form of the length", BYTES(S5, 0x12, 0x45, 0, 2, 1, 1), DIAG_NONE, 1, 1},
    {"longer form", BYTES(S5, 0x12, 0x86, 0, 0, 2, 1, 1), DIAG_NONE, 1, 1},
    {"longest form", BYTES(S5, 0x12, 0xc7, 0, 0, 0, 2, 1, 1), DIAG_NONE, 1, 1},
    {"behind other things", BYTES(0x08, 0x08, '_', 'S', S5, 0x12, 4, 2, 1, 1), DIAG_NONE, 1, 1},
    {"good behind bad", BYTES(S5, 0x11, 4, S5, 0x12, 4, 2, 1, 1), DIAG_NONE, 1, 1},
    {"twice the same", BYTES(S5, 0x12, 4, 2, 1, 1, S5, 0x12, 4, 2, 1, 1), DIAG_NONE, 1, 1},
    {"other state", BYTES(0x08, '_', 'S', '4', '_', 0x12, 4, 2, 1, 1), DIAG_AML_ABSENT, 0, 0},
    {"no NameOp", BYTES('_', 'S', '5', '_', 0x12, 4, 2, 1, 1), DIAG_AML_ABSENT, 0, 0},
    {"longer name", BYTES(0x08, 'X', '_', 'S', '5', '_', 0x12, 4, 2, 1, 1), DIAG_AML_ABSENT, 0, 0},
    {"nothing", 0, {0}, DIAG_AML_ABSENT, 0, 0},
    {"nothing follows", BYTES(S5), DIAG_AML_PACKAGE, 0, 0},
    {"a buffer", BYTES(S5, 0x11, 4, 2, 1, 1), DIAG_AML_PACKAGE, 0, 0},
    {"a variable package", BYTES(S5, 0x13, 4, 2, 1, 1), DIAG_AML_PACKAGE, 0, 0},
    {"no length", BYTES(S5, 0x12), DIAG_AML_PACKAGE, 0, 0},
    {"length 0", BYTES(S5, 0x12, 0, 2, 1, 1), DIAG_AML_PACKAGE, 0, 0},
    {"length of itself", BYTES(S5, 0x12, 1, 2, 1, 1), DIAG_AML_PACKAGE, 0, 0},
    {"length below itself", BYTES(S5, 0x12, 0x41, 0, 2, 1, 1), DIAG_AML_PACKAGE, 0, 0},
    {"length beyond", BYTES(S5, 0x12, 5, 2, 1, 1), DIAG_AML_PACKAGE, 0, 0},
    {"length far beyond", BYTES(S5, 0x12, 0xcf, 0xff, 0xff, 0xff, 2, 1, 1), DIAG_AML_PACKAGE, 0, 0},
    {"reserved bits of the length", BYTES(S5, 0x12, 0x55, 0, 2, 1, 1), DIAG_AML_PACKAGE, 0, 0},
    {"cut length", BYTES(S5, 0x12, 0xc7, 0), DIAG_AML_PACKAGE, 0, 0},
    {"no elements", BYTES(S5, 0x12, 2, 0), DIAG_AML_PACKAGE, 0, 0},
    {"fewer elements", BYTES(S5, 0x12, 3, 2, 1, 1), DIAG_AML_PACKAGE, 0, 0},
    {"cut element", BYTES(S5, 0x12, 4, 2, 1, 0x0a, 1), DIAG_AML_PACKAGE, 0, 0},
    {"cut first element", BYTES(S5, 0x12, 4, 1, 0x0b, 1, 1), DIAG_AML_PACKAGE, 0, 0},
    {"reference", BYTES(S5, 0x12, 10, 2, 'T', 'Y', 'P', 'A', 'T', 'Y', 'P', 'B'), DIAG_AML_ELEMENT,
     0, 0},
    {"text", BYTES(S5, 0x12, 6, 2, 0x0d, '5', 0, 0), DIAG_AML_ELEMENT, 0, 0},
    {"all ones", BYTES(S5, 0x12, 4, 2, 0xff, 0), DIAG_AML_ELEMENT, 0, 0},
    {"type 8", BYTES(S5, 0x12, 5, 2, 0x0a, 8, 0), DIAG_AML_ELEMENT, 0, 0},
    {"second type 8", BYTES(S5, 0x12, 5, 2, 0, 0x0a, 8), DIAG_AML_ELEMENT, 0, 0},
    {"high bytes", BYTES(S5, 0x12, 12, 2, 0x0e, 1, 0, 0, 0, 0, 0, 0, 1, 0), DIAG_AML_ELEMENT, 0, 0},
    {"three in one", BYTES(S5, 0x12, 7, 1, 0x0c, 1, 1, 1, 0), DIAG_AML_ELEMENT, 0, 0},
    {"two that differ", BYTES(S5, 0x12, 4, 2, 1, 1, S5, 0x12, 4, 2, 1, 0), DIAG_AML_TWICE, 0, 0},
};

static void test_find_samples(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(samples); i++) {
        const struct sample *sample = &samples[i];
        struct aml_sleep sleep = {.type_a = 77, .type_b = 77};
        enum status status = find(sample->bytes, sample->size, AML_SLEEP_OFF, &sleep);
        bool is_good = sample->code == DIAG_NONE;
        uint8_t a = is_good ? sample->a : 77;
        uint8_t b = is_good ? sample->b : 77;
        if ((status == OK) != is_good || diag.code != sample->code || sleep.type_a != a ||
            sleep.type_b != b) {
            fail_msg("%s: status %d, code %d, types %u %u", sample->name, status, diag.code,
                     sleep.type_a, sleep.type_b);
        }
        assert_int_equal(diag.status, status);
    }
}

static void test_find_refusal_says_where(void **state)
{
    static const uint8_t bytes[] = {1, 2, S5, 0x11, 3, S5, 0x12, 3, 1, 0xff};
    (void)state;
    struct aml_sleep sleep;
    assert_int_equal(find(bytes, sizeof(bytes), AML_SLEEP_OFF, &sleep), ERR_BAD_FORMAT);
    assert_int_equal(diag.offset, 2); /* the first of them */
    assert_string_equal(diag.symbol, "_S5_");
    assert_int_equal(aml_sleep_find(span_of(bytes, sizeof(bytes)), AML_SLEEP_OFF, &sleep, NULL),
                     ERR_BAD_FORMAT);
}

static void test_find_other_states(void **state)
{
    (void)state;
    struct aml_sleep sleep;
    for (unsigned i = 0; i <= AML_SLEEP_STATE_MAX; i++) {
        const uint8_t bytes[] = {8, '_', 'S',  (uint8_t)('0' + i), '_', 0x12,
                                 5, 2,   0x0a, (uint8_t)i,         0};
        assert_int_equal(find(bytes, sizeof(bytes), i, &sleep), OK);
        assert_int_equal(sleep.type_a, i);
        assert_int_equal(find(bytes, sizeof(bytes), (i + 1) % 6, &sleep), ERR_NOT_FOUND);
    }
    assert_int_equal(find("", 0, AML_SLEEP_STATE_MAX + 1, &sleep), ERR_INVALID_ARGUMENT);
}

/* No cut, and no single wrong byte, makes it read outside; ASan watches. */
static void test_find_every_truncation_and_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(samples); i++) {
        const struct sample *sample = &samples[i];
        struct aml_sleep sleep;
        for (size_t size = 0; size < sample->size; size++) {
            (void)!find(sample->bytes, size, AML_SLEEP_OFF, &sleep);
        }
        for (size_t at = 0; at < sample->size * 256u; at++) {
            uint8_t bytes[sizeof(sample->bytes)];
            memcpy(bytes, sample->bytes, sizeof(bytes));
            bytes[at / 256] = (uint8_t)at;
            if (find(bytes, sample->size, AML_SLEEP_OFF, &sleep) == OK) {
                assert_true(sleep.type_a <= AML_SLEEP_TYPE_MAX);
                assert_true(sleep.type_b <= AML_SLEEP_TYPE_MAX);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find_samples),
        cmocka_unit_test(test_find_refusal_says_where),
        cmocka_unit_test(test_find_other_states),
        cmocka_unit_test(test_find_every_truncation_and_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
