/* firn/engine.h -- the engine, its completion queues and requests, and volumes.
 *
 * Rules for all public headers, so that no declaration has to repeat them:
 *
 *  Borrow     Every pointer you pass is read before the call returns and never again: payloads,
 *             keys, arrays, strings, request structs. Only firn handles are kept, and firn_env,
 *             whose members must stay valid until the engine is closed.
 *  Own        What the engine hands out (`result`, pages) is yours until firn_release(), on any
 *             thread, in any order, also after the reader, volume or engine is closed. It is
 *             read-only.
 *  Call-back  There is none. What happens later arrives in a completion queue that YOU reap on YOUR
 *             thread.
 *  Block      Only calls marked [blocks] wait for disk, store, room or time. All others are bounded
 *             work, mostly in memory; those said to use the index may page it in.
 *  Threads    All calls may be made from any thread at any time, except: one thread at a time per
 *             firn_reader, one in firn_cq_reap() per queue, and no call on a handle that is being
 *             or has been closed. Nothing is thread-local. The engine's threads block all signals.
 *             After fork() the child must not touch a handle; exec is fine. A process with a limit
 *             on the size of files ignores SIGXFSZ: then it is FIRN_ENOSPC.
 *  Zero       A struct that stands alone begins with its size: set it, also in one the library
 *             fills (struct firn_cq_opts o = { .struct_size = sizeof o }). Zero means default
 *             everywhere else; fields are only appended. A caller newer than the library is
 *             accepted if the tail the library does not know is zero, else
 *             FIRN_EUNSUPPORTED; a size smaller than release 0.1's is FIRN_EINVAL. Array elements
 *             carry no size: their stride stands beside the array, use it to step. There is no
 *             hidden padding; _pad and _zero must be 0, else FIRN_EINVAL. An unknown flag is
 *             FIRN_EUNSUPPORTED.
 *  Outcome    A write is acked, refused (any code but FIRN_EUNKNOWN: nothing written, offset not
 *             used), or FIRN_EUNKNOWN (it may appear after recovery). There is no fourth.
 *  Units      offset counts records; pos, len and bytes are bytes; n_ is a count; _ms milliseconds,
 *             _us microseconds. Times are Unix ms, timeouts are relative.
 *  Text       Strings are UTF-8 and NUL-terminated unless a length stands beside them.
 *
 * Any call may answer FIRN_EINVAL (NULL where nothing says it is allowed, a value out of its
 * limits) and, if it allocates, FIRN_ENOMEM; nothing has happened then. Neither is listed again.
 *
 * Since 0.1, as is all below. */
#ifndef FIRN_ENGINE_H
#define FIRN_ENGINE_H
#include <firn/error.h>
#include <firn/version.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

struct firn_engine;
struct firn_cq;
struct firn_volume;
struct firn_env;

/* A timeout that never ends. */
#define FIRN_FOREVER 0xffffffffu

/* ---- results ------------------------------------------------------------------------------ */

/* Gives back a result: event.result, a page, a set of metrics. NULL is allowed. Everything the
 * result points to ends with it. Does not block; any thread, also after the engine is closed.
 * Cannot fail. Since 0.1. */
FIRN_API void firn_release(const void *result);

/* Asks for one more firn_release() of the same result, for example to send it to several sockets.
 * NULL is allowed. Does not block; any thread. Cannot fail. Since 0.1. */
FIRN_API void firn_retain(const void *result);

/* ---- engine: threads, memory, limits ------------------------------------------------------ */

/* firn_engine_opts.flags. Since 0.1. */
enum firn_engine_flag {
	FIRN_ENGINE_NO_THREADS = 1 /* work is done inside call, reap and step only: tools, tests */
};

/* What an engine is opened with. Since 0.1. */
struct firn_engine_opts {
	uint32_t struct_size;
	uint32_t flags;     /* enum firn_engine_flag */
	uint32_t n_threads; /* 0 = chosen by the engine */
	uint32_t linger_us; /* wait for more writes before a flush; 0 = never wait, at most 1 s */
	const char *dir;    /* WAL and index live here; one engine at a time. Must be set, also */
	                    /* where all is READ_ONLY: it holds nothing then that would be missed */
	uint64_t wal_bytes; /* room for the WAL on disk, up to 16 TiB; 0 = 4 GiB */
	uint64_t memory_bytes; /* hard bound on all memory of the engine; 0 = 512 MiB */
	uint64_t tail_bytes;   /* share for what is not yet stored, from 1 MiB; no write may be */
	                       /* larger than half of it; 0 = a quarter */
	uint64_t cache_bytes;  /* share for stored data, from 1 MiB: half is the block cache, the */
	                       /* rest positions of readers and what is read ahead, which has, as */
	                       /* long as nothing there is read again, most of that half as well; */
	                       /* three 16ths of it bound a GET of a replay, and 16 MiB; */
	                       /* 0 = three 16ths of memory_bytes */
	uint64_t pin_bytes;    /* results not yet released; 0 = a 16th. Used up: fetches */
	                       /* wait, appends do not */
	const struct firn_env *env; /* memory, clocks, files: see env.h; NULL = the system's */
	const char *const *options; /* "name=value", NULL-terminated: what is rarer, see */
	                            /* firn_options(); NULL = none */
};

/* Description of one option. This struct does not grow. All text is static. Since 0.1. */
struct firn_option {
	const char *name; /* as in "name=value" */
	const char *type; /* "uint", "size", "duration", "bool", "enum" or "string" */
	const char *unit; /* "B", "ms" ...; "" = none */
	const char *def;  /* default, as text */
	const char *help; /* one sentence */
};

/* All options that firn_engine_opts.options may hold, for --help and for bindings: *n of them,
 * sorted by name, static. Does not block; any thread. Cannot fail. Since 0.1. */
FIRN_API const struct firn_option *firn_options(size_t *n);

/* [blocks] Opens the engine of one directory, made if absent: locks it and its WAL files, reads the
 * WAL through, seals its old tail and starts the threads. Takes as long as the WAL takes to read.
 * No volume is attached and no store is asked. *out is yours until firn_engine_close().
 *  FIRN_EINVAL       dir is NULL, an option is unknown or malformed, or shares exceed memory_bytes
 *  FIRN_EBUSY        another process, or another engine of this one, has the directory
 *  FIRN_ECORRUPT     the WAL is damaged in a way that leaves no volume usable; nothing was changed
 *  FIRN_ENOSPC       no room to preallocate the WAL
 *  FIRN_ENOENT       the directory's parent does not exist
 *  FIRN_EREADONLY    no right to write there
 *  FIRN_EIO          the disk failed
 *  FIRN_EUNSUPPORTED the WAL was written by a newer release, or asks for a feature not in this one
 * On failure *out is NULL and no lock is held; files that were made stay. Since 0.1. */
FIRN_API int firn_engine_open(const struct firn_engine_opts *opts, struct firn_engine **out,
                              struct firn_error *err);

/* [blocks] Stops the threads and gives up the locks. No store is asked, but with the log in a store (wal=store:URI) and all
 * volumes detached clean what is left of the log is deleted there: that takes 4 s at most, and a store that does
 * not answer fails nothing. Results not yet released stay valid. NULL is allowed.
 *  FIRN_EBUSY        a volume, queue or reader is open; nothing was done, the engine goes on
 * On any other failure (FIRN_EIO while closing a file) it is closed all the same. Since 0.1. */
FIRN_API int firn_engine_close(struct firn_engine *engine);

/* [blocks up to timeout_ms] Does work that is ready; waits for some if there is none. For engines
 * opened with FIRN_ENGINE_NO_THREADS; firn_engine_call() and firn_cq_reap() do the same inside.
 * Returns a number above 0 if work was done, 0 if time ran out. What failed is told by events,
 * never here. One thread at a time does work; others wait for it within their timeout.
 *  FIRN_EUNSUPPORTED the engine has threads of its own
 * Since 0.1. */
FIRN_API int firn_engine_step(struct firn_engine *engine, uint32_t timeout_ms);

/* ---- completion queue --------------------------------------------------------------------- */

/* firn_event.kind. Below 64: the enum firn_req_kind of a finished request. From 64: notices.
 * 66 (DIRTY), 67 (PURGED) and 69 (SPAN) are reserved. Since 0.1. */
enum firn_ev {
	FIRN_EV_VOLUME = 64,   /* a volume changed: offset = its enum firn_state, user_data = the */
	                       /* attach request's */
	FIRN_EV_WRITABLE = 65, /* there is room again after FIRN_EFULL, once per burst and queue. */
	                       /* user_data: the attach request's if that volume's share was */
	                       /* full, 0 if the engine was; stream = 0 */
	FIRN_EV_LOG = 68       /* result = const struct firn_log *; end = lines dropped before it */
};

/* firn_event.flags and firn_part.flags. Since 0.1. */
enum firn_result_flag {
	FIRN_F_DUPLICATE = 1, /* the write was known: its first outcome is given, nothing was */
	                      /* added */
	FIRN_F_MORE = 2,      /* more is ready than was delivered */
	FIRN_F_COLD = 4       /* needs the store; being loaded (FIRN_FETCH_CACHED) */
};

/* What a queue delivers: 64 bytes of plain data, nothing to free but `result`. Since 0.1. */
struct firn_event {
	uint64_t user_data;
	uint16_t kind;        /* enum firn_req_kind or enum firn_ev */
	uint16_t flags;       /* enum firn_result_flag */
	int32_t code;         /* 0 or enum firn_code */
	uint64_t stream;      /* append, create, lookup: the stream; else 0 */
	uint64_t offset;      /* append: base (the original's if F_DUPLICATE); lookup: the */
	                      /* batch's; on a refusal as enum firn_code says */
	uint64_t end;         /* append, lookup: one past the batch's last offset */
	int64_t timestamp_ms; /* append: the engine's append time, 0 if F_DUPLICATE; lookup: */
	                      /* the batch's */
	uint64_t rev;         /* write: its number in the volume: dense, rises across takeovers */
	const void *result;   /* by kind; on error NULL or const struct firn_error *, except */
	                      /* where the kind says otherwise. Yours to release */
};

/* What a queue is opened with. Since 0.1. */
struct firn_cq_opts {
	uint32_t struct_size;
	uint32_t depth; /* requests in flight at most; 0 = 1024, at most 1 048 576 */
};

/* Opens a queue. It never overflows: a submit takes the slot for the event, or is refused. *out is
 * yours until firn_cq_close(); opts may be NULL. Does not block.
 *  FIRN_EIO          no eventfd could be had (limit on file descriptors); *out is NULL
 * Since 0.1. */
FIRN_API int firn_cq_open(struct firn_engine *engine, const struct firn_cq_opts *opts,
                          struct firn_cq **out, struct firn_error *err);

/* An eventfd, non-blocking and level-triggered: poll it for POLLIN, then reap. Never read, write or
 * close it; dup() it if something wants to own it. Valid until firn_cq_close(). Does not block.
 * Cannot fail. Since 0.1. */
FIRN_API int firn_cq_fd(const struct firn_cq *cq);

/* [blocks up to timeout_ms; 0 = not at all] Copies up to `max` events to ev[], ev_size = sizeof of
 * the caller's struct firn_event, and returns how many. Waits only while there is none. Fewer than
 * max: the fd is quiet until the next one; 0: time ran out or firn_cq_wake() was called. Events
 * come in the order things finished; appends of one stream in offset order. One thread at a time
 * per queue.
 *  FIRN_EBUSY        another thread is reaping this queue; no event was taken
 * Since 0.1. */
FIRN_API int firn_cq_reap(struct firn_cq *cq, struct firn_event *ev, uint32_t ev_size, uint32_t max,
                          uint32_t timeout_ms);

/* Makes the reap that waits, or else the next one that would, return 0. Does not block; any thread.
 * Cannot fail. Since 0.1. */
FIRN_API void firn_cq_wake(struct firn_cq *cq);

/* Closes the queue and its fd; events not reaped are released, notices to it end. Does not block.
 * NULL is allowed.
 *  FIRN_EBUSY        requests are in flight or a thread is reaping; nothing was done
 * Since 0.1. */
FIRN_API int firn_cq_close(struct firn_cq *cq);

/* Sends notices to a queue: bit (kind - 64) of ev_mask for each enum firn_ev. `user_data` comes
 * with FIRN_EV_LOG. Each call replaces what that queue asked for; 0 ends it. FIRN_EV_WRITABLE needs
 * no asking: it comes to the queue whose request was refused; its bit is ignored. Notices take no
 * slot: of volume states the latest is kept, of log lines a bounded number. Does not block.
 *  FIRN_EUNSUPPORTED a bit that this release does not have; nothing was changed
 * Since 0.1. */
FIRN_API int firn_engine_notices(struct firn_engine *engine, struct firn_cq *cq, uint32_t ev_mask,
                                 uint64_t user_data);

/* ---- requests: one submit, one blocking call, one cancel ---------------------------------- */

/* firn_req.kind: which struct the firn_req heads. 7 to 9 are reserved (objects). Since 0.1. */
enum firn_req_kind {
	FIRN_REQ_ATTACH = 1, /* struct firn_attach */
	FIRN_REQ_DETACH = 2, /* struct firn_detach */
	FIRN_REQ_WRITE = 3,  /* struct firn_write, write.h */
	FIRN_REQ_FETCH = 4,  /* struct firn_fetch, read.h */
	FIRN_REQ_LOOKUP = 5, /* struct firn_lookup, read.h */
	FIRN_REQ_FLUSH = 6   /* struct firn_flush */
};

/* What a request or a reader is for. A reader of class REPLAY or BULK reads on: large requests to the store
 * from its first fetch on, where others have to be seen reading in order. Nothing waits for anything else
 * because of its class yet; that lower numbers go first is for a later release. DEFAULT is chosen by what
 * is done: TAIL for writes and reads at the end, else by distance from it. Since 0.1. */
enum firn_class {
	FIRN_CLASS_DEFAULT = 0,
	FIRN_CLASS_TAIL = 1,
	FIRN_CLASS_CATCH_UP = 2,
	FIRN_CLASS_REPLAY = 3,
	FIRN_CLASS_BULK = 4 /* compaction, import */
};

/* firn_req.flags. The bits below are the kind's own. Since 0.1. */
enum firn_req_flag {
	FIRN_REQ_SILENT = 0x8000 /* no event on success (Kafka acks=0, MQTT QoS 0); writes only */
};

/* Head of every request, 64 bytes for ever; requests grow behind their own fields. Since 0.1. */
struct firn_req {
	uint32_t struct_size; /* of the whole request, not of this head */
	uint16_t kind;        /* enum firn_req_kind */
	uint16_t flags;       /* FIRN_REQ_SILENT and the kind's own */
	uint16_t cls;         /* enum firn_class */
	uint16_t _pad;
	uint32_t timeout_ms; /* submit: 0 = none; call: 0 = 30 s; FIRN_FOREVER = none. A write */
	                     /* once submitted has none: its outcome will come */
	struct firn_cq *cq;  /* submit: where the event goes; call: ignored */
	uint64_t user_data;  /* comes back in the event; also names the request to cancel */
	uint64_t trace_id;   /* kept for traces of a later release; ignored in this one */
	uint64_t _zero[3];
};

/* Takes n requests, in order, and returns how many it took: a prefix. Each one taken ends in
 * exactly one event in its req->cq (SILENT: only if it fails). The next had no effect, nor had
 * those behind it; *err says why it was refused, and is not filled if all were taken. Does not
 * block: requests are copied, payloads too. Preconditions of writes are judged here against the
 * assigned state, so later writes may build on earlier ones not yet durable; writes of one thread
 * to one stream keep their order. Negative only for FIRN_EINVAL of `engine` or `req`. Codes in
 * *err:
 *  FIRN_EAGAIN       no slot in that queue: reap first
 *  FIRN_EFULL        memory or WAL budget used up; the queue gets one FIRN_EV_WRITABLE
 *  FIRN_EBUSY        the reader has a fetch already, or the volume a detach
 *  FIRN_EFENCED, FIRN_EREADONLY, FIRN_ESHUTDOWN    the volume takes no such request
 *  FIRN_EIO          with FIRN_ERR_FATAL: the WAL failed; no write until the engine is reopened
 *  FIRN_EUNSUPPORTED a kind, flag or field that this release does not have
 * What concerns the content of a write (FIRN_ECONFLICT, FIRN_ESEQ, FIRN_EPRODUCER, FIRN_EEXIST,
 * FIRN_ENOENT, FIRN_ETOOBIG) is told by its event, since that carries the numbers. Since 0.1. */
FIRN_API int firn_engine_submit(struct firn_engine *engine, const struct firn_req *const *req,
                                uint32_t n, struct firn_error *err);

/* [blocks] One request without a queue: waits for room, then for the end, together up to
 * req->timeout_ms (0 = 30 s), and fills *ev, which must not be NULL: 64 bytes, as of release 0.1.
 * Returns ev->code. With FIRN_ENGINE_NO_THREADS the work is done inside. Not for event loops.
 *  FIRN_EUNKNOWN     a write was admitted and time ran out before it was durable
 *  FIRN_ETIMEDOUT    time ran out: of a write, before it was admitted (nothing happened); of
 *                    another kind as said there
 * and all codes of the request's kind and of firn_engine_submit(), except FIRN_EAGAIN and
 * FIRN_EFULL for lack of room, which it waits out. Since 0.1. */
FIRN_API int firn_engine_call(struct firn_engine *engine, const struct firn_req *req,
                              struct firn_event *ev, struct firn_error *err);

/* Ends fetches, look-ups and attaches in flight that were submitted with this queue and user_data:
 * their events follow with FIRN_ECANCELED, unless the end came first. 0: at least one was found. An
 * attach that is cancelled late may have raised the volume's epoch; it holds nothing. Does not
 * block.
 *  FIRN_ENOENT       nothing like that in flight; its event is out
 *  FIRN_EBUSY        it is a write, flush or detach: it goes on, its outcome will come
 * Since 0.1. */
FIRN_API int firn_engine_cancel(struct firn_engine *engine, struct firn_cq *cq, uint64_t user_data);

/* ---- volume: attach and detach ------------------------------------------------------------ */

/* firn_attach.attach_flags. Since 0.1. */
enum firn_attach_flag {
	FIRN_ATTACH_CREATE = 1,    /* make it if absent; without: FIRN_ENOENT */
	FIRN_ATTACH_READ_ONLY = 2, /* take no ownership; see what its writer, wherever it is, has */
	                           /* stored, cut after cut: see below */
	FIRN_ATTACH_CHECK = 4      /* report what an attach would do, change nothing */
};

/* What an acked write survives. 2 is reserved for detachable disks. A write acked with FIRN_ACK_STORED survives the loss of the node as well, always.
 * Since 0.1. */
enum firn_survives {
	FIRN_SURVIVES_PROCESS_AND_POWER = 1, /* local disk: kill -9 and a power cut; not its loss */
	FIRN_SURVIVES_NODE = 3               /* a log in a store: the loss of the machine, too */
};

/* Request: become the writer of a volume. All volumes of an engine share its WAL and group commit.
 * If the process died with acked writes not yet stored, they are replayed from the WAL before the
 * event. While the store is away a volume that was attached from this directory, and not detached with
 * DRAIN, is attached all the same when WAL and index are whole: FIRN_ATTACHED_RESUMED. The store is asked for
 * 5 s then, or for a quarter of the time-out if that is less.
 * event.result is a const struct firn_attached * on success and also with FIRN_ELOST (volume is
 * NULL then); a const struct firn_error * with other codes. With CHECK the code is that of a real
 * attach, the result's volume is NULL, and nothing was changed. A time-out or cancel after the
 * manifest was updated leaves a higher epoch and nothing else: attach again.
 *  FIRN_ENOENT       no such volume, and no CREATE
 *  FIRN_EBUSY        this engine has it attached or is attaching it; takeover=abandon: its owner lives
 *  FIRN_ELOST        acked writes lie in a WAL that is not this one: `text` names its node and
 *                    the last commit, `lost` what would be given up. Nothing was changed. Attach with the directory
 *                    that has that WAL and detach with DRAIN; if it is gone for good: takeover
 *  FIRN_ECORRUPT     WAL, manifest and index do not meet, or one went backwards; nothing was
 *                    changed. With a log in a store: something acked is missing in it; the epoch was raised
 *  FIRN_EFENCED      another engine attached it at the same moment, or has it since the WAL was
 *                    written
 *  FIRN_ESTORE       the store is away (RETRY) or refused; the text says why the volume cannot go on without it.
 *                    Or the store of a log is, its own or that of the writer before: of the latter it is known behind
 *                    the update of the manifest, and nothing is lost by that
 *  FIRN_EFULL        no room in the WAL for the volume
 *  FIRN_ETOOBIG      the log in a store holds a write that is larger than this engine's WAL takes; the epoch was
 *                    raised, and an engine with more wal_bytes and memory_bytes can attach it
 *  FIRN_EIO, FIRN_ENOSPC    the local disk failed or is full
 *  FIRN_EUNSUPPORTED the store has no compare-and-swap and its URI does not say
 *                    exclusive=trust-me, the URI has no backend, the volume a newer format, or
 *                    takeover is another word; or its log is in a store and the option wal= is not store:URI
 *  FIRN_ETIMEDOUT, FIRN_ECANCELED    not attached
 * Since 0.1. */
struct firn_attach {
	struct firn_req req;
	const char *store;      /* URI: "file:///srv/firn", "s3://bucket/prefix?region=..." */
	const char *name;       /* 1 to 200 bytes of [A-Za-z0-9._-/], no empty or dot part */
	const char *node;       /* who you are, for the messages of others; NULL = host name */
	uint64_t segment_bytes; /* un-stored bytes that start an upload, 4 KiB to 1 GiB; 0 = */
	                        /* the engine's option of that name */
	uint32_t
	        upload_interval_ms; /* age of the oldest that does; READ_ONLY: of the oldest look; */
	                            /* 0 = default */
	uint32_t attach_flags;      /* enum firn_attach_flag */
	const char *takeover;       /* NULL; "moved": the directory lies on another machine, disk */
	                            /* or path than it was written on, and the original is gone */
	                            /* for good; "abandon": see below */
	const char *const *options; /* "name=value", NULL-terminated; there is none in this */
	                            /* release: those of firn_options() are the engine's */
};

/* takeover = "abandon": what the last writer acked and did not store is given up, where an attach would answer
 * FIRN_ELOST, or FIRN_ECORRUPT because the WAL here has not all of it. For a machine that is gone for good. The
 * owner is watched for two minutes, so timeout_ms must be 150 000 or more; should it commit or renew its heartbeat meanwhile, the answer is
 * FIRN_EBUSY. That is a courtesy, not what makes it safe: offsets [stored, stored + 2^36) of every stream are never
 * given again, and reads there answer FIRN_ELOST. So an owner that lives after all writes nothing that mixes with
 * yours, and learns with its next commit that it is fenced. Keys and producers are those of what was stored: a producer
 * that was acked beyond it gets FIRN_ESEQ. With CHECK nothing is watched, and `lost` tells what it would cost. */

/* READ_ONLY, on any number of engines and beside any writer: nothing of the volume is changed, and no heartbeat renewed.
 * What is read is one cut through all streams, keys and producers: a prefix of the volume's writes. It is brought to what
 * the writer stores by itself, and always as a whole: offsets never go back, readers at the end of what is stored wake up,
 * trims and deletions are seen when their cut is. A takeover is followed, and what an abandon gave up answers FIRN_ELOST.
 * How late: by the time between the writer's last commits, from a second up to upload_interval_ms (of this attach; default
 * 60 s, and at most half of delete_grace_ms), and the time of the requests. What that costs: one request for metadata of
 * one object at each such look (1 440 a day for a volume that nobody writes to), and a GET of the manifest and one for the
 * footer of each new segment when there is news. A FIRN_REQ_FLUSH looks at once.
 * When the writer has rewritten segments (delete_deadline_ms) it reads the layers of the index anew.
 * While the store is away what is in memory is read on, the state is STORE_AWAY, and looks go on when it answers. An
 * object that the writer has deleted meanwhile makes the reader look at once and read where the data is now.
 * Writes answer FIRN_EREADONLY; takeover is ignored. */

/* With the option wal=store:URI the log is objects in a store, and `dir` is disposable. An attach then takes a volume over
 * from any engine that has the same kind of log, dead, stopped or alive, and needs no word of the operator: it raises the
 * epoch, reads what that engine acked and has not stored, and ends its log. That engine goes on with its other volumes in
 * a new log; writes of the lost one that were in flight end FIRN_EUNKNOWN, later ones FIRN_EFENCED. Nothing is acked while the
 * log's store is away; an attach or detach that has writes on their way there waits for it. With "abandon" a
 * log that can be read is taken over all the same; one that cannot is given up. */

/* Writes that were, or would be, given up: those above rev_stored of the writer with this nonce.
 * The next writer's numbers skip to rev_skip. Since 0.1. */
struct firn_lost {
	uint64_t rev_stored;
	uint64_t rev_skip;
	uint8_t nonce[16];
};

/* firn_attached.flags. Since 0.1. */
enum firn_attached_flag {
	FIRN_ATTACHED_RESUMED = 1 /* the store is away and the volume went on without it: its */
	                          /* state is STORE_AWAY, its epoch the old one, nothing is */
	                          /* stored until the store is back. Then FIRN_EV_VOLUME says */
	                          /* OPEN, or FENCED if another engine was made the writer */
};

/* Result of an attach. Valid until released; the volume until its detach, however long the
 * result lives. Since 0.1. */
struct firn_attached {
	uint32_t struct_size;
	uint32_t n_lost;
	struct firn_volume *volume;   /* NULL with CHECK and FIRN_ELOST */
	uint64_t epoch;               /* number of this writer */
	uint64_t replayed_bytes;      /* from the WAL */
	int64_t last_commit_ms;       /* of the manifest; 0 = new volume, or RESUMED */
	const struct firn_lost *lost; /* n_lost entries, lost_size apart; oldest first */
	uint32_t survives;            /* enum firn_survives */
	uint32_t lost_size;
	uint32_t flags; /* enum firn_attached_flag */
	uint32_t _pad;
	const char *text; /* with FIRN_ELOST what a firn_error.text would say; else NULL */
};

/* How much is done before the volume is let go. Since 0.1. */
enum firn_detach_mode {
	FIRN_DETACH_DRAIN = 0,    /* all is stored and marked clean: the next attach needs no WAL */
	FIRN_DETACH_KEEP_WAL = 1, /* all is durable; quick; the next attach needs this engine's */
	                          /* WAL, or reads it if it lies in a store */
	FIRN_DETACH_ABORT = 2     /* as a crash: in-flight writes end FIRN_EUNKNOWN */
};

/* Request: let a volume go. No new request is taken; those in flight are answered first (fetches,
 * look-ups: FIRN_ECANCELED). With the event the handle is dead, unless the code is one of the
 * first three below; reader items of the volume then answer FIRN_ESHUTDOWN. event.result: NULL, on
 * error a const struct firn_error *.
 *  FIRN_EBUSY        a detach is under way
 *  FIRN_ESTORE, FIRN_ETIMEDOUT    DRAIN: not all is stored yet. Still attached and open again,
 *                    nothing acked is lost: detach again or with KEEP_WAL
 *  FIRN_EFENCED      detached; another engine is the writer
 *  FIRN_EIO          detached; the last record could not be written: the next attach replays
 * KEEP_WAL and ABORT always detach; with a log in a store whose writes have no outcome by the time-out:
 * FIRN_ETIMEDOUT, as above. A volume attached READ_ONLY goes at once, but for a look at its store
 * that is under way: in an outage that ends after the deadline_ms of its URI. Since 0.1. */
struct firn_detach {
	struct firn_req req;
	struct firn_volume *volume;
	uint32_t mode; /* enum firn_detach_mode */
	uint32_t _pad;
};

/* ---- volume: state, list, flush ----------------------------------------------------------- */

/* State of an attached volume. Since 0.1. */
enum firn_state {
	FIRN_STATE_OPEN = 1,       /* all is well */
	FIRN_STATE_STORE_AWAY = 2, /* the store does not answer; writes go on until the WAL is */
	                           /* full. Attached read-only: what is in memory is read on. */
	                           /* Said when a request was given up, which takes the */
	                           /* deadline_ms of the store's URI (30 s); a line of the */
	                           /* log says why */
	FIRN_STATE_FULL = 3,       /* writes are refused with FIRN_EFULL */
	FIRN_STATE_READ_ONLY = 4,  /* attached so, or the WAL failed */
	FIRN_STATE_FENCED = 5,     /* another engine is the writer; what is stored stays readable */
	FIRN_STATE_STOPPED =
	        6 /* attached read-only, and it follows its writer no more: the store */
	          /* went backwards, has another volume of that name, a newer format, */
	          /* or not what its manifest names. A line of the log says which; what */
	          /* was seen stays readable as far as it is there. Attach again */
};

/* Figures of an attached volume, one moment. Since 0.1. */
struct firn_volume_info {
	uint32_t struct_size;
	uint32_t state; /* enum firn_state */
	uint64_t epoch;
	uint64_t n_streams;
	uint64_t rev_durable;       /* number of the last durable write */
	uint64_t rev_stored;        /* number of the last write in the manifest */
	uint64_t wal_bytes;         /* this volume's share at present */
	uint64_t wal_used;          /* of it, un-stored and set aside */
	uint64_t unstored_bytes;    /* as records of the WAL; segment_bytes counts these */
	uint64_t pinned_bytes;      /* in results not yet released */
	int64_t oldest_unstored_ms; /* append time; 0 = all is stored */
	int64_t last_commit_ms;
	uint64_t n_segments;
	uint64_t stored_bytes; /* of the segments the manifest holds, as they lie in the */
	                       /* store */
	uint8_t id[16];        /* of the volume; a name that is made anew gets a new one */
};

/* Fills *out. Does not block; any thread.
 *  FIRN_ESHUTDOWN    a detach is under way; *out was not touched
 * Since 0.1. */
FIRN_API int firn_volume_info(const struct firn_volume *volume, struct firn_volume_info *out);

/* firn_volume_entry.state. Since 0.1. */
enum firn_volume_state {
	FIRN_VOLUME_CLEAN = 1, /* detached with DRAIN: any engine can attach it */
	FIRN_VOLUME_DIRTY = 2  /* attached, or its last writer left acked writes in its WAL */
};

/* One volume of a store, as its manifest tells. Since 0.1. */
struct firn_volume_entry {
	char name[256]; /* NUL-terminated */
	uint64_t epoch;
	uint64_t seq; /* version of the manifest */
	uint64_t rev_stored;
	uint64_t rev_durable; /* as of the last commit; the writer may be further */
	int64_t last_commit_ms;
	uint32_t state; /* enum firn_volume_state */
	uint32_t n_segments;
	uint64_t bytes; /* of the segments */
};

/* [blocks] Lists the volumes of a store by name, bytewise, from the first above `after` (NULL =
 * from the start): up to `max` entries into out[], entry_size = sizeof of the caller's struct
 * firn_volume_entry.
 * Returns how many; fewer than max: the list is at its end. Volumes need not be attached; nothing
 * is changed. Destroyed ones are not listed. Each manifest is read by itself: the list is not one
 * moment.
 *  FIRN_ESTORE       the store is away (RETRY) or refused; out[] is undefined
 *  FIRN_ECORRUPT     a manifest failed verification; the text names it
 *  FIRN_EUNSUPPORTED no backend for the URI
 * Since 0.1. */
FIRN_API int firn_volume_list(struct firn_engine *engine, const char *store, const char *after,
                              struct firn_volume_entry *out, uint32_t entry_size, uint32_t max,
                              struct firn_error *err);

/* Request: wait until what was assigned before it has reached FIRN_MARK_DURABLE or FIRN_MARK_STORED
 * (enum firn_mark in write.h; STORED starts an upload at once). event.rev = the number reached.
 * Of a volume attached READ_ONLY, with either mark: wait for a look at the store that begins now; event.rev = the last
 * write of the cut that is seen then.
 *  FIRN_EINVAL       another mark
 *  FIRN_ENOENT       no such stream
 *  FIRN_EFENCED      the mark will not be reached here
 *  FIRN_EIO          the WAL failed: writes in flight ended FIRN_EUNKNOWN
 *  FIRN_ESTORE, FIRN_ETIMEDOUT    not reached yet; nothing is lost, the upload goes on by itself
 * A store outage alone ends no flush: give a timeout. Since 0.1. */
struct firn_flush {
	struct firn_req req;
	struct firn_volume *volume;
	uint64_t stream; /* 0 = all */
	uint32_t mark;   /* FIRN_MARK_DURABLE (0 counts as it) or FIRN_MARK_STORED */
	uint32_t _pad;
};

/* ---- blocking shorthands ------------------------------------------------------------------ */

/* [blocks, no time limit] Attaches a volume with FIRN_ATTACH_CREATE and defaults. *out is yours
 * until firn_volume_close() or a FIRN_REQ_DETACH. Codes: those of struct firn_attach; on failure
 * *out is NULL. Since 0.1. */
FIRN_API int firn_volume_open(struct firn_engine *engine, const char *store, const char *name,
                              struct firn_volume **out, struct firn_error *err);

/* [blocks] Detaches with FIRN_DETACH_KEEP_WAL: acked writes not yet stored wait in the WAL for the
 * next attach by this engine's directory. NULL is allowed. Codes: those of struct firn_detach.
 * Since 0.1. */
FIRN_API int firn_volume_close(struct firn_volume *volume, struct firn_error *err);

/* ---- metrics, log ------------------------------------------------------------------------- */

/* firn_metric.kind: rises only; goes both ways; counts in buckets. Since 0.1. */
enum firn_metric_kind { FIRN_METRIC_COUNTER = 1, FIRN_METRIC_GAUGE = 2, FIRN_METRIC_HISTOGRAM = 3 };

/* One figure. Since 0.1. */
struct firn_metric {
	const char *name;       /* firn_wal_write_bytes ...; may stand there often, labels differ */
	const char *help;       /* one sentence */
	const char *unit;       /* "bytes", "us"; "" = none */
	const char *labels;     /* op="put",outcome="done"; "" = none */
	uint32_t kind;          /* enum firn_metric_kind */
	uint32_t n_bucket;      /* histogram only, else 0 */
	uint64_t value;         /* counter, gauge; histogram: sum of what was counted */
	uint64_t count;         /* histogram: how many were counted */
	const uint64_t *bucket; /* n_bucket counts, each of its own bucket only */
	const double *bound;    /* n_bucket upper bounds, the last one +infinity */
};

/* Result of firn_engine_metrics(). Valid until released. Since 0.1. */
struct firn_metrics {
	uint32_t struct_size;
	uint32_t n;
	uint32_t size; /* bytes from one metric to the next */
	uint32_t _pad;
	int64_t at_ms;
	const struct firn_metric *metric;
};

/* All figures of the engine at one moment, its volumes and stores added up; for one volume there is
 * firn_volume_info(), for a stream firn_stream_info(). *out is yours to release. Does not block
 * beyond copying; any thread. On failure *out is NULL. Since 0.1. */
FIRN_API int firn_engine_metrics(struct firn_engine *engine, const struct firn_metrics **out);

/* Result of FIRN_EV_LOG: one line. Valid until released. Since 0.1. */
struct firn_log {
	uint32_t struct_size;
	uint32_t level; /* enum firn_log_level, env.h: 1 error, 2 warning, 3 info, 4 debug */
	int64_t at_ms;
	const char *origin; /* stage: "wal", "upload" ... */
	const char *volume; /* its name; NULL = concerns the engine */
	const char *text;   /* no newline, no credentials */
};

/* ---- initialisers ------------------------------------------------------------------------- */

/* One per request kind, here and in write.h and read.h. Each sets every field to its default, in
 * C11 and C++17: struct firn_write w = FIRN_WRITE_INIT; FIRN_REQ_HEAD is the struct firn_req in
 * request struct `s` of enum firn_req_kind `k`; FIRN_REQ_INIT a whole request, the rest zero.
 * Since 0.1. */
#define FIRN_REQ_HEAD(s, k)                                              \
	{                                                                \
		(uint32_t)sizeof(struct s), (k), 0, 0, 0, 0, NULL, 0, 0, \
		{                                                        \
			0, 0, 0                                          \
		}                                                        \
	}
#define FIRN_REQ_INIT(s, k)         \
	{                           \
		FIRN_REQ_HEAD(s, k) \
	}
#define FIRN_ATTACH_INIT                                                                           \
	{                                                                                          \
		FIRN_REQ_HEAD(firn_attach, FIRN_REQ_ATTACH), NULL, NULL, NULL, 0, 0, 0, NULL, NULL \
	}
#define FIRN_DETACH_INIT                                                \
	{                                                               \
		FIRN_REQ_HEAD(firn_detach, FIRN_REQ_DETACH), NULL, 0, 0 \
	}
/* FIRN_FLUSH_INIT: all streams, mark = 2, which is FIRN_MARK_DURABLE. */
#define FIRN_FLUSH_INIT                                                  \
	{                                                                \
		FIRN_REQ_HEAD(firn_flush, FIRN_REQ_FLUSH), NULL, 0, 2, 0 \
	}

#ifdef __cplusplus
}
#endif
#endif
