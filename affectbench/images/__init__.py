"""All rules for reading, range, colour, resizing and quantisation of images."""
