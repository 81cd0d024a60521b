"""The workers: each takes the next job of the line and runs it to its end."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog

from relay import audio
from relay.crash import crash_point
from relay.domain.work import State, Work
from relay.errors import Internal, RelayError, StorageFull, StorageUnavailable
from relay.fetch import download
from relay.ports.inference import Audio, CallContext
from relay.ports.storage import Storage
from relay.services.infer import Infer
from relay.services.jobs import orders
from relay.services.jobs.ending import AlreadyEnded, Endings
from relay.services.jobs.line import Line
from relay.services.jobs.orders import Order
from relay.services.jobs.pieces import Pieces
from relay.services.jobs.running import RunningJob, forget
from relay.services.jobs.stages import Run

log = structlog.get_logger("relay.jobs")
T = TypeVar("T")

FULL_SECONDS = 5.0
"""How soon an ending is written again that found the disk full."""
FETCH_SECONDS = 3600.0
STOP_SECONDS = 10.0


class Runner:
    """`folder`: recordings of running jobs lie there, each in a folder of its own."""

    def __init__(
        self,
        storage: Storage,
        infer: Infer,
        endings: Endings,
        line: Line,
        running: dict[str, RunningJob],
        *,
        folder: Path,
        workers: int,
        job_seconds: float,
        max_bytes: int,
    ) -> None:
        self._storage = storage
        self._infer = infer
        self._endings = endings
        self._line = line
        self._running = running
        self._folder = folder
        self._job_seconds = job_seconds
        self._max_bytes = max_bytes
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._work, name=f"job-{n}", daemon=True) for n in range(workers)]
        self.mean_seconds: float | None = None

    def start(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700, parents=True)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Interrupt what runs. Nothing is released: it goes on after the restart."""
        self._stopping.set()
        self._line.close()
        for job in tuple(self._running.values()):
            job.cancel()
        until = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        while (job_id := self._line.take()) is not None:
            job = self._running.get(job_id)
            if job is not None:
                started = time.monotonic()
                self._run(job)
                self._measure(time.monotonic() - started)

    def _measure(self, seconds: float) -> None:
        """A moving mean, for estimates only: workers may overwrite each other's."""
        mean = self.mean_seconds
        self.mean_seconds = seconds if mean is None else 0.8 * mean + 0.2 * seconds

    def _run(self, job: RunningJob) -> None:
        ctx = CallContext(time.monotonic() + self._job_seconds, progress=job.advance)
        try:
            self._try(job, ctx)
        except AlreadyEnded:
            # Its caller cancelled it, and whoever did that told the listeners.
            forget(self._running, job)
        except RelayError as exc:
            self._fail(job, exc)
        except Exception:
            log.exception("job_defect", job=job.id)
            self._fail(job, Internal("something went wrong inside this relay; its log has the details"))

    def _try(self, job: RunningJob, ctx: CallContext) -> None:
        if not job.begin(ctx):
            return
        row = self._write(lambda: self._endings.started(job.id, job.call.id))
        job.processing(row.started_at)
        with self._storage.open_blob(row.request or "") as file:
            order = orders.load(file.read())
        pieces = Pieces(self._storage, job.id, job.call.id)
        run = Run(self._infer, job.call, ctx, pieces)
        folder = self._folder / f"{job.id}-{job.call.id}"
        try:
            folder.mkdir(mode=0o700)
            run.recording = self._recording(job, row, order, folder, ctx)
            outcome = run.perform(order)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        crash_point("jobs.answered")
        self._write(lambda: self._endings.complete(job.call, outcome))
        self._ended(job, "completed")

    def _recording(self, job: RunningJob, row: Work, order: Order, folder: Path, ctx: CallContext) -> Audio | None:
        path, filename, url = folder / "recording", row.filename, orders.url_of(order)
        if row.upload is not None:
            self._copy(row.upload, path)
        elif url is not None:
            left = min(FETCH_SECONDS, ctx.remaining())

            def check() -> None:
                ctx.remaining()

            filename = download(url, path, max_bytes=self._max_bytes, timeout=left, check=check)
            with path.open("rb") as file:
                self._endings.keep_upload(job.id, job.call.id, self._storage.put_blob(file), filename)
        else:
            return None
        return Audio(path, filename, audio.probe(path))

    def _copy(self, ref: str, path: Path) -> None:
        with self._storage.open_blob(ref) as source:
            try:
                with path.open("xb") as target:
                    shutil.copyfileobj(source, target, 1024 * 1024)
            except OSError as exc:
                raise StorageFull(f"the recording could not be written: {exc.strerror}") from exc

    def _fail(self, job: RunningJob, error: RelayError) -> None:
        if self._stopping.is_set():
            # It was interrupted, or it could not write any more. The next start goes on with it.
            return
        log.info("job_failed", job=job.id, code=error.code, error=error.message)
        try:
            self._write(lambda: self._endings.fail(job.call, error))
        except AlreadyEnded:
            forget(self._running, job)
            return
        except RelayError as exc:
            log.error("job_not_ended", job=job.id, error=exc.message, note="the next start goes on with it")  # noqa: TRY400
            return
        self._ended(job, "failed")

    def _write(self, change: Callable[[], T]) -> T:
        """How a job stands must be written: with a full disk it waits for room."""
        while True:
            try:
                return change()
            except StorageFull as exc:
                log.warning("job_waits_for_disk", error=exc.message)
                if self._stopping.wait(FULL_SECONDS):
                    raise StorageUnavailable("the relay is stopping") from exc

    def _ended(self, job: RunningJob, state: State) -> None:
        job.end(state)
        forget(self._running, job)
