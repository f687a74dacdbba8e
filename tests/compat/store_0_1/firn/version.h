/* firn/version.h -- version numbers, and how a public symbol is declared.
 *
 * The numbers below are those of the headers a program was compiled with; firn_version() gives
 * those of the library it runs with. Since 0.1. */
#ifndef FIRN_VERSION_H
#define FIRN_VERSION_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define FIRN_VERSION_MAJOR 0
#define FIRN_VERSION_MINOR 1
#define FIRN_VERSION_PATCH 0

/* Stands before every public function. FIRN_BUILD is defined while the library itself is built. */
#if defined(FIRN_BUILD) && defined(__GNUC__)
#define FIRN_API __attribute__((visibility("default")))
#else
#define FIRN_API
#endif

/* The structs of these headers have no padding where a pointer is 64 bits wide, and only there. */
#if UINTPTR_MAX != UINT64_MAX
#error "firn needs a 64-bit target"
#endif

/* Version of the loaded library: major << 16 | minor << 8 | patch. Does not block; any thread, also
 * before an engine is open. Cannot fail. Since 0.1. */
FIRN_API uint32_t firn_version(void);

#ifdef __cplusplus
}
#endif
#endif
