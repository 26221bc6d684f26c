#!/usr/bin/env bash
# Runs the tests of this repository: every step, also when one has failed.
#
#   ./test.sh              every step, as CI does
#   ./test.sh STEP...      these steps alone, such as: ./test.sh lint test
#   ./test.sh --list       what the steps are
#
#   --fuzz 5m              fuzz each target that long (default 10s)
#   --messages 10000000    send so many mutated messages (default 20000)
#   --vulndb URL           database of govulncheck (default https://vuln.go.dev)
#   --trials               also the step trials (an hour)
#   --load                 also the step load (five minutes)
#   --soak 8h              also the step soak, that long
#
# It needs Go and git. As root on Debian the step setup installs what else the tests
# use, and says what before it does. Elsewhere a test that lacks a program is
# skipped by name.
set -uo pipefail
cd "$(dirname "$0")" || exit
. .ci/steps.sh

staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2
actionlint=github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
govulncheck=golang.org/x/vuln/cmd/govulncheck@v1.9.0

# The steps, in the order in which they are reported.
list() {
  cat <<'END'
setup            install the programs that the tests use (as root on Debian)
format           gofmt, go mod tidy
build            build and vet for Linux, macOS and Windows
lint             staticcheck, actionlint
vulnerabilities  govulncheck
messages         send mutated messages over every transport
fuzz             fuzz every target for a while
domains          each kill domain, and without what a kernel may lack
cgroup-v2        a real cgroup v2, in a virtual machine
test             go test of all packages, with the race detector
clients          clients and conformance suites that others wrote
trials           end every shape of process tree, and servers, a thousand times in each
                 kill domain; run 100,000 commands; send 100,000 signals among reused
                 pids; take outputs through a thousand schedules
load             a thousand live processes, a hostile chat, 10 GiB of output: the bounds
                 on speed and memory
soak             use the program for hours; it must not grow
END
}
# Lanes run side by side, the steps of one in turn. A lane gives way to those before it,
# which take longer. What measures runs alone.
lanes=("cgroup-v2" "test" "domains" "clients" "format build lint vulnerabilities messages fuzz")
alone="trials load soak"

# missing_packages prints the packages of the programs that are missing.
missing_packages() {
  local program package
  while read -r program package; do
    command -v "$program" >/dev/null || echo "$package"
  done <<'END'
cc gcc libc6-dev
node nodejs
npm npm
ps procps
curl curl
setsid util-linux
perl perl-base
python3 python3
vim vim
less less
bc bc
dash dash
bwrap bubblewrap
ssh openssh-client
/usr/sbin/sshd openssh-server
END
}

step_setup() {
  local missing policy=/usr/sbin/policy-rc.d ours="" unit
  missing=$(missing_packages | paste -sd' ' -)
  [ -n "$missing" ] || { echo "nothing is missing"; return; }
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    skip "missing: $missing (install them, or run this as root on Debian); tests that need them are skipped"
  fi
  echo "installing: $missing; no service is started or enabled"
  if [ ! -e $policy ]; then # what keeps a package from starting a service
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    ours=1
  fi
  apt-get update -qq
  # shellcheck disable=SC2086 # these are words
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
  [ -z "$ours" ] || rm $policy
  if [[ $missing == *openssh-server* ]]; then
    for unit in ssh.service ssh.socket; do deb-systemd-helper disable $unit; done
    update-rc.d ssh disable
  fi
}

# before_lanes sees what there is after the step setup.
before_lanes() {
  race=-race
  if ! command -v cc >/dev/null; then
    race=
    for step in test domains; do note "without the race detector, which needs cc"; done
  fi
  # Then a test that lacks a program fails.
  [ -n "$(missing_packages)" ] || export PROCTEST_REQUIRE=1
}

step_format() {
  local unformatted
  unformatted=$(gofmt -l .)
  [ -z "$unformatted" ] || fail "not formatted: $unformatted"
  go mod tidy -diff
}

step_build() {
  local os
  for os in linux darwin windows; do
    GOOS=$os CGO_ENABLED=0 go build -o "$work/proctor-$os" ./cmd/proctor
    GOOS=$os CGO_ENABLED=0 go vet ./...
  done
  go vet -tags conformance ./e2e/...
  if go tool nm "$work/proctor-linux" | grep -qF 'text/template.(*state).evalCall'; then
    fail "the program holds text/template, and with it every method that could be called by name: 2 MB of memory"
  fi
}

step_lint() {
  go run $staticcheck ./...
  go run $actionlint
}

step_vulnerabilities() {
  local code=0
  go run $govulncheck -db "$vulndb" ./... || code=$?
  # Without its database govulncheck has found nothing, and says so.
  if [ $code = 1 ] && grep -q 'fetching vulnerabilities' "$work/vulnerabilities.log"; then
    skip "the database $vulndb cannot be reached"
  fi
  return $code
}

step_messages() {
  go test ./transport -run '^TestMutatedMessages$' -v -timeout 6h -messages "$messages"
}

step_fuzz() {
  fuzz ./transport FuzzMessages
  fuzz ./procmgr/output FuzzView
  fuzz ./procmgr/output FuzzStore
  fuzz ./screen FuzzRender
  fuzz ./tools FuzzArguments
}

fuzz() { # PACKAGE TARGET
  [[ $(go test "$1" -list "^$2\$") == "$2"* ]] || fail "$1 has no $2"
  go test "$1" -run '^$' -fuzz "^$2\$" -fuzztime "$fuzztime" -fuzzminimizetime 10x
}

# Longer than any package takes on a machine that is ten times slower: it ends what hangs.
timeout=60m

step_test() {
  go test $race -shuffle=on -timeout $timeout -p 4 ./...
  [ -z "$race" ] || go test ./procmgr/output -run AgainstAModel
}

step_domains() {
  local domain lack
  only_on Linux
  go test $race -c -o "$work/spawn.test" ./procmgr/spawn
  go test $race -c -o "$work/procmgr.test" ./procmgr
  for domain in descendants process_group; do
    beside "spawn: $domain" spawn_test -domain $domain
    beside "procmgr: $domain" procmgr_test -domain $domain
  done
  for lack in children pidfd tags; do
    beside "spawn: descendants without $lack" spawn_test -domain descendants -without $lack
  done
  beside "spawn: without tags" spawn_test -without tags
  if command -v bwrap >/dev/null; then
    for domain in cgroup descendants process_group; do
      beside "spawn: $domain, behind bubblewrap" spawn_test -domain $domain "${bubblewrap[@]}"
    done
  else
    note "without bwrap"
  fi
  if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    chmod 755 "$work"
    beside "spawn: as an ordinary user" as_user "$work/spawn.test"
    if command -v bwrap >/dev/null; then
      beside "spawn: as an ordinary user, behind bubblewrap" as_user "$work/spawn.test" "${bubblewrap[@]}"
    fi
    beside "procmgr: as an ordinary user" as_user "$work/procmgr.test" -test.run 'Run|Kill|Terminate|Close|Forget|Descend|Signal|Suspend|Input|Terminal|Notices'
  fi
  together
}

bubblewrap=(-launcher "bwrap --dev-bind / / --unshare-pid --proc /proc --" -test.run 'Shape|Members|DescendantsAre|LeavesOthers|ByName|StopAnd|Hunts')

spawn_test() { (cd procmgr/spawn && "$work/spawn.test" -test.timeout $timeout "$@"); }
procmgr_test() { (cd procmgr && "$work/procmgr.test" -test.timeout $timeout "$@"); }

# as_user runs a test binary as a user without a name, whom nobody else is.
as_user() {
  local id=$((40000 + BASHPID % 20000)) home
  home=$(mktemp -d "$work/home.XXXXXX")
  chown $id "$home"
  (cd / && setpriv --reuid $id --regid $id --clear-groups env HOME="$home" TMPDIR="$home" "$@" -test.timeout $timeout)
}

step_cgroup-v2() {
  only_on Linux
  vm/run.sh
}

step_clients() {
  [ "$(uname -sm)" = "Linux x86_64" ] || skip "e2e/package.json has the node of Linux on x86_64"
  command -v npm >/dev/null || skip "npm is missing"
  go build -o "$work/proctor" ./cmd/proctor
  go build -tags conformance -o "$work/fixtures" ./e2e/fixtures
  cd e2e
  if ! cmp -s package-lock.json node_modules/.installed; then
    npm ci --no-audit --no-fund --loglevel=error
    cp package-lock.json node_modules/.installed
  fi
  PROCTOR="$work/proctor" FIXTURES="$work/fixtures" npm test
}

step_trials() {
  local domain
  only_on Linux
  go test -c -o "$work/spawn.test" ./procmgr/spawn
  for domain in cgroup descendants process_group; do
    spawn_test -test.run 'KillEnds|Chain' -test.v -trials 65 -domain $domain
    spawn_test -test.run 'Reused' -test.v -kills 100000 -domain $domain
    go test ./procmgr -run EveryRun -v -timeout 60m -args -runs 100000 -domain $domain
  done
  go test ./procmgr/output -run AgainstAModel -v -timeout 30m -args -schedules 1000
  go test ./procmgr -run WhoWaits -v -timeout 30m -args -states 15
  go test ./cmd/proctor -run 'NothingSurvives|Guard|Sweeps' -v -timeout 120m -args -trials 100
}

step_load() {
  only_on Linux
  go test ./bench -run '^(TestLoad|TestHostile)$' -v -timeout 30m -args -load 60s -hostile 20s
  go test ./bench -run '^(TestWakeUp|TestWakeUpBesideKills|TestEcho|TestWaitersCostNothing|TestGreatFlood)$' -v -timeout 30m -args -wakes 1000 -flood 10240
}

step_soak() {
  only_on Linux
  go test ./bench -run '^TestSoak$' -v -timeout 0 -args -soak "$soak"
}

only_on() { [ "$(uname -s)" = "$1" ] || skip "this is $(uname -s), not $1"; }

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' test.sh; }
steps() { list | sed -n 's/^\([a-z0-9-]\{1,\}\) .*/\1/p'; }

fuzztime=10s messages=20000 soak="" vulndb=https://vuln.go.dev chosen="" also=""
while [ $# -gt 0 ]; do
  case $1 in
    --list) list; exit ;;
    --help) usage; exit ;;
    --trials | --load) also+=" ${1#--}" ;;
    --fuzz | --messages | --vulndb | --soak)
      [ $# -gt 1 ] || { usage >&2; exit 2; }
      case $1 in
        --fuzz) fuzztime=$2 ;;
        --messages) messages=$2 ;;
        --vulndb) vulndb=$2 ;;
        --soak) soak=$2 also+=" soak" ;;
      esac
      shift ;;
    -*) echo "test.sh: unknown argument: $1" >&2; usage >&2; exit 2 ;;
    *)
      steps | grep -qxF -- "$1" || { echo "test.sh: there is no step $1; ./test.sh --list names them" >&2; exit 2; }
      chosen+=" $1" ;;
  esac
  shift
done
# In the order of the list, and each once.
want=" ${chosen:-$(steps | grep -vxE 'trials|load|soak')} $also "
chosen=$(for s in $(steps); do [[ " "$(echo $want)" " != *" $s "* ]] || echo "$s"; done)
chosen=$(echo $chosen)

for tool in go git; do
  command -v $tool >/dev/null || { echo "test.sh: $tool is missing; install it first" >&2; exit 1; }
done
run_all "${lanes[@]}"
