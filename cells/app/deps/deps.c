/* SPDX-License-Identifier: MIT */
/*
 * deps CELL           the relocations that cross the bounds of a cell, in both directions
 * deps CELL:SECTION   all relocations of and to one section
 * deps --all          every relocation of every cell, a line each, then their number:
 *
 *      edge <cell>:<section>+0x<offset> <R_X86_64_*> <cell>:<section>+0x<offset>
 *      edges <count>
 *
 * The target is `-` where there is none (an absolute value, an undefined weak symbol,
 * R_X86_64_NONE); its offset is `-0x<offset>` where it lies before the section. Lines come in the
 * order of loading.
 */
#include "application.h"
#include "cell_metadata.h"
#include "cell_namespace.h"
#include "console.h"
#include "format.h"
#include "freestanding.h"
#include "mutex.h"
#include "relocation.h"

CELL(application, "1.0.0");

APPLICATION(deps);

/* For `cell:section+offset`; longer names are cut, two of them fit what the console prints at once.
 */
#define PLACE_SIZE 200

struct place {
    char text[PLACE_SIZE];
};

static struct place name_place(const struct section *section, int64_t offset)
{
    struct place place;
    if (!section) {
        format_into(place.text, sizeof(place.text), "-");
        return place;
    }
    uint64_t distance = offset < 0 ? 0 - (uint64_t)offset : (uint64_t)offset;
    format_into(place.text, sizeof(place.text), "%s:%s%c0x%lx", section->cell->name, section->name,
                offset < 0 ? '-' : '+', (unsigned long)distance);
    return place;
}

static void print_for_programs(const struct dependency *dependency)
{
    struct place source = name_place(dependency->source, dependency->offset);
    struct place target = name_place(dependency->target, dependency->target_offset);
    console_print("edge %s %s %s\n", source.text, relocation_name(dependency->type), target.text);
}

static void print_for_people(const struct dependency *dependency)
{
    struct place source = name_place(dependency->source, dependency->offset);
    struct place target = name_place(dependency->target, dependency->target_offset);
    console_print("  %-44s %-14s %s%s\n", source.text, relocation_name(dependency->type),
                  target.text, dependency->via_entry ? " (its entry)" : "");
}

static enum status print_all(const struct cell_namespace *namespace)
{
    uint64_t count = 0;
    for (const struct cell *cell = namespace->first; cell; cell = cell->next) {
        struct relocation_walk walk = {0};
        struct dependency dependency;
        while (relocation_next(cell, &walk, &dependency)) {
            print_for_programs(&dependency);
        }
        count += cell->relocation_count;
    }
    console_print("edges %lu\n", (unsigned long)count);
    return OK;
}

/* Which relocations of a section are asked for: all, or those that lead into other cells. */
struct question {
    const struct cell *cell;
    const struct section *section; /* NULL: all of the cell's, those within it left out */
};

static bool concerns(const struct question *question, const struct section *section)
{
    return !question->section || question->section == section;
}

static bool is_asked_for(const struct question *question, const struct dependency *dependency)
{
    bool within = dependency->target && dependency->source->cell == dependency->target->cell;
    return question->section || !within;
}

static void print_needs(const char *noun, const struct question *question)
{
    uint64_t count = 0;
    console_print("%s needs\n", noun);
    struct relocation_walk walk = {0};
    struct dependency dependency;
    while (relocation_next(question->cell, &walk, &dependency)) {
        if (concerns(question, dependency.source) && is_asked_for(question, &dependency)) {
            print_for_people(&dependency);
            count++;
        }
    }
    console_print("  %lu in all\n", (unsigned long)count);
}

/* What other cells have in one section. */
static uint64_t print_users(const struct section *section)
{
    uint64_t count = 0;
    for (const struct binding *at = section->incoming; at; at = at->next_incoming) {
        struct relocation_walk walk = {0};
        struct dependency use;
        while (relocation_next_use(at, &walk, &use)) {
            print_for_people(&use);
            count++;
        }
    }
    return count;
}

/* Relocations of its own cell that lead to one section. */
static uint64_t print_own_users(const struct section *section)
{
    uint64_t count = 0;
    struct relocation_walk walk = {0};
    struct dependency use;
    while (relocation_next(section->cell, &walk, &use)) {
        if (use.target == section) {
            print_for_people(&use);
            count++;
        }
    }
    return count;
}

static void print_needed_by(const char *noun, const struct question *question)
{
    uint64_t count = 0;
    console_print("%s is needed by\n", noun);
    for (uint32_t i = 0; i < question->cell->object.section_count; i++) {
        if (concerns(question, &question->cell->sections[i])) {
            count += print_users(&question->cell->sections[i]);
        }
    }
    if (question->section) {
        count += print_own_users(question->section);
    }
    console_print("  %lu in all\n", (unsigned long)count);
}

static const struct section *find_section(const struct cell *cell, const char *name)
{
    for (uint32_t i = 0; i < cell->object.section_count; i++) {
        const struct section *section = &cell->sections[i];
        if (section->address && strcmp(section->name, name) == 0) {
            return section;
        }
    }
    return NULL;
}

static enum status answer(const struct cell_namespace *namespace, const char *noun)
{
    char cell_name[PLACE_SIZE];
    const char *colon = memchr(noun, ':', strlen(noun));
    int length = colon ? (int)(colon - noun) : PLACE_SIZE;
    format_into(cell_name, sizeof(cell_name), "%.*s", length, noun);

    struct question question = {.cell = cell_namespace_find_cell(namespace, cell_name)};
    if (!question.cell) {
        console_print("deps: no such cell is loaded: %s\n", cell_name);
        return ERR_NOT_FOUND;
    }
    if (colon) {
        question.section = find_section(question.cell, colon + 1);
        if (!question.section) {
            console_print("deps: cell %s has no loaded section %s\n", cell_name, colon + 1);
            return ERR_NOT_FOUND;
        }
    }
    print_needs(noun, &question);
    print_needed_by(noun, &question);
    return OK;
}

enum status deps_main(const struct app_arguments *arguments)
{
    if (arguments->count != 2) {
        console_print("usage: deps CELL | CELL:SECTION | --all\n");
        return ERR_INVALID_ARGUMENT;
    }
    const struct cell_namespace *namespace = cell_namespace_initial();
    GUARD(mutex, held, cell_namespace_mutex());
    if (strcmp(arguments->values[1], "--all") == 0) {
        return print_all(namespace);
    }
    return answer(namespace, arguments->values[1]);
}
