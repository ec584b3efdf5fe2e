/* SPDX-License-Identifier: MIT */
/*
 * link_modules --modules FOLDER --symvers FILE [--runs N] [--check] [--list]
 *
 * Links all kernel modules of a Linux package in memory, with the linker that the kernel uses, as
 * if all were loaded at once: every module is laid out in the code zone, its exports (those that
 * Module.symvers says it has) go into one symbol map, every relocation is applied, every import
 * bound. Symbols of the kernel itself have made-up addresses, 16 bytes apart from
 * 0xffffffff81000000 on: their distance does not matter to a linker, and no package states the
 * real ones.
 *
 * The work has two passes, for a module may import from any other one:
 *
 *   open, plan    each module: validate; sizes, layout, addresses, exports into the map
 *   link          each module: copy, resolve, relocate, entries
 *
 * The clock runs from the first byte of a file that is looked at to the last entry written. Reading
 * the files is not measured; fresh memory is (`memory`: the system's zeroing of it, in large
 * pieces). Seconds are those of one processor. Prints `key value` lines of the fastest run, and
 * exits with 1 if any module was refused or, with --check, any byte is wrong (oracle.h).
 */
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "diag.h"
#include "link_unit.h"
#include "module_files.h"
#include "oracle.h"

#define KERNEL_TEXT     0xffffffff81000000ull
#define KERNEL_SPACING  16u
#define CODE_ZONE       0xffffffff90000000ull
#define CODE_ZONE_SIZE  0x6fe00000ull
#define ENTRY_ZONE_SIZE (64ull << 20) /* bytes; lies first in the code zone */
#define ARENA_SIZE      (8ull << 30)  /* address space; memory comes as it is needed */
#define ARENA_STEP      (64ull << 20)
#define RUNS_DEFAULT    5
#define REFUSALS_SHOWN  10

enum phase { MEMORY, OPEN, PLAN, COPY, RESOLVE, RELOCATE, ENTRIES, PHASE_COUNT };

static const char *const phase_names[PHASE_COUNT] = {
    "memory", "open", "plan", "copy", "resolve", "relocate", "entries",
};

/* Memory that only grows, and is taken from the system before it is touched. */
struct arena {
    uint8_t *base;
    size_t used;
    size_t present;
};

struct module {
    const struct module_file *file;
    struct elf_object object;
    struct cell cell;
    struct link_unit unit;
    bool is_refused;
};

struct options {
    const char *modules;
    const char *symvers;
    unsigned runs;
    bool check;
    bool list;
};

struct job {
    const struct module_files *files;
    const struct exporters *exporters;
    struct module *modules;
    struct symbol *kernel; /* one a row of Module.symvers */
    struct symbol_map exports;
    struct link_symbol *resolved; /* scratch of the module that is being linked */
    uint32_t resolved_count;
    struct arena metadata;
    struct arena bytes; /* of the code zone, behind the entries */
    uint8_t *entry_bytes;
    uint64_t entries_used;
    double seconds[PHASE_COUNT];
    double memory_inside; /* spent on memory within the phase that runs */
    uint64_t sections, symbols, relocations, loaded_bytes, refused;
};

/* Processor time: what else the machine does costs us caches, but is not counted. */
static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static double begin(struct job *job)
{
    job->memory_inside = 0;
    return now();
}

static void end(struct job *job, enum phase phase, double start)
{
    job->seconds[phase] += now() - start - job->memory_inside;
    job->seconds[MEMORY] += job->memory_inside;
}

static void *take(struct job *job, struct arena *arena, size_t size, size_t alignment)
{
    size_t start = (arena->used + alignment - 1) & ~(alignment - 1);
    if (start + size > arena->present) {
        double since = now();
        size_t step = (start + size - arena->present + ARENA_STEP - 1) / ARENA_STEP * ARENA_STEP;
        if (arena->present + step > ARENA_SIZE ||
            madvise(arena->base + arena->present, step, MADV_POPULATE_WRITE) != 0) {
            err(1, "memory");
        }
        arena->present += step;
        job->memory_inside += now() - since;
    }
    arena->used = start + size;
    return arena->base + start;
}

static struct arena open_arena(void)
{
    struct arena arena = {0};
    arena.base = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena.base == MAP_FAILED) {
        err(1, "memory");
    }
    madvise(arena.base, ARENA_SIZE, MADV_HUGEPAGE);
    return arena;
}

static void refuse(struct job *job, struct module *module, const struct diag *diag)
{
    char line[400];
    diag_format(diag, line, sizeof(line));
    if (job->refused++ < REFUSALS_SHOWN) {
        warnx("refused %s: %s", module->file->path, line);
    }
    module->is_refused = true;
}

/* ---- first pass ---- */

static bool open_module(struct job *job, struct module *module)
{
    double start = begin(job);
    struct diag diag = {0};
    bool is_good = elf_object_open(module->file->bytes, &module->object, &diag) == OK;
    end(job, OPEN, start);
    if (!is_good) {
        refuse(job, module, &diag);
    }
    return is_good;
}

static struct link_memory take_memory(struct job *job, const struct link_sizes *sizes)
{
    if (sizes->symbols > job->resolved_count) {
        job->resolved_count = 2 * sizes->symbols;
        size_t size = job->resolved_count * sizeof(struct link_symbol);
        job->resolved = take(job, &job->metadata, size, 64);
    }
    struct link_memory memory = {.resolved = job->resolved};
#define TAKE(field, count) \
    (memory.field = take(job, &job->metadata, (count) * sizeof(memory.field[0]), 16))
    TAKE(sections, sizes->sections);
    TAKE(by_address, sizes->sections);
    TAKE(symbols, sizes->exports);
    TAKE(functions, sizes->functions);
    TAKE(places, sizes->sections);
    TAKE(bindings, sizes->bindings);
#undef TAKE
    return memory;
}

static void place_module(struct job *job, struct module *module, uint32_t functions)
{
    uint64_t addresses[REGION_COUNT];
    uint8_t *bytes[REGION_COUNT];
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        uint64_t size = module->unit.layout.sizes[r];
        bytes[r] = take(job, &job->bytes, size, 4096);
        addresses[r] = CODE_ZONE + ENTRY_ZONE_SIZE + (uint64_t)(bytes[r] - job->bytes.base);
        job->loaded_bytes += size;
    }
    if (job->bytes.used > CODE_ZONE_SIZE - ENTRY_ZONE_SIZE) {
        errx(1, "the modules do not fit into the code zone");
    }
    link_unit_place(&module->unit, addresses, bytes, CODE_ZONE + job->entries_used);
    job->entries_used += (uint64_t)functions * ENTRY_SIZE;
    if (job->entries_used > ENTRY_ZONE_SIZE) {
        errx(1, "the entries do not fit into their zone");
    }
}

/* Enters what the module exports by EXPORT_SYMBOL; any other global name is its own business. */
static void enter_exports(struct job *job, struct module *module)
{
    for (uint32_t i = 0; i < module->cell.symbol_count; i++) {
        struct symbol *symbol = &module->cell.symbols[i];
        const struct exporter *exporter =
            exporters_find(job->exporters, symbol->key.name, symbol->key.hash);
        if (exporter && strcmp(exporter->module, module->file->path) == 0) {
            symbol_map_insert(&job->exports, &symbol->key);
        }
    }
}

static void plan_module(struct job *job, struct module *module)
{
    double start = begin(job);
    struct link_sizes sizes;
    struct diag diag = {0};
    link_unit_sizes(&module->object, &sizes);
    struct link_memory memory = take_memory(job, &sizes);
    module->cell = (struct cell){.name = module->file->path};
    bool is_good =
        link_unit_plan(&module->unit, &module->cell, &module->object, &memory, &diag) == OK;
    if (is_good) {
        place_module(job, module, sizes.functions);
        enter_exports(job, module);
    }
    end(job, PLAN, start);
    job->sections += module->cell.region_first[REGION_COUNT];
    job->symbols += sizes.symbols;
    if (!is_good) {
        refuse(job, module, &diag);
    }
}

/* ---- second pass ---- */

static const struct symbol *look_up(void *context, const char *name, uint32_t hash)
{
    const struct job *job = context;
    const struct symbol_key *key = symbol_map_find(&job->exports, name, hash);
    return key ? CONTAINER_OF(key, const struct symbol, key) : NULL;
}

static void link_module(struct job *job, struct module *module)
{
    struct diag diag = {0};
    double start = begin(job);
    link_unit_copy(&module->unit);
    end(job, COPY, start);

    module->unit.resolved = job->resolved;
    start = begin(job);
    enum status status = link_unit_resolve(&module->unit, look_up, job, &diag);
    end(job, RESOLVE, start);

    start = begin(job);
    if (status == OK) {
        status = link_unit_relocate(&module->unit, &diag);
    }
    end(job, RELOCATE, start);

    start = begin(job);
    if (status == OK) {
        uint64_t offset = module->cell.entries - CODE_ZONE;
        link_unit_write_entries(&module->unit, job->entry_bytes + offset);
        job->relocations += module->cell.relocation_count;
    }
    end(job, ENTRIES, start);
    if (status != OK) {
        refuse(job, module, &diag);
    }
}

/* The kernel's own symbols are there before any module is. */
static void define_kernel(struct job *job)
{
    uint32_t count = job->exporters->count;
    uint32_t capacity = symbol_map_capacity(count);
    const struct symbol_key **slots = calloc(capacity, sizeof(*slots));
    job->kernel = calloc(count, sizeof(job->kernel[0]));
    if (!slots || !job->kernel) {
        err(1, "memory");
    }
    symbol_map_init(&job->exports, slots, capacity, NULL);
    for (uint32_t i = 0; i < count; i++) {
        const struct exporter *row = &job->exporters->rows[i];
        if (strcmp(row->module, "vmlinux") == 0) {
            job->kernel[i] = (struct symbol){
                .key = row->key,
                .binding = STB_GLOBAL,
                .address = KERNEL_TEXT + (uint64_t)i * KERNEL_SPACING,
            };
            symbol_map_insert(&job->exports, &job->kernel[i].key);
        }
    }
}

static void run_job(struct job *job)
{
    define_kernel(job);
    job->modules = calloc(job->files->count, sizeof(job->modules[0]));
    job->metadata = open_arena();
    job->bytes = open_arena();
    if (!job->modules) {
        err(1, "memory");
    }
    struct arena entries = open_arena();
    double start = begin(job);
    job->entry_bytes = take(job, &entries, ENTRY_ZONE_SIZE, 4096);
    end(job, ENTRIES, start);
    for (uint32_t i = 0; i < job->files->count; i++) {
        struct module *module = &job->modules[i];
        module->file = &job->files->files[i];
        if (open_module(job, module)) {
            plan_module(job, module);
        }
    }
    for (uint32_t i = 0; i < job->files->count; i++) {
        if (!job->modules[i].is_refused) {
            link_module(job, &job->modules[i]);
        }
    }
}

static void drop_job(struct job *job)
{
    munmap(job->metadata.base, ARENA_SIZE);
    munmap(job->bytes.base, ARENA_SIZE);
    munmap(job->entry_bytes, ARENA_SIZE);
    free(job->modules);
    free(job->kernel);
    free((void *)job->exports.slots);
}

/* ---- report ---- */

static double total(const struct job *job)
{
    double sum = 0;
    for (int phase = 0; phase < PHASE_COUNT; phase++) {
        sum += job->seconds[phase];
    }
    return sum;
}

static uint64_t check(const struct job *job)
{
    struct oracle oracle = {
        .entries = CODE_ZONE,
        .entry_bytes = job->entry_bytes,
        .entry_size = ENTRY_ZONE_SIZE,
    };
    oracle_open(&oracle, 2 * job->exporters->count);
    for (uint32_t i = 0; i < job->exporters->count; i++) {
        if (strcmp(job->exporters->rows[i].module, "vmlinux") == 0) {
            oracle_define(&oracle, job->exporters->rows[i].key.name,
                          KERNEL_TEXT + (uint64_t)i * KERNEL_SPACING);
        }
    }
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < job->files->count; i++) {
            const struct module *module = &job->modules[i];
            struct oracle_case one = {
                .name = module->file->path,
                .file = module->file->bytes,
                .cell = &module->cell,
                .bytes = module->unit.bytes,
            };
            if (module->is_refused) {
                continue;
            }
            if (pass == 0) {
                oracle_define_exports(&oracle, &one);
            } else {
                oracle_compare(&oracle, &one);
            }
        }
    }
    printf("checked_relocations %" PRIu64 "\nchecked_bytes %" PRIu64 "\nchecked_entries %" PRIu64
           "\ndifferences %" PRIu64 "\n",
           oracle.relocations, oracle.bytes, oracle.via_entry, oracle.differences);
    return oracle.differences;
}

static void report(const struct job *job)
{
    uint64_t rate = (uint64_t)((double)job->relocations / total(job));
    printf("modules %u\nrefused %" PRIu64 "\nfile_bytes %" PRIu64 "\nloaded_bytes %" PRIu64 "\n",
           job->files->count, job->refused, job->files->bytes, job->loaded_bytes);
    printf("sections %" PRIu64 "\nsymbols %" PRIu64 "\nexports %u\nrelocations %" PRIu64 "\n",
           job->sections, job->symbols, job->exports.count, job->relocations);
    for (int phase = 0; phase < PHASE_COUNT; phase++) {
        printf("seconds_%s %.4f\n", phase_names[phase], job->seconds[phase]);
    }
    printf("seconds_total %.4f\nrelocations_per_second %" PRIu64 "\n", total(job), rate);
    printf("relocate_only_per_second %" PRIu64 "\n",
           (uint64_t)((double)job->relocations / job->seconds[RELOCATE]));
}

static void list_relocations(const struct job *job)
{
    for (uint32_t i = 0; i < job->files->count; i++) {
        printf("module %s %u\n", job->files->files[i].path, job->modules[i].cell.relocation_count);
    }
}

static struct options parse(int count, char **arguments)
{
    struct options options = {.runs = RUNS_DEFAULT};
    for (int i = 1; i < count; i++) {
        const char *option = arguments[i];
        const char *value = i + 1 < count ? arguments[i + 1] : NULL;
        if (strcmp(option, "--check") == 0) {
            options.check = true;
        } else if (strcmp(option, "--list") == 0) {
            options.list = true;
        } else if (value && strcmp(option, "--modules") == 0) {
            options.modules = arguments[++i];
        } else if (value && strcmp(option, "--symvers") == 0) {
            options.symvers = arguments[++i];
        } else if (value && strcmp(option, "--runs") == 0) {
            options.runs = (unsigned)strtoul(arguments[++i], NULL, 10);
        } else {
            errx(2, "unknown option, or one without its value: %s", option);
        }
    }
    if (!options.modules || !options.symvers || options.runs == 0) {
        errx(2,
             "usage: link_modules --modules FOLDER --symvers FILE [--runs N] [--check] [--list]");
    }
    return options;
}

int main(int count, char **arguments)
{
    struct options options = parse(count, arguments);
    struct module_files files;
    struct exporters exporters;
    module_files_read(options.modules, &files);
    exporters_read(options.symvers, &exporters);

    struct job best = {0};
    for (unsigned i = 0; i < options.runs; i++) {
        struct job job = {
            .files = &files,
            .exporters = &exporters,
        };
        run_job(&job);
        if (i == 0 || total(&job) < total(&best)) {
            struct job worse = best;
            best = job;
            job = worse;
        }
        if (i > 0) {
            drop_job(&job);
        }
        if (best.refused) {
            break;
        }
    }
    report(&best);
    if (options.list) {
        list_relocations(&best);
    }
    return best.refused || (options.check && check(&best)) ? 1 : 0;
}
