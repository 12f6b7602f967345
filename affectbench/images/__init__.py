"""The only home of image reading, range, colour, resizing and quantising rules."""
