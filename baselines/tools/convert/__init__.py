"""Converters of published weights: what the safetensors files of the library were made with."""
