/* Opening an index where the disk is full: an error, and never a signal in the host's process. */
#include "engine/os/env.h"
#include "index_model.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/stat.h>

TestSuite(index_open, .timeout = 60);

/* A page of a map that has no block yet is SIGBUS once the disk is full: LMDB's lock file is written in no other way. */
Test(index_open, the_lock_file_has_its_blocks_before_it_is_mapped)
{
	struct firn_error err = FIRN_ERROR_INIT;
	struct index *ix;
	struct stat st;
	char dir[128], path[160];
	model_dir_make(dir);
	cr_assert_eq(index_open(env_default(), dir, &ix, &err), 0, "%s", err.text);
	(void)snprintf(path, sizeof path, "%s/lock.mdb", dir);
	cr_assert_eq(stat(path, &st), 0, "%m");
	cr_expect_geq(st.st_blocks * 512, st.st_size);
	index_close(ix);
	model_dir_remove(dir);
}
