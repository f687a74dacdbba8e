/* Signature Version 4 against the examples that Amazon publishes ("Authenticating Requests: Using the
 * Authorization Header"), with their published example keys. */
#include "backends/s3/sign.h"
#include <criterion/criterion.h>
#include <string.h>

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const char *signature(const char *method, const char *path, const char *query,
                             const struct sign_header *header, uint32_t n, const char *payload)
{
	static char out[SIGN_ROOM];
	struct sign_request r = { .method = method,
		                  .path = path,
		                  .query = query,
		                  .header = header,
		                  .n_header = n,
		                  .payload = payload,
		                  .date = "20130524T000000Z",
		                  .region = "us-east-1",
		                  .access_key = "AKIAIOSFODNN7EXAMPLE",
		                  .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" };

	cr_assert_eq(sign_authorization(&r, out), 0);
	cr_assert_not_null(strstr(out, "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/"
	                               "aws4_request,SignedHeaders=host;"));
	cr_assert_null(strstr(out, "wJalr"), "the secret key is not in it");
	return strstr(out, "Signature=") + strlen("Signature=");
}

Test(sign, get_of_a_range_is_signed_as_published)
{
	const struct sign_header h[] = { { "host", "examplebucket.s3.amazonaws.com" },
		                         { "range", "bytes=0-9" },
		                         { "x-amz-content-sha256", EMPTY },
		                         { "x-amz-date", "20130524T000000Z" } };

	cr_assert_str_eq(signature("GET", "/test.txt", "", h, 4, EMPTY),
	                 "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

Test(sign, put_with_a_body_is_signed_as_published)
{
	static const char hash[] =
	        "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
	const struct sign_header h[] = { { "date", "Fri, 24 May 2013 00:00:00 GMT" },
		                         { "host", "examplebucket.s3.amazonaws.com" },
		                         { "x-amz-content-sha256", hash },
		                         { "x-amz-date", "20130524T000000Z" },
		                         { "x-amz-storage-class", "REDUCED_REDUNDANCY" } };
	char out[SIGN_ROOM];
	struct sign_request r = { .method = "PUT",
		                  .path = "/test%24file.text",
		                  .query = "",
		                  .header = h,
		                  .n_header = 5,
		                  .payload = hash,
		                  .date = "20130524T000000Z",
		                  .region = "us-east-1",
		                  .access_key = "AKIAIOSFODNN7EXAMPLE",
		                  .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" };

	cr_assert_eq(sign_authorization(&r, out), 0);
	cr_assert_not_null(
	        strstr(out, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"));
}

Test(sign, a_query_with_an_empty_value_is_signed_as_published)
{
	const struct sign_header h[] = { { "host", "examplebucket.s3.amazonaws.com" },
		                         { "x-amz-content-sha256", EMPTY },
		                         { "x-amz-date", "20130524T000000Z" } };

	cr_assert_str_eq(signature("GET", "/", "lifecycle=", h, 3, EMPTY),
	                 "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
	cr_assert_str_eq(signature("GET", "/", "max-keys=2&prefix=J", h, 3, EMPTY),
	                 "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

Test(sign, dates_are_utc_without_separators)
{
	char out[20];

	sign_date(1369353600000, out);
	cr_assert_str_eq(out, "20130524T000000Z");
}
