"""SADN: scale-aware dynamic convolutions, one network for a continuum of scales."""
