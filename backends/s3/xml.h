/* Answers in XML, read as they arrive. Only the text of leaves is of interest; what is too deep, too
 * long, malformed or has a document type is an error. */
#ifndef S3_XML_H
#define S3_XML_H
#include <firn/env.h>
#include <stddef.h>

struct xml;
/* An element has ended. `parent` is "" for the root; `text` is its own text, NUL-terminated. */
typedef void (*xml_element)(void *arg, const char *parent, const char *name, const char *text);

struct xml *xml_new(const struct firn_env *env, xml_element element, void *arg); /* NULL: memory */
void xml_free(struct xml *x);
/* 0, or -1 once and for ever after an error. */
int xml_feed(struct xml *x, const char *data, size_t len);
/* The document is over and was whole: 0. */
int xml_end(struct xml *x);
const char *xml_root(const struct xml *x); /* "" before it was seen */
#endif
