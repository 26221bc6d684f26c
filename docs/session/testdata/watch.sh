# Leaves a daemon behind: a session of its own, no terminal, no output.
setsid sleep 1000 </dev/null >/dev/null 2>&1 &
echo "watching for changes"
