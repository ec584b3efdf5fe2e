/* SPDX-License-Identifier: MIT */
/*
 * A controller has a place for each line that says whose it is: the address of the owner's handle,
 * or NULL. A handle says which line it is about. So a handle that is not in its place owns nothing:
 * routing makes the handle first, then takes the place by one exchange; dropping masks, then gives
 * the place up, then lets go of the handle. Whatever is begun again meanwhile finds out where it
 * stands.
 *
 * Registers are reached by an index and a window, in two steps under the controller's lock.
 */
#include "io_apic.h"
#include "acpi.h"
#include "acpi_tables.h"
#include "heap_block.h"
#include "logger.h"
#include "mmio.h"
#include "spinlock.h"

CELL(driver, "1.0.0");

/* Data sheet, "Memory Mapped Registers for Accessing IOAPIC Registers". */
#define INDEX           0x00u
#define WINDOW          0x10u
#define REGISTERS_BYTES 0x20u

/* Data sheet, "IOAPIC Registers". */
#define REGISTER_VERSION   0x01u
#define REGISTER_LOW(pin)  (0x10u + 2u * (pin))
#define REGISTER_HIGH(pin) (0x11u + 2u * (pin))
#define VERSION(value)     ((value)&0xff)
#define LAST_PIN(value)    ((value) >> 16 & 0xff)
#define PIN_LIMIT          120u /* REGISTER_HIGH of the last one must be below 0x100 */

/*
 * Data sheet, "I/O Redirection Table Registers": the low half; fixed delivery, to one APIC number.
 */
#define ENTRY_ACTIVE_LOW (1u << 13)
#define ENTRY_LEVEL      (1u << 15)
#define ENTRY_MASKED     (1u << 16)
#define ENTRY_ID_SHIFT   24   /* in the high half */
#define ID_MAX           254u /* 255 is everybody */

/* Where every PC has its first one, and how its old interrupts arrive there (MP specification 1.4,
 * "Default Configurations"). */
#define DEFAULT_ADDRESS 0xfec00000ull
#define TIMER_IRQ       0u
#define TIMER_PIN       2u

#define CONTROLLER_LIMIT ACPI_IO_APIC_LIMIT

struct controller {
    struct irq_spinlock lock;     /* of index and window */
    struct mmio *registers;       /* owned, for good */
    struct io_apic_line **owners; /* line_count of them */
    uint32_t gsi_base;
    uint32_t line_count;
    uint8_t version;
};

struct io_apic_line {
    struct controller *controller; /* NULL: about none yet */
    uint32_t pin;
};

static struct controller controllers[CONTROLLER_LIMIT];
static unsigned controller_count; /* grows when one is complete */
static bool is_ready;

/* ---- registers; offsets are inside, so that accesses do not fail ---- */

static uint32_t read_register(struct controller *controller, unsigned index)
    OWN_NEEDS(controller->lock)
{
    uint32_t value = UINT32_MAX;
    if (mmio_write32(STORED(controller->registers), INDEX, index) != OK ||
        mmio_read32(STORED(controller->registers), WINDOW, &value) != OK) {
        return UINT32_MAX;
    }
    return value;
}

static void write_register(struct controller *controller, unsigned index, uint32_t value)
    OWN_NEEDS(controller->lock)
{
    if (mmio_write32(STORED(controller->registers), INDEX, index) == OK) {
        (void)!mmio_write32(STORED(controller->registers), WINDOW, value);
    }
}

/* Reading back makes sure that the controller has got it. */
static void change_low(struct controller *controller, uint32_t pin, uint32_t clear, uint32_t set)
{
    GUARD(irq_spinlock, held, &controller->lock);
    uint32_t low = read_register(controller, REGISTER_LOW(pin));
    write_register(controller, REGISTER_LOW(pin), (low & ~clear) | set);
    (void)read_register(controller, REGISTER_LOW(pin));
}

static void write_high(struct controller *controller, uint32_t pin, uint32_t apic_id)
{
    GUARD(irq_spinlock, held, &controller->lock);
    write_register(controller, REGISTER_HIGH(pin), apic_id << ENTRY_ID_SHIFT);
}

static uint32_t read_version(struct controller *controller)
{
    GUARD(irq_spinlock, held, &controller->lock);
    return read_register(controller, REGISTER_VERSION);
}

/* ---- finding the controllers ---- */

static enum status identify(struct controller *controller)
{
    uint32_t version = read_version(controller);
    if (version == UINT32_MAX || VERSION(version) == 0) { /* nobody answers */
        return ERR_NO_DEVICE;
    }
    if (LAST_PIN(version) >= PIN_LIMIT) {
        return ERR_BAD_FORMAT;
    }
    controller->version = (uint8_t)VERSION(version);
    controller->line_count = LAST_PIN(version) + 1;
    bool has_memory =
        heap_block_take_zeroed(controller->line_count * sizeof(void *), &controller->owners);
    return has_memory ? OK : ERR_NO_MEMORY;
}

/* What an attempt that was struck has left behind goes first. */
static enum status take_over(const struct acpi_io_apic *place, struct controller *controller)
{
    mmio_drop(STORED_SLOT(controller->registers));
    heap_block_give(&controller->owners);
    OWNED(mmio, registers);
    enum status status = mmio_create(place->address, REGISTERS_BYTES, SLOT(registers));
    if (status != OK) {
        return status;
    }
    controller->lock = IRQ_SPINLOCK_INIT("io_apic");
    controller->gsi_base = place->gsi_base;
    STORE(controller->registers, registers);
    status = identify(controller);
    if (status != OK) {
        mmio_drop(STORED_SLOT(controller->registers));
        return status;
    }
    for (uint32_t pin = 0; pin < controller->line_count; pin++) {
        change_low(controller, pin, UINT32_MAX, ENTRY_MASKED);
    }
    return OK;
}

static enum status add_controller(const struct acpi_io_apic *place)
{
    if (controller_count == CONTROLLER_LIMIT) {
        return ERR_LIMIT;
    }
    enum status status = take_over(place, &controllers[controller_count]);
    if (status == OK) {
        controller_count++;
    } else {
        log_warning("the IO APIC at %#llx is left out: %s", (unsigned long long)place->address,
                    status_text(status));
    }
    return status;
}

enum status io_apic_init(void)
{
    static const struct acpi_io_apic usual = {.address = DEFAULT_ADDRESS};
    if (is_ready) {
        return OK;
    }
    const struct acpi_madt *madt = acpi_get()->madt;
    bool is_named = madt && madt->io_apic_count > 0;
    const struct acpi_io_apic *places = is_named ? madt->io_apics : &usual;
    uint32_t count = is_named ? madt->io_apic_count : 1;
    enum status status = OK;
    for (uint32_t i = 0; i < count && status != ERR_NO_MEMORY; i++) {
        status = add_controller(&places[i]);
    }
    if (controller_count == 0) {
        return status == ERR_NO_MEMORY ? status : ERR_NO_DEVICE;
    }
    is_ready = true;
    return OK;
}

/* ---- lines ---- */

static struct controller *find_controller(uint32_t gsi)
{
    for (unsigned i = 0; i < controller_count; i++) {
        struct controller *controller = &controllers[i];
        if (gsi >= controller->gsi_base && gsi - controller->gsi_base < controller->line_count) {
            return controller;
        }
    }
    return NULL;
}

static enum status check_route(uint8_t vector, uint32_t apic_id)
{
    return !is_ready                     ? ERR_STATE
           : vector < IO_APIC_VECTOR_MIN ? ERR_INVALID_ARGUMENT
           : apic_id > ID_MAX            ? ERR_OUT_OF_BOUNDS
                                         : OK;
}

static bool take_place(struct io_apic_line *line)
{
    struct io_apic_line *nobody = NULL;
    return __atomic_compare_exchange_n(&line->controller->owners[line->pin], &nobody, line, false,
                                       __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static void leave_place(struct io_apic_line *line)
{
    struct io_apic_line **place = &line->controller->owners[line->pin];
    if (__atomic_load_n(place, __ATOMIC_RELAXED) == line) {
        change_low(line->controller, line->pin, 0, ENTRY_MASKED);
        __atomic_store_n(place, NULL, __ATOMIC_RELEASE); /* pairs with take_place() */
    }
}

/* Unchecked: handles begin here. */
OWN_UNCHECKED enum status io_apic_route(uint32_t gsi, enum io_apic_trigger trigger, uint8_t vector,
                                        uint32_t apic_id, struct io_apic_line **out)
{
    enum status status = check_route(vector, apic_id);
    if (status != OK) {
        return status;
    }
    struct controller *controller = find_controller(gsi);
    if (!controller) {
        return ERR_NOT_FOUND;
    }
    OWNED(io_apic_line, line);
    if (!heap_block_take_zeroed(sizeof(struct io_apic_line), SLOT(line))) {
        return ERR_NO_MEMORY;
    }
    struct io_apic_line *block = *SLOT(line);
    block->pin = gsi - controller->gsi_base;
    COMPILER_BARRIER(); /* with a controller, it is about a line */
    block->controller = controller;
    if (!take_place(REF(line))) {
        return ERR_BUSY;
    }
    write_high(controller, block->pin, apic_id);
    change_low(controller, block->pin, UINT32_MAX,
               ENTRY_MASKED | vector | (trigger & IO_APIC_EDGE_LOW ? ENTRY_ACTIVE_LOW : 0) |
                   (trigger & IO_APIC_LEVEL_HIGH ? ENTRY_LEVEL : 0));
    MOVE(*out, line);
    return OK;
}

enum status io_apic_route_isa(unsigned irq, uint8_t vector, uint32_t apic_id,
                              struct io_apic_line **out)
{
    if (irq >= ACPI_ISA_IRQ_COUNT) {
        return ERR_OUT_OF_BOUNDS;
    }
    struct acpi_interrupt usual = {.gsi = irq == TIMER_IRQ ? TIMER_PIN : irq};
    const struct acpi_madt *madt = acpi_get()->madt;
    const struct acpi_interrupt *line = madt ? &madt->isa[irq] : &usual;
    enum io_apic_trigger trigger =
        (line->is_active_low ? IO_APIC_EDGE_LOW : 0) | (line->is_level ? IO_APIC_LEVEL_HIGH : 0);
    return io_apic_route(line->gsi, trigger, vector, apic_id, out);
}

void io_apic_line_drop(struct io_apic_line **handle)
{
    struct io_apic_line *line = *handle;
    if (!line) {
        return;
    }
    if (line->controller) {
        leave_place(line);
    }
    heap_block_give_thing(handle);
}

void io_apic_line_mask(struct io_apic_line *line)
{
    change_low(line->controller, line->pin, 0, ENTRY_MASKED);
}

void io_apic_line_unmask(struct io_apic_line *line)
{
    change_low(line->controller, line->pin, ENTRY_MASKED, 0);
}

enum status io_apic_line_move(struct io_apic_line *line, uint32_t apic_id)
{
    if (apic_id > ID_MAX) {
        return ERR_OUT_OF_BOUNDS;
    }
    write_high(line->controller, line->pin, apic_id);
    return OK;
}

uint32_t io_apic_line_gsi(const struct io_apic_line *line)
{
    return line->controller->gsi_base + line->pin;
}

enum status io_apic_describe(unsigned index, struct io_apic_description *out)
{
    if (index >= controller_count) {
        return ERR_NOT_FOUND;
    }
    const struct controller *controller = &controllers[index];
    *out = (struct io_apic_description){
        .gsi_base = controller->gsi_base,
        .line_count = controller->line_count,
        .version = controller->version,
    };
    for (uint32_t pin = 0; pin < controller->line_count; pin++) {
        out->routed += __atomic_load_n(&controller->owners[pin], __ATOMIC_RELAXED) != NULL;
    }
    return OK;
}
