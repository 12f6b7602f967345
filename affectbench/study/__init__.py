"""The validation study: what ECM measures, on faces whose expression somebody has labelled."""
