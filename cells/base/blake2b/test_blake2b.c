/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "blake2b.h"

#define LONGEST 1000

/* Of the first `size` bytes of 3, 10, 17...; by another implementation (Python's hashlib). */
static const struct {
    size_t size;
    const char *digest;
} known[] = {
    {0, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"},
    {127, "c9ae3859964b35f04c54b36d33cf299d7290ee621005d28e51598a943560aaaa"},
    {128, "f0501d06597880592bc49234eef100ec1ff349058d0e9d9b753504e24af86dd6"},
    {129, "a34a4e1e03c541dfbf3099c4b6c143c022ced65c28bd7e8a10e0a098461aecf0"},
    {255, "f2d64a40e9412a3414161ff6250075225418fd7c271c1123e162e1bca0de9f93"},
    {256, "d93ebb9c802f5630ab22516fd82b6c21bc8bd551d531349b715f046ed11ed871"},
    {257, "4ce481b24d387422d2bc2baa03d1afd55a1327939ff537c71eb9b38709268649"},
    {LONGEST, "d62b6c768ce1afc8367e0498ab2f8e3f7c178c35b1429f14c4604b545d200f52"},
};

static void expect_digest(const struct blake2b_digest *digest, const char *expected)
{
    char text[2 * BLAKE2B_DIGEST + 1];
    for (size_t i = 0; i < BLAKE2B_DIGEST; i++) {
        snprintf(text + 2 * i, 3, "%02x", digest->bytes[i]);
    }
    assert_string_equal(text, expected);
}

static const uint8_t *message(void)
{
    static uint8_t bytes[LONGEST];
    for (size_t i = 0; i < LONGEST; i++) {
        bytes[i] = (uint8_t)(i * 7 + 3);
    }
    return bytes;
}

static void test_blake2b_agrees_with_the_standard(void **state)
{
    (void)state;
    struct blake2b_digest digest;
    blake2b_of("abc", 3, &digest);
    expect_digest(&digest, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
    for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
        blake2b_of(message(), known[i].size, &digest);
        expect_digest(&digest, known[i].digest);
    }
}

static void test_blake2b_pieces_of_any_size_give_the_same(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= 300; piece++) {
        struct blake2b hash;
        struct blake2b_digest digest;
        blake2b_begin(&hash);
        for (size_t at = 0; at < LONGEST; at += piece) {
            blake2b_add(&hash, message() + at, LONGEST - at < piece ? LONGEST - at : piece);
            blake2b_add(&hash, NULL, 0);
        }
        blake2b_end(&hash, &digest);
        expect_digest(&digest, known[ARRAY_COUNT(known) - 1].digest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blake2b_agrees_with_the_standard),
        cmocka_unit_test(test_blake2b_pieces_of_any_size_give_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
