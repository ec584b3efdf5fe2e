/* SPDX-License-Identifier: MIT */
#include "anchor.h"

int main(void)
{
    return anchor() - 1;
}
