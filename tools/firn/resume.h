/* What a broker does that takes a volume over: reads a stream to its end, then goes on behind it. */
#ifndef TOOL_RESUME_H
#define TOOL_RESUME_H
#include "tools/firn/command.h"

struct resume {
	uint64_t n_records; /* that were read */
	uint64_t end;       /* the stream's: the offset that is given next */
	uint64_t first_ns;  /* when the first record was there; 0 = there is none */
};

/* Reads a stream of the session's volume to its end; one that does not exist is empty. DONE, or the exit code of what
 * was reported. */
int resume_read(const struct session *s, const char *stream, struct resume *out);
/* Tells it: on standard output as JSON, or else on standard error. */
void resume_tell(const struct session *s, const char *stream, const struct resume *r);
/* Milliseconds from the beginning of the session's attach to a moment; 0 for 0, which did not come. */
double since_attach(const struct session *s, uint64_t ns);
#endif
