/* What requests to a store cost: a table of its own, prices= of its URI, or Amazon's. */
#include "engine/store/meter.h"
#include <string.h>

enum { MILLION = 1000000, MOST = 1000 };

const struct meter_prices meter_prices_s3 = { .per_1000_put = 5000, .per_1000_get = 400 };

/* One number; where it ends, NULL if it is none. */
static const char *one_price(const char *at, uint64_t *out)
{
	size_t whole = strspn(at, "0123456789"), part = 0;
	uint64_t value = 0;

	if (whole == 0 || whole > 4)
		return NULL;
	for (size_t i = 0; i < whole; i++)
		value = value * 10 + (uint64_t)(at[i] - '0') * MILLION;
	at += whole;
	if (*at == '.') {
		part = strspn(++at, "0123456789");
		if (part == 0 || part > 6)
			return NULL;
	}
	for (uint64_t i = 0, unit = MILLION / 10; i < part; i++, unit /= 10)
		value += (uint64_t)(at[i] - '0') * unit;
	*out = value;
	return value <= (uint64_t)MOST * MILLION ? at + part : NULL;
}

int meter_prices_parse(const char *text, struct meter_prices *out)
{
	uint64_t *const price[] = { &out->per_1000_put, &out->per_1000_get, &out->per_gib_in,
		                    &out->per_gib_out };

	memset(out, 0, sizeof *out);
	for (size_t i = 0; i < sizeof price / sizeof price[0]; i++) {
		text = one_price(text, price[i]);
		if (!text)
			return -1;
		if (*text == 0)
			return 0;
		if (*text++ != ',')
			return -1;
	}
	return -1;
}
