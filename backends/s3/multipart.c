/* Multipart uploads: begin, put a part, commit, abort. */
#include "backends/s3/s3_store.h"
#include "engine/base/buf.h"
#include <stdio.h>

static void put_text(struct buf *b, const char *text)
{
	buf_put(b, text, strlen(text));
}

/* The ETag of a part, as text of XML. */
static void put_escaped(struct buf *b, const struct firn_store_version *v)
{
	for (uint32_t i = 0; i < v->len; i++) {
		char one[2] = { v->text[i], 0 };

		put_text(b, one[0] == '&'   ? "&amp;"
		            : one[0] == '<' ? "&lt;"
		            : one[0] == '>' ? "&gt;"
		            : one[0] == '"' ? "&quot;"
		                            : one);
	}
}

/* <CompleteMultipartUpload> with all parts. */
static void commit_body(struct s3_call *c)
{
	const struct firn_store_request *req = c->req;
	struct buf b;
	char number[80];

	buf_init(&b, c->lane->store->host->env);
	put_text(&b, "<CompleteMultipartUpload "
	             "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
	for (uint32_t i = 0; i < req->n_parts; i++) {
		(void)snprintf(number, sizeof number, "<Part><PartNumber>%u</PartNumber><ETag>",
		               req->parts[i].part);
		put_text(&b, number);
		put_escaped(&b, &req->parts[i].version);
		put_text(&b, "</ETag></Part>");
	}
	put_text(&b, "</CompleteMultipartUpload>");
	buf_put_u8(&b, 0);
	if (b.failed) {
		buf_fini(&b);
		firn_store_set_error(c->req, FIRN_STORE_PERMANENT, FIRN_ENOMEM, 0,
		                     "no memory for the list of parts");
		return;
	}
	c->text = (char *)b.data; /* taken over */
	c->body_len = b.len - 1;
}

void multipart_ask(struct s3_call *c)
{
	struct firn_store_request *req = c->req;
	char number[16];

	switch (req->op) {
	case FIRN_STORE_MULTIPART_BEGIN:
		c->method = "POST";
		c->sends_twice_badly = 1; /* a second upload would be left behind */
		c->token[0] = 0;
		call_query(c, "uploads", "");
		break;
	case FIRN_STORE_MULTIPART_PUT:
		c->method = "PUT";
		c->body_is_iov = 1;
		c->body_len = req->len;
		(void)snprintf(number, sizeof number, "%u", req->part);
		call_query(c, "partNumber", number);
		call_query(c, "uploadId", req->upload);
		put_body_checksum(c);
		break;
	case FIRN_STORE_MULTIPART_COMMIT:
		c->method = "POST";
		c->sends_twice_badly = 1; /* the second would not find the upload */
		call_query(c, "uploadId", req->upload);
		put_conditions(c);
		commit_body(c);
		break;
	default:
		c->method = "DELETE";
		call_query(c, "uploadId", req->upload);
	}
}

int multipart_answer(struct s3_call *c)
{
	struct firn_store_request *req = c->req;

	if (req->op == FIRN_STORE_MULTIPART_ABORT)
		return 1;
	if (req->op == FIRN_STORE_MULTIPART_BEGIN) {
		if (!c->token[0])
			answer_nonsense(c, "the server begins an upload without a name");
		else
			(void)strcpy(req->upload, c->token);
		return 1;
	}
	if (req->op == FIRN_STORE_MULTIPART_COMMIT &&
	    (!c->xml || strcmp(xml_root(c->xml), "CompleteMultipartUploadResult"))) {
		answer_nonsense(c, "the server's answer to the commit is none");
		return 1;
	}
	call_version(c);
	if (req->version.len == 0)
		answer_nonsense(c, "the server answers without an ETag");
	return 1;
}
