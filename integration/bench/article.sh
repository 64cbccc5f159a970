#!/bin/sh
# What the article does with commands, for one container and one published
# port: the bridge is there, each step is a process of its own, and in the end
# what was added is taken away again. In the article the first half is the C
# program's system("…") calls, and the inner sh its child.
#
#     sh article.sh DIRECTORY COMMAND [ARG...]
#
# DIRECTORY has two fifos, ready and go.
set -e
dir=$1
shift

unshare --mount --pid --fork --uts --ipc --net --cgroup --mount-proc sh -c '
	echo >"$0/ready"
	read _ <"$0/go"
	hostname container 2>/dev/null || echo container >/proc/sys/kernel/hostname
	ip link set lo up
	ip addr add 172.16.0.30/24 dev veth1
	ip link set veth1 up
	ip route add default via 172.16.0.100
	exec "$@"
' "$dir" "$@" &
child=$!
read _ <"$dir/ready"

veth=veth$$
ip link add $veth type veth peer name veth1 netns $child
ip link set $veth master br0
ip link set $veth up
nft add table ip article
nft add chain ip article prerouting '{ type nat hook prerouting priority -100; }'
nft add chain ip article postrouting '{ type nat hook postrouting priority 100; }'
nft add rule ip article prerouting tcp dport 80 dnat to 172.16.0.30:8000
nft add rule ip article postrouting ip saddr 172.16.0.0/24 masquerade
echo >"$dir/go"

status=0
wait $child || status=$?
nft delete table ip article
ip link del $veth 2>/dev/null || true # it may have gone with its namespace
exit $status
