"""Features of test videos: made once, kept in memory and on disk, by what they depend on."""
