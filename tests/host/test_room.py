"""Room: how much is there is known without counting again for each file."""

from pathlib import Path

from reconciler.host.room import RECOUNT, Room, sizes


def test_a_directory_is_counted_once_and_then_now_and_again(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "old").write_bytes(bytes(10))
    (tmp_path / "link").symlink_to("below/old")
    counted: list[int] = []

    def count() -> int:
        counted.append(sum(sizes(tmp_path)))
        return counted[-1]

    room = Room(100, count)
    assert not room.add(10)
    assert counted == [10]
    assert not room.add(90)
    assert room.add(1)
    assert counted == [10]
    for _ in range(RECOUNT):
        room.add(0)
    assert counted == [10, 10]
