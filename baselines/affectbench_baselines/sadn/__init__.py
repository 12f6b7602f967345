"""SADN: scale-aware dynamic convolutions, one network for continuous scales."""
