"""Container image URIs of SageMaker's scikit-learn, by region, in a small table.

Importing the SageMaker SDK for it takes seconds. The SDK is the oracle: a test compares every region that it knows
(tests/unit/workshop/test_images.py).
"""

from __future__ import annotations

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

# What ends the names of a partition's hosts, by the beginning of its regions; elsewhere ``amazonaws.com``.
# Source: botocore, endpoints.json.
DOMAINS = {
    "cn-": "amazonaws.com.cn",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
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
    if region not in REGISTRIES:
        raise AccountError(
            f"no scikit-learn image {VERSION} of SageMaker's is known in region {region}: choose another region in "
            f"every profile, or add the region's registry to {__name__}.REGISTRIES"
        )
    domain = next((domain for start, domain in DOMAINS.items() if region.startswith(start)), "amazonaws.com")
    return f"{REGISTRIES[region]}.dkr.ecr.{region}.{domain}/sagemaker-scikit-learn:{VERSION}-cpu-py3"
