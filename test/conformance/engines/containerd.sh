#!/bin/bash
# containerd, through its runc shim, with RUNTIME as the shim's binary.
. "$(dirname "$0")/lib.sh"
need containerd ctr containerd-shim-runc-v2 podman ip
private "$@"
world
rootfs

export CONTAINERD_ADDRESS=$W/containerd.sock
cat >"$W/config.toml" <<-T
	version = 2
	root = "$W/root"
	state = "$W/state"
	disabled_plugins = ["io.containerd.grpc.v1.cri"]
	[grpc]
	address = "$CONTAINERD_ADDRESS"
T
containerd --config "$W/config.toml" >"$W/containerd.log" 2>&1 &
for _ in $(seq 100); do
	[ -S "$CONTAINERD_ADDRESS" ] && ctr version >/dev/null 2>&1 && break
	sleep 0.1
done

# an image in the form that containerd reads
podman() { command podman --root "$W/podman" --runroot "$W/run" --tmpdir "$W/tmp" "$@"; }
podman import -q "$W/rootfs.tar" localhost/real:1 >/dev/null && podman save -q --format oci-archive -o "$W/real.oci" localhost/real:1
code "import" 0 ctr image import --base-name localhost/real "$W/real.oci"
image=$(ctr image ls -q | head -1)

seq=0
args=(--snapshotter overlayfs --runtime io.containerd.runc.v2 --runc-binary "$RUNTIME" --runc-root "$W/runc")
run() {
	seq=$((seq + 1))
	ctr run --rm "${args[@]}" "${opts[@]}" "$image" "c$seq-$RANDOM" "$@"
}
opts=()

is "run" hello run echo hello
code "exit code" 42 run sh -c 'exit 42'
like "command not found" 'executable file not found in \$PATH|no such file or directory' run no-such-program
opts=(--env K=v)
is "environment" v run sh -c 'echo $K'
opts=(--cwd /etc)
is "workdir" /etc run pwd
opts=(--read-only)
like "read-only root" 'Read-only file system' run touch /x
opts=(--seccomp)
is "seccomp" 2 run sh -c "grep Seccomp: /proc/self/status | tr -dc '012'"
opts=(--privileged)
is "privileged sees all devices" yes run sh -c '[ -e /dev/full ] && echo yes'
opts=(--mount "type=bind,src=$W/rootfs.tar,dst=/data,options=rbind:ro")
code "bind mount" 0 run test -s /data
opts=(--with-ns "network:/proc/self/ns/net")
code "namespace by path" 0 run true
opts=()
like "terminal" '^33 77$' pty ctr run --rm -t "${args[@]}" "$image" tty1 sh -c 'sleep 0.5; stty size'

# ctr mounts no cgroups: they are looked at from outside
limit() { cat "/sys/fs/cgroup/$1/default/web/$2" 2>/dev/null || cat "/sys/fs/cgroup/default/web/$3"; }
code "start detached" 0 ctr run -d --memory-limit 67108864 --cpu-quota 50000 --cpu-period 100000 "${args[@]}" "$image" web sh -c 'trap "exit 3" TERM; while :; do sleep 0.1; done'
status() { ctr task ls | awk -v id="$1" '$1 == id {print $3}'; }
until_is "running" RUNNING status web
is "memory limit" 67108864 limit memory memory.limit_in_bytes memory.max
like "cpu limit" '^50000( |$)' limit cpu cpu.cfs_quota_us cpu.max
is "exec" in ctr task exec --exec-id e1 web echo in
code "exec exit code" 7 ctr task exec --exec-id e2 web sh -c 'exit 7'
like "exec not found" 'executable file not found in \$PATH|no such file' ctr task exec --exec-id e3 web nothing-here
like "exec on a terminal" '^33 77$' pty ctr task exec -t --exec-id e4 web sh -c 'sleep 0.5; stty size'
is "exec as user" 1 ctr task exec --exec-id e5 --user 1 web id -u
code "pause" 0 ctr task pause web
is "paused" PAUSED status web
code "resume" 0 ctr task resume web
is "running again" RUNNING status web
like "processes" '[0-9]+' ctr task ps web
like "metrics" 'memory' ctr task metrics web
if why=$(criu check 2>&1 | grep -m1 Error); [ -z "$why" ] && command -v criu >/dev/null; then
	code "checkpoint" 0 ctr task checkpoint web
else
	skipped "checkpoint" "criu: ${why:-not installed}"
fi
code "kill" 0 ctr task kill --signal TERM web
until_is "stopped" STOPPED status web
like "delete gives the exit code" 'exit code 3' ctr task delete web
code "container removed" 0 ctr container rm web
code "start one that ignores TERM" 0 ctr run -d "${args[@]}" "$image" deaf sh -c 'trap "" TERM; while :; do sleep 0.1; done'
code "kill -9" 0 ctr task kill --signal KILL deaf
until_is "dead" STOPPED status deaf
like "delete" 'exit code 137' ctr task delete deaf
code "removed" 0 ctr container rm deaf
is "nothing left" "" ctr container ls -q
finish
