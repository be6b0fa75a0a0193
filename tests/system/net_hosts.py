"""Hosts on one machine: network namespaces with host names of their own, joined by a network that may be slow and lossy.

Every host has one TUN device; a process of this program carries the packets from one to the other, after a delay and
not always: what `tc netem` does, for kernels that do not have it. Ranks get there through an agent that mpirun starts
in place of ssh.
"""

import contextlib
import ctypes
import fcntl
import heapq
import multiprocessing
import os
import pathlib
import random
import select
import shlex
import shutil
import signal
import struct
import subprocess
import tempfile
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
CLONE_NEWNET = 0x40000000


def missing():
    """What hosts need and this machine lacks, as text; empty when nothing."""
    if os.getuid() != 0:
        return "network namespaces can be made by root only"
    if not all(map(shutil.which, ["ip", "unshare", "mpirun"])):
        return "ip, unshare or mpirun not found: install iproute2, util-linux, openmpi-bin"
    if not os.path.exists("/dev/net/tun"):
        return "this kernel has no TUN devices (/dev/net/tun)"
    probe = f"ps-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    if made.returncode != 0:
        return f"network namespaces cannot be made: {made.stderr.strip()}"
    # In a chroot, whose root is no mount point, they can be made and not entered.
    entered = subprocess.run(["ip", "netns", "exec", probe, "unshare", "--uts", "--mount", "true"], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", probe], check=True)
    return "" if entered.returncode == 0 else f"network namespaces cannot be entered: {entered.stderr.strip()}"


def open_tun(namespace, device):
    """The descriptor of a new TUN device in a namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    other = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(other, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
        return tun
    finally:
        if libc.setns(own, CLONE_NEWNET) != 0:
            os._exit(1)  # a process in the wrong namespace must not go on
        os.close(own)
        os.close(other)


def carry(tuns, delay_s, loss, counts):
    """Moves IPv4 packets to the device of their destination, until it is killed. `tuns`: by last byte of the address."""
    generator = random.Random(1)
    by_fd = {fd: address for address, fd in tuns.items()}
    waiting = []
    order = 0
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, fd, packet = heapq.heappop(waiting)
            with contextlib.suppress(OSError):
                os.write(fd, packet)
        timeout = max(0, waiting[0][0] - now) if waiting else 1
        for fd in select.select(list(by_fd), [], [], timeout)[0]:
            with contextlib.suppress(BlockingIOError):
                while packet := os.read(fd, 65536):
                    target = tuns.get(packet[19]) if len(packet) >= 20 and packet[0] >> 4 == 4 else None
                    if target is None:
                        continue
                    counts[0] += 1
                    if generator.random() < loss:
                        counts[1] += 1
                        continue
                    order += 1
                    heapq.heappush(waiting, (time.monotonic() + delay_s, order, target, packet))


class Hosts:
    """Up between __enter__ and __exit__. Host k is `h<k>` with address 10.77.0.<k>."""

    def __init__(self, count, delay_s=0.0, loss=0.0):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hosts-"))
        self.count = count
        self.delay_s = delay_s
        self.loss = loss
        self.namespaces = {k: f"ps-{os.getpid()}-{k}" for k in range(1, count + 1)}
        self.variables = {k: {} for k in self.namespaces}
        self.counts = multiprocessing.Array("q", 2)
        self.carrier = None

    def __enter__(self):
        try:
            tuns = {}
            for k, namespace in self.namespaces.items():
                self._ip("netns", "add", namespace)
                tuns[k] = open_tun(namespace, "eth0")
                self._ip("-n", namespace, "link", "set", "lo", "up")
                self._ip("-n", namespace, "address", "add", f"10.77.0.{k}/24", "dev", "eth0")
                self._ip("-n", namespace, "link", "set", "eth0", "up")
            self.carrier = multiprocessing.Process(target=carry, args=(tuns, self.delay_s, self.loss, self.counts), daemon=True)
            self.carrier.start()
            for tun in tuns.values():
                os.close(tun)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for k in self.namespaces:
            self.kill(k)
        if self.carrier is not None:
            self.carrier.kill()
            self.carrier.join()
        for namespace in self.namespaces.values():
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def pids(self, k):
        """Of everything that runs on a host."""
        text = subprocess.run(["ip", "netns", "pids", self.namespaces[k]], capture_output=True, text=True).stdout
        return [int(pid) for pid in text.split()]

    def kill(self, k):
        """The host loses its power."""
        for pid in self.pids(k):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def round_trip_s(self, a, b):
        """Of one packet; measured with the kernel's own ICMP on the other side."""
        done = self.run(a, "python3", "-c", PING, f"10.77.0.{b}")
        assert done.returncode == 0, done.stderr
        return float(done.stdout)

    def run(self, k, *command, **options):
        return subprocess.run(self._on(k, command), capture_output=True, text=True, **options)

    def mpirun(self, ranks_per_host, *command, options=(), env=None):
        """Starts mpirun on host 1."""
        self.agent = self.folder / "agent"
        lines = ["#!/bin/bash", "# agent HOST COMMAND...: in place of ssh", "host=$1; shift", "case $host in"]
        for k in self.namespaces:
            assignments = " ".join(f"{name}={shlex.quote(value)}" for name, value in self.variables[k].items())
            lines.append(f'h{k}) exec {shlex.join(self._on(k, ["env"]))} {assignments} sh -c "$*" ;;')
        lines += ["esac", "exit 1"]
        self.agent.write_text("\n".join(lines) + "\n")
        self.agent.chmod(0o755)
        hosts = ",".join(f"h{k}:{ranks_per_host}" for k in self.namespaces)
        network = "10.77.0.0/24"
        line = [
            "mpirun", "--host", hosts, "--mca", "plm", "rsh", "--mca", "plm_rsh_agent", str(self.agent),
            "--mca", "plm_rsh_no_tree_spawn", "1",
            "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", network, "--mca", "oob_tcp_if_include", network,
            "--bind-to", "none", *options, *map(str, command),
        ]
        variables = {**os.environ, **(env or {}), **self.variables[1]}
        return subprocess.Popen(self._on(1, line), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables)

    def _on(self, k, command):
        """A command line that runs on a host: in its namespace, under its name, which /etc/hosts there knows."""
        hosts_file = self.folder / "hosts"
        if not hosts_file.exists():
            hosts_file.write_text("127.0.0.1 localhost\n" + "".join(f"10.77.0.{j} h{j}\n" for j in self.namespaces))
        inside = f'hostname h{k} && mount --bind {hosts_file} /etc/hosts && exec "$@"'
        return ["ip", "netns", "exec", self.namespaces[k], "unshare", "--uts", "--mount", "sh", "-c", inside, "host", *map(str, command)]

    @staticmethod
    def _ip(*arguments):
        subprocess.run(["ip", *arguments], check=True, capture_output=True)


PING = """
import os, socket, struct, sys, time
link = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
link.settimeout(1)
for sequence in range(20):
    body = struct.pack("!BBHHH", 8, 0, 0, os.getpid() & 0xFFFF, sequence)
    words = struct.unpack("!4H", body)
    total = sum(words); total = (total >> 16) + (total & 0xFFFF)
    began = time.monotonic()
    link.sendto(struct.pack("!BBHHH", 8, 0, ~total & 0xFFFF, os.getpid() & 0xFFFF, sequence), (sys.argv[1], 0))
    try:
        while True:
            answer = link.recv(1024)[20:]
            if answer[0] == 0 and struct.unpack("!H", answer[6:8])[0] == sequence:
                print(time.monotonic() - began)
                sys.exit(0)
    except TimeoutError:
        pass
sys.exit("no answer")
"""
