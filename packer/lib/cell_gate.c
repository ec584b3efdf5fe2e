/* SPDX-License-Identifier: MIT */
#include "cell_gate.h"
#include "cell_abi.h"
#include "cell_info.h"
#include "elf_object.h"

#include <string.h>

static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";

enum status cell_gate_check_name(const char *name, struct problem *problem)
{
    size_t length = strlen(name);
    bool letter_first = name[0] >= 'a' && name[0] <= 'z';
    if (letter_first && strspn(name, letters) == length && length < CELL_INFO_NAME_SIZE) {
        return OK;
    }
    problem_set(problem, PROBLEM_CELL_BAD_NAME, "'%s' is not a cell name", name);
    problem_because(problem, "names are up to %d lower case letters, digits and underscores",
                    CELL_INFO_NAME_SIZE - 1);
    return problem->status;
}

/* Each CELL() line makes a list of strings that starts with this one. */
static size_t count_notes(struct span note)
{
    size_t count = 0;
    for (uint64_t at = 0; at < note.size;) {
        const char *field = span_string(note, at);
        if (!field) {
            break;
        }
        count += strncmp(field, "format=", 7) == 0;
        at += strlen(field) + 1;
    }
    return count;
}

static enum status check_note_count(const struct elf_object *object, struct problem *problem)
{
    uint32_t section = elf_object_find_section(object, ".cell.info");
    size_t count = section ? count_notes(elf_object_section_bytes(object, section)) : 0;
    if (count == 1) {
        return OK;
    }
    problem_set(problem, PROBLEM_CELL_NOTE_COUNT, "a cell needs exactly one CELL() line");
    problem_because(problem, "its sources have %zu", count);
    problem_help(problem, count ? "remove all but one"
                                : "add CELL(library, \"1.0.0\"); behind the includes");
    return problem->status;
}

static enum status check_note(const struct cell_gate *gate, const struct elf_object *object,
                              struct problem *problem)
{
    struct cell_info info;
    struct diag diag;
    if (cell_info_read(object, &info, &diag) != OK) {
        return problem_set_diag(problem, &diag, gate->file ? gate->file : gate->name);
    }
    static const char *const kinds[] = {"library", "driver", "application", "core"};
    bool known = false;
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        known |= strcmp(info.kind, kinds[i]) == 0;
    }
    if (!known) {
        problem_set(problem, PROBLEM_CELL_NOTE_FIELD, "'%s' is not a kind of cell", info.kind);
        problem_because(problem, "kinds are library, driver, application and core");
        return problem->status;
    }
    if (gate->name && strcmp(gate->name, info.name) != 0) {
        problem_set(problem, PROBLEM_CELL_NOTE_NAME, "the CELL() note names another cell");
        problem_because(problem, "the build says %s, the note says %s", gate->name, info.name);
        return problem->status;
    }
    const char *interface = info.interface ? info.interface : "none";
    if (gate->name && strcmp(gate->interface ? gate->interface : "none", interface) != 0) {
        problem_set(problem, PROBLEM_CELL_NOTE_NAME, "the CELL() note names another interface");
        problem_because(problem, "the build says %s, the note says %s",
                        gate->interface ? gate->interface : "none", interface);
        return problem->status;
    }
    return OK;
}

/* Without the section nothing is known, and nothing wrong. */
static enum status check_abi(const struct cell_gate *gate, const struct elf_object *object,
                             struct problem *problem)
{
    struct cell_abi abi;
    struct diag diag;
    enum status status = cell_abi_read(object, &abi, &diag);
    if (status == OK) {
        status = cell_abi_check(&abi, object, &diag);
    }
    if (status == OK) {
        return OK;
    }
    if (gate->name) {
        diag_name_cell(&diag, gate->name);
    }
    return problem_set_diag(problem, &diag, gate->file ? gate->file : gate->name);
}

enum status cell_gate_check(const struct cell_gate *gate, struct span cell, struct problem *problem)
{
    struct elf_object object;
    struct diag diag;
    if (elf_object_open(cell, &object, &diag) != OK) {
        if (gate->name) {
            diag_name_cell(&diag, gate->name);
        }
        return problem_set_diag(problem, &diag, gate->file ? gate->file : gate->name);
    }
    enum status status = check_note_count(&object, problem);
    status = status == OK ? check_note(gate, &object, problem) : status;
    return status == OK ? check_abi(gate, &object, problem) : status;
}
