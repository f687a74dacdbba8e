/* mem:NAME -- a store in this process's memory, for tests and trials.
 *
 *	mem_store.c    objects: open, PUT, GET, STAT, LIST, DELETE
 *	multipart.c    uploads in parts
 *
 * Stores of one name share their objects, so that two engines in a process can meet here, and the
 * objects outlive every handle, so that a volume can be closed and opened again. They live until
 * the process ends. That takes a global, `mem_registry`, the only one in firn; a store that must be
 * shared by engines with different allocators cannot belong to one of them, so it uses malloc.
 *
 * Requests are done inside submit(): nothing here waits for anything but the lock. */
#ifndef MEM_STORE_H
#define MEM_STORE_H
#include <firn/store.h>
#include <pthread.h>

struct mem_object {
	char *key;
	uint8_t *data;
	size_t len;
	uint64_t version;
	int64_t mtime_ms;
};

struct mem_part {
	uint32_t number, _pad;
	uint8_t *data;
	size_t len;
	uint64_t version;
};

struct mem_upload {
	struct mem_upload *next;
	char *key;
	uint64_t id;
	struct mem_part *part; /* by number */
	size_t n, cap;
};

struct mem_bucket {
	struct mem_bucket *next;
	char *name;
	struct mem_object *object; /* in the order of their keys */
	size_t n, cap;
	struct mem_upload *upload;
};

struct mem_registry {
	pthread_mutex_t lock; /* guards all buckets and what they hold */
	struct mem_bucket *first;
	uint64_t last_version; /* of any object, part or upload: no two PUTs are alike */
};

extern struct mem_registry mem_registry;

struct mem_handle {
	struct mem_bucket *bucket;
	const struct firn_store_host *host;
};

void mem_error(struct firn_store_request *req, int code, const char *text);
/* The bytes of an iovec in memory of their own; NULL: none, the request says so. */
uint8_t *mem_gather(struct firn_store_request *req);
void mem_version(uint64_t version, struct firn_store_version *v);
int mem_same_version(uint64_t version, const struct firn_store_version *v);
/* Stores `data`, which becomes the object's or is freed, if the request's condition holds. */
void mem_put_locked(struct mem_handle *h, struct firn_store_request *req, uint8_t *data,
                    size_t len);
/* multipart.c: the four requests of an upload. */
void mem_multipart(struct mem_handle *h, struct firn_store_request *req);
#endif
