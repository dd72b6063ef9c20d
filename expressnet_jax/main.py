"""Trains what a config describes: python -m expressnet_jax.main --config configs/fer2013.py --workdir runs/fer2013."""

import sys

from expressnet_jax.cpu import tune_cpu


def main(argv: list[str]) -> int:
    from expressnet_jax import cli

    return cli.train(argv)


if __name__ == "__main__":
    tune_cpu()
    sys.exit(main(sys.argv))
