import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.state.errors import StoreUnavailable
from reconciler.state.sqlite import SqliteDatabase


def test_values_outlive_the_process_that_set_them(tmp_path: Path) -> None:
    first = SqliteDatabase(tmp_path / "s.sqlite3")
    first.store("demo").set("book1", b"100")
    first.close()
    second = SqliteDatabase(tmp_path / "s.sqlite3")

    assert second.store("demo").get("book1") == b"100"
    second.close()


def test_stores_in_one_file_do_not_see_each_other(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "s.sqlite3")
    database.store("one").set("k", b"1")

    assert database.store("two").get("k") is None
    database.close()


def test_a_value_set_by_another_process_is_seen_at_once(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    database = SqliteDatabase(path)
    store = database.store("demo")
    assert store.get("book1") is None
    script = f"""
from pathlib import Path
from reconciler.state.sqlite import SqliteDatabase
SqliteDatabase(Path({str(path)!r})).store("demo").set("book1", b"100")
"""
    subprocess.run([sys.executable, "-c", script], check=True)

    assert store.get("book1") == b"100"
    database.close()


def test_text_that_was_put_there_by_hand_is_read_as_bytes(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "s.sqlite3")
    database.store("demo").set("k", b"x")
    database.run("UPDATE entries SET value = '100'")

    assert database.store("demo").get("k") == b"100"
    database.close()


def test_a_store_that_nobody_uses_leaves_no_file(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "state" / "s.sqlite3")
    database.store("demo")
    database.close()

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_said_by_name(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    path.write_bytes(b"this is not a database, " * 100)
    database = SqliteDatabase(path)

    with pytest.raises(StoreUnavailable, match=r"s\.sqlite3: file is not a database"):
        database.store("demo").get("k")


def test_a_directory_that_cannot_be_made_is_said_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    database = SqliteDatabase(tmp_path / "file" / "s.sqlite3")

    with pytest.raises(StoreUnavailable, match=r"s\.sqlite3"):
        database.store("demo").set("k", b"v")


def test_a_closed_database_says_so(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "s.sqlite3")
    database.close()

    with pytest.raises(StoreUnavailable, match="closed"):
        database.store("demo").get("k")


def test_a_key_that_is_no_utf8_text_is_an_error_of_the_store(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "s.sqlite3")

    with pytest.raises(StoreUnavailable):
        database.store("demo").get("\udcff")
    database.close()
