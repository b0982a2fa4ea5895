"""One reading of each request: what two servers might understand differently is refused.

Waitress takes some requests whose end is not the same for everybody (RFC 9112, sections 3.2, 5.2, 6.1 and 6.3); behind
a proxy, one of them could hide another request from the proxy's checks.
"""

import re
from typing import Any, Final

from waitress.parser import HTTPRequestParser, ParsingError

from api.wsgi.chunks import StrictChunks

_TRANSFER_ENCODING: Final = re.compile(rb"^transfer-encoding[ \t]*:[ \t]*([^\r\n]*?)[ \t]*\r?$", re.I | re.M)
_FOLDED: Final = re.compile(rb"\r?\n[ \t]")


class StrictParser(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    """Waitress' parser with less patience."""

    body_rcv: Any  # waitress' own

    def parse_header(self, header_plus: bytes) -> None:
        """Parse a request's head. Raises ParsingError, which is answered 400 and ends the connection."""
        encodings = _TRANSFER_ENCODING.findall(header_plus)
        if encodings and [encoding.lower() for encoding in encodings] != [b"chunked"]:
            raise ParsingError("Transfer-Encoding is not chunked alone")
        if _FOLDED.search(header_plus):
            raise ParsingError("a header is folded over several lines")
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # a number with more digits than Python reads
            raise ParsingError("a header cannot be read") from error
        if self.version not in ("1.0", "1.1"):
            raise ParsingError("this server speaks HTTP/1.1")
        if encodings and (self.version == "1.0" or "CONTENT_LENGTH" in self.headers):
            raise ParsingError("Transfer-Encoding with a Content-Length, or in HTTP/1.0")
        if self.chunked:
            self.body_rcv = StrictChunks(self.body_rcv.getbuf())
        if self.proxy_netloc:  # RFC 9112, 3.2.2: the target's host counts, not the header
            self.headers["HOST"] = self.proxy_netloc
        host = self.headers.get("HOST")
        if (host is None and self.version == "1.1") or (host is not None and ("," in host or not host)):
            raise ParsingError("there must be one Host header")
