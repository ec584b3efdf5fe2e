/* SPDX-License-Identifier: MIT */
/*
 * port_io.h - reads and writes of x86 I/O ports.
 *
 * Why: the one place with `in` and `out`. On a host the functions are only declared: the test of a
 * driver defines them, and with them the device.
 *
 * Rules: the order of port accesses is the order in the source. Any context; no state.
 */
#pragma once

#include "cell.h"

#if __STDC_HOSTED__

uint8_t port_read8(uint16_t port);
void port_write8(uint16_t port, uint8_t value);
uint16_t port_read16(uint16_t port);
void port_write16(uint16_t port, uint16_t value);

#else

static inline uint8_t port_read8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline void port_write8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint16_t port_read16(uint16_t port)
{
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline void port_write16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

#endif
