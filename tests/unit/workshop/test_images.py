"""The table of SageMaker's scikit-learn images, against the SageMaker SDK's own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from workshop.aws import images
from workshop.errors import AccountError


@pytest.mark.slow
def test_every_region_that_the_sdk_knows_has_the_sdks_address():
    from sagemaker.core import image_uri_config, image_uris  # takes seconds to import

    table = json.loads((Path(image_uri_config.__path__[0]) / "sklearn.json").read_text())
    regions = table["training"]["versions"][images.VERSION]["registries"]
    assert set(images.REGISTRIES) == set(regions)
    partitions = {region.partition("-")[0] + "-" + region.split("-")[1] for region in regions}
    assert partitions >= {"us-east", "cn-north", "us-gov", "us-iso", "us-isob", "us-isof"}
    for region in regions:
        expected = image_uris.retrieve("sklearn", region, version=images.VERSION, instance_type="ml.m5.large")
        assert images.training_image(region) == expected


@pytest.mark.slow
def test_every_region_of_spark_s_image_has_the_sdks_address():
    from sagemaker.core import image_uri_config, image_uris

    table = json.loads((Path(image_uri_config.__path__[0]) / "spark.json").read_text())
    version, _, python, container = images.SPARK_VERSION.split("-")
    assert table["processing"]["versions"][version]["registries"] == images.SPARK_REGISTRIES
    for region in images.SPARK_REGISTRIES:
        expected = image_uris.retrieve(
            "spark",
            region,
            version=version,
            py_version=python,
            container_version=container,
            instance_type="ml.m5.large",
        )
        assert images.spark_image(region) == expected


@pytest.mark.parametrize("image", [images.training_image, images.spark_image])
def test_a_region_without_the_image_is_named(image):
    with pytest.raises(AccountError, match=r"region xx-central-1.*choose another region"):
        image("xx-central-1")


@pytest.mark.slow
def test_no_module_of_the_kit_imports_the_sdk():
    """Its import takes seconds."""
    code = "import sys, workshop.owners.commands, workshop.first_run.run; print('sagemaker' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
