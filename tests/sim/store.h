/* A store shared by all nodes: objects, versions, and a network in between that loses, delays and repeats. It stands in the
 * place of mem: (linked so), reached by any mem: URI. */
#ifndef SIM_STORE_H
#define SIM_STORE_H
#include "tests/sim/world.h"

/* The store does not answer until then (virtual ns); 0: it is there. */
void store_outage(uint64_t until_ns);
/* It answers that it has conditions and does not look at these: 1 << FIRN_STORE_IF_... */
void store_ignores(uint32_t conditions);
/* The bytes of an object, to be changed in place; NULL: no such key. */
uint8_t *store_bytes(const char *key, size_t *len);
/* The same of keys that begin so. NULL: none. */
void store_outage_of(const char *prefix, uint64_t until_ns);
/* The node with this number is cut off until then: its requests do not arrive, or only the answers do not come back. Of
 * those that did not arrive some do so behind it. 0: it is not, any more. */
enum store_cut { STORE_CUT_BOTH, STORE_CUT_ANSWERS };
void store_cut(uint32_t node, enum store_cut how, uint64_t until_ns);
/* The node with this number gets no answer of keys that begin so, all others do. NULL: of none any more. */
void store_hide(uint32_t node, const char *prefix);
/* The object with this number among those whose keys begin so is gone; false: there is none. */
bool store_lose(const char *prefix, uint32_t number);
/* It has lost what came after an earlier moment; false: there is no such moment. */
void store_remember(void);
bool store_roll_back(void);
/* What happens in between did not. */
void store_push(void);
void store_pop(void);
uint64_t store_objects(const char *prefix);            /* whose keys begin so */
uint64_t store_holders(const void *bytes, size_t len); /* objects with these bytes in them */
uint64_t store_puts(void);
uint64_t store_puts_to(
        const char *prefix); /* to objects that are there, by the beginning of their key */
#endif
