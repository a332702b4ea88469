"""Tables and figures out of records, and of nothing else."""
