"""An embedded AWS of this folder's own: its tests count what is in an account."""

from __future__ import annotations

import pytest

from embedded_aws.testing import end


@pytest.fixture(scope="session")
def aws(serve_aws, tmp_path_factory):
    """Return an embedded AWS in which nobody else has made anything."""
    process, own = serve_aws(tmp_path_factory.mktemp("home"))
    yield own
    end(process)
