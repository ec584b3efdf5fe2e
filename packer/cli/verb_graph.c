/* SPDX-License-Identifier: MIT */
/*
 * verb_graph.c - the picture: which cells are shown, in which form, and where it goes.
 *
 * Pictures show GRAPH_LIMIT cells unless --all is given: Graphviz needs 0.06 s for 150 and 40 s for
 * 2,500. When there are more, those nearest to what was asked for stay, then those with most links.
 */
#include "graph.h"

#include "model/model_graph.h"
#include "process.h"
#include "relocation.h"
#include "source_lines.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define GRAPH_LIMIT 150u

bool graph_shows(const struct graph *graph, uint32_t link)
{
    const struct model_link *l = &graph->model->links[link];
    return graph->shown[l->from] && graph->shown[l->to] && !(graph->reduce && graph->implied[link]);
}

/* ---- what is shown ---- */

struct selection {
    uint32_t *distance; /* by cell; MODEL_UNREACHED: not selected */
    uint32_t depth;
};

/* Keeps the cells that are within depth of the starts, with the larger distance of the two. */
static void intersect(const struct model *model, struct selection *selection,
                      enum model_direction direction, const uint32_t *starts, size_t count)
{
    uint32_t *distances = allocate((model->cell_count + 1) * sizeof(*distances));
    if (model_distances(model, direction, starts, count, selection->depth, distances)) {
        internal_error("no memory for distances");
    }
    for (uint32_t i = 0; i < model->cell_count; i++) {
        if (distances[i] > selection->distance[i]) {
            selection->distance[i] = distances[i];
        }
    }
    free(distances);
}

static int select_by_option(const struct arguments *arguments, const struct subject *subject,
                            struct selection *selection, const char *option,
                            enum model_direction direction)
{
    uint32_t *starts = allocate((arguments->given_count + 1) * sizeof(*starts));
    size_t count = 0;
    const char *name;
    int code = EXIT_DONE;
    while (!code && (name = argument_nth(arguments, option, count)) != NULL) {
        code = subject_cell(subject, name, &starts[count]);
        count += code == EXIT_DONE;
    }
    if (!code && count) {
        intersect(subject->model, selection, direction, starts, count);
    }
    free(starts);
    return code;
}

/* Cells named as nouns: what they need and what needs them. */
static int select_by_nouns(const struct subject *subject, struct selection *selection)
{
    const struct model *model = subject->model;
    if (!subject->has_words) {
        return EXIT_DONE;
    }
    uint32_t *starts = allocate((subject->word_count + 1) * sizeof(*starts));
    for (size_t i = 0; i < subject->word_count; i++) {
        int code = subject_cell(subject, subject->words[i], &starts[i]);
        if (code) {
            free(starts);
            return code;
        }
    }
    uint32_t *both = allocate(2 * (model->cell_count + 1) * sizeof(*both));
    uint32_t *users = both + model->cell_count + 1;
    if (model_distances(model, MODEL_NEEDS, starts, subject->word_count, selection->depth, both) ||
        model_distances(model, MODEL_NEEDED_BY, starts, subject->word_count, selection->depth,
                        users)) {
        internal_error("no memory for distances");
    }
    for (uint32_t i = 0; i < model->cell_count; i++) {
        uint32_t nearest = both[i] < users[i] ? both[i] : users[i];
        selection->distance[i] =
            nearest > selection->distance[i] ? nearest : selection->distance[i];
    }
    free(both);
    free(starts);
    return EXIT_DONE;
}

struct rank {
    uint32_t cell;
    uint32_t distance;
    uint32_t links;
};

static int compare_ranks(const void *left, const void *right)
{
    const struct rank *a = left;
    const struct rank *b = right;
    if (a->distance != b->distance) {
        return a->distance < b->distance ? -1 : 1;
    }
    if (a->links != b->links) {
        return a->links > b->links ? -1 : 1;
    }
    return a->cell < b->cell ? -1 : a->cell > b->cell;
}

static void apply_limit(struct graph *graph, const struct selection *selection, uint32_t limit)
{
    const struct model *model = graph->model;
    struct rank *ranks = allocate((model->cell_count + 1) * sizeof(*ranks));
    uint32_t count = 0;
    for (uint32_t i = 0; i < model->cell_count; i++) {
        if (selection->distance[i] != MODEL_UNREACHED) {
            const struct model_cell *cell = &model->cells[i];
            ranks[count++] =
                (struct rank){i, selection->distance[i], cell->link_count + cell->user_count};
        }
    }
    qsort(ranks, count, sizeof(*ranks), compare_ranks);
    graph->wanted_count = count;
    graph->shown_count = count < limit ? count : limit;
    for (uint32_t i = 0; i < graph->shown_count; i++) {
        graph->shown[ranks[i].cell] = true;
    }
    free(ranks);
}

static int select_cells(const struct arguments *arguments, struct graph *graph)
{
    const struct subject *subject = graph->subject;
    const struct model *model = graph->model;
    struct selection selection = {
        .distance = allocate((model->cell_count + 1) * sizeof(uint32_t)),
        .depth = (uint32_t)argument_number(arguments, "depth", UINT32_MAX),
    };
    memset(selection.distance, 0, (model->cell_count + 1) * sizeof(uint32_t));
    int code = select_by_option(arguments, subject, &selection, "from", MODEL_NEEDS);
    code = code ? code : select_by_option(arguments, subject, &selection, "to", MODEL_NEEDED_BY);
    code = code ? code : select_by_nouns(subject, &selection);
    if (!code) {
        bool is_picture = arguments->format & (FORMAT_DOT | FORMAT_SVG | FORMAT_HTML);
        bool limited = is_picture && !argument_given(arguments, "all");
        apply_limit(graph, &selection, limited ? GRAPH_LIMIT : UINT32_MAX);
        if (graph->shown_count < graph->wanted_count) {
            fprintf(stderr, "showing %u of %u: --depth, --from, --to, --all\n", graph->shown_count,
                    graph->wanted_count);
        }
    }
    free(selection.distance);
    return code;
}

/* Which shelf each shown cell stands on, as far as there is debug information. */
static void find_shelves(const struct arguments *arguments, struct graph *graph)
{
    if (arguments->format & (FORMAT_TABLE | FORMAT_EDGES)) {
        return;
    }
    struct source_lines *lines = source_lines_create(argument_text(arguments, "debug-dir"));
    for (uint32_t i = 0; lines && i < graph->model->cell_count; i++) {
        if (graph->shown[i] && graph->model->cells[i].has_note) {
            graph->shelves[i] = source_lines_shelf(lines, graph->model, i);
        }
    }
    source_lines_destroy(lines);
}

/* ---- the forms that are not pictures ---- */

static void append_place(const struct model *model, uint32_t section, int64_t offset,
                         struct bytes *out)
{
    bytes_append_text(out, "%s:%s%c0x%" PRIx64, model_cell_of(model, section)->name,
                      model->sections[section].name, offset < 0 ? '-' : '+',
                      offset < 0 ? 0 - (uint64_t)offset : (uint64_t)offset);
}

void graph_write_edges(const struct graph *graph, struct bytes *out)
{
    const struct model *model = graph->model;
    uint32_t count = 0;
    for (uint32_t i = 0; i < model->edge_count; i++) {
        const struct model_edge *edge = &model->edges[i];
        if (!graph->shown[model->sections[edge->source].cell]) {
            continue;
        }
        count++;
        bytes_append_text(out, "edge ");
        append_place(model, edge->source, edge->offset, out);
        bytes_append_text(out, " %s ", relocation_name(edge->type));
        if (model_edge_is_bound(edge)) {
            append_place(model, edge->target, edge->target_offset, out);
        } else {
            bytes_append_text(out, "-");
        }
        bytes_append_text(out, "\n");
    }
    bytes_append_text(out, "edges %u\n", count);
}

static void print_links(const struct graph *graph)
{
    struct table *table = table_create();
    table_column(table, "from", ALIGN_LEFT);
    table_column(table, "to", ALIGN_LEFT);
    table_column(table, "relocations", ALIGN_RIGHT);
    table_column(table, "calls", ALIGN_RIGHT);
    table_column(table, "addresses", ALIGN_RIGHT);
    for (uint32_t i = 0; i < graph->model->link_count; i++) {
        if (graph_shows(graph, i)) {
            const struct model_link *link = &graph->model->links[i];
            table_cell(table, "%s", graph->model->cells[link->from].name);
            table_cell(table, "%s", graph->model->cells[link->to].name);
            table_cell(table, "%u", link->relocations);
            table_cell(table, "%u", link->calls);
            table_cell(table, "%u", link->addresses);
        }
    }
    table_print(table, stdout);
    table_destroy(table);
}

/* ---- output ---- */

static enum status write_svg(const struct graph *graph, struct bytes *out, struct problem *problem)
{
    char *folder = temporary_folder_create(problem);
    if (!folder) {
        return problem->status;
    }
    char *path = format_text("%s/graph.dot", folder);
    struct bytes dot = {0};
    graph_write_dot(graph, &dot);
    enum status status = bytes_check(&dot, problem);
    status = status ? status : bytes_write_file(&dot, path, problem);
    if (!status) {
        const char *const words[] = {"dot", "-Tsvg", path, NULL};
        const struct process process = {
            .arguments = words, .package = "graphviz", .what = "draw the graph"};
        status = process_run(&process, out, NULL, problem);
    }
    bytes_fini(&dot);
    free(path);
    temporary_folder_destroy(folder);
    return status;
}

static enum status write_form(const struct arguments *arguments, const struct graph *graph,
                              struct bytes *out, struct problem *problem)
{
    switch (arguments->format) {
    case FORMAT_DOT:
        graph_write_dot(graph, out);
        return OK;
    case FORMAT_SVG:
        return write_svg(graph, out, problem);
    case FORMAT_HTML:
        return graph_write_html(graph, out, problem);
    case FORMAT_JSON:
        return graph_write_json(graph, out, problem);
    default:
        graph_write_edges(graph, out);
        return OK;
    }
}

static int print_form(const struct arguments *arguments, const struct graph *graph)
{
    const char *file = argument_text(arguments, "output");
    struct problem problem = {0};
    struct bytes out = {0};
    enum status status = write_form(arguments, graph, &out, &problem);
    status = status ? status : bytes_check(&out, &problem);
    if (!status && file) {
        status = bytes_write_file(&out, file, &problem);
    } else if (!status) {
        fwrite(out.data, 1, out.size, stdout);
    }
    bytes_fini(&out);
    return status ? report(&problem) : EXIT_DONE;
}

static int print_graph(const struct arguments *arguments, struct graph *graph)
{
    int code = select_cells(arguments, graph);
    if (code) {
        return code;
    }
    if (model_implied_links(graph->model, graph->shown, graph->implied)) {
        internal_error("no memory for the graph");
    }
    find_shelves(arguments, graph);
    if (arguments->format != FORMAT_TABLE) {
        return print_form(arguments, graph);
    }
    print_links(graph);
    return EXIT_DONE;
}

static int run(const struct arguments *arguments)
{
    struct subject subject;
    int code = subject_open(arguments, MODEL_STRICT, &subject);
    if (code) {
        return code;
    }
    size_t cells = subject.model->cell_count + 1;
    struct graph graph = {
        .subject = &subject,
        .model = subject.model,
        .shown = memset(allocate(cells), 0, cells),
        .implied =
            memset(allocate(subject.model->link_count + 1), 0, subject.model->link_count + 1),
        .shelves = memset(allocate(cells * sizeof(char *)), 0, cells * sizeof(char *)),
        .reduce = argument_given(arguments, "reduce"),
    };
    code = print_graph(arguments, &graph);
    for (size_t i = 0; i < cells; i++) {
        free(graph.shelves[i]);
    }
    free(graph.shelves);
    free(graph.implied);
    free(graph.shown);
    subject_close(&subject);
    return code;
}

static const struct option options[] = {
    {.name = "from",
     .type = OPTION_LIST,
     .value = "CELL",
     .words = WORDS_CELL,
     .help = "only what this cell needs"},
    {.name = "to",
     .type = OPTION_LIST,
     .value = "CELL",
     .words = WORDS_CELL,
     .help = "only what needs this cell"},
    {.name = "depth",
     .letter = 'd',
     .type = OPTION_NUMBER,
     .value = "N",
     .help = "how many links far"},
    {.name = "all", .letter = 'a', .type = OPTION_FLAG, .help = "more than 150 cells"},
    {.name = "reduce",
     .letter = 'r',
     .type = OPTION_FLAG,
     .help = "without links that a longer chain implies"},
    {.name = "output",
     .letter = 'o',
     .type = OPTION_TEXT,
     .value = "FILE",
     .words = WORDS_FILE,
     .help = "write there"},
    {.name = "debug-dir",
     .type = OPTION_TEXT,
     .value = "FOLDER",
     .words = WORDS_FOLDER,
     .help = "where the .debug files are"},
    OPTION_CELLS,
    {.name = NULL},
};

const struct verb verb_graph = {
    .name = "graph",
    .summary = "the picture: DOT, SVG, JSON, an interactive page, or every edge",
    .synopsis = "[OPTION].. [CELL|FILE..]",
    .examples = {"cellpack graph --format=html -o graph.html",
                 "cellpack graph --from hello --format=svg -o hello.svg"},
    .options = options,
    .formats = FORMAT_TABLE | FORMAT_JSON | FORMAT_DOT | FORMAT_SVG | FORMAT_HTML | FORMAT_EDGES,
    .most_nouns = NOUNS_UNLIMITED,
    .words = WORDS_CELL,
    .run = run,
};
