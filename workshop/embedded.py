"""Settings of the embedded AWS in this workshop; it finds them by the entry point in ``pyproject.toml``."""

from workshop.files import WORKPLACE

SETTINGS = {
    "home": str(WORKPLACE / ".workshop"),
    "home_variable": "WORKSHOP_HOME",
    "first": "server",
    "others": "client-{}",
    "profile": "fl-{}",
    "user": "workshop-admin",
    # Of the libraries in SageMaker's scikit-learn image and of Flower, those that take long.
    "preload": ["pandas", "sklearn.linear_model", "sklearn.pipeline", "botocore.session", "flwr.client"],
}
