# What every part of the testbed shares: where things lie, how a service is
# started, stopped and waited for. Sourced by ../run, never run by itself.

# net is the first three bytes of every address of the lab; another value (and
# another state folder) gives a second lab on the same machine.
net=${SALLYPORT_TESTBED_NET:-127.0.0}
state=${SALLYPORT_TESTBED_STATE:-/var/lib/sallyport-testbed/$net}
lab=$state/lab       # what tests read: ca.pem, users.json, secrets
work=$state/work     # databases, configurations, logs, pids
node=$state/node     # node_modules and the scripts that use them

realm=corp.contoso.test
dc1_addr=$net.21
dc2_addr=$net.22
redis_addr=$net.23
proxy_addr=$net.24
gateway1_addr=$net.25
gateway2_addr=$net.26
party_addr=$net.27
haproxy_addr=$net.28

say() { printf '%s testbed: %s\n' "$(date +%H:%M:%S)" "$*" >&2; }
die() { say "$*"; exit 1; }

# wait_for SECONDS WHAT COMMAND... polls until the command succeeds.
wait_for() {
  local limit=$1 what=$2 begin=$SECONDS
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [ $((SECONDS - begin)) -ge "$limit" ]; then
      say "$what is not ready after $limit s"
      return 1
    fi
    sleep 0.2
  done
}

# listens ADDRESS PORT: something accepts connections there.
listens() { timeout 2 bash -c "exec 3<>/dev/tcp/$1/$2"; }

# born PID prints when the process started, in clock ticks since boot: a pid
# file is believed only together with it, since pids are used again.
born() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# alive NAME: the service that the pid file names is the one that we started.
alive() {
  local pid ticks
  [ -s "$work/$1.pid" ] || return 1
  read -r pid ticks <"$work/$1.pid"
  [ -n "$ticks" ] && [ "$(born "$pid")" = "$ticks" ]
}

# launch NAME COMMAND... starts a service in a process group of its own.
launch() {
  local name=$1 pid
  shift
  alive "$name" && die "$name runs already"
  setsid "$@" >>"$work/$name.log" 2>&1 </dev/null 9>&- &
  pid=$!
  echo "$pid $(born "$pid")" >"$work/$name.pid"
}

# signal NAME SIGNAL sends a signal to the service's whole process group.
signal() {
  local pid
  alive "$1" || return 0
  read -r pid _ <"$work/$1.pid"
  kill "-$2" -- "-$pid" 2>/dev/null || true
}

# gone NAME: no process of the service's group is left, zombies aside.
gone() {
  local pid
  read -r pid _ <"$work/$1.pid"
  ! ps -o stat= -e -o pgid= | awk -v g="$pid" '$2 == g && $1 !~ /^Z/ { found = 1 } END { exit !found }'
}

# halt NAME ends the service: politely, then by force.
halt() {
  alive "$1" || { rm -f "$work/$1.pid"; return 0; }
  signal "$1" CONT
  signal "$1" TERM
  if ! wait_for 5 "end of $1" gone "$1" 2>/dev/null; then
    signal "$1" KILL
    wait_for 5 "end of $1" gone "$1" || true
  fi
  rm -f "$work/$1.pid"
}

# secret prints a random password that satisfies AD's complexity rule.
secret() { printf 'Aa1.%s' "$(openssl rand -hex 12)"; }
