/* SPDX-License-Identifier: MIT */
/*
 * Everything that is printed comes from the frame, the control registers and the chain of slots;
 * nothing is allocated. Reports of several CPUs come one after another: `printing` is held
 * meanwhile, by whoever does not have to wait for it too long.
 *
 * `reporter` says which CPU reports. Another one that has something to report waits for the first
 * to end the system; should that take too long, it reports as well. `depth` is the reporter's:
 * whatever breaks the report itself must not start it again.
 */
#include "exceptions_priv.h"
#include "address_map.h"
#include "backtrace.h"
#include "bounded_lock.h"
#include "console.h"
#include "cpu_local.h"
#include "format.h"
#include "freestanding.h"
#include "nano_core_image.h"
#include "owned.h"
#include "panic.h"
#include "parking.h"
#include "stack.h"
#include "x86.h"

#define LOCATION_SIZE    160 /* names of a cell and a section, both at most 64 bytes in practice */
#define DESCRIPTION_SIZE 128
#define CALLERS          10 /* so that the report fits a screen of 25 lines */

/* Error code of a page fault. */
#define FAULT_PRESENT  (1u << 0)
#define FAULT_WRITE    (1u << 1)
#define FAULT_RESERVED (1u << 3)
#define FAULT_FETCH    (1u << 4)

/* Error code of the exceptions that concern a segment selector. */
#define SELECTOR_EXTERNAL (1u << 0)
#define SELECTOR_TABLE(e) (((e) >> 1) & 3)
#define SELECTOR_INDEX(e) (((e) >> 3) & 0x1fff)

/* Looks at `reporter`, some tens of instructions each: seconds. No report takes that long. */
#define REPORT_PATIENCE 50000000u
#define NOBODY          UINT32_MAX

static exceptions_last_action_t last_action;
static void (*stop_others)(void);
static uint32_t reporter = NOBODY; /* index of the CPU */
static unsigned depth;
static struct bounded_lock printing;

static const char *const names[EXCEPTION_COUNT] = {
    [0] = "divide error (#DE)",
    [1] = "debug exception (#DB)",
    [2] = "non-maskable interrupt",
    [3] = "breakpoint (#BP)",
    [4] = "overflow (#OF)",
    [5] = "bound range exceeded (#BR)",
    [6] = "invalid opcode (#UD)",
    [7] = "device not available (#NM)",
    [8] = "double fault (#DF)",
    [10] = "invalid task state segment (#TS)",
    [11] = "segment not present (#NP)",
    [12] = "stack segment fault (#SS)",
    [13] = "general protection (#GP)",
    [14] = "page fault (#PF)",
    [16] = "x87 floating point error (#MF)",
    [17] = "alignment check (#AC)",
    [18] = "machine check (#MC)",
    [19] = "SIMD floating point error (#XM)",
    [20] = "virtualization exception (#VE)",
    [21] = "control protection (#CP)",
    [28] = "hypervisor injection (#HV)",
    [29] = "VMM communication (#VC)",
    [30] = "security exception (#SX)",
};

const char *exceptions_name(uint64_t vector)
{
    return vector < EXCEPTION_COUNT && names[vector] ? names[vector] : "reserved";
}

/* Does `address` lie in the stack at `place` or one of its guards? */
static bool is_near(uint64_t address, const struct stack_place *place)
{
    struct stack_place other;
    return stack_find(address, &other) && other.bottom == place->bottom;
}

/*
 * An access to a guard page by what runs on the same stack has run over its end. An overflow shows
 * as a double fault, for the page fault finds no room for its frame either; CR2 is then about that
 * frame, or about the access before, and both are in the guard.
 */
static bool describe_stack_end(struct format_buffer *text, uint64_t rsp, uint64_t cr2)
{
    struct stack_place place;
    if (!stack_find_guard(cr2, &place)) {
        return false;
    }
    if (!is_near(rsp, &place)) {
        format_append(text, "%#llx is in the guard page %s the stack `%s`", (unsigned long long)cr2,
                      place.part == STACK_GUARD_BELOW ? "below" : "above", place.name);
    } else if (place.part == STACK_GUARD_BELOW) {
        uint64_t lowest = rsp < cr2 ? rsp : cr2;
        format_append(text, "the stack `%s` has overflowed by %llu bytes", place.name,
                      (unsigned long long)(place.bottom - lowest));
    } else {
        format_append(text, "the stack `%s` has underflowed by %llu bytes", place.name,
                      (unsigned long long)(cr2 - place.top + 1));
    }
    return true;
}

static void describe_page_fault(struct format_buffer *text, uint64_t error, uint64_t cr2)
{
    const char *access = error & FAULT_FETCH   ? "executed"
                         : error & FAULT_WRITE ? "wrote to"
                                               : "read from";
    const char *reason = error & FAULT_RESERVED     ? "whose page table entry is malformed"
                         : !(error & FAULT_PRESENT) ? "which is not mapped"
                         : error & FAULT_FETCH      ? "which is not executable"
                         : error & FAULT_WRITE      ? "which is not writable"
                                                    : "which is not accessible";
    format_append(text, "%s %#llx, %s", access, (unsigned long long)cr2, reason);
}

static void describe_selector(struct format_buffer *text, uint64_t error)
{
    static const char *const tables[] = {"GDT", "IDT", "LDT", "IDT"};
    if (error == 0) {
        format_append(text, "not about a segment: a wrong address or operand, most likely");
        return;
    }
    format_append(text, "%s entry %u%s", tables[SELECTOR_TABLE(error)],
                  (unsigned)SELECTOR_INDEX(error),
                  error & SELECTOR_EXTERNAL ? ", from outside of the program" : "");
}

/* Is `address` in a region of this kind of some cell, with `length` bytes behind it in its section?
 */
static bool is_in_section(uint64_t address, uint64_t length, enum region_kind region)
{
    const struct section *section = address_map_find(address);
    return section && section->region == (uint32_t)region &&
           section->size - (address - section->address) >= length;
}

/* The words of PANIC(), if that is the instruction at `rip`. */
static void describe_panic(struct format_buffer *text, uint64_t rip)
{
    static const uint8_t opcode[] = {PANIC_OPCODE_0, PANIC_OPCODE_1, PANIC_OPCODE_2};
    int32_t distance;
    address_map_enter();
    if (is_in_section(rip, PANIC_LENGTH, REGION_TEXT) &&
        memcmp((const void *)rip, opcode, sizeof(opcode)) == 0) {
        memcpy(&distance, (const uint8_t *)rip + sizeof(opcode), sizeof(distance));
        uint64_t words = rip + PANIC_LENGTH + (uint64_t)(int64_t)distance;
        const struct section *section = address_map_find(words);
        if (is_in_section(words, 1, REGION_RODATA)) {
            uint64_t most = section->size - (words - section->address);
            const char *end = memchr((const void *)words, '\0', most);
            format_append_bytes(text, (const char *)words,
                                end ? (size_t)(end - (const char *)words) : 0);
        }
    }
    address_map_leave();
}

size_t exceptions_describe(const struct exception_frame *frame, uint64_t cr2, char *buffer,
                           size_t size)
{
    struct format_buffer text = format_buffer_of(buffer, size);
    switch (frame->vector) {
    case 10:
    case 11:
    case 12:
    case 13:
        describe_selector(&text, frame->error_code);
        break;
    case EXCEPTION_UD:
        describe_panic(&text, frame->rip);
        break;
    case EXCEPTION_DF: /* the first of the two is lost */
        describe_stack_end(&text, frame->rsp, cr2);
        break;
    case EXCEPTION_PF:
        if (!describe_stack_end(&text, frame->rsp, cr2)) {
            describe_page_fault(&text, frame->error_code, cr2);
        }
        break;
    default:
        break;
    }
    return text.length;
}

/*
 * Until the static cells are adopted, the image's table is all that is known of them: no sections.
 */
static size_t locate_in_image(uint64_t address, char *buffer, size_t size)
{
    static const char *const regions[REGION_COUNT] = {"text", "rodata", "data"};
    for (uint64_t i = 0; i < nano_core_image.cell_count; i++) {
        const struct nano_core_image_cell *cell = &nano_core_image.cells[i];
        for (unsigned r = 0; r < REGION_COUNT; r++) {
            if (address - cell->addresses[r] < cell->sizes[r]) {
                return format_into(buffer, size, "%s, %s+%#llx", cell->name, regions[r],
                                   (unsigned long long)(address - cell->addresses[r]));
            }
        }
    }
    return format_into(buffer, size, "no cell");
}

size_t exceptions_locate(uint64_t address, char *buffer, size_t size)
{
    struct stack_place place;
    address_map_enter();
    const struct section *section = address_map_find(address);
    size_t length = 0;
    if (section) {
        length = format_into(buffer, size, "%s:%s+%#llx", section->cell->name, section->name,
                             (unsigned long long)(address - section->address));
    }
    address_map_leave();
    if (section) {
        return length;
    }
    if (stack_find(address, &place)) {
        return format_into(buffer, size, "stack `%s`", place.name);
    }
    return locate_in_image(address, buffer, size);
}

void exceptions_set_last_action(exceptions_last_action_t action)
{
    last_action = action;
}

static void print_registers(const struct exception_frame *f)
{
#define ROW         "  %s %016llx  %s %016llx  %s %016llx  %s %016llx\n"
#define WORD(value) (unsigned long long)(value)
    console_print(ROW, "rax", WORD(f->rax), "rbx", WORD(f->rbx), "rcx", WORD(f->rcx), "rdx",
                  WORD(f->rdx));
    console_print(ROW, "rsi", WORD(f->rsi), "rdi", WORD(f->rdi), "rbp", WORD(f->rbp), "rsp",
                  WORD(f->rsp));
    console_print(ROW, "r8 ", WORD(f->r8), "r9 ", WORD(f->r9), "r10", WORD(f->r10), "r11",
                  WORD(f->r11));
    console_print(ROW, "r12", WORD(f->r12), "r13", WORD(f->r13), "r14", WORD(f->r14), "r15",
                  WORD(f->r15));
    console_print(ROW, "rfl", WORD(f->rflags), "cr0", WORD(read_cr0()), "cr3", WORD(read_cr3()),
                  "cr4", WORD(read_cr4()));
    console_print("  cs %04llx  ss %04llx\n", WORD(f->cs), WORD(f->ss));
}

static void print_callers(const struct exception_frame *frame)
{
    const uint64_t registers[CFI_REGISTER_COUNT] = {
        [CFI_RAX] = frame->rax, [CFI_RDX] = frame->rdx, [CFI_RCX] = frame->rcx,
        [CFI_RBX] = frame->rbx, [CFI_RSI] = frame->rsi, [CFI_RDI] = frame->rdi,
        [CFI_RBP] = frame->rbp, [CFI_RSP] = frame->rsp, [CFI_R8] = frame->r8,
        [CFI_R9] = frame->r9,   [CFI_R10] = frame->r10, [CFI_R11] = frame->r11,
        [CFI_R12] = frame->r12, [CFI_R13] = frame->r13, [CFI_R14] = frame->r14,
        [CFI_R15] = frame->r15, [CFI_RIP] = frame->rip,
    };
    backtrace_print(registers, true, CALLERS);
}

/* The newest slot of what was interrupted: those of handlers are on their stack, below the frame.
 */
static const struct own_slot *interrupted_top(const struct exception_frame *frame)
{
    struct stack_place place;
    const struct own_slot *slot = OWN_TOP;
    vaddr_t end = (vaddr_t)frame;
    if (stack_find(end, &place)) {
        while ((vaddr_t)slot >= place.bottom && (vaddr_t)slot < end) {
            slot = slot->below;
        }
    }
    return slot;
}

static void print_owned(const struct own_slot *top)
{
    char text[OWNED_LINE_SIZE];
    owned_describe(top, text, sizeof(text));
    console_print("  owns %s\n", text);
}

void exceptions_print(const struct exception_frame *frame)
{
    char text[LOCATION_SIZE];
    uint64_t cr2 = read_cr2();
    const struct own_slot *top = interrupted_top(frame);
    OWNED(bounded_lock, held);
    (void)!bounded_lock_lock(&printing, SLOT(held)); /* without it, reports mix */

    console_print("\nCPU exception %llu: %s, error code %#llx, on CPU %u", WORD(frame->vector),
                  exceptions_name(frame->vector), WORD(frame->error_code), CPU_LOCAL(index));
    if (CPU_LOCAL(interrupt_depth)) {
        console_print(", in a handler of interrupts");
    } else if (CPU_LOCAL(task)) {
        console_print(", in task `%s`", parking_name(CPU_LOCAL(task)));
    }
    console_print("\n");
    if (exceptions_describe(frame, cr2, text, DESCRIPTION_SIZE)) {
        console_print("  because: %s\n", text);
    }
    exceptions_locate(frame->rip, text, sizeof(text));
    console_print("  rip %016llx  %s\n", WORD(frame->rip), text);
    exceptions_locate(cr2, text, sizeof(text));
    console_print("  cr2 %016llx  %s\n", WORD(cr2), text);
    print_registers(frame);
    print_owned(top);
    print_callers(frame);
}

bool exceptions_is_reporting(void)
{
    return __atomic_load_n(&reporter, __ATOMIC_RELAXED) == CPU_LOCAL(index);
}

/* Makes this CPU the one that reports. */
static void become_reporter(void)
{
    uint32_t self = CPU_LOCAL(index);
    for (uint32_t i = 0; i < REPORT_PATIENCE; i++) {
        uint32_t expected = NOBODY;
        if (__atomic_compare_exchange_n(&reporter, &expected, self, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) {
            break;
        }
        cpu_relax();
    }
    __atomic_store_n(&reporter, self, __ATOMIC_RELAXED);
    depth = 0;
}

void exceptions_set_stop_others(void (*stop)(void))
{
    stop_others = stop;
}

/*
 * Stopping the other CPUs may be what breaks: the first report comes after that, or in spite of it.
 */
void exceptions_give_up(const struct exception_frame *frame)
{
    static const struct exception_frame *unreported;
    disable_interrupts();
    if (!exceptions_is_reporting()) {
        become_reporter();
    }
    depth++;
    if (depth == 1) {
        unreported = frame;
        if (stop_others) {
            stop_others();
        }
    } else if (depth == 2) {
        console_print("\nCPU exception %llu within the report, rip %#llx\n", WORD(frame->vector),
                      WORD(frame->rip));
    }
    if (depth <= 2 && unreported) {
        const struct exception_frame *first = unreported;
        unreported = NULL;
        exceptions_print(first);
    }
    if (depth <= 3 && last_action) {
        last_action();
    }
    for (;;) {
        disable_interrupts();
        halt();
    }
}
