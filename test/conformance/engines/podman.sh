#!/bin/bash
# Podman with RUNTIME as its OCI runtime.
. "$(dirname "$0")/lib.sh"
need podman conmon ip
private "$@"
world
rootfs

procs=$(ulimit -Hu)
[ "$procs" != unlimited ] && [ "$procs" -le 32768 ] || procs=32768
ulimits="--ulimit nofile=$(ulimit -Hn):$(ulimit -Hn) --ulimit nproc=$procs:$procs"
podman() { command podman --root "$W/podman" --runroot "$W/run" --tmpdir "$W/tmp" --cgroup-manager cgroupfs --events-backend file --runtime "$RUNTIME" "$@"; }
run() { podman run --network none $ulimits "$@"; }
created() { podman create --network none $ulimits "$@"; }
export -f podman; export W RUNTIME

code "import" 0 podman import -q "$W/rootfs.tar" real
is "run" hello run --rm real echo hello
code "exit code" 42 run --rm real sh -c 'exit 42'
code "command not found" 127 run --rm real /no/such/program
code "command not executable" 126 run --rm real /etc/passwd
code "workdir that is missing" 126 run --rm --workdir /made real true
is "user" 1:1 run --rm --user 1:1 real sh -c 'echo $(id -u):$(id -g)'
is "environment" v run --rm --env K=v real sh -c 'echo $K'
is "hostname" web run --rm --hostname web real hostname
is "stdin" text bash -c 'echo text | podman run -i --rm --network none '"$ulimits"' real cat'
like "terminal" '^33 77$' pty bash -c 'podman run -it --rm --network none '"$ulimits"' real stty size'
like "read-only root" 'Read-only file system' run --rm --read-only real touch /x
code "read-only root has a /tmp" 0 run --rm --read-only real touch /tmp/x
is "capabilities dropped" 0000000000000000 run --rm --cap-drop all real sh -c "grep CapEff /proc/self/status | tr -dc '0-9a-f\n' | tail -c 17"
is "no new privileges" 1 run --rm --security-opt no-new-privileges real sh -c "grep NoNewPrivs /proc/self/status | tr -dc '01'"
is "seccomp" 2 run --rm real sh -c "grep Seccomp: /proc/self/status | tr -dc '012'"
is "volume" data bash -c "echo data >$W/file; $(declare -f run podman); ulimits='$ulimits'; run --rm -v $W/file:/data:ro real cat /data"
is "tmpfs" tmpfs run --rm --tmpfs /t real sh -c "grep ' /t ' /proc/mounts | cut -d' ' -f3"
like "sysctl" '^1$' run --rm --sysctl net.ipv4.ip_forward=1 real cat /proc/sys/net/ipv4/ip_forward
is "ulimit" 99 run --rm --ulimit nofile=99:99 real sh -c 'ulimit -n'
is "oom score" 500 run --rm --oom-score-adj 500 real cat /proc/self/oom_score_adj
is "shm size" 1024 run --rm --shm-size 1m real sh -c "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2"
if [ -x /usr/libexec/podman/catatonit ]; then
	code "init" 0 run --rm --init real true
else
	skipped "init" "no catatonit"
fi

# limits, read back in the container
limit() { run --rm "$1" real sh -c "cat /sys/fs/cgroup/$2 2>/dev/null || cat /sys/fs/cgroup/$3"; }
is "memory limit" 67108864 limit --memory=64m memory/memory.limit_in_bytes memory.max
is "pids limit" 55 limit --pids-limit=55 pids/pids.max pids.max
like "cpu limit" '^50000( |$)' limit --cpus=0.5 cpu/cpu.cfs_quota_us cpu.max
is "cpuset" 0 limit --cpuset-cpus=0 cpuset/cpuset.cpus cpuset.cpus
like "device" 'c[rw-]+' run --rm --device /dev/fuse real sh -c 'ls -l /dev/fuse || true'

# a container that goes on
code "start detached" 0 run -d --name web real sh -c 'echo up; trap "exit 3" TERM; while :; do sleep 0.1; done'
until_is "logs" up podman logs web
is "exec" in podman exec web echo in
code "exec exit code" 7 podman exec web sh -c 'exit 7'
code "exec not found" 127 podman exec web /no/such
is "exec as user" 1 podman exec --user 1 web id -u
is "exec environment" x podman exec --env E=x web sh -c 'echo $E'
is "exec workdir" /etc podman exec --workdir /etc web pwd
like "exec on a terminal" '^33 77$' pty bash -c 'podman exec -it web stty size'
is "exec reads stdin" fed bash -c 'echo fed | podman exec -i web cat'
like "top" PID podman top web
like "stats" 'web' podman stats --no-stream --format '{{.Name}} {{.MemUsage}}' web
code "pause" 0 podman pause web
is "paused" paused podman inspect -f '{{.State.Status}}' web
code "exec in a paused one fails" 255 podman exec web true
code "unpause" 0 podman unpause web
code "update is seen" 0 podman exec web true
code "kill" 0 podman kill --signal USR1 web
is "restart" web podman restart --time 5 web
code "stop" 0 podman stop --time 5 web
is "stopped by its own exit" 3 podman inspect -f '{{.State.ExitCode}}' web
code "start again" 0 podman start web
is "pid namespace of another" "sh" run --rm --pid container:web real sh -c "tr '\0' '\n' </proc/1/cmdline | head -1"
code "forced removal" 0 podman rm --force --time 0 web
code "a signal's exit code" 137 run --rm real sh -c 'sleep 100 & kill -9 $!; wait $!'

code "health check" 0 run -d --name sick --health-cmd 'test -e /tmp/ok' --health-interval disable real sh -c 'while :; do sleep 1; done'
code "unhealthy" 1 podman healthcheck run sick
code "make it healthy" 0 podman exec sick touch /tmp/ok
code "healthy" 0 podman healthcheck run sick
code "remove it" 0 podman rm --force --time 0 sick

code "user namespace" 0 run --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 real true
is "its map" "0 100000 65536" run --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 real sh -c "tr -s ' ' </proc/self/uid_map | sed 's/^ //'"
if grep -q '^containers:' /etc/subuid 2>/dev/null; then
	code "userns=auto" 0 run --rm --userns=auto real true
else
	skipped "userns=auto" "no ids for containers in /etc/subuid"
fi

infra() { podman pod create --name pod --network none --infra-image real --infra-command "sleep 1000" --share ipc,uts; }
code "pod" 0 infra
code "container of a pod" 0 podman run -d --pod pod $ulimits --name member real sh -c 'while :; do sleep 1; done'
is "shared host name" pod podman exec member hostname
code "pod removed" 0 podman pod rm --force --time 0 pod

code "start one to checkpoint" 0 run -d --name frozen real sh -c 'i=0; while :; do i=$((i+1)); echo $i >/tmp/count; sleep 0.1; done'
if why=$(criu check 2>&1 | grep -m1 Error); [ -z "$why" ] && command -v criu >/dev/null; then
	code "checkpoint" 0 podman container checkpoint frozen
	code "restore" 0 podman container restore frozen
else
	skipped "checkpoint and restore" "criu: ${why:-not installed}"
fi
code "removed" 0 podman rm --force --time 0 frozen
is "nothing left" "" podman ps -aq
finish
