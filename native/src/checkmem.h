/* Marks for the constant-time check: memcheck reports a branch or an address that depends on undefined memory, so
 * secrets are declared undefined, and what becomes public is declared defined where it does. Nothing in other builds. */
#ifndef QUORATE_CHECKMEM_H
#define QUORATE_CHECKMEM_H

#ifdef QUORATE_CHECKMEM
#include <valgrind/memcheck.h>
#define QUORATE_CLASSIFY(memory, size) VALGRIND_MAKE_MEM_UNDEFINED((memory), (size))
#define QUORATE_DECLASSIFY(memory, size) VALGRIND_MAKE_MEM_DEFINED((memory), (size))
#else
#define QUORATE_CLASSIFY(memory, size) ((void)(memory), (void)(size))
#define QUORATE_DECLASSIFY(memory, size) ((void)(memory), (void)(size))
#endif

#endif
