"""The exit statuses of commands."""

FAILED = 2
"""The exit status of an error that a user can mend."""

BROKEN = 1
"""The exit status of a run with a case that failed, of a certificate with a broken promise."""

INTERRUPTED = 130
"""The exit status of a run that was asked to stop."""
