#!/usr/bin/env bash
# A real SLURM on this machine alone, to try the workflow on: munged, slurmctld and slurmd, from Debian's packages.
#
#     apt-get install --no-install-recommends slurmctld slurmd slurm-client munge
#     . workflow/slurm_one_node.sh start     (as root; sourced, so that sbatch, squeue and snakemake find it: SLURM_CONF)
#     . workflow/slurm_one_node.sh stop
#
# All of it lies in $SLURM_DIR (default: /tmp/slurm-one-node), but for a link to its configuration: within a job Snakemake
# forgets SLURM_CONF, and srun looks in /etc/slurm. It has no accounting, so that squeue is asked for finished jobs.

export SLURM_DIR="${SLURM_DIR:-/tmp/slurm-one-node}"
export SLURM_CONF="$SLURM_DIR/slurm.conf"
SLURM_LINK=/etc/slurm/slurm.conf

slurm_start() {
    if [ -e "$SLURM_LINK" ] && [ ! -L "$SLURM_LINK" ]; then
        echo "$SLURM_LINK is there: this machine belongs to a cluster" >&2
        return 1
    fi
    mkdir -p "$SLURM_DIR/state" "$SLURM_DIR/spool" && chmod 755 "$SLURM_DIR" || return 1
    local host memory
    host="$(hostname -s)"
    memory="$(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo)"
    if [ ! -f "$SLURM_DIR/munge.key" ]; then
        (umask 077 && head -c 1024 /dev/urandom > "$SLURM_DIR/munge.key")
    fi
    cat > "$SLURM_CONF" <<CONF
ClusterName=one-node
SlurmctldHost=$host
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$SLURM_DIR/munge.socket
CredType=cred/munge
StateSaveLocation=$SLURM_DIR/state
SlurmdSpoolDir=$SLURM_DIR/spool
SlurmctldPidFile=$SLURM_DIR/slurmctld.pid
SlurmdPidFile=$SLURM_DIR/slurmd.pid
SlurmctldLogFile=$SLURM_DIR/slurmctld.log
SlurmdLogFile=$SLURM_DIR/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=1000
ReturnToService=2
MinJobAge=86400
KillWait=5
NodeName=$host CPUs=$(getconf _NPROCESSORS_ONLN) RealMemory=$memory
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
    mkdir -p "$(dirname "$SLURM_LINK")" && ln -sf "$SLURM_CONF" "$SLURM_LINK" || return 1
    munged --force --key-file="$SLURM_DIR/munge.key" --socket="$SLURM_DIR/munge.socket" \
        --pid-file="$SLURM_DIR/munged.pid" --log-file="$SLURM_DIR/munged.log" --seed-file="$SLURM_DIR/munged.seed" &&
        slurmctld -f "$SLURM_CONF" && slurmd -f "$SLURM_CONF" || return 1
    for _ in $(seq 30); do
        sinfo -h -o %T 2> /dev/null | grep -q idle && sinfo && return 0
        sleep 1
    done
    echo "the node did not come up; see $SLURM_DIR/slurmctld.log and slurmd.log" >&2
    return 1
}

slurm_stop() {
    for daemon in slurmd slurmctld munged; do
        [ -f "$SLURM_DIR/$daemon.pid" ] && kill "$(cat "$SLURM_DIR/$daemon.pid")"
    done
    [ "$(readlink "$SLURM_LINK")" = "$SLURM_CONF" ] && rm "$SLURM_LINK"
}

case "${1:-}" in
    start) slurm_start ;;
    stop) slurm_stop ;;
    *) echo "start or stop" >&2 ;;
esac
