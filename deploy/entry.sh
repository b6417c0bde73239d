#!/usr/bin/env bash
# Starts one worker of a job: `entry.sh train --dataset ...` is `gan-tf train --dataset ...` with TF_CONFIG and restarts.
#
# GAN_TF_HOSTS      all workers, worker 0 first: "a b c" or "a:2222,b:2222". Sets TF_CONFIG, unless it is already set.
# GAN_TF_INDEX      index of this worker, from 0 (default: SLURM_PROCID)
# GAN_TF_PORT       port of hosts without one (default: 2222)
# GAN_TF_RESTARTS   number of times this script starts the program again after faults (default: 0)
# GAN_TF_PAUSE      seconds before a restart, so that the other workers can end (default: 60)
# GAN_TF_RETRY_CODE exit code that makes the platform start the job again, in place of 42 and 43 (default: none)
# GAN_TF_PROGRAM    the program (default: gan-tf)
set -euo pipefail

SAVED=42 # exit code: stopped and saved, start again
LOST=43  # exit code: another worker is lost, start all again

refuse() {
    echo "entry.sh: error: $1" >&2
    exit 2
}

# check VARIABLE VALUE PATTERN EXPECTED: exits with an error unless the value matches the pattern.
check() {
    [[ $2 =~ ^($3)$ ]] || refuse "$1 is '$2'; give $4"
}

# Prints TF_CONFIG for GAN_TF_HOSTS; nothing for a single host.
tf_config() {
    local host hosts workers=() index=${GAN_TF_INDEX:-${SLURM_PROCID:-}} port=${GAN_TF_PORT:-2222}
    check GAN_TF_PORT "$port" '[0-9]{1,5}' "a number such as 2222"
    read -d '' -ra hosts <<<"${GAN_TF_HOSTS//,/ }" || true
    for host in "${hosts[@]}"; do
        check GAN_TF_HOSTS "$host" '([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?' "hosts such as a,b or a:2222,b:2222"
        [[ $host =~ :[0-9]+$ ]] || host=$host:$port
        workers+=("\"$host\"")
    done
    ((${#workers[@]} > 1)) || return 0
    if [[ ! $index =~ ^[0-9]{1,6}$ ]] || ((10#$index >= ${#workers[@]})); then
        refuse "GAN_TF_INDEX is '$index'; give 0 to $((${#workers[@]} - 1)), the index of this host in GAN_TF_HOSTS"
    fi
    local IFS=,
    printf '{"cluster": {"worker": [%s]}, "task": {"type": "worker", "index": %d}}' "${workers[*]}" "$((10#$index))"
}

if [[ -n ${GAN_TF_HOSTS:-} && -z ${TF_CONFIG:-} ]]; then
    TF_CONFIG=$(tf_config)
    if [[ -n $TF_CONFIG ]]; then export TF_CONFIG; else unset TF_CONFIG; fi
fi
[[ -z ${TF_CONFIG:-} ]] || echo "entry.sh: TF_CONFIG $TF_CONFIG" >&2
read -ra program <<<"${GAN_TF_PROGRAM:-gan-tf}"
pause=${GAN_TF_PAUSE:-60}
check GAN_TF_RESTARTS "${GAN_TF_RESTARTS:-0}" '[0-9]{1,6}' "a number such as 3"
check GAN_TF_PAUSE "$pause" '[0-9]{1,6}([.][0-9]+)?' "seconds such as 60"
check GAN_TF_RETRY_CODE "${GAN_TF_RETRY_CODE:-}" '|1?[0-9]{1,2}|2[0-4][0-9]|25[0-5]' "an exit code such as 138"
restarts=$((10#${GAN_TF_RESTARTS:-0})) # 08 is decimal

# Without restarts the program replaces this process, and receives signals directly.
if ((restarts == 0)) && [[ -z ${GAN_TF_RETRY_CODE:-} ]]; then
    exec "${program[@]}" "$@"
fi

signals=0 forwarded=0 child=
# Forwards new signals to $child, including those that arrived before it started.
forward() {
    if [[ -n $child ]] && ((forwarded < signals)); then
        forwarded=$signals
        kill -TERM "$child" 2>/dev/null || true
    fi
}
trap 'signals=$((signals + 1)); forward' TERM INT
set -m # the program gets its own process group, so that Ctrl-C does not reach it twice

# Waits for $child to end. A signal interrupts `wait`, but not the child.
await() {
    local before=-1 status
    while ((signals != before)); do
        before=$signals status=0
        wait "$child" || status=$?
        ((status == 127)) || code=$status # 127: the program had ended just before the signal
    done
}

used=0
while :; do
    code=0
    "${program[@]}" "$@" </dev/null &
    child=$!
    forward
    await
    child=
    ((signals == 0 && code != 0 && code != 2)) || break
    # A saved run is not a fault: another worker received a signal, and the run can be continued.
    if ((code != SAVED)); then
        ((used < restarts)) || break
        used=$((used + 1))
    fi
    ((restarts > 0)) || break
    echo "entry.sh: ended with code $code; starting again in $pause s ($used of $restarts restarts used)" >&2
    sleep "$pause" &
    child=$!
    forward
    wait "$child" || true
    child=
    ((signals == 0)) || break
done
if ((code == SAVED || code == LOST)); then
    code=${GAN_TF_RETRY_CODE:-$code}
fi
exit "$code"
