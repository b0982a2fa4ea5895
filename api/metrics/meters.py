"""All meters of a daemon together."""

from dataclasses import dataclass, field

from api.metrics.control import ControlMeter
from api.metrics.fetches import FetchMeter
from api.metrics.requests import RequestMeter


@dataclass(frozen=True, slots=True)
class Meters:
    """Everything that counts."""

    requests: RequestMeter = field(default_factory=RequestMeter)
    control: ControlMeter = field(default_factory=ControlMeter)
    fetches: FetchMeter = field(default_factory=FetchMeter)
