"""Training, choice, evaluation and card of `resnet-ferplus`, the judge that learned from votes."""
