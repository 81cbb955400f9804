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
# Likewise behind it what a domain with an mdev goes through further, as archive:objects. What GCC takes for
# unlikely is not among it: .text.unlikely.
set(prepare_path_objects
  gpuward_hooks:qemu_hook
  gpuward_lifecycle:by_hand,check_running,prepare,requirements
  gpuward_protection:gpu_hotplug,gpu_hotplug_gaps,guards,memory_hotplug,migration,own_ports,pause,pci_controllers,pci_ports,pci_root,protect,qemu_version,verdict
  gpuward_allocation:mdev_rooms,offered_types,place_mdev,placement,pool,quota,reassignment,request,request_verdict
  gpuward_kinds:fraction_limit,mdev,mig_part,type_limit
  gpuward_inventory:gpu_hostdevs,gpu_types,open_handles,usage
  gpuward_state:claim,claim_store,device_records,gpu_domain_marker,quarantine,single_use,start_permit,temporary_files
  gpuward_domain:domain,guest_suspend,memory,qemu_commandline,qemu_override,xml_document
  gpuward_pci:card_facts,identity,pci_device
  gpuward_mdev:instance,parent
  gpuward_config:config,config_parser,gpu_selector,gpu_settings,ini_file,names,request_words,section,section_gpu,section_guard,section_profile,setting
  gpuward_base:file,kernel_write,lock,number_set,pci_address,process,quote,trusted_file,utf8,uuid)
foreach(archive IN LISTS prepare_path_objects)
  string(REPLACE ":" ";" archive ${archive})
  list(GET archive 1 objects)
  list(GET archive 0 archive)
  string(REPLACE "," ";" objects ${objects})
  foreach(object IN LISTS objects)
    string(APPEND prepare_path_text "    *lib${archive}.a:${object}.cpp.o(.text .text._Z*)\n")
  endforeach()
endforeach()
# A static libxml2 as Debian builds it has a section for each of its files.
foreach(object parser parserInternals SAX2 dict buf encoding xmlIO uri globals threads xmlstring xmlmemory error)
  string(APPEND prepare_path_text "    *libxml2.a:${object}.o(.text)\n")
endforeach()
foreach(object
    _itoa access canonicalize clone close close_nocancel closedir dup2 errno-loc fcntl64 fcntl_nocancel fstat64
    fstatat64 getdents64 getpid iopadn libc_sigaction lstat64 open64 open64_nocancel opendir pipe2 poll
    pthread_sigmask rand_r readdir64 readlink rename sigaction sigempty sigprocmask snprintf_chk stat64 strdup
    strops strtoul strtoul_l time umask unlink vfprintf-internal vsnprintf wait4 waitpid write)
  string(APPEND prepare_path_text "    *libc.a:${object}.o(.text .text.*)\n")
endforeach()
configure_file(start_path.ld.in start_path.ld @ONLY)
set(start_path ${CMAKE_CURRENT_BINARY_DIR}/start_path.ld)
include(CheckLinkerFlag)
check_linker_flag(CXX LINKER:-T,${start_path} LINKER_TAKES_START_PATH)
if(LINKER_TAKES_START_PATH)
  target_link_options(gpuward-qemu-hook PRIVATE LINKER:-T,${start_path})
  set_property(TARGET gpuward-qemu-hook APPEND PROPERTY LINK_DEPENDS ${start_path})
endif()
