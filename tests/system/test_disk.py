"""What a disk does to a run: packers killed at any moment, no room left, locks of the living and the dead."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import h5py
import pytest
from programs import BIN, DEMO_JOB, SMALL, numeric_data, prune_sweep

MIB = 1 << 20


def temporary_files(run):
    return [path.name for path in run.iterdir() if path.name.endswith(".tmp")]


def test_a_packer_killed_at_any_moment_leaves_a_whole_archive(undisturbed, tmp_path, soak):
    run = shutil.copytree(undisturbed, tmp_path / "run")
    expected = numeric_data(run / "archive.h5")
    started = time.monotonic()
    prune_sweep("pack", run)
    whole_s = time.monotonic() - started
    moments = random.Random(1)
    num_killed = num_kept = num_new = moment = 0
    wanted = 500 if soak else 20
    # Some are done before they are hit.
    while num_killed < wanted:
        moment += 1
        assert moment < 5 * wanted
        # Every third time there is no older archive.
        (run / "archive.h5").unlink(missing_ok=True)
        if moment % 3 > 0:
            shutil.copy(undisturbed / "archive.h5", run)
        before = (run / "archive.h5").stat().st_ino if moment % 3 > 0 else None
        packer = subprocess.Popen([str(BIN / "prune-sweep"), "pack", str(run)])
        time.sleep(moments.uniform(0, whole_s))
        packer.kill()
        num_killed += packer.wait() == -signal.SIGKILL
        if not (run / "archive.h5").exists():
            assert before is None
            continue
        num_kept += (run / "archive.h5").stat().st_ino == before
        num_new += (run / "archive.h5").stat().st_ino != before
        assert numeric_data(run / "archive.h5") == expected
        prune_sweep("verify", run)
    assert num_kept > 0
    print(f"{num_killed} packers killed, old archive kept {num_kept} times, new one {num_new} times")
    # What they left half-written is removed by the next one.
    prune_sweep("pack", run)
    assert temporary_files(run) == []
    prune_sweep("verify", run)


class SmallDisk:
    """A tmpfs of its own."""

    def __init__(self, folder, size):
        self.folder = folder
        folder.mkdir()
        self.mount(f"size={size},nr_inodes=200")

    def mount(self, options, *more):
        done = subprocess.run(
            ["mount", *more, "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)], capture_output=True, text=True
        )
        if done.returncode != 0:
            pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")

    def grow(self, size):
        self.mount(f"remount,size={size}")

    def unmount(self):
        subprocess.run(["umount", "-l", str(self.folder)], check=True)


@pytest.fixture
def small_disk(tmp_path):
    disks = []

    def make(size):
        disks.append(SmallDisk(tmp_path / f"disk-{len(disks)}", size))
        return disks[-1]

    yield make
    for disk in disks:
        disk.unmount()


def assert_nothing_is_torn(run):
    """Every published file is whole; the journal has whole entries only."""
    for name in ["plan.json", "status.json"]:
        if (run / name).exists():
            json.loads((run / name).read_text())
    if (run / "job.ini").exists():
        assert "[output]" in (run / "job.ini").read_text()
    if (run / "archive.h5").exists():
        prune_sweep("verify", run / "archive.h5")
        with h5py.File(run / "archive.h5") as archive:
            assert "variants/name" in archive
    if (run / "plan.json").exists():
        text = prune_sweep("verify", run, check=False)
        assert "cannot be read" not in text.stderr, text.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_is_status_74_and_the_run_goes_on_with_more_room(undisturbed, small_disk, soak):
    needed = sum(path.stat().st_size for path in undisturbed.rglob("*") if path.is_file())
    count = 50 if soak else 5
    statuses = []
    for moment in range(count):
        # From hardly room for the job file to hardly too little.
        size = int(8192 + (needed - 8192) * moment / count) // 4096 * 4096
        disk = small_disk(size)
        run = disk.folder / "run"
        done = prune_sweep(DEMO_JOB, *SMALL, "--disk-patience=1", f"--output.dir={run}", ranks=2, check=False)
        statuses.append(done.returncode)
        assert done.returncode == 74, (size, done.returncode, done.stdout + done.stderr)
        assert "No space left on device" in done.stderr
        assert_nothing_is_torn(run)
        disk.grow(16 * MIB)
        prune_sweep(DEMO_JOB, *SMALL, f"--output.dir={run}", ranks=2)
        assert numeric_data(run / "archive.h5") == numeric_data(undisturbed / "archive.h5")
        prune_sweep("verify", run)
        assert temporary_files(run) == []
    assert statuses == [74] * count


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_without_room_for_the_archive_keeps_the_old_one(undisturbed, small_disk):
    archive = (undisturbed / "archive.h5").stat().st_size
    needed = sum(path.stat().st_size for path in undisturbed.rglob("*") if path.is_file())
    disk = small_disk((needed + 24 * 4096 + archive // 2) // 4096 * 4096)
    run = shutil.copytree(undisturbed, disk.folder / "run")
    before = (run / "archive.h5").read_bytes()
    done = prune_sweep("pack", run, check=False)
    assert done.returncode == 74, done.stdout + done.stderr
    assert "archive.h5: cannot write (No space left on device)" in done.stderr
    assert (run / "archive.h5").read_bytes() == before
    assert temporary_files(run) == []
    disk.grow(16 * MIB)
    prune_sweep("pack", run)
    prune_sweep("verify", run)


def test_a_start_that_was_killed_leaves_no_lock(undisturbed, tmp_path):
    run = tmp_path / "run"
    first = subprocess.Popen(
        [str(BIN / "prune-sweep"), str(DEMO_JOB), *SMALL, f"--output.dir={run}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not (run / "status.json").exists():
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.01)
    second = prune_sweep(DEMO_JOB, *SMALL, f"--output.dir={run}", check=False)
    assert second.returncode == 2
    assert f"pid {first.pid}" in second.stderr and os.uname().nodename in second.stderr
    first.kill()
    first.wait()
    # What the killed start may have been writing.
    (run / f".status.json.{first.pid}.tmp").write_text("{")
    prune_sweep(DEMO_JOB, *SMALL, f"--output.dir={run}", ranks=2)
    assert temporary_files(run) == []
    assert numeric_data(run / "archive.h5") == numeric_data(undisturbed / "archive.h5")


def test_a_start_on_another_host_is_believed_while_it_writes(undisturbed, tmp_path):
    run = shutil.copytree(undisturbed, tmp_path / "run")
    (run / "lock").write_text("another-host pid 4711")
    os.utime(run / "status.json")
    journals = sorted(run.glob("journal-*"))
    done = prune_sweep(DEMO_JOB, *SMALL, f"--output.dir={run}", check=False)
    assert done.returncode == 2
    assert "another-host pid 4711" in done.stderr and str(run / "lock") in done.stderr
    assert sorted(run.glob("journal-*")) == journals
    # It has been silent for long: it is dead.
    long_ago = time.time() - 3600
    for path in [run / "lock", run / "status.json"]:
        os.utime(path, (long_ago, long_ago))
    prune_sweep(DEMO_JOB, *SMALL, f"--output.dir={run}")


def test_packing_during_a_run_leaves_the_run_alone(undisturbed, tmp_path):
    run = shutil.copytree(undisturbed, tmp_path / "run")
    holder = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print('x', flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", holder, str(run / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "x\n"
    (run / ".plan.json.1.tmp").write_text("in the making")
    prune_sweep("pack", run)
    assert temporary_files(run) == [".plan.json.1.tmp"]
    process.communicate("\n", timeout=30)
    prune_sweep("verify", run)
