"""What the chart has from elsewhere is in step with it."""

from pathlib import Path

import pytest
import yaml

from specs.document import validate_file
from tests.charts.generate import CHART, described, files
from tests.charts.helm import ci, one, template
from tests.parts import ROOT


@pytest.mark.parametrize("path", list(files()), ids=lambda path: path.name)
def test_a_made_file_is_as_it_would_be_made_now(path: Path) -> None:
    assert path.read_text() == files()[path], "run `make charts`"


def test_every_value_has_a_description() -> None:
    assert len(list(described((CHART / "values.yaml").read_text()))) > 80


def test_the_chart_has_the_version_of_the_daemon() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert f'version = "{chart["appVersion"]}"' in (ROOT / "pyproject.toml").read_text()


def test_the_files_of_the_config_map_are_specs(tmp_path: Path) -> None:
    data = one(template(ci("sidecar")), "ConfigMap", "-specs")["data"]
    for name, text in data.items():
        (tmp_path / name).write_text(text)
        documents, problems = validate_file(tmp_path / name)
        assert not problems
        assert [document.plugin.name for document in documents] == [name.removesuffix(".yaml")]
