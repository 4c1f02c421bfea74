"""The same walkthrough typed by version 2 of the AWS CLI, as Debian packages it.

That one is older than `AWS_ENDPOINT_URL` and signs for the control plane by another name, so it is told the endpoint by its
flag: what a client of that age can do, it must be able to do here.
"""

import subprocess
from pathlib import Path

import pytest

from test_aws_cli import (  # noqa: F401  the tests run again here, with the prompt below and a server of their own
    Shell,
    pytestmark,
    test_a_shadow_is_updated_got_and_deleted,
    test_each_type_of_endpoint_is_described,
    test_lists_are_paged_by_the_client_itself,
    test_the_account_is_known,
    test_the_files_of_the_walkthrough_open_the_door_for_its_thing_only,
    test_the_region_is_known,
    test_thing_types_are_made_and_used,
    test_what_is_not_built_is_said_by_name,
    walked,
)
# Tests run in the order of their names' arrival here, and this one takes down what the others need.
from test_aws_cli import test_tearing_down_has_an_order_and_each_step_too_early_is_refused  # noqa: E402, F401

DEBIAN = Path("/usr/bin/aws")


@pytest.fixture(scope="module")
def aws(ombra, tmp_path_factory):
    """A prompt with version 2."""
    assert DEBIAN.exists(), "install Debian's awscli"
    shell = Shell(ombra, tmp_path_factory.mktemp("shell"))
    shell.aws = (str(DEBIAN), "--endpoint-url", shell.environment["AWS_ENDPOINT_URL"])
    return shell


def test_it_is_version_2(aws):
    version = subprocess.run([DEBIAN, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    assert version.startswith("aws-cli/2."), version
