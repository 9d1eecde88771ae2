#!/bin/bash
# Install and start a real SLURM on this machine for the tests: Debian's packages, one node, four pretended GPUs (plain
# device files), no accounting, and a partition "urgent" whose jobs preempt those of "normal", which are requeued, and of
# "fragile", which are canceled.
#
#     sudo bash tests/slurm/setup.sh
#
# Run it again at any time (after a reboot, too): what runs already is left alone. It needs neither systemd nor cgroups.
# A SLURM that is not of this script's making is never touched.
set -euo pipefail

conf=/etc/slurm
state=/var/lib/vssl-slurm
mark="# Written by tests/slurm/setup.sh"

if [[ -e $conf/slurm.conf ]] && ! grep -qxF "$mark" $conf/slurm.conf; then
    echo "$conf/slurm.conf is not of this script's making; it stays as it is"
    exit 0
fi

export PATH=/usr/sbin:/sbin:$PATH
if ! { command -v slurmctld && command -v slurmd && command -v munged; } >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null
fi

# The node claims more CPUs and memory than there may be, so that four GPU jobs fit on a laptop.
host=$(hostname -s)
mkdir -p $conf $state/dev
cat >$conf/slurm.conf.new <<CONF
$mark
ClusterName=pretended
SlurmctldHost=$host(127.0.0.1)
SlurmUser=slurm
StateSaveLocation=$state/slurmctld
SlurmdSpoolDir=$state/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
MailProg=/bin/true
# processes are tracked by /proc: a container delegates no cgroups
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
SlurmdParameters=config_overrides
# squeue shows a finished job for so many seconds; the executor plugin asks it, as there is no accounting
MinJobAge=300
# seconds between SIGTERM and SIGKILL at the time limit; most clusters give 30
KillWait=10
# a requeued job waits until its credential has expired: seconds, 120 unless said
AuthInfo=cred_expire=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=16 RealMemory=65536 Gres=gpu:4 State=UNKNOWN
PartitionName=normal Nodes=$host Default=YES DefaultTime=60 PriorityTier=1
PartitionName=urgent Nodes=$host DefaultTime=60 PriorityTier=10
PartitionName=fragile Nodes=$host DefaultTime=60 PriorityTier=1 PreemptMode=CANCEL
CONF
echo "NodeName=$host Name=gpu File=$state/dev/gpu[0-3] AutoDetect=off" >$conf/gres.conf
for gpu in 0 1 2 3; do
    [[ -e $state/dev/gpu$gpu ]] || mknod -m 666 $state/dev/gpu$gpu c 1 3 # another /dev/null
done
install -d -o slurm -g slurm $state/slurmctld /var/log/slurm
install -d -o munge -g munge /run/munge

alive() { pgrep --runstates R,S,D --exact "$1" >/dev/null; } # zombies do not count

# A changed configuration (another host name) wants fresh daemons.
if ! cmp -s $conf/slurm.conf.new $conf/slurm.conf; then
    if alive slurmctld; then
        scontrol shutdown
        while alive 'slurm(ctl)?d'; do sleep 0.2; done
    fi
    mv $conf/slurm.conf.new $conf/slurm.conf
else
    rm $conf/slurm.conf.new
fi
munge -n 2>/dev/null | unmunge >/dev/null 2>&1 || runuser -u munge -- munged
alive slurmctld || slurmctld -c
alive slurmd || slurmd -c

for _ in {1..60}; do
    if sinfo --noheader --partition=normal --states=idle,mixed,allocated --format=%D 2>/dev/null | grep -q 1; then
        sinfo --format="%P %D node, %c CPUs, %m MB, %G, %t"
        exit 0
    fi
    sleep 0.5
done
echo "SLURM did not come up within 30 s; see /var/log/slurm" >&2
tail -n 5 /var/log/slurm/slurmctld.log /var/log/slurm/slurmd.log >&2
exit 1
