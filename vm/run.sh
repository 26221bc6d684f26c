#!/usr/bin/env bash
# Tests Proctor on a real cgroup v2: boots the kernel of Debian or Ubuntu in an
# emulated machine without disk and network, and runs the Go tests of this folder
# there, as root and as an ordinary user.
#
#   vm/run.sh                     all of them
#   vm/run.sh -test.run Limits    arguments go to the test program
#
# The exit code is 0 if they passed, 77 if this machine cannot run them (the last
# line of output says why), and another one if they failed.
#
# It needs qemu-system-x86_64 and a static busybox. Root gets both installed with
# apt-get. The kernel is downloaded with apt-get into a cache folder
# (${XDG_CACHE_HOME:-~/.cache}/proctor-vm) and never installed. VM_KERNEL=FILE names
# another kernel image. Once all of that is there it needs no network.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() { echo "vm/run.sh: skipped: $*"; exit 77; }

# All takes about a minute. This bounds what hangs, on slow machines too.
deadline=1800 # seconds

[ "$(uname -sm)" = "Linux x86_64" ] || skip "the kernel package and the emulator are for Linux on x86_64, this is $(uname -sm)"
for program in go perl unshare; do
  command -v $program >/dev/null || skip "$program is missing"
done

# Packages.
missing=()
command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
busybox=$(command -v busybox || true)
[ -n "$busybox" ] && ! ldd "$busybox" >/dev/null 2>&1 || missing+=(busybox-static)
if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || skip "missing: ${missing[*]}"
  [ "$(id -u)" = 0 ] || skip "missing: ${missing[*]}; root could install them with apt-get"
  echo "vm/run.sh: installing ${missing[*]}"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null ||
    skip "apt-get cannot install ${missing[*]}"
  busybox=$(command -v busybox)
fi

work=$(mktemp -d)
machine= # the pid of timeout, which runs the emulator and passes SIGTERM on to it
# shellcheck disable=SC2317 # called by the trap
cleanup() {
  if [ -n "$machine" ]; then
    kill "$machine" 2>/dev/null || true
    wait "$machine" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

# The kernel.
kernel=${VM_KERNEL:-}
if [ -z "$kernel" ]; then
  cache=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/proctor-vm
  mkdir -p "$cache" 2>/dev/null && [ -w "$cache" ] || { cache=${TMPDIR:-/tmp}/proctor-vm-$(id -u); mkdir -p -m 700 "$cache"; }
  [ -O "$cache" ] || skip "$cache belongs to another user"
  kernel=$(find "$cache" -name 'vmlinuz-*' | sort -V | tail -1)
fi
if [ -z "$kernel" ]; then
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || skip "there is no apt-get to download a kernel with; VM_KERNEL=FILE names one"
  # These packages depend on the one that has the newest kernel.
  names="linux-image-cloud-amd64 linux-image-virtual"
  newest() { apt-cache depends $names 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -1; }
  package=$(newest)
  if [ -z "$package" ] && [ "$(id -u)" = 0 ]; then
    apt-get update -qq >/dev/null && package=$(newest)
  fi
  [ -n "$package" ] || skip "apt knows none of the packages $names; VM_KERNEL=FILE names a kernel"
  echo "vm/run.sh: downloading $package into $cache"
  mkdir "$work/deb"
  # The user _apt may not write there, so apt-get downloads as root and warns of it.
  (cd "$work/deb" && apt-get download -qq "$package" 2>/dev/null) || skip "apt-get cannot download $package"
  dpkg-deb --fsys-tarfile "$work"/deb/*.deb | tar -xO --wildcards './boot/vmlinuz-*' >"$work/kernel"
  kernel=$cache/vmlinuz-${package#linux-image-}
  cp "$work/kernel" "$kernel.$$" && mv "$kernel.$$" "$kernel" # whole, or not at all
  rm -r "$work/deb"
fi

# What the machine holds.
root=$work/root
mkdir -p "$root"/{bin,tests,proc,sys,dev,etc,root,home}
mkdir -m 1777 "$root/tmp"
cp "$busybox" "$root/bin/busybox"
for name in $("$busybox" --list); do
  [ "$name" = busybox ] || ln -s busybox "$root/bin/$name"
done
# What busybox lacks, and a shell that starts the programs of $PATH, not its own.
for program in sh perl unshare; do
  path=$(readlink -f "$(command -v $program)")
  rm -f "$root/bin/$program"
  cp "$path" "$root/bin/$program"
  for library in $(ldd "$path" | grep -o '/[^ ]*'); do
    mkdir -p "$root${library%/*}"
    cp -L "$library" "$root$library"
  done
done
cp vm/init "$root/init"
chmod 755 "$root/init"
printf '%s\n' root:x:0:0::/root:/bin/sh user:x:1000:1000::/home:/bin/sh >"$root/etc/passwd"
printf '%s\n' root:x:0: user:x:1000: >"$root/etc/group"
chmod 777 "$root/home"
export CGO_ENABLED=0
go build -ldflags '-s -w' -o "$root/bin/proctor" ./cmd/proctor
go test -c -ldflags '-s -w' -o "$root/tests/vm.test" ./vm
go test -c -ldflags '-s -w' -o "$root/tests/spawn.test" ./procmgr/spawn
printf '%s\n' -vm -test.v -test.timeout "$((deadline - 120))s" "$@" >"$root/tests/arguments"
(cd "$root" && find . | "$busybox" cpio -o -H newc -R 0:0 2>/dev/null) >"$work/initrd"
rm -r "$root"

# The machine. It talks over its serial line, which ends lines with \r\n.
: >"$work/serial" # tail may be quicker than what writes
timeout --kill-after 10 "$deadline" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -m 1024 -smp 2 \
  -kernel "$kernel" -initrd "$work/initrd" -append 'console=ttyS0 loglevel=2 panic=-1' \
  -display none -monitor none -serial stdio -nodefaults -no-reboot </dev/null >"$work/serial" 2>"$work/errors" &
machine=$!
tail -f --pid "$machine" -c +1 "$work/serial" | sed -u 's/\r//g; /^=== /d' & # a shell hears signals while it waits
code=0
wait "$machine" || code=$?
machine=
wait # for the last of the output
cat "$work/errors" >&2
[ "$code" != 124 ] || { echo "vm/run.sh: the machine did not end in $deadline s" >&2; exit 1; }
# The last line that init writes.
grep -q '^proctor-vm: exit 0' <(tr -d '\r' <"$work/serial") || { echo "vm/run.sh: the tests failed, or the machine did not get to their end" >&2; exit 1; }
