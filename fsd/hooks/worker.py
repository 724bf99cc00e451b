"""Delivers the events of the outbox, with a thread a target: a slow one holds up only itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from fsd.audit.log import AuditLog
from fsd.home.home import HOOK_KEY, Home
from fsd.hooks import command, webhook
from fsd.hooks.outbox import Outbox
from fsd.hooks.outcome import Outcome
from fsd.hooks.payload import HookMessage, new_secret, read_secret
from fsd.policies import HookPolicy
from fsd.store.engine import Database
from fsproto.errors import FsError

log = logging.getLogger(__name__)

COMMAND, WEBHOOK = "command", "webhook"
LOOK_EVERY_S = 0.5
"""Seconds between two looks for new events."""
_ENDS_WITHIN_S = 2.0


def targets(policy: HookPolicy) -> list[str]:
    """Return the names of the targets that the settings have."""
    return [name for name, there in ((COMMAND, policy.command), (WEBHOOK, policy.url)) if there]


def make_outbox(database: Database, audit: AuditLog, policy: HookPolicy) -> Outbox:
    """Return the outbox for the targets and events in the settings."""
    return Outbox(
        database,
        audit,
        targets=targets(policy),
        events=policy.events,
        timeout_s=policy.timeout_s,
    )


def webhook_key(home: Home) -> bytes:
    """Return the key that signs requests to the webhook."""
    return read_secret(home.read(HOOK_KEY))


def prepare(home: Home, random: Callable[[int], bytes]) -> None:
    """Make the secret of the webhook if there is none."""
    home.prepare_hooks(new_secret(random(32)))


def deliver(
    target: str,
    policy: HookPolicy,
    home: Home,
    message: HookMessage,
    stopping: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Try once to deliver an event to a target."""
    if target == COMMAND:
        return command.run(policy.command, message, policy.timeout_s, stopping)
    try:
        key = webhook_key(home)
    except FsError as error:
        return Outcome(ok=False, told=error.sentence)
    return webhook.post(policy.url, message, key, policy.timeout_s)


class HookWorker:
    """The threads that collect and deliver events."""

    def __init__(
        self,
        outbox: Outbox,
        policy: HookPolicy,
        home: Home,
        counted: Callable[[str, str, int], None],
    ) -> None:
        """`counted` gets a target, `ok`, `failed`, `given-up` or `dropped`, and a number."""
        self._outbox = outbox
        self._policy = policy
        self._home = home
        self._counted = counted
        self._stop = threading.Event()
        self._threads = [self._thread("collector", self._collect)]
        self._threads += [
            self._thread(name, partial(self._deliver_due, name)) for name in targets(policy)
        ]

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        run = partial(self._run, work)
        return threading.Thread(target=run, name=f"hook {name}", daemon=True)

    def start(self) -> None:
        """Start; an event counts from now on. Blocks for a transaction."""
        self._outbox.begin()
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop, and end a command that runs; all other events are due at the next start."""
        self._stop.set()
        ends = time.monotonic() + _ENDS_WITHIN_S
        for thread in self._threads:
            thread.join(max(0.0, ends - time.monotonic()))

    def _run(self, work: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                work()
            except FsError as error:
                log.warning("hooks failed: %s", error.sentence)
            except Exception:  # the next look may succeed
                log.exception("hooks failed")
            self._stop.wait(LOOK_EVERY_S)

    def _collect(self) -> None:
        if gone := self._outbox.collect():
            log.warning("too many events wait for hooks; deleted the oldest %d", gone)
            self._counted("all", "dropped", gone)

    def _deliver_due(self, target: str) -> None:
        while not self._stop.is_set():
            claimed = self._outbox.claim(target)
            if claimed is None:
                return
            outcome = deliver(target, self._policy, self._home, claimed.message, self._stop.is_set)
            if self._stop.is_set() and not outcome.ok:
                self._outbox.unclaim(claimed, outcome)
                return
            word = self._outbox.settle(claimed, outcome)
            self._counted(target, word, 1)
            if word != "ok":
                shown = {"event": claimed.message.event, "tries": claimed.row.tries}
                log.warning("hook %s %s: %s", target, word, outcome.stored, extra=shown)
