/* One request, checked and handed to its stage. */
#ifndef API_SUBMIT_H
#define API_SUBMIT_H
#include "engine/api/engine.h"

int submit_check(const struct firn_req *r, struct firn_error *err);
/* 0: its end will be told through `to`. Else it had no effect. */
int submit_one(struct engine *e, const struct firn_req *r, const struct completion *to,
               struct firn_error *err);
#endif
