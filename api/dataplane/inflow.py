"""A request's body on its way from the client to a guest that was started before it was whole."""

from reconciler.wasm.kind import Headers


class Inflow:
    """What came and was not passed on yet. Whoever fills it stops reading while there is more than a pipe holds."""

    __slots__ = ("complete", "data", "trailers")

    def __init__(self, data: bytearray) -> None:
        self.data = data
        self.trailers: Headers = []
        self.complete = False
        """Nothing more comes; the trailers are known."""
