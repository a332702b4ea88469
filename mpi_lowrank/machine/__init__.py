"""What this machine and this process are: memory, clocks, launch, output, the source tree."""
