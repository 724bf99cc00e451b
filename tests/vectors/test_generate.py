"""The generator reproduces the existing files, and keeps only values that came from randomness."""

from __future__ import annotations

from tests.vectors import HERE, generate
from tests.vectors.makers import Kept, channel


def test_every_file_is_made_again_byte_for_byte():
    made = generate.make(Kept(generate.present()))
    there = {path.stem: path.read_text("utf-8") for path in HERE.glob("*.json")}
    assert made.keys() == there.keys()
    assert [name for name in made if made[name] != there[name]] == []


def test_a_lost_random_part_is_drawn_again():
    (old, *_), (new, *_) = (
        channel.make(kept)["handshake"] for kept in (Kept(generate.present()), Kept({}))
    )
    drawn = {name for name in old if old[name] != new[name]}
    assert {"rsa_ciphertext", "kem_ciphertext"} <= drawn
    assert not {"client_random", "server_random", "client_hello", "x25519_secret"} & drawn


def test_names_are_unique_in_their_file():
    for file, vectors in generate.present().items():
        names = [vector["name"] for vector in vectors]
        assert len(names) == len(set(names)), file


def test_the_readme_explains_every_field():
    readme = (HERE / "README.md").read_text("utf-8")
    for file, vectors in generate.present().items():
        section = readme.split(f"\n## {file}.json\n")[1].split("\n## ")[0]
        common = readme.split("\n## Common to all\n")[1].split("\n## ")[0]
        fields = {field for vector in vectors for field in vector}
        unexplained = {field for field in fields if f"`{field}`" not in section + common}
        assert unexplained == set(), file
