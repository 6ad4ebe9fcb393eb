"""List prices of AWS, in US dollars."""

# Of us-east-1. Check them before you rely on them: the pages named below, or
# `aws pricing get-products --service-code AmazonSageMaker` (AmazonVPC, awskms, AmazonCloudWatch).
PRICES_OF = "May 2026"
PAGES = (
    "aws.amazon.com/privatelink/pricing, aws.amazon.com/sagemaker/ai/pricing, aws.amazon.com/kms/pricing, "
    "aws.amazon.com/eks/pricing"
)
ENDPOINT_PER_ZONE = 0.01  # an hour
NOTEBOOK_ML_T3_MEDIUM = 0.05  # an hour
NOTEBOOK_DISK = 20 * 0.14 / 730  # 20 GB at 14 cents a month, also while the instance is stopped
TRAINING = {"ml.t3.medium": 0.05, "ml.t3.large": 0.1, "ml.m5.large": 0.115, "ml.m5.xlarge": 0.23}  # an hour
SERVING_ML_M5_LARGE = 0.115  # an endpoint, an hour; a transform job by the second
PROCESSING_ML_M5_XLARGE = 0.23  # an hour
CLUSTER = 0.1  # the control plane of an EKS cluster, an hour; six times as much after 14 months of a version
NODE_T3_MEDIUM = 0.0416  # an hour
NODE_DISK = 20 * 0.08 / 730  # 20 GB of gp3
LOAD_BALANCER = 0.0225  # an hour, and a little by use
KEY = 1 / 730  # one dollar a month, and one more for each of the first two yearly turns
FLOW_LOGS = "flow logs: $0.50 a GB, cents"
