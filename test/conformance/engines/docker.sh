#!/bin/bash
# dockerd with RUNTIME as its default runtime.
. "$(dirname "$0")/lib.sh"
need dockerd docker containerd ip
private "$@"
world
rootfs

export DOCKER_HOST=unix://$W/docker.sock DOCKER_CONFIG=$W/docker-config
for driver in overlay2 vfs; do
	dockerd --host "$DOCKER_HOST" --data-root "$W/data" --exec-root "$W/exec" --pidfile "$W/docker.pid" \
		--bridge none --iptables=false --ip6tables=false --ip-forward=false --storage-driver "$driver" \
		--add-runtime judged="$RUNTIME" --default-runtime judged --cgroup-parent /tare-engines >"$W/dockerd.log" 2>&1 &
	pid=$!
	for _ in $(seq 150); do
		docker version >/dev/null 2>&1 && break 2
		kill -0 $pid 2>/dev/null || break
		sleep 0.1
	done
done
docker version >/dev/null 2>&1 || { echo "1..0 # SKIP dockerd does not start: $(tail -1 "$W/dockerd.log")"; exit 0; }

run() { docker run --network none "$@"; }
code "import" 0 docker import "$W/rootfs.tar" real
is "runtime" judged docker info --format '{{.DefaultRuntime}}'
is "run" hello run --rm real echo hello
code "exit code" 42 run --rm real sh -c 'exit 42'
code "command not found" 127 run --rm real no-such-program
like "its text" 'executable file not found in \$PATH' run --rm real no-such-program
code "command not executable" 126 run --rm real /etc/passwd
is "workdir is made" /made run --rm --workdir /made real pwd
is "user" 1:1 run --rm --user 1:1 real sh -c 'echo $(id -u):$(id -g)'
is "environment" v run --rm --env K=v real sh -c 'echo $K'
is "hostname" web run --rm --hostname web real hostname
is "stdin" text bash -c 'echo text | docker run --rm -i --network none real cat'
like "terminal" '^33 77$' pty docker run --rm -it --network none real sh -c 'sleep 0.5; stty size'
like "read-only root" 'Read-only file system' run --rm --read-only real touch /x
is "capabilities dropped" 0000000000000000 run --rm --cap-drop all real sh -c "grep CapEff /proc/self/status | tr -dc '0-9a-f\n' | tail -c 17"
is "no new privileges" 1 run --rm --security-opt no-new-privileges real sh -c "grep NoNewPrivs /proc/self/status | tr -dc '01'"
is "seccomp" 2 run --rm real sh -c "grep Seccomp: /proc/self/status | tr -dc '012'"
is "volume" data bash -c "echo data >$W/file; docker run --rm --network none -v $W/file:/data:ro real cat /data"
is "tmpfs" tmpfs run --rm --tmpfs /t real sh -c "grep ' /t ' /proc/mounts | cut -d' ' -f3"
is "ulimit" 99 run --rm --ulimit nofile=99:99 real sh -c 'ulimit -n'
is "oom score" 500 run --rm --oom-score-adj 500 real cat /proc/self/oom_score_adj
is "sysctl" 7 run --rm --sysctl net.core.somaxconn=7 real cat /proc/sys/net/core/somaxconn
if command -v docker-init >/dev/null; then
	code "init" 0 run --rm --init real true
else
	skipped "init" "no docker-init"
fi

limit() { run --rm "$1" real sh -c "cat /sys/fs/cgroup/$2 2>/dev/null || cat /sys/fs/cgroup/$3"; }
is "memory limit" 67108864 limit --memory=64m memory/memory.limit_in_bytes memory.max
is "pids limit" 55 limit --pids-limit=55 pids/pids.max pids.max
like "cpu limit" '^50000( |$)' limit --cpus=0.5 cpu/cpu.cfs_quota_us cpu.max
is "cpuset" 0 limit --cpuset-cpus=0 cpuset/cpuset.cpus cpuset.cpus
code "device" 0 run --rm --device /dev/fuse real test -c /dev/fuse
code "privileged" 0 run --rm --privileged real test -e /dev/full

code "start detached" 0 run -d --name web real sh -c 'echo up; trap "exit 3" TERM; while :; do sleep 0.1; done'
until_is "logs" up docker logs web
is "exec" in docker exec web echo in
code "exec exit code" 7 docker exec web sh -c 'exit 7'
like "exec not found" 'executable file not found in \$PATH' docker exec web no-such
is "exec as user" 1 docker exec --user 1 web id -u
is "exec environment" x docker exec --env E=x web sh -c 'echo $E'
like "exec on a terminal" '^33 77$' pty docker exec -it web sh -c 'sleep 0.5; stty size'
is "exec reads stdin" fed bash -c 'echo fed | docker exec -i web cat'
like "top" PID docker top web
like "stats" web docker stats --no-stream --format '{{.Name}} {{.MemUsage}}' web
is "pid namespace of another" sh run --rm --pid container:web real sh -c "tr '\0' '\n' </proc/1/cmdline | head -1"
code "update" 0 docker update --memory 96m --memory-swap 96m web
is "update is seen" 100663296 docker exec web sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max'
code "pause" 0 docker pause web
is "paused" paused docker inspect -f '{{.State.Status}}' web
code "exec in a paused one fails" 1 docker exec web true
code "unpause" 0 docker unpause web
code "restart" 0 docker restart --time 5 web
code "stop" 0 docker stop --time 5 web
is "stopped by its own exit" 3 docker inspect -f '{{.State.ExitCode}}' web
code "start again" 0 docker start web
code "kill" 0 docker kill web
until_is "killed" 137 docker inspect -f '{{.State.ExitCode}}' web
code "removal" 0 docker rm web
code "out of memory" 137 run --name hungry --memory 16m --memory-swap 16m real sh -c 'x=xxxxxxxx; while :; do x=$x$x; done'
is "is seen" true docker inspect -f '{{.State.OOMKilled}}' hungry
code "remove it" 0 docker rm hungry

code "health check" 0 run -d --name sick --health-cmd 'test -e /tmp/ok' --health-interval 200ms --health-retries 1 real sh -c 'while :; do sleep 1; done'
until_is "unhealthy" unhealthy docker inspect -f '{{.State.Health.Status}}' sick
code "make it healthy" 0 docker exec sick touch /tmp/ok
until_is "healthy" healthy docker inspect -f '{{.State.Health.Status}}' sick
code "remove it" 0 docker rm -f sick
is "nothing left" "" docker ps -aq
kill $pid && wait $pid
finish
