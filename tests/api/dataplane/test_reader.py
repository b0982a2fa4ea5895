"""The reader alone: how the bytes are cut never changes what is read."""

from itertools import count, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from api.dataplane.http1_reader import PIECE, Http1Reader, ReaderContext
from api.dataplane.settings import Settings
from reconciler.host.invoke import RouteLimits
from reconciler.wasm.kind import Request

STREAM = (
    b"GET /a?b HTTP/1.1\r\nHost: h\r\nid: r\r\nx-request-id: 1\r\n\r\n"
    b"POST / HTTP/1.1\r\nHost: h\r\nid: r\r\nx-request-id: 2\r\nContent-Length: 5\r\n\r\nhello"
    b"GET /invoke/r/x HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\nx-request-id: 3\r\n\r\n"
    b"PUT /p HTTP/1.1\r\nHost: h\r\nid: r\r\nx-request-id: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\nX-Last: y \r\n\r\n"
    b"GET / HTTP/1.1\r\nHost: h\r\nid: r\r\nx-request-id: 5\r\nConnection: close\r\n\r\nwhatever"
)


def new_reader() -> Http1Reader:
    context = ReaderContext(Settings(), lambda route: RouteLimits(100, 1.0), "0", count())
    return Http1Reader(context, "there", "http")


def read(pieces: list[bytes]) -> list[Request | int | None]:
    reader = new_reader()
    seen: list[Request | int | None] = []
    for piece in pieces:
        rest: bytes | memoryview | None = piece
        while rest is not None:
            rest = reader.feed(rest)
            while reader.turns:
                turn = reader.turns.popleft()
                seen.append(turn.refusal.status if turn.refusal else turn.request)
    reader.close()
    return seen


@given(st.lists(st.integers(0, len(STREAM)), max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_cut_of_a_stream_gives_the_same_requests(cuts: list[int]) -> None:
    edges = sorted({0, len(STREAM), *cuts})
    pieces = [STREAM[start:end] for start, end in pairwise(edges)]
    whole = read([STREAM])
    assert read(pieces) == whole
    assert [request.body for request in whole if isinstance(request, Request)] == [b"", b"hello", b"", b"abcde", b""]
    # Trailers that would have had to be known before are left out.
    assert [request.trailers for request in whole if isinstance(request, Request)][3] == [("x-last", "y")]


@given(st.integers(0, len(STREAM) - 1), st.binary(min_size=1, max_size=8))
@settings(max_examples=500, deadline=None)
def test_damaged_bytes_are_refused_once_or_read_and_never_raise(place: int, junk: bytes) -> None:
    seen = read([STREAM[:place] + junk + STREAM[place + 1 :]])
    refused = [status for status in seen if isinstance(status, int)]
    assert all(400 <= status < 506 for status in refused)
    assert len(seen) <= 6


def test_no_more_is_parsed_ahead_than_a_piece_holds() -> None:
    request = b"GET / HTTP/1.1\r\nHost: h\r\nid: r\r\n\r\n"
    reader = new_reader()
    rest = reader.feed(request * 10_000)
    assert rest is not None
    assert 1 <= len(reader.turns) <= PIECE // len(request) + 1
    reader.close()
