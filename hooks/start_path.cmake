# SPDX-License-Identifier: LGPL-2.1-or-later
# Places side by side what a run of the hook goes through until it knows that a domain has no GPU: the C
# library's start above all, which otherwise lies all over the program's 1,400 pages, while the kernel maps 16
# of them at each page fault (do_fault_around, mm/memory.c). bench/README.md has the figures. A name that the
# C library does not have changes nothing.
set(start_path_objects
  # start and end
  libc-start libc-tls init-first init-misc libc_early_init dl-support dl-tunables dl-early_allocate dl-tls
  dl-tls_init_tp dl-debug dl-find_object dl-load dl-lookup dl-object dl-origin dl-reloc dl-setup_hash
  dl-debug-symbols elision-conf enbl-secure environ single_threaded lowlevellock vars pthread_mutex_conf
  pthread_mutex_lock pthread_mutex_unlock setjmp bsd-_setjmp sigjmp cxa_atexit exit ctype-info genops malloc
  _exit
  # system calls
  brk sbrk mprotect getrlimit64 getrandom getenv geteuid clock_gettime select fdelt_chk read
  # each chooses its variant for the processor (IFUNC)
  memchr memcmp memcpy memmove mempcpy memset rawmemchr stpcpy stpncpy strcasecmp strcasecmp_l strcat
  strchr strchrnul strcmp strcpy strcspn strlen strncase strncase_l strncmp strncpy strnlen strpbrk strrchr
  strspn strstr wcschr wcscmp wcscpy wcslen wcsnlen wmemchr wmemcmp wmemset
  # the variants, of which a processor uses one
  memchr-* memmove-*erms memset-*erms memcmp-avx* memcmp-evex* strlen-* strcmp-avx* strcmp-evex* strrchr-*)
foreach(object IN LISTS start_path_objects)
  foreach(kind text rodata bss)
    string(APPEND start_path_${kind} "    *libc.a:${object}.o(.${kind} .${kind}.*)\n")
  endforeach()
  # Not .data.rel.ro, which is made read-only where it is.
  string(APPEND start_path_data "    *libc.a:${object}.o(.data .data.rel .data.rel.local)\n")
endforeach()
configure_file(start_path.ld.in start_path.ld @ONLY)
set(start_path ${CMAKE_CURRENT_BINARY_DIR}/start_path.ld)
include(CheckLinkerFlag)
check_linker_flag(CXX LINKER:-T,${start_path} LINKER_TAKES_START_PATH)
if(LINKER_TAKES_START_PATH)
  target_link_options(gpuward-qemu-hook PRIVATE LINKER:-T,${start_path})
  set_property(TARGET gpuward-qemu-hook APPEND PROPERTY LINK_DEPENDS ${start_path})
endif()
