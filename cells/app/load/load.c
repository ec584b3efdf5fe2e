/* SPDX-License-Identifier: MIT */
/*
 * load CELL... - loads cells, with all that they need, and says what came of each. Stops at
 * nothing; the status is that of the first cell that could not be loaded.
 */
#include "application.h"
#include "cell_metadata.h"
#include "cell_namespace.h"
#include "console.h"
#include "diag.h"
#include "loader.h"
#include "mutex.h"

CELL(application, "1.0.0");

APPLICATION(load);

#define LINE_SIZE 400 /* the longest diag */

static bool is_loaded(const struct cell_namespace *namespace, const char *name)
{
    GUARD(mutex, held, cell_namespace_mutex());
    return cell_namespace_find_cell(namespace, name) != NULL;
}

static enum status load_one(const char *name)
{
    struct cell_namespace *namespace = cell_namespace_initial();
    if (is_loaded(namespace, name)) {
        console_print("load: %s is loaded already\n", name);
        return OK;
    }
    uint32_t before = namespace->cell_count;
    struct cell *cell;
    struct diag diag = {0};
    enum status status = loader_load(namespace, name, &cell, &diag);
    if (status) {
        char line[LINE_SIZE];
        diag_format(&diag, line, sizeof(line));
        console_print("load: %s refused: %s: %s\n", name, status_name(status), line);
        return status;
    }
    console_print("load: %s %s loaded at 0x%lx, with %u more\n", name, cell->version,
                  (unsigned long)cell->regions[REGION_TEXT].address,
                  (unsigned)(namespace->cell_count - before - 1));
    return OK;
}

enum status load_main(const struct app_arguments *arguments)
{
    if (arguments->count < 2) {
        console_print("usage: load CELL...\n");
        return ERR_INVALID_ARGUMENT;
    }
    enum status first = OK;
    for (int i = 1; i < arguments->count; i++) {
        enum status status = load_one(arguments->values[i]);
        first = first ? first : status;
    }
    return first;
}
