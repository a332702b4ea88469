"""What rows have and how they are printed, by the names that options have for it."""

COSTS = ("rounds", "uplink_bytes", "total_bytes", "seconds")
"""Bytes are per worker; `total_bytes` is uplink + downlink."""

FORMATS = ("text", "csv", "markdown", "latex", "json")
