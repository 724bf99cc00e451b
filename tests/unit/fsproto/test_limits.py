"""The limits of the protocol are consistent with each other."""

from __future__ import annotations

from fsproto import crypto, limits
from fsproto.keys.grants import Role, wrap
from fsproto.keys.member_list import FormerWriter, GroupedList, Member, MemberOrigin
from fsproto.keys.tree import KeyedNode
from fsproto.messages import encode
from fsproto.messages.account import GetStatus
from fsproto.messages.files import Commit
from fsproto.messages.shares import NewMembers, SealedKey
from fsproto.names import clean_name
from fsproto.packing import pack
from fsproto.sealed.manifest import Metadata, Mode, former_size, seal_metadata
from fsproto.sealed.stream import FIRST_PLAIN, HEADER_SIZE, OTHER_PLAIN, TAG_SIZE
from fsproto.signed import Signed
from fsproto.types import FileKey, Hash, NodeId, NodeKey
from fsproto.wire.connection import Data
from fsproto.wire.records import CONTROL_HEADER, DATA_HEADER
from tests.support import connection_pair
from tests.support.fixed_keys import Seeded, person


def test_a_full_segment_travels_in_one_record():
    client, server = connection_pair.opened()
    segment = bytes(limits.SEGMENT_SIZE)
    (event,) = connection_pair.events(server, connection_pair.segment(client, 1, 0, segment))
    assert event == Data(1, 0, memoryview(segment))
    assert limits.SEGMENT_SIZE + DATA_HEADER.size + crypto.TAG_SIZE <= limits.MAX_RECORD


def test_the_longest_message_travels_in_one_record():
    assert limits.MAX_CONTROL + CONTROL_HEADER.size + crypto.TAG_SIZE <= limits.MAX_RECORD


def test_a_full_segment_has_the_stored_size_to_the_byte():
    assert HEADER_SIZE + FIRST_PLAIN + TAG_SIZE == limits.SEGMENT_SIZE == OTHER_PLAIN + TAG_SIZE


def test_every_message_of_a_handshake_fits():
    client, server = connection_pair.ends()
    hello = client.start()
    answer = connection_pair.replies(server, hello)
    key = connection_pair.replies(client, answer)
    assert max(map(len, (hello, answer, key))) <= limits.MAX_HANDSHAKE_MESSAGE
    assert client.send(1, GetStatus())


def test_a_key_ratchets_well_within_what_one_key_may_seal():
    blocks = -(-limits.MAX_RECORD // 16) * limits.RECORDS_PER_KEY
    # SP 800-38D allows 2^64 blocks and 2^32 records; RFC 8446 stays below 2^24.5 full records.
    assert blocks < 1 << 34
    assert limits.RECORDS_PER_KEY < 1 << 24


def test_the_metadata_of_the_longest_name_fits():
    name = clean_name("x" * limits.MAX_NAME_BYTES)
    metadata = Metadata(name, (1 << 63) - 1, (1 << 63) - 1, Mode.SYMLINK, FileKey(bytes(32)))
    sealed = seal_metadata(bytes(32), NodeId(bytes(16)), 1, 1, metadata, random=Seeded("nonce"))
    assert len(sealed) <= limits.MAX_METADATA


def test_a_node_can_be_sealed_again_to_the_largest_share_in_one_commit():
    users = [f"{number:064}" for number in range(limits.MAX_GROUP)]
    groups = ["", *(f"{number:064}" for number in range(3))]
    h32, digest = bytes(32), Hash(bytes(32))
    body = GroupedList(
        format=2,
        node=NodeId(bytes(16)),
        version=(1 << 63) - 1,
        lineage=digest,
        generation=limits.MAX_GENERATION,
        owner="o" * 64,
        owner_key=h32,
        members=[Member(user, Role.WRITER, h32, digest, digest) for user in users],
        above=[],
        former=[FormerWriter(user, h32, limits.MAX_GENERATION) for user in users],
        time_ms=(1 << 62),
        log_head=bytes(limits.LOG_HEAD_SIZE),
        came=[MemberOrigin(user, group, Role.WRITER) for user in users for group in groups],
    )
    key = wrap(
        KeyedNode(body.node, 1, NodeKey(h32)), person("bob").bundle, Role.WRITER, Seeded("w")
    )
    sealed = [SealedKey(user, key) for user in users]
    new = NewMembers(Signed(pack(body), bytes(64)), sealed, users)
    manifest = Signed(bytes(limits.MAX_METADATA + former_size(limits.MAX_GENERATION)), bytes(64))
    state = Signed(bytes(1024), bytes(64))  # a state has less, whatever is in the folder
    assert encode(Commit([state, state], [manifest], [], [], [new]))


def test_an_inline_blob_is_one_segment():
    assert limits.MAX_INLINE_BLOB <= limits.SEGMENT_SIZE


def test_an_rsa_ciphertext_is_as_long_as_its_modulus():
    assert limits.RSA_CIPHERTEXT * 8 == limits.RSA_BITS
