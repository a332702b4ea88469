"""What the benches print, made of their records. No MPI here."""
