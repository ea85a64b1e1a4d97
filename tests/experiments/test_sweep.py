"""A sweep in this process, in worker processes, in other executors; what fails or dies."""

import io
import os
import random
import re
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context

import pytest
from threadpoolctl import threadpool_limits

from experiments import bars, cells, executors
from experiments import sweep as engine
from experiments.common import CellsFailed, Options, train_settings
from experiments.executors import chosen, processes
from experiments.sweep import LARGEST_STACK, STACKED, stacks, summary, sweep
from tests.experiments.measures import (
    accuracy,
    blas_threads,
    fails_at_seed_1,
    kills_its_worker,
    kills_its_worker_once,
    of_widths,
    tiny,
    weights,
    worker,
)
from tests.experiments.observed import stored
from training import ConfigError, stack_key, train, train_many

DIVERGING = {"optimizer": "sgd", "learning_rate": 1e30, "weight_decay": 0.0}


@pytest.fixture
def trained(monkeypatch):
    """The seeds of all networks that are trained in this process, stack by stack."""
    calls, train_many = [], engine.train_many

    def counted(configs, *arguments):
        calls.append([config.seed for config in configs])
        return train_many(configs, *arguments)

    monkeypatch.setattr(engine, "train_many", counted)
    return calls


class TestAResult:
    def test_is_that_of_each_network_alone_bit_for_bit(self, tmp_path, trained):
        configs = [tiny(seed=seed, xi=xi, dropout=dropout)
                   for seed in range(2) for xi in (0.0, 0.4) for dropout in (0.0, 0.2)] + of_widths(2)
        results = sweep(configs, weights, tmp_path)
        assert sorted(map(len, trained)) == [1, 4, 5]
        for cell, config in zip(results, configs, strict=True):
            assert cell.error is None
            assert cell.config == config.resolved()
            assert cell.measured == weights(train(config))

    def test_is_the_same_from_worker_processes(self, tmp_path):
        configs = [tiny(seed=seed) for seed in range(3)] + of_widths(2)
        here, there = (sweep(configs, weights, tmp_path / name, executors)
                       for name, executors in (("a", lambda: processes(1)), ("b", lambda: processes(2))))
        assert here == there == sweep(configs, weights, tmp_path / "c")

    def test_is_the_same_when_it_is_read_again(self, tmp_path):
        assert sweep([tiny()], weights, tmp_path) == sweep([tiny()], weights, tmp_path)

    def test_of_no_network_is_none(self, tmp_path):
        def never():
            raise AssertionError("an executor where there is nothing to do")

        assert sweep([], accuracy, tmp_path, never) == []
        sweep([tiny()], accuracy, tmp_path)
        assert len(sweep([tiny()], accuracy, tmp_path, never)) == 1

    def test_is_the_runs_summary_unless_told_otherwise(self, tmp_path):
        [cell] = sweep([tiny()], summary, tmp_path)
        expected = train(tiny()).summary()
        times = {"seconds": 0, "ms_per_step": 0}
        assert cell.measured | times == expected | times

    def test_does_not_depend_on_other_threads(self, tmp_path, monkeypatch):
        """Training sets the BLAS library's threads for the whole process: only one thread at a time can do it."""
        at_once, seen, train_many = [], [], engine.train_many

        def slow(configs, *arguments):
            at_once.append(configs)
            seen.append(len(at_once))
            time.sleep(0.05)
            at_once.pop()
            return train_many(configs, *arguments)

        monkeypatch.setattr(engine, "train_many", slow)
        configs = of_widths(6)
        assert sweep(configs, weights, tmp_path / "a", lambda: ThreadPoolExecutor(4)) == sweep(configs, weights,
                                                                                               tmp_path / "b")
        assert seen == [1] * 12

    @pytest.mark.parametrize("executors", [nullcontext, lambda: processes(1)], ids=["here", "processes"])
    def test_does_not_depend_on_how_many_threads_a_machine_has(self, executors, tmp_path):
        with threadpool_limits(limits=2, user_api="blas"):
            [cell] = sweep([tiny()], blas_threads, tmp_path, executors)
        assert cell.measured == {"threads": 1}


class TestWhereTheWorkIsDone:
    def test_is_here_unless_said_otherwise(self):
        assert chosen(1, None) == (nullcontext, None)

    @pytest.mark.parametrize(("cores", "workers", "threads"), [(8, 2, 4), (8, 3, 2), (2, 4, 1)])
    def test_is_in_processes_which_share_the_cores(self, cores, workers, threads, monkeypatch):
        monkeypatch.setattr(executors, "available_cores", lambda: cores)
        where, each = chosen(workers, None)
        assert each == threads
        with where() as pool:
            assert pool.submit(os.getpid).result() != os.getpid()

    def test_gives_an_experiment_the_same(self, tmp_path):
        options = Options(False, (0, 1), "numpy", tmp_path, tmp_path / "cells", workers=2)
        measured = train_settings({"a": tiny(), "b": tiny(width=20)}, weights, options)
        assert measured == {name: [weights(train(tiny(width=width, seed=seed))) for seed in (0, 1)]
                            for name, width in (("a", 16), ("b", 20))}

    def test_is_told_to_an_experiment_if_it_fails(self, tmp_path):
        options = Options(False, (0, 1), "numpy", tmp_path, tmp_path / "cells")
        with pytest.raises(CellsFailed, match="1 of 2 networks failed; the first: KeyError: 'no such thing'"):
            train_settings({"a": tiny()}, fails_at_seed_1, options)


class TestACellThatIsStored:
    def test_is_not_trained_again(self, tmp_path, trained):
        configs = [tiny(seed=seed) for seed in range(3)]
        first = sweep(configs, accuracy, tmp_path)
        trained.clear()
        assert sweep(configs, accuracy, tmp_path) == first
        assert trained == []

    def test_serves_other_sweeps(self, tmp_path, trained):
        sweep([tiny(seed=seed) for seed in range(3)], accuracy, tmp_path)
        trained.clear()
        sweep([tiny(seed=seed) for seed in (4, 2, 3, 1)], accuracy, tmp_path)
        assert [sorted(seeds) for seeds in trained] == [[3, 4]]

    def test_serves_equal_settings(self, tmp_path, trained):
        # The learning rate is the default one.
        results = sweep([tiny(), tiny(learning_rate=0.01), tiny(threads=2), tiny()], accuracy, tmp_path)
        assert trained == [[0]]
        assert [cell.measured for cell in results] == [results[0].measured] * 4
        assert [cell.config.threads for cell in results] == [1, 1, 2, 1]

    @pytest.mark.parametrize("change", ["measure", "program", "setting", "damage"])
    def test_does_not_serve_anything_else(self, change, tmp_path, trained, monkeypatch):
        config, measure = tiny(), accuracy
        sweep([config], measure, tmp_path)
        if change == "measure":
            measure = worker
        elif change == "program":
            monkeypatch.setattr(cells, "program_version", lambda: "another")
        elif change == "setting":
            config = tiny(xi=0.1)
        else:
            [path] = stored(tmp_path)
            path.write_text(path.read_text()[:-20])
        results = [sweep([config], measure, tmp_path) for _ in range(2)]
        assert trained == [[0], [0]]
        assert results[0] == results[1]

    def test_was_stored_as_soon_as_its_stack_was_finished(self, tmp_path, monkeypatch):
        there, train_many = [], engine.train_many

        def watched(configs, *arguments):
            there.append(len(stored(tmp_path)))
            return train_many(configs, *arguments)

        monkeypatch.setattr(engine, "train_many", watched)
        sweep([*of_widths(3), tiny(width=30, seed=1), tiny(width=30, seed=2)], accuracy, tmp_path)
        assert there == [0, 2, 3, 4]

    def test_stays_if_a_later_one_cannot_be_stored(self, tmp_path, monkeypatch):
        write_cell, count = engine.write_cell, iter(range(9))

        def full(*arguments):
            if next(count) == 2:
                raise OSError(28, "No space left on device")
            write_cell(*arguments)

        monkeypatch.setattr(engine, "write_cell", full)
        with pytest.raises(OSError, match="No space"):
            sweep(of_widths(4), accuracy, tmp_path)
        assert len(stored(tmp_path)) == 2


class TestStacks:
    @pytest.mark.parametrize("backend", ["numpy", "cupy"])
    def test_share_shapes_and_cover_every_network_once(self, backend):
        rng = random.Random(0)
        configs = {number: tiny(p=rng.choice((11, 97)), width=rng.choice((16, 500)), seed=number,
                                xi=rng.choice((0.0, 0.3)), alpha=rng.choice((0.1, 0.5)), backend=backend).resolved()
                   for number in range(400)}
        units = stacks(configs)
        assert sorted(key for unit in units for key in unit) == sorted(configs)
        for unit in units:
            assert len({stack_key(configs[key]) for key in unit}) == 1
            numbers = sum(configs[key].train_examples * configs[key].width for key in unit)
            assert len(unit) <= LARGEST_STACK
            assert backend == "cupy" or len(unit) == 1 or numbers <= STACKED
        assert max(map(len, units)) > 30
        if backend == "numpy":
            assert all(len(unit) == 1 for unit in units if configs[unit[0]].width == 500 and configs[unit[0]].p == 97)

    def test_come_in_the_order_of_their_work(self):
        configs = {"narrow": tiny(width=10), "wide": tiny(width=40), "long": tiny(width=10, steps=200),
                   "much": tiny(alpha=0.9, width=24), "batch": tiny(width=100, batch_size=5)}
        units = stacks({name: config.resolved() for name, config in configs.items()})
        assert units == [["long"], ["much"], ["wide"], ["narrow"], ["batch"]]

    def test_are_of_about_equal_size(self):
        units = stacks({seed: tiny(seed=seed).resolved() for seed in range(2 * LARGEST_STACK + 1)})
        assert [len(unit) for unit in units] == [LARGEST_STACK // 3 * 2 + 1] * 3


class TestANetworkThatFails:
    def test_is_reported_with_its_error_and_the_others_are_there(self, tmp_path, trained):
        results = sweep([tiny(seed=seed) for seed in range(3)], fails_at_seed_1, tmp_path)
        assert trained == [[0, 1, 2]]
        assert [cell.measured for cell in results] == [{"seed": 0}, None, {"seed": 2}]
        assert results[1].error.startswith("KeyError: 'no such thing' (measures.py, line ")
        assert len(stored(tmp_path)) == 2

    def test_is_tried_again_by_the_next_sweep(self, tmp_path, trained):
        for _ in range(2):
            sweep([tiny(seed=seed) for seed in range(3)], fails_at_seed_1, tmp_path)
        assert trained == [[0, 1, 2], [1]]

    @pytest.mark.parametrize("returned", ["[1, 2]", "{'a': float('nan')}", "run.arrays", "None", "'words'"])
    def test_may_be_one_whose_measurement_cannot_be_stored(self, returned, tmp_path, monkeypatch):
        module = tmp_path / "unstorable.py"
        module.write_text(f"def measure(run):\n    return {returned} if run.config.seed else {{'a': 1}}\n")
        namespace = {}
        exec(compile(module.read_text(), module, "exec"), namespace)
        results = sweep([tiny(seed=seed) for seed in range(2)], namespace["measure"], tmp_path / "cells")
        assert results[0].measured == {"a": 1}
        assert results[1].error.startswith(("TypeError: ", "ValueError: "))

    def test_may_be_one_that_diverges(self, tmp_path):
        results = sweep([tiny(**{**DIVERGING, "seed": seed, "learning_rate": rate})
                         for seed, rate in ((0, 0.1), (1, 1e30))], accuracy, tmp_path)
        assert results[0].error is None
        assert "the train loss of seed 1 is" in results[1].error
        assert "the run has diverged" in results[1].error

    @pytest.mark.parametrize("executors", [nullcontext, lambda: processes(1)], ids=["here", "processes"])
    def test_does_not_take_its_stack_down(self, executors, tmp_path):
        """A run cannot be continued whose checkpoint is damaged: the whole stack fails, and each is tried alone."""
        for name in ("good", "bad"):
            (tmp_path / name).mkdir()
            train(tiny(), tmp_path / name)
        path = tmp_path / "bad" / "checkpoint.npz"
        path.write_bytes(path.read_bytes()[:-50])
        configs = [tiny(seed=seed, continue_from=str(tmp_path / name))
                   for seed, name in enumerate(("good", "bad", "good"))]
        results = sweep(configs, weights, tmp_path / "cells", executors)
        assert [cell.error is None for cell in results] == [True, False, True]
        assert results[1].error.startswith("CheckpointError: ")
        assert results[2].measured == weights(train(configs[2]))

    def test_has_an_error_of_one_line(self, tmp_path, monkeypatch):
        def broken(*arguments):
            raise MemoryError("not\nenough\n  of it")

        monkeypatch.setattr(engine, "train_many", broken)
        assert [cell.error for cell in sweep([tiny()], accuracy, tmp_path)] == ["MemoryError: not enough of it"]

    def test_is_known_before_any_work_if_its_settings_are_not_allowed(self, tmp_path, trained):
        with pytest.raises(ConfigError, match="xi must lie in"):
            sweep([tiny(), tiny(xi=2.0)], accuracy, tmp_path)
        assert trained == []


class TestAWorkerProcess:
    @pytest.fixture(autouse=True)
    def flag(self, tmp_path, monkeypatch):
        monkeypatch.setenv("FLAG", str(tmp_path / "flag"))
        return tmp_path / "flag"

    def test_works_beside_others(self, tmp_path):
        results = sweep(of_widths(6, steps=200), worker, tmp_path, lambda: processes(2))
        pids = {cell.measured["pid"] for cell in results}
        assert len(pids) == 2
        assert os.getpid() not in pids

    def test_that_dies_is_replaced_and_its_work_done_again(self, tmp_path, flag):
        configs = [tiny(seed=seed, width=16 + seed) for seed in range(4)]
        results = sweep(configs, kills_its_worker_once, tmp_path / "cells", lambda: processes(2))
        assert flag.exists()
        assert [cell.measured for cell in results] == [{"seed": seed} for seed in range(4)]

    @pytest.mark.parametrize("executors", [
        lambda: processes(2), lambda: ProcessPoolExecutor(2, mp_context=get_context("spawn"))],
        ids=["processes", "a pool that breaks"])
    def test_that_always_dies_takes_nothing_with_it(self, executors, tmp_path, flag):
        configs = [tiny(seed=seed) for seed in range(3)] + of_widths(2, seed=5, steps=30)
        results = sweep(configs, kills_its_worker, tmp_path / "cells", executors)
        assert [cell.measured for cell in results] == [{"seed": 0}, None, {"seed": 2}, {"seed": 5}, {"seed": 5}]
        assert results[1].error == "its worker process died, 3 times"
        assert flag.read_text() == 3 * "dead\n"

    def test_says_what_it_could_not_do(self, tmp_path):
        def local(run):
            return {}

        [cell] = sweep([tiny()], local, tmp_path, lambda: processes(1))
        assert "pickle" in cell.error

    def test_with_other_sources_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(cells, "program_version", lambda: "another")
        results = sweep(of_widths(2), accuracy, tmp_path, lambda: processes(1))
        assert {cell.error for cell in results} == {
            "RuntimeError: the worker has other sources of this program than whoever started the sweep"}
        assert stored(tmp_path) == []


def shown(monkeypatch, *arguments, **options):
    """The lines that a sweep writes to a terminal."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        sweep(*arguments, **options)
    return re.split("[\r\n]", terminal.getvalue())


class TestTheProgressBar:
    def test_shows_what_is_finished_and_failed_and_the_time_left(self, tmp_path, monkeypatch):
        configs = [tiny(seed=seed, width=16 * (1 + seed), steps=400) for seed in range(4)]
        sweep(configs[2:3], fails_at_seed_1, tmp_path)
        lines = shown(monkeypatch, configs, fails_at_seed_1, tmp_path, progress=True)
        # Of the work, as the widths are, 3 of 10 parts were done before; then come 4, 2 and, failing, 1.
        assert any(re.fullmatch(r"1 of 4 networks:  30%\|.*\| 00:0\d<\?", line) for line in lines)
        assert any(re.fullmatch(r"2 of 4 networks:  70%\|.*\| 00:0\d<00:0\d", line) for line in lines)

    def test_counts_failures(self, tmp_path, monkeypatch):
        lines = shown(monkeypatch, [tiny(seed=1, steps=400), tiny(seed=0, width=8, steps=400)], fails_at_seed_1,
                      tmp_path, progress=True)
        assert any(line.startswith("1 of 2 networks, 1 failed:  67%|") for line in lines)

    @pytest.mark.parametrize(("executors", "seen"), [(nullcontext, True), (lambda: processes(1), False)],
                             ids=["here", "processes"])
    def test_has_that_of_the_training_below_it_where_that_is_in_this_process(self, executors, seen, tmp_path,
                                                                              monkeypatch):
        lines = shown(monkeypatch, [tiny(steps=1000)], accuracy, tmp_path, executors, progress=True)
        place = next((place for place, line in enumerate(lines) if "/1000 [" in line), None)
        assert (place is not None) == seen
        if seen:
            above = lines[:place]
            assert above[-1] == ""  # of a line feed: the cursor has gone down
            assert above[-2].startswith("0 of 1 networks:   0%|")
            assert lines[-2:] == [" " * len(lines[-2]), ""]  # nothing is left of either

    def test_tells_the_time_left_as_of_the_last_network_that_has_ended(self, tmp_path, monkeypatch):
        monkeypatch.setattr(bars, "TICK", 0.01)
        monkeypatch.setattr(engine, "train_many", lambda *arguments: time.sleep(1.1) or train_many(arguments[0]))
        lines = shown(monkeypatch, of_widths(3), accuracy, tmp_path, progress=True)
        told = [re.fullmatch(r"1 of 3 networks: .*\| 00:(..)<00:(..)", line) for line in lines]
        elapsed, left = zip(*(one.groups() for one in told if one), strict=True)
        assert len(set(elapsed)) > 1
        assert len(set(left)) == 1

    def test_is_not_shown_where_there_is_no_terminal(self, tmp_path, capsys):
        sweep(of_widths(2), accuracy, tmp_path, progress=True)
        assert capsys.readouterr() == ("", "")

    def test_is_not_shown_unless_asked_for(self, tmp_path, monkeypatch):
        assert shown(monkeypatch, of_widths(2), accuracy, tmp_path) == [""]


def test_threads_of_a_sweep_are_gone_when_it_is_over(tmp_path):
    before = set(threading.enumerate())
    sweep(of_widths(2), accuracy, tmp_path, lambda: processes(2))
    assert set(threading.enumerate()) <= before
