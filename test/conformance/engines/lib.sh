# Sourced by the engine scripts. Each takes RUNTIME (a path, or a name of PATH;
# default bin/tare-oci) and prints TAP: "ok" and "not ok" lines, a plan, a sum.
# An engine that is not installed is one "1..0 # SKIP" line.

set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
RUNTIME=${RUNTIME:-$here/../../../bin/tare-oci}
RUNTIME=$(command -v "$RUNTIME") || { echo "1..0 # SKIP no runtime ${RUNTIME:-tare-oci}: run make build"; exit 0; }
RUNTIME=$(readlink -f "$RUNTIME")

# need skips the whole script where something is missing.
need() {
	local p
	for p; do
		PATH=$PATH:/usr/sbin:/sbin command -v "$p" >/dev/null || { echo "1..0 # SKIP needs $p"; exit 0; }
	done
	[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
}

# private runs the script again in mount, network, pid and ipc namespaces of
# its own, with an empty /run: a daemon sees and leaves nothing of the
# machine's, and everything dies with the script.
private() {
	[ -z "${TARE_ENGINES_PRIVATE:-}" ] || return 0
	TARE_ENGINES_PRIVATE=$(mktemp -d "${TMPDIR:-/tmp}/engines.XXXXXX") || exit 1
	PTY=$TARE_ENGINES_PRIVATE/pty
	(cd "$here/.." && CGO_ENABLED=0 go build -o "$PTY" ./pty) || exit 1
	export TARE_ENGINES_PRIVATE RUNTIME PTY
	local before
	before=$(groups_now)
	timeout --foreground 240 unshare --mount --net --ipc --pid --fork --kill-child --mount-proc "$0" "$@"
	local code=$?
	comm -13 <(echo "$before") <(groups_now) | grep -E '/(default|docker|moby|libpod_parent|tare-engines)(/|$)' | sort -r | xargs -r rmdir 2>/dev/null
	rm -rf --one-file-system "$TARE_ENGINES_PRIVATE"
	exit $code
}

groups_now() { find /sys/fs/cgroup -type d 2>/dev/null | sort; }

# world prepares what private promised; W is the scratch directory.
world() {
	W=$TARE_ENGINES_PRIVATE
	mount -t tmpfs -o mode=755,dev run /run
	mkdir -p /run/lock
	# crun 1.8 gives /dev/null to the container's user when it is stdin
	mknod -m 666 /run/null c 1 3 && mount --bind /run/null /dev/null
	# crun 1.8 refuses a v2 hierarchy beside those of v1
	if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi
	ip link set lo up
}

# rootfs makes $W/rootfs.tar: Debian's smallest root where test/verify has made
# one or mmdebstrap can, else the machine's static busybox.
rootfs() {
	local cache=$here/../../../.cache/debian/bookworm-$(go env GOARCH).tar a
	if [ ! -s "$cache" ] && command -v mmdebstrap >/dev/null; then
		mkdir -p "$(dirname "$cache")"
		mmdebstrap --quiet --mode=root --variant=minbase bookworm "$W/new.tar" >/dev/null 2>&1 &&
			cp "$W/new.tar" "$cache.new" && mv "$cache.new" "$cache"
	fi
	if [ -s "$cache" ]; then
		ln -s "$cache" "$W/rootfs.tar"
		return
	fi
	mkdir -p "$W/root"/{bin,dev,etc,proc,sys,tmp,root,run}
	cp "$(command -v busybox)" "$W/root/bin/busybox"
	for a in $("$W/root/bin/busybox" --list); do [ "$a" = busybox ] || ln -sf busybox "$W/root/bin/$a"; done
	printf 'root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/:/bin/sh\n' >"$W/root/etc/passwd"
	printf 'root:x:0:\ndaemon:x:1:\n' >"$W/root/etc/group"
	tar -C "$W/root" -cf "$W/rootfs.tar" .
}

n=0 failed=0
# is NAME WANT CMD...: the standard output is WANT.
is() {
	local name=$1 want=$2 got
	shift 2
	got=$("$@" 2>"$W/stderr")
	result "$name" "$([ "$got" = "$want" ] && echo 1)" "want: $want" "got: $got"
}

# like NAME REGEX CMD...: standard output and error match.
like() {
	local name=$1 want=$2 got
	shift 2
	got=$("$@" 2>&1)
	: >"$W/stderr"
	result "$name" "$(grep -qE -- "$want" <<<"$got" && echo 1)" "want: $want" "got: $got"
}

# code NAME N CMD...: the exit code is N.
code() {
	local name=$1 want=$2 got
	shift 2
	"$@" >"$W/stdout" 2>"$W/stderr"
	got=$?
	result "$name" "$([ "$got" = "$want" ] && echo 1)" "want: exit $want" "got: exit $got"
}

result() {
	n=$((n + 1))
	if [ -n "$2" ]; then
		echo "ok $n - $1"
		return
	fi
	failed=$((failed + 1))
	echo "not ok $n - $1"
	printf '#   %s\n' "$3" "$4"
	[ ! -s "$W/stderr" ] || tail -3 "$W/stderr" | sed 's/^/#   stderr: /'
}

skipped() {
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}

# until_is NAME WANT CMD...: the output becomes WANT within 20 seconds.
until_is() {
	local name=$1 want=$2 got end=$((SECONDS + 20))
	shift 2
	while got=$("$@" 2>"$W/stderr"); [ "$got" != "$want" ] && [ $SECONDS -lt $end ]; do sleep 0.2; done
	result "$name" "$([ "$got" = "$want" ] && echo 1)" "want: $want" "got: $got"
}

# pty runs a command on a terminal of 33 rows and 77 columns.
pty() { "$PTY" "$@" | tr -d '\r'; }

finish() {
	echo "1..$n"
	echo "# $(basename "$0" .sh) with $(basename "$RUNTIME"): $((n - failed)) of $n passed"
	[ "$failed" = 0 ]
}
