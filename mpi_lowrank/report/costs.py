"""What a run costs, by the names that rows and options have for it."""

COSTS = ("rounds", "uplink_bytes", "total_bytes", "seconds")
"""Bytes are per worker; `total_bytes` is uplink + downlink."""
