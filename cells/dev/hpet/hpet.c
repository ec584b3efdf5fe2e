/* SPDX-License-Identifier: MIT */
/*
 * Firmware may have left the counter stopped, or may have put the timer in the place of the old
 * interrupts 0 and 8 ("legacy replacement"); neither is left so. Until the timer is known to work
 * what firmware had configured is in a slot, whose drop puts it back: after an error, and after a
 * fault.
 */
#include "hpet.h"
#include "acpi.h"
#include "acpi_tables.h"
#include "commit.h"
#include "logger.h"
#include "mmio.h"

CELL(driver, "1.0.0");

/* HPET spec, 2.3 "Memory Map": the block is 1 KiB; offsets within. */
#define HPET_BYTES   1024u
#define CAPABILITIES 0x000u
#define CONFIGURE    0x010u
#define COUNTER      0x0f0u

/* HPET spec, 2.3.4 "General Capabilities and ID Register". */
#define REVISION(capabilities) ((capabilities)&0xff) /* never 0 */
#define TIMERS(capabilities)   (((capabilities) >> 8 & 0x1f) + 1)
#define COUNTER_IS_64_BIT      (1ull << 13)
#define VENDOR(capabilities)   ((capabilities) >> 16 & 0xffff)
#define PERIOD(capabilities)   ((capabilities) >> 32)
#define PERIOD_MAX             0x05f5e100u /* 100 ns: "must be less than or equal" */

/* HPET spec, 2.3.5 "General Configuration Register". */
#define CONFIGURE_ENABLE 1u
#define CONFIGURE_LEGACY 2u

/* Without ACPI: where chipsets put it (ICH9 datasheet, "HPTC": the first of four places). */
#define DEFAULT_ADDRESS 0xfed00000ull

/* A read takes more than 10 ns and a tick at most 100 ns; this many show that nothing moves. */
#define MOVE_READS 1000u

static struct mmio *registers;     /* owned, for good, once the timer is known to work */
static volatile uint64_t *counter; /* in them: reading it is part of the error of a measurement */
static struct hpet_description description;

/* 0: firmware, which says what there is, says nothing of one. */
static paddr_t find_address(void)
{
    const struct acpi *acpi = acpi_get();
    return acpi->hpet ? acpi->hpet->address : acpi->status == OK ? 0 : DEFAULT_ADDRESS;
}

static enum status read_capabilities(const struct mmio *mmio, struct hpet_description *out)
    OWN_BORROWS(*mmio)
{
    uint64_t value;
    enum status status = mmio_read64(mmio, CAPABILITIES, &value);
    if (status != OK) {
        return status;
    }
    if (value == 0 || value == UINT64_MAX) { /* nobody answers at this address */
        return ERR_NO_DEVICE;
    }
    if (REVISION(value) == 0 || PERIOD(value) == 0 || PERIOD(value) > PERIOD_MAX) {
        log_warning("the timer's capabilities are nonsense: %#llx", (unsigned long long)value);
        return ERR_BAD_FORMAT;
    }
    *out = (struct hpet_description){
        .period_fs = (uint32_t)PERIOD(value),
        .vendor = (uint16_t)VENDOR(value),
        .timers = (uint8_t)TIMERS(value),
        .counter_mask = value & COUNTER_IS_64_BIT ? UINT64_MAX : UINT32_MAX,
    };
    return OK;
}

/* What the timer was told before. */
struct OWN_CAPABILITY("configuration to come back") hpet_setting {
    struct mmio *mmio; /* borrowed from a slot that is older */
    uint64_t value;
};
OWN_DECLARE_LOCAL(hpet_setting);

static NOINLINE void hpet_setting_drop(struct hpet_setting **handle)
{
    if (*handle) {
        (void)!mmio_write64((*handle)->mmio, CONFIGURE, (*handle)->value);
        EMPTY(handle);
    }
}

/* `setting` is the caller's storage, which the slot is filled with. */
static OWN_UNCHECKED enum status start_counter(struct mmio *mmio, struct hpet_setting *setting,
                                               struct hpet_setting **out)
{
    uint64_t value;
    enum status status = mmio_read64(mmio, CONFIGURE, &value);
    if (status != OK) {
        return status;
    }
    *setting = (struct hpet_setting){mmio, value};
    FILL(out, setting);
    value = (value & ~(uint64_t)CONFIGURE_LEGACY) | CONFIGURE_ENABLE;
    return mmio_write64(mmio, CONFIGURE, value);
}

static enum status watch_counter(const struct mmio *mmio) OWN_BORROWS(*mmio)
{
    uint64_t first;
    uint64_t now;
    enum status status = mmio_read64(mmio, COUNTER, &first);
    for (unsigned i = 0; status == OK && i < MOVE_READS; i++) {
        status = mmio_read64(mmio, COUNTER, &now);
        if (status == OK && now != first) {
            return OK;
        }
    }
    if (status == OK) {
        log_warning("the timer's counter stands at %#llx", (unsigned long long)first);
        return ERR_IO;
    }
    return status;
}

/* It works: in one step it is there for good. */
static OWN_UNCHECKED void keep(struct mmio **mmio, struct hpet_setting **before, volatile void *at)
{
    struct commit_list list = {.count = 0};
    commit_add(&list, &registers, *mmio);
    commit_add(&list, mmio, NULL);
    commit_add(&list, before, NULL);
    commit_add(&list, &counter, at);
    commit_list(&list);
}

OWN_UNCHECKED enum status hpet_init(void)
{
    if (counter) {
        return OK;
    }
    paddr_t address = find_address();
    if (!address) {
        return ERR_NO_DEVICE;
    }
    OWNED(mmio, mmio);
    enum status status = mmio_create(address, HPET_BYTES, SLOT(mmio));
    if (status != OK) {
        return status;
    }
    status = read_capabilities(REF(mmio), &description);
    if (status != OK) {
        return status;
    }
    struct hpet_setting setting;
    OWNED(hpet_setting, before);
    status = start_counter(REF(mmio), &setting, SLOT(before));
    if (status != OK) {
        return status;
    }
    status = watch_counter(REF(mmio));
    if (status != OK) {
        return status;
    }
    volatile void *at;
    status = mmio_find(REF(mmio), COUNTER, sizeof(uint64_t), sizeof(uint64_t), &at);
    if (status != OK) {
        return status;
    }
    keep(SLOT(mmio), SLOT(before), at);
    return OK;
}

uint64_t hpet_read(void)
{
    return counter ? *counter & description.counter_mask : 0;
}

enum status hpet_describe(struct hpet_description *out)
{
    if (!counter) {
        return ERR_STATE;
    }
    *out = description;
    return OK;
}
