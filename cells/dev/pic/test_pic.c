/* SPDX-License-Identifier: MIT */
/* Two 8259A, as far as their set-up goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "pic.h"
#include "port_io.h"

struct controller {
    uint8_t words[4]; /* ICW1 to ICW4 */
    unsigned next;    /* which comes to the data port; 0: none, it is the mask */
    uint8_t mask;
};

static struct controller controllers[2];

static void write_data(struct controller *controller, uint8_t value)
{
    if (controller->next == 0) {
        controller->mask = value;
        return;
    }
    controller->words[controller->next] = value;
    controller->next = controller->next == 3 ? 0 : controller->next + 1;
}

void port_write8(uint16_t port, uint8_t value)
{
    if (port == 0x80) {
        return; /* time passes */
    }
    assert_true(port == 0x20 || port == 0x21 || port == 0xa0 || port == 0xa1);
    struct controller *controller = &controllers[port >= 0xa0];
    if (port & 1) {
        write_data(controller, value);
        return;
    }
    assert_int_equal(value & 0x10, 0x10); /* ICW1: nothing else is sent there */
    *controller = (struct controller){.words = {value}, .next = 1, .mask = 0};
}

uint8_t port_read8(uint16_t port)
{
    (void)port;
    fail();
    return 0;
}

void port_write16(uint16_t port, uint16_t value)
{
    (void)port;
    (void)value;
    fail();
}

static void test_disable_moves_the_vectors_and_masks_all(void **state)
{
    (void)state;
    memset(controllers, 0, sizeof(controllers));
    pic_disable();
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(controllers[i].next, 0); /* set up to the end */
        assert_int_equal(controllers[i].mask, 0xff);
        assert_int_equal(controllers[i].words[0], 0x11);
        assert_int_equal(controllers[i].words[3], 0x01);
    }
    assert_int_equal(controllers[0].words[1], PIC_VECTOR_FIRST);
    assert_int_equal(controllers[1].words[1], PIC_VECTOR_SECOND);
    assert_int_equal(controllers[0].words[2], 0x04);
    assert_int_equal(controllers[1].words[2], 0x02);
    assert_true(PIC_VECTOR_FIRST >= 32 && PIC_VECTOR_FIRST % 8 == 0 && PIC_VECTOR_SECOND % 8 == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disable_moves_the_vectors_and_masks_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
