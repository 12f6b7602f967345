"""The project's own expression classifier: network, training, evaluation, weights and card."""
