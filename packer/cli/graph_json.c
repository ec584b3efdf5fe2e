/* SPDX-License-Identifier: MIT */
/*
 * The graph as data, and the page that draws this data. docs and man page describe the fields; the
 * script of the page (packer/html) reads exactly this document.
 */
#include "graph.h"

#include <stdlib.h>
#include <string.h>

/* The page's parts, as they stand in packer/html. */
#define EMBED(name, file)                                                                 \
    __asm__(".section .rodata." #name ",\"a\",@progbits\n"                                \
            ".globl " #name "\n" #name ":\n.incbin \"" PACKER_HTML_FOLDER "/" file "\"\n" \
            ".byte 0\n.previous\n");                                                      \
    extern const char name[]

EMBED(page_frame, "graph.html");
EMBED(page_style, "graph.css");
EMBED(page_layout, "layout.js");
EMBED(page_view, "view.js");
EMBED(page_control, "control.js");

/* ---- JSON ---- */

static json_t *json_exports(const struct elf_object *object)
{
    json_t *list = json_array();
    for (uint32_t i = object->first_global; i < object->symbol_count; i++) {
        if (elf_symbol_is_export(&object->symbols[i])) {
            json_array_append_new(list, json_text(elf_object_symbol_name(object, i)));
        }
    }
    return list;
}

static json_t *json_sections(const struct model *model, const struct model_cell *cell)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < cell->object.section_count; i++) {
        const struct model_section *section = &model->sections[cell->first_section + i];
        if (section->kind != MODEL_NOT_LOADED) {
            json_array_append_new(
                list, json_pack("{s:o, s:s, s:I}", "name", json_text(section->name), "kind",
                                model_kind_name(section->kind), "size", (json_int_t)section->size));
        }
    }
    return list;
}

static json_t *json_cell(const struct graph *graph, uint32_t index)
{
    const struct model_cell *cell = &graph->model->cells[index];
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", json_text(cell->name),
                     "kind", json_text(cell->kind), "version", json_text(cell->version), "summary",
                     json_text(cell->summary), "interface", json_text_or_null(cell->interface),
                     "group", json_text_or_null(graph->shelves[index]), "sizes",
                     json_sizes(&cell->sizes), "exports", json_exports(&cell->object), "sections",
                     json_sections(graph->model, cell));
}

static json_t *json_links(const struct graph *graph)
{
    const struct model *model = graph->model;
    json_t *list = json_array();
    for (uint32_t i = 0; i < model->link_count; i++) {
        const struct model_link *link = &model->links[i];
        if (graph->shown[link->from] && graph->shown[link->to]) {
            json_array_append_new(list, json_pack("{s:o, s:o, s:I, s:I, s:I, s:b}", "from",
                                                  json_text(model->cells[link->from].name), "to",
                                                  json_text(model->cells[link->to].name),
                                                  "relocations", (json_int_t)link->relocations,
                                                  "calls", (json_int_t)link->calls, "addresses",
                                                  (json_int_t)link->addresses, "implied",
                                                  graph->implied[i]));
        }
    }
    return list;
}

/* Where cells and sections stand in the document's lists. */
struct numbering {
    uint32_t *cells;    /* by cell of the model */
    uint32_t *sections; /* by section of the model */
};

static struct numbering number_all(const struct graph *graph)
{
    const struct model *model = graph->model;
    struct numbering numbers = {
        .cells = allocate((model->cell_count + 1) * sizeof(uint32_t)),
        .sections = allocate((model->section_count + 1) * sizeof(uint32_t)),
    };
    uint32_t next_cell = 0;
    for (uint32_t i = 0; i < model->cell_count; i++) {
        const struct model_cell *cell = &model->cells[i];
        uint32_t next = 0;
        numbers.cells[i] = graph->shown[i] ? next_cell++ : MODEL_NOWHERE;
        for (uint32_t k = 0; k < cell->object.section_count; k++) {
            bool loaded = model->sections[cell->first_section + k].kind != MODEL_NOT_LOADED;
            numbers.sections[cell->first_section + k] = loaded ? next++ : MODEL_NOWHERE;
        }
    }
    return numbers;
}

static int compare_sections(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

/* [cell, section, cell, section, count]: the relocations of one section, by where they lead. */
static void append_section_edges(const struct graph *graph, const struct numbering *numbers,
                                 uint32_t section, uint32_t *targets, json_t *list)
{
    const struct model *model = graph->model;
    const struct model_section *from = &model->sections[section];
    uint32_t count = 0;
    for (uint32_t i = 0; i < from->edge_count; i++) {
        uint32_t target = model->edges[from->first_edge + i].target;
        if (target != MODEL_NOWHERE && graph->shown[model->sections[target].cell]) {
            targets[count++] = target;
        }
    }
    qsort(targets, count, sizeof(*targets), compare_sections);
    for (uint32_t i = 0; i < count;) {
        uint32_t end = i;
        while (end < count && targets[end] == targets[i]) {
            end++;
        }
        json_array_append_new(
            list, json_pack("[I,I,I,I,I]", (json_int_t)numbers->cells[from->cell],
                            (json_int_t)numbers->sections[section],
                            (json_int_t)numbers->cells[model->sections[targets[i]].cell],
                            (json_int_t)numbers->sections[targets[i]], (json_int_t)(end - i)));
        i = end;
    }
}

static json_t *json_section_edges(const struct graph *graph)
{
    const struct model *model = graph->model;
    struct numbering numbers = number_all(graph);
    uint32_t *targets = allocate((model->edge_count + 1) * sizeof(*targets));
    json_t *list = json_array();
    for (uint32_t i = 0; i < model->section_count; i++) {
        const struct model_section *section = &model->sections[i];
        if (graph->shown[section->cell] && section->kind != MODEL_UNWIND && section->edge_count) {
            append_section_edges(graph, &numbers, i, targets, list);
        }
    }
    free(targets);
    free(numbers.sections);
    free(numbers.cells);
    return list;
}

static json_t *graph_to_json(const struct graph *graph)
{
    json_t *root = json_root("graph", 1);
    json_t *cells = json_array();
    for (uint32_t i = 0; i < graph->model->cell_count; i++) {
        if (graph->shown[i]) {
            json_array_append_new(cells, json_cell(graph, i));
        }
    }
    const char *slash = strrchr(graph->subject->input, '/');
    json_object_set_new(root, "input", json_text(slash ? slash + 1 : graph->subject->input));
    json_object_set_new(root, "shown", json_integer(graph->shown_count));
    json_object_set_new(root, "total", json_integer(graph->model->cell_count));
    json_object_set_new(root, "cells", cells);
    json_object_set_new(root, "edges", json_links(graph));
    json_object_set_new(root, "section_edges", json_section_edges(graph));
    return root;
}

enum status graph_write_json(const struct graph *graph, struct bytes *out, struct problem *problem)
{
    json_t *root = graph_to_json(graph);
    char *json = json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    if (!json) {
        return problem_set(problem, PROBLEM_MEMORY, "no memory for the document");
    }
    bytes_append(out, json, strlen(json));
    bytes_append(out, "\n", 1);
    free(json);
    return OK;
}

/* ---- HTML ---- */

/* In a script element '<' could end the element: in JSON it only stands in strings. */
static void append_data(const char *json, struct bytes *out)
{
    for (const char *c = json; *c; c++) {
        if (*c == '<') {
            bytes_append_text(out, "\\u003c");
        } else {
            bytes_append(out, c, 1);
        }
    }
}

static void append_part(struct bytes *out, const char *mark, const char *json)
{
    if (strcmp(mark, "@STYLE@") == 0) {
        bytes_append(out, page_style, strlen(page_style));
    } else if (strcmp(mark, "@DATA@") == 0) {
        append_data(json, out);
    } else {
        bytes_append(out, page_layout, strlen(page_layout));
        bytes_append(out, page_view, strlen(page_view));
        bytes_append(out, page_control, strlen(page_control));
    }
}

enum status graph_write_html(const struct graph *graph, struct bytes *out, struct problem *problem)
{
    json_t *root = graph_to_json(graph);
    char *json = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (!json) {
        return problem_set(problem, PROBLEM_MEMORY, "no memory for the page");
    }
    static const char *const marks[] = {"@STYLE@", "@DATA@", "@SCRIPT@"};
    const char *rest = page_frame;
    for (size_t i = 0; i < ARRAY_COUNT(marks); i++) {
        const char *mark = strstr(rest, marks[i]);
        if (!mark) {
            internal_error("the page has no %s", marks[i]);
        }
        bytes_append(out, rest, (size_t)(mark - rest));
        append_part(out, marks[i], json);
        rest = mark + strlen(marks[i]);
    }
    bytes_append(out, rest, strlen(rest));
    free(json);
    return OK;
}
