/* Errors are built from the inside out, and an error stays one. */
#include "engine/base/error.h"
#include <criterion/criterion.h>
#include <string.h>

TestSuite(error, .timeout = 10);

Test(error, context_stands_in_front_of_what_was_said)
{
	struct firn_error err = FIRN_ERROR_INIT;
	(void)fail(&err, FIRN_EIO, 0, "wal", "read at 4096");
	cr_expect_eq(fail_context(&err, FIRN_EIO, "file %d", 7), FIRN_EIO);
	cr_expect_str_eq(err.text, "file 7: read at 4096");
	cr_expect_str_eq(err.origin, "wal");
}

Test(error, context_of_a_failure_without_words_is_a_failure)
{
	struct firn_error err = FIRN_ERROR_INIT;
	cr_expect_eq(fail_context(&err, FIRN_EIO, "file %d", 7), FIRN_EIO);
	cr_expect_eq(err.code, FIRN_EIO);
	cr_expect_str_eq(err.text, "file 7: FIRN_EIO");
	cr_expect_eq(fail_context(NULL, FIRN_ENOMEM, "x"), FIRN_ENOMEM);
}

Test(error, an_older_story_does_not_answer_for_a_new_failure)
{
	struct firn_error err = FIRN_ERROR_INIT;
	(void)fail(&err, FIRN_EFULL, 0, "submit", "no room");
	cr_expect_eq(fail_context(&err, FIRN_EIO, "file %d", 7), FIRN_EIO);
	cr_expect_eq(err.code, FIRN_EIO);
	cr_expect_null(strstr(err.text, "no room"));
}

Test(error, flags_of_a_failure_without_words_name_its_code)
{
	struct firn_error err = FIRN_ERROR_INIT;
	cr_expect_eq(fail_flags(&err, FIRN_ESTORE, FIRN_ERR_RETRY), FIRN_ESTORE);
	cr_expect_eq(err.flags, (uint32_t)FIRN_ERR_RETRY);
	cr_expect_str_eq(err.text, "FIRN_ESTORE");
}
