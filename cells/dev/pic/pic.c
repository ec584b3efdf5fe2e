/* SPDX-License-Identifier: MIT */
/* Masking alone would leave vectors 8 to 15 to spurious interrupts: 8 is the double fault. */
#include "pic.h"
#include "port_io.h"

CELL(driver, "1.0.0");

#define FIRST_COMMAND  0x20
#define FIRST_DATA     0x21
#define SECOND_COMMAND 0xa0
#define SECOND_DATA    0xa1

/* 8259A, "Initialization Command Words 1 to 4" and "Operation Control Word 1". */
#define ICW1          0x11 /* edges, cascaded, ICW4 follows */
#define ICW3_FIRST    0x04 /* the second controller is at line 2 */
#define ICW3_SECOND   0x02
#define ICW4          0x01 /* 8086 */
#define OCW1_MASK_ALL 0xff
#define PORT_UNUSED   0x80 /* takes the time that an old controller needs between two writes */

static void write(uint16_t port, uint8_t value)
{
    port_write8(port, value);
    port_write8(PORT_UNUSED, 0);
}

static void set_up(uint16_t command, uint16_t data, uint8_t vector, uint8_t cascade)
{
    write(command, ICW1); /* this also clears the mask */
    write(data, vector);
    write(data, cascade);
    write(data, ICW4);
    write(data, OCW1_MASK_ALL);
}

void pic_disable(void)
{
    write(FIRST_DATA, OCW1_MASK_ALL);
    write(SECOND_DATA, OCW1_MASK_ALL);
    set_up(FIRST_COMMAND, FIRST_DATA, PIC_VECTOR_FIRST, ICW3_FIRST);
    set_up(SECOND_COMMAND, SECOND_DATA, PIC_VECTOR_SECOND, ICW3_SECOND);
}
