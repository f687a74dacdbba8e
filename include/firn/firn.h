/* firn/firn.h -- all of the public interface for programs that store and read logs.
 *
 *   engine.h   rules that hold everywhere; engine, completion queues, requests, volumes, metrics
 *   write.h    streams and their marks; the atomic write; key-value and producer state
 *   read.h     readers, fetches, look-ups
 *   error.h    codes      version.h   versions
 *
 * Not included here: env.h (replacing memory, clocks and files) and store.h (writing a backend).
 * Since 0.1. */
#ifndef FIRN_FIRN_H
#define FIRN_FIRN_H
#include <firn/engine.h>
#include <firn/error.h>
#include <firn/read.h>
#include <firn/version.h>
#include <firn/write.h>
#endif
