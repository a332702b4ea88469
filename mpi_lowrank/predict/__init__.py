"""Does compression pay on a network? The time of a recorded case's rounds on networks not there."""
