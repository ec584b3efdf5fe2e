/* SPDX-License-Identifier: MIT */
/*
 * bench - measures the system in ticks of the time stamp counter, one line `figure NAME VALUE`
 * each.
 *
 * In an emulator that counts instructions (QEMU with -icount shift=0,sleep=off) a tick is one
 * instruction, and two runs print the same; `tick_check` is there to tell: it is
 * 1,000 then. What a pair of counter reads costs is subtracted from every figure, and what an
 * empty loop costs from figures for a few instructions.
 */
#include "address_map.h"
#include "application.h"
#include "cell_metadata.h"
#include "cell_namespace.h"
#include "console.h"
#include "diag.h"
#include "exceptions.h"
#include "frame_allocator.h"
#include "heap.h"
#include "interrupts.h"
#include "loader.h"
#include "mapped_pages.h"
#include "memory.h"
#include "mutex.h"
#include "x86.h"

CELL(application, "1.0.0");

APPLICATION(bench);

#define ROUNDS        1000u
#define SUBJECT       "hello" /* the application that is loaded and unloaded */
#define SUBJECT_ENTRY SUBJECT APP_ENTRY_SUFFIX
#define KNOWN_SYMBOL  "console_print"

/* What is subtracted. */
struct costs {
    uint64_t clock; /* two counter reads with nothing between them */
    uint64_t loop;  /* ROUNDS rounds with nothing inside, clock not included */
};

static void say(const char *name, uint64_t value)
{
    console_print("figure %s %lu\n", name, (unsigned long)value);
}

/* `ticks` for `count` times the same, with one decimal. */
static void say_each(const char *name, uint64_t ticks, uint64_t count)
{
    uint64_t tenths = (ticks * 10 + count / 2) / count;
    console_print("figure %s %lu.%lu\n", name, (unsigned long)(tenths / 10),
                  (unsigned long)(tenths % 10));
}

static uint64_t since(uint64_t start, const struct costs *costs)
{
    return read_tsc() - start - costs->clock;
}

/* ---- the clock ---- */

/* Two instructions a round; the rest costs the same for any number. */
NOINLINE static uint64_t time_rounds(uint32_t rounds)
{
    uint64_t start = read_tsc();
    __asm__ volatile("1: sub $1, %0\n\tjnz 1b" : "+r"(rounds) : : "cc");
    return read_tsc() - start;
}

static struct costs calibrate(void)
{
    struct costs costs = {0};
    uint64_t start = read_tsc();
    costs.clock = read_tsc() - start;
    say("tick_check", time_rounds(1000) - time_rounds(500));
    start = read_tsc();
    for (unsigned i = 0; i < ROUNDS; i++) {
        COMPILER_BARRIER();
    }
    costs.loop = since(start, &costs);
    return costs;
}

/* ---- calls ---- */

/* The callee is an exported function of another cell that does nothing. */
static void measure_calls(const struct costs *costs)
{
    uint64_t start = read_tsc();
    for (unsigned i = 0; i < ROUNDS; i++) {
        loader_announce(NULL);
    }
    say_each("call", since(start, costs) - costs->loop, ROUNDS);

    void (*volatile pointer)(const struct cell *) = loader_announce;
    void (*callee)(const struct cell *) = pointer;
    start = read_tsc();
    for (unsigned i = 0; i < ROUNDS; i++) {
        callee(NULL);
    }
    say_each("call_by_pointer", since(start, costs) - costs->loop, ROUNDS);
}

/* ---- interrupts ---- */

static void take_time(void *context)
{
    *(uint64_t *)context = read_tsc();
}

/* From the instruction before an interrupt to the first of its handler, and back behind it. */
static enum status measure_interrupts(const struct costs *costs)
{
    uint64_t handled = 0;
    uint64_t there = 0;
    uint64_t both = 0;
    interrupts_init();
    OWNED(interrupt, interrupt);
    enum status status =
        interrupt_register(INTERRUPT_SOFTWARE, "bench", take_time, &handled, SLOT(interrupt));
    if (status != OK) {
        return status;
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t start = read_tsc();
        __asm__ volatile("int $239" : : : "memory"); /* INTERRUPT_SOFTWARE */
        both += since(start, costs);
        there += handled - start - costs->clock;
    }
    say_each("interrupt_to_handler", there, ROUNDS);
    say_each("interrupt_and_back", both, ROUNDS);
    return OK;
}

static bool skip_undefined(struct exception_frame *frame, void *unused)
{
    (void)unused;
    frame->rip += 2; /* ud2 */
    return true;
}

static enum status measure_exceptions(const struct costs *costs)
{
    OWNED(exception_handler, handler);
    enum status status =
        exception_handler_register(EXCEPTION_UD, "bench", skip_undefined, NULL, SLOT(handler));
    if (status != OK) {
        return status;
    }
    uint64_t start = read_tsc();
    for (unsigned i = 0; i < ROUNDS; i++) {
        __asm__ volatile("ud2" : : : "memory");
    }
    say_each("exception_and_back", since(start, costs) - costs->loop, ROUNDS);
    return OK;
}

/* ---- memory ---- */

struct page_ticks {
    uint64_t map;
    uint64_t protect;
    uint64_t unmap;
};

static enum status map_and_unmap(const struct costs *costs, struct page_ticks *sum)
{
    OWNED(mapped_pages, pages);
    uint64_t start = read_tsc();
    enum status status = mapped_pages_create(PAGE_ZONE_DATA, PAGE_SIZE, PAGE_WRITE, SLOT(pages));
    if (status != OK) {
        return status;
    }
    *(volatile uint8_t *)mapped_pages_start(REF(pages)) = 1;
    sum->map += since(start, costs);
    start = read_tsc();
    status = mapped_pages_remap(REF(pages), PAGE_READ);
    sum->protect += since(start, costs);
    start = read_tsc();
    mapped_pages_drop(SLOT(pages));
    sum->unmap += since(start, costs);
    return status;
}

static enum status measure_pages(const struct costs *costs)
{
    struct page_ticks sum = {0};
    for (unsigned i = 0; i < ROUNDS; i++) {
        enum status status = map_and_unmap(costs, &sum);
        if (status != OK) {
            return status;
        }
    }
    say_each("page_map_and_write", sum.map, ROUNDS);
    say_each("page_protect", sum.protect, ROUNDS);
    say_each("page_unmap", sum.unmap, ROUNDS);
    say_each("page_map_write_unmap", sum.map + sum.unmap, ROUNDS);
    return OK;
}

static enum status measure_heap(const struct costs *costs, const char *name, size_t bytes)
{
    uint64_t start = read_tsc();
    for (unsigned i = 0; i < ROUNDS; i++) {
        void *block = heap_allocate(bytes);
        if (!block) {
            return ERR_NO_MEMORY;
        }
        heap_free(block);
    }
    say_each(name, since(start, costs), ROUNDS);
    return OK;
}

/* ---- lookups ---- */

static enum status measure_lookups(const struct costs *costs)
{
    const struct cell_namespace *namespace = cell_namespace_initial();
    GUARD(mutex, held, cell_namespace_mutex()); /* outside of what is measured */
    const struct symbol *symbol = NULL;
    uint64_t start = read_tsc();
    for (unsigned i = 0; i < ROUNDS; i++) {
        symbol = cell_namespace_find(namespace, KNOWN_SYMBOL, symbol_map_hash(KNOWN_SYMBOL));
    }
    say_each("symbol_find", since(start, costs), ROUNDS);
    if (!symbol) {
        return ERR_NOT_FOUND;
    }
    const struct section *section = NULL;
    start = read_tsc();
    for (unsigned i = 0; i < ROUNDS; i++) {
        section = address_map_find(symbol->address);
    }
    say_each("address_find", since(start, costs), ROUNDS);
    return section ? OK : ERR_NOT_FOUND;
}

/* ---- loading ---- */

static enum status give_up(const char *what, enum status status, const struct diag *diag)
{
    char line[400];
    diag_format(diag, line, sizeof(line));
    console_print("bench: %s: %s: %s\n", what, status_name(status), line);
    return status;
}

static void say_relocations(const char *count, const char *each,
                            const struct loader_statistics *old)
{
    struct loader_statistics now = loader_statistics();
    uint64_t relocations = now.relocations - old->relocations;
    say(count, relocations);
    say_each(each, now.relocation_ticks - old->relocation_ticks, relocations);
}

static enum status unload_subject(void)
{
    enum status status = loader_unload_named(cell_namespace_initial(), SUBJECT, NULL);
    return status == ERR_NOT_FOUND ? OK : status;
}

/* The subject is loaded twice: only the first time can a table have to grow. */
static enum status measure_subject(const struct costs *costs)
{
    static const char *const names[] = {"hello_load_first", "hello_load"};
    struct diag diag = {0};
    struct loader_statistics before;
    enum status status = unload_subject();
    for (unsigned i = 0; status == OK && i < ARRAY_COUNT(names); i++) {
        uint64_t address;
        before = loader_statistics();
        uint64_t start = read_tsc();
        status = loader_demand(cell_namespace_initial(), SUBJECT_ENTRY, &address, &diag);
        if (status != OK) {
            return give_up(SUBJECT, status, &diag);
        }
        say(names[i], since(start, costs));
        if (i + 1 == ARRAY_COUNT(names)) {
            say_relocations("hello_relocations", "hello_each_relocation", &before);
        }
        start = read_tsc();
        status = unload_subject();
        if (i + 1 == ARRAY_COUNT(names)) {
            say("hello_unload", since(start, costs));
        }
    }
    return status;
}

static enum status measure_archive(const struct costs *costs)
{
    struct loader_statistics before = loader_statistics();
    uint64_t cursor = 0;
    uint64_t ticks = 0;
    const char *name;
    while ((name = loader_next_member(&cursor))) {
        struct cell *cell;
        struct diag diag = {0};
        uint64_t start = read_tsc();
        enum status status = loader_load(cell_namespace_initial(), name, &cell, &diag);
        ticks += since(start, costs);
        if (status != OK && status != ERR_DUPLICATE_SYMBOL) {
            return give_up(name, status, &diag);
        }
    }
    say("archive_load", ticks);
    say("archive_cells", loader_statistics().cells - before.cells);
    say_relocations("archive_relocations", "archive_each_relocation", &before);
    return OK;
}

static enum status measure_cell(const char *name, const struct costs *costs)
{
    struct loader_statistics before = loader_statistics();
    struct cell *cell;
    struct diag diag = {0};
    uint64_t start = read_tsc();
    enum status status = loader_load(cell_namespace_initial(), name, &cell, &diag);
    uint64_t ticks = since(start, costs);
    if (status != OK) {
        return give_up(name, status, &diag);
    }
    struct loader_statistics now = loader_statistics();
    uint64_t relocations = now.relocations - before.relocations;
    console_print("figure load_%s %lu\nfigure load_%s_relocations %lu\n", name,
                  (unsigned long)ticks, name, (unsigned long)relocations);
    console_print("figure load_%s_relocate %lu\n", name,
                  (unsigned long)(now.relocation_ticks - before.relocation_ticks));
    return OK;
}

static enum status measure_cells(const struct app_arguments *arguments)
{
    struct costs costs = calibrate();
    enum status status = OK;
    for (int i = 1; status == OK && i < arguments->count; i++) {
        status = measure_cell(arguments->values[i], &costs);
    }
    return status;
}

/* ---- what the boot has cost ---- */

static void report_boot(void)
{
    struct loader_statistics loader = loader_statistics();
    struct frame_statistics frames = frame_allocator_statistics();
    struct heap_statistics heap = heap_statistics();
    say("boot_cells", loader.cells);
    say("boot_sections", loader.sections);
    say("boot_adopt", loader.adopt_ticks);
    say("boot_load", loader.load_ticks);
    say("boot_relocations", loader.relocations);
    say_each("boot_each_relocation", loader.relocation_ticks, loader.relocations);
    say("memory_kib", (frames.total - frames.free) * PAGE_SIZE / 1024);
    say("heap_bytes", heap.bytes_in_use);
    say("metadata_bytes", loader.metadata_bytes);
    say_each("metadata_bytes_each_cell", loader.metadata_bytes, loader.cells);
}

enum status bench_main(const struct app_arguments *arguments)
{
    if (arguments->count > 1) {
        return measure_cells(arguments);
    }
    report_boot();
    struct costs costs = calibrate();
    measure_calls(&costs);
    enum status status = measure_interrupts(&costs);
    if (status == OK) {
        status = measure_exceptions(&costs);
    }
    if (status == OK) {
        status = measure_pages(&costs);
    }
    if (status == OK) {
        status = measure_heap(&costs, "heap_8_bytes", 8);
    }
    if (status == OK) {
        status = measure_heap(&costs, "heap_1000_bytes", 1000);
    }
    if (status == OK) {
        status = measure_lookups(&costs);
    }
    if (status == OK) {
        status = measure_subject(&costs);
    }
    return status == OK ? measure_archive(&costs) : status;
}
