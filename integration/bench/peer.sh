#!/bin/sh
# The peers that take more than a command line, each in a network namespace of
# its own: their rules are not in the way of others.
#
#     sh peer.sh prepare|run|stop cni|podman|docker DIRECTORY
#
# The OCI bundles are there: DIRECTORY/bundle/. and DIRECTORY/bundle/bench,
# whose network namespace is /run/netns/bench.
set -e
verb=$1 peer=$2 dir=$3
net() { nsenter --net="/run/netns/$peer" -- "$@"; }
podman_() {
	net podman --root "$dir/podman/root" --runroot "$dir/podman/run" --tmpdir "$dir/podman/tmp" --network-config-dir "$dir/podman/net" \
		--storage-driver vfs --network-backend netavark --cgroup-manager cgroupfs --runtime crun "$@"
}
export NETCONFPATH="$dir/cni" CNI_PATH=${CNI_PATH:-/usr/lib/cni:/opt/cni/bin}
export CAP_ARGS='{"portMappings":[{"hostPort":80,"containerPort":8000,"protocol":"tcp"}]}'
export DOCKER_HOST="unix://$dir/docker/socket"

case $verb-$peer in
prepare-*)
	# What only prepares, and the daemons: at real-time priority two processes of
	# docker's spin while they wait for a third, which never runs.
	chrt --other --pid 0 $$
	ip netns add "$peer"
	net ip link set lo up
	mkdir "$dir/$peer"
	;;
esac
case $verb-$peer in
prepare-cni)
	cat >"$dir/cni/bench.conflist" <<-END
	{"cniVersion": "1.0.0", "name": "bench", "plugins": [
	  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
	   "ipam": {"type": "host-local", "dataDir": "$dir/cni/leases", "ranges": [[{"subnet": "172.17.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
	  {"type": "portmap", "capabilities": {"portMappings": true}},
	  {"type": "firewall"}]}
	END
	;;
run-cni)
	net ip netns add bench
	net cnitool add bench /run/netns/bench >/dev/null
	net crun --root "$dir/crun" --cgroup-manager disabled run --bundle "$dir/bundle/bench" bench
	net cnitool del bench /run/netns/bench
	net ip netns delete bench
	;;
run-podman)
	# Limits that a host without CAP_SYS_RESOURCE can set.
	podman_ run --rm --cgroups=disabled --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 \
		-p 80:8000 --rootfs "$dir/bundle/rootfs" /nothing
	;;
prepare-docker)
	net dockerd --data-root "$dir/docker/data" --exec-root "$dir/docker/exec" --pidfile "$dir/docker/pid" --host "$DOCKER_HOST" \
		--storage-driver vfs --userland-proxy=false --bip 172.18.0.1/24 >"$dir/docker/log" 2>&1 &
	i=0
	until docker version >/dev/null 2>&1; do
		i=$((i + 1))
		[ $i -lt 100 ] || { tail -n 3 "$dir/docker/log" >&2; exit 1; }
		sleep 0.1
	done
	tar -C "$dir/bundle/rootfs" -c . | docker import - bench >/dev/null
	;;
run-docker)
	exec docker run --rm -p 80:8000 bench /nothing
	;;
stop-docker)
	pid=$(cat "$dir/docker/pid") i=0
	kill "$pid"
	while kill -0 "$pid" 2>/dev/null; do
		i=$((i + 1))
		[ $i -lt 300 ] || { kill -KILL "$pid"; echo "dockerd did not end in 30 s" >&2; exit 1; }
		sleep 0.1
	done
	;;
esac
