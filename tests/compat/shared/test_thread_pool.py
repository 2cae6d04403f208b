"""A pool of threads for a program's own jobs."""

from __future__ import annotations

import threading

import pytest

from fastpyro.compat.shared.thread_pool import NoFreeWorkersError, Pool, PoolError
from fastpyro.config import config

PATIENCE = 20.0


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "THREADPOOL_SIZE_MIN", 1)
    monkeypatch.setattr(config, "THREADPOOL_SIZE", 2)


def test_it_grows_to_its_size_and_shrinks_to_its_least() -> None:
    release, started = threading.Event(), threading.Semaphore(0)

    def job() -> None:
        started.release()
        release.wait(PATIENCE)

    with Pool() as pool:
        workers = set(pool.idle)
        for number in (1, 2):
            pool.process(job)
            assert started.acquire(timeout=PATIENCE)
            assert (len(pool.busy), len(pool.idle)) == (number, 0)
        workers |= pool.busy
        with pytest.raises(NoFreeWorkersError):
            pool.process(job)
        assert "2 busy workers; 0 idle" in repr(pool)
        release.set()
        done = threading.Event()
        for _ in range(1000):
            if len(pool.idle) == 1 and not pool.busy:
                break
            done.wait(0.01)
        assert pool.num_workers() == 1
    assert pool.closed
    for worker in workers:
        worker.join(PATIENCE)
        assert not worker.is_alive()
    with pytest.raises(PoolError, match="closed"):
        pool.process(job)


def test_a_job_that_fails_costs_no_worker(caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()
    with Pool() as pool:
        pool.process(lambda: 1 // 0)
        pool.process(done.set)
        assert done.wait(PATIENCE)


@pytest.mark.parametrize("sizes", [(0, 2), (3, 2), (1, 0)])
def test_odd_sizes_are_refused(sizes: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "fastpyro.compat.shared.thread_pool.config",
        type("Sizes", (), {"THREADPOOL_SIZE_MIN": sizes[0], "THREADPOOL_SIZE": sizes[1]}),
    )
    with pytest.raises(ValueError, match="THREADPOOL_SIZE_MIN"):
        Pool()
