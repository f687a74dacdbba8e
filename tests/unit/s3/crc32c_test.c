/* CRC-32C against RFC 3720, appendix B.4. */
#include "backends/s3/s3_store.h"
#include <criterion/criterion.h>

Test(crc32c, agrees_with_the_rfc)
{
	uint8_t bytes[32];

	memset(bytes, 0, sizeof bytes);
	cr_assert_eq(crc32c(0, bytes, 32), 0x8a9136aau);
	memset(bytes, 0xff, sizeof bytes);
	cr_assert_eq(crc32c(0, bytes, 32), 0x62a8ab43u);
	for (int i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	cr_assert_eq(crc32c(0, bytes, 32), 0x46dd794eu);
	cr_assert_eq(crc32c(0, "123456789", 9), 0xe3069283u);
}

Test(crc32c, goes_on_where_it_was_cut)
{
	static const char text[] = "123456789";

	for (size_t cut = 0; cut <= 9; cut++)
		cr_assert_eq(crc32c(crc32c(0, text, cut), &text[cut], 9 - cut), 0xe3069283u);
}
