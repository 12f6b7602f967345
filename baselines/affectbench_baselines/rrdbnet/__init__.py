"""RRDBNet, the generator of ESRGAN."""
