/* AWS Signature Version 4, as "Signature Version 4 signing process" in Amazon's general reference
 * describes it. Why it is ours and not libcurl's: README.md. */
#ifndef S3_SIGN_H
#define S3_SIGN_H
#include <stddef.h>
#include <stdint.h>

#define SIGN_UNSIGNED "UNSIGNED-PAYLOAD"
enum { SIGN_HEX = 65, SIGN_ROOM = 1024, SIGN_HEADERS = 16 };

struct sign_header {
	const char *name; /* in lower case */
	const char *value;
};

struct sign_request {
	const char *method;
	const char *path;  /* encoded as it is sent, beginning with '/' */
	const char *query; /* encoded, sorted by name, with '=' after every name; "" = none */
	const struct sign_header
	        *header;     /* those to sign, in the order of their names; with host, */
	uint32_t n_header;   /* x-amz-date and x-amz-content-sha256 */
	const char *payload; /* hash of the body in hex, or SIGN_UNSIGNED */
	const char *date;    /* 20130524T000000Z, as in x-amz-date */
	const char *region, *access_key, *secret_key;
};

/* The value of the Authorization header. 0, or -1: it has no room, or the crypto library failed. */
int sign_authorization(const struct sign_request *r, char out[SIGN_ROOM]);
/* "20130524T000000Z" */
void sign_date(int64_t unix_ms, char out[20]);
void sign_hex(const unsigned char *bytes, size_t n, char *out);
#endif
