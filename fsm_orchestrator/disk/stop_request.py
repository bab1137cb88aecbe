"""`orchestrator.stop`: the file by which a run inside another program is asked to end.

It quotes the value in the run's lock file, which is new for each invocation: a file left by an
earlier request fits no later one. The requester keeps the file locked, which identifies it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.constants import LOCK_FILE, PRODUCT, STOP_FILE
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.held import HeldDirectory

REQUEST_BYTES_MAX: Final = 1024
TIMES_MAX: Final = 2
PRIVATE: Final = 0o600


class Doubt(StrEnum):
    """A reason not to believe a request."""

    OTHER_KIND = "other_kind"
    OTHER_USER = "other_user"
    OPEN_TO_OTHERS = "open_to_others"
    NOT_A_REQUEST = "not_a_request"
    FROM_A_STAGE = "from_a_stage"


class StopRequest(NamedTuple):
    """A request to end a run.

    Attributes:
        hears: the value in the run's lock file.
        key: distinguishes it from other requests.
        times: how often it asks: 2 kills at once, as a second signal does.
        inode: the file that it was read from.
    """

    hears: str
    key: str
    times: int
    inode: int = 0


def new_key() -> str:
    """Return an unguessable key."""
    return os.urandom(16).hex()


@contextlib.contextmanager
def asking(output: Path, hears: str, *, times: int) -> Iterator[Asked]:
    """Ask the run that is at work in a directory to end, while the block lasts.

    Raises:
        OSError: the file cannot be written.
    """
    descriptor = files.open_directory(output)
    asked = Asked(HeldDirectory(output, descriptor), StopRequest(hears, new_key(), times))
    try:
        asked.put()
        yield asked
    finally:
        asked.take_back()
        os.close(descriptor)


class Asked:
    """A request of this process, with its file in place."""

    def __init__(self, home: HeldDirectory, request: StopRequest) -> None:
        self._home = home
        self._request = request
        self._descriptor = -1

    def put(self) -> None:
        """Put the request in its place, over an existing one.

        Raises:
            OSError: it cannot be put there.
        """
        path = self._home.path / STOP_FILE
        staged = files.StagedFile(path, files.temporary_name(STOP_FILE), self._home)
        descriptor = files.make_new(staged.temporary, mode=PRIVATE, within=self._home)
        try:
            if os.geteuid() == 0:  # another user's run believes only that user
                owner = os.stat(LOCK_FILE, dir_fd=self._home.descriptor, follow_symlinks=False)
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            files.write_all(descriptor, _text_of(self._request))
            staged.commit()
        except BaseException:
            staged.discard()
            os.close(descriptor)
            raise
        self._let_go()
        self._descriptor = descriptor

    def put_again_if_gone(self) -> None:
        """Put the request in its place again if somebody has removed it."""
        try:
            os.stat(STOP_FILE, dir_fd=self._home.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            with contextlib.suppress(OSError):
                self.put()
        except OSError:
            return

    def take_back(self) -> None:
        """Remove the request, if the file in its place is still this one's."""
        with contextlib.suppress(OSError):
            there = os.stat(STOP_FILE, dir_fd=self._home.descriptor, follow_symlinks=False)
            if there.st_ino == os.fstat(self._descriptor).st_ino:
                os.unlink(STOP_FILE, dir_fd=self._home.descriptor)
        self._let_go()

    def _let_go(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


def found_in(home: HeldDirectory) -> StopRequest | Doubt | None:
    """Return the current request, or the reason not to believe it; None if there is none."""
    try:
        descriptor = files.open_regular(home.path / STOP_FILE, within=home)
    except FileNotFoundError:
        return None
    except PermissionError:
        return Doubt.OTHER_USER
    except OSError:
        return Doubt.OTHER_KIND
    try:
        status = os.fstat(descriptor)
        if status.st_nlink != 1:
            return Doubt.OTHER_KIND
        if status.st_uid != os.geteuid():
            return Doubt.OTHER_USER
        if stat.S_IMODE(status.st_mode) & ~PRIVATE:
            return Doubt.OPEN_TO_OTHERS
        text = os.read(descriptor, REQUEST_BYTES_MAX + 1)
    except OSError:
        return Doubt.OTHER_KIND
    finally:
        os.close(descriptor)
    request = _request_in(text, status.st_ino)
    return Doubt.NOT_A_REQUEST if request is None else request


def remove_left(home: HeldDirectory) -> None:
    """Remove the file that an earlier request has left."""
    with contextlib.suppress(OSError):
        os.unlink(STOP_FILE, dir_fd=home.descriptor)


def _text_of(request: StopRequest) -> bytes:
    said = {"product": PRODUCT, "hears": request.hears, "key": request.key, "times": request.times}
    return json.dumps(said).encode() + b"\n"


def _request_in(text: bytes, inode: int) -> StopRequest | None:
    """Return the request in a text, or None if the text is anything else."""
    try:
        said = json.loads(text)
        product, hears, key, times = (said.pop(one) for one in ("product", "hears", "key", "times"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if said or product != PRODUCT or not (isinstance(hears, str) and isinstance(key, str)):
        return None
    if type(times) is not int or not 1 <= times <= TIMES_MAX or len(text) > REQUEST_BYTES_MAX:
        return None
    return StopRequest(hears, key, times, inode)
