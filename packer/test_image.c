/* SPDX-License-Identifier: MIT */
#include "test_support.h"

#include "evolution.h"
#include "image.h"
#include "pack.h"

#include <sys/stat.h>
#include <unistd.h>

#define IMAGE_SIZE_MAX (8u << 20)

/* A Multiboot2 header with its end tag, where a linked nano_core has it. */
static const uint32_t header[] = {0xe85250d6, 0, 24, 0u - 0xe85250d6u - 24, 0, 8};

static int set_up(void **state)
{
    if (scratch_create(state) != 0) {
        return -1;
    }
    uint8_t nano_core[8192] = {0};
    memcpy(nano_core + 4096, header, sizeof(header));
    scratch_write("nano_core", nano_core, sizeof(nano_core));
    test_compile_good(&(struct test_cell){.name = "alone", .source = TEST_CELL_HEAD});
    const char *const list[] = {scratch_path("alone.cell"), NULL};
    struct pack_result result;
    struct problem problem = {0};
    return pack_cells(&(struct pack_request){.output = scratch_path("cells.a"), .cells = list},
                      &result, &problem);
}

static struct image_request good_request(const char *output)
{
    return (struct image_request){
        .output = scratch_path(output),
        .nano_core = scratch_path("nano_core"),
        .cells = scratch_path("cells.a"),
        .command_line = "app=hello text=\"a b\"",
    };
}

static void make_image(const char *output)
{
    struct image_request request = good_request(output);
    struct image_result result;
    struct problem problem = {0};
    if (image_make(&request, &result, &problem) != OK) {
        fail_msg("C%04u %s: %s\n%s", problem.code, problem.what, problem.because[0],
                 problem.transcript ? problem.transcript : "");
    }
    assert_in_range(result.size, 65536, IMAGE_SIZE_MAX);
}

static unsigned code_of(const struct image_request *request)
{
    struct image_result result;
    struct problem problem = {0};
    enum status status = image_make(request, &result, &problem);
    unsigned code = problem.code;
    assert_int_equal(status, problem.status);
    problem_fini(&problem);
    return code;
}

/* ISO 9660 and FAT store whole seconds, so the second run starts in another one. */
static void test_image_bytes_are_reproducible(void **state)
{
    make_image("one.iso");
    sleep(2);
    make_image("two.iso");
    struct bytes one = scratch_read("one.iso");
    struct bytes two = scratch_read("two.iso");
    assert_int_equal(one.size, two.size);
    assert_memory_equal(one.data, two.data, one.size);
    bytes_fini(&one);
    bytes_fini(&two);
}

static void test_image_other_epoch_gives_other_dates(void **state)
{
    make_image("one.iso");
    setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
    make_image("two.iso");
    unsetenv("SOURCE_DATE_EPOCH");
    struct bytes one = scratch_read("one.iso");
    struct bytes two = scratch_read("two.iso");
    assert_int_equal(one.size, two.size);
    assert_memory_not_equal(one.data, two.data, one.size);
    bytes_fini(&one);
    bytes_fini(&two);
}

/* The text of a file of an image. */
static struct bytes extract(const char *image, const char *path)
{
    const char *const arguments[] = {"xorriso",
                                     "-osirrox",
                                     "on",
                                     "-indev",
                                     scratch_path(image),
                                     "-extract",
                                     path,
                                     scratch_path("extracted"),
                                     NULL};
    struct process process = {
        .arguments = arguments, .package = "xorriso", .what = "look into the image"};
    struct problem problem = {0};
    unlink(scratch_path("extracted"));
    assert_int_equal(process_run(&process, NULL, NULL, &problem), OK);
    struct bytes text = scratch_read("extracted");
    bytes_append(&text, "", 1);
    return text;
}

/* What xorriso says about the image. */
static void test_image_starts_with_both_firmwares_and_from_a_stick(void **state)
{
    make_image("one.iso");
    const char *const arguments[] = {"xorriso",
                                     "-indev",
                                     scratch_path("one.iso"),
                                     "-report_el_torito",
                                     "plain",
                                     "-report_system_area",
                                     "plain",
                                     NULL};
    struct process process = {
        .arguments = arguments, .package = "xorriso", .what = "look at the image"};
    struct bytes output = {0};
    struct problem problem = {0};
    assert_int_equal(process_run(&process, &output, NULL, &problem), OK);
    bytes_append(&output, "", 1);
    static const char *const expected[] = {"El Torito boot img :   1  BIOS  y",
                                           "El Torito boot img :   2  UEFI  y",
                                           "/boot/grub/bios.img",
                                           "/boot/grub/efi.img",
                                           "grub2-mbr",
                                           "GPT"};
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        if (!strstr((const char *)output.data, expected[i])) {
            fail_msg("no '%s' in:\n%s", expected[i], (const char *)output.data);
        }
    }
    bytes_fini(&output);
}

static void test_image_grub_script_holds_the_command_line(void **state)
{
    make_image("one.iso");
    struct bytes script = extract("one.iso", "/boot/grub/grub.cfg");
    const char *text = (const char *)script.data;
    assert_non_null(strstr(text, "multiboot2 /boot/nano_core app=hello text=\"a b\";"));
    assert_non_null(strstr(text, "module2 /boot/cells.a cells.a"));
    bytes_fini(&script);
}

static void write_evolution(const char *bundle, struct span bytes)
{
    char text[512];
    struct blake2b_digest hash;
    blake2b_of(bytes.base, bytes.size, &hash);
    size_t length = (size_t)sprintf(text, "theoris-evolution 1\nbundle %s", bundle);
    for (size_t i = 0; bytes.size && i < BLAKE2B_DIGEST; i++) {
        length += (size_t)sprintf(text + length, "%s%02x", i ? "" : " ", hash.bytes[i]);
    }
    length += (size_t)sprintf(text + length, "\nend\n");
    scratch_write("evolution", text, length);
}

static unsigned code_with(const char *evolution, bool unchecked)
{
    struct image_request request = good_request("evolving.iso");
    request.evolution = scratch_path(evolution);
    request.unchecked = unchecked;
    return code_of(&request);
}

static void test_image_takes_an_evolution_and_its_bundle(void **state)
{
    write_evolution("-", span_of(NULL, 0));
    assert_int_equal(code_with("evolution", false), 0);
    struct bytes script = extract("evolving.iso", "/boot/grub/grub.cfg");
    assert_non_null(
        strstr((const char *)script.data, "module2 /boot/evolution evolution; then boot"));
    bytes_fini(&script);

    write_evolution("evolution.a", span_of("cells", 5));
    assert_int_equal(code_with("evolution", false), DIAG_EVOLUTION_BUNDLE);
    scratch_write("evolution.a", "cells", 5);
    assert_int_equal(code_with("evolution", false), 0);
    script = extract("evolving.iso", "/boot/grub/grub.cfg");
    assert_non_null(strstr((const char *)script.data,
                           "    if module2 /boot/cells.a cells.a; then if module2 /boot/evolution "
                           "evolution; then if module2 /boot/evolution.a evolution.a; then boot; "
                           "fi; fi; fi\n"));
    bytes_fini(&script);
    script = extract("evolving.iso", "/boot/evolution.a");
    assert_string_equal((const char *)script.data, "cells");
    bytes_fini(&script);
}

static void test_image_evolution_that_is_none_is_refused(void **state)
{
    unlink(scratch_path("evolving.iso"));
    write_evolution("evolution.a", span_of("cells", 5));
    scratch_write("evolution.a", "cellz", 5);
    assert_int_equal(code_with("evolution", false), DIAG_EVOLUTION_BUNDLE);
    write_evolution("-", span_of(NULL, 0)); /* and there is one */
    assert_int_equal(code_with("evolution", false), DIAG_EVOLUTION_BUNDLE);
    scratch_write("evolution", "theoris-evolution 2\nbundle -\nend\n", 34);
    assert_int_equal(code_with("evolution", false), DIAG_EVOLUTION_FORMAT);
    scratch_write("evolution", "theoris-evolution 1\nbundle -\n", 29);
    assert_int_equal(code_with("evolution", false), DIAG_EVOLUTION_END);
    assert_int_not_equal(access(scratch_path("evolving.iso"), F_OK), 0);
    assert_int_equal(code_with("absent", false), PROBLEM_FILE_READ);
    assert_int_equal(code_with("evolution", true), 0);
}

static void test_image_missing_platform_is_named(void **state)
{
    mkdir(scratch_path("grub"), 0755);
    mkdir(scratch_path("grub/i386-pc"), 0755);
    struct image_request request = good_request("bad.iso");
    request.grub_folder = scratch_path("grub");
    struct image_result result;
    struct problem problem = {0};
    assert_int_equal(image_make(&request, &result, &problem), ERR_NOT_FOUND);
    assert_int_equal(problem.code, PROBLEM_IMAGE_PLATFORM);
    assert_string_equal(problem.help, "apt-get install grub-pc-bin");
    problem_fini(&problem);
    scratch_write("grub/i386-pc/kernel.img", "x", 1);
    assert_int_equal(image_make(&request, &result, &problem), ERR_NOT_FOUND);
    assert_string_equal(problem.help, "apt-get install grub-efi-amd64-bin");
    problem_fini(&problem);
}

static void test_image_file_without_header_is_refused(void **state)
{
    uint8_t nano_core[65536] = {0};
    struct image_request request = good_request("bad.iso");
    request.nano_core = scratch_path("other");
    scratch_write("other", nano_core, sizeof(nano_core));
    assert_int_equal(code_of(&request), PROBLEM_IMAGE_KERNEL);
    memcpy(nano_core + 4, header, sizeof(header)); /* not aligned to 8 */
    scratch_write("other", nano_core, sizeof(nano_core));
    assert_int_equal(code_of(&request), PROBLEM_IMAGE_KERNEL);
    memset(nano_core, 0, sizeof(nano_core));
    memcpy(nano_core + 32768, header, sizeof(header)); /* behind what GRUB searches */
    scratch_write("other", nano_core, sizeof(nano_core));
    assert_int_equal(code_of(&request), PROBLEM_IMAGE_KERNEL);
    memset(nano_core, 0, sizeof(nano_core));
    memcpy(nano_core, header, sizeof(header));
    nano_core[12] ^= 1; /* the checksum */
    scratch_write("other", nano_core, sizeof(nano_core));
    assert_int_equal(code_of(&request), PROBLEM_IMAGE_KERNEL);
}

static void test_image_file_that_is_no_archive_is_refused(void **state)
{
    struct image_request request = good_request("bad.iso");
    request.cells = scratch_path("alone.cell");
    assert_int_equal(code_of(&request), DIAG_ARCHIVE_MAGIC);
    assert_int_not_equal(access(scratch_path("bad.iso"), F_OK), 0);
    request.unchecked = true;
    assert_int_equal(code_of(&request), 0);
}

static void test_image_command_line_that_grub_would_change_is_refused(void **state)
{
    static const char *const lines[] = {"a;b", "a\nb", "$root", "{", "a\\b", "a'b", "a#b", "a&b"};
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        struct image_request request = good_request("bad.iso");
        request.command_line = lines[i];
        assert_int_equal(code_of(&request), PROBLEM_IMAGE_OPTION);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_image_bytes_are_reproducible),
        cmocka_unit_test(test_image_other_epoch_gives_other_dates),
        cmocka_unit_test(test_image_starts_with_both_firmwares_and_from_a_stick),
        cmocka_unit_test(test_image_grub_script_holds_the_command_line),
        cmocka_unit_test(test_image_takes_an_evolution_and_its_bundle),
        cmocka_unit_test(test_image_evolution_that_is_none_is_refused),
        cmocka_unit_test(test_image_missing_platform_is_named),
        cmocka_unit_test(test_image_file_without_header_is_refused),
        cmocka_unit_test(test_image_file_that_is_no_archive_is_refused),
        cmocka_unit_test(test_image_command_line_that_grub_would_change_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, scratch_destroy);
}
