/* SPDX-License-Identifier: MIT */
/*
 * The picture for Graphviz: a box a cell, coloured by its shelf (or its kind, where the shelf is
 * not known), with its size; arrows point at what is needed, their width grows with the
 * relocations. Implied links are pale and do not shape the layout.
 */
#include "graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Pastel fill and border, one pair a colour; names beyond the table start over. */
static const struct {
    const char *fill;
    const char *line;
} palette[] = {
    {"#dbe7fb", "#4a7fd4"}, {"#d9f2e6", "#2f9c74"}, {"#fde9cf", "#d08a2e"}, {"#f9dbe3", "#cf5478"},
    {"#e8e0fa", "#8263cf"}, {"#d6f0f5", "#2f93ab"}, {"#f3efc9", "#a7962a"}, {"#e6e4df", "#8a8577"},
    {"#f7dcd0", "#c4663a"}, {"#dff0cf", "#6b9c38"}, {"#f2d9f3", "#a955ad"}, {"#dfe3ea", "#66748c"},
};

#define NAMES_MAX 64 /* distinct shelves or kinds that get a colour of their own in the legend */

struct colours {
    const char *names[NAMES_MAX];
    size_t count;
    bool by_shelf;
};

static const char *class_of(const struct graph *graph, const struct colours *colours, uint32_t cell)
{
    if (colours->by_shelf) {
        return graph->shelves[cell] ? graph->shelves[cell] : "other";
    }
    return graph->model->cells[cell].kind;
}

static size_t colour_of(struct colours *colours, const char *name)
{
    for (size_t i = 0; i < colours->count; i++) {
        if (strcmp(colours->names[i], name) == 0) {
            return i;
        }
    }
    if (colours->count == NAMES_MAX) {
        return NAMES_MAX - 1;
    }
    colours->names[colours->count] = name;
    return colours->count++;
}

static int by_text(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* Names in order, so that a new cell does not change the colours of the others. */
static struct colours collect_colours(const struct graph *graph)
{
    struct colours colours = {0};
    for (uint32_t i = 0; i < graph->model->cell_count; i++) {
        colours.by_shelf = colours.by_shelf || graph->shelves[i];
    }
    for (uint32_t i = 0; i < graph->model->cell_count; i++) {
        if (graph->shown[i]) {
            colour_of(&colours, class_of(graph, &colours, i));
        }
    }
    qsort(colours.names, colours.count, sizeof(*colours.names), by_text);
    return colours;
}

/* Text inside a quoted string or an HTML-like label: what could end either is replaced. */
static void append_clean(struct bytes *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        const char *entity = c == '&'   ? "&amp;"
                             : c == '<' ? "&lt;"
                             : c == '>' ? "&gt;"
                             : c == '"' ? "&quot;"
                                        : NULL;
        if (entity) {
            bytes_append_text(out, "%s", entity);
        } else if (c == '\\' || c < 0x20 || c >= 0x7f) {
            bytes_append_text(out, "?");
        } else {
            bytes_append(out, text, 1);
        }
    }
}

static void append_size(struct bytes *out, uint64_t size)
{
    if (size < 1024) {
        bytes_append_text(out, "%u B", (unsigned)size);
    } else {
        bytes_append_text(out, "%.1f KiB", (double)size / 1024);
    }
}

static void append_node(const struct graph *graph, struct colours *colours, uint32_t cell,
                        struct bytes *out)
{
    const struct model_cell *c = &graph->model->cells[cell];
    size_t colour = colour_of(colours, class_of(graph, colours, cell)) % ARRAY_COUNT(palette);
    bool is_application = strcmp(c->kind, "application") == 0;
    bytes_append_text(out,
                      "  c%u [label=<<table border=\"0\" cellspacing=\"0\" cellpadding=\"1\">"
                      "<tr><td><b>",
                      cell);
    append_clean(out, c->name);
    bytes_append_text(out, "</b></td></tr><tr><td><font point-size=\"9\" color=\"#4a5568\">");
    append_size(out, model_sizes_total(&c->sizes));
    bytes_append_text(out,
                      "</font></td></tr></table>> fillcolor=\"%s\" color=\"%s\" penwidth=%s "
                      "tooltip=\"",
                      palette[colour].fill, palette[colour].line, is_application ? "2.6" : "1.1");
    append_clean(out, c->summary);
    bytes_append_text(out, "\"];\n");
}

static void append_link(const struct graph *graph, uint32_t index, struct bytes *out)
{
    const struct model_link *link = &graph->model->links[index];
    bytes_append_text(out, "  c%u -> c%u [penwidth=%.2f", link->from, link->to,
                      0.7 + 0.35 * log2(1.0 + link->relocations) / 2);
    if (graph->implied[index]) {
        bytes_append_text(out, " color=\"#8a94a626\" weight=0 arrowsize=0.4");
    }
    bytes_append_text(out, " tooltip=\"%u relocations\"];\n", link->relocations);
}

static void append_legend(const struct colours *colours, struct bytes *out)
{
    bytes_append_text(out, "  label=<<table border=\"0\" cellspacing=\"6\"><tr>");
    for (size_t i = 0; i < colours->count; i++) {
        size_t colour = i % ARRAY_COUNT(palette);
        bytes_append_text(out,
                          "<td border=\"1\" color=\"%s\" bgcolor=\"%s\" style=\"rounded\" "
                          "cellpadding=\"4\">  ",
                          palette[colour].line, palette[colour].fill);
        append_clean(out, colours->names[i]);
        bytes_append_text(out, "  </td>");
    }
    bytes_append_text(out, "</tr></table>>;\n");
}

void graph_write_dot(const struct graph *graph, struct bytes *out)
{
    struct colours colours = collect_colours(graph);
    bytes_append_text(
        out,
        "digraph cells {\n"
        "  graph [rankdir=TB ranksep=0.55 nodesep=0.18 bgcolor=\"white\" pad=0.25 "
        "fontname=\"Helvetica,Arial,sans-serif\" fontsize=11 fontcolor=\"#3a4252\" labelloc=b];\n"
        "  node [shape=box style=\"rounded,filled\" fontname=\"Helvetica,Arial,sans-serif\" "
        "fontsize=12 "
        "fontcolor=\"#1d2430\" margin=\"0.08,0.03\" height=0.42];\n"
        "  edge [color=\"#7d879b\" arrowsize=0.55 arrowhead=vee];\n");
    for (uint32_t i = 0; i < graph->model->cell_count; i++) {
        if (graph->shown[i]) {
            append_node(graph, &colours, i, out);
        }
    }
    append_legend(&colours, out);
    for (uint32_t i = 0; i < graph->model->link_count; i++) {
        if (graph_shows(graph, i)) {
            append_link(graph, i, out);
        }
    }
    bytes_append_text(out, "}\n");
}
