"""Who writes to a gallery on a server: one at a time, by claims that all can read, since there is no lock to take.

A server keeps rows and orders what is done to one; it cannot compare and set. So writers do as customers in a bakery
(Lamport, 1974, "A New Solution of Dijkstra's Concurrent Programming Problem"): each says that it is about to draw a
number, draws one above all it sees, and is served when nobody about to draw, or with a lower number, is left. A claim
is renewed while it is held; one that was not renewed for LEASE_SECONDS, or whose process on this machine is gone, is no
claim any more.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from secrets import randbits
from threading import Event, Thread
from time import monotonic, sleep, time

from siamese_search.errors import BusyError, GalleryError
from siamese_search.gallery.milvus.rows import CLAIM, RECORDS, record_row
from siamese_search.gallery.milvus.server import Server

WAIT_SECONDS = 10.0
LEASE_SECONDS = 40.0
_RENEW_SECONDS = 5.0
_SURE_SECONDS = 20.0  # after a renewal nobody else can have become the writer, however slowly this one's clock goes
_POLL_SECONDS = 0.2
_LATE_SECONDS = 1.0  # by then a server has done what it was asked by a process that is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a writer says of itself; `number` is None while it draws one, `until` and `since` are Unix seconds."""

    number: int | None
    until: float
    since: float
    process: int
    host: str
    machine: str  # where `process` means a process: "" where nobody can tell
    started: str

    @property
    def is_alive(self) -> bool:
        """Tell whether this claim counts."""
        here = self.machine and self.machine == _machine()
        return time() < self.until and not (here and self.started and _started(self.process) != self.started)


class Lease:
    """The right to write, while it is held; `follows_a_loss`: an earlier writer did not give it back."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._row = randbits(62)
        self._since = time()
        self._number: int | None = None
        self._renewed = 0.0
        self.follows_a_loss = False

    def check(self) -> None:
        """Raise GalleryError when another one may be the writer by now: this one slept, or the server did."""
        if monotonic() - self._renewed > _SURE_SECONDS:
            raise GalleryError(
                f"{self._server.location}: stood still for too long, so that another process may be writing to it by"
                " now; run the same command again"
            )

    @contextmanager
    def held(self) -> Iterator["Lease"]:
        """Be the only writer while inside; waits WAIT_SECONDS for others, then raises BusyError that names one."""
        done = Event()
        renewing = Thread(target=self._renew, args=(done,), daemon=True)
        try:
            self._acquire(monotonic() + WAIT_SECONDS)
            renewing.start()
            yield self
        finally:
            done.set()
            if renewing.ident:
                renewing.join()  # or its last word would come after the claim was taken back
            with suppress(GalleryError):  # then it ends by itself
                self._server.delete(RECORDS, [self._row])

    def _acquire(self, deadline: float) -> None:
        self._say()
        self._number = 1 + max((claim.number or 0 for _, claim in self._others()), default=0)
        self._say()
        while ahead := [claim for row, claim in self._others() if self._is_ahead(row, claim)]:
            if monotonic() > deadline:
                raise _busy(self._server.location, ahead[0])
            sleep(_POLL_SECONDS)
        if self.follows_a_loss:
            sleep(_LATE_SECONDS)
        self._say()

    def _renew(self, done: Event) -> None:
        while not done.wait(_RENEW_SECONDS):
            with suppress(GalleryError):  # `check` tells when that failed for too long
                self._say()

    def _say(self) -> None:
        claim = Claim(
            number=self._number,
            until=time() + LEASE_SECONDS,
            since=self._since,
            process=os.getpid(),
            host=socket.gethostname(),
            machine=_machine(),
            started=_started(os.getpid()),
        )
        asked = monotonic()
        self._server.replace(RECORDS, [record_row(self._row, CLAIM, asdict(claim))])
        self._renewed = asked

    def _others(self) -> list[tuple[int, Claim]]:
        """Return the claims of others, with the numbers of their rows; those of the dead are taken away."""
        found = []
        for row in self._server.query(RECORDS, f"kind == {CLAIM}", ["row", "data"], strong=True):
            claim = Claim(**json.loads(row["data"]))
            if row["row"] == self._row:
                continue
            if claim.is_alive:
                found.append((row["row"], claim))
            else:
                self.follows_a_loss = True
                self._server.delete(RECORDS, [row["row"]])
        return found

    def _is_ahead(self, row: int, claim: Claim) -> bool:
        """Tell whether another one is served before: who draws a number now may yet draw a lower one."""
        return claim.number is None or (claim.number, row) < (self._number or 0, self._row)


def _busy(location: str, claim: Claim) -> BusyError:
    since = datetime.fromtimestamp(claim.since).astimezone()
    return BusyError(
        f"{location}: busy, process {claim.process} on {claim.host}, since {since:%Y-%m-%d %H:%M:%S}, is writing to it;"
        " try again when it is done"
    )


@cache
def _machine() -> str:
    """Return what tells apart where process numbers are given: the running kernel, and the namespace in it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _started(process: int) -> str:
    """Return when a process was started, in ticks of the kernel: another one may get its number; "" when it is gone."""
    try:
        return (
            Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
    except (OSError, IndexError):
        return ""
