# SPDX-License-Identifier: MIT
#
# generate.cmake - from the notes of add_cell() to targets.
#
# Why: a cell may depend on one whose folder comes later, so nothing is made before all calls are in.

include_guard(GLOBAL)

# cells_finalize(): checks the graph, then makes the native libraries and tests and, where there
# is a packer, cells and images. The last call of the top CMakeLists.txt.
function(cells_finalize)
  cells_check(order)
  foreach(cell IN LISTS order)
    generate_host_library(${cell})
    note_cell_test(${cell})
  endforeach()
  generate_unit_tests()
  generate_fuzz_tests()
  generate_header_check(${order})
  if(TARGET cellpack)
    foreach(cell IN LISTS order)
      generate_cell(${cell})
    endforeach()
    generate_images(${order})
  endif()
endfunction()

# host_<name>: the C sources compiled natively. Linking it brings the cell, all that it needs, and the
# include path of this one header folder. Cells without native code become an interface library.
function(generate_host_library name)
  foreach(field DEPENDS SOURCES INTERFACE)
    cell_get(${field} ${name} ${field})
  endforeach()
  list(FILTER SOURCES INCLUDE REGEX "\\.[cS]$")
  if(SOURCES)
    add_library(host_${name} STATIC EXCLUDE_FROM_ALL ${SOURCES})
    set_target_properties(host_${name} PROPERTIES ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/host)
    target_link_libraries(host_${name} PRIVATE host_options)
    cell_include_folders(folders ${name} ${DEPENDS})
    list(TRANSFORM folders PREPEND -iquote)
    target_compile_options(host_${name} PRIVATE ${folders})
    target_compile_definitions(host_${name} PRIVATE CELL_NAME="${name}"
                                                    CELL_SUMMARY="${name}, compiled natively")
    if(INTERFACE)
      target_compile_definitions(host_${name} PRIVATE CELL_INTERFACE="${INTERFACE}")
    endif()
  else()
    add_library(host_${name} INTERFACE)
  endif()
  cell_include_folders(folders ${name})
  list(TRANSFORM folders PREPEND -iquote)
  target_compile_options(host_${name} INTERFACE ${folders})
  cell_needs(needs ${name})
  foreach(depend IN LISTS needs)
    target_link_libraries(host_${name} INTERFACE $<LINK_ONLY:host_${depend}>)
  endforeach()
endfunction()

# The unit test beside the cell, if there is one.
function(note_cell_test name)
  foreach(field FOLDER DEPENDS TEST_DEPENDS TEST_STUBS)
    cell_get(${field} ${name} ${field})
  endforeach()
  if(EXISTS ${FOLDER}/test_${name}.c)
    add_unit_test(${name} SOURCES ${FOLDER}/test_${name}.c
                  DEPENDS ${name} ${DEPENDS} ${TEST_DEPENDS} STUBS ${TEST_STUBS})
  endif()
endfunction()

# <build>/cells/<name>.cell: the sources as `cellpack compile` makes a cell of them.
function(generate_cell name)
  foreach(field TYPE FOLDER DEPENDS SOURCES SUMMARY INTERFACE)
    cell_get(${field} ${name} ${field})
  endforeach()
  if(NOT TYPE STREQUAL "cell")
    return()
  endif()
  cell_include_folders(folders ${name} ${DEPENDS})
  set(includes)
  foreach(folder IN LISTS folders)
    list(APPEND includes -I ${folder})
  endforeach()
  if(INTERFACE)
    set(interface --interface ${INTERFACE})
  endif()
  set(stem ${CMAKE_BINARY_DIR}/cells/${name})
  add_custom_command(
    OUTPUT ${stem}.cell
    BYPRODUCTS ${stem}.debug
    COMMAND cellpack compile --name ${name} --summary "${SUMMARY}" ${interface}
            --profile ${THEORIS_PROFILE} -o ${stem}.cell --debug ${stem}.debug
            --depfile ${stem}.d ${includes} ${SOURCES}
    DEPENDS cellpack ${SOURCES}
    DEPFILE ${stem}.d
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
    COMMENT "cell ${name}"
    VERBATIM)

  # What the rule `ownership` of `cellpack check` shows to clang.
  set(list)
  foreach(folder IN LISTS folders)
    string(APPEND list "include ${folder}\n")
  endforeach()
  foreach(source IN LISTS SOURCES)
    if(source MATCHES "\\.c$")
      string(APPEND list "source ${source}\n")
    endif()
  endforeach()
  file(CONFIGURE OUTPUT ${stem}.sources CONTENT "${list}" @ONLY)
endfunction()

# The targets `cells` (cells.a), `nano_core` (the static image) and `iso` (theoris.iso).
function(generate_images)
  set(archive ${CMAKE_BINARY_DIR}/image/cells.a)
  set(nano_core ${CMAKE_BINARY_DIR}/image/nano_core)
  set(iso ${CMAKE_BINARY_DIR}/theoris.iso)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/image ${CMAKE_BINARY_DIR}/cells)

  set(packed)
  set(static)
  foreach(cell IN LISTS ARGN)
    cell_get(type ${cell} TYPE)
    cell_get(in_nano_core ${cell} NANO_CORE)
    cell_get(interface ${cell} INTERFACE)
    cell_get(default "${interface}" DEFAULT)
    if(default AND NOT default STREQUAL cell)
      set(in_nano_core FALSE)
    endif()
    if(type STREQUAL "cell")
      list(APPEND packed ${CMAKE_BINARY_DIR}/cells/${cell}.cell)
      if(in_nano_core AND NOT cell STREQUAL "nano_core")
        list(APPEND static ${CMAKE_BINARY_DIR}/cells/${cell}.cell)
      endif()
    endif()
  endforeach()
  list(SORT packed)
  get_property(defaults GLOBAL PROPERTY DEFAULT_CELLS)
  list(TRANSFORM defaults PREPEND --first= OUTPUT_VARIABLE first)
  add_custom_command(
    OUTPUT ${archive}
    COMMAND cellpack pack -o ${archive} ${first} ${packed}
    DEPENDS cellpack ${packed}
    COMMENT "cells.a"
    VERBATIM)
  add_custom_target(cells ALL DEPENDS ${archive})
  if(NOT "nano_core" IN_LIST ARGN)
    return()
  endif()

  list(PREPEND static ${CMAKE_BINARY_DIR}/cells/nano_core.cell)
  add_custom_command(
    OUTPUT ${nano_core}
    BYPRODUCTS ${nano_core}.map.json
    COMMAND cellpack link -o ${nano_core} --base 0xffffffff80100000 --physical 0x100000
            --entry nano_core_start --map ${nano_core}.map.json ${static}
    DEPENDS cellpack ${static}
    COMMENT "nano_core"
    VERBATIM)
  add_custom_target(nano_core ALL DEPENDS ${nano_core})
  add_custom_command(
    OUTPUT ${iso}
    COMMAND cellpack image -o ${iso} --nano-core ${nano_core} --cells ${archive}
    DEPENDS cellpack ${nano_core} ${archive}
    COMMENT "theoris.iso"
    VERBATIM)
  add_custom_target(iso DEPENDS ${iso})
  if(THEORIS_BOOT_TESTS)
    set_target_properties(iso PROPERTIES EXCLUDE_FROM_ALL FALSE)
    add_custom_target(iso_by_default ALL DEPENDS ${iso})
  endif()
endfunction()

# The target `headers` compiles each header alone, freestanding, with the include path of its cell.
function(generate_header_check)
  add_custom_target(headers)
  foreach(cell IN LISTS ARGN)
    cell_get(folder ${cell} FOLDER)
    cell_get(depends ${cell} DEPENDS)
    cell_get(test_depends ${cell} TEST_DEPENDS) # of headers for tests
    file(GLOB headers CONFIGURE_DEPENDS ${folder}/*.h)
    if(NOT headers)
      continue()
    endif()
    set(sources)
    foreach(header IN LISTS headers)
      cmake_path(GET header FILENAME file)
      set(source ${CMAKE_BINARY_DIR}/headers/${cell}/${file}.c)
      file(CONFIGURE OUTPUT ${source} CONTENT "#include \"${file}\"\n")
      list(APPEND sources ${source})
    endforeach()
    add_library(headers_${cell} OBJECT EXCLUDE_FROM_ALL ${sources})
    cell_include_folders(folders ${cell} ${depends} ${test_depends})
    list(TRANSFORM folders PREPEND -iquote)
    target_compile_options(headers_${cell} PRIVATE ${THEORIS_WARNINGS} ${folders} -std=gnu11
                           -ffreestanding -fno-pic -mcmodel=kernel -mno-red-zone -mgeneral-regs-only)
    target_compile_definitions(headers_${cell} PRIVATE CELL_NAME="${cell}" CELL_SUMMARY="header")
    add_dependencies(headers headers_${cell})
  endforeach()
endfunction()
