/* SPDX-License-Identifier: MIT */
/* boot_info and fw_cfg are played by this test. */
#include "boot_info.h"
#include "boot_options.h"
#include "fw_cfg.h"
#include "logger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const struct {
    const char *name;
    const char *content;
} files[] = {
    {"etc/table-loader", "not ours"},
    {"opt/theoris/app", "deps --all"},
    {"opt/theoris/log", "debug"},
    {"opt/other/app", "not ours either"},
};

const struct boot_info *boot_info_get(void)
{
    static struct boot_info info;
    strcpy(info.command_line, "app=hello color=1");
    return &info;
}

enum status fw_cfg_list(bool (*visit)(const struct fw_cfg_file *file, void *context), void *context)
{
    for (uint16_t i = 0; i < ARRAY_COUNT(files); i++) {
        struct fw_cfg_file file = {.size = (uint32_t)strlen(files[i].content), .selector = i};
        strcpy(file.name, files[i].name);
        if (!visit(&file, context)) {
            break;
        }
    }
    return OK;
}

enum status fw_cfg_read(const struct fw_cfg_file *file, void *buffer, size_t size)
{
    memcpy(buffer, files[file->selector].content, size);
    return OK;
}

static struct boot_options options;

static int empty(void **state)
{
    (void)state;
    options = (struct boot_options){0};
    return 0;
}

#define assert_option(key, expected)                                      \
    do {                                                                  \
        assert_non_null(boot_options_value(&options, key));               \
        assert_string_equal(boot_options_value(&options, key), expected); \
    } while (0)

static void test_boot_options_line_is_split_into_words(void **state)
{
    (void)state;
    boot_options_add_line(&options, "  app=hello  quiet a= b=c=d ");
    assert_int_equal(options.count, 4);
    assert_option("app", "hello");
    assert_option("quiet", "");
    assert_option("a", "");
    assert_option("b", "c=d");
    assert_null(boot_options_value(&options, "ap"));
    assert_null(boot_options_value(&options, ""));
}

static void test_boot_options_quotes_keep_spaces(void **state)
{
    (void)state;
    boot_options_add_line(&options, "app=\"deps --all; log\" \"x=1 2\" y='\"' z=a\\ b\\\\ w=\"'\"");
    assert_option("app", "deps --all; log");
    assert_option("x", "1 2");
    assert_option("y", "\"");
    assert_option("z", "a b\\");
    assert_option("w", "'");
}

static void test_boot_options_unfinished_quote_reaches_to_the_end(void **state)
{
    (void)state;
    boot_options_add_line(&options, "a=\"b c d\\");
    assert_option("a", "b c d\\");
    assert_int_equal(options.count, 1);
}

static void test_boot_options_later_value_wins(void **state)
{
    (void)state;
    boot_options_add_line(&options, "app=one app=two");
    assert_option("app", "two");
    assert_true(boot_options_add(&options, "app", "three\0junk", 10));
    assert_option("app", "three");
    assert_int_equal(options.count, 1);
}

static void test_boot_options_empty_words_are_no_options(void **state)
{
    (void)state;
    boot_options_add_line(&options, "\"\" =x");
    boot_options_add_line(&options, "");
    assert_int_equal(options.count, 0);
    assert_int_equal(options.left_out, 0);
}

static void test_boot_options_too_many_are_left_out_and_counted(void **state)
{
    (void)state;
    for (int i = 0; i < BOOT_OPTIONS_MAX + 3; i++) {
        char word[32];
        snprintf(word, sizeof(word), "k%d=%d", i, i);
        boot_options_add_line(&options, word);
    }
    assert_int_equal(options.count, BOOT_OPTIONS_MAX);
    assert_int_equal(options.left_out, 3);
    assert_option("k31", "31");
    boot_options_add_line(&options, "k5=new");
    assert_option("k5", "new");
}

static void test_boot_options_every_length_around_the_limit_is_safe(void **state)
{
    (void)state;
    static char line[BOOT_OPTIONS_TEXT_SIZE + 10];
    for (size_t length = BOOT_OPTIONS_TEXT_SIZE - 4; length < sizeof(line); length++) {
        memset(line, 'v', sizeof(line));
        memcpy(line, "k=", 2);
        line[length] = '\0';
        options = (struct boot_options){0};
        boot_options_add_line(&options, line);
        bool fits = length + 2 <= BOOT_OPTIONS_TEXT_SIZE;
        assert_int_equal(options.count, fits);
        assert_int_equal(options.left_out, !fits);
        options = (struct boot_options){0};
        fits = 1 + (length - 2) + 2 <= BOOT_OPTIONS_TEXT_SIZE;
        assert_int_equal(boot_options_add(&options, "k", line + 2, length - 2), fits);
        assert_int_equal(options.left_out, !fits);
    }
}

static void test_boot_options_find_prefers_fw_cfg(void **state)
{
    (void)state;
    assert_string_equal(boot_options_find("app"), "deps --all");
    assert_string_equal(boot_options_find("log"), "debug");
    assert_string_equal(boot_options_find("color"), "1");
    assert_null(boot_options_find("table-loader"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_boot_options_line_is_split_into_words, empty),
        cmocka_unit_test_setup(test_boot_options_quotes_keep_spaces, empty),
        cmocka_unit_test_setup(test_boot_options_unfinished_quote_reaches_to_the_end, empty),
        cmocka_unit_test_setup(test_boot_options_later_value_wins, empty),
        cmocka_unit_test_setup(test_boot_options_empty_words_are_no_options, empty),
        cmocka_unit_test_setup(test_boot_options_too_many_are_left_out_and_counted, empty),
        cmocka_unit_test_setup(test_boot_options_every_length_around_the_limit_is_safe, empty),
        cmocka_unit_test(test_boot_options_find_prefers_fw_cfg),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
