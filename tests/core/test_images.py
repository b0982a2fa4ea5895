"""References to images."""

import pytest

from reconciler.core.images import ImageRef

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("ghcr.io/acme/plugin:v1", ImageRef("ghcr.io", "acme/plugin", "v1")),
        (f"ghcr.io/acme/plugin@{DIGEST}", ImageRef("ghcr.io", "acme/plugin", None, DIGEST)),
        (f"oci://localhost:5000/p:v1@{DIGEST}", ImageRef("localhost:5000", "p", "v1", DIGEST)),
        ("localhost/a/b/c", ImageRef("localhost", "a/b/c")),
        ("[::1]:5000/a", ImageRef("[::1]:5000", "a")),
        ("registry:80/a-b_c.d", ImageRef("registry:80", "a-b_c.d")),
    ],
)
def test_a_reference_has_a_registry_a_repository_and_what_names_the_manifest(text: str, reference: ImageRef) -> None:
    assert ImageRef.parse(text) == reference
    assert str(reference) == text.removeprefix("oci://")
    assert reference.reference == (reference.digest or reference.tag or "latest")


@pytest.mark.parametrize(
    "text",
    ["", "plugin", "plugin:v1", "acme/plugin", "ghcr.io", "ghcr.io/", "ghcr.io/Acme/plugin", "ghcr.io/a//b",
     "ghcr.io/../b", "ghcr.io/a/./b", "ghcr.io/a b", "ghcr.io/a:", "ghcr.io/a:v 1", "ghcr.io/a@", "ghcr.io/a@sha256:a",
     f"ghcr.io/a@{DIGEST.upper()}", "ghcr.io/a@md5:" + "a" * 32, "ghcr.io:0/a", "ghcr.io:99999/a", "ghcr.io:x/a",
     "user:password@ghcr.io/a", "http://ghcr.io/a", "ghcr.io/a?b=c", "ghcr.io/a#b", "ghcr.io/a%2fb", "ghcr.io/a\n",
     "ghcr.io\n/a", "gh\r\ncr.io/a", "ghcr.io/a:v1\n", "-/a:v1", "ghcr.io/" + "a" * 256],
)  # fmt: skip
def test_anything_else_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|repository"):
        ImageRef.parse(text)


def test_an_image_is_pinned_without_losing_its_tag() -> None:
    assert str(ImageRef.parse("ghcr.io/a:v1").at(DIGEST)) == f"ghcr.io/a:v1@{DIGEST}"
