# What test.sh uses to run its steps: they run side by side, all of them, also when
# one has failed. The steps are functions step_NAME; they run with set -e, and end by
# skip or fail, or by a command that fails.
# shellcheck shell=bash

work=$(mktemp -d) # of this run
step=             # the one that runs, in its own process

fail() { echo "$*"; exit 1; }

# skip ends a step; its reason is the last line that the step writes.
skip() { echo "$*"; exit 77; }

# note puts a remark into the table.
note() { echo "$*" >>"$work/$step.note"; }

# beside runs a command in the background, at most four at a time; together waits for
# all of them, and fails if one has failed.
beside() { # NAME COMMAND...
  local log
  while [ "$(jobs -pr | wc -l)" -ge 4 ]; do wait -n || true; done
  log=$(mktemp "$work/$step.beside.XXXXXX")
  { "${@:2}" >"$log.text" 2>&1 && echo "ok     $1" || echo "FAIL   $1"; } >"$log" &
}

together() {
  local log failed=0
  wait
  for log in "$work/$step".beside.??????; do
    if grep -q '^FAIL' "$log"; then
      cat "$log.text"
      failed=1
    fi
    cat "$log"
  done
  return $failed
}

# run runs one step and keeps what it writes, its exit code and its time.
run() { # STEP
  step=$1
  local begun=$SECONDS code
  # Neither && nor if here: they would switch set -e off.
  if [ -n "$only" ]; then
    (set -e; "step_$step") </dev/null 2>&1 | tee "$work/$step.log"
    code=${PIPESTATUS[0]}
  else
    (set -e; "step_$step") >"$work/$step.log" 2>&1 </dev/null
    code=$?
  fi
  echo "$code $((SECONDS - begun))" >"$work/$step.end"
  echo "$step" >&3
}

# result prints how a step ended.
result() { # STEP
  local code time
  read -r code time <"$work/$1.end"
  case $code in
    0) if [ -e "$work/$1.note" ]; then echo "pass: $(paste -sd';' "$work/$1.note")"; else echo pass; fi ;;
    77) echo "skipped: $(tail -n 1 "$work/$1.log")" ;;
    *) echo "FAIL, exit code $code" ;;
  esac
}

# run_lanes runs the chosen steps of each lane one after the other, and the lanes side
# by side. It prints what each has written in the order of "$chosen".
run_lanes() { # LANE...
  local lane ended running=0 nice=0
  for lane; do
    (for s in $lane; do if is_chosen "$s"; then run "$s"; fi; done) &
    lanes_running+=($!)
    renice -n $nice -p $! >/dev/null 2>&1 || true
    nice=$((nice + 4))
    for s in $lane; do if is_chosen "$s"; then running=$((running + 1)); fi; done
  done
  while [ $running -gt 0 ]; do
    read -r ended <&3
    running=$((running - 1))
    echo "-- $ended: $(result "$ended")"
    print_logs
  done
  wait
}

print_logs() {
  while [ ${#unprinted[@]} -gt 0 ] && [ -e "$work/${unprinted[0]}.end" ]; do
    if [ -z "$only" ]; then
      printf '\n== %s\n' "${unprinted[0]}"
      cat "$work/${unprinted[0]}.log"
    fi
    unprinted=("${unprinted[@]:1}")
  done
}

# report prints the table and ends with the worst exit code.
report() {
  local s code time worst=0 passed=0 failed=0 skipped=0
  printf '\n%-16s %6s  %s\n' step time result
  for s in $chosen; do
    read -r code time <"$work/$s.end"
    printf '%-16s %5ds  %s\n' "$s" "$time" "$(result "$s")"
    case $code in
      0) passed=$((passed + 1)) ;;
      77) skipped=$((skipped + 1)) ;;
      *) failed=$((failed + 1)); [ "$code" -le $worst ] || worst=$code ;;
    esac
  done
  [ $failed = 0 ] || echo "Run one alone: ./test.sh STEP"
  printf '\n%d passed, %d failed, %d skipped\n' $passed $failed $skipped
  exit $worst
}

is_chosen() { [[ " $chosen " == *" $1 "* ]]; }

# run_all runs the chosen steps: setup, then the lanes, then what must be alone.
run_all() { # LANE...
  # shellcheck disable=SC2206 # these are words
  unprinted=($chosen)
  only=
  [ ${#unprinted[@]} -gt 1 ] || only=1
  lanes_running=()
  mkfifo "$work/ended"
  exec 3<>"$work/ended"
  trap clean EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  set -m # a lane is a process group, and no signal is ignored in it
  run_lanes setup
  before_lanes
  run_lanes "$@"
  for s in $alone; do run_lanes "$s"; done
  report
}

clean() {
  local pid
  set +m # it would tell about each
  for pid in ${lanes_running[@]+"${lanes_running[@]}"}; do kill -TERM -- "-$pid" 2>/dev/null; done
  rm -rf "$work"
}
