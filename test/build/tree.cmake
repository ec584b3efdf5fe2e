# SPDX-License-Identifier: MIT
# What the tiny trees share: our build functions, a cellpack that is there already, and the cell `cell`.
set(THEORIS_HOST_TESTS OFF)
set(THEORIS_PROFILE release)
list(APPEND CMAKE_MODULE_PATH ${CMAKE_CURRENT_LIST_DIR}/../../cmake)
include(host)
include(cells)
include(graph)
include(tests)
include(fuzz)
include(generate)
add_executable(cellpack IMPORTED)
set_target_properties(cellpack PROPERTIES IMPORTED_LOCATION ${CELLPACK})
add_subdirectory(${CMAKE_CURRENT_LIST_DIR}/../../cells/base/cell ${CMAKE_BINARY_DIR}/cell)
