/* What `firn doctor` knows of a volume: its row in the WAL's table, its manifest, and which of its
 * writes are in the WAL only. */
#ifndef TOOL_DIAGNOSE_H
#define TOOL_DIAGNOSE_H
#include "tools/firn/check.h"
#include "tools/firn/check_log.h"

enum store_answer { STORE_ANSWERS, STORE_AWAY, STORE_WITHOUT, STORE_DAMAGED };
enum { PATIENT_FILES = 64 };

struct patient {
	char name[256], uri[1024];
	bool in_wal; /* row is set */
	struct wal_volume_row row;
	enum store_answer answer;
	char answer_text[216];
	struct manifest manifest; /* when it answers */
	bool foreign;             /* the manifest is another engine's by now */
	bool given_up;            /* and was made so without what this WAL holds above rev_stored */
	uint64_t rev_stored;      /* by the manifest, else as the WAL knew it */
	/* writes above rev_stored in the WAL */
	uint64_t n_unstored, unstored_bytes, rev_first, rev_last;
	int64_t oldest_ms;
	uint64_t file[PATIENT_FILES]; /* numbers of the WAL files that hold them */
	uint32_t n_file;
	/* what its logs in stores hold; log_rc: 0, or why they cannot be read, in log_text */
	struct log_check log;
	int log_rc;
	char log_text[300];
};

void patient_init(struct patient *p, const struct wal_volume_row *row, const char *uri,
                  const char *name);
void patient_fini(struct patient *p);
/* One pass over the files of a verified WAL: fills in what is not stored. DONE or TROUBLE. */
int patients_read_wal(const struct common *c, const char *wal_dir, struct patient *p, uint32_t n);

struct verdict {
	bool safe;      /* nothing is lost, nothing is in doubt, as far as can be seen */
	bool local;     /* acked writes hang on this directory's disk */
	bool elsewhere; /* or may on that of another, which was not looked at */
	bool unknown;   /* nothing could be seen: neither a WAL nor the store */
	char text[1200];
	char advice[600];
};
void diagnose(const struct patient *p, const struct common *c, struct verdict *out);
#endif
