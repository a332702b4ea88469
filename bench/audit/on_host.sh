#!/bin/sh
# How mpirun starts a process on a host: `on_host.sh ADDRESS COMMAND...` enters the namespace that
# network.py made for that address, under a host name of its own.
number=${1##*.}
shift
exec ip netns exec "$AUDIT_PREFIX$number" unshare --uts sh -c "hostname host$number; $*"
