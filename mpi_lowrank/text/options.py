"""Names that options of the command line, and keys of a configuration, choose from."""

COSTS = ("rounds", "uplink_bytes", "total_bytes", "seconds")
"""What a target took. Bytes are per worker; `total_bytes` is uplink + downlink."""

FORMATS = ("text", "csv", "markdown", "latex", "json")
