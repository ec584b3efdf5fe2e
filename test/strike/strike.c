/* SPDX-License-Identifier: MIT */
/*
 * The handler of the step is where all happens, on a stack of its own; its frames and those of the
 * release are what a second strike finds:
 *
 *   operate()                  single-stepped
 *     on_step(), level 0       state 0 aside; release(), single-stepped where a second fault is wanted
 *       on_step(), level 1     state 1 aside, with the frames of level 0; release() once more; check()
 *                              state 1 back; go on releasing
 *                              check(); state 0 back; go on operating
 *
 * What is kept here is in memory of its own, so that putting the state back does not change it.
 */
#include "strike.h"
#include "commit.h"
#include "cpu_local.h"
#include "own.h"
#include "preemption.h"
#include "single_step.h"

#include <elf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define HANDLER_STACK (512u << 10)
#define STATE_MAX     (8u << 20)
#define LEVELS_MAX    2
#define SECOND_MAX    61u /* a second fault 0 to 60 instructions into the release */
#ifndef STRIKE_EVERY
    #define STRIKE_EVERY 1u
#endif
#define REPEATS_MAX   20u /* of an instruction, in the short form */
#define SECOND_EVERY  7u  /* of the first ones, in the short form */
#define PLACES_MAX    256u
#define PRINTED_MAX   16u
#define CASE_STACK    (8u << 10) /* of it, kept aside while another stack is in use */
#define TICK_US       10000
#define TICKS_MAX     6u /* of the process' time, for one release and check */
#define WHAT_MAX      160u
#define VARIABLES_MAX 4
#ifndef SS_AUTODISARM
    #define SS_AUTODISARM (1u << 31) /* Linux, sigaltstack(2) */
#endif
#define REGIONS_MAX 12

extern char __data_start[];
extern char __executable_start[];
extern char etext[];
extern char __start_not_struck[];
extern char __stop_not_struck[];

struct region {
    void *start;
    size_t bytes;
};

/* What failed, of all strikes within one function; the places are of the first faults. */
struct place {
    uintptr_t function;
    unsigned long count;
    int level;
    uintptr_t first;
    uintptr_t last;
    char what[WHAT_MAX]; /* the first time */
};

struct tally {
    unsigned long strikes;
    unsigned long right;
};

static struct run {
    const struct strike_case *now;
    uint8_t *states[LEVELS_MAX + 1];
    uintptr_t stack_top; /* of the case: what is below it belongs to the state */
    int level;           /* strikes that are being dealt with */
    bool stepping;
    bool paused;
    bool struck;
    bool full;        /* each instruction each time */
    bool full_second; /* each second fault */
    bool no_second;
    struct region left_out;
    bool (*is_struck)(uintptr_t rsp);
    void (*settle)(uint64_t rsp);
    uint8_t *handler_stack;
    struct region variables[VARIABLES_MAX];
    size_t variable_count;
    unsigned long steps;
    unsigned every;             /* of them, in the short form */
    uint16_t executed[1 << 16]; /* by rip */
    unsigned steps_into_release;
    unsigned long chosen; /* which second fault, where not all of them */
    uintptr_t struck_at;  /* rip of the first fault */
    uintptr_t frames_top[LEVELS_MAX + 1];
    uint32_t hold;
    jmp_buf *way_out;
    char what[WHAT_MAX];
    volatile unsigned ticks;
    struct tally tally[LEVELS_MAX];
    struct place places[PLACES_MAX];
    unsigned place_count;
    Elf64_Sym *symbols;
    size_t symbol_count;
    const char *names;
} * run;

/* ---- state ---- */

static uint8_t *copy_out(uint8_t *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
    return to + bytes;
}

static const uint8_t *copy_in(void *to, const uint8_t *from, size_t bytes)
{
    memcpy(to, from, bytes);
    return from + bytes;
}

/* The segments that may be written, between the linker's marks: there may be a hole between two. */
static size_t find_variables(struct region out[VARIABLES_MAX])
{
    const Elf64_Phdr *headers = (const Elf64_Phdr *)getauxval(AT_PHDR);
    size_t count = 0;
    for (size_t i = 0; i < getauxval(AT_PHNUM) && count < VARIABLES_MAX; i++) {
        if (headers[i].p_type == PT_LOAD && (headers[i].p_flags & PF_W)) {
            char *start = (char *)headers[i].p_vaddr;
            char *end = start + headers[i].p_memsz;
            start = start < __data_start ? __data_start : start;
            out[count++] = (struct region){start, (size_t)(end - start)};
        }
    }
    return count;
}

/* What there is to keep aside at this level; the stacks from the interrupted rsp up. */
static size_t regions_of(int level, uintptr_t rsp, struct region out[REGIONS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < run->variable_count; i++) {
        char *start = run->variables[i].start;
        char *end = start + run->variables[i].bytes;
        char *left_out = run->left_out.start;
        if (left_out >= start && left_out < end) {
            out[count++] = (struct region){start, (size_t)(left_out - start)};
            start = left_out + run->left_out.bytes;
        }
        out[count++] = (struct region){start, (size_t)(end - start)};
    }
    out[count++] = (struct region){&own_thread_top, sizeof(own_thread_top)};
    out[count++] = (struct region){&cpu_local_of_thread, sizeof(cpu_local_of_thread)};
    out[count++] = (struct region){&host_interrupts, sizeof(host_interrupts)};
    if (level > 0) {
        out[count++] = (struct region){(void *)rsp, run->frames_top[level] - rsp};
        rsp = run->frames_top[0];
    }
    if (run->stack_top - rsp > HANDLER_STACK) { /* on a stack that is a variable */
        rsp = run->stack_top - CASE_STACK;
    }
    out[count++] = (struct region){(void *)rsp, run->stack_top - rsp};
    return count;
}

static void keep_state(int level, uintptr_t rsp)
{
    struct region regions[REGIONS_MAX];
    size_t count = regions_of(level, rsp, regions);
    uint8_t *at = run->states[level];
    for (size_t i = 0; i < count; i++) {
        at = copy_out(at, regions[i].start, regions[i].bytes);
    }
}

static void put_state_back(int level, uintptr_t rsp)
{
    struct region regions[REGIONS_MAX];
    size_t count = regions_of(level, rsp, regions);
    const uint8_t *at = run->states[level];
    for (size_t i = 0; i < count; i++) {
        at = copy_in(regions[i].start, at, regions[i].bytes);
    }
}

/* At the program's start. */
static void keep_variables(uint8_t *at)
{
    for (size_t i = 0; i < run->variable_count; i++) {
        at = copy_out(at, run->variables[i].start, run->variables[i].bytes);
    }
}

static void put_variables_back(const uint8_t *at)
{
    for (size_t i = 0; i < run->variable_count; i++) {
        at = copy_in(run->variables[i].start, at, run->variables[i].bytes);
    }
}

/* ---- failures ---- */

void strike_fail(const char *file, int line, const char *what)
{
    const char *name = strrchr(file, '/');
    snprintf(run->what, sizeof(run->what), "%s:%d: %s", name ? name + 1 : file, line, what);
    if (!run->way_out) {
        printf("%s: %s\n", run->now->name, run->what);
        exit(EXIT_FAILURE);
    }
    longjmp(*run->way_out, 1);
}

void strike_leave_out(void *start, size_t bytes)
{
    run->left_out = (struct region){start, bytes};
}

void strike_every(unsigned count)
{
    run->every = count ? count : STRIKE_EVERY;
}

STRIKE_NOT void strike_pause(void)
{
    if (run->stepping && run->level == 0 && !run->full) {
        single_step_end();
        run->stepping = false;
        run->paused = true;
    }
}

STRIKE_NOT void strike_go_on(void)
{
    if (run->paused) {
        run->paused = false;
        run->stepping = true;
        single_step_begin();
    }
}

void strike_set_filter(bool (*is_struck)(uintptr_t rsp))
{
    run->is_struck = is_struck;
}

void strike_set_settle(void (*settle)(uint64_t rsp))
{
    run->settle = settle;
}

bool strike_has_struck(void)
{
    return run->struck;
}

static const Elf64_Sym *symbol_of(uintptr_t address)
{
    for (size_t i = 0; i < run->symbol_count; i++) {
        const Elf64_Sym *symbol = &run->symbols[i];
        if (ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
            address - symbol->st_value < symbol->st_size) {
            return symbol;
        }
    }
    return NULL;
}

static void note_failure(int level)
{
    const Elf64_Sym *symbol = symbol_of(run->struck_at);
    uintptr_t function = symbol ? symbol->st_value : 0;
    struct place *place = run->places;
    while (place < run->places + run->place_count &&
           (place->function != function || place->level != level)) {
        place++;
    }
    if (place == run->places + PLACES_MAX) {
        return;
    }
    if (place == run->places + run->place_count) {
        run->place_count++;
        *place = (struct place){
            .function = function, .level = level, .first = run->struck_at, .last = run->struck_at};
        memcpy(place->what, run->what, sizeof(place->what));
    }
    place->count++;
    place->first = run->struck_at < place->first ? run->struck_at : place->first;
    place->last = run->struck_at > place->last ? run->struck_at : place->last;
}

static void load_symbols(void)
{
    struct stat info;
    int file = open("/proc/self/exe", O_RDONLY);
    if (file < 0 || fstat(file, &info) != 0) {
        return;
    }
    char *image = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (image == MAP_FAILED) {
        return;
    }
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)image;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(image + header->e_shoff);
    for (unsigned i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type == SHT_SYMTAB) {
            run->symbols = (Elf64_Sym *)(image + sections[i].sh_offset);
            run->symbol_count = sections[i].sh_size / sizeof(Elf64_Sym);
            run->names = image + sections[sections[i].sh_link].sh_offset;
        }
    }
}

static void print_place(const struct place *place)
{
    const Elf64_Sym *symbol = symbol_of(place->function);
    printf("    %s+%#lx..%#lx%s, %lu times: %s\n", symbol ? run->names + symbol->st_name : "?",
           (unsigned long)(place->first - place->function),
           (unsigned long)(place->last - place->function),
           place->level ? " and a second fault" : "", place->count, place->what);
}

/* ---- strikes ---- */

/* What catch does on another stack. */
static NOINLINE void release(void)
{
    const struct own_slot *oldest = own_settle(NULL);
    if (oldest) {
        preemption_end_sections(run->hold);
        own_pop(oldest->below, 0, UINTPTR_MAX);
    }
    preemption_restore(run->hold);
    host_interrupts = true; /* the flags of the catch point */
    own_pop(NULL, 0, UINTPTR_MAX);
}

/* In the short form few strikes are followed by a second one: to step through releases takes long.
 */
static bool has_second(void)
{
    return run->full_second || (!run->no_second && run->tally[0].strikes % SECOND_EVERY == 0);
}

/* Calls check(), or release() and check(); true where all is right. Never in between a failure. */
static NOINLINE bool judge(uint64_t registers[SINGLE_STEP_REGISTERS], int level)
{
    jmp_buf here;
    jmp_buf *before = run->way_out;
    bool stepping = run->stepping;
    run->way_out = &here;
    run->ticks = 0;
    volatile bool right = false;
    if (_setjmp(here) == 0) {
        run->level = level + 1;
        run->stepping = false;
        commit_settle(registers); /* in the exception: no other fault can strike there */
        if (run->settle) {
            run->settle(registers[7]);
        }
        if (level == 0 && has_second()) {
            run->steps_into_release = 0;
            run->stepping = true;
            single_step_begin();
            release();
            single_step_end();
        } else {
            release();
        }
        run->stepping = false;
        run->level = LEVELS_MAX;
        if (OWN_TOP) {
            strike_fail(__FILE__, __LINE__, "the chain of slots is not empty");
        }
        run->now->check();
        right = true;
    } else {
        single_step_end();
    }
    run->stepping = stepping;
    run->way_out = before;
    run->level = level;
    return right;
}

static void strike(uint64_t registers[SINGLE_STEP_REGISTERS], int level)
{
    uintptr_t rsp = registers[7];
    run->frames_top[level] = level == 0 ? rsp : run->frames_top[level];
    bool before = run->struck;
    unsigned every = run->every;
    keep_state(level, rsp);
    run->struck = true;
    run->tally[level].strikes++;
    if (judge(registers, level)) {
        run->tally[level].right++;
    } else {
        note_failure(level);
    }
    put_state_back(level, rsp);
    run->struck = before;
    run->every = every;
}

static bool is_struck_here(uintptr_t rip)
{
    return rip >= (uintptr_t)__executable_start && rip < (uintptr_t)etext &&
           (rip < (uintptr_t)__start_not_struck || rip >= (uintptr_t)__stop_not_struck);
}

/* So that there is something there. */
STRIKE_NOT __attribute__((used)) static void executed_only(void)
{
}

/* Is it this run, or the release, that executes it? Not another task meanwhile. */
static bool is_struck_there(uintptr_t rsp, int level)
{
    if (level > 0) {
        return rsp - (uintptr_t)run->handler_stack < HANDLER_STACK;
    }
    return !run->is_struck || run->is_struck(rsp);
}

/* In the short form: what is executed again and again, and where only one of some is struck. */
static bool is_left_out(uintptr_t rip)
{
    uint16_t *count = &run->executed[rip % ARRAY_COUNT(run->executed)];
    if (run->full) {
        return false;
    }
    return run->steps++ % run->every != 0 || (*count)++ >= REPEATS_MAX;
}

/* One instruction was executed. */
static void on_step(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    ucontext_t *user = context;
    if (!run->stepping) {
        return;
    }
    uint64_t registers[SINGLE_STEP_REGISTERS];
    single_step_registers(user, registers);
    int level = run->level;
    if (!is_struck_here(registers[16]) || !is_struck_there(registers[7], level)) {
        return;
    }
    if (level == 0 && is_left_out(registers[16])) {
        return;
    }
    if (level == 0) {
        run->struck_at = registers[16];
        run->frames_top[1] = (uintptr_t)__builtin_frame_address(0);
        run->chosen = (run->chosen + 7) % SECOND_MAX;
        strike(registers, 0);
        return;
    }
    unsigned step = run->steps_into_release++;
    if (run->full_second || step == run->chosen) {
        strike(registers, 1);
    }
    if (step + 1 >= SECOND_MAX || (!run->full_second && step >= run->chosen)) {
        user->uc_mcontext.gregs[REG_EFL] &= ~SINGLE_STEP_FLAG;
    }
}

static void on_crash(int number, siginfo_t *info, void *context)
{
    (void)info;
    uint64_t registers[SINGLE_STEP_REGISTERS];
    single_step_registers(context, registers);
    if (!run->way_out) {
        printf("%s: signal %d at %#lx\n", run->now ? run->now->name : "?", number,
               (unsigned long)registers[16]);
        fflush(stdout);
        _exit(EXIT_FAILURE);
    }
    snprintf(run->what, sizeof(run->what), "signal %d at %#lx", number,
             (unsigned long)registers[16]);
    longjmp(*run->way_out, 1);
}

static void on_tick(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    if (run->way_out && ++run->ticks > TICKS_MAX) {
        uint64_t registers[SINGLE_STEP_REGISTERS];
        single_step_registers(context, registers);
        snprintf(run->what, sizeof(run->what), "does not end, at %#lx",
                 (unsigned long)registers[16]);
        longjmp(*run->way_out, 1);
    }
}

static bool install(void)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    void *stack =
        mmap(NULL, HANDLER_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED ||
        single_step_install(on_step, stack, HANDLER_STACK, SA_NODEFER) != 0) {
        return false;
    }
    run->handler_stack = stack;
    /* Within a handler it is an ordinary stack: code that it calls may leave it for another one. */
    const stack_t own = {.ss_sp = stack, .ss_size = HANDLER_STACK, .ss_flags = SS_AUTODISARM};
    if (sigaltstack(&own, NULL) != 0) {
        return false;
    }
    struct sigaction action = {.sa_sigaction = on_crash,
                               .sa_flags = SA_ONSTACK | SA_SIGINFO | SA_NODEFER};
    for (size_t i = 0; i < ARRAY_COUNT(crashes); i++) {
        sigaction(crashes[i], &action, NULL);
    }
    action.sa_sigaction = on_tick;
    sigaction(SIGPROF, &action, NULL);
    struct itimerval timer = {{0, TICK_US}, {0, TICK_US}};
    return setitimer(ITIMER_PROF, &timer, NULL) == 0;
}

/* ---- cases ---- */

static NOINLINE void step_through(const struct strike_case *now)
{
    run->stack_top = (uintptr_t)__builtin_frame_address(0);
    run->level = 0;
    run->paused = false;
    run->stepping = true;
    single_step_begin();
    now->operate();
    single_step_end();
    run->stepping = false;
    run->paused = false;
}

static bool run_case(const struct strike_case *now)
{
    run->now = now;
    run->chosen = 0;
    run->place_count = 0;
    run->left_out = (struct region){NULL, 0};
    run->every = STRIKE_EVERY;
    run->is_struck = NULL;
    run->settle = NULL;
    memset(run->executed, 0, sizeof(run->executed));
    memset(run->tally, 0, sizeof(run->tally));
    if (now->prepare) {
        now->prepare();
    }
    run->hold = preemption_count();
    step_through(now);
    unsigned long lost[LEVELS_MAX];
    for (int i = 0; i < LEVELS_MAX; i++) {
        lost[i] = run->tally[i].strikes - run->tally[i].right;
    }
    jmp_buf here;
    run->way_out = &here;
    run->ticks = 0;
    bool ends_well = _setjmp(here) == 0;
    if (ends_well) {
        now->check();
    }
    run->way_out = NULL;
    printf("%-36s %6lu strikes, %lu wrong; %6lu with a second fault, %lu wrong%s%s\n", now->name,
           run->tally[0].strikes, lost[0], run->tally[1].strikes, lost[1],
           ends_well ? "" : "; wrong without a fault: ", ends_well ? "" : run->what);
    for (unsigned i = 0; i < run->place_count && i < PRINTED_MAX; i++) {
        print_place(&run->places[i]);
    }
    if (run->place_count > PRINTED_MAX) {
        printf("    and in %u functions more\n", run->place_count - PRINTED_MAX);
    }
    fflush(stdout);
    return ends_well && lost[0] == 0 && lost[1] == 0 && run->tally[0].strikes > 0;
}

int strike_run(const struct strike_case *cases, size_t count)
{
    const char *form = getenv("THEORIS_STRIKE");
    const char *only = getenv("THEORIS_STRIKE_CASE");
    run = mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (run == MAP_FAILED) {
        return EXIT_FAILURE;
    }
    size_t size = 0;
    run->variable_count = find_variables(run->variables);
    for (size_t i = 0; i < run->variable_count; i++) {
        size += run->variables[i].bytes;
    }
    if (size == 0 || size > STATE_MAX) {
        return EXIT_FAILURE;
    }
    for (int i = 0; i <= LEVELS_MAX; i++) {
        run->states[i] = mmap(NULL, STATE_MAX + HANDLER_STACK, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
    run->full_second = form && strcmp(form, "full") == 0;
    run->full = run->full_second || (form && strcmp(form, "each") == 0);
    run->no_second = form && strcmp(form, "first") == 0;
    load_symbols();
    if (!install()) {
        perror("cannot single-step");
        return EXIT_FAILURE;
    }
    uint8_t *start = run->states[LEVELS_MAX];
    struct tally sum[LEVELS_MAX] = {{0}};
    size_t right = 0;
    printf("%zu bytes of variables\n", size);
    keep_variables(start);
    struct cpu_local cpu = cpu_local_of_thread;
    for (size_t i = 0; i < count; i++) {
        if (only && strcmp(only, cases[i].name) != 0) {
            right++;
            continue;
        }
        right += run_case(&cases[i]);
        put_variables_back(start);
        cpu_local_of_thread = cpu;
        own_thread_top = NULL;
        for (int k = 0; k < LEVELS_MAX; k++) {
            sum[k].strikes += run->tally[k].strikes;
            sum[k].right += run->tally[k].right;
        }
    }
    printf("%zu of %zu cases right; exactly once: %lu of %lu strikes, %lu of %lu with a second "
           "fault\n",
           right, count, sum[0].right, sum[0].strikes, sum[1].right, sum[1].strikes);
    return right == count ? EXIT_SUCCESS : EXIT_FAILURE;
}
