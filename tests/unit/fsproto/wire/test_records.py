"""Records of one direction: only the next record opens."""

from __future__ import annotations

import pytest

from fsproto.errors import RemoteProtocolError
from fsproto.limits import MAX_RECORD, RECORDS_PER_KEY
from fsproto.wire.records import SECRET_SIZE, RecordOpener, RecordSealer, body_length
from tests.support.fixed_keys import stretch

SECRET = stretch("secret", SECRET_SIZE)


def _open(opener: RecordOpener, record: bytes) -> bytes:
    return opener.open(record[:4], record[4:])


def test_the_same_plaintext_never_looks_the_same_twice():
    sealer = RecordSealer(SECRET)
    records = [sealer.seal(b"again") for _ in range(2 * RECORDS_PER_KEY + 10)]
    assert len(set(records)) == len(records)


def test_records_open_in_order_across_every_ratchet():
    sealer, opener = RecordSealer(SECRET), RecordOpener(SECRET)
    for number in range(2 * RECORDS_PER_KEY + 10):
        assert _open(opener, sealer.seal(b"%d" % number)) == b"%d" % number


@pytest.mark.parametrize("number", [0, 1, RECORDS_PER_KEY - 1, RECORDS_PER_KEY])
def test_a_record_sent_twice_is_refused(number: int):
    sealer, opener = RecordSealer(SECRET), RecordOpener(SECRET)
    for _ in range(number):
        _open(opener, sealer.seal(b""))
    record = sealer.seal(b"once")
    assert _open(opener, record) == b"once"
    with pytest.raises(RemoteProtocolError):
        _open(opener, record)


def test_a_record_left_out_is_noticed_at_the_next():
    sealer, opener = RecordSealer(SECRET), RecordOpener(SECRET)
    sealer.seal(b"left out")
    with pytest.raises(RemoteProtocolError):
        _open(opener, sealer.seal(b"next"))


def test_the_length_of_a_record_is_authenticated():
    record = RecordSealer(SECRET).seal(b"record")
    for length in (0, len(record) - 5, len(record) - 3, 1 << 31):
        with pytest.raises(RemoteProtocolError):
            RecordOpener(SECRET).open(length.to_bytes(4, "big"), record[4:])


def test_a_record_may_be_just_as_long_as_the_limit():
    record = RecordSealer(SECRET).seal(bytes(MAX_RECORD - 16))
    assert body_length(record[:4]) == len(record) - 4 == MAX_RECORD
    assert _open(RecordOpener(SECRET), record) == bytes(MAX_RECORD - 16)


def test_a_longer_record_is_our_own_mistake_or_theirs():
    with pytest.raises(ValueError, match="cannot hold"):
        RecordSealer(SECRET).seal(bytes(MAX_RECORD - 15))
    for length in (0, MAX_RECORD + 1, (1 << 32) - 1):
        with pytest.raises(RemoteProtocolError, match=str(length)):
            body_length(length.to_bytes(4, "big"))


def test_a_record_that_could_not_be_sealed_uses_no_nonce():
    sealer, opener = RecordSealer(SECRET), RecordOpener(SECRET)
    with pytest.raises(ValueError, match="cannot hold"):
        sealer.seal(bytes(MAX_RECORD))
    assert _open(opener, sealer.seal(b"first")) == b"first"


@pytest.mark.parametrize("size", [0, 1, 1000, MAX_RECORD - 16])
def test_a_record_made_and_opened_in_given_memory_is_the_same_record(size: int):
    sealer, same = RecordSealer(SECRET), RecordSealer(SECRET)
    opener = RecordOpener(SECRET)
    out, plain = (memoryview(bytearray(MAX_RECORD + 4)) for _ in range(2))
    for number in range(3):
        plaintext = bytes([number]) * size
        record = sealer.seal_into(memoryview(plaintext), out)
        assert record == same.seal(plaintext)
        assert opener.open_into(bytes(record[:4]), record[4:], plain) == plaintext


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 40])
def test_what_is_no_record_is_refused_in_given_memory_as_well(length: int):
    opener = RecordOpener(SECRET)
    with pytest.raises(RemoteProtocolError):
        opener.open_into(bytes(4), memoryview(bytes(length)), memoryview(bytearray(100)))


def test_a_record_too_long_for_its_kind_is_not_made_in_given_memory_either():
    sealer, out = RecordSealer(SECRET), memoryview(bytearray(MAX_RECORD + 100))
    with pytest.raises(ValueError, match="cannot hold"):
        sealer.seal_into(memoryview(bytes(MAX_RECORD - 15)), out)
    assert sealer.seal(b"first") == RecordSealer(SECRET).seal(b"first")


def test_a_refused_record_warns_of_an_attacker_in_the_middle():
    with pytest.raises(RemoteProtocolError) as refused:
        RecordOpener(SECRET).open(bytes(4), bytes(40))
    assert refused.value.hint is not None
