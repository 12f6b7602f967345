"""Converters of published weights, which made the safetensors files of the library."""
