/* SPDX-License-Identifier: MIT */
/*
 * What the CPU that booted does to start another one (SDM, "MP Initialization Protocol"): an INIT,
 * which makes it wait; 10 ms later a startup interrupt with the number of a page below 1 MiB, and,
 * if it does not come, another one. All get the INIT at the same time, so the 10 ms pass once; then
 * they come one by one, so that there is one trampoline.
 *
 * Five frames below 1 MiB are taken for that time: the code, and four page tables. The root is a
 * copy of the kernel's upper half, so that the CPU can jump to kernel memory, and maps one page at
 * its physical address: the trampoline. The kernel's own tables never map low memory. A root of its
 * own is needed anyway, because CR3 has 32 bits in 16-bit mode, and the kernel's root may lie
 * above.
 */
#include "processors_priv.h"
#include "acpi.h"
#include "acpi_tables.h"
#include "apic_timer.h"
#include "boot_info.h"
#include "clock.h"
#include "format.h"
#include "freestanding.h"
#include "interrupts.h"
#include "ipi.h"
#include "local_apic.h"
#include "logger.h"
#include "mapped_pages.h"
#include "page_table.h"
#include "pic.h"
#include "remote_call.h"
#include "tlb_shootdown.h"
#include "x86.h"

#define INIT_WAIT_NS    10000000u /* SDM; not for CPUs of this century, but nobody says for which */
#define STARTUP_WAIT_NS 200000u   /* before the second startup interrupt */

#define LOW_START 0x1000ull  /* page 0 belongs to the firmware */
#define LOW_END   0xa0000ull /* video memory and firmware */

/* Frames of the trampoline, in order. */
enum low_frame { LOW_CODE, LOW_ROOT, LOW_LEVEL_3, LOW_LEVEL_2, LOW_LEVEL_1, LOW_FRAMES };

#define ENTRY_TABLE 0x3u /* present, writable */
#define ENTRIES     512u

#define MSR_PAT  0x277u
#define MSR_EFER 0xc0000080u
#define EFER_LMA (1u << 10) /* set by the CPU */

static_assert((SELECTOR_CODE == 0x08) & (SELECTOR_DATA == 0x10), "the order in `gdt`");
#define DESCRIPTOR_CODE 0x00af9b000000ffffull /* as in exceptions.c */
#define DESCRIPTOR_DATA 0x00cf93000000ffffull

/* ---- the trampoline ---- */

static bool overlaps(paddr_t start, uint64_t bytes, paddr_t other, uint64_t other_bytes)
{
    return start < other + other_bytes && other < start + bytes;
}

/* Has the boot loader left something there? */
static bool is_in_use(const struct boot_info *boot, paddr_t start, uint64_t bytes)
{
    bool used = overlaps(start, bytes, boot->information_start, boot->information_bytes);
    for (size_t i = 0; i < boot->module_count; i++) {
        used |= overlaps(start, bytes, boot->modules[i].start, boot->modules[i].bytes);
    }
    return used;
}

/* Does the firmware call all of it usable? */
static bool is_usable(const struct boot_info *boot, paddr_t start, uint64_t bytes)
{
    bool inside = false;
    for (size_t i = 0; i < boot->memory_count; i++) {
        const struct boot_memory *memory = &boot->memory[i];
        if (memory->kind == BOOT_MEMORY_USABLE) {
            inside |= memory->start <= start && start + bytes <= memory->start + memory->bytes;
        } else if (overlaps(start, bytes, memory->start, memory->bytes)) {
            return false;
        }
    }
    return inside;
}

static enum status take_low_pages(struct mapped_pages **out, paddr_t *out_start)
    OWN_ACQUIRES(**out);

/* The highest frames that are free. */
static enum status take_low_pages(struct mapped_pages **out, paddr_t *out_start)
{
    const struct boot_info *boot = boot_info_get();
    const uint64_t bytes = LOW_FRAMES * PAGE_SIZE;
    for (paddr_t start = LOW_END - bytes; start >= LOW_START; start -= PAGE_SIZE) {
        if (!is_usable(boot, start, bytes) || is_in_use(boot, start, bytes)) {
            continue;
        }
        enum status status = mapped_pages_create_at(PAGE_ZONE_DATA, start, bytes, PAGE_WRITE, out);
        if (status == OK) {
            *out_start = start;
            return OK;
        }
        if (status != ERR_BUSY) {
            return status;
        }
    }
    return ERR_NO_MEMORY;
}

static paddr_t frame_at(paddr_t start, enum low_frame which)
{
    return start + which * PAGE_SIZE;
}

static uint64_t *table_at(struct mapped_pages *pages, enum low_frame which) OWN_BORROWS(*pages)
{
    return MAPPED_PAGES_SLICE_MUTABLE(uint64_t, pages, which * PAGE_SIZE, ENTRIES);
}

/* Page tables for the time between 16 bits and kernel memory. */
static void build_tables(struct mapped_pages *pages, paddr_t start) OWN_BORROWS(*pages)
{
    for (enum low_frame which = LOW_ROOT; which < LOW_FRAMES; which++) {
        memset(table_at(pages, which), 0, PAGE_SIZE);
    }
    page_table_copy_root(table_at(pages, LOW_ROOT));
    table_at(pages, LOW_ROOT)[0] = frame_at(start, LOW_LEVEL_3) | ENTRY_TABLE;
    table_at(pages, LOW_LEVEL_3)[0] = frame_at(start, LOW_LEVEL_2) | ENTRY_TABLE;
    table_at(pages, LOW_LEVEL_2)[0] = frame_at(start, LOW_LEVEL_1) | ENTRY_TABLE;
    paddr_t code = frame_at(start, LOW_CODE);
    table_at(pages, LOW_LEVEL_1)[code >> PAGE_SHIFT] = code | ENTRY_TABLE;
}

static struct trampoline_data *build_code(struct mapped_pages *pages, paddr_t start)
    OWN_BORROWS(*pages)
{
    uint8_t *code = MAPPED_PAGES_SLICE_MUTABLE(uint8_t, pages, 0, PAGE_SIZE);
    struct trampoline_data *data =
        (struct trampoline_data *)(code + processors_trampoline_size - sizeof(*data));
    memcpy(code, processors_trampoline, processors_trampoline_size);
    *data = (struct trampoline_data){
        .root = (uint32_t)frame_at(start, LOW_ROOT),
        .cr0 = (uint32_t)read_cr0(),
        .efer = (uint32_t)read_msr(MSR_EFER) & ~EFER_LMA,
        .far_offset = (uint32_t)start + processors_trampoline_long_mode,
        .far_selector = SELECTOR_CODE,
        .gdt_limit = sizeof(data->gdt) - 1,
        .gdt_base = (uint32_t)(start + (uint64_t)((uint8_t *)data->gdt - code)),
        .gdt = {0, DESCRIPTOR_CODE, DESCRIPTOR_DATA},
        .entry = processors_arrive_address,
    };
    return data;
}

/* ---- one CPU ---- */

static enum status prepare(struct processor *processor, unsigned index)
{
    char name[STACK_NAME_SIZE];
    format_into(name, sizeof(name), "CPU %u", index);
    OWNED(stack, stack);
    enum status status = stack_create(PROCESSORS_STACK_SIZE, name, SLOT(stack));
    if (status != OK) {
        return status;
    }
    status = exceptions_cpu_init(&processor->exceptions, index);
    if (status != OK) {
        return status;
    }
    processor->index = index;
    processor->cr3 = read_cr3();
    processor->cr4 = read_cr4();
    processor->cr0 = read_cr0();
    processor->pat = read_msr(MSR_PAT);
    processor->stack_top = stack_top(REF(stack));
    STORE(processor->stack, stack);
    processor->state = PROCESSOR_STARTING;
    return OK;
}

static void discard(struct processor *processor)
{
    exceptions_cpu_fini(&processor->exceptions);
    stack_drop(&processor->stack);
    processor->state = PROCESSOR_ABSENT;
}

static bool wait_for(const struct processor *processor, uint64_t ns)
{
    uint64_t start = clock_now_ns();
    do {
        if (__atomic_load_n(&processor->state, __ATOMIC_ACQUIRE) != PROCESSOR_STARTING) {
            return true;
        }
        cpu_relax();
    } while (clock_now_ns() - start < ns);
    return false;
}

/* Lets the CPU begin, and waits for it. */
static enum status call(struct processor *processor, uint32_t apic_id, paddr_t page,
                        struct trampoline_data *data)
{
    data->processor = (uintptr_t)processor;
    __atomic_store_n(&data->claim, 1, __ATOMIC_SEQ_CST);
    enum status status = ipi_send_startup(apic_id, page);
    if (status == OK && !wait_for(processor, STARTUP_WAIT_NS)) {
        status = ipi_send_startup(apic_id, page);
        if (status == OK && !wait_for(processor, PROCESSORS_LIMIT_NS)) {
            status = ERR_TIMEOUT;
        }
    }
    __atomic_store_n(&data->claim, 0, __ATOMIC_SEQ_CST);
    if (status == OK && processor->state == PROCESSOR_FAILED) {
        status = processor->status;
    }
    return status;
}

static enum status start_one(uint32_t apic_id, unsigned index, paddr_t page,
                             struct trampoline_data *data)
{
    struct processor *processor = &processors[index];
    enum status status = prepare(processor, index);
    if (status != OK) {
        return status;
    }
    status = call(processor, apic_id, page, data);
    if (status != OK && ipi_send_init(apic_id) == OK) {
        clock_spin_ns(INIT_WAIT_NS); /* it waits again, wherever it was */
        discard(processor);
    }
    return status;
}

/* ---- all ---- */

static bool is_to_be_started(const struct acpi_processor *listed)
{
    return listed->apic_id != CPU_LOCAL(apic_id);
}

static void reset_all(const struct acpi_madt *madt)
{
    for (uint32_t i = 0; i < madt->processor_count; i++) {
        if (is_to_be_started(&madt->processors[i])) {
            (void)!ipi_send_init(madt->processors[i].apic_id); /* the startup will tell */
        }
    }
    clock_spin_ns(INIT_WAIT_NS);
}

static void start_all(const struct acpi_madt *madt, paddr_t page, struct trampoline_data *data)
{
    unsigned index = 1;
    unsigned beyond = 0;
    for (uint32_t i = 0; i < madt->processor_count; i++) {
        uint32_t apic_id = madt->processors[i].apic_id;
        if (!is_to_be_started(&madt->processors[i])) {
            continue;
        }
        if (index >= CPU_LIMIT) {
            beyond++;
            continue;
        }
        enum status status = start_one(apic_id, index, page, data);
        if (status == OK) {
            index++;
        } else {
            log_warning("the CPU with APIC id %u does not start: %s", apic_id, status_text(status));
            index += processors[index].state != PROCESSOR_ABSENT; /* it may still use its place */
        }
    }
    if (beyond > 0) {
        log_warning("%u CPUs are left alone: this system uses %u", beyond, CPU_LIMIT);
    }
}

static enum status start_others(const struct acpi_madt *madt)
{
    OWNED(mapped_pages, pages);
    paddr_t start;
    enum status status = take_low_pages(SLOT(pages), &start);
    if (status != OK) {
        return status;
    }
    build_tables(REF(pages), start);
    struct trampoline_data *data = build_code(REF(pages), start);
    reset_all(madt);
    start_all(madt, start, data);
    if (processors_count() > 1) {
        tlb_shootdown_init();
    }
    return OK;
}

static enum status start_this(void)
{
    interrupts_init();
    pic_disable();
    enum status status = local_apic_init_cpu();
    if (status != OK) {
        return status;
    }
    apic_timer_prepare();
    status = clock_init();
    if (status != OK) {
        return status;
    }
    status = remote_call_init();
    if (status == OK) {
        remote_call_enter();
        enable_interrupts();
    }
    return status;
}

enum status processors_start(void)
{
    static bool is_started;
    if (is_started) {
        return ERR_STATE;
    }
    is_started = true;
    enum status status = start_this();
    if (status != OK) {
        return status;
    }
    const struct acpi_madt *madt = acpi_get()->madt;
    if (madt && madt->processor_count > 1) {
        status = start_others(madt);
        if (status != OK) {
            log_warning("the other CPUs cannot be started: %s", status_text(status));
        }
        log_info("%u CPUs run", processors_count());
    }
    return OK;
}
