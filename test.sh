#!/usr/bin/env bash
# Runs every test of this repository, and installs what they need on a machine
# that has Go, git, Node and apt.
#
#   ./test.sh              everything, as CI does
#   ./test.sh --fuzz 5m    fuzz each target that long (default 10s)
#   ./test.sh --messages 10000000   send so many mutated messages (default 20000)
#   ./test.sh --trials     also end every shape of process tree, and servers, a
#                          thousand times in each kill domain, run 100,000 commands,
#                          send 100,000 signals among reused pids, take outputs
#                          through a thousand schedules, and ask 210 times who waits
#                          for input (an hour)
#   ./test.sh --load       also load the program among a thousand live processes,
#                          beside a hostile chat, and with 10 GiB of output, and
#                          measure how soon waits end (five minutes)
#   ./test.sh --soak 8h    also use the program that long; it must not grow
set -euo pipefail
cd "$(dirname "$0")"

fuzztime=10s
messages=20000
trials=
load=
soak=
usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' test.sh; }
while [ $# -gt 0 ]; do
  case $1 in
    --fuzz) [ $# -gt 1 ] || { usage >&2; exit 2; }; fuzztime=$2; shift 2 ;;
    --messages) [ $# -gt 1 ] || { usage >&2; exit 2; }; messages=$2; shift 2 ;;
    --trials) trials=1; shift ;;
    --load) load=1; shift ;;
    --soak) [ $# -gt 1 ] || { usage >&2; exit 2; }; soak=$2; shift 2 ;;
    --help) usage; exit ;;
    *) echo "test.sh: unknown argument: $1" >&2; usage >&2; exit 2 ;;
  esac
done

staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2

step() { printf '\n== %s\n' "$*"; }

step setup
for tool in go git; do
  command -v "$tool" >/dev/null || { echo "test.sh: $tool is missing; install it first" >&2; exit 1; }
done
missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev) # the race detector links with it
command -v node >/dev/null && command -v npm >/dev/null || missing+=(nodejs npm)
command -v ps >/dev/null || missing+=(procps)
command -v curl >/dev/null || missing+=(curl)
command -v setsid >/dev/null || missing+=(util-linux)
command -v perl >/dev/null || missing+=(perl-base)
command -v python3 >/dev/null || missing+=(python3)
command -v vim >/dev/null || missing+=(vim)
command -v less >/dev/null || missing+=(less)
command -v bc >/dev/null || missing+=(bc)
command -v bwrap >/dev/null || missing+=(bubblewrap)
command -v ssh >/dev/null || missing+=(openssh-client)
[ -x /usr/sbin/sshd ] || missing+=(openssh-server)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "test.sh: missing: ${missing[*]}; install them, or run this as root on Debian" >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
if [ "$(id -u)" = 0 ]; then
  id proctor-test >/dev/null 2>&1 || useradd --system --no-create-home proctor-test
fi
(cd e2e && npm ci --no-audit --no-fund --loglevel=error)

step gofmt
unformatted=$(gofmt -l .)
[ -z "$unformatted" ] || { echo "not formatted: $unformatted"; exit 1; }

step go mod tidy
go mod tidy -diff

step build, vet and staticcheck
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
for os in linux darwin windows; do
  GOOS=$os CGO_ENABLED=0 go build -o "$bin/proctor-$os" ./cmd/proctor
  GOOS=$os go vet ./...
done
if go tool nm "$bin/proctor-linux" | grep -qF 'text/template.(*state).evalCall'; then
  echo "the program holds text/template, and with it every method that could be called by name: 2 MB of memory"
  exit 1
fi
go vet -tags conformance ./e2e/...
go build -tags conformance -o "$bin/fixtures" ./e2e/fixtures
go run "$staticcheck" ./...

step go test
go test -race -shuffle=on ./...

step each kill domain, and without what a machine may lack
go test -race -c -o "$bin/spawn.test" ./procmgr/spawn
go test -race -c -o "$bin/procmgr.test" ./procmgr
chmod 755 "$bin"
in_domain() { # COMMAND… with the flags of the test binaries
  (cd procmgr/spawn && "$bin/spawn.test" "$@" -test.timeout 30m)
}
for domain in descendants process_group; do
  in_domain -domain "$domain"
  (cd procmgr && "$bin/procmgr.test" -domain "$domain")
done
for lack in children pidfd tags; do
  in_domain -domain descendants -without "$lack"
done
in_domain -without tags
bubblewrap=(-launcher "bwrap --dev-bind / / --unshare-pid --proc /proc --" -test.run 'Shape|Members|DescendantsAre|LeavesOthers|ByName|StopAnd|Hunts')
for domain in cgroup descendants process_group; do
  in_domain -domain "$domain" "${bubblewrap[@]}"
done
if [ "$(id -u)" = 0 ]; then
  as_user() { (cd / && setpriv --reuid proctor-test --regid proctor-test --clear-groups env HOME=/ TMPDIR=/tmp "$@"); }
  as_user "$bin/spawn.test"
  as_user "$bin/spawn.test" "${bubblewrap[@]}"
  as_user "$bin/procmgr.test" -test.run 'Run|Kill|Terminate|Close|Forget|Descend|Signal|Suspend|Input|Terminal|Notices'
fi

if [ -n "$trials" ]; then
  step trials
  go test -c -o "$bin/quick.test" ./procmgr/spawn
  for domain in cgroup descendants process_group; do
    (cd procmgr/spawn && "$bin/quick.test" -test.run 'KillEnds|Chain' -test.v -test.timeout 60m -trials 65 -domain "$domain")
    (cd procmgr/spawn && "$bin/quick.test" -test.run 'Reused' -test.v -test.timeout 60m -kills 100000 -domain "$domain")
    go test ./procmgr -run EveryRun -v -timeout 60m -args -runs 100000 -domain "$domain"
  done
  go test ./procmgr/output -run AgainstAModel -v -timeout 30m -args -schedules 1000
  go test ./procmgr -run WhoWaits -v -timeout 30m -args -states 15
  go test ./cmd/proctor -run 'NothingSurvives|Guard|Sweeps' -v -timeout 120m -args -trials 100
fi

if [ -n "$load" ]; then
  step load
  go test ./bench -run '^(TestLoad|TestHostile)$' -v -timeout 30m -args -load 60s -hostile 20s
  go test ./bench -run '^(TestWakeUp|TestEcho|TestWaitersCostNothing|TestGreatFlood)$' -v -timeout 30m -args -wakes 1000 -flood 10240
fi

if [ -n "$soak" ]; then
  step "soak $soak"
  go test ./bench -run '^TestSoak$' -v -timeout 0 -args -soak "$soak"
fi

step "$messages" mutated messages
go test ./transport -run '^TestMutatedMessages$' -v -timeout 6h -messages "$messages"

step fuzz "$fuzztime"
fuzz() { # PACKAGE TARGET
  [[ $(go test "$1" -list "^$2\$") == "$2"* ]] || { echo "$1 has no $2"; exit 1; }
  go test "$1" -run '^$' -fuzz "^$2\$" -fuzztime "$fuzztime" -fuzzminimizetime 10x
}
fuzz ./transport FuzzMessages
fuzz ./procmgr/output FuzzView
fuzz ./procmgr/output FuzzStore
fuzz ./screen FuzzRender
fuzz ./tools FuzzArguments

step clients and suites that others wrote
(cd e2e && PROCTOR="$bin/proctor-linux" FIXTURES="$bin/fixtures" npm test)

printf '\nall tests passed\n'
