"""The validation study: what ECM measures on faces with labelled expressions."""
