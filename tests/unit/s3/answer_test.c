/* What the back end makes of answers, and what it sends: against a server that says what it is told.
 * store_call() would retry; here one request is one request. */
#include "backends/s3/s3_store.h"
#include "engine/os/env.h"
#include "engine/store/builtin.h"
#include "tests/unit/s3/fake_s3.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define ACCESS "AKIDfirnFIRNfirn"
#define SECRET "s3cr3t/do+not/show"

static struct fake_s3 fake;

/* ---- a host that waits ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int n_done;

static void on_complete(struct firn_store_request *req)
{
	(void)req;
	pthread_mutex_lock(&lock);
	n_done++;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
}

static struct firn_error told;
static char body[256];

/* Sends one request to a server that gives `answers` in turn, and returns it answered. */
static struct firn_store_request ask(struct firn_store_request req, const char *const *answers)
{
	const struct firn_store_plugin *p = s3_store_entry();
	struct firn_store_host host = { .struct_size = (uint32_t)sizeof host,
		                        .env = env_default(),
		                        .complete = on_complete };
	const struct firn_store_param param[] = { { "endpoint", fake.url },
		                                  { "start_after", "yes" } };
	struct firn_store_config config = { .struct_size = (uint32_t)sizeof config,
		                            .n_param = 2,
		                            .host = &host,
		                            .scheme = "s3",
		                            .authority = "bkt",
		                            .path = "/pre",
		                            .param = param };
	struct iovec iov = { body, sizeof body };
	struct firn_error err = FIRN_ERROR_INIT;
	void *handle = NULL;

	cr_assert_eq(setenv("AWS_ACCESS_KEY_ID", ACCESS, 1), 0);
	cr_assert_eq(setenv("AWS_SECRET_ACCESS_KEY", SECRET, 1), 0);
	fake_start(&fake, answers);
	cr_assert_eq(p->open(&config, &handle, &err), FIRN_OK, "%s", err.text);
	memset(&told, 0, sizeof told);
	req.struct_size = (uint32_t)sizeof req;
	req.host = &host;
	req.error = &told;
	if (!req.key)
		req.key = "k";
	if (req.op == FIRN_STORE_PUT || req.op == FIRN_STORE_GET) {
		if (req.len)
			iov.iov_len = req.len;
		req.len = iov.iov_len;
		req.iov = &iov;
		req.n_iov = 1;
	}
	n_done = 0;
	p->submit(handle, &req);
	pthread_mutex_lock(&lock);
	while (!n_done)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	p->close(handle);
	fake_stop(&fake);
	cr_assert_null(strstr(told.text, SECRET));
	cr_assert_null(strstr(told.text, ACCESS), "%s", told.text);
	return req;
}

#define ANSWERS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define XML(status, text) XML_(status, text)
#define XML_(status, text) "HTTP/1.1 " status "\r\nConnection: close\r\n\r\n" text
#define ERROR_BODY(code) "<Error><Code>" code "</Code><Message>words</Message></Error>"

static struct firn_store_request put(const char *answer)
{
	(void)strcpy(body, "hello");
	return ask((struct firn_store_request){ .op = FIRN_STORE_PUT, .len = 5 }, ANSWERS(answer));
}

/* ---- what is sent ---- */

Test(s3_sent, a_put_carries_hash_signature_and_condition, .timeout = 60)
{
	(void)strcpy(body, "hello");
	struct firn_store_request r =
	        ask((struct firn_store_request){ .op = FIRN_STORE_PUT,
	                                         .key = "a b/\xc3\xa4+=&",
	                                         .len = 5,
	                                         .condition = FIRN_STORE_IF_ABSENT },
	            ANSWERS("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 0\r\n\r\n"));
	const char *sent = fake.asked[0];

	cr_assert_eq(r.outcome, FIRN_STORE_DONE, "%s", told.text);
	cr_assert_eq(r.version.len, 4u);
	cr_assert_arr_eq(r.version.text, "\"v1\"", 4);
	cr_assert_not_null(strstr(sent, "PUT /bkt/pre/a%20b/%C3%A4%2B%3D%26 HTTP/1.1\r\n"), "%s",
	                   sent);
	cr_assert_not_null(strstr(sent, "\r\nif-none-match: *\r\n"));
	cr_assert_not_null(strstr(sent,
	                          "x-amz-content-sha256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161"
	                          "e5c1fa7425e73043362938b9824"));
	cr_assert_not_null(strstr(sent, "\r\n\r\nhello"));
	cr_assert_null(strstr(sent, SECRET));
}

Test(s3_sent, an_unanswered_conditional_put_is_in_doubt_and_sent_once, .timeout = 60)
{
	struct firn_store_version v = { 4, "\"v1\"" };
	struct firn_store_request r =
	        ask((struct firn_store_request){ .op = FIRN_STORE_PUT,
	                                         .len = 5,
	                                         .match = &v,
	                                         .condition = FIRN_STORE_IF_MATCH },
	            ANSWERS(""));

	cr_assert_eq(r.outcome, FIRN_STORE_AMBIGUOUS);
	cr_assert_not_null(strstr(fake.asked[0], "\r\nif-match: \"v1\"\r\n"));
}

/* ---- what an answer means ---- */

Test(s3_answer, statuses_and_codes_have_their_outcome, .timeout = 60)
{
	static const struct {
		const char *answer;
		uint32_t outcome;
		int code;
	} cases[] = {
		{ XML("412 x", ERROR_BODY("PreconditionFailed")), FIRN_STORE_PERMANENT,
		  FIRN_ECONFLICT },
		{ XML("409 x", ERROR_BODY("ConditionalRequestConflict")), FIRN_STORE_RETRY,
		  FIRN_ESTORE },
		{ XML("404 x", ERROR_BODY("NoSuchKey")), FIRN_STORE_PERMANENT, FIRN_ENOENT },
		{ XML("404 x", ERROR_BODY("NoSuchBucket")), FIRN_STORE_PERMANENT, FIRN_ESTORE },
		{ XML("403 x", ERROR_BODY("AccessDenied")), FIRN_STORE_PERMANENT, FIRN_EREADONLY },
		{ XML("500 x", ERROR_BODY("InternalError")), FIRN_STORE_AMBIGUOUS, FIRN_ESTORE },
		{ XML("503 x", ERROR_BODY("SlowDown")), FIRN_STORE_THROTTLED, FIRN_ESTORE },
		{ XML("503 x", ERROR_BODY("SlowDownWrite")), FIRN_STORE_AMBIGUOUS, FIRN_ESTORE },
		{ XML("400 x", ERROR_BODY("BadDigest")), FIRN_STORE_RETRY, FIRN_ESTORE },
		{ XML("413 x", ERROR_BODY("EntityTooLarge")), FIRN_STORE_PERMANENT, FIRN_ETOOBIG },
		{ XML("501 x", ERROR_BODY("NotImplemented")), FIRN_STORE_PERMANENT,
		  FIRN_EUNSUPPORTED },
		{ XML("502 x", "<html>a proxy"), FIRN_STORE_AMBIGUOUS, FIRN_ESTORE },
		{ XML("200 OK", ERROR_BODY("InternalError")), FIRN_STORE_AMBIGUOUS, FIRN_ESTORE },
		{ XML("200 OK", ""), FIRN_STORE_AMBIGUOUS, FIRN_ESTORE },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct firn_store_request r = put(cases[i].answer);

		cr_assert_eq(r.outcome, cases[i].outcome, "%s: outcome %u, %s", cases[i].answer,
		             r.outcome, told.text);
		cr_assert_eq(r.code, cases[i].code, "%s: %d", cases[i].answer, r.code);
		cr_assert_eq(r.version.len, 0u);
	}
}

Test(s3_answer, throttling_says_for_how_long, .timeout = 60)
{
	(void)put("HTTP/1.1 503 x\r\nRetry-After: 7\r\nConnection: close\r\n\r\n" ERROR_BODY(
	        "SlowDown"));
	cr_assert_eq(told.retry_after_ms, 7000u);
	cr_assert_eq(told.sys, 503);
}

Test(s3_answer, a_wrong_clock_is_explained, .timeout = 60)
{
	struct firn_store_request r = put(
	        "HTTP/1.1 403 x\r\nDate: Fri, 24 May 2013 00:00:00 GMT\r\nConnection: "
	        "close\r\n\r\n" ERROR_BODY("RequestTimeTooSkewed"));

	cr_assert_eq(r.outcome, FIRN_STORE_PERMANENT);
	cr_assert_not_null(strstr(told.text, "this machine's clock is"), "%s", told.text);
	cr_assert_not_null(strstr(told.text, "before the store's"), "%s", told.text);
}

Test(s3_answer, a_server_that_shows_keys_is_not_quoted, .timeout = 60)
{
	(void)put(XML("403 x", "<Error><Code>AccessDenied</Code><Message>" ACCESS " with " SECRET
	                       "</Message></Error>"));
	cr_assert_not_null(strstr(told.text, "*** with ***"), "%s", told.text);
}

Test(s3_answer, a_commit_that_fails_behind_a_200_has_failed, .timeout = 60)
{
	struct firn_store_part part = { 1, 0, 5, { 3, "\"p\"" } };
	struct firn_store_request q = { .op = FIRN_STORE_MULTIPART_COMMIT,
		                        .upload = (char[]){ "u" },
		                        .parts = &part,
		                        .n_parts = 1 };
	struct firn_store_request r = ask(q, ANSWERS(XML("200 OK",
	                                                 "<?xml version=\"1.0\"?>  " ERROR_BODY(
	                                                         "InternalError"))));

	cr_assert_eq(r.outcome, FIRN_STORE_AMBIGUOUS);
	cr_assert_not_null(strstr(fake.asked[0], "<PartNumber>1</PartNumber><ETag>&quot;p&quot;"));
	r = ask(q, ANSWERS(XML("200 OK", ERROR_BODY("NoSuchUpload"))));
	cr_assert_eq(r.code, FIRN_ENOENT);
	r = ask(q, ANSWERS(XML("200 OK", "<CompleteMultipartUploadResult><ETag>&quot;w&quot;</ETag>"
	                                 "</CompleteMultipartUploadResult>")));
	cr_assert_eq(r.outcome, FIRN_STORE_DONE);
	cr_assert_arr_eq(r.version.text, "\"w\"", 3);
}

Test(s3_answer, a_range_is_compared_with_what_was_asked, .timeout = 60)
{
	struct firn_store_request q = { .op = FIRN_STORE_GET, .pos = 5, .len = 4 };
	struct firn_store_request r =
	        ask(q, ANSWERS("HTTP/1.1 206 x\r\nContent-Range: bytes 5-8/20\r\nETag: "
	                       "\"e\"\r\nContent-Length: 4\r\n\r\nabcd"));

	cr_assert_eq(r.got, 4u);
	cr_assert_eq(r.size, 20u);
	cr_assert_not_null(strstr(fake.asked[0], "range: bytes=5-8\r\n"));
	r = ask(q, ANSWERS("HTTP/1.1 206 x\r\nContent-Range: bytes 4-7/20\r\nContent-Length: "
	                   "4\r\n\r\nabcd"));
	cr_assert_eq(r.outcome, FIRN_STORE_RETRY, "another range");
	r = ask(q, ANSWERS("HTTP/1.1 200 x\r\nContent-Length: 4\r\n\r\nabcd"));
	cr_assert_eq(r.outcome, FIRN_STORE_RETRY, "ranges ignored");
	r = ask(q, ANSWERS("HTTP/1.1 206 x\r\nContent-Range: bytes 5-8/20\r\nContent-Length: "
	                   "4\r\nConnection: close\r\n\r\nab"));
	cr_assert_eq(r.outcome, FIRN_STORE_RETRY, "cut short");
}

Test(s3_answer, a_range_beyond_the_end_is_empty, .timeout = 60)
{
	struct firn_store_request r =
	        ask((struct firn_store_request){ .op = FIRN_STORE_GET, .pos = 50, .len = 4 },
	            ANSWERS("HTTP/1.1 416 x\r\nContent-Length: 0\r\n\r\n",
	                    "HTTP/1.1 200 x\r\nContent-Length: 20\r\nETag: \"e\"\r\n\r\n"));

	cr_assert_eq(r.outcome, FIRN_STORE_DONE, "%s", told.text);
	cr_assert_eq(r.got, 0u);
	cr_assert_eq(r.size, 20u);
	cr_assert_not_null(strstr(fake.asked[1], "HEAD /bkt/pre/k "));
}

/* ---- LIST ---- */

static _Alignas(8) uint8_t room[8192];

static struct firn_store_request list(struct firn_store_page *page, const char *const *answers)
{
	*page = (struct firn_store_page){
		.struct_size = (uint32_t)sizeof *page, .max = 10, .data = room, .cap = sizeof room
	};
	return ask((struct firn_store_request){ .op = FIRN_STORE_LIST,
	                                        .prefix = "a/",
	                                        .start_after = "a/b",
	                                        .page = page },
	           answers);
}

#define ITEM(key) "<Contents><Key>" key "</Key><Size>3</Size></Contents>"
#define LISTING(more, items)                                                        \
	XML("200 OK", "<ListBucketResult><IsTruncated>" more "</IsTruncated>" items \
	              "<NextContinuationToken>t+1</NextContinuationToken></ListBucketResult>")

Test(s3_list, an_empty_page_is_continued_by_its_token, .timeout = 60)
{
	struct firn_store_page page;
	struct firn_store_request r = list(&page, ANSWERS(LISTING("true", ""),
	                                                  LISTING("true", ITEM("pre/a/c&amp;"))));

	cr_assert_eq(r.outcome, FIRN_STORE_DONE, "%s", told.text);
	cr_assert_eq(page.n, 1u);
	cr_assert_eq(page.more, 1u);
	cr_assert_str_eq((char *)room + sizeof(struct firn_store_item), "a/c&");
	cr_assert_not_null(strstr(fake.asked[0],
	                          "GET /bkt/?list-type=2&max-keys=10&prefix=pre%2Fa%2F"
	                          "&start-after=pre%2Fa%2Fb HTTP"),
	                   "%s", fake.asked[0]);
	cr_assert_not_null(strstr(fake.asked[1], "continuation-token=t%2B1&"));
}

Test(s3_list, what_is_out_of_order_or_of_others_is_not_believed, .timeout = 60)
{
	static const char *const answers[] = {
		LISTING("false", ITEM("pre/a/d") ITEM("pre/a/c")),
		LISTING("false", ITEM("pre/a/c") ITEM("pre/a/c")),
		LISTING("false", ITEM("other/a/c")),
		XML("200 OK", "<ListBucketResult><Contents><Key>pre/a/c</Key>"),
		XML("200 OK", "<!DOCTYPE x [<!ENTITY e \"y\">]><ListBucketResult/>"),
		XML("200 OK", "<Something/>"),
		XML("200 OK", ""),
	};

	for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
		struct firn_store_page page;
		struct firn_store_request r = list(&page, ANSWERS(answers[i]));

		cr_assert_eq(r.outcome, FIRN_STORE_RETRY, "%s", answers[i]);
		cr_assert_eq(page.n, 0u, "no half pages");
	}
}
