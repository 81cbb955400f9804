# SPDX-License-Identifier: LGPL-2.1-or-later
# What gpuward is built with. All that is missing is named at once, by its Debian package, before anything
# is compiled; docs/building.md names the packages of other systems.
set(missing "")
macro(need found what package)
  if(NOT ${found})
    string(APPEND missing "\n  ${package} (${what})")
  endif()
endmacro()

find_package(PkgConfig QUIET)
need(PKG_CONFIG_FOUND "pkg-config" pkgconf)
find_package(CLI11 QUIET)
need(CLI11_FOUND "CLI11" libcli11-dev)
find_package(nlohmann_json QUIET)
need(nlohmann_json_FOUND "nlohmann_json" nlohmann-json3-dev)
find_package(spdlog QUIET)
need(spdlog_FOUND "spdlog and fmt" libspdlog-dev)

# need_module(PREFIX MODULE… PACKAGE): by name (-lxml2), not as imported targets, which are shared
# objects: the hook is linked statically.
macro(need_module prefix modules package)
  if(PKG_CONFIG_FOUND)
    pkg_check_modules(${prefix} QUIET ${modules})
  endif()
  need(${prefix}_FOUND "pkg-config: ${modules}" ${package})
endmacro()
need_module(LIBXML2 "libxml-2.0" libxml2-dev)
need_module(LIBVIRT "libvirt;libvirt-qemu" libvirt-dev)
need_module(UDEV "libudev" libudev-dev)
need_module(INIH "inih" libinih-dev)
need_module(UUID "uuid" uuid-dev)

if(GPUWARD_STATIC_HOOK)
  find_path(ICU_INCLUDE_DIR unicode/ucnv.h)
  need(ICU_INCLUDE_DIR "unicode/ucnv.h" libicu-dev)
  foreach(archive xml2:libxml2-dev lzma:liblzma-dev z:zlib1g-dev inih:libinih-dev uuid:uuid-dev)
    string(REPLACE ":" ";" archive ${archive})
    list(GET archive 0 name)
    list(GET archive 1 package)
    find_library(STATIC_${name} lib${name}.a)
    need(STATIC_${name} "lib${name}.a, or -DGPUWARD_STATIC_HOOK=OFF" ${package})
  endforeach()
  include(CheckCXXSourceCompiles)
  set(CMAKE_REQUIRED_LINK_OPTIONS -static)
  check_cxx_source_compiles("#include <string>\nint main(int argc, char**) { return std::to_string(argc).empty(); }"
    HAVE_STATIC_RUNTIME)
  unset(CMAKE_REQUIRED_LINK_OPTIONS)
  need(HAVE_STATIC_RUNTIME "libc.a and libstdc++.a, or -DGPUWARD_STATIC_HOOK=OFF" g++)
endif()

if(BUILD_TESTING)
  find_package(GTest QUIET)
  need(GTest_FOUND "GTest, or -DBUILD_TESTING=OFF" libgtest-dev)
  find_path(GMOCK_INCLUDE_DIR gmock/gmock.h)
  need(GMOCK_INCLUDE_DIR "gmock/gmock.h, or -DBUILD_TESTING=OFF" libgmock-dev)
endif()

if(missing)
  unset(HAVE_STATIC_RUNTIME CACHE)  # looked for again, as the others are
  message(FATAL_ERROR "What gpuward is built with is missing. The Debian packages:${missing}\n"
    "All of them are installed by: apt build-dep ./")
endif()
