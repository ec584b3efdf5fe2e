# SPDX-License-Identifier: MIT
#
# cells.cmake - how a folder says that it is a cell.
#
# Why: one call states what a cell is, what it needs and where it goes; everything else (the cell
# object, the native library, the unit test, the images) follows from it.
#
# Rules: the calls only take notes, in global properties `CELL_<name>_<FIELD>`, so folders may come
# in any order. cells_finalize() in generate.cmake, the last call of the top CMakeLists.txt, checks
# the graph and makes the targets.

include_guard(GLOBAL)

# add_cell(<name>
#          SUMMARY <one line, without a full stop>
#          [DEPENDS <cell or interface>...]     whose headers this cell includes; see below
#          [INTERFACE <name>]                   the interface that this cell implements
#          [SOURCES <file>...]                  default: <name>.c
#          [NANO_CORE]                          also linked into the static nano_core image
#          [APPLICATION]                        an application: no other cell may depend on it
#          [TEST_STUBS <cell>...]               see below
#          [TEST_DEPENDS <cell>...])            what only the unit test needs
#
# The folder is named like the cell. Its include path is its own folder, the folders of the *direct*
# dependencies and that of `cell`, nothing more: a dependency that is not declared does not compile.
#
# Makes: <build>/cells/<name>.cell and .debug, the native library host_<name>, and, when
# test_<name>.c exists, the unit test unit.<name>. The test is linked with the cell and all that it
# needs, except the cells in TEST_STUBS (and what only they need), whose symbols it defines itself.
function(add_cell name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "NANO_CORE;APPLICATION" "SUMMARY;INTERFACE"
                        "DEPENDS;SOURCES;TEST_STUBS;TEST_DEPENDS")
  if(NOT arg_SOURCES)
    set(arg_SOURCES ${name}.c)
  endif()
  list(TRANSFORM arg_SOURCES PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  if(arg_INTERFACE)
    list(APPEND arg_DEPENDS ${arg_INTERFACE})
  endif()
  cells_record(${name} cell)
  foreach(field SOURCES INTERFACE NANO_CORE APPLICATION TEST_STUBS TEST_DEPENDS)
    set_property(GLOBAL PROPERTY CELL_${name}_${field} "${arg_${field}}")
  endforeach()
endfunction()

# add_interface(<name> SUMMARY <one line> [DEFAULT <cell>] [DEPENDS <cell or interface>...])
#
# A folder that holds a header and no code: an interface with several implementations, or functions
# that are all inline. Others depend on it as on a cell.
#
# DEFAULT, one of its implementations, is what those who depend on the interface get: in the static
# nano_core (of implementations marked NANO_CORE only this one), in native programs, and, as the first
# in cells.a to define the symbols, from the loader and in cellpack's graph. The cache variable
# THEORIS_<NAME>, in capitals, selects another one.
function(add_interface name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "SUMMARY;DEFAULT" "DEPENDS;TEST_DEPENDS")
  if(arg_DEFAULT)
    string(TOUPPER THEORIS_${name} variable)
    set(${variable} ${arg_DEFAULT} CACHE STRING "Which implementation of ${name} the system gets")
    set_property(GLOBAL PROPERTY CELL_${name}_DEFAULT ${${variable}})
    set_property(GLOBAL APPEND PROPERTY DEFAULT_CELLS ${${variable}})
  endif()
  cells_record(${name} interface)
  set_property(GLOBAL PROPERTY CELL_${name}_TEST_DEPENDS "${arg_TEST_DEPENDS}")
endfunction()

# What add_cell() and add_interface() have in common; reads the caller's arg_*.
macro(cells_record name type)
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "cell ${name}: unknown argument: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT arg_SUMMARY)
    message(FATAL_ERROR "cell ${name}: SUMMARY is missing")
  endif()
  cmake_path(GET CMAKE_CURRENT_SOURCE_DIR FILENAME folder)
  if(NOT folder STREQUAL "${name}" AND NOT "${name}" STREQUAL "nano_core")
    message(FATAL_ERROR "cell ${name}: its folder has another name, ${folder}")
  endif()
  get_property(other GLOBAL PROPERTY CELL_${name}_FOLDER)
  if(other)
    message(FATAL_ERROR "cell ${name}: defined twice, in\n  ${other}\n  ${CMAKE_CURRENT_SOURCE_DIR}")
  endif()
  set_property(GLOBAL APPEND PROPERTY CELLS ${name})
  set_property(GLOBAL PROPERTY CELL_${name}_TYPE ${type})
  set_property(GLOBAL PROPERTY CELL_${name}_FOLDER ${CMAKE_CURRENT_SOURCE_DIR})
  set_property(GLOBAL PROPERTY CELL_${name}_SUMMARY "${arg_SUMMARY}")
  set_property(GLOBAL PROPERTY CELL_${name}_DEPENDS "${arg_DEPENDS}")
endmacro()

# cell_get(<out> <name> <field>): one field of what add_cell() noted.
macro(cell_get out name field)
  get_property(${out} GLOBAL PROPERTY CELL_${name}_${field})
endmacro()

# cell_needs(<out> <name>): what it depends on, with the default implementations of interfaces, except
# where it is an implementation itself.
function(cell_needs out name)
  cell_get(depends ${name} DEPENDS)
  cell_get(own ${name} INTERFACE)
  set(needs ${depends})
  foreach(depend IN LISTS depends)
    cell_get(default ${depend} DEFAULT)
    if(default AND NOT depend STREQUAL "${own}")
      list(APPEND needs ${default})
    endif()
  endforeach()
  list(REMOVE_DUPLICATES needs)
  set(${out} ${needs} PARENT_SCOPE)
endfunction()

# cell_include_folders(<out> <cell>...): the include path that depending on these cells gives.
function(cell_include_folders out)
  set(folders)
  foreach(cell ${ARGN} cell)
    cell_get(folder ${cell} FOLDER)
    list(APPEND folders ${folder})
  endforeach()
  list(REMOVE_DUPLICATES folders)
  set(${out} ${folders} PARENT_SCOPE)
endfunction()
