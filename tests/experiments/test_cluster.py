"""A sweep on a real Dask cluster: a scheduler and two workers, processes of this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from experiments import cells, executors, phases
from experiments import sweep as engine
from experiments.cells import ROOT, read_cell
from experiments.common import Options, run_experiment, train_whole
from experiments.executors import SchedulerError, dask_cluster
from experiments.sweep import sweep
from tests.experiments.measures import (
    fails_at_seed_1,
    kills_its_worker,
    kills_its_worker_once,
    of_widths,
    tiny,
    weights,
    worker,
)
from training import load_run, train

pytest.importorskip("distributed", reason="needs Dask: pip install -e '.[cluster]'")

LONGEST = 60  # seconds that any wait may take


class Cluster:
    """A scheduler, and workers as they are asked for; all end with the block."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "FLAG": str(folder / "flag")}

    def __enter__(self):
        # Should this process be killed, the cluster ends all the same: without work, and workers without a scheduler.
        place = self.folder / "scheduler.json"
        self.scheduler = self.start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                                    "--no-show", "--scheduler-file", place, "--idle-timeout", f"{LONGEST} s")
        wait_until(lambda: place.exists() and place.stat().st_size)
        self.address = json.loads(place.read_text())["address"]
        return self

    def __exit__(self, *exception):
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()

    def start(self, kind, *arguments):
        with open(self.folder / f"{kind}{len(self.processes)}.log", "w") as log:
            process = subprocess.Popen([sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments],
                                       cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def add_workers(self, *threads, nanny="--no-nanny"):
        """Start workers with so many threads, and wait for them; their processes. A nanny starts a dead one anew."""
        started = [self.start("worker", self.address, "--nthreads", str(count), nanny, "--no-dashboard",
                              "--host", "127.0.0.1", "--death-timeout", str(LONGEST)) for count in threads]
        from distributed import Client
        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(len(self.processes) - 1, timeout=LONGEST)
        return started


def wait_until(condition):
    limit = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def written(monkeypatch):
    """How often each cell has been stored."""
    count, write_cell = Counter(), engine.write_cell

    def counted(path, *arguments):
        count[path] += 1
        write_cell(path, *arguments)

    monkeypatch.setattr(engine, "write_cell", counted)
    return count


def on(cluster):
    return lambda: dask_cluster(cluster.address)


def test_whole_networks_to_continue_from_are_trained_there(cluster, tmp_path):
    cluster.add_workers(1)
    options = Options(quick=True, seeds=(0,), backend="numpy", out=tmp_path, cells=tmp_path / "cells",
                      scheduler=cluster.address)
    folder, = train_whole([tiny(seed=4)], options)
    assert load_run(folder).history.rows == train(tiny(seed=4)).history.rows


class TestASweepOnTwoWorkers:
    def test_survives_the_death_of_one(self, cluster, written, tmp_path):
        victim, survivor = cluster.add_workers(1, 1)
        configs = of_widths(12, steps=600, seed=3)

        def kill():
            wait_until(lambda: len(written) >= 3)
            victim.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        results = sweep(configs, worker, tmp_path / "cells", on(cluster))
        killer.join()
        assert victim.wait() == -signal.SIGKILL
        pids = Counter(cell.measured["pid"] for cell in results)
        assert pids.keys() == {victim.pid, survivor.pid}
        assert [cell.error for cell in results] == [None] * 12
        assert len(written) == 12
        assert set(written.values()) == {1}
        assert all(read_cell(path) is not None for path in written)

    def test_survives_a_network_that_kills_its_worker_once(self, cluster, tmp_path):
        cluster.add_workers(1, 1)
        results = sweep([tiny(seed=seed, width=16 + seed) for seed in range(4)], kills_its_worker_once,
                        tmp_path / "cells", on(cluster))
        assert (tmp_path / "flag").exists()
        assert [cell.error for cell in results] == [None] * 4
        assert [cell.measured for cell in results] == [{"seed": seed} for seed in range(4)]

    def test_loses_only_the_network_that_always_kills_its_worker(self, tmp_path, monkeypatch):
        # That a worker may die once over its tasks, and not three times, saves time.
        monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
        with Cluster(tmp_path) as cluster:
            cluster.add_workers(1, nanny="--nanny")
            results = sweep([tiny(seed=seed, width=16 + seed) for seed in range(4)], kills_its_worker,
                            tmp_path / "cells", on(cluster))
        assert [cell.measured for cell in results] == [{"seed": 0}, None, {"seed": 2}, {"seed": 3}]
        assert results[1].error == "its worker process died, 3 times"
        assert (tmp_path / "flag").read_text() == 3 * "dead\n"

    def test_gives_the_same_bits_and_failures_as_without_it(self, cluster, tmp_path, monkeypatch):
        cluster.add_workers(1, 1)
        configs = [tiny(seed=seed) for seed in range(3)] + of_widths(3)
        assert sweep(configs, weights, tmp_path / "a", on(cluster)) == sweep(configs, weights, tmp_path / "b")
        here, there = (sweep(configs, fails_at_seed_1, tmp_path / "a", *where) for where in ((), (on(cluster),)))
        assert here == there
        assert sum(cell.error is not None for cell in here) == 1

        monkeypatch.setattr(cells, "program_version", lambda: "another")
        results = sweep(configs[:2], weights, tmp_path / "c", on(cluster))
        assert {cell.error for cell in results} == {
            "RuntimeError: the worker has other sources of this program than whoever started the sweep"}

    def test_ends_with_a_clear_line_when_the_scheduler_is_gone(self, cluster, written, tmp_path, monkeypatch):
        cluster.add_workers(1)
        monkeypatch.setattr(executors, "ANSWERS_WITHIN", 1)
        kill = threading.Thread(target=lambda: (wait_until(lambda: written), cluster.scheduler.kill()))
        kill.start()
        with pytest.raises(SchedulerError, match=f"no Dask scheduler answers at {cluster.address}"):
            sweep(of_widths(30, steps=600), worker, tmp_path / "cells", on(cluster))
        kill.join()
        assert 1 <= len(written) < 30


class TestAClusterThatCannotBeUsed:
    def test_has_no_scheduler(self, tmp_path, monkeypatch, capsys):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # nobody listens
            address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
            monkeypatch.setattr(executors, "ANSWERS_WITHIN", 1)
            monkeypatch.chdir(tmp_path)
            code = run_experiment("phases", "", phases.experiment, 1, 1, ["--quick", "--scheduler", address])
        output, errors = capsys.readouterr()
        assert (code, output) == (1, "")
        assert errors.startswith(f"python -m experiments.phases: error: no Dask scheduler answers at {address} (")
        assert errors.count("\n") == 1
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    @pytest.mark.parametrize("address", ["", "nowhere", "http://127.0.0.1:1", "tcp://127.0.0.1", "tcp://a:b"])
    def test_has_an_address_that_is_none(self, address, monkeypatch):
        monkeypatch.setattr(executors, "ANSWERS_WITHIN", 1)
        with pytest.raises(SchedulerError, match="no Dask scheduler answers at "), dask_cluster(address):
            pass

    def test_has_no_workers_or_such_with_several_threads(self, cluster, monkeypatch):
        monkeypatch.setattr(executors, "ANSWERS_WITHIN", 1)
        with pytest.raises(SchedulerError, match=f"has no workers; start one with: dask worker {cluster.address}"), \
                dask_cluster(cluster.address):
            pass
        cluster.add_workers(1, 3)
        with pytest.raises(SchedulerError, match=r"the Dask worker .* has 3 threads.* --nthreads 1 --nworkers 3$"), \
                dask_cluster(cluster.address):
            pass

    def test_has_no_dask(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "distributed", None)
        with pytest.raises(SchedulerError, match="needs Dask; install it with: pip install"), dask_cluster("tcp://a:1"):
            pass
