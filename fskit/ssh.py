"""SSH servers on paramiko: the algorithms both programs offer, and starting work after a grant."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ClassVar

import paramiko
from paramiko.common import MSG_CHANNEL_REQUEST

CIPHERS = (
    "aes128-gcm@openssh.com", "aes256-gcm@openssh.com",
    "aes128-ctr", "aes192-ctr", "aes256-ctr",
)  # fmt: skip
MACS = (
    "hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256", "hmac-sha2-512",
)  # fmt: skip
_START = "fs_start"
"""Attribute of a channel: the work to start once its request was answered."""


def start_after_grant(channel: paramiko.Channel, start: Callable[[], None]) -> None:
    """Call `start`, which must not block, as soon as the answer to the request was sent.

    paramiko asks whether a request is granted and answers it afterwards. Work that is started
    before that answer could end the channel first.
    """
    setattr(channel, _START, start)


def _answer_request(channel: paramiko.Channel, message: paramiko.Message) -> None:
    paramiko.Channel._handle_request(channel, message)  # noqa: SLF001 - there is no public hook
    start = channel.__dict__.pop(_START, None)
    if start is not None:
        start()


class ServerTransport(paramiko.Transport):  # type: ignore[misc]
    """A server's connection that supports `start_after_grant`."""

    _channel_handler_table: ClassVar = {
        **paramiko.Transport._channel_handler_table,  # noqa: SLF001
        MSG_CHANNEL_REQUEST: _answer_request,
    }


def silence_paramiko() -> None:
    """Stop paramiko from logging what unauthenticated peers send; our own code logs events."""
    logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
