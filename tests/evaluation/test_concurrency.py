"""Concurrent jobs: every tick arrives, errors surface, nothing runs on unseen."""

import json
import threading
import time

import pytest

from pedseg.errors import PedsegInputError
from pedseg.evaluation.concurrency import Job, StageTimer, run_concurrently


def ticks(number, units=1):
    for _ in range(number):
        yield units


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_every_tick_of_every_job_arrives(cores):
    seen = list(run_concurrently([Job("a", ticks(3)), Job("b", ticks(2, 5)), Job("c", ticks(0))], cores))
    assert sorted(seen) == [("a", 1)] * 3 + [("b", 5)] * 2


def test_jobs_really_run_at_the_same_time():
    meeting = threading.Barrier(2, timeout=10)

    def meet():
        meeting.wait()
        yield 1

    assert len(list(run_concurrently([Job("a", meet()), Job("b", meet())], 2))) == 2


def test_the_first_error_is_raised_and_the_others_stop():
    stopped = threading.Event()

    def endless():
        try:
            while True:
                time.sleep(0.001)
                yield 1
        finally:
            stopped.set()

    def broken():
        yield 1
        raise ValueError("broken scan")

    with pytest.raises(ValueError, match="broken scan"):
        list(run_concurrently([Job("endless", endless()), Job("broken", broken())], 2))
    assert stopped.wait(10)


def test_closing_the_stream_stops_the_jobs():
    stopped = threading.Event()

    def endless():
        try:
            while True:
                yield 1
                time.sleep(0.001)
        finally:
            stopped.set()

    stream = run_concurrently([Job("endless", endless())])
    next(stream)
    stream.close()
    assert stopped.wait(10)


def test_a_job_takes_its_cores_and_what_fits_goes_first():
    busy, most, order = [0], [0], []
    lock = threading.Lock()

    def work(name, cores):
        with lock:
            busy[0] += cores
            most[0] = max(most[0], busy[0])
            order.append(name)
        time.sleep(0.05)
        yield 1
        with lock:
            busy[0] -= cores

    def job(name, cores, then=()):
        return Job(name, work(name, cores), cores, then)

    jobs = [job("two", 2), job("three", 3, [job("after three", 1)]), job("one", 1)]
    assert len(list(run_concurrently(jobs, 3))) == 4
    assert most[0] == 3
    assert set(order[:2]) == {"two", "one"}  # three cores are not free yet
    assert order[2:] == ["three", "after three"]


def test_a_job_that_wants_more_cores_than_there_are_runs_alone():
    assert list(run_concurrently([Job("wide", ticks(2), 8), Job("a", ticks(1))], 2))[-1] == ("a", 1)


def test_no_jobs_is_no_work():
    assert list(run_concurrently([])) == []


def test_the_timer_adds_up_by_stage_and_counts_the_threads_own_time():
    timer = StageTimer()

    def busy():
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass
        yield 1

    for _ in range(2):
        list(timer.measure("busy", busy(), own_thread=True))
    assert 0.1 <= timer.seconds["busy"]["cpu"] <= timer.seconds["busy"]["wall"] + 0.05
    assert timer.totals()["cpu"] >= 0.1


def test_the_timer_goes_on_where_a_program_was_cut_short(tmp_path):
    file = tmp_path / "work" / "seconds.json"
    file.parent.mkdir()
    earlier = {"total": {"wall": 100.0, "cpu": 50.0}, "peak memory": {"mib": 1e6}, "busy": {"wall": 90.0, "cpu": 40.0}}
    file.write_text(json.dumps(earlier), "utf-8")
    first = StageTimer()
    list(first.measure("before the file is known", iter([1])))
    first.resume(file.parent)
    list(first.measure("busy", iter([1, 2])))
    for timer in (first, StageTimer()):  # the second is another program
        if timer is not first:
            timer.resume(file.parent)
        assert 90 <= timer.seconds["busy"]["wall"] < 95 and 40 <= timer.seconds["busy"]["cpu"] < 45
        assert "before the file is known" in timer.seconds
        assert 100 <= timer.totals()["wall"] < 105 and 50 <= timer.totals()["cpu"] < 55
        assert timer.peak_mib() == 1e6


@pytest.mark.parametrize("content", ["{", "[]", '{"busy": 3}', '{"busy": {"wall": null}}'])
def test_times_that_are_damaged_are_refused(tmp_path, content):
    (tmp_path / "seconds.json").write_text(content, "utf-8")
    with pytest.raises(PedsegInputError, match="E-TIMES"):
        StageTimer().resume(tmp_path)
    assert (tmp_path / "seconds.json").read_text("utf-8") == content
