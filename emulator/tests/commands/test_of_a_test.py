"""The embedded AWS that tests start, beside jobs that they run in their own process."""

from embedded_aws.jobs.nursery import NURSERY
from embedded_aws.testing import end, serve


def test_the_server_of_a_test_is_no_orphan_of_a_job(tmp_path):
    process, _ = serve(tmp_path, n_clients=1)
    try:
        NURSERY.end_orphans()
        assert process.poll() is None
    finally:
        end(process)
