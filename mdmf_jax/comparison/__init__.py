"""Methods compared on the same episodes: statistics, tables, plots."""
