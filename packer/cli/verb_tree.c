/* SPDX-License-Identifier: MIT */
/*
 * verb_tree.c - what a cell needs, or what needs it, as a tree.
 *
 * A graph with shared parts is printed as a tree by expanding each node once; later it stands with
 * (*). Nodes are cells, or with --sections sections; both are walked by the same code through
 * `struct walk`.
 */
#include "subject.h"

#include "model/model_graph.h"

#include <stdlib.h>
#include <string.h>

#define SECTION_DEPTH 3 /* sections are many: farther only when asked for */

/* One neighbour of a node, with the number of relocations between the two. */
struct neighbour {
    uint32_t node;
    uint32_t relocations;
};

struct walk {
    const struct model *model;
    enum model_direction direction;
    bool sections;
    uint32_t max_depth;
    uint32_t *incoming; /* edges by target section: where each section's start in incoming_edges */
    uint32_t *incoming_edges;
    bool *expanded; /* by node */
    json_t *list;   /* JSON instead of text */
};

static int compare_neighbours(const void *left, const void *right)
{
    const struct neighbour *a = left;
    const struct neighbour *b = right;
    return a->node < b->node ? -1 : a->node > b->node;
}

/* Sorts by node and adds up what belongs to the same one. */
static uint32_t merge(struct neighbour *list, uint32_t count)
{
    qsort(list, count, sizeof(*list), compare_neighbours);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (kept && list[kept - 1].node == list[i].node) {
            list[kept - 1].relocations += list[i].relocations;
        } else {
            list[kept++] = list[i];
        }
    }
    return kept;
}

static uint32_t cell_neighbours(const struct walk *walk, uint32_t cell, struct neighbour **out)
{
    uint32_t count = model_neighbour_count(walk->model, cell, walk->direction);
    *out = allocate(count * sizeof(**out));
    for (uint32_t n = 0; n < count; n++) {
        const struct model_link *link;
        (*out)[n].node = model_neighbour(walk->model, cell, walk->direction, n, &link);
        (*out)[n].relocations = link->relocations;
    }
    return count;
}

static uint32_t section_neighbours(const struct walk *walk, uint32_t node, struct neighbour **out)
{
    const struct model *model = walk->model;
    const struct model_section *section = &model->sections[node];
    bool needs = walk->direction == MODEL_NEEDS;
    uint32_t first = needs ? section->first_edge : walk->incoming[node];
    uint32_t count = needs ? section->edge_count : walk->incoming[node + 1] - first;
    uint32_t kept = 0;
    *out = allocate(count * sizeof(**out));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = needs ? first + i : walk->incoming_edges[first + i];
        const struct model_edge *edge = &model->edges[index];
        uint32_t other = needs ? edge->target : edge->source;
        if (other != MODEL_NOWHERE && other != node &&
            model->sections[other].kind != MODEL_UNWIND) {
            (*out)[kept++] = (struct neighbour){.node = other, .relocations = 1};
        }
    }
    return merge(*out, kept);
}

/* Edges by their target, by counting. */
static void index_incoming(struct walk *walk)
{
    const struct model *model = walk->model;
    walk->incoming = allocate((model->section_count + 2) * sizeof(uint32_t));
    walk->incoming_edges = allocate(model->edge_count * sizeof(uint32_t));
    memset(walk->incoming, 0, (model->section_count + 2) * sizeof(uint32_t));
    for (uint32_t i = 0; i < model->edge_count; i++) {
        if (model_edge_is_bound(&model->edges[i])) {
            walk->incoming[model->edges[i].target + 2]++;
        }
    }
    for (uint32_t i = 2; i < model->section_count + 2; i++) {
        walk->incoming[i] += walk->incoming[i - 1];
    }
    for (uint32_t i = 0; i < model->edge_count; i++) {
        if (model_edge_is_bound(&model->edges[i])) {
            walk->incoming_edges[walk->incoming[model->edges[i].target + 1]++] = i;
        }
    }
}

/* ---- printing ---- */

/* A node whose neighbours are being printed. */
struct level {
    struct neighbour *neighbours;
    uint32_t count;
    uint32_t next;
};

static void print_node(const struct walk *walk, const struct level *levels, uint32_t depth,
                       const struct neighbour *node, bool repeated)
{
    const struct model *model = walk->model;
    for (uint32_t d = 1; d < depth; d++) {
        printf("%s", levels[d].next < levels[d].count ? "│   " : "    ");
    }
    if (depth > 0) {
        printf("%s", levels[depth].next < levels[depth].count ? "├── " : "└── ");
    }
    const char *plain = colour(stdout, COLOUR_NONE);
    const char *dim = colour(stdout, COLOUR_DIM);
    if (walk->sections) {
        printf("%s:%s", printable(model_cell_of(model, node->node)->name),
               printable(model->sections[node->node].name));
    } else {
        printf("%s%s%s", depth ? "" : colour(stdout, COLOUR_BOLD),
               printable(model->cells[node->node].name), depth ? "" : plain);
    }
    if (node->relocations) {
        printf("  %s%u%s", dim, node->relocations, plain);
    }
    printf("%s\n", repeated ? " (*)" : "");
}

static void list_node(const struct walk *walk, uint32_t depth, const struct neighbour *node,
                      bool repeated)
{
    const struct model *model = walk->model;
    uint32_t cell = walk->sections ? model->sections[node->node].cell : node->node;
    json_t *json = json_pack("{s:I, s:o, s:I, s:b}", "depth", (json_int_t)depth, "cell",
                             json_text(model->cells[cell].name), "relocations",
                             (json_int_t)node->relocations, "repeated", repeated);
    if (walk->sections) {
        json_object_set_new(json, "section", json_text(model->sections[node->node].name));
    }
    json_array_append_new(walk->list, json);
}

/* Prints one node; opens its level when it is to be expanded. */
static bool visit(const struct walk *walk, struct level *levels, uint32_t depth,
                  const struct neighbour *node)
{
    struct neighbour *neighbours = NULL;
    uint32_t count = walk->sections ? section_neighbours(walk, node->node, &neighbours)
                                    : cell_neighbours(walk, node->node, &neighbours);
    bool repeated = walk->expanded[node->node] && count > 0;
    if (walk->list) {
        list_node(walk, depth, node, repeated);
    } else {
        print_node(walk, levels, depth, node, repeated);
    }
    if (count == 0 || repeated || depth >= walk->max_depth) {
        free(neighbours);
        return false;
    }
    walk->expanded[node->node] = true;
    levels[depth + 1] = (struct level){.neighbours = neighbours, .count = count};
    return true;
}

static void print_tree(const struct walk *walk, uint32_t root)
{
    uint32_t nodes = walk->sections ? walk->model->section_count : walk->model->cell_count;
    struct level *levels = allocate(((size_t)nodes + 2) * sizeof(*levels));
    uint32_t depth = visit(walk, levels, 0, &(struct neighbour){.node = root}) ? 1 : 0;
    while (depth > 0) {
        struct level *level = &levels[depth];
        if (level->next == level->count) {
            free(level->neighbours);
            depth--;
            continue;
        }
        const struct neighbour *node = &level->neighbours[level->next++];
        if (visit(walk, levels, depth, node)) {
            depth++;
        }
    }
    free(levels);
}

/* ---- roots ---- */

static void print_sections_of(const struct walk *walk, uint32_t cell)
{
    const struct model_cell *c = &walk->model->cells[cell];
    for (uint32_t i = 0; i < c->object.section_count; i++) {
        const struct model_section *section = &walk->model->sections[c->first_section + i];
        bool has_edges =
            walk->direction == MODEL_NEEDS
                ? section->edge_count > 0
                : walk->incoming[c->first_section + i] != walk->incoming[c->first_section + i + 1];
        if (section->kind != MODEL_NOT_LOADED && section->kind != MODEL_UNWIND && has_edges &&
            !walk->expanded[c->first_section + i]) {
            print_tree(walk, c->first_section + i);
        }
    }
}

/* Without a name: from every cell that nobody needs (or that needs nobody). */
static void print_roots(const struct walk *walk)
{
    for (uint32_t i = 0; i < walk->model->cell_count; i++) {
        const struct model_cell *cell = &walk->model->cells[i];
        if ((walk->direction == MODEL_NEEDS ? cell->user_count : cell->link_count) == 0) {
            print_tree(walk, i);
        }
    }
}

static int print_named(struct walk *walk, const struct subject *subject)
{
    for (size_t i = 0; i < subject->word_count; i++) {
        uint32_t cell;
        uint32_t section;
        int code = subject_place(subject, subject->words[i], &cell, &section);
        if (code) {
            return code;
        }
        if (section != MODEL_NOWHERE) {
            print_tree(walk, section);
        } else if (walk->sections) {
            print_sections_of(walk, cell);
        } else {
            print_tree(walk, cell);
        }
    }
    return EXIT_DONE;
}

static bool names_section(const struct subject *subject)
{
    for (size_t i = 0; i < subject->word_count; i++) {
        if (strchr(subject->words[i], ':')) {
            return true;
        }
    }
    return false;
}

static int answer(const struct arguments *arguments, const struct subject *subject)
{
    const struct model *model = subject->model;
    bool sections = argument_given(arguments, "sections") || names_section(subject);
    struct walk walk = {
        .model = model,
        .direction = argument_given(arguments, "inverse") ? MODEL_NEEDED_BY : MODEL_NEEDS,
        .sections = sections,
        .max_depth =
            (uint32_t)argument_number(arguments, "depth", sections ? SECTION_DEPTH : UINT32_MAX),
        .expanded = allocate(model->section_count + model->cell_count),
        .list = arguments->format == FORMAT_JSON ? json_array() : NULL,
    };
    memset(walk.expanded, 0, model->section_count + model->cell_count);
    if (sections) {
        index_incoming(&walk);
    }
    int code = EXIT_DONE;
    if (subject->word_count) {
        code = print_named(&walk, subject);
    } else {
        print_roots(&walk);
    }
    if (walk.list && !code) {
        json_t *root = json_root("tree", 1);
        json_object_set_new(root, "input", json_text(subject->input));
        json_object_set_new(root, "direction",
                            json_string(walk.direction == MODEL_NEEDS ? "needs" : "needed_by"));
        json_object_set(root, "nodes", walk.list);
        code = json_print(root);
    }
    json_decref(walk.list);
    free(walk.incoming_edges);
    free(walk.incoming);
    free(walk.expanded);
    return code;
}

static int run(const struct arguments *arguments)
{
    struct subject subject;
    int code = subject_open(arguments, MODEL_STRICT, &subject);
    if (code) {
        return code;
    }
    code = answer(arguments, &subject);
    subject_close(&subject);
    return code;
}

static const struct option options[] = {
    {.name = "inverse", .letter = 'i', .type = OPTION_FLAG, .help = "what needs it, instead"},
    {.name = "sections", .letter = 's', .type = OPTION_FLAG, .help = "by section, to depth 3"},
    {.name = "depth",
     .letter = 'd',
     .type = OPTION_NUMBER,
     .value = "N",
     .help = "how many links deep"},
    OPTION_CELLS,
    {.name = NULL},
};

const struct verb verb_tree = {
    .name = "tree",
    .summary = "what does a cell need, or what needs it?",
    .synopsis = "[OPTION].. [CELL|CELL:SECTION|FILE..]",
    .examples = {"cellpack tree hello", "cellpack tree -i heap --depth=1"},
    .options = options,
    .most_nouns = NOUNS_UNLIMITED,
    .words = WORDS_CELL,
    .run = run,
};
