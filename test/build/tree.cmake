# SPDX-License-Identifier: MIT
# What the tiny trees share: our build functions and the cell `cell`.
set(THEORIS_HOST_TESTS OFF)
list(APPEND CMAKE_MODULE_PATH ${CMAKE_CURRENT_LIST_DIR}/../../cmake)
include(host)
include(cells)
include(graph)
include(tests)
include(fuzz)
include(generate)
add_subdirectory(${CMAKE_CURRENT_LIST_DIR}/../../cells/base/cell ${CMAKE_BINARY_DIR}/cell)
