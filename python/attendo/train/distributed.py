"""Training on several processes: the same step, its batch shared out, by MPI.

Run a script on four processes with ``mpiexec -n 4 python train.py``::

    trainer = at.train.Trainer(model, loss, optimizer, distributed=at.train.Distributed())
"""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import time
import traceback
import zlib
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._lazy import require

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .run import Run
    from .trainer import Trainer

# Waiting asks again at once for so many times, then sleeps between the questions: a process that waits should
# not keep a core from one that computes.
_EAGER_TESTS = 100
_SLEEP = 5e-5  # seconds


class Transport:
    """Messages of the core's Reducer over an MPI communicator.

    Only calls that do not block are used: a process that waits sleeps, and sees Ctrl-C.
    """

    def __init__(self, mpi: Any, comm: Any) -> None:
        self._mpi, self._comm = mpi, comm
        self.rank, self.size = int(comm.Get_rank()), int(comm.Get_size())
        self._requests: list[Any] = []
        self._arrays: list[NDArray[Any]] = []  # MPI writes to them until wait() is back
        self.broken = False

    def _started(self, request: Any, *arrays: NDArray[Any]) -> None:
        self._requests.append(request)
        self._arrays.extend(arrays)

    def _check(self) -> None:
        if self.broken:
            raise RuntimeError(
                "Distributed: training ended with an error here, of which the other processes know nothing; "
                "let the error end the script and start the job again"
            )

    def start_sum(self, part: NDArray[Any]) -> None:
        """Begin the sum of `part` over the processes, in place."""
        self._check()
        self._started(self._comm.Iallreduce(self._mpi.IN_PLACE, part), part)

    def progress(self) -> None:
        """Let MPI move what is under way."""
        if self._requests:
            self._mpi.Request.Testall(self._requests)

    def wait(self) -> None:
        """Until all that was started is there."""
        for _ in range(_EAGER_TESTS):
            if self._mpi.Request.Testall(self._requests):
                break
        else:
            while not self._mpi.Request.Testall(self._requests):
                time.sleep(_SLEEP)
        self._requests.clear()
        self._arrays.clear()

    def gather(self, x: NDArray[Any]) -> list[NDArray[Any]]:
        """The arrays of all processes; axis 0 may differ in length."""
        self._check()
        rows = np.empty(self.size, np.int64)
        self._started(self._comm.Iallgather(np.array([len(x)], np.int64), rows), rows)
        self.wait()
        row = int(np.prod(x.shape[1:], dtype=np.int64))
        out = np.empty((int(rows.sum()), *x.shape[1:]), x.dtype)
        self._started(self._comm.Iallgatherv(x, [out, rows * row]), x, out)
        self.wait()
        return np.split(out, np.cumsum(rows)[:-1])

    def broadcast(self, x: NDArray[Any]) -> None:
        """x becomes rank 0's."""
        self._check()
        self._started(self._comm.Ibcast(x, root=0), x)
        self.wait()

    def abort(self) -> None:
        """End the whole job."""
        sys.stdout.flush()
        sys.stderr.flush()
        self._comm.Abort(1)


def _load_mpi() -> Any:
    require("mpi4py", "mpi")
    try:
        return importlib.import_module("mpi4py.MPI")
    except (ImportError, RuntimeError) as error:
        message = 'Distributed: mpi4py finds no MPI library; run: pip install "attendo[mpi]"'
        raise ImportError(message) from error


def _check_launcher(size: int) -> None:
    """A launcher of another MPI starts processes that know nothing of each other."""
    for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE"):
        told = os.environ.get(name, "")
        if size == 1 and told.isdecimal() and int(told) > 1:
            raise RuntimeError(
                f"Distributed: mpiexec started {told} processes, but mpi4py has another MPI and sees 1; "
                "start them with the mpiexec next to this Python: "
                + os.path.join(sys.prefix, "bin", "mpiexec")
            )


def _own_cpus() -> set[int]:
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return set(range(os.cpu_count() or 1)) if affinity is None else affinity(0)


def _threads(mpi: Any, comm: Any) -> int:
    """This process' share of its CPUs: each is divided among the machine's processes that may use it."""
    local = comm.Split_type(mpi.COMM_TYPE_SHARED)
    own = _own_cpus()
    users = local.allgather(sorted(own))
    local.Free()
    share = sum(1 / sum(cpu in cpus for cpus in users) for cpu in own)
    return max(1, min(_core.get_num_threads(), int(share + 1e-6)))


class Distributed:
    r"""Data-parallel training on several processes, by MPI: give it to a :class:`Trainer`.

    Every process runs the same script on the same data. A step's batch is ``size * batch_size`` samples in
    one order; process r computes the loss of its share and its gradients, which become sums over the
    processes while backward still runs. Then every process makes the same step. One process with
    ``batch_size=4 * b`` and four with ``batch_size=b`` train the same model, to rounding.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        The processes; default: all that ``mpiexec`` started.
    threads : int, optional
        Threads of each process, see :func:`attendo.set_num_threads`. Default: its share of the CPUs of its
        machine, but no more than are set.
    bucket_bytes : int
        How much of the gradients is sent in one message, 1 or more. Smaller ones start earlier, larger ones
        cost fewer messages.

    Attributes
    ----------
    rank : int
        The number of this process, from 0.
    size : int
        How many there are.
    is_main : bool
        Whether this is rank 0: the one that should print and write.

    Raises
    ------
    ImportError
        When mpi4py or an MPI library is missing: ``pip install "attendo[mpi]"`` brings both.
    RuntimeError
        When ``mpiexec`` belongs to another MPI library than mpi4py uses.
    ValueError
        When threads or bucket_bytes is below 1.

    Notes
    -----
    .. math:: L = \sum_r L_r, \qquad g = \sum_r \partial L_r / \partial \theta

    where :math:`L_r` is process r's part of the mean over the whole batch. A message carries about
    ``bucket_bytes`` of the gradient buffer, in place; its sum starts when backward has run the last function
    that adds to it. Messages go from the model's end to its beginning, in the same order in every process and
    step. The gradients of tables of layers with ``sparse=True`` are exchanged row by row after backward.

    Parameters and buffers are rank 0's from the start of training. Random layers draw other numbers in each
    process. The same number of processes gives the same bits, killed and resumed or not.

    Callbacks run in every process, but for those with ``first_process_only = True`` (bars, logs,
    checkpoints); validation, ``evaluate`` and ``predict`` run whole in every process. At the end of each
    epoch the parameters are compared: an error says when something changed them in one process alone.

    An exception that leaves the script in one process, Ctrl-C and a killed process end the whole job. Without
    mpiexec there is one process, and nothing else changes.

    References
    ----------
    Li et al. 2020, PyTorch Distributed, §3.2. Article 000 §5.

    Examples
    --------
    >>> import attendo as at
    >>> distributed = at.train.Distributed()  # doctest: +SKIP
    >>> distributed.rank, distributed.size  # doctest: +SKIP
    (0, 1)

    Source: cpp/train/reducer.cpp
    """

    def __init__(self, comm: Any = None, *, threads: int | None = None, bucket_bytes: int = 1 << 20) -> None:
        mpi = _load_mpi()
        if comm is None:
            _check_launcher(mpi.COMM_WORLD.Get_size())
            comm = mpi.COMM_WORLD
        self._comm = comm.Dup()  # messages of others cannot be taken for ours
        self._transport = Transport(mpi, self._comm)
        self._core = _core.Reducer(self._transport, bucket_bytes)
        _core.set_num_threads(_threads(mpi, self._comm) if threads is None else threads)
        if self.size > 1:
            _end_job_on_errors(self._transport)

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""
        return self._core.rank

    @property
    def size(self) -> int:
        """How many processes there are."""
        return self._core.size

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    @property
    def statistics(self) -> dict[str, float]:
        """Of this process' sums so far.

        ``buckets``: messages a step; ``sent_early``: those of the last step that left while backward ran;
        ``seconds_waited``: time after backward until the sums were there, all steps together.
        """
        return {
            "buckets": self._core.buckets,
            "sent_early": self._core.sent_early,
            "seconds_waited": self._core.seconds_waited,
        }

    def wait_for_all(self) -> None:
        """Go on when every process has come here: what rank 0 writes before is there for all after it."""
        self._transport.gather(np.zeros(0))

    def _begin(self, trainer: Trainer, run: Run) -> None:
        """Before a fit: all processes do the same, and have what rank 0 has."""
        if self.size == 1:
            return
        model = trainer.model
        self._check_same("Trainer", "seed", trainer.seed)
        self._check_same("Trainer", "model", [(name, p.shape) for name, p in model.named_parameters()])
        self._check_same("Trainer", "the optimizer's number of steps", trainer.optimizer.steps)
        for name in ("epochs", "batch_size", "shuffle", "batch_tokens"):
            self._check_same("fit", name, getattr(run, name))
        self._check_same("fit", "the data (kind, shape, checksum)", run.data)
        trainer._core.synchronize()

    def _check_epoch(self, trainer: Trainer) -> None:
        """All processes have the same parameters, to the bit."""
        if self.size > 1:
            total = 0
            for _, parameter in trainer.model.named_parameters():
                total = zlib.crc32(parameter.numpy().reshape(-1).view(np.uint8).data, total)
            self._check_same("fit", "the checksum of the parameters after an epoch", total)

    def _fail(self) -> None:
        """Training ended with an error here: no more messages, and the end of the script ends the job."""
        self._transport.broken = self.size > 1

    def _check_same(self, call: str, what: str, value: Any) -> None:
        """Raise a ValueError in every process unless `value` has the same repr in all of them."""
        text = np.frombuffer(repr(value).encode(), np.uint8).astype(np.int64)
        texts = [bytes(x.astype(np.uint8)).decode() for x in self._transport.gather(text)]
        for rank, other in enumerate(texts):
            if other != texts[0]:
                raise ValueError(
                    f"{call}: {what} is {_short(texts[0])} in process 0 but {_short(other)} in {rank}; "
                    "every process must run the same script on the same data"
                )

    def __repr__(self) -> str:
        return f"Distributed(rank={self.rank}, size={self.size})"


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + " …"


def _end_job_on_errors(transport: Transport) -> None:
    """An exception nobody catches ends the job at once; one that broke training, at the end of the script."""
    previous = sys.excepthook

    def excepthook(kind: type[BaseException], error: BaseException, where: TracebackType | None, /) -> None:
        try:
            print(f"attendo: process {transport.rank} of {transport.size} ends the job", file=sys.stderr)
            previous(kind, error, where)
        except BaseException:  # a hook of somebody else must not leave the others waiting
            traceback.print_exc()
        transport.abort()

    sys.excepthook = excepthook
    atexit.register(lambda: transport.abort() if transport.broken else None)
