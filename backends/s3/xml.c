/* libexpat, fed by libcurl's pieces. Names come without their namespace's prefix, which S3's answers
 * do not use. */
#include "backends/s3/xml.h"
#include <expat.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH_MAX = 8, NAME_ROOM = 64, TEXT_ROOM = 4096 };

struct xml {
	const struct firn_env *env;
	XML_Parser parser;
	xml_element element;
	void *arg;
	int depth, failed;
	char name[DEPTH_MAX][NAME_ROOM];
	char root[NAME_ROOM];
	size_t len;
	char text[TEXT_ROOM];
};

static void stop(struct xml *x)
{
	x->failed = 1;
	(void)XML_StopParser(x->parser, XML_FALSE);
}

static void on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct xml *x = arg;

	(void)attributes;
	if (x->depth == DEPTH_MAX || strlen(name) >= NAME_ROOM) {
		stop(x);
		return;
	}
	(void)strcpy(x->name[x->depth++], name);
	if (x->depth == 1)
		(void)strcpy(x->root, name);
	x->len = 0;
}

static void on_end(void *arg, const XML_Char *name)
{
	struct xml *x = arg;

	(void)name;
	if (x->depth == 0)
		return;
	x->depth--;
	x->text[x->len] = 0;
	x->element(x->arg, x->depth ? x->name[x->depth - 1] : "", x->name[x->depth], x->text);
	x->len = 0;
}

static void on_text(void *arg, const XML_Char *text, int len)
{
	struct xml *x = arg;

	if (x->len + (size_t)len >= TEXT_ROOM) {
		stop(x);
		return;
	}
	memcpy(x->text + x->len, text, (size_t)len);
	x->len += (size_t)len;
}

/* Nothing that S3 answers has one, and what one can do (entities) nobody here wants. */
static void on_doctype(void *arg, const XML_Char *name, const XML_Char *sysid,
                       const XML_Char *pubid, int has_internal)
{
	(void)name;
	(void)sysid;
	(void)pubid;
	(void)has_internal;
	stop(arg);
}

struct xml *xml_new(const struct firn_env *env, xml_element element, void *arg)
{
	struct xml *x = env->alloc(env->ctx, sizeof *x, 16);

	if (!x)
		return NULL;
	memset(x, 0, sizeof *x);
	x->env = env;
	x->element = element;
	x->arg = arg;
	x->parser = XML_ParserCreate(NULL);
	if (!x->parser) {
		env->release(env->ctx, x);
		return NULL;
	}
	XML_SetUserData(x->parser, x);
	XML_SetElementHandler(x->parser, on_start, on_end);
	XML_SetCharacterDataHandler(x->parser, on_text);
	XML_SetStartDoctypeDeclHandler(x->parser, on_doctype);
	return x;
}

void xml_free(struct xml *x)
{
	if (!x)
		return;
	XML_ParserFree(x->parser);
	x->env->release(x->env->ctx, x);
}

int xml_feed(struct xml *x, const char *data, size_t len)
{
	while (!x->failed && len) {
		int n = len < 1 << 20 ? (int)len : 1 << 20;

		if (XML_Parse(x->parser, data, n, 0) != XML_STATUS_OK)
			x->failed = 1;
		data += n;
		len -= (size_t)n;
	}
	return x->failed ? -1 : 0;
}

int xml_end(struct xml *x)
{
	if (!x->failed && XML_Parse(x->parser, "", 0, 1) != XML_STATUS_OK)
		x->failed = 1;
	return x->failed ? -1 : 0;
}

const char *xml_root(const struct xml *x)
{
	return x->root;
}
