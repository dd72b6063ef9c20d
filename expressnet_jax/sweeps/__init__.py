"""Many runs of one config: a grid of its keys, in full or by successive halving."""
