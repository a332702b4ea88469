"""Does compression pay on a network? The time of a recorded case's rounds on networks not there."""

BANDWIDTHS = "10mbit..400gbit"
LATENCY = "50us"
RANKS = "2..65536"
"""The networks to predict for where nobody says which."""
