/* A stream's configuration as bytes: in CREATE and CONFIG operations and in footers. */
#include "engine/admit/volume.h"
#include <string.h>

enum { CONFIG_VERSION = 1 };

void config_encode(const struct firn_stream_config *c, struct buf *out)
{
	buf_put_u32(out, CONFIG_VERSION);
	buf_put_u32(out, c->flags);
	buf_put_u64(out, c->retention_ms);
	buf_put_u64(out, c->retention_bytes);
	buf_put_u32(out, c->producer_window);
	buf_put_u32(out, c->producer_seq_bits);
	buf_put_u64(out, c->producer_expire_ms);
	buf_put_u64(out, c->key_window_ms);
	buf_put_u32(out, c->key_window_n);
	buf_put_u16(out, c->compression);
	buf_put_u16(out, c->cls);
	buf_put_u64(out, c->account);
}

int config_decode(const uint8_t *p, uint32_t len, struct firn_stream_config *out)
{
	struct cur c = cur_of(p, len);
	memset(out, 0, sizeof *out);
	out->struct_size = sizeof *out;
	uint32_t version = cur_u32(&c);
	out->flags = cur_u32(&c);
	out->retention_ms = cur_u64(&c);
	out->retention_bytes = cur_u64(&c);
	out->producer_window = cur_u32(&c);
	out->producer_seq_bits = cur_u32(&c);
	out->producer_expire_ms = cur_u64(&c);
	out->key_window_ms = cur_u64(&c);
	out->key_window_n = cur_u32(&c);
	out->compression = cur_u16(&c);
	out->cls = cur_u16(&c);
	out->account = cur_u64(&c);
	return c.failed || cur_left(&c) || version != CONFIG_VERSION ? -1 : 0;
}
