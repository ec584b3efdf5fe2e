/* SPDX-License-Identifier: MIT */
/*
 * From cells to a graph, in four passes: sections, exports, edges, links.
 *
 * The edge pass takes one cell at a time: it resolves the cell's symbol table once (bound[]), then
 * each relocation is two loads and a compare. Whether a reference takes a function's address
 * follows the rule of relocation.h, for which the cell's functions are kept sorted by place.
 */
#include "model_priv.h"
#include "relocation.h"

#include <stdlib.h>
#include <string.h>

/* A symbol of the cell at hand, resolved. */
struct bound {
    uint32_t section; /* in model->sections, or MODEL_NOWHERE */
    uint32_t offset;
    enum model_use use;     /* where there is no section: why */
    bool is_code;           /* the section is executable */
    bool is_function_start; /* it is a function itself */
};

/* What binding one cell needs; sized for the largest cell and used again for each. */
struct workspace {
    struct bound *bound;
    struct function *functions;
    uint32_t *first_relocation; /* by section: the first relocation section of it */
    uint32_t *next_relocation;  /* by relocation section: another one of the same section */
    uint32_t function_count;
};

static void *array(size_t count, size_t size)
{
    return calloc(count ? count : 1, size);
}

/* ---- sections ---- */

static enum model_kind kind_of(const struct elf_object *object, uint32_t index)
{
    const struct elf64_shdr *section = &object->sections[index];
    if (!elf_object_section_is_loaded(object, index)) {
        return MODEL_NOT_LOADED;
    }
    if (section->sh_flags & SHF_EXECINSTR) {
        return MODEL_TEXT;
    }
    if (section->sh_type == SHT_X86_64_UNWIND ||
        strcmp(elf_object_section_name(object, index), ".eh_frame") == 0) {
        return MODEL_UNWIND;
    }
    if (section->sh_type == SHT_NOBITS) {
        return MODEL_BSS;
    }
    return section->sh_flags & SHF_WRITE ? MODEL_DATA : MODEL_RODATA;
}

static void fill_sections(struct model *model)
{
    for (uint32_t i = 0; i < model->cell_count; i++) {
        struct model_cell *cell = &model->cells[i];
        for (uint32_t k = 0; k < cell->object.section_count; k++) {
            struct model_section *section = &model->sections[cell->first_section + k];
            *section = (struct model_section){
                .name = elf_object_section_name(&cell->object, k),
                .size = cell->object.sections[k].sh_size,
                .cell = i,
                .index = k,
                .kind = kind_of(&cell->object, k),
            };
            if (section->kind != MODEL_NOT_LOADED) {
                cell->sizes.bytes[section->kind] += section->size;
            }
        }
    }
}

/* ---- exports ---- */

static uint32_t count_exports(const struct elf_object *object)
{
    uint32_t count = 0;
    for (uint32_t i = object->first_global; i < object->symbol_count; i++) {
        count += elf_symbol_is_export(&object->symbols[i]);
    }
    return count;
}

static void add_export(struct model *model, uint32_t cell, uint32_t symbol)
{
    struct model_export *export = &model->exports[model->export_count];
    export->key.name = elf_object_symbol_name(&model->cells[cell].object, symbol);
    export->key.hash = symbol_map_hash(export->key.name);
    export->cell = cell;
    export->symbol = symbol;
    export->first = model->export_count++;
    const struct symbol_key *other = symbol_map_insert(&model->by_name, &export->key);
    if (other) {
        export->first = (uint32_t)(CONTAINER_OF(other, struct model_export, key) - model->exports);
    }
}

static bool fill_exports(struct model *model)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < model->cell_count; i++) {
        count += count_exports(&model->cells[i].object);
    }
    uint32_t capacity = symbol_map_capacity(count);
    const struct symbol_key **slots = array(capacity, sizeof(*slots));
    model->exports = array(count, sizeof(*model->exports));
    if (!slots || !model->exports) {
        free(slots);
        return false;
    }
    symbol_map_init(&model->by_name, slots, capacity, NULL);
    for (uint32_t i = 0; i < model->cell_count; i++) {
        const struct elf_object *object = &model->cells[i].object;
        for (uint32_t k = object->first_global; k < object->symbol_count; k++) {
            if (elf_symbol_is_export(&object->symbols[k])) {
                add_export(model, i, k);
            }
        }
    }
    return true;
}

/* ---- edges ---- */

static struct bound bind_defined(const struct model *model, uint32_t cell, uint32_t index)
{
    const struct model_cell *c = &model->cells[cell];
    const struct elf64_sym *symbol = &c->object.symbols[index];
    struct bound bound = {.section = MODEL_NOWHERE, .use = MODEL_USE_INVALID};
    if (symbol->st_shndx == SHN_ABS || index == 0) {
        bound.use = MODEL_USE_ABSOLUTE;
    } else if (symbol->st_shndx < c->object.section_count &&
               elf_object_section_is_loaded(&c->object, symbol->st_shndx)) {
        bound.section = c->first_section + symbol->st_shndx;
        bound.offset = (uint32_t)symbol->st_value;
        bound.is_code = (c->object.sections[symbol->st_shndx].sh_flags & SHF_EXECINSTR) != 0;
        bound.is_function_start = bound.is_code && elf_symbol_type(symbol) == STT_FUNC;
    }
    return bound;
}

static struct bound bind_symbol(const struct model *model, uint32_t cell, uint32_t index)
{
    const struct elf_object *object = &model->cells[cell].object;
    const struct elf64_sym *symbol = &object->symbols[index];
    bool is_weak = elf_symbol_binding(symbol) == STB_WEAK;
    bool is_defined = symbol->st_shndx != SHN_UNDEF || index == 0;
    if (is_defined && !is_weak) {
        return bind_defined(model, cell, index);
    }
    const char *name = elf_object_symbol_name(object, index);
    const struct model_export *export = model_find_export(model, name);
    if (export) {
        return bind_defined(model, export->cell, export->symbol);
    }
    if (is_defined) {
        return bind_defined(model, cell, index);
    }
    enum model_use use = is_weak ? MODEL_USE_WEAK : MODEL_USE_MISSING;
    return (struct bound){
        .section = MODEL_NOWHERE,
        .use = strcmp(name, MODEL_IMAGE_SYMBOL) == 0 ? MODEL_USE_ABSOLUTE : use,
    };
}

static int compare_functions(const void *left, const void *right)
{
    const struct function *a = left;
    const struct function *b = right;
    if (a->section != b->section) {
        return a->section < b->section ? -1 : 1;
    }
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static void prepare_cell(const struct model *model, uint32_t cell, struct workspace *work)
{
    const struct elf_object *object = &model->cells[cell].object;
    work->function_count = 0;
    for (uint32_t i = 0; i < object->symbol_count; i++) {
        struct bound bound = bind_symbol(model, cell, i);
        work->bound[i] = bound;
        if (bound.is_function_start && object->symbols[i].st_shndx != SHN_UNDEF) {
            work->functions[work->function_count++] =
                (struct function){.section = object->symbols[i].st_shndx, .offset = bound.offset};
        }
    }
    qsort(work->functions, work->function_count, sizeof(*work->functions), compare_functions);
    memset(work->first_relocation, 0, object->section_count * sizeof(uint32_t));
    for (uint32_t i = object->section_count; i-- > 1;) {
        if (elf_object_is_relocation(object, i)) {
            uint32_t *first = &work->first_relocation[object->sections[i].sh_info];
            work->next_relocation[i] = *first;
            *first = i;
        }
    }
}

/* The section at hand, as far as each of its relocations asks for it. */
struct place {
    const struct model_cell *cell;
    struct span bytes;
    uint32_t section; /* in model->sections */
    bool is_code;
    bool describes_code; /* .eh_frame: binds to the functions themselves */
};

/* Does a reference to this place take the address of a function? */
static bool takes_address(const struct workspace *work, const struct place *place,
                          const struct bound *bound, int64_t target_offset)
{
    if (bound->is_function_start && target_offset == bound->offset) {
        return true;
    }
    uint32_t own = bound->section - place->cell->first_section;
    if (own >= place->cell->object.section_count || target_offset < 0) {
        return false;
    }
    const struct function *function = relocation_find_function(
        work->functions, work->function_count, own, (uint32_t)target_offset);
    return function < work->functions + work->function_count && function->section == own &&
           function->offset == target_offset;
}

static struct model_edge edge_of(const struct workspace *work, const struct place *place,
                                 const struct elf64_rela *rela)
{
    struct model_edge edge = {
        .source = place->section,
        .target = MODEL_NOWHERE,
        .offset = (uint32_t)rela->r_offset,
        .symbol = rela->r_sym,
        .type = (uint16_t)rela->r_type,
        .use = MODEL_USE_NONE,
    };
    if (rela->r_type == R_X86_64_NONE) {
        return edge;
    }
    bool is_wide = rela->r_type == R_X86_64_64 || rela->r_type == R_X86_64_PC64;
    if (rela->r_sym >= place->cell->object.symbol_count ||
        !span_holds(place->bytes, rela->r_offset, is_wide ? 8 : 4)) {
        edge.use = MODEL_USE_INVALID;
        return edge;
    }
    const struct bound *bound = &work->bound[rela->r_sym];
    bool is_operand = place->is_code && relocation_is_operand(rela->r_type);
    int64_t target_offset = (int64_t)((uint64_t)bound->offset + (uint64_t)rela->r_addend +
                                      (is_operand ? RELOCATION_OPERAND_SIZE : 0));
    edge.target = bound->section;
    edge.target_offset = (int32_t)target_offset;
    edge.use = (uint16_t)bound->use;
    if (bound->section == MODEL_NOWHERE) {
        return edge;
    }
    edge.use = MODEL_USE_DATA;
    if (bound->is_code && !place->describes_code) {
        if (is_operand && relocation_is_branch(place->bytes.base, edge.offset)) {
            edge.use = MODEL_USE_CALL;
        } else if (takes_address(work, place, bound, target_offset)) {
            edge.use = MODEL_USE_ADDRESS;
        }
    }
    return edge;
}

static void bind_section(struct model *model, const struct workspace *work, uint32_t cell,
                         uint32_t index)
{
    const struct model_cell *c = &model->cells[cell];
    struct model_section *section = &model->sections[c->first_section + index];
    const struct place place = {
        .cell = c,
        .bytes = elf_object_section_bytes(&c->object, index),
        .section = c->first_section + index,
        .is_code = section->kind == MODEL_TEXT,
        .describes_code = section->kind == MODEL_UNWIND,
    };
    section->first_edge = model->edge_count;
    for (uint32_t from = work->first_relocation[index]; from; from = work->next_relocation[from]) {
        uint64_t count;
        const struct elf64_rela *rela = elf_object_relocations(&c->object, from, &count);
        for (uint64_t i = 0; i < count; i++) {
            model->edges[model->edge_count++] = edge_of(work, &place, &rela[i]);
        }
    }
    section->edge_count = model->edge_count - section->first_edge;
}

static void fill_edges(struct model *model, struct workspace *work)
{
    for (uint32_t i = 0; i < model->cell_count; i++) {
        struct model_cell *cell = &model->cells[i];
        prepare_cell(model, i, work);
        cell->first_edge = model->edge_count;
        for (uint32_t k = 0; k < cell->object.section_count; k++) {
            bind_section(model, work, i, k);
        }
        cell->edge_count = model->edge_count - cell->first_edge;
    }
}

/* ---- links ---- */

static int compare_indices(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

/* Adds up the edges of one cell by the cell that they lead to; `sums` is all zero again at the end.
 */
static bool link_cell(struct model *model, uint32_t from, struct model_link *sums, uint32_t *seen)
{
    struct model_cell *cell = &model->cells[from];
    uint32_t count = 0;
    for (uint32_t i = 0; i < cell->edge_count; i++) {
        const struct model_edge *edge = &model->edges[cell->first_edge + i];
        if (!model_edge_is_bound(edge) || model->sections[edge->target].cell == from) {
            continue;
        }
        uint32_t to = model->sections[edge->target].cell;
        if (sums[to].relocations++ == 0) {
            seen[count++] = to;
        }
        sums[to].calls += edge->use == MODEL_USE_CALL;
        sums[to].addresses += edge->use == MODEL_USE_ADDRESS;
    }
    qsort(seen, count, sizeof(*seen), compare_indices);
    struct model_link *links =
        realloc(model->links, ((size_t)model->link_count + count + 1) * sizeof(*links));
    if (!links) {
        return false;
    }
    model->links = links;
    cell->first_link = model->link_count;
    cell->link_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct model_link *link = &links[model->link_count++];
        *link = sums[seen[i]];
        link->from = from;
        link->to = seen[i];
        sums[seen[i]] = (struct model_link){0};
    }
    return true;
}

static bool fill_links(struct model *model)
{
    struct model_link *sums = array(model->cell_count, sizeof(*sums));
    uint32_t *seen = array(model->cell_count, sizeof(*seen));
    bool good = sums && seen;
    for (uint32_t i = 0; good && i < model->cell_count; i++) {
        good = link_cell(model, i, sums, seen);
    }
    free(seen);
    free(sums);
    return good;
}

static bool fill_users(struct model *model)
{
    model->users = array(model->link_count, sizeof(*model->users));
    if (!model->users) {
        return false;
    }
    for (uint32_t i = 0; i < model->link_count; i++) {
        model->cells[model->links[i].to].user_count++;
    }
    uint32_t next = 0;
    for (uint32_t i = 0; i < model->cell_count; i++) {
        model->cells[i].first_user = next;
        next += model->cells[i].user_count;
        model->cells[i].user_count = 0;
    }
    for (uint32_t i = 0; i < model->link_count; i++) {
        struct model_cell *to = &model->cells[model->links[i].to];
        model->users[to->first_user + to->user_count++] = i;
    }
    return true;
}

/* ---- all of it ---- */

/* Places the cells' sections and counts what the arrays must hold. */
static bool count_all(struct model *model, uint32_t *most_sections, uint32_t *most_symbols,
                      uint64_t *edges)
{
    uint64_t sections = 0;
    *edges = 0;
    *most_sections = 0;
    *most_symbols = 0;
    for (uint32_t i = 0; i < model->cell_count; i++) {
        struct model_cell *cell = &model->cells[i];
        cell->first_section = (uint32_t)sections;
        sections += cell->object.section_count;
        *edges += cell->object.relocation_count;
        if (cell->object.section_count > *most_sections) {
            *most_sections = cell->object.section_count;
        }
        if (cell->object.symbol_count > *most_symbols) {
            *most_symbols = cell->object.symbol_count;
        }
    }
    model->section_count = (uint32_t)sections;
    return sections < MODEL_NOWHERE && *edges < MODEL_NOWHERE;
}

static bool allocate_all(struct model *model, struct workspace *work, uint32_t most_sections,
                         uint32_t most_symbols, uint64_t edges)
{
    model->sections = array(model->section_count, sizeof(*model->sections));
    model->edges =
        malloc((edges + 1) * sizeof(*model->edges)); /* every byte is written: no calloc */
    work->bound = array(most_symbols, sizeof(*work->bound));
    work->functions = array(most_symbols + 1, sizeof(*work->functions));
    work->first_relocation = array(most_sections, sizeof(uint32_t));
    work->next_relocation = array(most_sections, sizeof(uint32_t));
    return model->sections && model->edges && work->bound && work->functions &&
           work->first_relocation && work->next_relocation;
}

enum status model_bind(struct model *model, struct problem *problem)
{
    struct workspace work = {0};
    uint32_t most_sections;
    uint32_t most_symbols;
    uint64_t edges;
    if (!count_all(model, &most_sections, &most_symbols, &edges)) {
        return problem_set(problem, PROBLEM_MEMORY, "more than %u sections or relocations",
                           MODEL_NOWHERE);
    }
    bool good = allocate_all(model, &work, most_sections, most_symbols, edges);
    if (good) {
        fill_sections(model);
        good = fill_exports(model);
    }
    if (good) {
        fill_edges(model, &work);
        good = fill_links(model) && fill_users(model);
    }
    free(work.next_relocation);
    free(work.first_relocation);
    free(work.functions);
    free(work.bound);
    return good ? OK : problem_set(problem, PROBLEM_MEMORY, "no memory for the model");
}
