"""Videos into shards of JPEG frames, which load faster."""
