/* SPDX-License-Identifier: MIT */
#pragma once

#include "cell.h"

CELL_API const char *bell(void);
