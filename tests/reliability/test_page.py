"""What docs/reliability.md says about tests is so: the files are there, and the tests are in them."""

import re

from tests.daemon import ROOT


def test_every_test_that_the_page_names_exists() -> None:
    text = ""
    named = 0
    for file, test in re.findall(r"`(tests/[\w/]+\.py)`|`(test_\w+)`", (ROOT / "docs/reliability.md").read_text()):
        if file:
            text = (ROOT / file).read_text()
        elif test:
            named += 1
            assert f"def {test}(" in text, test
    assert named > 30
