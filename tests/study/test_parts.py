"""What is there is whole, what is missing runs again."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from metafit.study import parts

TABLE = pa.table({"a": [1, 2], "b": ["x", None]})


def write(path, **note):
    return parts.write_once(path, parts.parquet(TABLE, note))


def test_a_part_comes_back_with_its_note(tmp_path):
    assert write(tmp_path / "one.parquet", task="iris")
    assert parts.read(tmp_path).equals(TABLE)
    assert parts.read_note(tmp_path / "one.parquet") == {"task": "iris"}


def test_columns_are_united_and_gaps_are_null(tmp_path):
    write(tmp_path / "one.parquet")
    parts.write_once(tmp_path / "two.parquet", parts.parquet(pa.table({"a": [0.5], "c": [True]}), {}))
    table = parts.read(tmp_path)
    assert table.column_names == ["a", "b", "c"]
    assert table["a"].to_pylist() == [1, 2, 0.5]
    assert table["c"].to_pylist() == [None, None, True]


def test_the_first_writer_wins(tmp_path):
    path = tmp_path / "scores" / "part.parquet"
    assert parts.write_once(path, b"first")
    assert not parts.write_once(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(path.parent.iterdir()) == [path]


def test_without_hard_links_a_part_is_still_written_once(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "part.parquet"
    assert parts.write_once(path, b"first")
    assert not parts.write_once(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "link"])
def test_a_write_that_breaks_off_leaves_nothing(tmp_path, monkeypatch, call):
    def breaks(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, call, breaks)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "part.parquet")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_the_content_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    """fsync of the file, then the link, then fsync of the folder: the order that a power cut needs."""
    calls = []
    for call in ("fsync", "link"):
        original = getattr(os, call)
        monkeypatch.setattr(os, call, lambda *a, o=original, c=call: (calls.append(c), o(*a))[1])
    write(tmp_path / "part.parquet")
    assert calls == ["fsync", "link", "fsync"]


def test_temporary_files_are_no_parts_and_are_cleaned_when_old(tmp_path):
    write(tmp_path / "scores" / "part.parquet")
    old, new = (tmp_path / "scores" / f".{name}.tmp" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half a part")
    os.utime(old, (time.time() - 2 * parts.STALE_AFTER,) * 2)
    assert parts.read(tmp_path / "scores").equals(TABLE)
    assert parts.clean(tmp_path) == 1
    assert new.exists()
    assert not old.exists()


@pytest.mark.parametrize("keep", [0, 4, 100])
def test_a_file_damaged_from_outside_is_named(tmp_path, keep):
    path = tmp_path / "part.parquet"
    write(path)
    path.write_bytes(path.read_bytes()[:keep])
    for look in (lambda: parts.read(tmp_path), lambda: parts.read_note(path)):
        with pytest.raises(ValueError, match=r"part\.parquet is not a whole part"):
            look()


def test_a_file_from_elsewhere_is_named(tmp_path):
    import pyarrow.parquet as pq

    pq.write_table(TABLE, tmp_path / "foreign.parquet")
    with pytest.raises(ValueError, match=r"foreign\.parquet is not a whole part"):
        parts.read_note(tmp_path / "foreign.parquet")


def test_no_folder_means_no_parts(tmp_path):
    assert parts.read(tmp_path / "nothing") is None
    assert parts.names(tmp_path / "nothing") == []


def test_writers_need_no_lock(tmp_path):
    """Four threads race for 100 names: each name has exactly one winner and its right content."""

    def write_many(_):
        return sum(parts.write_once(tmp_path / f"{i}.parquet", b"%d" % i) for i in range(100))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(write_many, range(4))) == 100
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {f"{i}.parquet": b"%d" % i for i in range(100)}


def test_slugs_are_safe_file_names():
    assert parts.slug("../../etc/passwd") == "etc-passwd"
    assert parts.slug("...") == "task"
    assert len(parts.slug("x" * 500)) == 60
