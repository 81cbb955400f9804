# SPDX-License-Identifier: LGPL-2.1-or-later
# Between installing into the staging directory and packing it: what Debian wants compressed, and
# directory modes and times that do not depend on who builds when.
cmake_policy(VERSION 3.25)

# The time of the changelog's newest entry, unless the builder says otherwise.
if(NOT DEFINED ENV{SOURCE_DATE_EPOCH})
  file(STRINGS ${CMAKE_CURRENT_LIST_DIR}/changelog trailer REGEX "^ -- .*>  " LIMIT_COUNT 1)
  string(REGEX REPLACE "^ -- .*>  " "" date "${trailer}")
  execute_process(COMMAND date -d ${date} +%s
    OUTPUT_VARIABLE epoch OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  set(ENV{SOURCE_DATE_EPOCH} ${epoch})
endif()

file(GLOB_RECURSE compressed
  ${CPACK_TEMPORARY_DIRECTORY}/usr/share/man/man*/*.[1-9]
  ${CPACK_TEMPORARY_DIRECTORY}/usr/share/doc/gpuward/changelog)
foreach(file ${compressed})
  execute_process(COMMAND gzip -9nf ${file} COMMAND_ERROR_IS_FATAL ANY)
endforeach()

execute_process(COMMAND find ${CPACK_TEMPORARY_DIRECTORY} -type d -exec chmod 755 {} +
  COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND find ${CPACK_TEMPORARY_DIRECTORY} -exec touch -hd @$ENV{SOURCE_DATE_EPOCH} {} +
  COMMAND_ERROR_IS_FATAL ANY)
