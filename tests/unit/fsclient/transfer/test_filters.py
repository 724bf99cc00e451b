"""Which files the filters choose: by patterns, sizes and times, and in which order rules count."""

from __future__ import annotations

import pytest

from fsclient.transfer.filters import Filters, Limits, Patterns
from fsclient.transfer.local.files import LocalStat
from fsproto.errors import NotFoundError, UsageError
from fsproto.sealed.manifest import Mode

FILES = ["a.jpg", "b.txt", "photos/c.jpg", "photos/thumbs/d.jpg", "build/e.jpg", "build/f.o"]
DAY_NS = 86_400 * 10**9


def facts(size: int = 0, mtime_ns: int = 0) -> LocalStat:
    return LocalStat(size, mtime_ns, Mode.REGULAR)


def taken(filters: Filters) -> list[str]:
    """Return those of `FILES` that a walk finds; it enters no excluded folder."""
    found = []
    for path in FILES:
        parts = path.split("/")
        folders = ["/".join(parts[:end]) for end in range(1, len(parts))]
        if not any(map(filters.leave_out, folders)) and not filters.leave_out(path, facts):
            found.append(path)
    return found


def lines(tmp_path, text: str) -> Patterns:
    path = tmp_path / "rules"
    path.write_text(text)
    return Patterns(filter_from=[path])


def test_without_rules_everything_is_taken():
    assert not Filters()
    assert taken(Filters()) == FILES


def test_an_include_leaves_out_all_other_files_in_every_folder():
    assert taken(Filters(Patterns(include=["*.jpg"]))) == [
        "a.jpg",
        "photos/c.jpg",
        "photos/thumbs/d.jpg",
        "build/e.jpg",
    ]


def test_an_include_of_a_folder_takes_all_in_it():
    for pattern in ("photos", "photos/", "/photos/**"):
        assert taken(Filters(Patterns(include=[pattern]))) == [
            "photos/c.jpg",
            "photos/thumbs/d.jpg",
        ]


def test_an_exclude_beats_an_include():
    both = Patterns(include=["*.jpg"], exclude=["build/", "thumbs"])
    assert taken(Filters(both)) == ["a.jpg", "photos/c.jpg"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("+ *.jpg\n- *\n", ["a.jpg", "photos/c.jpg", "photos/thumbs/d.jpg", "build/e.jpg"]),
        ("- build\n+ *.jpg\n- *\n", ["a.jpg", "photos/c.jpg", "photos/thumbs/d.jpg"]),
        ("- *.jpg\n", ["b.txt", "build/f.o"]),
        ("+ photos/thumbs/\n- photos\n", ["a.jpg", "b.txt", "photos/thumbs/d.jpg",
                                          "build/e.jpg", "build/f.o"]),
        ("# nothing\n; nothing\n\n", FILES),
        ("- /a.jpg\n  -   /b.txt  \n", FILES[2:]),
    ],
)  # fmt: skip
def test_the_first_line_of_a_filter_file_that_matches_decides(tmp_path, text, found):
    assert taken(Filters(lines(tmp_path, text))) == found


def test_a_filter_file_comes_between_excludes_and_includes(tmp_path):
    given = lines(tmp_path, "- thumbs\n+ build/\n")
    given = Patterns(
        filter_from=given.filter_from, exclude=["*.o"], include=["*.txt", "photos/thumbs"]
    )
    assert taken(Filters(given)) == ["b.txt", "build/e.jpg"]


@pytest.mark.parametrize("line", ["*.jpg", "+", "- ", "! *", "+*.jpg", "+ !*.jpg", "? x"])
def test_a_line_that_is_not_understood_is_named(tmp_path, line):
    with pytest.raises(UsageError, match="Line 2 of the local"):
        Filters(lines(tmp_path, f"# rules\n{line}\n"))


def test_a_missing_file_and_a_bad_pattern_are_errors(tmp_path):
    with pytest.raises(NotFoundError):
        Filters(Patterns(filter_from=[tmp_path / "nothing"]))
    with pytest.raises(UsageError, match="pattern"):
        Filters(Patterns(include=["!"]))


@pytest.mark.parametrize(
    ("limits", "size", "day", "fits"),
    [
        (Limits(max_size=10), 10, 1, True),
        (Limits(max_size=10), 11, 1, False),
        (Limits(min_size=10), 10, 1, True),
        (Limits(min_size=10), 9, 1, False),
        (Limits(max_size=0), 0, 1, True),
        (Limits(newer_s=86_400.0), 1, 2, True),
        (Limits(newer_s=86_400.0), 1, 1, False),
        (Limits(older_s=86_400.0), 1, 0, True),
        (Limits(older_s=86_400.0), 1, 1, False),
        (Limits(min_size=1, max_size=2, newer_s=0.0, older_s=86_400.0 * 3), 2, 2, True),
    ],
)
def test_sizes_and_times_are_limits_of_files_alone(limits, size, day, fits):
    filters = Filters(limits=limits)
    assert filters.leave_out("a", lambda: facts(size, day * DAY_NS)) is not fits
    assert not filters.leave_out("folder")
    assert filters.choose_files


def test_a_file_whose_facts_are_unknown_is_not_left_out():
    assert not Filters(limits=Limits(max_size=1)).leave_out("a", lambda: None)


def test_patterns_fold_case_only_where_the_folder_does():
    filters = Filters(Patterns(include=["*.JPG"]))
    assert filters.leave_out("a.jpg", facts, lambda: False)
    assert not filters.leave_out("a.jpg", facts, lambda: True)


def test_only_rules_that_take_something_may_leave_a_folder_without_files():
    assert not Filters(Patterns(exclude=["*.o"])).choose_files
    assert Filters(Patterns(include=["*.o"])).choose_files
