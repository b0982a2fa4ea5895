import pytest

from reconciler.core.addresses import HostPolicy, HostRule, normal_host, not_public, parse_address


@pytest.mark.parametrize(
    ("entry", "host", "port", "permitted"),
    [
        ("example.com", "example.com", 80, True),
        ("example.com", "EXAMPLE.com.", 8443, True),
        ("Example.COM.", "example.com", 80, True),
        ("example.com", "sub.example.com", 80, False),
        ("example.com", "badexample.com", 80, False),
        ("example.com:8080", "example.com", 8080, True),
        ("example.com:8080", "example.com", 80, False),
        ("*.example.com", "a.example.com", 80, True),
        ("*.example.com", "a.b.example.com", 80, True),
        ("*.example.com", "example.com", 80, False),
        ("*.example.com", "badexample.com", 80, False),
        ("*.example.com:443", "a.example.com", 80, False),
        ("127.0.0.1:8080", "127.0.0.1", 8080, True),
        ("[::1]:8080", "0:0:0:0:0:0:0:1", 8080, True),
        ("::1", "[::1]", 80, True),
        ("::ffff:10.0.0.1", "10.0.0.1", 80, True),
    ],
)
def test_a_rule_names_hosts(entry: str, host: str, port: int, permitted: bool) -> None:
    assert HostPolicy.parse([entry]).permits(host, port) is permitted


def test_without_rules_no_host_may_be_named() -> None:
    assert not HostPolicy([]).permits("example.com", 443)


@pytest.mark.parametrize(
    "entry",
    ["", "*", "*.", "*.*.com", "a.*.com", "https://example.com", "example.com/path", "example.com:", "example.com:0",
     "example.com:65536", "example.com:http", "user@example.com", "two words", "*.127.0.0.1:80", "[example.com]:80",
     "[::1", "fe80::1%eth0", "a..b", "exämple.com", "example.com:٨٠"],
)  # fmt: skip
def test_what_is_no_host_is_refused_with_its_text(entry: str) -> None:
    with pytest.raises(ValueError, match="is no host") as caught:
        HostRule.parse(entry)

    assert repr(entry) in str(caught.value)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("0.0.0.0", "the unspecified address"),
        ("::", "the unspecified address"),
        ("127.0.0.1", "a loopback address"),
        ("127.9.9.9", "a loopback address"),
        ("::1", "a loopback address"),
        ("::ffff:127.0.0.1", "a loopback address"),
        ("64:ff9b::7f00:1", "a loopback address"),
        ("169.254.169.254", "a link-local address"),
        ("::ffff:169.254.169.254", "a link-local address"),
        ("64:ff9b::a9fe:a9fe", "a link-local address"),
        ("fe80::1", "a link-local address"),
        ("224.0.0.1", "a multicast address"),
        ("ff02::1", "a multicast address"),
        ("240.0.0.1", "a reserved address"),
        ("255.255.255.255", "a reserved address"),
        ("::7f00:1", "a reserved address"),
        ("0.1.2.3", "a private address"),
        ("10.0.0.1", "a private address"),
        ("172.16.0.1", "a private address"),
        ("192.168.1.1", "a private address"),
        ("100.100.100.200", "a private address"),
        ("192.0.2.1", "a private address"),
        ("fd00:ec2::254", "a private address"),
        ("fec0::1", "a private address"),
        ("2002:7f00:1::", "a private address"),
        ("2001:0:1::1", "a private address"),
        ("64:ff9b:1::7f00:1", "a reserved address"),
        ("1.1.1.1", ""),
        ("172.32.0.1", ""),
        ("2606:4700::1111", ""),
        ("::ffff:1.1.1.1", ""),
        ("64:ff9b::101:101", ""),
    ],
)
def test_addresses_that_are_not_public(address: str, words: str) -> None:
    parsed = parse_address(address)

    assert parsed is not None
    assert not_public(parsed) == words


@pytest.mark.parametrize(
    ("entries", "address", "port", "open_"),
    [
        (["api.test"], "1.1.1.1", 80, True),
        (["api.test"], "127.0.0.1", 80, False),
        (["api.test", "10.0.0.5"], "10.0.0.5", 80, True),
        (["api.test", "10.0.0.5:443"], "10.0.0.5", 80, False),
        (["localhost"], "127.0.0.1", 80, True),
        (["localhost:8080"], "::1", 8080, True),
        (["localhost:8080"], "::1", 8081, False),
        (["localhost"], "10.0.0.5", 80, False),
        (["*.localhost"], "127.0.0.1", 80, False),
        (["127.0.0.1"], "127.0.0.2", 80, False),
        (["169.254.169.254"], "169.254.169.254", 80, True),
    ],
)
def test_an_address_that_is_not_public_must_be_named(entries: list[str], address: str, port: int, open_: bool) -> None:
    parsed = parse_address(address)

    assert parsed is not None
    assert (HostPolicy.parse(entries).refusal(parsed, port) == "") is open_


@pytest.mark.parametrize("text", ["example.com", "", "1.2.3", "0x7f.1", "fe80::1%eth0", "1.2.3.4.5"])
def test_what_is_no_address_is_a_name(text: str) -> None:
    assert parse_address(text) is None
    assert normal_host(text) == text
