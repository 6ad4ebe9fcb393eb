"""Settings: of the environment, of the distribution that brings some, or the defaults."""

from importlib.metadata import EntryPoint

import pytest

from embedded_aws import settings
from embedded_aws.settings import Settings, SettingsError

MINE = {"first": "hub", "profile": "me-{}", "preload": ["json"]}


@pytest.fixture
def installed(monkeypatch):
    """Return a function that makes these entry points all that are installed."""

    def install(*names):
        points = [EntryPoint(name, f"{__name__}:MINE", settings.GROUP) for name in names]
        monkeypatch.setattr(settings, "entry_points", lambda group: points)

    return install


def test_they_come_from_whoever_is_installed_and_travel_in_the_environment(installed):
    installed("mine")
    found = settings.read({})
    assert found == Settings(first="hub", profile="me-{}", preload=("json",))
    installed()
    assert settings.read({settings.VARIABLE: found.dumps()}) == found
    assert settings.read({}) == Settings()


def test_of_two_that_bring_some_neither_is_chosen(installed):
    installed("b", "a")
    with pytest.raises(SettingsError, match="a, b: each brings settings"):
        settings.read({})


def test_what_is_no_setting_is_named():
    with pytest.raises(SettingsError, match=r"EMBEDDED_AWS_SETTINGS: homes is no setting; there are first, home, "):
        settings.read({settings.VARIABLE: '{"homes": "x"}'})
