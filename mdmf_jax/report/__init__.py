"""Pictures of alignments, and reports as HTML files that need nothing else."""
