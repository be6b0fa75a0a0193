"""A real SLURM on this machine, from the distribution's packages: munged, slurmctld, and a slurmd for each node, all on
loopback with ports, keys and files of their own.

As a program it keeps a cluster up for trying things: `python tests/system/slurm_cluster.py 2`, then `export SLURM_CONF=...`.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

DAEMONS = ["munged", "slurmctld", "slurmd"]
COMMANDS = ["sbatch", "srun", "salloc", "squeue", "scontrol", "scancel"]
ACTIVE = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED", "SUSPENDED", "STOPPED"}

SLURM_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# A requeued job waits until the credentials of its last start are void: two minutes unless they live shorter.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerParameters=sched_interval=2,bf_interval=2
SlurmdTimeout={node_timeout_s}
MessageTimeout=30
KillWait=5
ReturnToService=2
# Nodes may have more CPUs here than this machine.
SlurmdParameters=config_overrides
NodeName={nodes} NodeHostname={host} NodeAddr=127.0.0.1 Port={node_ports} CPUs=4 RealMemory=2000
PartitionName=all Nodes=ALL Default=YES State=UP MaxTime=INFINITE
"""


def missing():
    """What a cluster needs and this machine lacks, as text; empty when nothing."""
    lacking = [name for name in DAEMONS + COMMANDS if tool(name) is None]
    if lacking:
        return f"{', '.join(lacking)} not found: install slurmctld, slurmd, slurm-client, munge"
    if os.getuid() != 0:
        return "slurmd must be started by root"
    return ""


def tool(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def free_ports(count):
    """Ports of loopback in a row that nobody listens on."""
    for first in range(26000 + os.getpid() % 3000, 32000, 8):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    probe = stack.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", port))
                return first
            except OSError:
                continue
    raise RuntimeError("no free ports")


class Cluster:
    """Up between __enter__ and __exit__. `environment` makes SLURM's commands talk to it."""

    def __init__(self, num_nodes=1, node_timeout_s=20):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="slurm-"))
        self.nodes = [f"n{i + 1}" for i in range(num_nodes)]
        self.daemons = {}
        port = free_ports(1 + num_nodes)
        (self.folder / "state").mkdir()
        (self.folder / "slurm.conf").write_text(
            SLURM_CONF.format(
                host=socket.gethostname(),
                user="root",
                folder=self.folder,
                port=port,
                nodes=f"n[1-{num_nodes}]" if num_nodes > 1 else "n1",
                node_ports=f"{port + 1}-{port + num_nodes}" if num_nodes > 1 else port + 1,
                node_timeout_s=node_timeout_s,
            )
        )
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "SRUN_"))},
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            # Of two nodes on one host the shared-memory segments would have the same names.
            "OMPI_MCA_btl": "tcp,self",
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_rmaps_base_oversubscribe": "1",
        }

    def __enter__(self):
        try:
            self._start("munged", "--foreground", "--force", f"--key-file={self.folder}/munge.key",
                        f"--socket={self.folder}/munge.socket", f"--pid-file={self.folder}/munge.pid",
                        f"--log-file={self.folder}/munge.log", f"--seed-file={self.folder}/munge.seed")
            self._wait(lambda: (self.folder / "munge.socket").exists(), "munged")
            self._start("slurmctld", "-D")
            for node in self.nodes:
                self.start_node(node)
            self._wait(self._is_idle, "the nodes")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        """Ends every job, then every daemon by its own pid."""
        if "slurmctld" in self.daemons and self.daemons["slurmctld"].poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired, AssertionError):
                self.run("scancel", "--user=root", check=False, timeout=10)
                self._wait(lambda: not self.run("squeue", "-h").stdout, "the last jobs", timeout_s=40)
        for name in reversed(list(self.daemons)):
            self._stop(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start_node(self, node):
        self._start("slurmd", "-D", "-N", node, name=node)

    def kill_node(self, node):
        """A node loses its power: its slurmd, the steps' managers and all their processes, at once."""
        daemon = self.daemons.pop(node)
        family = [daemon.pid, *self.processes_of(node)]
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        daemon.wait(timeout=10)

    def processes_of(self, node):
        """Pids of everything that runs on a node; slurmstepd starts them and tells them the node's name."""
        mine = f"SLURM_CONF={self.environment['SLURM_CONF']}".encode()
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                variables = entry.read_bytes().split(b"\0")
                if mine in variables and f"SLURMD_NODENAME={node}".encode() in variables:
                    found.append(int(entry.parent.name))
        # A job's processes know their node; the slurmstepd above them does not.
        for pid in list(found):
            with contextlib.suppress(OSError):
                parent = int(re.search(r"PPid:\s*(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])
                if pathlib.Path(f"/proc/{parent}/comm").read_text().startswith("slurmstepd") and parent not in found:
                    found.append(parent)
        return found

    def run(self, *command, check=True, timeout=60, env=None, cwd=None):
        """A command with this cluster's environment."""
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, timeout=timeout, cwd=cwd,
            env={**self.environment, **(env or {})},
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def submit(self, *arguments, env=None, cwd=None):
        """The job's number."""
        return self.run("sbatch", "--parsable", *arguments, env=env, cwd=cwd).stdout.strip()

    def state(self, job):
        """As scontrol says it; GONE once it is forgotten."""
        text = self.run("scontrol", "show", "job", job, check=False).stdout
        found = re.search(r"JobState=(\w+)", text)
        return found[1] if found else "GONE"

    def field(self, job, name):
        found = re.search(rf"\b{name}=(\S*)", self.run("scontrol", "show", "job", job).stdout)
        return found[1] if found else ""

    def wait_for_job(self, job, timeout_s=120):
        """Until the job has ended for good; returns its last state."""
        deadline = time.monotonic() + timeout_s
        while (state := self.state(job)) in ACTIVE:
            assert time.monotonic() < deadline, f"job {job} is still {state}"
            time.sleep(0.3)
        return state

    def wait_for_state(self, job, wanted, timeout_s=60):
        self._wait(lambda: self.state(job) == wanted, f"job {job} being {wanted}", timeout_s)

    def wait_for_reason(self, job, wanted, timeout_s=60):
        self._wait(lambda: self.field(job, "Reason") == wanted, f"job {job} waiting for {wanted}", timeout_s)

    def _start(self, program, *arguments, name=None):
        log = open(self.folder / f"{name or program}.out", "ab")
        self.daemons[name or program] = subprocess.Popen(
            [tool(program), *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment
        )
        log.close()

    def _stop(self, name):
        daemon = self.daemons.pop(name)
        daemon.terminate()
        try:
            daemon.wait(timeout=10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait(timeout=10)

    def _is_idle(self):
        lines = self.run("sinfo", "-h", "-N", "-o", "%t", check=False).stdout.split()
        return lines == ["idle"] * len(self.nodes)

    def _wait(self, condition, what, timeout_s=60):
        deadline = time.monotonic() + timeout_s
        while not condition():
            dead = [name for name, daemon in self.daemons.items() if daemon.poll() is not None]
            assert not dead, f"{dead} ended: {self._log(dead[0])}"
            assert time.monotonic() < deadline, f"waiting for {what}: {self._log('slurmctld')}"
            time.sleep(0.2)

    def _log(self, name):
        texts = [path.read_text(errors="replace")[-1500:] for path in self.folder.glob(f"*{name}*") if path.suffix in {".out", ".log"}]
        return "\n".join(texts)


if __name__ == "__main__":
    if missing():
        sys.exit(missing())
    with Cluster(int(sys.argv[1]) if len(sys.argv) > 1 else 1) as cluster:
        print(f"export SLURM_CONF={cluster.environment['SLURM_CONF']}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
