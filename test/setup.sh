#!/bin/bash
# Installs the Debian packages that tests use and that are missing. Without
# root or apt it says what is missing: those tests then skip by themselves.
set -euo pipefail

# program or file, and the package that has it
wanted="
busybox busybox-static
mmdebstrap mmdebstrap
tar tar
xz xz-utils
gcc gcc
docker-registry docker-registry
skopeo skopeo
podman podman
dockerd docker.io
criu criu
strace strace
/usr/include/seccomp.h libseccomp-dev
/usr/include/stdlib.h libc6-dev
"

# what make conformance drives; it works and skips without
engines="
podman podman
conmon conmon
crun crun
runc runc
containerd containerd
docker docker.io
ip iproute2
"
[ "${1:-}" != engines ] || wanted+=$engines

missing=()
while read -r what package; do
	[ -n "$what" ] || continue
	case $what in
	/*) [ -e "$what" ] || missing+=("$package") ;;
	*) PATH=$PATH:/usr/sbin:/sbin command -v "$what" >/dev/null || missing+=("$package") ;;
	esac
done <<<"$wanted"
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "setup: missing ${missing[*]}: the tests that need them skip" >&2
	exit 0
fi
echo "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# No daemon starts by being installed: the tests start their own, in namespaces.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
fi
apt-get -qq -o DPkg::Lock::Timeout=300 update
apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}" >/dev/null
