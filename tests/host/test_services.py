"""What the host offers to guests: their log."""

import logging

import pytest

from reconciler.host.services import GUEST_LOGGER, PluginServices
from tests.guest_wat import answering
from tests.host.conftest import World


@pytest.mark.parametrize(
    ("severity", "level"),
    [(logging.DEBUG, 0), (logging.INFO, 2), (logging.WARNING, 3), (logging.CRITICAL, 5), (logging.CRITICAL + 1, 5)],
)
def test_guests_are_told_the_least_level_that_is_written(
    world: World, caplog: pytest.LogCaptureFixture, severity: int, level: int
) -> None:
    caplog.set_level(severity, GUEST_LOGGER)
    services = PluginServices(world.spec("a", answering("x")), lambda _name: None, world.host._invoke)
    assert services.log_level() == level
