/* SPDX-License-Identifier: MIT */
/*
 * The machine around the captain is made up: options, a loader that knows the applications `good`
 * and `bad`, and a power switch that jumps back into the test.
 */
#include "acpi.h"
#include "acpi_power.h"
#include "application.h"
#include "boot_info.h"
#include "boot_options.h"
#include "captain.h"
#include "cell_metadata.h"
#include "cell_namespace.h"
#include "console_recorder.h"
#include "crew.h"
#include "diag.h"
#include "frame_allocator.h"
#include "loader.h"
#include "logger.h"
#include "power.h"
#include "processors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static const char *app_option;
static const char *load_option;
static const char *log_option;
static const char *end_option;
static const char *tasks_option;
static const char *scheduler_option;
static bool has_crew;
static enum status crew_status;
static char loaded[64]; /* the schedulers that were loaded */
static struct cell_namespace namespace = {.name = "test", .cell_count = 20};
static struct boot_info boot;
static jmp_buf off;
static int exit_status;
static char called[256]; /* the applications that ran, with their arguments */
static struct console_recorder said;

const char *boot_options_find(const char *key)
{
    return strcmp(key, "app") == 0         ? app_option
           : strcmp(key, "load") == 0      ? load_option
           : strcmp(key, "log") == 0       ? log_option
           : strcmp(key, "end") == 0       ? end_option
           : strcmp(key, "tasks") == 0     ? tasks_option
           : strcmp(key, "scheduler") == 0 ? scheduler_option
                                           : NULL;
}

const struct boot_info *boot_info_get(void)
{
    return &boot;
}

struct cell_namespace *cell_namespace_initial(void)
{
    return &namespace;
}

struct frame_statistics frame_allocator_statistics(void)
{
    return (struct frame_statistics){.total = 1000, .free = 900};
}

struct loader_statistics loader_statistics(void)
{
    return (struct loader_statistics){.cells = 21, .sections = 300, .relocations = 4000};
}

void power_off(int status)
{
    exit_status = status;
    longjmp(off, 1);
}

void power_reboot(void)
{
    exit_status = -1;
    longjmp(off, 1);
}

static struct acpi acpi;
static enum status acpi_power_status;

enum status acpi_init(void)
{
    return acpi.status;
}

const struct acpi *acpi_get(void)
{
    return &acpi;
}

enum status acpi_power_init(void)
{
    return acpi_power_status;
}

static enum status processors_status;

enum status processors_start(void)
{
    return processors_status;
}

static void note_call(const struct app_arguments *arguments)
{
    assert_null(arguments->values[arguments->count]);
    for (int i = 0; i < arguments->count; i++) {
        strcat(called, arguments->values[i]);
        strcat(called, i + 1 < arguments->count ? "," : ".");
    }
}

static enum status good_main(const struct app_arguments *arguments)
{
    note_call(arguments);
    return OK;
}

static enum status bad_main(const struct app_arguments *arguments)
{
    note_call(arguments);
    return ERR_IO;
}

enum status crew_start(void)
{
    strcat(called, crew_status == OK ? "crew." : "nobody.");
    return crew_status;
}

enum status crew_run(app_main entry, const struct app_arguments *arguments)
{
    strcat(called, "task:");
    return entry(arguments);
}

enum status loader_demand(struct cell_namespace *into, const char *symbol, uint64_t *out_address,
                          struct diag *diag)
{
    app_main entry = strcmp(symbol, "good_main") == 0  ? good_main
                     : strcmp(symbol, "bad_main") == 0 ? bad_main
                                                       : NULL;
    if (has_crew && strcmp(symbol, "crew_start") == 0) {
        *out_address = (uintptr_t)crew_start;
        return OK;
    }
    if (has_crew && strcmp(symbol, "crew_run") == 0) {
        *out_address = (uintptr_t)crew_run;
        return OK;
    }
    if (!entry) {
        return diag_set(diag, DIAG_LINK_MISSING_SYMBOL, &(struct diag_site){.symbol = symbol});
    }
    into->cell_count++;
    *out_address = (uintptr_t)entry;
    return OK;
}

const char *loader_next_member(uint64_t *cursor)
{
    static const char *const members[] = {"one", "broken", "other", "three"};
    return *cursor < ARRAY_COUNT(members) ? members[(*cursor)++] : NULL;
}

const char *loader_find_alternative(const struct cell_namespace *in, const char *cell)
{
    assert_ptr_equal(in, &namespace);
    return strcmp(cell, "other") == 0 ? "one" : NULL;
}

enum status loader_load(struct cell_namespace *into, const char *cell, struct cell **out_cell,
                        struct diag *diag)
{
    (void)into;
    (void)out_cell;
    assert_string_not_equal(cell, "other");
    if (strncmp(cell, "scheduler_", 10) == 0) {
        strcat(loaded, cell);
    }
    return strcmp(cell, "broken") == 0 || strcmp(cell, "scheduler_chance") == 0
               ? diag_set(diag, DIAG_ELF_MAGIC, &(struct diag_site){.cell = cell})
               : OK;
}

static int clear(void **state)
{
    (void)state;
    app_option = NULL;
    load_option = NULL;
    log_option = NULL;
    end_option = NULL;
    tasks_option = NULL;
    scheduler_option = NULL;
    has_crew = false;
    crew_status = OK;
    loaded[0] = '\0';
    acpi = (struct acpi){0};
    acpi_power_status = OK;
    called[0] = '\0';
    console_recorder_clear(&said);
    exit_status = -2;
    logger_set_levels(LOG_DEBUG, LOG_INFO);
    return 0;
}

static void sail(void)
{
    if (!setjmp(off)) {
        captain_start();
    }
}

#define assert_said(words) assert_non_null(strstr(said.text, words))

static void test_captain_runs_each_application_with_its_arguments(void **state)
{
    (void)state;
    app_option = "good; good a  b;good c";
    sail();
    assert_string_equal(called, "good.good,a,b.good,c.");
    assert_int_equal(exit_status, 0);
    assert_said("captain: good: OK (1 cell loaded in ");
    assert_said("captain: 3 of 3 applications OK; 21 cells, 300 sections, 4000 relocations; "
                "400 KiB of memory in use; ");
}

static void test_captain_applications_are_tasks_where_there_is_a_crew(void **state)
{
    (void)state;
    has_crew = true;
    app_option = "good; good a";
    sail();
    assert_string_equal(called, "crew.task:good.task:good,a.");
    assert_string_equal(loaded, "");
    assert_int_equal(exit_status, 0);
}

static void test_captain_without_crew_calls_applications(void **state)
{
    (void)state;
    app_option = "good";
    sail();
    assert_said("captain: has no crew_start: C0205");
    assert_string_equal(called, "good.");
    assert_int_equal(exit_status, 0);
}

static void test_captain_crew_that_cannot_start_leaves_applications_to_be_called(void **state)
{
    (void)state;
    has_crew = true;
    crew_status = ERR_NO_DEVICE;
    app_option = "good";
    sail();
    assert_string_equal(called, "nobody.good.");
    assert_said("no tasks: device is not there");
}

static void test_captain_tasks_off_asks_for_no_crew(void **state)
{
    (void)state;
    has_crew = true;
    tasks_option = "off";
    app_option = "good";
    sail();
    assert_string_equal(called, "good.");
}

static void test_captain_scheduler_option_loads_it_first_and_a_wrong_one_is_said(void **state)
{
    (void)state;
    has_crew = true;
    app_option = "good";
    scheduler_option = "priority";
    sail();
    assert_string_equal(loaded, "scheduler_priority");
    scheduler_option = "chance";
    sail();
    assert_said("captain: cannot use scheduler_chance: ");
    assert_int_equal(exit_status, 0);
}

static void test_captain_default_application_is_hello(void **state)
{
    (void)state;
    sail();
    assert_said("captain: cannot run hello: C0205: symbol is not defined by any cell: hello_main");
    assert_int_equal(exit_status, 1);
}

static void test_captain_failed_application_fails_the_system_but_the_next_one_runs(void **state)
{
    (void)state;
    app_option = "bad; good";
    sail();
    assert_string_equal(called, "bad.good.");
    assert_said("captain: bad: ERR_IO (");
    assert_said("captain: 1 of 2 applications OK");
    assert_int_equal(exit_status, 1);
}

static void test_captain_absent_application_is_reported_and_the_next_one_runs(void **state)
{
    (void)state;
    app_option = "nobody x; good";
    sail();
    assert_string_equal(called, "good.");
    assert_said("captain: cannot run nobody: C0205");
    assert_int_equal(exit_status, 1);
}

static void test_captain_too_long_command_is_reported_and_the_next_one_runs(void **state)
{
    (void)state;
    app_option = "good 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; good";
    sail();
    assert_string_equal(called, "good.");
    assert_said("captain: cannot run good: limit exceeded\n");
    assert_int_equal(exit_status, 1);
}

static void test_captain_load_all_reports_what_is_refused(void **state)
{
    (void)state;
    load_option = "all";
    app_option = "good";
    sail();
    assert_said("captain: refused broken: C0102 broken");
    assert_said(": not an ELF file\n");
    assert_said("captain: left out other: one is there in its place\n");
    assert_said("captain: all cells of the archive: 2 loaded, 1 refused\n");
    assert_int_equal(exit_status, 0);
}

static void test_captain_log_option_sets_what_is_printed(void **state)
{
    (void)state;
    log_option = "debug";
    app_option = "good";
    sail();
    log_debug("now it is printed");
    assert_said("now it is printed");
}

static void test_captain_unknown_option_values_are_warned_about(void **state)
{
    (void)state;
    log_option = "loud";
    load_option = "some";
    app_option = "good";
    sail();
    assert_said("option log=loud is none of");
    assert_said("option load=some is not known");
    assert_int_equal(exit_status, 0);
}

static void test_captain_end_reboot_starts_again_and_other_values_are_warned_about(void **state)
{
    (void)state;
    app_option = "good";
    end_option = "reboot";
    sail();
    assert_int_equal(exit_status, -1);
    end_option = "off";
    sail();
    assert_int_equal(exit_status, 0);
    assert_null(strstr(said.text, "option end="));
    end_option = "soon";
    sail();
    assert_int_equal(exit_status, 0);
    assert_said("option end=soon is none of off, reboot");
}

static void test_captain_without_acpi_warns_and_goes_on(void **state)
{
    (void)state;
    app_option = "good";
    acpi.status = diag_set(&acpi.diag, DIAG_ACPI_ABSENT, &(struct diag_site){.cell = "acpi"});
    sail();
    assert_said("no ACPI: C0612 acpi: there are no ACPI tables");
    assert_int_equal(exit_status, 0);
    acpi = (struct acpi){.status = ERR_NO_MEMORY};
    sail();
    assert_said("no ACPI: out of memory");
    assert_int_equal(exit_status, 0);
}

static void test_captain_refused_tables_and_no_power_off_are_warned_about(void **state)
{
    (void)state;
    struct acpi_entry entries[2] = {0};
    app_option = "good";
    acpi.entries = entries;
    acpi.entry_count = 2;
    (void)!diag_set(
        &entries[1].diag, DIAG_ACPI_CHECKSUM,
        &(struct diag_site){.cell = "acpi", .section = "HPET", .offset = 9, .found = 3});
    acpi_power_status = ERR_UNSUPPORTED;
    sail();
    assert_said("left out: C0603 acpi:HPET+0x9: bytes of the table do not add up to 0");
    assert_said("no power-off by ACPI: not supported");
    assert_int_equal(exit_status, 0);
}

static void test_captain_next_command_skips_empty_commands(void **state)
{
    (void)state;
    struct captain_command command;
    const char *list = " ;; a  ; ;b c;";
    assert_int_equal(captain_next_command(&list, &command), OK);
    assert_int_equal(command.count, 1);
    assert_string_equal(command.values[0], "a");
    assert_int_equal(captain_next_command(&list, &command), OK);
    assert_int_equal(command.count, 2);
    assert_string_equal(command.values[1], "c");
    assert_int_equal(captain_next_command(&list, &command), ERR_NOT_FOUND);
    assert_int_equal(captain_next_command(&list, &command), ERR_NOT_FOUND);
}

static void test_captain_next_command_longest_fits_and_longer_is_refused(void **state)
{
    (void)state;
    char text[CAPTAIN_COMMAND_SIZE + 3];
    struct captain_command command;
    for (size_t length = CAPTAIN_COMMAND_SIZE - 1; length <= CAPTAIN_COMMAND_SIZE; length++) {
        memset(text, 'x', sizeof(text));
        strcpy(text + length, ";y");
        const char *list = text;
        bool fits = length < CAPTAIN_COMMAND_SIZE;
        assert_int_equal(captain_next_command(&list, &command), fits ? OK : ERR_LIMIT);
        assert_int_equal(strlen(command.values[0]), CAPTAIN_COMMAND_SIZE - 1);
        assert_int_equal(captain_next_command(&list, &command), OK);
        assert_string_equal(command.values[0], "y");
    }
    const char *list = "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 ";
    assert_int_equal(captain_next_command(&list, &command), OK);
    assert_int_equal(command.count, CAPTAIN_ARGUMENTS_MAX);
}

int main(void)
{
    console_recorder_start(&said);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_captain_runs_each_application_with_its_arguments, clear),
        cmocka_unit_test_setup(test_captain_applications_are_tasks_where_there_is_a_crew, clear),
        cmocka_unit_test_setup(test_captain_without_crew_calls_applications, clear),
        cmocka_unit_test_setup(test_captain_crew_that_cannot_start_leaves_applications_to_be_called,
                               clear),
        cmocka_unit_test_setup(test_captain_tasks_off_asks_for_no_crew, clear),
        cmocka_unit_test_setup(test_captain_scheduler_option_loads_it_first_and_a_wrong_one_is_said,
                               clear),
        cmocka_unit_test_setup(test_captain_default_application_is_hello, clear),
        cmocka_unit_test_setup(
            test_captain_failed_application_fails_the_system_but_the_next_one_runs, clear),
        cmocka_unit_test_setup(test_captain_absent_application_is_reported_and_the_next_one_runs,
                               clear),
        cmocka_unit_test_setup(test_captain_too_long_command_is_reported_and_the_next_one_runs,
                               clear),
        cmocka_unit_test_setup(test_captain_load_all_reports_what_is_refused, clear),
        cmocka_unit_test_setup(test_captain_log_option_sets_what_is_printed, clear),
        cmocka_unit_test_setup(test_captain_unknown_option_values_are_warned_about, clear),
        cmocka_unit_test_setup(
            test_captain_end_reboot_starts_again_and_other_values_are_warned_about, clear),
        cmocka_unit_test_setup(test_captain_without_acpi_warns_and_goes_on, clear),
        cmocka_unit_test_setup(test_captain_refused_tables_and_no_power_off_are_warned_about,
                               clear),
        cmocka_unit_test(test_captain_next_command_skips_empty_commands),
        cmocka_unit_test(test_captain_next_command_longest_fits_and_longer_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
