"""Which workers are kept warm, lent and ended."""

import pickle
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medmint.errors import ArgumentError, GenerationError
from medmint.packages.workers.pool import WorkerPool


class Dummy:
    """A worker without a model."""

    def __init__(self):
        self.is_alive = True
        self.can_wake = True
        self.rests = []

    def wake(self):
        return self.is_alive and self.can_wake

    def rest(self, seconds):
        self.rests.append(seconds)

    def close(self):
        self.is_alive = False


@pytest.fixture
def pool():
    return WorkerPool(idle_seconds=60)


def use(pool, device="cpu", key="a", start=Dummy):
    with pool.lend(device, key, start) as worker:
        assert worker.is_alive
    return worker


def never():
    pytest.fail("a second worker was started")


def test_the_second_call_gets_the_same_worker(pool):
    worker = use(pool)
    assert use(pool, start=never) is worker
    assert worker.rests == [60, 60]
    assert len(pool) == 1


def test_cuda_is_the_first_card(pool):
    worker = use(pool, "cuda")
    assert use(pool, "cuda:0", start=never) is worker


def test_another_model_on_the_same_device_ends_the_first_before_it_starts(pool):
    first = use(pool)

    def start():
        assert not first.is_alive
        return Dummy()

    assert use(pool, key="b", start=start) is not first
    assert len(pool) == 1


@pytest.mark.parametrize("devices", [("auto", "cpu"), ("cuda:1", "auto")])
def test_auto_may_be_any_device(pool, devices):
    first, second = (use(pool, device) for device in devices)
    assert not first.is_alive
    assert second.is_alive


def test_workers_of_two_devices_are_kept(pool):
    first, second = use(pool, "cuda:0"), use(pool, "cuda:1")
    assert first.is_alive
    assert second.is_alive
    assert len(pool) == 2


def test_two_calls_at_once_get_a_worker_each_and_one_stays(pool):
    with pool.lend("cpu", "a", Dummy) as first, pool.lend("cpu", "a", Dummy) as second:
        assert first is not second
    assert [first.is_alive, second.is_alive].count(True) == 1
    assert len(pool) == 1


def test_a_worker_that_does_not_answer_is_replaced(pool):
    first = use(pool)
    first.can_wake = False
    assert use(pool) is not first


def test_a_worker_that_ended_is_not_kept(pool):
    with pool.lend("cpu", "a", Dummy) as worker:
        worker.close()
    assert len(pool) == 0
    assert worker.rests == []


def test_a_worker_whose_model_failed_is_ended(pool):
    with pytest.raises(GenerationError), pool.lend("cpu", "a", Dummy) as worker:
        raise GenerationError("90100_ODD", "no luck")
    assert not worker.is_alive
    assert len(pool) == 0


@pytest.mark.parametrize(
    "error", [ArgumentError("a", 1, "2"), KeyboardInterrupt(), GeneratorExit()]
)
def test_a_worker_stays_warm_where_the_fault_is_not_the_models(pool, error):
    with pytest.raises(type(error)), pool.lend("cpu", "a", Dummy) as worker:
        raise error
    assert use(pool, start=never) is worker


def test_a_start_that_fails_leaves_nothing_behind(pool):
    def start():
        raise GenerationError("90100_ODD", "no luck")

    with pytest.raises(GenerationError), pool.lend("cpu", "a", start):
        pytest.fail("nothing was started")
    assert len(pool) == 0


def test_close_ends_all_and_the_pool_can_be_used_again(pool):
    first, second = use(pool, "cuda:0"), use(pool, "cuda:1")
    pool.close()
    assert not first.is_alive
    assert not second.is_alive
    again = use(pool)
    assert use(pool, start=never) is again


def test_a_lent_worker_ends_when_it_comes_back_to_a_closed_pool(pool):
    with pool.lend("cpu", "a", Dummy) as worker:
        pool.close()
        assert worker.is_alive
    assert not worker.is_alive
    assert len(pool) == 0


def test_a_pool_is_sent_to_another_process_without_its_workers(pool):
    use(pool)
    copy = pickle.loads(pickle.dumps(pool))
    assert len(copy) == 0
    assert use(copy).rests == [60]


def test_a_forked_copy_starts_without_workers_and_with_a_free_lock(pool):
    worker = use(pool)
    pool._lock.acquire()
    pool.forget()
    assert len(pool) == 0
    assert use(pool) is not worker
    assert worker.is_alive


@given(
    st.lists(
        st.tuples(st.sampled_from(["auto", "cpu", "cuda", "cuda:0", "cuda:1"]), st.integers(0, 2))
    )
)
def test_at_most_one_worker_a_device_is_warm(calls):
    pool, started = WorkerPool(), []

    def start():
        started.append(Dummy())
        return started[-1]

    for device, key in calls:
        last = use(pool, device, key, start)
        alive = [worker for worker in started if worker.is_alive]
        assert last in alive
        assert len(alive) == len(pool) <= 3


def test_threads_never_share_a_worker(pool):
    in_use, faults = set(), []

    def work():
        for _ in range(200):
            with pool.lend("cpu", "a", Dummy) as worker:
                if worker in in_use:
                    faults.append(worker)
                in_use.add(worker)
                in_use.discard(worker)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert len(pool) == 1
