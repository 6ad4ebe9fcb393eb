"""Science: baselines, evaluation, figures, the saved model."""
