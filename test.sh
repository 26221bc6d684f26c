#!/usr/bin/env bash
# Runs every test of this repository, and installs what they need on a machine
# that has Go, git, Node and apt.
#
#   ./test.sh              everything, as CI does
#   ./test.sh --fuzz 5m    fuzz each target that long (default 10s)
#   ./test.sh --messages 10000000   send so many mutated messages (default 20000)
set -euo pipefail
cd "$(dirname "$0")"

fuzztime=10s
messages=20000
usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' test.sh; }
while [ $# -gt 0 ]; do
  case $1 in
    --fuzz) [ $# -gt 1 ] || { usage >&2; exit 2; }; fuzztime=$2; shift 2 ;;
    --messages) [ $# -gt 1 ] || { usage >&2; exit 2; }; messages=$2; shift 2 ;;
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
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "test.sh: missing: ${missing[*]}; install them, or run this as root on Debian" >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
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
go vet -tags conformance ./e2e/...
go build -tags conformance -o "$bin/fixtures" ./e2e/fixtures
go run "$staticcheck" ./...

step go test
go test -race -shuffle=on ./...

step "$messages" mutated messages
go test ./transport -run '^TestMutatedMessages$' -v -timeout 6h -messages "$messages"

step fuzz "$fuzztime"
go test ./transport -run '^$' -fuzz '^FuzzMessages$' -fuzztime "$fuzztime" -fuzzminimizetime 10x
go test ./procmgr/output -run '^$' -fuzz '^FuzzBuffer$' -fuzztime "$fuzztime" -fuzzminimizetime 10x
go test ./tools -run '^$' -fuzz '^FuzzArguments$' -fuzztime "$fuzztime" -fuzzminimizetime 10x

step clients and suites that others wrote
(cd e2e && PROCTOR="$bin/proctor-linux" FIXTURES="$bin/fixtures" npm test)

printf '\nall tests passed\n'
