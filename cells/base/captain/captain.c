/* SPDX-License-Identifier: MIT */
#include "captain.h"
#include "acpi.h"
#include "acpi_power.h"
#include "application.h"
#include "boot_info.h"
#include "boot_options.h"
#include "cell_metadata.h"
#include "cell_namespace.h"
#include "console.h"
#include "crew.h"
#include "diag.h"
#include "format.h"
#include "frame_allocator.h"
#include "freestanding.h"
#include "loader.h"
#include "logger.h"
#include "power.h"
#include "processors.h"
#include "x86.h"

CELL(library, "1.0.0");

#define DIAG_LINE_SIZE 400
#define SYMBOL_SIZE    (CAPTAIN_COMMAND_SIZE + sizeof(APP_ENTRY_SUFFIX))

struct voyage {
    crew_run_t run; /* NULL: there are no tasks */

    /* What the summary at the end says. */
    unsigned applications;
    unsigned succeeded;
    uint64_t first_ticks; /* from the kernel's entry to the first application; 0: none ran */
};

static void print_diag(const char *what, const char *name, const struct diag *diag)
{
    char line[DIAG_LINE_SIZE];
    diag_format(diag, line, sizeof(line));
    console_print("captain: %s %s: %s\n", what, name, line);
}

static void choose_log_level(void)
{
    const char *name = boot_options_find("log");
    enum log_level level;
    if (!name) {
        return;
    }
    if (!logger_level_find(name, &level)) {
        log_warning("option log=%s is none of error, warning, info, debug", name);
        return;
    }
    logger_set_levels(LOG_DEBUG, level);
}

/* What the firmware's tables offer; without them the system goes on. */
static void start_acpi(void)
{
    char line[DIAG_LINE_SIZE];
    enum status status = acpi_init();
    const struct acpi *acpi = acpi_get();
    if (status != OK) {
        diag_format(&acpi->diag, line, sizeof(line));
        log_warning("no ACPI: %s", acpi->diag.code == DIAG_NONE ? status_text(status) : line);
        return;
    }
    for (size_t i = 0; i < acpi->entry_count; i++) {
        if (acpi->entries[i].diag.code != DIAG_NONE) {
            diag_format(&acpi->entries[i].diag, line, sizeof(line));
            log_warning("a table of the firmware is left out: %s", line);
        }
    }
    status = acpi_power_init();
    if (status != OK) {
        log_warning("no power-off by ACPI: %s", status_text(status));
    }
}

static void start_processors(void)
{
    enum status status = processors_start();
    if (status != OK) {
        log_warning("one CPU, without interrupts: %s", status_text(status));
    }
}

static void load_all_cells(void)
{
    unsigned loaded = 0;
    unsigned refused = 0;
    uint64_t cursor = 0;
    const char *name;
    while ((name = loader_next_member(&cursor))) {
        struct cell *cell;
        struct diag diag = {0};
        const char *other = loader_find_alternative(cell_namespace_initial(), name);
        if (other) {
            console_print("captain: left out %s: %s is there in its place\n", name, other);
        } else if (loader_load(cell_namespace_initial(), name, &cell, &diag)) {
            print_diag("refused", name, &diag);
            refused++;
        } else {
            loaded++;
        }
    }
    console_print("captain: all cells of the archive: %u loaded, %u refused\n", loaded, refused);
}

static void load_what_is_asked_for(void)
{
    const char *which = boot_options_find("load");
    if (!which) {
        return;
    }
    if (strcmp(which, "all") != 0) {
        log_warning("option load=%s is not known; only load=all is", which);
        return;
    }
    load_all_cells();
}

static const char *skip(const char *at, const char *end, char byte)
{
    while (at < end && *at == byte) {
        at++;
    }
    return at;
}

/* Splits the text of `command` into words, in place. */
static enum status split_words(struct captain_command *command)
{
    char *at = command->text;
    command->count = 0;
    for (;;) {
        while (*at == ' ') {
            *at++ = '\0';
        }
        if (!*at) {
            break;
        }
        if (command->count == CAPTAIN_ARGUMENTS_MAX) {
            return ERR_LIMIT;
        }
        command->values[command->count++] = at;
        while (*at && *at != ' ') {
            at++;
        }
    }
    command->values[command->count] = NULL;
    return OK;
}

enum status captain_next_command(const char **list, struct captain_command *out_command)
{
    const char *end = *list + strlen(*list);
    for (const char *start = *list; start < end; start = *list) {
        const char *stop = memchr(start, ';', (size_t)(end - start));
        stop = stop ? stop : end;
        *list = stop < end ? stop + 1 : end;

        start = skip(start, stop, ' ');
        size_t length = (size_t)(stop - start);
        if (!length) {
            continue;
        }
        size_t needed = format_into(out_command->text, sizeof(out_command->text), "%.*s",
                                    (int)(length < INT32_MAX ? length : INT32_MAX), start);
        enum status status = split_words(out_command);
        return needed < sizeof(out_command->text) ? status : ERR_LIMIT;
    }
    return ERR_NOT_FOUND;
}

static enum status find_entry(const char *name, app_main *out_entry)
{
    char symbol[SYMBOL_SIZE];
    format_into(symbol, sizeof(symbol), "%s%s", name, APP_ENTRY_SUFFIX);
    uint64_t address;
    struct diag diag = {0};
    enum status status = loader_demand(cell_namespace_initial(), symbol, &address, &diag);
    if (status) {
        print_diag("cannot run", name, &diag);
        return status;
    }
    *out_entry = (app_main)(uintptr_t)address;
    return OK;
}

/*
 * The address of a symbol of a cell that the captain does not depend on; NULL, and said, if absent.
 */
static void *demand(const char *symbol)
{
    uint64_t address;
    struct diag diag = {0};
    if (loader_demand(cell_namespace_initial(), symbol, &address, &diag)) {
        print_diag("has no", symbol, &diag);
        return NULL;
    }
    return (void *)(uintptr_t)address;
}

/* Loads the scheduler that is asked for, before another one is linked because nobody asked. */
static void choose_scheduler(void)
{
    const char *policy = boot_options_find("scheduler");
    if (!policy) {
        return;
    }
    char name[SYMBOL_SIZE];
    struct cell *cell;
    struct diag diag = {0};
    format_into(name, sizeof(name), "scheduler_%s", policy);
    if (loader_load(cell_namespace_initial(), name, &cell, &diag)) {
        print_diag("cannot use", name, &diag);
    }
}

/* From here on the captain is a task, or there are none. */
static void start_tasks(struct voyage *voyage)
{
    const char *option = boot_options_find("tasks");
    if (option && strcmp(option, "off") == 0) {
        return;
    }
    if (option) {
        log_warning("option tasks=%s is not known; only tasks=off is", option);
    }
    choose_scheduler();
    crew_start_t start = (crew_start_t)(uintptr_t)demand("crew_start");
    crew_run_t run_as_task = (crew_run_t)(uintptr_t)demand("crew_run");
    if (!start || !run_as_task) {
        return;
    }
    enum status status = start();
    if (status) {
        log_warning("no tasks: %s", status_text(status));
        return;
    }
    voyage->run = run_as_task;
}

static enum status run(const struct captain_command *command, struct voyage *voyage)
{
    const char *name = command->values[0];
    uint32_t cells_before = cell_namespace_initial()->cell_count;
    uint64_t start = read_tsc();
    app_main entry;
    enum status status = find_entry(name, &entry);
    if (status) {
        return status;
    }
    uint64_t loaded = read_tsc();
    if (!voyage->first_ticks) {
        voyage->first_ticks = loaded - boot_info_get()->entry_tsc;
    }
    struct app_arguments arguments = {.count = command->count, .values = command->values};
    status = voyage->run ? voyage->run(entry, &arguments) : entry(&arguments);
    uint64_t ended = read_tsc();
    uint32_t cells_now = cell_namespace_initial()->cell_count; /* some may have gone */
    unsigned cells = cells_now > cells_before ? cells_now - cells_before : 0;
    console_print("captain: %s: %s (%u cell%s loaded in %lu ticks, ran %lu ticks)\n", name,
                  status_name(status), cells, cells == 1 ? "" : "s",
                  (unsigned long)(loaded - start), (unsigned long)(ended - loaded));
    return status;
}

static void run_all(const char *list, struct voyage *voyage)
{
    struct captain_command command;
    enum status status;
    while ((status = captain_next_command(&list, &command)) != ERR_NOT_FOUND) {
        if (status) {
            console_print("captain: cannot run %s: %s\n", command.values[0], status_text(status));
        } else {
            status = run(&command, voyage);
        }
        voyage->applications++;
        voyage->succeeded += status == OK;
    }
}

static void print_summary(const struct voyage *voyage)
{
    struct loader_statistics loader = loader_statistics();
    struct frame_statistics frames = frame_allocator_statistics();
    uint64_t used = (frames.total - frames.free) * PAGE_SIZE / 1024;
    console_print("captain: %u of %u applications OK; %lu cells, %lu sections, %lu relocations; "
                  "%lu KiB of memory in use; %lu ticks to the first application\n",
                  voyage->succeeded, voyage->applications, (unsigned long)loader.cells,
                  (unsigned long)loader.sections, (unsigned long)loader.relocations,
                  (unsigned long)used, (unsigned long)voyage->first_ticks);
}

static NORETURN void end_voyage(int status)
{
    const char *how = boot_options_find("end");
    if (how && strcmp(how, "reboot") == 0) {
        power_reboot();
    }
    if (how && strcmp(how, "off") != 0) {
        log_warning("option end=%s is none of off, reboot", how);
    }
    power_off(status);
}

void captain_start(void)
{
    choose_log_level();
    start_acpi();
    start_processors();
    struct voyage voyage = {0};
    start_tasks(&voyage);
    load_what_is_asked_for();
    const char *list = boot_options_find("app");
    run_all(list ? list : CAPTAIN_DEFAULT_APPLICATION, &voyage);
    print_summary(&voyage);
    end_voyage(voyage.succeeded == voyage.applications ? 0 : 1);
}
