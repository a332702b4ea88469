#!/bin/sh
# The launcher that mpirun starts processes with: `on_host.sh ADDRESS COMMAND...` runs the command on
# the audit's host of that address, a network namespace, under a host name of its own.
number=${1##*.}
shift
exec ip netns exec "$AUDIT_NETWORK-$number" unshare --uts sh -c "hostname host$number; $*"
