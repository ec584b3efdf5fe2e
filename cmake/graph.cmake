# SPDX-License-Identifier: MIT
#
# graph.cmake - the graph of declared dependencies: it must be closed and without cycles.
#
# Why: a cycle means that two cells are one; it stops decomposition before it starts. Configuring
# fails with the whole cycle in the message.

include_guard(GLOBAL)

# cells_check(<out_order>): checks the whole graph and yields all cells, each after what it needs;
# the order depends on names only.
function(cells_check out_order)
  get_property(cells GLOBAL PROPERTY CELLS)
  list(SORT cells)
  set_property(GLOBAL PROPERTY CELLS_ORDER "")
  foreach(cell IN LISTS cells)
    set_property(GLOBAL PROPERTY CELL_${cell}_SEEN FALSE)
  endforeach()
  foreach(cell IN LISTS cells)
    cells_visit(${cell} "")
  endforeach()
  get_property(order GLOBAL PROPERTY CELLS_ORDER)
  set(${out_order} ${order} PARENT_SCOPE)
endfunction()

# Depth-first; `path` is the chain of cells that led here.
function(cells_visit name path)
  cell_get(seen ${name} SEEN)
  if(seen)
    return()
  endif()
  list(FIND path ${name} start)
  list(APPEND path ${name})
  if(NOT start EQUAL -1)
    list(SUBLIST path ${start} -1 cycle)
    list(JOIN cycle " -> " text)
    message(FATAL_ERROR "dependency cycle: ${text}")
  endif()
  cell_get(depends ${name} DEPENDS)
  list(SORT depends)
  foreach(depend IN LISTS depends)
    check_dependency(${name} ${depend})
    cells_visit(${depend} "${path}")
  endforeach()
  set_property(GLOBAL PROPERTY CELL_${name}_SEEN TRUE)
  set_property(GLOBAL APPEND PROPERTY CELLS_ORDER ${name})
endfunction()

function(check_dependency name depend)
  cell_get(folder ${name} FOLDER)
  cell_get(type ${depend} TYPE)
  if(NOT type)
    message(FATAL_ERROR "unknown dependency: ${name} -> ${depend}\n"
                        "No add_cell() or add_interface() defines ${depend}; "
                        "it is named in ${folder}/CMakeLists.txt")
  endif()
  cell_get(application ${depend} APPLICATION)
  if(application)
    message(FATAL_ERROR "cell ${name} depends on ${depend}, which is an application")
  endif()
endfunction()

# cell_closure(<out> STUBS [<cell>...] OF <cell>...): the cells and all that they need, each before
# what it needs, without STUBS and without what is needed only through STUBS.
function(cell_closure out)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "STUBS;OF")
  set(wanted ${arg_OF})
  set(queue ${arg_OF})
  while(queue)
    list(POP_FRONT queue cell)
    cell_get(depends ${cell} DEPENDS)
    foreach(depend IN LISTS depends)
      if(NOT depend IN_LIST wanted AND NOT depend IN_LIST arg_STUBS)
        list(APPEND wanted ${depend})
        list(APPEND queue ${depend})
      endif()
    endforeach()
  endwhile()
  get_property(order GLOBAL PROPERTY CELLS_ORDER)
  list(REVERSE order)
  set(closure)
  foreach(cell IN LISTS order)
    if(cell IN_LIST wanted)
      list(APPEND closure ${cell})
    endif()
  endforeach()
  set(${out} ${closure} PARENT_SCOPE)
endfunction()
