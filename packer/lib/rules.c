/* SPDX-License-Identifier: MIT */
/* One function a rule; each looks at one cell, or at the whole graph, and adds what it finds. */
#include "rules.h"

#include "abi/abi_check.h"
#include "abi/abi_handles.h"
#include "model/model_graph.h"
#include "relocation.h"
#include "unwind_index.h"
#include "unwind_table.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct checking {
    const struct model *model;
    const bool *chosen;
    struct findings *findings;
};

/* ---- findings ---- */

static struct finding *new_finding(struct findings *findings)
{
    if (findings->count == findings->room) {
        size_t room = findings->room ? findings->room * 2 : 16;
        struct finding *list = realloc(findings->list, room * sizeof(*list));
        if (!list) {
            findings->failed = true;
            return NULL;
        }
        findings->list = list;
        findings->room = room;
    }
    return &findings->list[findings->count];
}

static void add_list(struct findings *findings, enum rule rule, unsigned code, const char *cell,
                     char *where, const char *format, va_list list)
{
    struct finding *finding = new_finding(findings);
    char *what = NULL;
    int length = vasprintf(&what, format, list);
    if (!finding || !where || length < 0) {
        findings->failed = true;
        free(where);
        free(length < 0 ? NULL : what);
        return;
    }
    *finding = (struct finding){rule, code, cell, where, what};
    findings->count++;
}

void findings_add(struct findings *findings, enum rule rule, unsigned code, const char *cell,
                  char *where, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    add_list(findings, rule, code, cell, where, format, list);
    va_end(list);
}

/* `where` is owned by the finding from here on. */
PRINTF_LIKE(6, 7)
static void add(const struct checking *checking, enum rule rule, unsigned code, const char *cell,
                char *where, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    add_list(checking->findings, rule, code, cell, where, format, list);
    va_end(list);
}

PRINTF_LIKE(1, 2)
static char *place(const char *format, ...)
{
    char *text = NULL;
    va_list list;
    va_start(list, format);
    int length = vasprintf(&text, format, list);
    va_end(list);
    return length < 0 ? NULL : text;
}

void findings_fini(struct findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        free(findings->list[i].where);
        free(findings->list[i].what);
    }
    free(findings->list);
    *findings = (struct findings){0};
}

/* ---- objects by themselves ---- */

static void check_rejects(const struct checking *checking)
{
    for (uint32_t i = 0; i < checking->model->reject_count; i++) {
        const struct model_reject *reject = &checking->model->rejects[i];
        const struct diag *diag = &reject->diag;
        char *where = diag->section[0]
                          ? place("%s:%s+0x%" PRIx64, reject->name, diag->section, diag->offset)
                          : place("%s+0x%" PRIx64, reject->name, diag->offset);
        add(checking, RULE_READABLE, diag->code, reject->name, where, "%s%s%s",
            diag_rule(diag->code), diag->symbol[0] ? ": " : "", diag->symbol);
    }
}

static void check_note(const struct checking *checking, const struct model_cell *cell)
{
    if (!cell->has_note) {
        add(checking, RULE_NOTE, DIAG_CELL_INFO, cell->name, place("%s", cell->name),
            "%s has no .cell.info note", cell->name);
    }
}

/* The names by which GCC and ISO C call memory functions: no cell can give them its prefix. */
static bool is_standard_name(const char *name)
{
    static const char *const names[] = {"memchr", "memcmp", "memcpy", "memmove",
                                        "memset", "strcmp", "strlen", "strncmp"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_prefix(const char *name, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(name, prefix, length) == 0 && (name[length] == '_' || name[length] == '\0');
}

/* A cell whose noun is a server also exports the functions of its handle: of `frames`, if it
 * exports `frames_drop`. */
static bool has_handle_prefix(const struct model_cell *cell, const char *name)
{
    static const char drop[] = "_drop";
    for (uint32_t i = cell->object.first_global; i < cell->object.symbol_count; i++) {
        const char *other = elf_object_symbol_name(&cell->object, i);
        size_t length = strlen(other);
        size_t stem = length < sizeof(drop) ? 0 : length - (sizeof(drop) - 1);
        if (stem && elf_symbol_is_export(&cell->object.symbols[i]) &&
            strcmp(other + stem, drop) == 0 && strncmp(name, other, stem) == 0 &&
            name[stem] == '_') {
            return true;
        }
    }
    return false;
}

static void check_prefix(const struct checking *checking, const struct model_cell *cell)
{
    for (uint32_t i = cell->object.first_global; i < cell->object.symbol_count; i++) {
        const struct elf64_sym *symbol = &cell->object.symbols[i];
        const char *name = elf_object_symbol_name(&cell->object, i);
        if (!elf_symbol_is_export(symbol) || has_prefix(name, cell->name) ||
            (cell->interface && has_prefix(name, cell->interface)) || is_standard_name(name) ||
            has_handle_prefix(cell, name)) {
            continue;
        }
        add(checking, RULE_PREFIX, PROBLEM_CHECK_PREFIX, cell->name, place("%s", cell->name),
            "%s exports %s, which does not begin with %s_", cell->name, name, cell->name);
    }
}

static void check_unwind_function(const struct checking *checking, const struct model_cell *cell,
                                  const struct unwind_index_header *header, uint32_t symbol)
{
    const struct elf64_sym *function = &cell->object.symbols[symbol];
    const struct unwind_index_entry *entries = (const void *)(header + 1);
    uint32_t low = 0;
    uint32_t high = header->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        bool before = entries[middle].section < function->st_shndx ||
                      (entries[middle].section == function->st_shndx &&
                       entries[middle].offset <= function->st_value);
        low = before ? middle + 1 : low;
        high = before ? high : middle;
    }
    const struct unwind_index_entry *entry = low ? &entries[low - 1] : NULL;
    if (entry && entry->section == function->st_shndx &&
        function->st_value - entry->offset < entry->size) {
        return;
    }
    add(checking, RULE_UNWIND, PROBLEM_CHECK_UNWIND, cell->name,
        place("%s:%s+0x%" PRIx64, cell->name,
              elf_object_section_name(&cell->object, function->st_shndx), function->st_value),
        "%s cannot be unwound", elf_object_symbol_name(&cell->object, symbol));
}

static void check_unwind(const struct checking *checking, const struct model_cell *cell)
{
    const struct elf_object *object = &cell->object;
    uint32_t section = elf_object_find_section(object, ".cell.unwind");
    struct span bytes = section ? elf_object_section_bytes(object, section) : span_of(NULL, 0);
    const struct unwind_index_header *header = span_at(bytes, 0, sizeof(*header));
    if (!header || memcmp(header->magic, UNWIND_INDEX_MAGIC, sizeof(header->magic)) != 0 ||
        header->version != UNWIND_INDEX_VERSION ||
        header->entry_size != sizeof(struct unwind_index_entry) ||
        !span_holds(bytes, sizeof(*header), (uint64_t)header->count * header->entry_size)) {
        add(checking, RULE_UNWIND, DIAG_CELL_UNWIND, cell->name, place("%s", cell->name), "%s",
            section ? "the .cell.unwind index is malformed" : "there is no .cell.unwind index");
        return;
    }
    for (uint32_t i = 1; i < object->symbol_count; i++) {
        const struct elf64_sym *symbol = &object->symbols[i];
        if (elf_symbol_type(symbol) == STT_FUNC && symbol->st_shndx != SHN_UNDEF &&
            symbol->st_shndx < object->section_count && symbol->st_size > 0 &&
            (object->sections[symbol->st_shndx].sh_flags & SHF_EXECINSTR)) {
            check_unwind_function(checking, cell, header, i);
        }
    }
}

/* The CFA of functions that realign their stack hangs on a register that GCC picks for it. */
static bool is_realigned(const struct cfi_rules *rules)
{
    return rules->cfa_register == CFI_R10 || rules->cfa_register == CFI_R13;
}

static enum status check_rows(const struct cfi_fde *fde, bool *out_realigned,
                              struct cfi_fault *fault)
{
    struct cfi_machine machine;
    *out_realigned = false;
    enum status status = cfi_begin(&machine, fde, fault);
    while (status == OK && (status = cfi_next_row(&machine, fault)) == OK) {
        *out_realigned = *out_realigned || is_realigned(&machine.rules);
    }
    return status == ERR_NOT_FOUND ? OK : status;
}

static char *place_of_code(const struct model_cell *cell, const struct unwind_table *table,
                           uint64_t address)
{
    uint32_t section;
    uint64_t offset;
    bool is_ours = unwind_table_place(table, address, 0, &section, &offset);
    return is_ours ? place("%s:%s+0x%" PRIx64, cell->name,
                           elf_object_section_name(&cell->object, section), offset)
                   : place("%s", cell->name);
}

static void check_entry(const struct checking *checking, const struct model_cell *cell,
                        const struct unwind_table *table, const struct cfi_fde *fde)
{
    struct cfi_fault fault;
    struct unwind_stray stray;
    bool is_realigned;
    if (check_rows(fde, &is_realigned, &fault) != OK) {
        add(checking, RULE_UNWIND, PROBLEM_CHECK_ROWS, cell->name,
            place("%s:.eh_frame+0x%" PRIx64, cell->name, fault.offset), "%s",
            cfi_fault_text(fault.code));
        return;
    }
    if (is_realigned) {
        add(checking, RULE_UNWIND, PROBLEM_CHECK_REALIGNED, cell->name,
            place_of_code(cell, table, fde->start), "this function realigns its stack");
    }
    if (unwind_table_strays(table, fde, &stray)) {
        add(checking, RULE_UNWIND, PROBLEM_CHECK_STACK, cell->name,
            place_of_code(cell, table, stray.address),
            "an instruction takes %" PRId64 " bytes of stack, the table says %" PRId64, stray.moved,
            stray.told);
    }
}

/* Every entry, and every instruction that it describes. False for lack of memory. */
static bool check_entries(const struct checking *checking, const struct model_cell *cell)
{
    struct problem problem = {0};
    struct unwind_table table;
    struct cfi_fde fde;
    struct cfi_fault fault;
    enum status status = unwind_table_open(&cell->object, &table, &problem);
    if (status != OK) {
        add(checking, RULE_UNWIND, problem.code, cell->name, place("%s", cell->name), "%s",
            problem.because[0][0] ? problem.because[0] : problem.what);
        problem_fini(&problem);
        return status != ERR_NO_MEMORY;
    }
    for (uint64_t at = 0; (status = cfi_next(&table.frame, &at, &fde, &fault)) != ERR_NOT_FOUND;) {
        if (status == OK) {
            check_entry(checking, cell, &table, &fde);
        } else {
            add(checking, RULE_UNWIND, PROBLEM_CHECK_ROWS, cell->name,
                place("%s:.eh_frame+0x%" PRIx64, cell->name, fault.offset), "%s",
                cfi_fault_text(fault.code));
        }
    }
    unwind_table_fini(&table);
    return true;
}

static void check_stateless(const struct checking *checking, const struct model_cell *cell)
{
    if (strcmp(cell->kind, "application") != 0) {
        return;
    }
    for (uint32_t i = 1; i < cell->object.section_count; i++) {
        const struct elf64_shdr *section = &cell->object.sections[i];
        if ((section->sh_flags & SHF_ALLOC) && (section->sh_flags & SHF_WRITE) &&
            section->sh_size > 0) {
            const char *name = elf_object_section_name(&cell->object, i);
            add(checking, RULE_STATELESS, PROBLEM_CHECK_STATE, cell->name,
                place("%s:%s", cell->name, name),
                "application %s has %" PRIu64 " bytes of mutable statics", cell->name,
                section->sh_size);
        }
    }
}

/* ---- cells together ---- */

static void check_unique(const struct checking *checking)
{
    const struct model *model = checking->model;
    for (uint32_t i = 0; i < model->export_count; i++) {
        const struct model_export *export = &model->exports[i];
        if (export->first == i || !checking->chosen[export->cell]) {
            continue;
        }
        const struct model_cell *cell = &model->cells[export->cell];
        const struct model_cell *other = &model->cells[model->exports[export->first].cell];
        bool same_interface =
            cell->interface && other->interface && strcmp(cell->interface, other->interface) == 0;
        if (!same_interface) {
            add(checking, RULE_UNIQUE, DIAG_LINK_DUPLICATE_SYMBOL, cell->name,
                place("%s", cell->name), "%s is exported by %s and by %s", export->key.name,
                other->name, cell->name);
        }
    }
}

/* A symbol that is defined but not exported. */
struct hidden_symbol {
    struct symbol_key key;
    uint32_t cell;
};

struct hidden_symbols {
    struct symbol_map by_name;
    struct hidden_symbol *list;
};

static bool is_hidden(const struct elf64_sym *symbol)
{
    uint8_t type = elf_symbol_type(symbol);
    return symbol->st_shndx != SHN_UNDEF && type != STT_SECTION && type != STT_FILE &&
           !elf_symbol_is_export(symbol);
}

static uint32_t count_hidden(const struct model *model)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < model->cell_count; i++) {
        for (uint32_t k = 1; k < model->cells[i].object.symbol_count; k++) {
            count += is_hidden(&model->cells[i].object.symbols[k]);
        }
    }
    return count;
}

static bool find_hidden(const struct model *model, struct hidden_symbols *hidden)
{
    uint32_t count = count_hidden(model);
    uint32_t capacity = symbol_map_capacity(count);
    const struct symbol_key **slots = calloc(capacity + 1, sizeof(*slots));
    hidden->list = calloc((size_t)count + 1, sizeof(*hidden->list));
    if (!slots || !hidden->list) {
        free(slots);
        return false;
    }
    symbol_map_init(&hidden->by_name, slots, capacity, NULL);
    struct hidden_symbol *next = hidden->list;
    for (uint32_t i = 0; i < model->cell_count; i++) {
        const struct elf_object *object = &model->cells[i].object;
        for (uint32_t k = 1; k < object->symbol_count; k++) {
            if (is_hidden(&object->symbols[k])) {
                next->key.name = elf_object_symbol_name(object, k);
                next->key.hash = symbol_map_hash(next->key.name);
                next->cell = i;
                symbol_map_insert(&hidden->by_name, &next->key);
                next++;
            }
        }
    }
    return true;
}

/* The first relocation that refers to each symbol says where it is needed. */
static char *place_of_import(const struct model *model, const struct model_cell *cell,
                             uint32_t edge_index)
{
    if (edge_index == MODEL_NOWHERE) {
        return place("%s", cell->name);
    }
    const struct model_edge *edge = &model->edges[edge_index];
    return place("%s:%s+0x%x", cell->name, model->sections[edge->source].name, edge->offset);
}

static void add_missing(const struct checking *checking, const struct hidden_symbols *hidden,
                        const struct model_cell *cell, const char *name, char *where)
{
    const struct symbol_key *key = symbol_map_find(&hidden->by_name, name, symbol_map_hash(name));
    if (key) {
        uint32_t owner = CONTAINER_OF(key, struct hidden_symbol, key)->cell;
        add(checking, RULE_IMPORTS, PROBLEM_CHECK_HIDDEN, cell->name, where,
            "%s needs %s, which is defined in %s but hidden", cell->name, name,
            checking->model->cells[owner].name);
    } else {
        add(checking, RULE_IMPORTS, DIAG_LINK_MISSING_SYMBOL, cell->name, where,
            "%s needs %s, which no cell defines", cell->name, name);
    }
}

static bool check_imports(const struct checking *checking, const struct hidden_symbols *hidden,
                          const struct model_cell *cell)
{
    const struct model *model = checking->model;
    const struct elf_object *object = &cell->object;
    uint32_t *first = malloc((object->symbol_count + 1) * sizeof(*first));
    if (!first) {
        return false;
    }
    memset(first, 0xff, (object->symbol_count + 1) * sizeof(*first));
    for (uint32_t i = cell->first_edge + cell->edge_count; i-- > cell->first_edge;) {
        if (model->edges[i].symbol < object->symbol_count) {
            first[model->edges[i].symbol] = i;
        }
    }
    for (uint32_t i = 1; i < object->symbol_count; i++) {
        const char *name = elf_object_symbol_name(object, i);
        if (object->symbols[i].st_shndx == SHN_UNDEF && name[0] &&
            elf_symbol_binding(&object->symbols[i]) != STB_WEAK &&
            strcmp(name, MODEL_IMAGE_SYMBOL) != 0 && !model_find_export(model, name)) {
            add_missing(checking, hidden, cell, name, place_of_import(model, cell, first[i]));
        }
    }
    free(first);
    return true;
}

static bool is_supported(uint32_t type)
{
    return type == R_X86_64_NONE || type == R_X86_64_64 || type == R_X86_64_PC32 ||
           type == R_X86_64_PLT32 || type == R_X86_64_32 || type == R_X86_64_32S ||
           type == R_X86_64_PC64;
}

/* What the kernel's linker would say of an edge, in the order in which it looks; DIAG_NONE: nothing.
 */
static enum diag_code relocation_fault(const struct model_cell *cell, const struct model_edge *edge)
{
    const struct elf_object *object = &cell->object;
    if (edge->symbol >= object->symbol_count) {
        return DIAG_LINK_SYMBOL_INDEX;
    }
    if (!is_supported(edge->type)) {
        return DIAG_LINK_RELOCATION_TYPE;
    }
    if (edge->use != MODEL_USE_INVALID) {
        return DIAG_NONE;
    }
    uint16_t section = object->symbols[edge->symbol].st_shndx;
    bool is_absent = section != SHN_UNDEF && section < object->section_count &&
                     !elf_object_section_is_loaded(object, section);
    return is_absent ? DIAG_LINK_NOT_LOADED : DIAG_LINK_OFFSET;
}

static void check_relocations(const struct checking *checking, const struct model_cell *cell)
{
    const struct model *model = checking->model;
    for (uint32_t i = 0; i < cell->edge_count; i++) {
        const struct model_edge *edge = &model->edges[cell->first_edge + i];
        enum diag_code fault = relocation_fault(cell, edge);
        if (fault != DIAG_NONE) {
            add(checking, RULE_RELOCATIONS, fault, cell->name,
                place("%s:%s+0x%x", cell->name, model->sections[edge->source].name, edge->offset),
                "%s: %s", diag_rule(fault), relocation_name(edge->type));
        }
    }
}

static void check_application(const struct checking *checking, const struct model_cell *cell)
{
    const struct model *model = checking->model;
    for (uint32_t i = 0; i < cell->link_count; i++) {
        const struct model_cell *to = &model->cells[model->links[cell->first_link + i].to];
        if (strcmp(to->kind, "application") == 0) {
            add(checking, RULE_APPLICATION, PROBLEM_CHECK_APPLICATION, cell->name,
                place("%s", cell->name), "%s needs the application %s", cell->name, to->name);
        }
    }
}

/* "a -> b -> a" */
static char *cycle_text(const struct model *model, const uint32_t *cells, uint32_t count)
{
    char *text = place("%s", model->cells[cells[0]].name);
    for (uint32_t i = 1; i <= count && text; i++) {
        char *longer = place("%s -> %s", text, model->cells[cells[i % count]].name);
        free(text);
        text = longer;
    }
    return text;
}

/* One finding a component, for its first cell. */
static bool check_acyclic(const struct checking *checking)
{
    const struct model *model = checking->model;
    uint32_t *component = calloc(3 * (size_t)model->cell_count + 1, sizeof(*component));
    uint32_t *cycle = component ? component + model->cell_count : NULL;
    uint32_t *seen = component ? cycle + model->cell_count : NULL;
    uint32_t first;
    bool good = component && model_components(model, component, &first);
    for (uint32_t i = 0; good && first != MODEL_NOWHERE && i < model->link_count; i++) {
        const struct model_link *link = &model->links[i];
        uint32_t id = component[link->from];
        uint32_t count;
        if (id != component[link->to] || seen[id] || !checking->chosen[link->from] ||
            model_cycle_through(model, link->from, cycle, &count)) {
            continue;
        }
        seen[id] = 1;
        char *text = cycle_text(model, cycle, count);
        add(checking, RULE_ACYCLIC, PROBLEM_CHECK_CYCLE, model->cells[link->from].name,
            place("%s", model->cells[link->from].name), "%s", text ? text : "?");
        free(text);
    }
    free(component);
    return good;
}

/* ---- fingerprints ---- */

struct abi_checking {
    const struct checking *checking;
    const struct abi_party *parties; /* by cell */
};

static void add_conflict(void *context, const struct abi_conflict *conflict)
{
    const struct abi_checking *abi = context;
    const bool *chosen = abi->checking->chosen;
    if (!chosen[conflict->mine - abi->parties] && !chosen[conflict->theirs - abi->parties]) {
        return;
    }
    char how[PROBLEM_TEXT_SIZE];
    abi_conflict_format(conflict, how, sizeof(how));
    add(abi->checking, RULE_ABI, conflict->code, conflict->mine->name,
        place("%s", conflict->mine->name), "%.*s: %s", (int)conflict->what.size,
        (const char *)conflict->what.base, how);
}

static void add_returned(void *context, const struct abi_returned *returned)
{
    const struct abi_checking *abi = context;
    const struct abi_party *party = returned->party;
    if (abi->checking->chosen[party - abi->parties]) {
        add(abi->checking, RULE_HANDLES, PROBLEM_CHECK_RETURNED, party->name,
            place("%s", party->name), "%s returns the handle %.*s by value: %s",
            elf_object_symbol_name(party->object, returned->symbol), (int)returned->handle.size,
            (const char *)returned->handle.base, returned->text);
    }
}

static bool check_abi(const struct checking *checking)
{
    const struct model *model = checking->model;
    struct abi_party *parties = calloc((size_t)model->cell_count + 1, sizeof(*parties));
    if (!parties) {
        return false;
    }
    for (uint32_t i = 0; i < model->cell_count; i++) {
        const struct model_cell *cell = &model->cells[i];
        struct diag diag;
        parties[i] = (struct abi_party){
            .name = cell->name, .interface = cell->interface, .object = &cell->object};
        enum status status = cell_abi_read(&cell->object, &parties[i].abi, &diag);
        if (status == OK) {
            status = cell_abi_check(&parties[i].abi, &cell->object, &diag);
        }
        if (status != OK) {
            parties[i].abi = (struct cell_abi){0};
            add(checking, RULE_ABI, diag.code, cell->name,
                place("%s:%s+0x%" PRIx64, cell->name, diag.section, diag.offset), "%s",
                diag_rule(diag.code));
        }
    }
    struct abi_checking abi = {checking, parties};
    enum status status = abi_check(parties, model->cell_count, add_conflict, &abi);
    if (status == OK) {
        status = abi_find_returned(parties, model->cell_count, add_returned, &abi);
    }
    free(parties);
    return status == OK;
}

static bool check_cell(const struct checking *checking, const struct hidden_symbols *hidden,
                       const struct model_cell *cell)
{
    check_note(checking, cell);
    check_prefix(checking, cell);
    check_relocations(checking, cell);
    bool good = true;
    if (cell->has_note) {
        check_unwind(checking, cell);
        good = check_entries(checking, cell);
        check_stateless(checking, cell);
        check_application(checking, cell);
    }
    return good && check_imports(checking, hidden, cell);
}

enum status rules_check(const struct model *model, const bool *chosen,
                        struct findings *out_findings)
{
    struct findings findings = {0};
    struct hidden_symbols hidden = {0};
    const struct checking checking = {model, chosen, &findings};
    check_rejects(&checking);
    bool good = find_hidden(model, &hidden);
    for (uint32_t i = 0; good && i < model->cell_count; i++) {
        good = !chosen[i] || check_cell(&checking, &hidden, &model->cells[i]);
    }
    check_unique(&checking);
    good = good && check_acyclic(&checking) && check_abi(&checking) && !findings.failed;
    free(hidden.by_name.slots);
    free(hidden.list);
    if (!good) {
        findings_fini(&findings);
        return ERR_NO_MEMORY;
    }
    *out_findings = findings;
    return OK;
}

const char *rule_id(enum rule rule)
{
    static const char *const ids[] = {
#define RULE_ID_(name, id, text) id,
        RULE_TABLE(RULE_ID_)};
    return ids[rule];
}

const char *rule_text(enum rule rule)
{
    static const char *const texts[] = {
#define RULE_TEXT_(name, id, text) text,
        RULE_TABLE(RULE_TEXT_)};
    return texts[rule];
}
