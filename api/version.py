"""Which version of the program this is: the one place that asks the installed distribution."""

from importlib import metadata


def version() -> str:
    """As in pyproject.toml; `0+unknown` where the program runs from a checkout that is not installed."""
    try:
        return metadata.version("wasm-reconciler")
    except metadata.PackageNotFoundError:
        return "0+unknown"
