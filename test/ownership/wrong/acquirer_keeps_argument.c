/* SPDX-License-Identifier: MIT */
/*
 * A function that consumes one handle to make another forgets the first when it fails.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

static enum status wrap(struct thing **content, struct box **out) OWN_CONSUMES(**content)
    OWN_ACQUIRES(**out);
static enum status wrap(struct thing **content, struct box **out)
{
    if (thing_check(*content) != OK) {
        return ERR_FAILED;
    }
    return box_create(content, out);
} /* ! */

enum status run(int argument)
{
    struct thing *content = NULL;
    OWNED(box, box);
    thing_create_spare(&content);
    thing_paint(content, argument);
    return wrap(&content, SLOT(box));
}
