"""Container image URIs of SageMaker's scikit-learn and Spark, by region, in two small tables.

Importing the SageMaker SDK for it takes seconds. The SDK is the oracle: a test compares every region that it knows
(tests/unit/workshop/test_images.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from workshop.errors import AccountError

VERSION = "1.9-0"  # Python 3.12, scikit-learn 1.9.0: SageMaker has it since 2026-07-16

# The account of AWS's that holds the image. Source: SageMaker SDK 3.27.0, image_uri_config/sklearn.json.
REGISTRIES = {
    "af-south-1": "510948584623",
    "ap-east-1": "651117190479",
    "ap-northeast-1": "354813040037",
    "ap-northeast-2": "366743142698",
    "ap-northeast-3": "867004704886",
    "ap-south-1": "720646828776",
    "ap-south-2": "628508329040",
    "ap-southeast-1": "121021644041",
    "ap-southeast-2": "783357654285",
    "ap-southeast-3": "951798379941",
    "ap-southeast-4": "106583098589",
    "ca-central-1": "341280168497",
    "ca-west-1": "190319476487",
    "cn-north-1": "450853457545",
    "cn-northwest-1": "451049120500",
    "eu-central-1": "492215442770",
    "eu-central-2": "680994064768",
    "eu-north-1": "662702820516",
    "eu-south-1": "978288397137",
    "eu-south-2": "104374241257",
    "eu-west-1": "141502667606",
    "eu-west-2": "764974769150",
    "eu-west-3": "659782779980",
    "il-central-1": "898809789911",
    "me-central-1": "272398656194",
    "me-south-1": "801668240914",
    "sa-east-1": "737474898029",
    "us-east-1": "683313688378",
    "us-east-2": "257758044811",
    "us-gov-east-1": "237065988967",
    "us-gov-west-1": "414596584902",
    "us-iso-east-1": "833128469047",
    "us-isob-east-1": "281123927165",
    "us-isof-east-1": "108575199400",
    "us-isof-south-1": "124985052026",
    "us-west-1": "746614075791",
    "us-west-2": "246618743249",
}

SPARK_VERSION = "3.5-cpu-py312-v1.0"  # processing jobs: Spark 3.5, Python 3.12
# The account of AWS's that holds it. Source: SageMaker SDK 3.27.0, image_uri_config/spark.json.
SPARK_REGISTRIES = {
    "af-south-1": "309385258863",
    "ap-east-1": "732049463269",
    "ap-east-2": "533267296287",
    "ap-northeast-1": "411782140378",
    "ap-northeast-2": "860869212795",
    "ap-northeast-3": "102471314380",
    "ap-south-1": "105495057255",
    "ap-south-2": "873151114052",
    "ap-southeast-1": "759080221371",
    "ap-southeast-2": "440695851116",
    "ap-southeast-3": "800295151634",
    "ap-southeast-4": "819679513684",
    "ap-southeast-5": "841784149062",
    "ap-southeast-6": "278240940207",
    "ap-southeast-7": "471112967968",
    "ca-central-1": "446299261295",
    "ca-west-1": "000907499111",
    "cn-north-1": "671472414489",
    "cn-northwest-1": "844356804704",
    "eu-central-1": "906073651304",
    "eu-central-2": "142351485170",
    "eu-isoe-west-1": "010264522435",
    "eu-north-1": "330188676905",
    "eu-south-1": "753923664805",
    "eu-south-2": "833944533722",
    "eu-west-1": "571004829621",
    "eu-west-2": "836651553127",
    "eu-west-3": "136845547031",
    "eusc-de-east-1": "713710892325",
    "il-central-1": "408426139102",
    "me-central-1": "395420993607",
    "me-south-1": "750251592176",
    "mx-central-1": "211125459255",
    "sa-east-1": "737130764395",
    "us-east-1": "173754725891",
    "us-east-2": "314815235551",
    "us-gov-east-1": "260923028637",
    "us-gov-west-1": "271483468897",
    "us-west-1": "667973535471",
    "us-west-2": "153931337802",
}

# What ends the names of a partition's hosts, by the beginning of its regions; elsewhere ``amazonaws.com``.
# Source: botocore, endpoints.json.
DOMAINS = {
    "cn-": "amazonaws.com.cn",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
    "eu-isoe-": "cloud.adc-e.uk",
    "eusc-": "amazonaws.eu",
}


def training_image(region: str) -> str:
    """Return the address of SageMaker's scikit-learn container in a region.

    Raises
    ------
    AccountError
        If the table does not hold this region; the newest ones come later.

    >>> training_image("us-east-1")
    '683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0-cpu-py3'
    """
    return _image(REGISTRIES, region, "sagemaker-scikit-learn", f"{VERSION}-cpu-py3")


def spark_image(region: str) -> str:
    """Return the address of SageMaker's Spark container in a region.

    Raises
    ------
    AccountError
        As :func:`training_image` does.

    >>> spark_image("us-east-1")
    '173754725891.dkr.ecr.us-east-1.amazonaws.com/sagemaker-spark-processing:3.5-cpu-py312-v1.0'
    """
    return _image(SPARK_REGISTRIES, region, "sagemaker-spark-processing", SPARK_VERSION)


def _image(registries: Mapping[str, str], region: str, repository: str, tag: str) -> str:
    if region not in registries:
        raise AccountError(
            f"no image {repository}:{tag} of SageMaker's is known in region {region}: choose another region in every "
            f"profile, or add the region's registry to {__name__}"
        )
    domain = next((domain for start, domain in DOMAINS.items() if region.startswith(start)), "amazonaws.com")
    return f"{registries[region]}.dkr.ecr.{region}.{domain}/{repository}:{tag}"
