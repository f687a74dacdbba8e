/* DELETE: S3 answers 204 whether the key was there or not; others answer 404. */
#include "backends/s3/s3_store.h"

void delete_ask(struct s3_call *c)
{
	c->method = "DELETE";
}

int delete_answer(struct s3_call *c)
{
	(void)c;
	return 1;
}
